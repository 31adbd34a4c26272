//! One client on one stream in memory, on virtual time.

use crate::client::{
    Client, DISCONNECT, PINGREQ, connect, packet, publish, string, subscribe, unsubscribe,
};
use crate::players::{FakePlayers, RECEIPT};
use futures_util::SinkExt as _;
use node::edge::guard::Fault;
use node::edge::{Closed, Counters, Edge, Elsewhere, Limits, Rate, Transport, serve};
use node::service::Frame;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// A served stream: its client's end and how it closed.
struct Served {
    io: DuplexStream,
    closed: JoinHandle<Closed>,
    counters: Arc<Counters>,
}

fn served(players: &Arc<FakePlayers>, pipe_bytes: usize) -> Served {
    served_by(&Edge::new(Arc::clone(players) as _, Limits::default()), pipe_bytes)
}

fn served_by(edge: &Edge, pipe_bytes: usize) -> Served {
    let (io, theirs) = duplex(pipe_bytes);
    let (edge, counters) = (edge.clone(), Arc::clone(edge.counters()));
    let remote = SocketAddr::from(([127, 0, 0, 1], 9));
    let closed = tokio::spawn(async move { serve(theirs, remote, &edge).await });
    Served { io, closed, counters }
}

type TestClient = Client<DuplexStream>;

async fn connected(players: &Arc<FakePlayers>, version: u8) -> (TestClient, JoinHandle<Closed>) {
    let Served { io, closed, .. } = served(players, 64 * 1024);
    (Client::connect(io, version).await, closed)
}

/// The value of the first series with that name and label.
fn counted(counters: &Counters, name: &str, label: &str) -> u64 {
    let readings = counters.readings();
    let found = readings.iter().find(|reading| {
        reading.name == name && reading.labels.iter().any(|(_, value)| *value == label)
    });
    found.expect("a known series").value
}

#[tokio::test(start_paused = true)]
async fn the_connack_states_what_is_offered() {
    let served = served(&FakePlayers::new(), 1024);
    let mut client = Client::new(served.io, 5);
    client.send(&connect(5, "", 0, &[])).await;
    let connack = client.read().await.unwrap();
    let properties = connack.body[3..].to_vec();
    for expected in [
        &[0x21, 0, 16][..],
        &[0x22, 0, 4],
        &[0x28, 0],
        &[0x29, 0],
        &[0x2a, 0],
        &[0x27, 0, 1, 0, 0],
        &[0x13, 0, 60],
        b"\x12\0\x19player-0000000000000000-0",
    ] {
        let found = properties.windows(expected.len()).any(|window| window == expected);
        assert!(found, "{expected:02x?} in {properties:02x?}");
    }
    assert_eq!(served.counters.sessions_active(), 1);
    client.send(&DISCONNECT).await;
    assert_eq!(served.closed.await.unwrap(), Closed::Disconnected);
    assert_eq!(served.counters.sessions_active(), 0);
    assert_eq!(counted(&served.counters, "starling_mqtt_closed_total", "disconnected"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_publish_is_acknowledged_with_its_receipt() {
    let players = FakePlayers::new();
    let (mut client, _closed) = connected(&players, 5).await;
    client.publish(1, 77, "answer/2a", b"{\"choice\":2}").await;
    let puback = client.read().await.unwrap();
    assert_eq!((puback.first, &puback.body[..3]), (0x40, &[0, 77, 0][..]));
    let property =
        [b"\x26\0\x07receipt\0", &[RECEIPT.len() as u8][..], RECEIPT.as_bytes()].concat();
    assert_eq!(&puback.body[4..], property);
    assert_eq!(players.topics(), ["answer/2a"]);

    let (mut client, _closed) = connected(&players, 4).await;
    client.publish(1, 78, "answer/2a", b"{\"choice\":2}").await;
    let puback = client.read().await.unwrap();
    assert_eq!((puback.first, &puback.body[..]), (0x40, &[0, 78][..]));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_its_reason_in_mqtt_5_and_none_before() {
    let players = FakePlayers::new();
    let refusals: [(&str, &[u8], u8); 5] = [
        ("answer/2a", b"late", 0x83),
        ("answer/2a", b"locked", 0x87),
        ("answer/2a", b"flooded", 0x97),
        ("answer/2a", b"{", 0x99),
        ("elsewhere", b"x", 0x90),
    ];
    let (mut newer, _closed) = connected(&players, 5).await;
    let (mut older, _closed) = connected(&players, 4).await;
    for (topic, payload, reason) in refusals {
        newer.publish(1, 5, topic, payload).await;
        assert_eq!(newer.read().await.unwrap().body[..3], [0, 5, reason]);
        older.publish(1, 5, topic, payload).await;
        assert_eq!(older.read().await.unwrap().body[..], [0, 5]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_publish_of_qos_0_is_taken_silently() {
    let players = FakePlayers::new();
    for version in [4, 5] {
        let (mut client, closed) = connected(&players, version).await;
        client.publish(0, 0, "connect/2a", b"wait").await;
        client.send(&DISCONNECT).await;
        players.waiting.subscribe().wait_for(|waiting| *waiting > 0).await.unwrap();
        // The client has gone; its message is carried to its end all the same.
        assert_eq!(client.read().await, None);
        players.gate.add_permits(1);
        assert_eq!(closed.await.unwrap(), Closed::Disconnected);
    }
    assert_eq!(players.topics(), ["connect/2a", "connect/2a"]);
}

#[tokio::test(start_paused = true)]
async fn a_publish_of_qos_2_is_taken_once() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        let (mut client, _closed) = connected(&players, version).await;
        client.publish(2, 3, "answer/2a", b"x").await;
        let pubrec = client.read().await.unwrap();
        assert_eq!((pubrec.first, &pubrec.body[..2]), (0x50, &[0, 3][..]));
        if version == 5 {
            assert!(String::from_utf8_lossy(&pubrec.body).contains(RECEIPT), "{pubrec:?}");
        }
        let mut again = publish(version, 2, 3, "answer/2a", b"x");
        again[0] |= 8;
        client.send(&again).await;
        assert_eq!(client.read().await.unwrap().first, 0x50);
        for known in [true, false] {
            client.send(&packet(0x62, &[0, 3])).await;
            let pubcomp = client.read().await.unwrap();
            let unknown = if version == 5 && !known { &[0, 3, 0x92][..] } else { &[0, 3] };
            assert_eq!((pubcomp.first, &pubcomp.body[..]), (0x70, unknown));
        }
        assert_eq!(players.topics(), ["answer/2a"], "taken once");
        // From then on the id is that of another one.
        client.publish(2, 3, "answer/2a", b"y").await;
        assert_eq!(client.read().await.unwrap().first, 0x50);
        assert_eq!(players.topics().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_publish_of_qos_2_that_is_repeated_early_waits_for_its_verdict() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        let (mut client, _closed) = connected(&players, version).await;
        client.publish(2, 3, "answer/2a", b"wait").await;
        let mut again = publish(version, 2, 3, "answer/2a", b"wait");
        again[0] |= 8;
        client.send(&again).await;
        client.send(&PINGREQ).await;
        assert_eq!(client.read().await.unwrap().first, 0xd0, "no word of it before its verdict");
        players.gate.add_permits(1);
        assert_eq!(client.read().await.unwrap().first, 0x50);
        client.send(&packet(0x62, &[0, 3])).await;
        let pubcomp = client.read().await.unwrap();
        assert_eq!((pubcomp.first, &pubcomp.body[..]), (0x70, &[0, 3][..]));
        assert_eq!(players.topics(), ["answer/2a"], "taken once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_publish_of_qos_2_ends_with_its_pubrec() {
    let (mut client, _closed) = connected(&FakePlayers::new(), 5).await;
    client.publish(2, 3, "answer/2a", b"late").await;
    assert_eq!(client.read().await.unwrap().body[..3], [0, 3, 0x83]);
    // The id is free again: this is another publish, not a repetition.
    client.publish(2, 3, "answer/2a", b"locked").await;
    assert_eq!(client.read().await.unwrap().body[..3], [0, 3, 0x87]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_brings_the_current_state_and_every_newer_one() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        players.show("first");
        let (mut client, _closed) = connected(&players, version).await;
        assert_eq!(client.subscribe("live/482913").await.body.last(), Some(&0), "QoS 0");
        let no_properties = if version == 5 { "\0" } else { "" };
        let message = |text: &str| format!("\0\x0blive/482913{no_properties}{text}");
        let first = client.read().await.unwrap();
        assert_eq!((first.first, &first.body[..]), (0x31, message("first").as_bytes()));
        players.show("second");
        let second = client.read().await.unwrap();
        // That it is retained is for those to know who come; and nobody gets an alias who takes none.
        assert_eq!((second.first, &second.body[..]), (0x30, message("second").as_bytes()));
        client.send(&unsubscribe(version, 8, &["live/482913", "live/1"])).await;
        let unsuback = client.read().await.unwrap();
        let expected = if version == 5 { &[0, 8, 0, 0, 0x11][..] } else { &[0, 8] };
        assert_eq!((unsuback.first, &unsuback.body[..]), (0xb0, expected));
        players.show("third");
        client.send(&PINGREQ).await;
        assert_eq!(client.read().await.unwrap().first, 0xd0);
    }
}

#[tokio::test(start_paused = true)]
async fn refused_subscriptions_have_their_reason() {
    let players = FakePlayers::new();
    let (mut older, _closed) = connected(&players, 4).await;
    let (mut newer, _closed) = connected(&players, 5).await;
    for (filter, reason) in [
        ("live/000000", 0x8f),
        ("inbox/mallory", 0x87),
        ("live/+", 0xa2),
        ("#", 0xa2),
        ("$share/g/live/482913", 0x9e),
    ] {
        assert_eq!(older.subscribe(filter).await.body[2..], [0x80]);
        let suback = newer.subscribe(filter).await.body;
        assert_eq!(suback.last(), Some(&reason), "{filter}");
    }
    let suback = newer.subscribe("live/000000").await.body;
    let text = String::from_utf8_lossy(&suback);
    assert!(text.contains("topic_unknown: nothing behind live/000000; subscribe to"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_client_holds_so_many_subscriptions_and_no_more() {
    let players = FakePlayers::new();
    let (mut client, _closed) = connected(&players, 5).await;
    for number in 0..Limits::default().subscriptions_max {
        assert_eq!(client.subscribe(&format!("inbox/{number}")).await.body.last(), Some(&0));
    }
    assert_eq!(client.subscribe("inbox/one-more").await.body.last(), Some(&0x97));
    assert_eq!(
        client.subscribe("inbox/0").await.body.last(),
        Some(&0),
        "a repetition is none more"
    );
    client.send(&unsubscribe(5, 9, &["inbox/1"])).await;
    client.read().await.unwrap();
    assert_eq!(client.subscribe("inbox/one-more").await.body.last(), Some(&0));
}

#[tokio::test(start_paused = true)]
async fn inbox_messages_come_all_and_in_order() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        let (mut client, _closed) = connected(&players, version).await;
        client.subscribe("inbox/ada").await;
        let mut inbox = players.inbox("inbox/ada");
        for number in 0..20 {
            let frame = Frame::new("inbox/ada", number.to_string(), false);
            inbox.send(Arc::new(frame)).await.unwrap();
        }
        for number in 0..20 {
            assert_eq!(client.message().await, number.to_string());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_overflowed_inbox_ends_the_connection() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        let (mut client, closed) = connected(&players, version).await;
        client.subscribe("inbox/ada").await;
        players.inboxes.lock().unwrap().clear();
        // MQTT 3.1.1 has no words for it.
        let last = client.read().await.map(|packet| (packet.first, packet.body[0]));
        assert_eq!(last, (version == 5).then_some((0xe0, 0x97)));
        drop(client);
        assert_eq!(closed.await.unwrap(), Closed::InboxOverflowed);
    }
}

#[tokio::test(start_paused = true)]
async fn an_oversized_packet_is_answered_before_it_has_come() {
    let Served { io, closed, counters } = served(&FakePlayers::new(), 64 * 1024);
    let mut client = Client::connect(io, 5).await;
    client.send(&[0x30, 0x81, 0x80, 0x04]).await;
    let disconnect = client.read().await.unwrap();
    assert_eq!((disconnect.first, disconnect.body[0]), (0xe0, 0x95));
    // What it still sends is read and discarded until it hangs up.
    client.send(&[0; 5000]).await;
    drop(client);
    assert_eq!(closed.await.unwrap(), Closed::Faulty(Fault::Oversized));
    assert_eq!(counted(&counters, "starling_mqtt_faults_total", "oversized"), 1);
}

#[tokio::test(start_paused = true)]
async fn silence_beyond_the_keep_alive_ends_the_connection() {
    let players = FakePlayers::new();
    let Served { io, closed, .. } = served(&players, 1024);
    let mut client = Client::new(io, 5);
    client.send(&connect(5, "c", 10, &[])).await;
    client.read().await.unwrap();
    let start = Instant::now();
    for _ in 0..3 {
        // Live frames towards the client do not count as its life, pings do.
        tokio::time::sleep(Duration::from_secs(14)).await;
        client.send(&PINGREQ).await;
        assert_eq!(client.read().await.unwrap().first, 0xd0);
    }
    let disconnect = client.read().await.unwrap();
    assert_eq!((disconnect.first, disconnect.body[0]), (0xe0, 0x8d));
    assert_eq!(start.elapsed().as_secs(), 42 + 15);
    drop(client);
    assert_eq!(closed.await.unwrap(), Closed::KeepAliveExpired);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_a_longer_keep_alive_than_there_is_is_told_and_held_to_it() {
    let most = NonZeroU16::new(20);
    let limits = Limits { keep_alive_max_s: most, ..Limits::default() };
    let edge = Edge::new(FakePlayers::new() as _, limits);
    // What is asked for, by which version, and after how long silence ends the connection.
    for (asked_s, version, told, ends_after_s) in [
        (0, 5, true, 30),
        (10, 5, false, 15),
        (20, 5, false, 30),
        (21, 5, true, 30),
        (40, 4, false, 60),
    ] {
        let Served { io, closed, .. } = served_by(&edge, 1024);
        let mut client = Client::new(io, version);
        client.send(&connect(version, "c", asked_s, &[])).await;
        let connack = client.read().await.unwrap().body;
        let start = Instant::now();
        let says = connack.windows(3).any(|window| window == [0x13, 0, 20]);
        assert_eq!(says, told, "{asked_s} s in MQTT {version}: {connack:02x?}");
        while client.read().await.is_some() {}
        assert_eq!(start.elapsed().as_secs(), ends_after_s, "{asked_s} s in MQTT {version}");
        drop(client);
        assert_eq!(closed.await.unwrap(), Closed::KeepAliveExpired);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_of_mqtt_3_without_keep_alive_may_be_silent_for_a_day() {
    let Served { io, closed, .. } = served(&FakePlayers::new(), 1024);
    let mut client = Client::new(io, 4);
    client.send(&connect(4, "c", 0, &[])).await;
    client.read().await.unwrap();
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    client.send(&PINGREQ).await;
    assert_eq!(client.read().await.unwrap().first, 0xd0);
    drop(client);
    assert_eq!(closed.await.unwrap(), Closed::Gone);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_connect_is_closed_after_its_time() {
    let start = Instant::now();
    let Served { mut io, closed, counters } = served(&FakePlayers::new(), 1024);
    io.write_all(&connect(4, "c", 0, &[])[..5]).await.unwrap();
    assert_eq!(io.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(closed.await.unwrap(), Closed::ConnectTimedOut);
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(counted(&counters, "starling_mqtt_connects_total", "timed_out"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_closed_and_stalls_nobody() {
    let players = FakePlayers::new();
    players.show("0");
    let slow = served(&players, 512);
    let mut stuck = Client::connect(slow.io, 5).await;
    stuck.subscribe("live/482913").await;
    let (mut quick, _closed) = connected(&players, 5).await;
    quick.subscribe("live/482913").await;
    let start = Instant::now();
    for number in 1..=50 {
        players.show(number.to_string());
        while quick.message().await != number.to_string() {}
    }
    assert!(start.elapsed() < Duration::from_secs(1));
    players.show("x".repeat(4000));
    assert_eq!(slow.closed.await.unwrap(), Closed::Stuck);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_gets_the_newest_state_and_skips_the_rest() {
    let players = FakePlayers::new();
    let Served { io, .. } = served(&players, 1024);
    let mut client = Client::connect(io, 5).await;
    client.subscribe("live/482913").await;
    let state = |number: u32| format!("{number:0>3}{}", "x".repeat(8000));
    for number in 0..100 {
        players.show(state(number));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut got = Vec::new();
    while got.last() != Some(&99) {
        got.push(client.message().await[..3].parse::<u32>().unwrap());
    }
    assert!(got.len() <= 5, "no more than what fits the mark: {got:?}");
    assert!(got.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn packets_come_in_any_pieces() {
    let players = FakePlayers::new();
    let (mut client, _closed) = connected(&players, 5).await;
    let two = [publish(5, 1, 1, "answer/2a", b"a"), publish(5, 1, 2, "answer/2a", b"b")].concat();
    client.send(&two).await;
    for id in [1, 2] {
        assert_eq!(client.read().await.unwrap().body[..2], [0, id]);
    }
    for byte in two {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    for id in [1, 2] {
        assert_eq!(client.read().await.unwrap().body[..2], [0, id]);
    }
    assert_eq!(players.payloads().concat(), b"abab");
}

#[tokio::test(start_paused = true)]
async fn publishes_run_side_by_side_up_to_the_receive_maximum() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        let (mut client, _closed) = connected(&players, version).await;
        for id in 1..=40 {
            client.publish(1, id, "answer/2a", b"wait").await;
        }
        client.send(&PINGREQ).await;
        let mut waiting = players.waiting.subscribe();
        waiting.wait_for(|waiting| *waiting >= 16).await.unwrap();
        let idle = timeout(Duration::from_secs(1), waiting.wait_for(|waiting| *waiting > 16)).await;
        assert!(idle.is_err(), "the seventeenth waits");
        players.gate.add_permits(40);
        let mut acknowledged = Vec::new();
        let mut pings = 0;
        for _ in 1..=41 {
            match client.read().await.unwrap() {
                answer if answer.first == 0x40 => acknowledged.push(answer.body[1]),
                answer => pings += usize::from(answer.first == 0xd0),
            }
        }
        acknowledged.sort_unstable();
        assert!(acknowledged.into_iter().eq(1..=40));
        assert_eq!(pings, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_sending_still_gets_its_acknowledgements() {
    let players = FakePlayers::new();
    let (mut client, closed) = connected(&players, 5).await;
    client.publish(1, 4, "answer/2a", b"wait").await;
    client.io.shutdown().await.unwrap();
    players.waiting.subscribe().wait_for(|waiting| *waiting == 1).await.unwrap();
    players.gate.add_permits(1);
    assert_eq!(client.read().await.unwrap().body[..3], [0, 4, 0]);
    assert_eq!(client.read().await, None);
    assert_eq!(closed.await.unwrap(), Closed::Gone);
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_ends_the_connection_and_not_its_publishes() {
    let players = FakePlayers::new();
    let io = broken_stream();
    let remote = SocketAddr::from(([127, 0, 0, 1], 9));
    let edge = Edge::new(Arc::clone(&players) as _, Limits::default());
    players.gate.add_permits(1);
    let closed = serve(io, remote, &edge).await;
    assert_eq!(closed, Closed::Transport(ErrorKind::ConnectionReset));
    assert_eq!(players.topics(), ["answer/2a"]);
    assert_eq!(edge.counters().sessions_active(), 0);
}

/// Delivers an introduction and a publish, then resets.
fn broken_stream() -> BrokenStream {
    let mut bytes = connect(5, "c", 30, &[]);
    bytes.extend(publish(5, 1, 1, "answer/2a", b"wait"));
    BrokenStream { bytes: Some(bytes) }
}

struct BrokenStream {
    bytes: Option<Vec<u8>>,
}

impl tokio::io::AsyncRead for BrokenStream {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        out: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(match self.bytes.take() {
            Some(bytes) => {
                out.put_slice(&bytes);
                Ok(())
            }
            None => Err(ErrorKind::ConnectionReset.into()),
        })
    }
}

impl tokio::io::AsyncWrite for BrokenStream {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_takes_over_a_client_id() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        let edge = Edge::new(Arc::clone(&players) as _, Limits::default());
        let named = |io| async move {
            let mut client = Client::new(io, version);
            client.send(&connect(version, "ada", 30, &[])).await;
            assert_eq!(client.read().await.unwrap().first, 0x20);
            client
        };
        let first = served_by(&edge, 1024);
        let mut old = named(first.io).await;
        let mut new = named(served_by(&edge, 1024).io).await;
        if version == 5 {
            let disconnect = old.read().await.unwrap();
            assert_eq!((disconnect.first, disconnect.body[0]), (0xe0, 0x8e));
        }
        assert_eq!(old.read().await, None);
        drop(old);
        assert_eq!(first.closed.await.unwrap(), Closed::TakenOver);
        new.send(&PINGREQ).await;
        assert_eq!(new.read().await.unwrap().first, 0xd0);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_without_a_name_take_over_from_nobody() {
    for version in [4, 5] {
        let edge = Edge::new(FakePlayers::new(), Limits::default());
        let (one, other) = (served_by(&edge, 1024), served_by(&edge, 1024));
        let mut clients = [Client::new(one.io, version), Client::new(other.io, version)];
        clients[0].send(&connect(version, "", 30, &[])).await;
        clients[0].read().await.unwrap();
        // The name that the other was given can be guessed.
        clients[1].send(&connect(version, "player-0000000000000000-0", 30, &[])).await;
        for client in &mut clients {
            client.send(&PINGREQ).await;
            while client.read().await.unwrap().first != 0xd0 {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn clients_without_a_name_are_given_names_of_their_own() {
    let mut names = BTreeSet::new();
    // Two edges, as of two nodes: each has its nonce.
    for nonce in [1, 2] {
        let edge = Edge::new(FakePlayers::new(), Limits::default()).with_nonce(nonce);
        for _ in 0..20 {
            let mut client = Client::new(served_by(&edge, 1024).io, 5);
            client.send(&connect(5, "", 30, &[])).await;
            let connack = client.read().await.unwrap().body;
            let text = String::from_utf8_lossy(&connack).into_owned();
            let name = text.split_once("player-").expect("it is told").1;
            let end = name.find(|letter: char| !letter.is_ascii_hexdigit() && letter != '-');
            names.insert(name[..end.unwrap_or(name.len())].to_owned());
        }
    }
    assert_eq!(names.len(), 40, "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn a_draining_node_sends_its_clients_elsewhere() {
    let edge = Edge::new(FakePlayers::new(), Limits::default());
    let served = served_by(&edge, 1024);
    let mut client = Client::connect(served.io, 5).await;
    let mut older = Client::connect(served_by(&edge, 1024).io, 4).await;
    let mut secure =
        Client::connect(served_by(&edge.clone().over(Transport::Tls), 1024).io, 5).await;
    let tcp = vec!["n2.example:1883".to_owned()];
    edge.drain(Elsewhere { tcp, ..Elsewhere::default() }, Duration::from_secs(1)).await;
    let disconnect = secure.read().await.unwrap();
    assert_eq!(disconnect.body[0], 0x8b, "there is no other place under TLS");
    assert!(!disconnect.body.windows(4).any(|it| it == b"1883"), "{disconnect:?}");
    let disconnect = client.read().await.unwrap();
    assert_eq!((disconnect.first, disconnect.body[0]), (0xe0, 0x9c));
    assert!(disconnect.body.ends_with(b"\x1c\0\x0fn2.example:1883"), "{disconnect:?}");
    // Two properties and no more, so none that says how long a session lasts: a reason string comes first.
    let words_end = 5 + usize::from(disconnect.body[4]);
    assert_eq!(disconnect.body[2], 0x1f, "{disconnect:?}");
    assert_eq!(disconnect.body[words_end..].len(), 3 + 15, "{disconnect:?}");
    assert_eq!(older.read().await, None);
    drop(client);
    assert_eq!(served.closed.await.unwrap(), Closed::Drained);

    let mut late = Client::new(served_by(&edge, 1024).io, 5);
    late.send(&connect(5, "late", 30, &[])).await;
    let connack = late.read().await.unwrap();
    assert_eq!((connack.first, &connack.body[..2]), (0x20, &[0, 0x9c][..]));
    let mut late = Client::new(served_by(&edge, 1024).io, 4);
    late.send(&connect(4, "late", 30, &[])).await;
    assert_eq!(late.read().await.unwrap().body[..], [0, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_found_and_brings_its_feeds() {
    let players = FakePlayers::new();
    players.show("state");
    *players.session.lock().unwrap() = vec!["live/482913".to_owned(), "inbox/ada".to_owned()];
    for version in [4, 5] {
        let mut client = Client::new(served(&players, 1024).io, version);
        let mut bytes = connect(version, "ada", 30, &[0x11, 0, 0, 1, 0][..]);
        bytes[9] = 0;
        client.send(&bytes).await;
        let connack = client.read().await.unwrap();
        assert_eq!((connack.first, &connack.body[..2]), (0x20, &[1, 0][..]), "session present");
        let message = client.read().await.unwrap();
        assert_eq!(message.first, 0x33, "QoS 1, retained");
        players
            .inbox("inbox/ada")
            .send(Arc::new(Frame::new("inbox/ada", "hello", false)))
            .await
            .unwrap();
        assert_eq!(client.read().await.unwrap().first, 0x32);
        // Whoever starts afresh finds none.
        let mut fresh = Client::new(served(&players, 1024).io, version);
        fresh.send(&connect(version, "ada", 30, &[])).await;
        assert_eq!(fresh.read().await.unwrap().body[0], 0);
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_qos_1_and_2_are_sent_as_the_client_takes_them() {
    for (version, qos) in [(4, 1), (4, 2), (5, 1), (5, 2)] {
        let players = FakePlayers::new();
        let mut client = Client::new(served(&players, 4096).io, version);
        // In MQTT 5 it takes two at once, in 3.1.1 it cannot say.
        client.send(&connect(version, "ada", 30, &[0x21, 0, 2])).await;
        client.read().await.unwrap();
        let mut wish = subscribe(version, 7, &["inbox/ada"]);
        *wish.last_mut().unwrap() = qos;
        client.send(&wish).await;
        assert_eq!(client.read().await.unwrap().body.last(), Some(&qos));
        let mut inbox = players.inbox("inbox/ada");
        for number in 0..4 {
            let frame = Frame::new("inbox/ada", number.to_string(), false);
            inbox.send(Arc::new(frame)).await.unwrap();
        }
        let mut came = Vec::new();
        if version == 5 {
            // Nothing is acknowledged yet: the third waits.
            while let Ok(message) = timeout(Duration::from_secs(5), client.read()).await {
                came.push(message.unwrap());
            }
            assert_eq!(came.len(), 2, "{came:?}");
            // Nothing else waits for that.
            client.send(&PINGREQ).await;
            assert_eq!(client.read().await.unwrap().first, 0xd0);
            client.publish(1, 9, "answer/2a", b"x").await;
            assert_eq!(client.read().await.unwrap().first, 0x40);
        }
        let mut texts = Vec::new();
        while texts.len() < 4 {
            let packet = match came.is_empty() {
                true => client.read().await.unwrap(),
                false => came.remove(0),
            };
            if packet.first == 0x62 {
                client.send(&self::packet(0x70, &packet.body)).await;
                continue;
            }
            assert_eq!(packet.first, 0x30 | qos << 1);
            texts.push(*packet.body.last().unwrap());
            client
                .send(&self::packet([0x40, 0x50][usize::from(qos) - 1], &packet.body[11..13]))
                .await;
        }
        assert_eq!(texts, b"0123", "version {version}, QoS {qos}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_to_what_was_never_sent_change_nothing() {
    for version in [4, 5] {
        let (mut client, _closed) = connected(&FakePlayers::new(), version).await;
        client.send(&packet(0x40, &[0, 9])).await;
        client.send(&packet(0x70, &[0, 9])).await;
        client.send(&packet(0x50, &[0, 9])).await;
        let pubrel = client.read().await.unwrap();
        let unknown = if version == 5 { &[0, 9, 0x92][..] } else { &[0, 9] };
        assert_eq!((pubrel.first, &pubrel.body[..]), (0x62, unknown));
        client.send(&PINGREQ).await;
        assert_eq!(client.read().await.unwrap().first, 0xd0);
    }
}

#[tokio::test(start_paused = true)]
async fn topic_aliases_work_both_ways() {
    let players = FakePlayers::new();
    players.show("first");
    let mut client = Client::new(served(&players, 4096).io, 5);
    client.send(&connect(5, "ada", 30, &[0x22, 0, 9])).await;
    client.read().await.unwrap();
    client.subscribe("live/482913").await;
    let first = client.read().await.unwrap();
    assert_eq!(&first.body[..], b"\0\x0blive/482913\x03\x23\0\x01first");
    players.show("second");
    assert_eq!(&client.read().await.unwrap().body[..], b"\0\0\x03\x23\0\x01second");

    for (topic, payload) in [("answer/2a", "one"), ("", "two")] {
        let body = [&string(topic)[..], &[0, 1, 3, 0x23, 0, 2], payload.as_bytes()].concat();
        client.send(&packet(0x32, &body)).await;
        assert_eq!(client.read().await.unwrap().body[..3], [0, 1, 0]);
    }
    assert_eq!(players.topics(), ["answer/2a", "answer/2a"]);
}

/// What is too large for a client is not sent, and what it would have introduced is not referred to.
#[tokio::test(start_paused = true)]
async fn an_alias_is_introduced_by_the_first_message_that_is_sent() {
    let players = FakePlayers::new();
    players.show("x".repeat(100));
    let mut client = Client::new(served(&players, 4096).io, 5);
    client.send(&connect(5, "ada", 30, &[0x22, 0, 9, 0x27, 0, 0, 0, 64])).await;
    client.read().await.unwrap();
    client.subscribe("live/482913").await;
    client.send(&PINGREQ).await;
    assert_eq!(client.read().await.unwrap().first, 0xd0);
    for (text, body) in [
        ("small", &b"\0\x0blive/482913\x03\x23\0\x01small"[..]),
        ("again", &b"\0\0\x03\x23\0\x01again"[..]),
    ] {
        players.show(text);
        assert_eq!(&client.read().await.unwrap().body[..], body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_longer_than_any_topic_is_refused() {
    let mut client = Client::connect(served(&FakePlayers::new(), 4096).io, 5).await;
    let long = format!("reply/{}", "x".repeat(600));
    assert_eq!(client.subscribe(&long).await.body.last(), Some(&0x8f));
    assert_eq!(client.subscribe("reply/ada").await.body.last(), Some(&0));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_where_its_client_listens() {
    let players = FakePlayers::new();
    let mut client = Client::new(served(&players, 4096).io, 5);
    client.send(&connect(5, "ada", 30, &[0x19, 1])).await;
    let connack = client.read().await.unwrap();
    assert!(connack.body.windows(9).any(|bytes| bytes == b"reply/ada"), "{connack:?}");
    let properties = b"\x08\0\x09reply/ada\x09\0\x02\xff\x01\x26\0\x01k\0\x01v";
    let body =
        [&string("answer/2a")[..], &[0, 1, properties.len() as u8], properties, b"x"].concat();
    // Nobody listens there yet.
    client.send(&packet(0x32, &body)).await;
    assert_eq!(client.read().await.unwrap().first, 0x40);
    assert_eq!(client.subscribe("reply/ada").await.body.last(), Some(&0));
    client.send(&packet(0x32, &body)).await;
    assert_eq!(client.read().await.unwrap().first, 0x40);
    let answer = client.read().await.unwrap();
    assert_eq!(answer.first, 0x30);
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.starts_with("\0\x09reply/ada") && text.ends_with(RECEIPT), "{text}");
    let passed = [&b"\x09\0\x02\xff\x01"[..], b"\x26\0\x01k\0\x01v"];
    for property in passed {
        let found = answer.body.windows(property.len()).any(|bytes| bytes == property);
        assert!(found, "{property:?} in {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_will_speaks_for_whoever_goes_without_a_word() {
    // Whether it has a will, how it goes, and whether a will is published then.
    let ways: [(u8, u8, &[u8], bool); 7] = [
        (4, 6, &DISCONNECT, false),
        (5, 6, &DISCONNECT, false),
        (5, 6, &[0xe0, 1, 4], true),
        (4, 6, &[], true),
        (5, 6, &[], true),
        (4, 2, &[], false),
        (5, 2, &[], false),
    ];
    for (version, flags, words, published) in ways {
        let players = FakePlayers::new();
        let served = served(&players, 4096);
        let mut client = Client::new(served.io, version);
        let no_properties = if version == 5 { &[0][..] } else { &[] };
        let mut body = [b"\0\x04MQTT", &[version, flags, 0, 30][..], no_properties].concat();
        body.extend(string("ada"));
        if flags & 4 != 0 {
            let will = [no_properties, &string("answer/2a"), &string("gone")].concat();
            body.extend(will);
        }
        client.send(&packet(0x10, &body)).await;
        client.read().await.unwrap();
        client.send(words).await;
        drop(client);
        served.closed.await.unwrap();
        let expected = if published { &["gone"][..] } else { &[] };
        assert_eq!(players.payloads(), expected, "version {version}, {flags:#x}, {words:?}");
    }
}

/// All of it is read at once, and the goodbye with it: what came before is answered all the same.
#[tokio::test(start_paused = true)]
async fn what_comes_with_a_goodbye_is_acknowledged_before_the_end() {
    for version in [4, 5] {
        let Served { io, closed, .. } = served(&FakePlayers::new(), 64 * 1024);
        let mut client = Client::new(io, version);
        let all = [
            &connect(version, "hasty", 30, &[])[..],
            &publish(version, 1, 9, "answer/00", b"{}"),
            &PINGREQ,
            &DISCONNECT,
        ];
        client.send(&all.concat()).await;
        let mut came = Vec::new();
        while let Some(packet) = client.read().await {
            came.push(packet.first);
        }
        came.sort_unstable();
        assert_eq!(came, [0x20, 0x40, 0xd0], "version {version}");
        drop(client);
        assert_eq!(closed.await.unwrap(), Closed::Disconnected);
    }
}

/// Who says goodbye and comes back at once has said goodbye, even if the node looks at the newer connection first.
#[tokio::test(start_paused = true)]
async fn a_goodbye_that_has_come_counts_before_a_takeover() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        let edge = Edge::new(Arc::clone(&players) as _, Limits::default());
        let (old, new) = (served_by(&edge, 4096), served_by(&edge, 4096));
        let (mut one, mut other) = (Client::new(old.io, version), Client::new(new.io, version));
        let no_properties = if version == 5 { &[0][..] } else { &[] };
        let head = [b"\0\x04MQTT", &[version, 6, 0, 30][..], no_properties].concat();
        let will = [no_properties, &string("answer/2a"), &string("gone")].concat();
        one.send(&packet(0x10, &[head, string("ada"), will].concat())).await;
        one.read().await.unwrap();
        other.send(&connect(version, "ada", 30, &[])).await;
        one.send(&DISCONNECT).await;
        assert_eq!(other.read().await.unwrap().body[..2], [0, 0]);
        assert_eq!(one.read().await, None);
        drop(one);
        assert_eq!(old.closed.await.unwrap(), Closed::Disconnected);
        assert!(players.payloads().is_empty(), "no will is published");
    }
}

/// Who comes back within a will's delay takes it back, unless it starts a session of its own.
#[tokio::test(start_paused = true)]
async fn a_will_that_waits_speaks_at_once_when_its_session_ends() {
    let hello = |flags: u8| {
        let mut body = [b"\0\x04MQTT", &[5, flags, 0, 30][..], b"\x05\x11\0\0\0\x3c"].concat();
        body.extend(string("ada"));
        if flags & 4 != 0 {
            // After 30 s.
            body.extend(b"\x05\x18\0\0\0\x1e");
            body.extend([string("answer/2a"), string("gone")].concat());
        }
        packet(0x10, &body)
    };
    for (clean, expected) in [(2, &["gone"][..]), (0, &[])] {
        let players = FakePlayers::new();
        let edge = Edge::new(Arc::clone(&players) as _, Limits::default());
        let (old, new) = (served_by(&edge, 4096), served_by(&edge, 4096));
        let mut clients = [Client::new(old.io, 5), Client::new(new.io, 5)];
        clients[0].send(&hello(6)).await;
        clients[0].read().await.unwrap();
        clients[1].send(&hello(clean)).await;
        clients[1].read().await.unwrap();
        let [first, mut second] = clients;
        drop(first);
        assert_eq!(old.closed.await.unwrap(), Closed::TakenOver);
        second.send(&DISCONNECT).await;
        new.closed.await.unwrap();
        assert_eq!(players.payloads(), expected, "clean start {clean}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_be_kept_with_a_connection_has_a_bound() {
    let (long, will) = ("c".repeat(257), |topic: &str, payload: &str| {
        [string("ada"), string(topic), string(payload)].concat()
    });
    let cases = [
        (2, string(&long), 0x85, 2),
        (6, will(&"t".repeat(513), "x"), 0x90, 0),
        (6, will("t", &"x".repeat(4097)), 0x95, 0),
    ];
    for (flags, rest, reason, code) in cases {
        let served = served(&FakePlayers::new(), 64 * 1024);
        let mut client = Client::new(served.io, 4);
        client
            .send(&packet(0x10, &[&b"\0\x04MQTT\x04"[..], &[flags, 0, 30], &rest].concat()))
            .await;
        let connack = client.read().await;
        assert_eq!(connack.map(|it| it.body[1]), (code > 0).then_some(code), "{reason:#x}");
        drop(client);
        let Closed::Faulty(fault) = served.closed.await.unwrap() else { panic!("it is let in") };
        assert_eq!(fault.reason(), reason);
    }
    let (mut client, closed) = connected(&FakePlayers::new(), 5).await;
    client.publish(0, 0, &"t".repeat(513), b"x").await;
    let farewell = client.read().await.unwrap();
    assert_eq!((farewell.first, farewell.body[0]), (0xe0, 0x90));
    drop(client);
    assert!(matches!(closed.await.unwrap(), Closed::Faulty(_)));
}

/// A will belongs to a session, and who is not let in has none.
#[tokio::test(start_paused = true)]
async fn who_is_turned_away_leaves_no_will() {
    let players = FakePlayers::new();
    let limits = Limits { connects: Rate::per_second(1), ..Limits::default() };
    let edge = Edge::new(Arc::clone(&players) as _, limits);
    for (number, result) in [(0_u8, 0), (1, 0x9f), (2, 0x9f)] {
        let served = served_by(&edge, 4096);
        let mut client = Client::new(served.io, 5);
        let mut body = [b"\0\x04MQTT", &[5, 6, 0, 30, 0][..]].concat();
        body.extend(string(&format!("c{number}")));
        body.extend([&[0][..], &string("answer/2a"), &string(&format!("gone {number}"))].concat());
        client.send(&packet(0x10, &body)).await;
        assert_eq!(client.read().await.unwrap().body[1], result);
        drop(client);
        served.closed.await.unwrap();
    }
    assert_eq!(players.payloads(), ["gone 0"]);
}

#[tokio::test]
async fn a_connection_without_traffic_is_small() {
    let (io, _theirs) = duplex(64);
    let remote = SocketAddr::from(([127, 0, 0, 1], 9));
    let edge = Edge::new(FakePlayers::new(), Limits::default());
    let bytes = size_of_val(&serve(io, remote, &edge));
    assert!(bytes <= 2048, "the whole state of a connection takes {bytes} bytes");
    // What contains its panics holds it by a pointer, once and not in each of its own states.
    let admission = edge.admit().unwrap();
    let bytes = size_of_val(&edge.serve(duplex(64).0, remote, admission));
    assert!(bytes <= 512, "what is around a connection takes {bytes} bytes");
}

#[tokio::test(start_paused = true)]
async fn the_same_dialogue_gives_the_same_bytes() {
    let mut dialogues = Vec::new();
    for _ in 0..2 {
        let players = FakePlayers::new();
        players.show("state");
        let Served { mut io, closed, .. } = served(&players, 64 * 1024);
        let mut bytes = connect(5, "c", 30, &[]);
        bytes.extend(subscribe(5, 1, &["live/482913", "inbox/ada"]));
        (1..=30).for_each(|id| bytes.extend(publish(5, 1, id, "answer/2a", b"x")));
        bytes.extend(PINGREQ);
        io.write_all(&bytes).await.unwrap();
        io.shutdown().await.unwrap();
        let mut answer = Vec::new();
        io.read_to_end(&mut answer).await.unwrap();
        closed.await.unwrap();
        dialogues.push(answer);
    }
    assert!(dialogues[0].len() > 30 * 60);
    assert_eq!(dialogues[0], dialogues[1]);
}
