//! One client on one stream in memory, on virtual time.

use crate::client::{
    Client, DISCONNECT, PINGREQ, connect, packet, publish, subscribe, unsubscribe,
};
use crate::players::{FakePlayers, RECEIPT};
use node::edge::guard::Fault;
use node::edge::{Closed, Counters, Limits, serve};
use node::service::{Frame, Players};
use std::io::ErrorKind;
use std::net::SocketAddr;
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
    let (io, theirs) = duplex(pipe_bytes);
    let players: Arc<dyn Players> = Arc::clone(players) as _;
    let counters = Arc::new(Counters::default());
    let counted = Arc::clone(&counters);
    let remote = SocketAddr::from(([127, 0, 0, 1], 9));
    let closed =
        tokio::spawn(
            async move { serve(theirs, remote, players, &Limits::default(), &counted).await },
        );
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
        &[0x11, 0, 0, 0, 0][..],
        &[0x21, 0, 16],
        &[0x24, 1],
        &[0x28, 0],
        &[0x29, 0],
        &[0x2a, 0],
        &[0x27, 0, 1, 0, 0],
        &[0x13, 0, 60],
        b"\x12\0\x08player-0",
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
async fn qos_2_works_in_mqtt_3_and_ends_the_connection_in_mqtt_5() {
    let players = FakePlayers::new();
    let (mut client, _closed) = connected(&players, 4).await;
    client.publish(2, 3, "answer/2a", b"x").await;
    assert_eq!(client.read().await.unwrap().first, 0x50);
    let mut again = publish(4, 2, 3, "answer/2a", b"x");
    again[0] |= 8;
    client.send(&again).await;
    assert_eq!(client.read().await.unwrap().first, 0x50);
    client.send(&packet(0x62, &[0, 3])).await;
    let pubcomp = client.read().await.unwrap();
    assert_eq!((pubcomp.first, &pubcomp.body[..]), (0x70, &[0, 3][..]));
    assert_eq!(players.topics(), ["answer/2a"], "taken once");

    let (mut client, closed) = connected(&players, 5).await;
    client.publish(2, 3, "answer/2a", b"x").await;
    let disconnect = client.read().await.unwrap();
    assert_eq!((disconnect.first, &disconnect.body[..]), (0xe0, &[0x9b][..]));
    drop(client);
    assert_eq!(closed.await.unwrap(), Closed::Faulty(Fault::QosUnsupported));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_brings_the_current_state_and_every_newer_one() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        players.show("first");
        let (mut client, _closed) = connected(&players, version).await;
        assert_eq!(client.subscribe("live/482913").await.body.last(), Some(&0));
        assert_eq!(client.message().await, "first");
        players.show("second");
        assert_eq!(client.message().await, "second");
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
    let players = FakePlayers::new();
    let (mut client, _closed) = connected(&players, 5).await;
    client.subscribe("inbox/ada").await;
    let inbox = players.inbox("inbox/ada");
    for number in 0..20 {
        let frame = Frame::new("inbox/ada", number.to_string(), false);
        inbox.send(Arc::new(frame)).await.unwrap();
    }
    for number in 0..20 {
        assert_eq!(client.message().await, number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn an_overflowed_inbox_ends_the_connection() {
    let players = FakePlayers::new();
    let (mut client, closed) = connected(&players, 5).await;
    client.subscribe("inbox/ada").await;
    players.inboxes.lock().unwrap().clear();
    let disconnect = client.read().await.unwrap();
    assert_eq!((disconnect.first, &disconnect.body[..]), (0xe0, &[0x97][..]));
    drop(client);
    assert_eq!(closed.await.unwrap(), Closed::InboxOverflowed);
}

#[tokio::test(start_paused = true)]
async fn an_oversized_packet_is_answered_before_it_has_come() {
    let Served { io, closed, counters } = served(&FakePlayers::new(), 64 * 1024);
    let mut client = Client::connect(io, 5).await;
    client.send(&[0x30, 0x81, 0x80, 0x04]).await;
    let disconnect = client.read().await.unwrap();
    assert_eq!((disconnect.first, &disconnect.body[..]), (0xe0, &[0x95][..]));
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
    assert_eq!((disconnect.first, &disconnect.body[..]), (0xe0, &[0x8d][..]));
    assert_eq!(start.elapsed().as_secs(), 42 + 15);
    drop(client);
    assert_eq!(closed.await.unwrap(), Closed::KeepAliveExpired);
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
    let counters = Counters::default();
    let limits = Limits::default();
    let dynamic: Arc<dyn Players> = Arc::clone(&players) as _;
    players.gate.add_permits(1);
    let closed = serve(io, remote, dynamic, &limits, &counters).await;
    assert_eq!(closed, Closed::Transport(ErrorKind::ConnectionReset));
    assert_eq!(players.topics(), ["answer/2a"]);
    assert_eq!(counters.sessions_active(), 0);
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
async fn two_clients_of_one_name_do_not_disturb_each_other() {
    let players = FakePlayers::new();
    let (mut one, _closed) = connected(&players, 5).await;
    let (mut other, _closed) = connected(&players, 5).await;
    for client in [&mut one, &mut other] {
        client.send(&PINGREQ).await;
        assert_eq!(client.read().await.unwrap().first, 0xd0);
    }
}

#[tokio::test]
async fn a_connection_without_traffic_is_small() {
    let (io, _theirs) = duplex(64);
    let remote = SocketAddr::from(([127, 0, 0, 1], 9));
    let (limits, counters) = (Limits::default(), Counters::default());
    let future = serve(io, remote, FakePlayers::new() as _, &limits, &counters);
    let bytes = size_of_val(&future);
    assert!(bytes <= 2048, "the whole state of a connection takes {bytes} bytes");
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
