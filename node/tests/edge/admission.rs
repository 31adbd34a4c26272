//! Rates and storms: who is let in, who is told to come later, and that those who are in notice nothing.

use crate::client::{Client, connect};
use crate::players::FakePlayers;
use node::edge::{Edge, Limits, Rate, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{DuplexStream, duplex};
use tokio::time::Instant;

/// The client's end of a served stream.
fn dial(edge: &Edge) -> DuplexStream {
    let (io, theirs) = duplex(4096);
    let (edge, remote) = (edge.clone(), SocketAddr::from(([127, 0, 0, 1], 9)));
    tokio::spawn(async move { serve(theirs, remote, &edge).await });
    io
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_let_in_at_its_rate_and_the_others_are_told_when_to_come() {
    let limits = Limits { connects: Rate::per_second(3), ..Limits::default() };
    let edge = Edge::new(FakePlayers::new(), limits);
    let mut waits = Vec::new();
    for number in 0..6_u8 {
        let version = 5 - number / 5;
        let mut client = Client::new(dial(&edge), version);
        client.send(&connect(version, &format!("c{number}"), 30, &[])).await;
        let connack = client.read().await.unwrap();
        match (version, number) {
            (_, 0..3) => assert_eq!(connack.body[1], 0),
            (4, _) => assert_eq!(connack.body[..], [0, 3]),
            _ => {
                assert_eq!(connack.body[1], 0x9f);
                let text = String::from_utf8_lossy(&connack.body[3..]).into_owned();
                waits.push(text.split_once("try again in ").unwrap().1.to_owned());
            }
        }
    }
    assert!(waits.len() == 2 && waits[0] != waits[1], "each at another time: {waits:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    Client::connect(dial(&edge), 5).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_published_beyond_the_rate_is_refused_with_its_reason() {
    let players = FakePlayers::new();
    let limits = Limits { publishes: Rate::per_second(2), ..Limits::default() };
    let edge = Edge::new(Arc::clone(&players) as _, limits);
    let mut client = Client::connect(dial(&edge), 5).await;
    for (id, reason) in [(1, 0), (2, 0), (3, 0x97)] {
        client.publish(1, id, "answer/2a", b"x").await;
        let puback = client.read().await.unwrap();
        assert_eq!(puback.body[..3], [0, id as u8, reason]);
        assert_eq!(String::from_utf8_lossy(&puback.body).contains("overloaded"), reason != 0);
    }
    assert_eq!(players.topics().len(), 2);
}

/// A thousand come back at once, each with a session to be looked for: the node is asked for as many as the rate
/// lets in, and whoever is in is answered in between, round for round.
#[tokio::test(start_paused = true)]
async fn those_who_are_in_are_served_while_a_storm_is_turned_away() {
    const ROUNDS: usize = 50;
    const COME: usize = 20;
    const LET_IN: u32 = 10;
    let players = FakePlayers::new();
    let limits = Limits { connects: Rate::per_second(LET_IN), ..Limits::default() };
    let edge = Edge::new(Arc::clone(&players) as _, limits);
    let begun = Instant::now();
    let mut inside = Client::connect(dial(&edge), 5).await;
    players.show("0");
    inside.subscribe("live/482913").await;
    assert_eq!(inside.message().await, "0");
    let mut answered = [0, 0];
    for round in 1..=ROUNDS {
        let mut storm = Vec::new();
        for number in 0..COME {
            let mut client = Client::new(dial(&edge), 5);
            let mut bytes = connect(5, &format!("{round}-{number}"), 30, &[]);
            bytes[9] = 0;
            client.send(&bytes).await;
            storm.push(client);
        }
        inside.publish(1, 9, "answer/2a", b"x").await;
        players.show(round.to_string());
        // Before any of those has read a word.
        let mut came = [inside.read().await.unwrap(), inside.read().await.unwrap()];
        came.sort_by_key(|packet| packet.first);
        assert!(came[0].first == 0x30 && came[0].body.ends_with(round.to_string().as_bytes()));
        assert_eq!((came[1].first, &came[1].body[..3]), (0x40, &[0, 9, 0][..]), "round {round}");
        for client in &mut storm {
            let connack = client.read().await.expect("each has its answer").body;
            assert!(matches!(connack[1], 0 | 0x9f), "{connack:02x?}");
            answered[usize::from(connack[1] != 0)] += 1;
        }
    }
    assert_eq!(begun.elapsed(), Duration::ZERO, "nobody had to wait");
    let let_in = LET_IN as usize - 1;
    assert_eq!(answered, [let_in, ROUNDS * COME - let_in], "let in, and told to come later");
    assert_eq!(
        players.sessions_asked.load(Ordering::Relaxed),
        let_in,
        "nobody else cost a question"
    );
    assert_eq!(players.topics().len(), ROUNDS);
}
