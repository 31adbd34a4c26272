//! A whole node whose tasks panic one after the other: everything else goes on, and what is started
//! again finds its state. The panics come in through the node's own ports.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "edge/client.rs"]
#[allow(dead_code, reason = "shared with the edge's tests")]
mod client;

use async_trait::async_trait;
use client::Client;
use crdt_state::PlayerId;
use crdt_state::engagement::Given;
use node::config::{Bound, NodeConfig, Secret};
use node::edge::{Accept, Accepted, TcpAccept};
use node::engine::{Carried, Claim, Input, Owner, Reply};
use node::env::Env;
use node::hub::replay;
use node::run::{Ground, Node, links, start};
use node::service::view::{Command, CommandRequest, Imported, InboxMessage, LiveView};
use node::store::{Opened, open_file};
use node::supervise::{BranchView, State};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Panics instead of its first connection; the second one panics when it is read.
struct Broken {
    under: TcpAccept,
    accepted: u32,
}

#[async_trait]
impl Accept for Broken {
    async fn accept(&mut self) -> io::Result<Accepted> {
        self.accepted += 1;
        assert_ne!(self.accepted, 1, "the listener panics");
        let (stream, remote) = self.under.accept().await?;
        let stream = if self.accepted == 2 { Box::new(Panicking) } else { stream };
        Ok((stream, remote))
    }
}

struct Panicking;

impl AsyncRead for Panicking {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        panic!("the connection panics")
    }
}

impl AsyncWrite for Panicking {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn node(store: Option<Opened>) -> (Node, SocketAddr) {
    let config = NodeConfig::loopback("n1", Secret::new([7; 32]));
    let (socket, peer) = gossip::network::open_socket(config.peer).unwrap();
    let under = TcpAccept::bind(config.mqtt).unwrap();
    let mqtt = under.local_address().unwrap();
    let bound = Bound { peer, http: mqtt, mqtt, https: None, mqtts: None, certificate: None };
    let ground = Ground {
        socket,
        runtime: Arc::new(quinn::TokioRuntime),
        advertise: peer,
        seeds: Vec::new(),
        links: links(&config, &bound),
        players: vec![Box::new(Broken { under, accepted: 0 })],
        store,
    };
    (start(&config, &Env::system().unwrap(), ground).await.unwrap(), mqtt)
}

fn task(node: &Node, name: &str) -> BranchView {
    let tree = node.supervisor.view();
    let found = tree.flat().into_iter().find(|(path, _)| path.contains(name));
    found.unwrap_or_else(|| panic!("no {name} in {tree:?}")).1.clone()
}

async fn wait_task(node: &Node, name: &str, wanted: impl Fn(&BranchView) -> bool) {
    let waiting = async {
        while !wanted(&task(node, name)) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{:?}", node.supervisor.view()));
}

/// The listener and the first connection panic, as these nodes make them, and others take their places.
async fn see_the_edge_restarted(node: &Node, mqtt: SocketAddr) {
    wait_task(node, "mqtt", |task| task.restarts == 1 && task.state == State::Running).await;
    let lost = TcpStream::connect(mqtt).await.unwrap();
    wait_task(node, "players", |task| task.panics == 1).await;
    drop(lost);
}

async fn show_in_lobby(node: &Node) -> Imported {
    let imported = node.hosts().import(include_str!("../shows/sample.json")).await.unwrap();
    let stage = node.hosts().events().await[0].stage;
    let lobby = CommandRequest::new(Command::Lobby, stage);
    node.hosts().command(imported.event, lobby).await.unwrap();
    imported
}

#[tokio::test]
async fn each_kind_of_task_may_panic_and_everything_else_goes_on() {
    let (node, mqtt) = node(None).await;
    see_the_edge_restarted(&node, mqtt).await;

    let imported = show_in_lobby(&node).await;
    let mut ada = Client::connect(TcpStream::connect(mqtt).await.unwrap(), 5).await;
    let live = format!("live/{}", imported.pin);
    ada.subscribe(&live).await;
    assert_eq!(live_of(&ada.message().await).players, 0);
    join(&mut ada, &imported.pin, 'a', 0).await;

    // The owner dies of a question; the next one is answered as if nothing had happened.
    let owner = node.owners.get(imported.event).unwrap();
    assert_eq!(owner.read(|_, _, _| panic!("the owner panics")).await, None::<()>);
    join(&mut ada, &imported.pin, 'b', 0).await;
    let panicked = task(&node, "events/event");
    assert_eq!((panicked.restarts, panicked.panics, panicked.state), (1, 1, State::Running));
    assert_eq!(panicked.last_panic.as_deref(), Some("the owner panics"));
    let shown = timeout(PATIENCE, async { while live_of(&ada.message().await).players < 2 {} });
    shown.await.expect("the live state goes on to the same subscribers");
    let status = node.hosts().status().await;
    assert_eq!(status.tree, node.supervisor.view());
}

/// What a shard was handed and had not judged is judged by the one that takes its place; the shards of other slots
/// notice nothing, and neither does the owner.
#[tokio::test]
async fn a_shard_may_panic_and_no_answer_but_the_one_in_its_hands_is_lost() {
    let (node, mqtt) = node(None).await;
    see_the_edge_restarted(&node, mqtt).await;
    let imported = show_in_lobby(&node).await;
    let owner = node.owners.get(imported.event).unwrap();
    let claims = players_of(&owner).await;
    let instance = open_question(&node, &imported).await;

    // The first player's shard dies, twice, and the others' live.
    let answer = |player: usize| {
        let (owner, claim) = (owner.clone(), claims[player].clone());
        async move { owner.answer(claim, instance, Given::choices(&[1]), None).await }
    };
    let before = owner.read(|core, _, _| core.digest()).await.unwrap();
    let died = |why: &'static str| owner.at_shard(claims[0].player, move || panic!("{why}"));
    let (first, own, second, others) = tokio::join!(
        died("the shard panics"),
        answer(4),
        died("the shard panics again"),
        answer(1)
    );
    assert_eq!((first, second), (None::<()>, None::<()>), "whoever waited is told at once");
    for reply in [own, others, answer(0).await, answer(2).await, answer(3).await] {
        let Some(Reply::Answered(InboxMessage::Receipt { status, choices, .. })) = reply else {
            panic!("an answer is taken: {reply:?}");
        };
        assert_eq!((&*status, &*choices), ("accepted", &[1][..]));
    }
    assert_ne!(owner.read(|core, _, _| core.digest()).await, Some(before));
    assert_eq!(owner.read(move |core, _, _| core.state().answered(instance)).await, Some(5));

    let status = node.hosts().status().await;
    let shards: Vec<_> = (0..4).map(|at| task(&node, &format!("shard {at}"))).collect();
    let restarts: Vec<u64> = shards.iter().map(|shard| shard.restarts).collect();
    assert_eq!(restarts, [2, 0, 0, 0], "{shards:?}");
    assert_eq!(shards[0].last_panic.as_deref(), Some("the shard panics again"));
    assert!(shards.iter().all(|shard| shard.state == State::Running), "{shards:?}");
    let path = format!("events/event {}", imported.event);
    let own = status.tree.flat().into_iter().find(|(found, _)| found.ends_with(&path));
    assert_eq!(own.expect("the event's owner is in the status").1.restarts, 0);
    assert_eq!(status.tree, node.supervisor.view(), "the restarts are in the status");
}

/// Five players, the first four in slots of a shard each and the last in one of the first one's.
async fn players_of(owner: &Owner) -> Vec<Claim> {
    let mut claims = Vec::new();
    let mut ids = (1..).map(PlayerId);
    for (number, shard) in [0, 1, 2, 3, 0].into_iter().enumerate() {
        let player = ids.find(|id| id.slot() % 4 == shard).expect("slots are spread");
        let (name, joined) = (format!("player {number}"), format!("player {number}"));
        let asked =
            owner.ask(move |ticket| Input::Join { ticket, player, name: joined, abuse: None });
        let Some(Reply::Joined { row, .. }) = asked.await else { panic!("{name} is let in") };
        claims.push(Claim { player, row, name });
    }
    claims
}

/// Opens the first question; returns its run.
async fn open_question(node: &Node, imported: &Imported) -> u32 {
    for command in [Command::Next, Command::Open] {
        let stage = node.hosts().events().await[0].stage;
        let request = CommandRequest::new(command, stage);
        node.hosts().command(imported.event, request).await.unwrap();
    }
    1
}

/// A player is taken in and, in the same turn, before anything of it was handed to the store, the owner
/// dies. Nothing of that change is left, nothing that was promised is lost, and the node's own lanes go
/// on where they had stopped.
#[tokio::test]
async fn an_owner_that_dies_in_a_change_is_read_back_from_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let (node, mqtt) = node(Some(open_file(folder.path()).unwrap())).await;
    see_the_edge_restarted(&node, mqtt).await;
    let imported = show_in_lobby(&node).await;
    let owner = node.owners.get(imported.event).unwrap();

    let join = |number: u128| {
        let (player, name) = (PlayerId(number), format!("player {number}"));
        owner.ask(move |ticket| Input::Join { ticket, player, name, abuse: None })
    };
    assert!(matches!(join(1).await, Some(Reply::Joined { .. })));
    let before = owner.read(|core, _, _| core.digest()).await.unwrap();
    let (taken, died) = tokio::join!(join(2), owner.ask(|_| panic!("the owner dies in a change")));
    assert_eq!((taken, died), (None, None), "whoever waited is told that nothing will come");
    let after = owner.read(|core, _, _| {
        core.check_invariants();
        core.digest()
    });
    assert_eq!(after.await, Some(before), "half a change is none");

    for number in [1, 2, 3] {
        assert!(matches!(join(number).await, Some(Reply::Joined { .. })), "{number} asks again");
    }
    let (players, digest) =
        owner.read(|core, _, _| (core.state().players.count(), core.digest())).await.unwrap();
    // The first one's row rests on this disk only, so it was written down again: it is the same row.
    assert_eq!(players, 3);
    let kept = node.store.read(imported.event).await.unwrap();
    let mut carried = Carried::default();
    replay(kept, &mut carried, Duration::ZERO);
    assert_eq!(carried.state.digest(), digest, "the store has every number once, and no gap");
}

/// Joins a player and reads its receipt; other messages may come before it.
async fn join(client: &mut Client<TcpStream>, pin: &str, letter: char, reason: u8) {
    let player = letter.to_string().repeat(32);
    let payload = format!(r#"{{"pin":"{pin}","player":"{player}","name":"{letter}"}}"#);
    let slot = player.parse::<PlayerId>().expect("an id of letters a to f").slot();
    let topic = format!("connect/{slot:02x}");
    client.publish(1, letter as u16, &topic, payload.as_bytes()).await;
    let waiting = async {
        loop {
            let packet = client.read().await.expect("the connection goes on");
            if packet.first == 0x40 {
                return packet;
            }
        }
    };
    let puback = timeout(PATIENCE, waiting).await.expect("a receipt");
    assert_eq!(puback.body[2], reason, "{puback:?}");
}

fn live_of(message: &str) -> LiveView {
    serde_json::from_str(message).unwrap()
}

/// Generous: the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
