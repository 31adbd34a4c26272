//! Golden dialogues of the peer plane: who may be linked with whom, who is a member, which keys are believed.
//!
//! Each file in `dialogues` is a list of cases: commands, a line `----`, what the nodes saw because of them, a blank
//! line. The nodes are whole, TLS and QUIC included, over a network in memory on virtual time. `UPDATE=1` writes the
//! files anew, to be read before they are believed.
//!
//! A node is named by a letter. How often something was tried is not told, since redials are spread by chance; nor are
//! dials that nobody answered, nor that a node was suspect before its fate was known.

use crate::golden;
use crate::harness::{TestNode, config};
use crate::virtual_net::VirtualNet;
use crate::virtual_time::addr;
use crdt_state::{NodeId, Origin, Versions};
use gossip::network::{
    Attempt, ClusterKey, KeyRing, MemberEvent, NetworkConfig, NetworkEvent, Reason, RingError,
    Standing,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::sleep;

/// What can be watched; `watch` chooses.
const KINDS: [&str; 4] = ["links", "members", "refusals", "keys"];

struct Node {
    test: TestNode,
    members: broadcast::Receiver<MemberEvent>,
    told: Told,
}

/// What was told of a node already, of all that lasts.
#[derive(Default, Clone)]
struct Told {
    ended: BTreeMap<(Attempt, Reason), u64>,
    lasting: BTreeSet<String>,
    ring: String,
}

struct Desk {
    net: VirtualNet,
    nodes: BTreeMap<String, Node>,
    /// Names of incarnations.
    names: BTreeMap<Origin, String>,
    watched: BTreeSet<String>,
    said: String,
}

impl Desk {
    fn new() -> Self {
        Desk {
            net: VirtualNet::default(),
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
            watched: KINDS.map(str::to_owned).into(),
            said: String::new(),
        }
    }

    /// Carries out one command and returns what was seen because of it.
    async fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["watch", kinds @ ..] => {
                assert!(kinds.iter().all(|kind| KINDS.contains(kind)), "{line}");
                self.watched = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            }
            ["node", name, settings @ ..] => self.start(name, settings).await,
            ["crash", name] => self.take(name).test.crash(),
            ["leave", name] => self.test(name).network.leave().await,
            ["ready", name] => self.test(name).network.stand(Standing::Ready),
            ["drain", name] => self.test(name).network.stand(Standing::Draining),
            ["forget", name, node] => {
                let node = self.test(node).node;
                self.test(name).network.forget(node);
            }
            ["cut", one, other] => self.net.cut(address(one), address(other)),
            ["heal"] => self.net.heal(),
            ["lose", percent] => {
                let percent: u64 = percent.trim_end_matches('%').parse().unwrap();
                self.net.lose(percent * 10);
            }
            ["install", name, key] => {
                self.change(name, |ring| ring.install(&key_of(key)));
            }
            ["use", name, key] => {
                self.change(name, |ring| ring.use_key(&key_of(key).fingerprint()));
            }
            ["remove", name, key] => {
                self.change(name, |ring| ring.remove(&key_of(key).fingerprint()));
            }
            ["wait", seconds] => {
                sleep(Duration::from_secs(seconds.trim_end_matches('s').parse().unwrap())).await;
                self.look();
            }
            _ => panic!("not a command: {line}"),
        }
        std::mem::take(&mut self.said)
    }

    async fn start(&mut self, name: &str, settings: &[&str]) {
        let number = number(name);
        let mut config = config(1, number, address(name));
        config.name = name.to_owned();
        settings.iter().for_each(|setting| configure(&mut config, setting));
        self.names.insert(config.origin, name.to_owned());
        let ring = config.ring.describe();
        let socket = self.net.open(config.advertise);
        let test = TestNode::start(config, socket).await;
        let members = test.network.member_events();
        let told = Told { ring, ..Told::default() };
        self.nodes.insert(name.to_owned(), Node { test, members, told });
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut KeyRing) -> Result<(), RingError>) {
        if let Err(error) = self.test(name).network.change_ring(change) {
            let error = keys_named(&error.to_string());
            writeln!(self.said, "{name}: {error}").unwrap();
        }
    }

    /// Writes down what every node has seen since the last look.
    fn look(&mut self) {
        let mut nodes = std::mem::take(&mut self.nodes);
        for (name, node) in &mut nodes {
            self.look_at(name, node);
        }
        self.nodes = nodes;
    }

    fn look_at(&mut self, name: &str, node: &mut Node) {
        let links = node.test.take_events();
        let links = links.iter().filter_map(|event| self.link_line(event));
        let links: Vec<(String, String)> = links.collect();
        self.say("links", name, by_peer(links));
        let members = std::iter::from_fn(|| node.members.try_recv().ok());
        let members = members.map(|event| {
            let other = self.name_of(event.origin);
            (other.clone(), format!("{other} {}", event.change))
        });
        let members: Vec<(String, String)> = members.collect();
        self.say("members", name, without_doubts(&by_peer(members)));
        let before = std::mem::take(&mut node.told);
        let stats = node.test.network.stats();
        let refusals = refusals(&before.ended, &stats.ended);
        self.say("refusals", name, refusals);
        let lasting = self.lasting(node);
        let (begun, over) = (&lasting - &before.lasting, &before.lasting - &lasting);
        self.say("refusals", name, begun);
        self.say("refusals", name, over.into_iter().map(|fact| format!("no more: {fact}")));
        let ring = node.test.network.ring().borrow().describe();
        if ring != before.ring {
            self.say("keys", name, [format!("believes {}", keys_named(&ring))]);
        }
        node.told = Told { ended: stats.ended, lasting, ring };
    }

    fn link_line(&self, event: &NetworkEvent) -> Option<(String, String)> {
        let (origin, line) = match event {
            NetworkEvent::PeerUp(peer) => (peer.origin, "is linked".to_owned()),
            NetworkEvent::PeerDown { origin, reason, .. } => {
                (*origin, format!("is gone: {reason}"))
            }
            NetworkEvent::Frame { .. } => return None,
        };
        let peer = self.name_of(origin);
        Some((peer.clone(), format!("{peer} {line}")))
    }

    /// What holds for as long as its cause.
    fn lasting(&self, node: &Node) -> BTreeSet<String> {
        let network = &node.test.network;
        let at = |addr: SocketAddr| name_at(addr);
        let misfit = network.misfit().map(|(addr, reason)| {
            format!("an operator has to mend what is between it and {}: {reason}", at(addr))
        });
        let displaced = network
            .displaced()
            .map(|_| "a newer process has its id, it has no part in the cluster".to_owned());
        let twins = network.twins().into_iter().map(|twins| {
            let (linked, refused) = (at(twins.linked), at(twins.refused));
            format!("ALARM {linked} and {refused} have one id, {refused} is the older and refused")
        });
        let unlinked = network
            .unlinked()
            .into_iter()
            .map(|unlinked| format!("has no direct link to {} although it lives", unlinked.name));
        misfit.into_iter().chain(displaced).chain(twins).chain(unlinked).collect()
    }

    fn say(&mut self, kind: &str, name: &str, lines: impl IntoIterator<Item = String>) {
        let is_watched = self.watched.contains(kind);
        for line in lines.into_iter().filter(|_| is_watched) {
            writeln!(self.said, "{name}: {line}").unwrap();
        }
    }

    fn name_of(&self, origin: Origin) -> String {
        self.names.get(&origin).cloned().unwrap_or_else(|| origin.to_string())
    }

    fn test(&self, name: &str) -> &TestNode {
        &self.nodes.get(name).unwrap_or_else(|| panic!("no node {name}")).test
    }

    fn take(&mut self, name: &str) -> Node {
        self.nodes.remove(name).unwrap_or_else(|| panic!("no node {name}"))
    }
}

/// Lines about each peer in their order, peer by peer: between peers there is none.
fn by_peer(mut lines: Vec<(String, String)>) -> Vec<String> {
    lines.sort_by(|(one, _), (other, _)| one.cmp(other));
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Drops suspicions that were over before anybody looked.
fn without_doubts(lines: &[String]) -> Vec<String> {
    let next = lines.iter().skip(1).map(Some).chain([None]);
    let over = |line: &str, next: Option<&String>| {
        let node = line.strip_suffix(" suspect");
        let fate = next.and_then(|next| next.split_once(' '));
        node.zip(fate).is_some_and(|(node, (other, fate))| {
            node == other && ["died", "returned", "left"].contains(&fate)
        })
    };
    let kept = lines.iter().zip(next).filter(|(line, next)| !over(line, *next));
    kept.map(|(line, _)| line.clone()).collect()
}

/// What was refused more often than before. That a pair dials twice or that nobody answers is no refusal, and of links
/// that end it is told where they do.
fn refusals(
    before: &BTreeMap<(Attempt, Reason), u64>,
    now: &BTreeMap<(Attempt, Reason), u64>,
) -> Vec<String> {
    let dull = [Reason::Duplicate, Reason::Silent, Reason::OwnAddress, Reason::Left];
    let news = now.iter().filter(|((attempt, reason), count)| {
        let is_told = *attempt == Attempt::Link || dull.contains(reason);
        !is_told && before.get(&(*attempt, *reason)).is_none_or(|before| before < *count)
    });
    let line = |((attempt, reason), _): (&(Attempt, Reason), &u64)| match attempt {
        Attempt::Dial => format!("its dial is refused: {reason}"),
        Attempt::Call | Attempt::Link => format!("a caller gets no link: {reason}"),
    };
    news.map(line).collect()
}

fn configure(config: &mut NetworkConfig, setting: &str) {
    let (key, value) =
        setting.split_once('=').unwrap_or_else(|| panic!("not a setting: {setting}"));
    match key {
        "joins" => config.seeds.push(address(value)),
        "key" => config.ring = KeyRing::new(&key_of(value)),
        "cluster" => config.cluster = value.to_owned(),
        "settings" => config.config_hash = value.parse().unwrap(),
        "speaks" => {
            let (oldest, newest) = value.split_once("..").unwrap();
            config.tuning.versions =
                Versions { oldest: oldest.parse().unwrap(), newest: newest.parse().unwrap() };
        }
        "id-of" => config.node = NodeId(number(value)),
        "at" => config.advertise = address(value),
        "life" => {
            config.generation = value.parse().unwrap();
            config.origin = Origin(config.origin.0 + config.generation);
        }
        _ => panic!("not a setting: {setting}"),
    }
}

fn number(name: &str) -> u64 {
    let letter = name.bytes().next().expect("a name is a letter");
    u64::from(letter - b'a') + 1
}

fn address(name: &str) -> SocketAddr {
    addr(number(name))
}

fn name_at(address: SocketAddr) -> String {
    let names = ('a'..='z').map(|letter| letter.to_string());
    let mut at = names.filter(|name| self::address(name) == address);
    at.next().unwrap_or_else(|| address.to_string())
}

/// `k1` is the key that nodes have unless they are given another.
fn key_of(name: &str) -> ClusterKey {
    let number = name.strip_prefix('k').unwrap_or_else(|| panic!("not a key: {name}"));
    ClusterKey::from_bytes([number.parse().unwrap(); 32])
}

/// A text with the names of keys in place of their fingerprints; the one in use comes first.
fn keys_named(text: &str) -> String {
    let names = (1..10).map(|number| format!("k{number}"));
    names
        .fold(text.to_owned(), |text, name| text.replace(&key_of(&name).fingerprint(), &name))
        .replace('+', " ")
}

fn folder() -> PathBuf {
    golden::folder("network/dialogues")
}

async fn check(name: &str) {
    let (folder, mut desk, mut replayed) = (folder(), Desk::new(), String::new());
    let golden = golden::read(&folder, name);
    for (commands, lines) in golden::cases(&golden) {
        let mut seen = String::new();
        for line in lines {
            seen += &desk.run(line).await;
        }
        writeln!(replayed, "{commands}\n----\n{seen}").unwrap();
    }
    golden::check(&folder, name, &golden, &replayed);
}

macro_rules! dialogues {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                check(stringify!($name)).await;
            }
        )*

        #[test]
        fn every_dialogue_is_replayed() {
            golden::check_all(&folder(), &[$(stringify!($name)),*]);
        }
    };
}

dialogues! {
    another_cluster_is_refused,
    another_key_is_refused,
    key_is_replaced_while_datagrams_are_lost,
    keys_meet_after_a_partition,
    member_comes_and_goes,
    missing_link_is_told,
    one_id_has_one_process,
    wire_versions_must_meet,
}
