//! Access rules at the edge: who is told no, and how.

use crate::client::{Client, connect, subscribe};
use crate::players::FakePlayers;
use node::edge::{Acl, Edge, Limits, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{DuplexStream, duplex};

const RULES: &str = "
allow client:scribe both      #
deny  all           publish   react/+
deny  guest         subscribe live/#
";

fn edge(players: &Arc<FakePlayers>) -> Edge {
    let acl: Acl = RULES.parse().unwrap();
    Edge::new(Arc::clone(players) as _, Limits::default()).with_acl(acl)
}

async fn client(edge: &Edge, version: u8, client_id: &str, clean: bool) -> Client<DuplexStream> {
    let (io, theirs) = duplex(64 * 1024);
    let edge = edge.clone();
    let remote = SocketAddr::from(([127, 0, 0, 1], 9));
    tokio::spawn(async move { serve(theirs, remote, &edge).await });
    let mut client = Client::new(io, version);
    let mut bytes = connect(version, client_id, 30, &[]);
    bytes[9] = if clean { 2 } else { 0 };
    client.send(&bytes).await;
    assert_eq!(client.read().await.unwrap().first, 0x20);
    client
}

fn denied(edge: &Edge, what: &str) -> u64 {
    let readings = edge.counters().readings();
    let found = readings.iter().find(|reading| {
        reading.name == "starling_mqtt_denied_total" && reading.labels == [("what", what)]
    });
    found.expect("a known series").value
}

#[tokio::test(start_paused = true)]
async fn what_an_access_rule_denies_is_refused_in_words_and_reaches_nobody() {
    let players = FakePlayers::new();
    let edge = edge(&players);
    let mut newer = client(&edge, 5, "c1", true).await;
    newer.publish(1, 9, "react/00", b"x").await;
    let puback = newer.read().await.unwrap();
    assert_eq!((puback.first, &puback.body[..3]), (0x40, &[0, 9, 0x87][..]));
    let said = String::from_utf8_lossy(&puback.body).into_owned();
    assert!(said.contains("not_permitted") && said.contains("line 3"), "{said}");
    newer.send(&subscribe(5, 7, &["live/482913", "inbox/ada"])).await;
    let suback = newer.read().await.unwrap();
    assert!(suback.body.ends_with(&[0x87, 0]), "one filter is denied, one granted: {suback:?}");
    assert!(String::from_utf8_lossy(&suback.body).contains("line 4"), "{suback:?}");
    newer.publish(1, 10, "answer/00", b"x").await;
    assert_eq!(newer.read().await.unwrap().body[..3], [0, 10, 0]);
    assert_eq!(players.topics(), ["answer/00"]);
    assert_eq!((denied(&edge, "publish"), denied(&edge, "subscribe")), (1, 1));

    let mut older = client(&edge, 4, "c2", true).await;
    assert_eq!(older.subscribe("live/482913").await.body[2..], [0x80]);
    let mut scribe = client(&edge, 5, "scribe", true).await;
    scribe.publish(1, 11, "react/00", b"x").await;
    assert_eq!(scribe.read().await.unwrap().body[..3], [0, 11, 0]);
    assert_eq!(scribe.subscribe("live/482913").await.body[3..], [0]);
}

#[tokio::test(start_paused = true)]
async fn a_session_brings_nothing_that_an_access_rule_denies() {
    let players = FakePlayers::new();
    players.show("state");
    *players.session.lock().unwrap() = vec!["live/482913".to_owned(), "inbox/ada".to_owned()];
    let edge = edge(&players);
    let mut client = client(&edge, 4, "ada", false).await;
    client.publish(1, 9, "answer/00", b"x").await;
    assert_eq!(client.read().await.unwrap().first, 0x40, "the live state does not come");
    assert_eq!(denied(&edge, "subscribe"), 1);
}
