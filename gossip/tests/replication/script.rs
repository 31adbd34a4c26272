//! A few replicas on one desk, moved by hand: each command is one line of a golden dialogue, and
//! everything that is said or done because of it is written down.
//!
//! Messages wait in one queue until `deliver`, `run` or `drop` takes them. Replicas are named by
//! one hexadecimal letter, which is their origin too.

use crate::toy::Toy;
use bytes::Bytes;
use crdt_state::{Dot, Heads, Lane, LaneId, Mono, NodeId, Origin};
use crdts::CmRDT;
use gossip::replication::{
    AckLevel, Config, EnrolmentState, Input, Message, Output, Replica, Replicated,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::time::Duration;

struct Node {
    replica: Replica,
    toy: Toy,
    logs: BTreeMap<LaneId, (u64, Vec<Bytes>)>,
    quarantined: BTreeSet<LaneId>,
}

struct Letter {
    from: String,
    to: String,
    message: Message,
}

/// The desk.
pub struct Script {
    now: Mono,
    config: Config,
    part_bytes: usize,
    nodes: BTreeMap<String, Node>,
    links: BTreeMap<(String, String), Duration>,
    queue: VecDeque<Letter>,
    /// Heads are exchanged all the time; most dialogues are about something else.
    heads_hidden: bool,
    said: String,
}

impl Script {
    pub fn new() -> Self {
        Script {
            now: Duration::ZERO,
            config: Config::default(),
            part_bytes: 1000,
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            queue: VecDeque::new(),
            heads_hidden: false,
            said: String::new(),
        }
    }

    /// Carries out one command and returns what it caused.
    pub fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["config", settings @ ..] => {
                settings.iter().for_each(|setting| self.configure(setting));
            }
            ["hide", "heads"] => self.heads_hidden = true,
            ["show", "heads"] => self.heads_hidden = false,
            ["node", name, "over", lanes, "lanes"] => {
                self.start_over(name, lanes.parse().unwrap());
            }
            ["node", names @ ..] => names.iter().for_each(|name| self.start(name)),
            ["restart", old, "as", new] => self.restart(old, new),
            ["revive", name] => self.revive(name),
            ["crash", name] => self.crash(name),
            ["up", a, b] => self.up(a, b, Duration::ZERO),
            ["up", a, b, rtt] => self.up(a, b, millis(rtt)),
            ["down", a, b] => self.down(a, b),
            ["write", name, lane, entries @ ..] => self.write(name, lane_of(lane), entries),
            ["forge", to, from, id, first, entry] => self.forge(to, from, id, first, entry),
            ["forge-cut", to, from, session, lanes @ ..] => {
                self.forge_cut(to, from, session.parse().unwrap(), lanes);
            }
            ["garble", from, to] => self.garble(from, to),
            ["corrupt", name, id, seq, entry] => {
                let id = lane_id(id);
                self.node(name).toy.put(id, seq.parse().unwrap(), entry.as_bytes());
            }
            ["clock", name, "lost"] => self.node(name).toy.clock = None,
            ["clock", name, text] => {
                self.node(name).toy.clock = Some(Bytes::from(text.to_string()));
            }
            ["await", name, ticket, lane, seq, level] => {
                self.await_receipt(name, ticket.parse().unwrap(), lane, seq, level);
            }
            ["enrol", name, state, nodes] => self.enrol(name, state, nodes),
            ["deliver"] => self.deliver(|_| true),
            ["deliver", from, to] => self.deliver(|l| l.from == *from && l.to == *to),
            ["drop", from, to] => self.drop(from, to),
            ["wait", span] => self.wait(millis(span), false),
            ["run", span] => self.wait(millis(span), true),
            ["state", name] => self.describe(name),
            ["counts", name] => self.describe_counts(name),
            _ => panic!("not a command: {line}"),
        }
        std::mem::take(&mut self.said)
    }

    fn configure(&mut self, setting: &str) {
        let (key, value) = setting.split_once('=').unwrap();
        let number: usize = value.parse().unwrap();
        match key {
            "stash" => self.config.stash_bytes_max = number,
            "tail" => self.config.tail_bytes_max = number,
            "stable" => self.config.tail_stable_bytes = number,
            "window" => self.config.window_bytes = number,
            "flush" => self.config.flush_bytes = number,
            "pull" => self.config.pull_bytes = number,
            "snapshot" => self.config.snapshot_above_bytes = number as u64,
            "served" => self.config.snapshots_served_max = number,
            "part" => self.part_bytes = number,
            _ => panic!("not a setting: {key}"),
        }
    }

    fn start(&mut self, name: &str) {
        let replica = Replica::new(origin(name), self.config.clone());
        let toy = Toy::new(self.part_bytes);
        let (logs, quarantined) = (BTreeMap::new(), BTreeSet::new());
        self.nodes.insert(name.into(), Node { replica, toy, logs, quarantined });
    }

    /// A node comes back from its store, as somebody new.
    fn restart(&mut self, old: &str, new: &str) {
        let Node { mut toy, logs, quarantined, .. } = self.take(old);
        toy.ages.values_mut().for_each(|age| *age = gossip::replication::AGE_UNKNOWN);
        let heads = toy.content().unwrap();
        let lanes = logs.clone().into_iter().map(|(id, (first, log))| (id, first, log));
        let mut replica = Replica::resume(origin(new), self.config.clone(), heads, lanes);
        replica.keep_quarantined(quarantined.clone());
        self.nodes.insert(new.into(), Node { replica, toy, logs, quarantined });
    }

    /// The task that owned a node's replica panicked: another goes on over the store, as the same origin.
    fn revive(&mut self, name: &str) {
        let Node { toy, logs, quarantined, .. } = self.take(name);
        let heads = toy.content().unwrap();
        let lanes = logs.clone().into_iter().map(|(id, (first, log))| (id, first, log));
        let mut replica = Replica::revive(origin(name), self.config.clone(), heads, lanes);
        replica.keep_quarantined(quarantined.clone());
        self.nodes.insert(name.into(), Node { replica, toy, logs, quarantined });
    }

    fn crash(&mut self, name: &str) {
        self.take(name);
    }

    fn take(&mut self, name: &str) -> Node {
        let peers: Vec<String> = self.nodes.keys().filter(|n| *n != name).cloned().collect();
        for peer in peers {
            self.down(name, &peer);
        }
        self.nodes.remove(name).unwrap()
    }

    fn up(&mut self, a: &str, b: &str, rtt: Duration) {
        for (here, there) in [(a, b), (b, a)] {
            self.links.insert((here.into(), there.into()), rtt);
            let (peer, node) = (origin(there), node_id(there));
            self.input(here, Input::PeerUp { peer, node, rtt });
        }
    }

    fn down(&mut self, a: &str, b: &str) {
        for (here, there) in [(a, b), (b, a)] {
            if self.links.remove(&(here.into(), there.into())).is_some() {
                self.queue.retain(|l| (l.from.as_str(), l.to.as_str()) != (here, there));
                self.input(here, Input::PeerDown { peer: origin(there) });
            }
        }
    }

    fn write(&mut self, name: &str, lane: Lane, entries: &[&str]) {
        for text in entries {
            let now = self.now;
            let entry = Bytes::from(text.to_string());
            let node = self.node(name);
            let id = LaneId { origin: node.replica.me(), lane };
            let seq = node.replica.heads().get(&id) + 1;
            node.toy.put(id, seq, &entry);
            node.toy.ages.insert((id, seq), Duration::ZERO);
            node.logs.entry(id).or_insert((1, Vec::new())).1.push(entry.clone());
            assert_eq!(node.replica.commit(now, lane, entry), seq);
            self.settle(name);
        }
    }

    fn forge(&mut self, to: &str, from: &str, id: &str, first: &str, entry: &str) {
        let entries = vec![Bytes::from(entry.to_string())];
        let first = first.parse().unwrap();
        let message = Message::Entries { id: lane_id(id), first, ages_ms: vec![0], entries };
        self.hear(&Letter { from: from.into(), to: to.into(), message });
    }

    /// Somebody says that the cut which it was asked for has one part and this vector.
    fn forge_cut(&mut self, to: &str, from: &str, session: u64, lanes: &[&str]) {
        let mut heads = Heads::new();
        for lane in lanes {
            let (id, head) = lane.split_once(':').unwrap();
            heads.apply(Dot::new(lane_id(id), head.parse().unwrap()));
        }
        let message = Message::SnapshotHead { session, parts: 1, heads };
        self.hear(&Letter { from: from.into(), to: to.into(), message });
    }

    /// A node starts over a store with one entry in each of so many lanes.
    fn start_over(&mut self, name: &str, lanes: usize) {
        let mut toy = Toy::new(self.part_bytes);
        let mut logs = BTreeMap::new();
        for stranger in (0x1000..).take(lanes).map(Origin) {
            let (id, entry) = (LaneId::bulk(stranger), Bytes::from("one"));
            toy.put(id, 1, &entry);
            logs.insert(id, (1, vec![entry]));
        }
        let heads = toy.content().unwrap();
        let lanes = logs.clone().into_iter().map(|(id, (first, log))| (id, first, log));
        let replica = Replica::resume(origin(name), self.config.clone(), heads, lanes);
        self.nodes.insert(name.into(), Node { replica, toy, logs, quarantined: BTreeSet::new() });
    }

    /// What waits for delivery on a way is no snapshot any more.
    fn garble(&mut self, from: &str, to: &str) {
        for letter in self.queue.iter_mut().filter(|l| l.from == from && l.to == to) {
            if let Message::SnapshotPart { bytes, .. } = &mut letter.message {
                *bytes = Bytes::from(vec![0xff; bytes.len()]);
            }
        }
    }

    fn await_receipt(&mut self, name: &str, ticket: u64, lane: &str, seq: &str, level: &str) {
        let level = match level {
            "local" => AckLevel::Local,
            "peer" => AckLevel::Peer,
            "majority" => AckLevel::Majority,
            _ => panic!("not a level: {level}"),
        };
        let now = self.now;
        let seq = seq.parse().unwrap();
        let waits = self.node(name).replica.await_receipt(now, ticket, lane_of(lane), seq, level);
        if !waits {
            writeln!(self.said, "{name} has no room for receipt {ticket}").unwrap();
        }
        self.settle(name);
    }

    fn enrol(&mut self, name: &str, state: &str, nodes: &str) {
        let state = match state {
            "exempt" => EnrolmentState::Exempt { seq: 0 },
            seq => EnrolmentState::Needs { seq: seq.parse().unwrap() },
        };
        let origins = |name| (node_id(name), BTreeSet::from([origin(name)]));
        let nodes = nodes.split(',').map(origins).collect();
        self.node(name).replica.set_enrolled(nodes, state);
        self.settle(name);
    }

    fn deliver(&mut self, which: impl Fn(&Letter) -> bool) {
        while let Some(at) = self.queue.iter().position(&which) {
            let letter = self.queue.remove(at).unwrap();
            self.hear(&letter);
        }
    }

    fn drop(&mut self, from: &str, to: &str) {
        let lost: (VecDeque<Letter>, _) =
            self.queue.drain(..).partition(|l| l.from == from && l.to == to);
        let (lost, kept) = lost;
        self.queue = kept;
        for letter in lost {
            self.say(&letter.message, &format!("lost from {from} to {to}: {}", letter.message));
        }
    }

    /// Lets time pass; with `delivering`, everything said is heard at once.
    fn wait(&mut self, span: Duration, delivering: bool) {
        let end = self.now + span;
        loop {
            if delivering {
                self.deliver(|_| true);
            }
            let wakes = self.nodes.iter().filter_map(|(n, d)| Some((d.replica.poll_timeout()?, n)));
            let Some((at, name)) = wakes.min().filter(|(at, _)| *at <= end) else { break };
            let name = name.clone();
            self.now = self.now.max(at);
            self.input(&name, Input::Timeout);
        }
        self.now = end;
    }

    fn describe(&mut self, name: &str) {
        let toy = &self.nodes[name].toy;
        for (id, entries) in &toy.lanes {
            let texts: Vec<_> = entries.values().map(|e| String::from_utf8_lossy(e)).collect();
            let age = |(of, seq): &(LaneId, u64)| (of == id).then_some(*seq);
            let ages = toy.ages.iter().filter(|(key, _)| age(key).is_some());
            let ages: Vec<u128> = ages.map(|(_, age)| age.as_millis()).collect();
            writeln!(self.said, "{id:?} {} ages {ages:?} ms", texts.join(" ")).unwrap();
        }
    }

    fn describe_counts(&mut self, name: &str) {
        let stats = *self.nodes[name].replica.stats();
        let counts = [
            ("entries without room", stats.stash_full),
            ("snapshots failed", stats.snapshots_failed),
            ("snapshots barred", stats.snapshots_barred),
        ];
        for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            writeln!(self.said, "{what}: {count}").unwrap();
        }
    }

    fn hear(&mut self, letter: &Letter) {
        let Letter { from, to, message } = letter;
        self.say(message, &format!("{} {to} hears {from}: {message}", stamp(self.now)));
        let message = Message::decode(&message.encode()).unwrap();
        self.input(to, Input::Message { from: origin(from), message });
    }

    fn input(&mut self, name: &str, input: Input) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(name) else { return };
        node.replica.handle_input(now, input, &mut node.toy);
        node.replica.check_rests(now);
        self.settle(name);
    }

    fn settle(&mut self, name: &str) {
        while let Some(output) = self.node(name).replica.poll_output() {
            match output {
                Output::Send { to, message, .. } => {
                    let to = format!("{:x}", to.0);
                    self.say(
                        &message,
                        &format!("{} {name} tells {to}: {message}", stamp(self.now)),
                    );
                    self.queue.push_back(Letter { from: name.into(), to, message });
                }
                other => self.settle_here(name, &other),
            }
        }
        let node = &self.nodes[name];
        if !node.toy.lanes.values().any(|lane| lane.values().any(|entry| &entry[..] == b"CORRUPT"))
        {
            node.replica.check_invariants(&node.toy);
        }
    }

    fn settle_here(&mut self, name: &str, output: &Output) {
        writeln!(self.said, "{} {name} {output}", stamp(self.now)).unwrap();
        let Node { logs, quarantined, .. } = self.node(name);
        match output {
            Output::Quarantined { id } => {
                quarantined.insert(*id);
            }
            Output::Applied { id, seq, entry } => {
                logs.entry(*id).or_insert((*seq, Vec::new())).1.push(entry.clone());
            }
            Output::Restored { heads, .. } => {
                for (id, head) in &heads.dots {
                    logs.insert(*id, (head + 1, Vec::new()));
                }
            }
            _ => {}
        }
    }

    fn say(&mut self, message: &Message, text: &str) {
        if !(self.heads_hidden && matches!(message, Message::Heads { .. })) {
            writeln!(self.said, "{text}").unwrap();
        }
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(name).unwrap_or_else(|| panic!("no node {name}"))
    }
}

fn stamp(now: Mono) -> String {
    format!("{:>4}", now.as_millis())
}

fn origin(name: &str) -> Origin {
    Origin(u64::from_str_radix(name, 16).unwrap())
}

fn node_id(name: &str) -> NodeId {
    NodeId(origin(name).0)
}

fn millis(text: &str) -> Duration {
    Duration::from_millis(text.trim_end_matches("ms").parse().unwrap())
}

fn lane_of(text: &str) -> Lane {
    match text {
        "control" => Lane::Control,
        "bulk" => Lane::Bulk,
        _ => panic!("not a lane: {text}"),
    }
}

fn lane_id(text: &str) -> LaneId {
    let (name, lane) = text.split_once('/').unwrap();
    LaneId { origin: origin(name), lane: lane_of(lane) }
}
