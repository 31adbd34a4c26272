//! A no is heard: in words where the version has them, and in the inbox where an acknowledgement has none.

use crate::client::{Client, PINGREQ, connect, subscribe};
use crate::players::FakePlayers;
use node::edge::{Acl, Edge, Limits, Rate, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{DuplexStream, duplex};

type TestClient = Client<DuplexStream>;

fn edge(players: &Arc<FakePlayers>, rules: &str) -> Edge {
    let acl: Acl = rules.parse().unwrap();
    Edge::new(Arc::clone(players) as _, Limits::default()).with_acl(acl)
}

async fn welcomed(edge: &Edge, version: u8, properties: &[u8]) -> TestClient {
    let (io, theirs) = duplex(64 * 1024);
    let (edge, remote) = (edge.clone(), SocketAddr::from(([127, 0, 0, 1], 9)));
    tokio::spawn(async move { serve(theirs, remote, &edge).await });
    let mut client = Client::new(io, version);
    client.send(&connect(version, "ada", 30, properties)).await;
    assert_eq!(client.read().await.unwrap().body[1], 0);
    client
}

/// What an inbox that the client holds is told of one publish, if anything.
async fn told(client: &mut TestClient, qos: u8, topic: &str, payload: &str) -> Option<String> {
    client.publish(qos, 9, topic, payload.as_bytes()).await;
    let mut said = None;
    // What comes by a feed may follow the first answer, and the end of QoS 2 the second.
    for _ in 0..3 {
        client.send(&PINGREQ).await;
        loop {
            let packet = client.read().await.expect("the connection goes on");
            match packet.first {
                0xd0 => break,
                0x50 => client.send(&[0x62, 2, 0, 9]).await,
                0x40 | 0x70 => {}
                0x30 => said = Some(String::from_utf8_lossy(&packet.body).into_owned()),
                _ => panic!("{packet:?}"),
            }
        }
    }
    said.map(|it| it.split_once("inbox/ada").unwrap().1.trim_start_matches('\0').to_owned())
}

#[tokio::test(start_paused = true)]
async fn what_an_acknowledgement_cannot_say_comes_to_the_inbox() {
    let players = FakePlayers::new();
    let edge = edge(&players, "deny all publish answer/0f");
    for (version, qos, is_told) in
        [(4, 0, true), (4, 1, true), (4, 2, true), (5, 0, true), (5, 1, false)]
    {
        let mut client = welcomed(&edge, version, &[]).await;
        assert_eq!(told(&mut client, qos, "elsewhere", "x").await, None, "without an inbox");
        client.subscribe("inbox/ada").await;
        for (topic, payload, said) in [
            // The edge's own no goes with the payload, which may tell whose it is.
            ("answer/0f", "mine", "not_permitted answer/0f mine"),
            ("elsewhere", "x", "topic_unknown elsewhere "),
            ("answer/2a", "{", "payload_malformed answer/2a "),
        ] {
            let said = Some(said.to_owned()).filter(|_| is_told);
            let heard = told(&mut client, qos, topic, payload).await;
            assert_eq!(heard, said, "version {version}, QoS {qos}");
        }
        // Whose that is was clear: the node has told them itself.
        assert_eq!(told(&mut client, qos, "answer/2a", "late").await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_beyond_the_nodes_rate_is_refused_in_the_inbox_too() {
    let players = FakePlayers::new();
    let limits = Limits { publishes: Rate::per_second(1), ..Limits::default() };
    let edge = Edge::new(Arc::clone(&players) as _, limits);
    let mut client = welcomed(&edge, 4, &[]).await;
    client.subscribe("inbox/ada").await;
    assert_eq!(told(&mut client, 1, "answer/2a", "one").await, None);
    let heard = told(&mut client, 1, "answer/2a", "two").await;
    assert_eq!(heard.as_deref(), Some("overloaded answer/2a two"));
    assert_eq!(players.payloads(), ["one"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_publish_is_told_why_in_words() {
    let players = FakePlayers::new();
    let edge = edge(&players, "deny all publish answer/0f");
    let mut client = welcomed(&edge, 5, &[]).await;
    for (topic, payload, reason, words) in [
        ("elsewhere", "x", 0x90, "topic_unknown: not now; later"),
        ("answer/2a", "late", 0x83, "late: not now; later"),
        ("answer/0f", "x", 0x87, "not_permitted: "),
    ] {
        for qos in [1, 2] {
            client.publish(qos, 9, topic, payload.as_bytes()).await;
            let body = client.read().await.unwrap().body;
            assert_eq!(body[..3], [0, 9, reason], "{topic}");
            // After a length of one or two bytes.
            let at = if body[3] < 128 { 4 } else { 5 };
            assert_eq!(body[at], 0x1f, "the reason string: {body:?}");
            let text = String::from_utf8_lossy(&body[at + 3..]).into_owned();
            assert!(text.starts_with(words) && text.contains("receipt"), "{text}");
        }
    }
    client.publish(1, 9, "answer/2a", b"x").await;
    assert_eq!(client.read().await.unwrap().body[4], 0x26, "a yes has no words");
    let mut silent = welcomed(&edge, 5, &[0x17, 0]).await;
    silent.publish(1, 9, "elsewhere", b"x").await;
    assert_eq!(silent.read().await.unwrap().body[..], [0, 9, 0x90]);
}

#[tokio::test(start_paused = true)]
async fn of_many_filters_the_words_say_which_one_is_refused() {
    let players = FakePlayers::new();
    let edge = edge(&players, "");
    let mut client = welcomed(&edge, 5, &[]).await;
    client.send(&subscribe(5, 7, &["inbox/ada", "live/+", "nowhere"])).await;
    let body = client.read().await.unwrap().body;
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(text.contains("live/+: wildcards are not supported"), "{text}");
    let body = client.subscribe("live/+").await.body;
    assert_eq!(body[6..6 + 9], b"wildcards"[..], "of one it is clear");
}
