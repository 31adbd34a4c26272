//! Over real sockets: the accept loop, its cap, and clients that come and go.

use crate::client::{Client, PINGREQ};
use crate::players::FakePlayers;
use async_trait::async_trait;
use node::edge::{Accept, Accepted, Edge, Limits, Spawn, TcpAccept, accept_players};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The runtime's own spawner.
pub struct Runtime;

impl Spawn for Runtime {
    fn spawn(&self, _name: &'static str, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }
}

/// An edge on a free port of this machine.
pub fn listen(players: &Arc<FakePlayers>, limits: Limits) -> (SocketAddr, Edge) {
    let accept = TcpAccept::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = accept.local_address().unwrap();
    let edge = Edge::new(Arc::clone(players) as _, limits);
    tokio::spawn(accept_players(Box::new(accept), edge.clone(), Arc::new(Runtime)));
    (address, edge)
}

async fn dial(address: SocketAddr, version: u8) -> Client<TcpStream> {
    Client::connect(TcpStream::connect(address).await.unwrap(), version).await
}

#[tokio::test]
async fn players_join_answer_and_watch_over_tcp() {
    let players = FakePlayers::new();
    players.show("lobby");
    let (address, edge) = listen(&players, Limits::default());
    let mut clients = Vec::new();
    for number in 0..50 {
        let mut client = dial(address, 4 + number % 2).await;
        client.subscribe("live/482913").await;
        assert_eq!(client.message().await, "lobby");
        clients.push(client);
    }
    assert_eq!(edge.counters().sessions_active(), 50);
    players.show("open");
    for client in &mut clients {
        assert_eq!(client.message().await, "open");
        client.publish(1, 1, "answer/2a", b"{}").await;
        assert_eq!(client.read().await.unwrap().body[..2], [0, 1]);
    }
    assert_eq!(players.topics().len(), 50);
    // What the kernel has measured of each line, whatever a client says.
    let lines = players.lines.lock().unwrap();
    assert_eq!(lines.len(), 50);
    assert!(lines.iter().all(|line| !line.is_zero()) || !cfg!(target_os = "linux"), "{lines:?}");
}

#[tokio::test]
async fn an_oversized_packet_is_told_over_tcp_too() {
    let (address, _edge) = listen(&FakePlayers::new(), Limits::default());
    let mut client = dial(address, 5).await;
    // All of it is on its way when the answer comes: an abrupt close would destroy the answer.
    let mut packet = vec![0x30, 0x80, 0x80, 0x10];
    packet.resize(200_000, 0);
    client.send(&packet).await;
    let disconnect = client.read().await.unwrap();
    assert_eq!((disconnect.first, disconnect.body[0]), (0xe0, 0x95));
    assert_eq!(client.read().await, None);
}

#[tokio::test]
async fn connections_beyond_the_cap_are_closed_and_counted() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let (address, edge) = listen(&FakePlayers::new(), limits);
    let first = dial(address, 5).await;
    let mut second = dial(address, 5).await;
    let mut third = TcpStream::connect(address).await.unwrap();
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0);
    let refused = edge.counters().readings().into_iter();
    let refused = refused.filter(|r| r.name == "starling_mqtt_connections_refused_total");
    assert_eq!(refused.map(|reading| reading.value).sum::<u64>(), 1);
    second.send(&PINGREQ).await;
    assert_eq!(second.read().await.unwrap().first, 0xd0);
    drop(first);
    // A place is given back once the task of the first has ended.
    while edge.admit().is_none() {
        tokio::task::yield_now().await;
    }
    dial(address, 5).await;
}

/// Fails so often, then yields connections in memory, then never anything.
struct Flaky {
    failures: u32,
    streams: VecDeque<tokio::io::DuplexStream>,
}

#[async_trait]
impl Accept for Flaky {
    async fn accept(&mut self) -> io::Result<Accepted> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        match self.streams.pop_front() {
            Some(stream) => Ok((Box::new(stream), SocketAddr::from(([127, 0, 0, 1], 9)).into())),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn exhausted_file_descriptors_are_survived_with_pauses() {
    let (ours, theirs) = tokio::io::duplex(1024);
    let accept = Flaky { failures: 10, streams: [theirs].into() };
    let edge = Edge::new(FakePlayers::new(), Limits::default());
    let start = Instant::now();
    tokio::spawn(accept_players(Box::new(accept), edge.clone(), Arc::new(Runtime)));
    Client::connect(ours, 5).await;
    let paused_ms = start.elapsed().as_millis();
    assert!((3_000..5_000).contains(&paused_ms), "10, 20, 40, ... 1000 ms: {paused_ms}");
    let failed = edge.counters().readings().into_iter();
    let failed = failed.filter(|reading| reading.name == "starling_mqtt_accepts_failed_total");
    assert_eq!(failed.map(|reading| reading.value).sum::<u64>(), 10);
}
