//! The open profile, byte by byte: what a general broker owes its clients, over the node's own connection
//! task. What the broker decides is tested beside it; here is what of that reaches the wire.

use crate::client::{Client, DISCONNECT, Packet, packet, publish, string, subscribe, unsubscribe};
use crate::players::FakePlayers;
use node::edge::{Closed, Edge, Limits, OpenLimits, serve};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

type Served = (Client<DuplexStream>, JoinHandle<Closed>);

fn broker(limits: OpenLimits) -> Edge {
    let edge = Edge::new(FakePlayers::new(), Limits::default()).with_open_profile(limits);
    let keeping = edge.clone();
    tokio::spawn(async move { keeping.keep_open().await });
    edge
}

fn open() -> Edge {
    broker(OpenLimits::default())
}

fn dial(edge: &Edge, version: u8) -> Served {
    let edge = edge.clone();
    let (io, theirs) = duplex(64 * 1024);
    let remote = SocketAddr::from(([127, 0, 0, 1], 9));
    let closed = tokio::spawn(async move { serve(theirs, remote, &edge).await });
    (Client::new(io, version), closed)
}

/// A client's introduction.
#[derive(Clone, Copy)]
struct Hello<'a> {
    version: u8,
    id: &'a str,
    clean: bool,
    properties: &'a [u8],
    /// Topic and payload, what their CONNECT flags add, and properties.
    will: Option<(&'a str, &'a [u8], u8, &'a [u8])>,
}

const HELLO: Hello<'static> =
    Hello { version: 5, id: "ada", clean: true, properties: &[], will: None };
/// Kept for ever.
const KEPT: Hello<'static> = Hello { clean: false, properties: b"\x11\xff\xff\xff\xff", ..HELLO };

impl Hello<'_> {
    fn bytes(&self) -> Vec<u8> {
        let will_flags = self.will.map_or(0, |(_, _, flags, _)| flags | 4);
        let flags = u8::from(self.clean) << 1 | will_flags;
        let mut body = b"\0\x04MQTT".to_vec();
        body.extend([self.version, flags, 0, 60]);
        let properties = |body: &mut Vec<u8>, properties: &[u8]| {
            if self.version == 5 {
                body.push(u8::try_from(properties.len()).unwrap());
                body.extend(properties);
            }
        };
        properties(&mut body, self.properties);
        body.extend(string(self.id));
        if let Some((topic, payload, _, will_properties)) = self.will {
            properties(&mut body, will_properties);
            body.extend(string(topic));
            body.extend(string(std::str::from_utf8(payload).unwrap()));
        }
        packet(0x10, &body)
    }

    /// Introduces itself; tells whether its session was there.
    async fn come(&self, edge: &Edge) -> (Client<DuplexStream>, bool, JoinHandle<Closed>) {
        let (mut client, closed) = dial(edge, self.version);
        client.send(&self.bytes()).await;
        let connack = read(&mut client).await;
        assert_eq!((connack.first, connack.body[1]), (0x20, 0), "{connack:?}");
        (client, connack.body[0] == 1, closed)
    }
}

async fn read(client: &mut Client<DuplexStream>) -> Packet {
    let packet = timeout(Duration::from_secs(5), client.read()).await;
    packet.expect("a packet in time").expect("a packet")
}

async fn is_silent(client: &mut Client<DuplexStream>) -> bool {
    timeout(Duration::from_secs(1), client.read()).await.is_err()
}

/// A PUBLISH taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    first: u8,
    topic: String,
    id: u16,
    properties: Vec<u8>,
    payload: String,
}

async fn message(client: &mut Client<DuplexStream>, version: u8) -> Message {
    let Packet { first, body } = read(client).await;
    assert_eq!(first >> 4, 3, "a PUBLISH: {first:#x} {body:?}");
    let at = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
    let topic = String::from_utf8(body[2..at].to_vec()).unwrap();
    let (id, at) = match first >> 1 & 3 {
        0 => (0, at),
        _ => (u16::from_be_bytes([body[at], body[at + 1]]), at + 2),
    };
    let (properties, at) = match version {
        5 => {
            let length = usize::from(body[at]);
            assert!(length < 128);
            (body[at + 1..at + 1 + length].to_vec(), at + 1 + length)
        }
        _ => (Vec::new(), at),
    };
    let payload = String::from_utf8(body[at..].to_vec()).unwrap();
    Message { first, topic, id, properties, payload }
}

/// Subscribes in MQTT 5 with properties; tells the reason.
async fn wish(client: &mut Client<DuplexStream>, filter: &str, options: u8, id: Option<u8>) -> u8 {
    let mut body = vec![0, 7];
    match id {
        Some(id) => body.extend([2, 0x0b, id]),
        None => body.push(0),
    }
    body.extend(string(filter));
    body.push(options);
    client.send(&packet(0x82, &body)).await;
    let suback = read(client).await;
    assert_eq!((suback.first, &suback.body[..2]), (0x90, &[0, 7][..]), "{suback:?}");
    *suback.body.last().unwrap()
}

/// A PUBLISH of MQTT 5 with properties.
fn saying(first: u8, id: u16, topic: &str, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut body = string(topic);
    if first & 6 != 0 {
        body.extend(id.to_be_bytes());
    }
    body.push(u8::try_from(properties.len()).unwrap());
    body.extend(properties);
    body.extend(payload);
    packet(first, &body)
}

#[tokio::test(start_paused = true)]
async fn a_general_broker_says_nothing_of_what_it_lacks() {
    let (mut client, _) = dial(&open(), 5);
    client.send(&HELLO.bytes()).await;
    let connack = read(&mut client).await;
    for unavailable in [0x25, 0x28, 0x29, 0x2a] {
        let said = connack.body.windows(2).any(|pair| pair == [unavailable, 0]);
        assert!(!said, "{unavailable:#x} in {connack:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn clients_of_both_versions_hear_each_other_at_every_quality() {
    let edge = open();
    for (from, to) in [(4, 5), (5, 4), (4, 4), (5, 5)] {
        let (mut ada, _, _a) = Hello { version: from, ..HELLO }.come(&edge).await;
        let (mut bob, _, _b) = Hello { version: to, id: "bob", ..HELLO }.come(&edge).await;
        let wish = subscribe(to, 7, &["room/+/#"]);
        let options = wish.len() - 1;
        let mut wish = wish;
        wish[options] = 2;
        bob.send(&wish).await;
        assert_eq!(*read(&mut bob).await.body.last().unwrap(), 2);
        for qos in 0..3 {
            ada.publish(qos, 5, "room/1/x", b"hi").await;
            match qos {
                0 => {}
                1 => assert_eq!(read(&mut ada).await.body[..2], [0, 5]),
                _ => {
                    assert_eq!(read(&mut ada).await.first, 0x50);
                    ada.send(&[0x62, 2, 0, 5]).await;
                    assert_eq!(read(&mut ada).await.first, 0x70);
                }
            }
            let heard = message(&mut bob, to).await;
            assert_eq!((heard.first, &*heard.payload), (0x30 | qos << 1, "hi"), "{from} {to}");
            let [high, low] = heard.id.to_be_bytes();
            match qos {
                0 => {}
                1 => bob.send(&[0x40, 2, high, low]).await,
                _ => {
                    bob.send(&[0x50, 2, high, low]).await;
                    assert_eq!(read(&mut bob).await.first, 0x62);
                    bob.send(&[0x70, 2, high, low]).await;
                }
            }
        }
        assert!(is_silent(&mut bob).await);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_publisher_says_of_its_message_is_passed_on_in_order() {
    let edge = open();
    let (mut ada, _, _closed) = HELLO.come(&edge).await;
    assert_eq!(wish(&mut ada, "t", 1, Some(9)).await, 1);
    let said = [
        &b"\x01\x01"[..],
        b"\x08\0\x05reply",
        b"\x09\0\x02\xff\0",
        b"\x26\0\x01k\0\x01v",
        b"\x03\0\x04text",
        b"\x26\0\x01k\0\x01w",
    ]
    .concat();
    let expiry = b"\x02\0\0\0\x0a";
    ada.send(&saying(0x32, 3, "t", &[&said[..], expiry].concat(), b"x")).await;
    assert_eq!(read(&mut ada).await.first, 0x40);
    let heard = message(&mut ada, 5).await;
    assert_eq!(heard.properties, [&said[..], expiry, b"\x0b\x09"].concat());
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_message_waited_is_taken_off() {
    let edge = open();
    let (mut ada, _, _closed) = HELLO.come(&edge).await;
    ada.send(&saying(0x33, 3, "t", b"\x02\0\0\0\x0a", b"x")).await;
    assert_eq!(read(&mut ada).await.first, 0x40);
    sleep(Duration::from_millis(4_200)).await;
    assert_eq!(wish(&mut ada, "t", 0, None).await, 0);
    let heard = message(&mut ada, 5).await;
    assert_eq!((heard.first, &heard.properties[..]), (0x31, &b"\x02\0\0\0\x06"[..]));
    sleep(Duration::from_secs(6)).await;
    assert_eq!(wish(&mut ada, "t", 0, None).await, 0);
    assert!(is_silent(&mut ada).await, "it has expired");
}

#[tokio::test(start_paused = true)]
async fn topics_have_numbers_both_ways_within_what_each_side_takes() {
    let edge = open();
    let (mut ada, _, _closed) = Hello { properties: b"\x22\0\x01", ..HELLO }.come(&edge).await;
    assert_eq!(wish(&mut ada, "#", 0, None).await, 0);
    ada.send(&saying(0x30, 0, "first", b"\x23\0\x04", b"1")).await;
    ada.send(&saying(0x30, 0, "", b"\x23\0\x04", b"2")).await;
    ada.send(&saying(0x30, 0, "second", &[], b"3")).await;
    let heard =
        [message(&mut ada, 5).await, message(&mut ada, 5).await, message(&mut ada, 5).await];
    let seen = heard.each_ref().map(|it| (&*it.topic, &it.properties[..], &*it.payload));
    let number = &b"\x23\0\x01"[..];
    assert_eq!(seen, [("first", number, "1"), ("", number, "2"), ("second", &[], "3")]);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_a_client_is_as_if_it_were_sent() {
    let edge = open();
    let properties = b"\x27\0\0\0\x30\x21\0\x01";
    let (mut ada, _, _closed) = Hello { properties, ..HELLO }.come(&edge).await;
    assert_eq!(wish(&mut ada, "t", 1, None).await, 1);
    ada.send(&saying(0x32, 3, "t", &[], &[b'x'; 90])).await;
    ada.send(&saying(0x32, 4, "t", &[], b"small")).await;
    assert_eq!(read(&mut ada).await.body[..2], [0, 3]);
    let mut rest = [read(&mut ada).await.first, message(&mut ada, 5).await.first];
    rest.sort_unstable();
    assert_eq!(rest, [0x32, 0x40], "the window is free for the next");
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_is_sent_again_what_it_did_not_acknowledge() {
    let edge = open();
    let (mut ada, present, closed) = KEPT.come(&edge).await;
    assert!(!present);
    assert_eq!(wish(&mut ada, "t", 2, None).await, 2);
    let (mut bob, _, _b) = Hello { id: "bob", ..HELLO }.come(&edge).await;
    bob.publish(1, 1, "t", b"one").await;
    bob.publish(2, 2, "t", b"two").await;
    let (one, two) = (message(&mut ada, 5).await, message(&mut ada, 5).await);
    let [high, low] = two.id.to_be_bytes();
    ada.send(&[0x50, 2, high, low]).await;
    assert_eq!(read(&mut ada).await.first, 0x62);
    drop(ada);
    assert_eq!(closed.await.unwrap(), Closed::Gone);
    bob.publish(1, 3, "t", b"three").await;

    let (mut ada, present, _closed) = KEPT.come(&edge).await;
    assert!(present);
    let again = message(&mut ada, 5).await;
    assert_eq!((again.first, again.id, &*again.payload), (0x3a, one.id, "one"));
    let release = read(&mut ada).await;
    assert_eq!((release.first, &release.body[..]), (0x62, &[high, low][..]));
    let three = message(&mut ada, 5).await;
    assert_eq!((three.first, &*three.payload), (0x32, "three"));
    assert!(three.id != one.id && three.id != two.id);
}

#[tokio::test(start_paused = true)]
async fn a_publish_of_qos_2_is_taken_once_over_two_connections() {
    let edge = open();
    let (mut bob, _, _b) = Hello { id: "bob", ..HELLO }.come(&edge).await;
    assert_eq!(wish(&mut bob, "t", 0, None).await, 0);
    for version in [4, 5] {
        let kept = if version == 5 { KEPT.properties } else { &[] };
        let kept = Hello { version, properties: kept, ..KEPT };
        let (mut ada, _, closed) = kept.come(&edge).await;
        ada.publish(2, 9, "t", b"once").await;
        assert_eq!(read(&mut ada).await.first, 0x50);
        assert_eq!(message(&mut bob, 5).await.payload, "once");
        drop(ada);
        closed.await.unwrap();

        let (mut ada, present, closed) = kept.come(&edge).await;
        assert!(present);
        let mut again = publish(version, 2, 9, "t", b"once");
        again[0] |= 8;
        ada.send(&again).await;
        assert_eq!(read(&mut ada).await.first, 0x50);
        ada.send(&[0x62, 2, 0, 9]).await;
        let completed = read(&mut ada).await;
        assert_eq!((completed.first, completed.body.get(2)), (0x70, None), "it is known");
        ada.publish(2, 9, "t", b"another").await;
        assert_eq!(read(&mut ada).await.first, 0x50);
        assert_eq!(message(&mut bob, 5).await.payload, "another");
        ada.send(&[0x62, 2, 0, 9]).await;
        assert_eq!(read(&mut ada).await.first, 0x70);
        ada.send(&DISCONNECT).await;
        closed.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_kept_for_as_long_as_was_said_last() {
    let edge = open();
    let ten = Hello { properties: b"\x11\0\0\0\x0a", ..KEPT };
    let (mut ada, _, closed) = ten.come(&edge).await;
    ada.send(&DISCONNECT).await;
    closed.await.unwrap();
    sleep(Duration::from_secs(9)).await;
    let (mut ada, present, closed) = ten.come(&edge).await;
    assert!(present);
    ada.send(&packet(0xe0, b"\0\x05\x11\0\0\0\x02")).await;
    closed.await.unwrap();
    sleep(Duration::from_secs(3)).await;
    let (mut ada, present, closed) = Hello { properties: &[], ..KEPT }.come(&edge).await;
    assert!(!present);
    // Out of nothing a DISCONNECT makes no session.
    ada.send(&packet(0xe0, b"\0\x05\x11\0\0\0\x02")).await;
    let farewell = read(&mut ada).await;
    assert_eq!((farewell.first, farewell.body[0]), (0xe0, 0x82));
    drop(ada);
    assert!(matches!(closed.await.unwrap(), Closed::Faulty(_)));
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_name_can_come_back_by_the_one_that_it_was_given() {
    let edge = open().with_nonce(7);
    let (mut client, closed) = dial(&edge, 5);
    client.send(&Hello { id: "", ..KEPT }.bytes()).await;
    let connack = read(&mut client).await;
    let at = connack.body.windows(9).position(|it| it.ends_with(b"player-")).unwrap();
    let length = usize::from(connack.body[at + 1]);
    let name = String::from_utf8(connack.body[at + 2..at + 2 + length].to_vec()).unwrap();
    assert!(name.contains("0000000000000007"), "{name}");
    client.send(&DISCONNECT).await;
    closed.await.unwrap();
    let (_client, present, _closed) = Hello { id: &name, ..KEPT }.come(&edge).await;
    assert!(present, "{name}");
}

#[tokio::test(start_paused = true)]
async fn a_will_is_published_as_its_client_said() {
    let edge = open();
    let (mut bob, _, _b) = Hello { id: "bob", ..HELLO }.come(&edge).await;
    assert_eq!(wish(&mut bob, "gone/+", 2, None).await, 2);
    // QoS 2 and retained, after two seconds.
    let properties = b"\x18\0\0\0\x02\x26\0\x01k\0\x01v";
    let hello = Hello { will: Some(("gone/ada", b"bye", 0x30, properties)), ..KEPT };
    let (ada, _, closed) = hello.come(&edge).await;
    drop(ada);
    closed.await.unwrap();
    assert!(is_silent(&mut bob).await);
    let heard = message(&mut bob, 5).await;
    assert_eq!((heard.first, &*heard.payload), (0x34, "bye"));
    assert_eq!(heard.properties, b"\x26\0\x01k\0\x01v");
    assert_eq!(wish(&mut bob, "gone/ada", 0, None).await, 0);
    assert_eq!(message(&mut bob, 5).await.first, 0x31, "it was kept");

    let v3 = Hello { version: 4, will: Some(("gone/v3", b"bye", 0, &[])), ..HELLO };
    let (mut ada, _, closed) = v3.come(&edge).await;
    ada.send(&DISCONNECT).await;
    closed.await.unwrap();
    assert!(is_silent(&mut bob).await, "not after a goodbye");
    let (ada, _, closed) = v3.come(&edge).await;
    drop(ada);
    closed.await.unwrap();
    assert_eq!(message(&mut bob, 5).await.topic, "gone/v3");
}

/// A stream whose end does not notice what comes.
struct Deaf {
    io: DuplexStream,
    is_deaf: Arc<AtomicBool>,
}

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_deaf.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_read(cx, into)
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Somebody says goodbye and comes again, and the new connection's task has its turn first.
#[tokio::test(start_paused = true)]
async fn a_goodbye_counts_though_its_sender_is_back_before_it_was_read() {
    let edge = open();
    let (mut eve, ..) = Hello { id: "eve", ..HELLO }.come(&edge).await;
    assert_eq!(wish(&mut eve, "wills", 0, None).await, 0);
    let (is_deaf, (io, theirs)) = (Arc::new(AtomicBool::new(false)), duplex(64 * 1024));
    let theirs = Deaf { io: theirs, is_deaf: Arc::clone(&is_deaf) };
    let (serving, remote) = (edge.clone(), SocketAddr::from(([127, 0, 0, 1], 9)));
    let closed = tokio::spawn(async move { serve(theirs, remote, &serving).await });
    let mut ada = Client::new(io, 5);
    ada.send(&Hello { will: Some(("wills", b"gone", 0, b"")), ..KEPT }.bytes()).await;
    assert_eq!(read(&mut ada).await.first, 0x20);
    is_deaf.store(true, Ordering::Relaxed);
    // Her session is to end with it.
    ada.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0]).await;
    tokio::task::yield_now().await;
    is_deaf.store(false, Ordering::Relaxed);
    let (_ada, is_present, _) = KEPT.come(&edge).await;
    assert_eq!(closed.await.unwrap(), Closed::Disconnected);
    assert!(!is_present, "it ended with her goodbye");
    assert!(is_silent(&mut eve).await, "who says goodbye leaves no will");
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_takes_the_session_over() {
    let edge = open();
    let (mut old, _, closed) = KEPT.come(&edge).await;
    assert_eq!(wish(&mut old, "t", 1, None).await, 1);
    let (mut new, present, _closed) = KEPT.come(&edge).await;
    assert!(present);
    let farewell = read(&mut old).await;
    assert_eq!((farewell.first, farewell.body[0]), (0xe0, 0x8e));
    drop(old);
    assert_eq!(closed.await.unwrap(), Closed::TakenOver);
    new.publish(1, 1, "t", b"x").await;
    let mut firsts = [read(&mut new).await.first, read(&mut new).await.first];
    firsts.sort_unstable();
    assert_eq!(firsts, [0x32, 0x40]);
}

#[tokio::test(start_paused = true)]
async fn what_no_broker_may_take_ends_the_connection() {
    let numbered = saying(0x30, 0, "t", b"\x0b\x01", b"x");
    let wish = |filter: &str, options| {
        packet(0x82, &[&[0, 7, 0][..], &string(filter), &[options]].concat())
    };
    let nothing = packet(0x82, &[&[0, 7, 2, 0x0b, 0][..], &string("t"), &[0]].concat());
    let two_numbers =
        packet(0x82, &[&[0, 7, 4, 0x0b, 1, 0x0b, 2][..], &string("t"), &[0]].concat());
    let nowhere = saying(0x30, 0, "t", b"\x08\0\0", b"x");
    let cases = [
        (numbered, 0x82),
        (two_numbers, 0x82),
        (nowhere, 0x82),
        (wish("$share/g/t", 4), 0x82),
        (nothing, 0x82),
        (wish("$share/g", 0), 0x81),
        (wish("$share/+/t", 0), 0x81),
    ];
    for (bytes, reason) in cases {
        let (mut ada, _, closed) = HELLO.come(&open()).await;
        ada.send(&bytes).await;
        let farewell = read(&mut ada).await;
        assert_eq!((farewell.first, farewell.body[0]), (0xe0, reason), "{bytes:02x?}");
        drop(ada);
        assert!(matches!(closed.await.unwrap(), Closed::Faulty(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_full_says_so_with_its_reason() {
    let limits = OpenLimits {
        sessions_max: 2,
        session_filters_max: 1,
        queue_max: 1,
        retained_max: 1,
        ..OpenLimits::default()
    };
    let edge = broker(limits);
    let (mut ada, _, _a) = KEPT.come(&edge).await;
    let (_bob, _, _b) = Hello { id: "bob", ..KEPT }.come(&edge).await;
    for (version, code) in [(4, 3), (5, 0x97)] {
        let (mut eve, closed) = dial(&edge, version);
        eve.send(&Hello { version, id: "eve", ..HELLO }.bytes()).await;
        let connack = read(&mut eve).await;
        assert_eq!((connack.first, &connack.body[..2]), (0x20, &[0, code][..]));
        drop(eve);
        assert_eq!(closed.await.unwrap(), Closed::BrokerFull);
    }
    assert_eq!(wish(&mut ada, "a", 0, None).await, 0);
    assert_eq!(wish(&mut ada, "b", 0, None).await, 0x97);
    assert_eq!(wish(&mut ada, &"x/".repeat(3_000), 0, None).await, 0x8f);
    for (topic, id, reason) in [("r/1", 1, 0), ("r/2", 2, 0x97), ("r/1", 3, 0)] {
        let mut retained = publish(5, 1, id, topic, b"x");
        retained[0] |= 1;
        ada.send(&retained).await;
        let puback = read(&mut ada).await;
        let said = puback.body.get(2).copied().unwrap_or_default();
        assert_eq!((puback.first, said), (0x40, reason), "{topic}");
    }
    let mut twice = publish(5, 2, 4, "r/2", b"x");
    twice[0] |= 1;
    ada.send(&twice).await;
    let pubrec = read(&mut ada).await;
    assert_eq!((pubrec.first, pubrec.body[2]), (0x50, 0x97));
    ada.send(&unsubscribe(5, 8, &["a", "nothing"])).await;
    assert_eq!(read(&mut ada).await.body[..], [0, 8, 0, 0, 0x11]);
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_is_not_acknowledged_where_an_acknowledgement_cannot_say_no() {
    let edge = broker(OpenLimits { retained_max: 1, ..OpenLimits::default() });
    let retained = |qos: u8, id: u16, topic: &str| {
        let mut publish = publish(4, qos, id, topic, b"x");
        publish[0] |= 1;
        publish
    };
    for qos in [1, 2] {
        let (mut ada, _, closed) = Hello { version: 4, ..HELLO }.come(&edge).await;
        ada.send(&retained(1, 1, "r/1")).await;
        assert_eq!(read(&mut ada).await.first, 0x40);
        ada.send(&retained(0, 0, "r/2")).await;
        ada.send(&retained(qos, 2, "r/2")).await;
        assert_eq!(ada.read().await, None, "the end of the connection, and no acknowledgement");
        drop(ada);
        assert_eq!(closed.await.unwrap(), Closed::BrokerFull);
    }
}

#[tokio::test(start_paused = true)]
async fn the_players_of_the_node_are_not_asked() {
    let players = FakePlayers::new();
    let edge = Edge::new(Arc::clone(&players) as _, Limits::default());
    let edge = edge.with_open_profile(OpenLimits::default());
    let (mut ada, _, _closed) = HELLO.come(&edge).await;
    ada.publish(1, 1, "connect/2a", b"{}").await;
    let puback = read(&mut ada).await;
    assert_eq!((puback.first, puback.body.get(2).copied().unwrap_or_default()), (0x40, 0));
    assert!(players.topics().is_empty());
}

#[tokio::test(start_paused = true)]
async fn mutated_dialogues_end_in_order_and_leave_the_broker_as_it_was() {
    let edge = open();
    let mut random = ChaCha12Rng::seed_from_u64(7);
    for round in 0..3_000_u32 {
        let version = 4 + (round % 2) as u8;
        let will = Some(("t", &b"gone"[..], 0x10, &b"\x18\0\0\0\x01"[..]));
        let properties = if version == 5 { KEPT.properties } else { &[] };
        let hello = Hello { version, properties, will, clean: round % 3 == 0, ..HELLO };
        let mut bytes = [
            hello.bytes(),
            subscribe(version, 1, &["t", "#", "$share/g/+"]),
            publish(version, 1, 2, "t", b"x"),
            publish(version, 2, 3, "t", b"y"),
            vec![0x62, 2, 0, 3, 0x40, 2, 0, 1, 0x50, 2, 0, 2, 0x70, 2, 0, 2],
            unsubscribe(version, 4, &["t", "$share/g/+"]),
            DISCONNECT.to_vec(),
        ]
        .concat();
        for _ in 0..random.next_u32() % 4 {
            let at = random.next_u32() as usize % bytes.len();
            bytes[at] = random.next_u32() as u8;
        }
        let (mut client, closed) = dial(&edge, version);
        // It may be hung up on before all is written.
        let _ = client.io.write_all(&bytes).await;
        drop(client);
        closed.await.expect("no panic");
    }
    let (mut ada, _, _closed) = Hello { id: "whole", ..HELLO }.come(&edge).await;
    assert_eq!(wish(&mut ada, "whole", 0, None).await, 0);
    ada.publish(0, 0, "whole", b"x").await;
    assert_eq!(message(&mut ada, 5).await.payload, "x");
}

const RULES: &str = "
allow client:scribe both      #
deny  all           subscribe secret/#
deny  all           publish   react/#
deny  all           publish   $hidden/#
";

#[tokio::test(start_paused = true)]
async fn no_filter_leads_around_the_access_rules() {
    let edge = Edge::new(FakePlayers::new(), Limits::default()).with_acl(RULES.parse().unwrap());
    let edge = edge.with_open_profile(OpenLimits::default());
    let (mut scribe, _, _s) = Hello { id: "scribe", ..HELLO }.come(&edge).await;
    let mut kept = publish(5, 1, 1, "secret/x", b"kept");
    kept[0] |= 1;
    scribe.send(&kept).await;
    assert_eq!(read(&mut scribe).await.first, 0x40);
    let (mut ada, _, _a) = HELLO.come(&edge).await;
    for denied in ["secret/x", "secret/#", "$share/g/secret/x", "$share/g/secret/+"] {
        assert_eq!(wish(&mut ada, denied, 1, None).await, 0x87, "{denied}");
    }
    for filter in ["#", "+/x", "+/#", "$share/g/#", "$share/g/+/x"] {
        assert_eq!(wish(&mut ada, filter, 1, None).await, 1, "{filter}");
    }
    scribe.publish(1, 2, "secret/x", b"live").await;
    assert_eq!(read(&mut scribe).await.first, 0x40);
    assert!(is_silent(&mut ada).await, "neither what is retained nor what is said");
    // A member of the group that may hear has it all.
    assert_eq!(wish(&mut scribe, "$share/g/#", 0, None).await, 0);
    for _ in 0..2 {
        scribe.publish(0, 0, "secret/x", b"live").await;
        assert_eq!(message(&mut scribe, 5).await.payload, "live");
    }
    scribe.publish(0, 0, "open/x", b"heard").await;
    assert_eq!(message(&mut ada, 5).await.payload, "heard");
}

#[tokio::test(start_paused = true)]
async fn a_will_says_nothing_that_its_client_may_not() {
    let edge = Edge::new(FakePlayers::new(), Limits::default()).with_acl(RULES.parse().unwrap());
    let edge = edge.with_open_profile(OpenLimits::default());
    let (mut scribe, _, _s) = Hello { id: "scribe", ..HELLO }.come(&edge).await;
    assert_eq!(wish(&mut scribe, "#", 0, None).await, 0);
    for (version, code) in [(4, 5), (5, 0x87)] {
        for topic in ["react/x", "$hidden/x"] {
            let (mut ada, closed) = dial(&edge, version);
            let will = Some((topic, &b"gone"[..], 0, &b""[..]));
            ada.send(&Hello { version, will, ..HELLO }.bytes()).await;
            let connack = read(&mut ada).await;
            assert_eq!((connack.first, &connack.body[..2]), (0x20, &[0, code][..]), "{topic}");
            drop(ada);
            assert!(matches!(closed.await.unwrap(), Closed::WillDenied(_)));
        }
    }
    assert!(is_silent(&mut scribe).await);
    let will = Some(("other/x", &b"gone"[..], 0, &b""[..]));
    let (ada, _, closed) = Hello { will, ..HELLO }.come(&edge).await;
    drop(ada);
    closed.await.unwrap();
    assert_eq!(message(&mut scribe, 5).await.payload, "gone");
}
