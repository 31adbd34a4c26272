//! Sessions of players: what is found again, whatever was said before, and how long they last.

use crate::client::{Client, DISCONNECT, Packet, connect, packet, string, unsubscribe};
use crate::players::FakePlayers;
use node::edge::guard::Fault;
use node::edge::{Closed, Edge, Limits, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;

type Served = (Client<DuplexStream>, JoinHandle<Closed>);

fn dial(edge: &Edge, version: u8) -> Served {
    let (io, theirs) = duplex(4096);
    let (edge, remote) = (edge.clone(), SocketAddr::from(([127, 0, 0, 1], 9)));
    let closed = tokio::spawn(async move { serve(theirs, remote, &edge).await });
    (Client::new(io, version), closed)
}

/// A session of MQTT 5 that lasts for as many seconds; in MQTT 3.1.1 it says nothing.
fn expiry(seconds: u8) -> [u8; 5] {
    [0x11, 0, 0, 0, seconds]
}

/// A session is what can be derived from the show's state (there is no other): it is there for whoever does not start
/// afresh, whatever the connection before said of it.
#[tokio::test(start_paused = true)]
async fn a_session_is_derived_anew_whatever_was_said_of_the_one_before() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        players.show("state");
        *players.session.lock().unwrap() = vec!["live/482913".to_owned(), "inbox/ada".to_owned()];
        let edge = Edge::new(Arc::clone(&players) as _, Limits::default());
        let comes = async |clean: bool, seconds: u8| {
            let (mut client, closed) = dial(&edge, version);
            let mut bytes = connect(version, "ada", 30, &expiry(seconds));
            bytes[9] = if clean { 2 } else { 0 };
            client.send(&bytes).await;
            let connack = client.read().await.unwrap();
            assert_eq!((connack.first, connack.body[0]), (0x20, u8::from(!clean)), "present");
            (client, closed)
        };
        let goes = async |(mut client, closed): Served| {
            client.send(&DISCONNECT).await;
            assert_eq!(client.read().await, None, "nothing more has come");
            closed.await.unwrap();
        };
        let state = async |client: &mut Client<DuplexStream>| {
            let Packet { first, body } = client.read().await.unwrap();
            assert!(first == 0x33 && body.ends_with(b"state"), "QoS 1, retained: {body:?}");
        };
        // Not kept, by MQTT 5's word.
        let (mut client, closed) = comes(false, 0).await;
        state(&mut client).await;
        goes((client, closed)).await;
        // Found all the same; and given up, filter by filter.
        let (mut client, closed) = comes(false, 60).await;
        state(&mut client).await;
        client.send(&unsubscribe(version, 7, &["live/482913", "inbox/ada"])).await;
        assert_eq!(client.read().await.unwrap().first, 0xb0);
        goes((client, closed)).await;
        // A clean start has none of it while it lasts.
        goes(comes(true, 0).await).await;
        let (mut client, closed) = comes(false, 60).await;
        state(&mut client).await;
        goes((client, closed)).await;
    }
}

/// Comes with a will after a delay of ten seconds, and a session.
async fn with_will(edge: &Edge, expiry_s: u8) -> Served {
    let (mut client, closed) = dial(edge, 5);
    let mut body = b"\0\x04MQTT\x05\x06\0\x1e\x05".to_vec();
    body.extend(expiry(expiry_s));
    body.extend([&string("ada")[..], &[5, 0x18, 0, 0, 0, 10]].concat());
    body.extend([string("answer/2a"), string("gone")].concat());
    client.send(&packet(0x10, &body)).await;
    assert_eq!(client.read().await.unwrap().first, 0x20);
    (client, closed)
}

/// MQTT 5.0, section 3.14.2.2.2.
#[tokio::test(start_paused = true)]
async fn a_disconnect_makes_no_session_of_none_and_may_shorten_one() {
    let goodbye =
        |reason: u8, expiry_s| packet(0xe0, &[&[reason, 5][..], &expiry(expiry_s)].concat());
    let players = FakePlayers::new();
    let edge = Edge::new(Arc::clone(&players) as _, Limits::default());
    let (mut client, closed) = with_will(&edge, 0).await;
    client.send(&goodbye(0, 16)).await;
    let answer = client.read().await.unwrap();
    assert_eq!((answer.first, answer.body[0]), (0xe0, 0x82), "it is no goodbye");
    drop(client);
    assert_eq!(closed.await.unwrap(), Closed::Faulty(Fault::Protocol(0x82)));
    assert_eq!(players.payloads(), ["gone"], "so its will is published");

    for (expiry_s, said_s) in [(0, 0), (60, 16), (60, 0)] {
        let (mut client, closed) = with_will(&edge, expiry_s).await;
        client.send(&goodbye(0, said_s)).await;
        assert_eq!(client.read().await, None);
        drop(client);
        assert_eq!(closed.await.unwrap(), Closed::Disconnected);
    }
    assert_eq!(players.payloads().len(), 1, "a goodbye takes the will along");

    // With the session's end as the latest moment for a will.
    for (said_s, waits_s) in [(60, 10), (3, 3), (0, 0)] {
        let (mut client, closed) = with_will(&edge, 60).await;
        let gone_at = Instant::now();
        client.send(&goodbye(4, said_s)).await;
        drop(client);
        assert_eq!(closed.await.unwrap(), Closed::Gone);
        assert_eq!(gone_at.elapsed(), Duration::from_secs(waits_s));
    }
    assert_eq!(players.payloads().len(), 4);
}
