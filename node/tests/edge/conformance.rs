//! Statements of both standards that no other test is about, one by one against a served stream. The table
//! of all of them is in node/docs/conformance.md.

use crate::client::{
    Client, DISCONNECT, PINGREQ, Packet, connect, packet, publish, string, subscribe, unsubscribe,
};
use crate::players::FakePlayers;
use bytes::Bytes;
use futures_util::SinkExt as _;
use node::edge::{Closed, Edge, Limits, serve};
use node::service::Frame;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

type Served = (Client<DuplexStream>, JoinHandle<Closed>);

/// A client that has said nothing yet.
fn dial(players: &Arc<FakePlayers>, version: u8) -> Served {
    dial_edge(&Edge::new(Arc::clone(players) as _, Limits::default()), version)
}

fn dial_edge(edge: &Edge, version: u8) -> Served {
    let edge = edge.clone();
    let (io, theirs) = duplex(64 * 1024);
    let remote = SocketAddr::from(([127, 0, 0, 1], 9));
    let closed = tokio::spawn(async move { serve(theirs, remote, &edge).await });
    (Client::new(io, version), closed)
}

async fn welcomed(players: &Arc<FakePlayers>, version: u8, properties: &[u8]) -> Served {
    let (mut client, closed) = dial(players, version);
    client.send(&connect(version, "ada", 30, properties)).await;
    let connack = client.read().await.expect("a CONNACK");
    assert_eq!((connack.first, connack.body[1]), (0x20, 0));
    (client, closed)
}

/// Sends bytes for which the node has to close the connection.
async fn ends(version: u8, bytes: &[u8]) {
    let players = FakePlayers::new();
    let (mut client, closed) = welcomed(&players, version, &[]).await;
    client.send(bytes).await;
    while let Some(packet) = client.read().await {
        assert_eq!(packet.first, 0xe0, "nothing but a DISCONNECT: {packet:?} to {bytes:02x?}");
    }
    drop(client);
    assert!(matches!(closed.await.unwrap(), Closed::Faulty(_)), "{bytes:02x?}");
    assert!(players.topics().is_empty(), "nothing of it was taken: {bytes:02x?}");
}

#[tokio::test(start_paused = true)]
async fn ill_formed_text_ends_the_connection() {
    // Not UTF-8, a surrogate, an overlong form, U+0000.
    for text in [&b"a\xff"[..], b"\xed\xa0\x80", b"\xc0\x80", b"a\0b"] {
        let named = [&(text.len() as u16).to_be_bytes()[..], text].concat();
        for version in [4, 5] {
            let no_properties = if version == 5 { &[0][..] } else { &[] };
            ends(version, &packet(0x30, &[&named[..], no_properties].concat())).await;
            let wish = [&[0, 7][..], no_properties, &named, &[0]].concat();
            ends(version, &packet(0x82, &wish)).await;
            let give_up = [&[0, 7][..], no_properties, &named].concat();
            ends(version, &packet(0xa2, &give_up)).await;
        }
        let (well_formed, length) = (string("k"), named.len() as u8 + 4);
        for pair in [[&well_formed[..], &named], [&named[..], &well_formed]] {
            let users = [&string("t")[..], &[length, 0x26], &pair.concat()].concat();
            ends(5, &packet(0x30, &users)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_byte_order_mark_is_part_of_the_text() {
    let players = FakePlayers::new();
    for version in [4, 5] {
        let (mut client, _closed) = welcomed(&players, version, &[]).await;
        client.publish(1, 9, "answer/\u{feff}2a", b"x").await;
        assert_eq!(client.read().await.unwrap().body[..2], [0, 9]);
    }
    assert_eq!(players.topics(), ["answer/\u{feff}2a", "answer/\u{feff}2a"]);
}

#[tokio::test(start_paused = true)]
async fn a_packet_without_what_it_is_about_ends_the_connection() {
    for version in [4, 5] {
        let no_properties = if version == 5 { &[0][..] } else { &[] };
        let empty = [&[0, 7][..], no_properties].concat();
        ends(version, &packet(0x82, &empty)).await;
        ends(version, &packet(0xa2, &empty)).await;
        ends(version, &packet(0x30, &[])).await;
    }
}

#[tokio::test(start_paused = true)]
async fn reserved_bits_of_subscription_options_end_the_connection() {
    for (version, options) in [(4, 0x04), (4, 0x40), (4, 3), (5, 0x40), (5, 0x80), (5, 3)] {
        let mut wish = subscribe(version, 7, &["live/482913"]);
        *wish.last_mut().unwrap() = options;
        ends(version, &wish).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_property_twice_or_out_of_place_ends_the_connection() {
    let twice = [&[0x01, 0, 0x01, 0][..], &[0x23, 0, 1, 0x23, 0, 1]];
    for properties in twice {
        let body = [&string("t")[..], &[properties.len() as u8], properties].concat();
        ends(5, &packet(0x30, &body)).await;
    }
    // A server keep-alive in a publish, and a topic alias of zero.
    for properties in [&[0x13, 0, 9][..], &[0x23, 0, 0]] {
        let body = [&string("t")[..], &[properties.len() as u8], properties].concat();
        ends(5, &packet(0x30, &body)).await;
    }
    // Wildcards where an answer is wanted.
    let body = [&string("t")[..], &[6, 0x08], &string("a/#")].concat();
    ends(5, &packet(0x30, &body)).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_looked_at_after_a_refused_connect() {
    let players = FakePlayers::new();
    for version in [4, 5] {
        let (mut client, closed) = dial(&players, version);
        let mut refused = connect(version, "ada", 30, b"");
        refused[8] = 9; // the version that is asked for
        client.send(&[refused, publish(version, 0, 0, "t", b"x")].concat()).await;
        let connack = client.read().await.unwrap();
        assert_eq!(connack.first, 0x20);
        assert_eq!(connack.body[0], 0, "no session is present");
        assert_eq!(client.read().await, None, "and the end");
        drop(client);
        assert!(matches!(closed.await.unwrap(), Closed::Faulty(_)));
    }
    assert!(players.topics().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_second_connect_ends_the_connection_and_has_no_connack_of_its_own() {
    for version in [4, 5] {
        ends(version, &connect(version, "ada", 30, &[])).await;
        ends(version, &connect(version, "bob", 30, &[])).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_start_afresh_and_has_no_session_begins_one() {
    for version in [4, 5] {
        let (mut client, _closed) = dial(&FakePlayers::new(), version);
        let mut bytes = connect(version, "ada", 30, &[]);
        bytes[9] = 0;
        client.send(&bytes).await;
        let connack = client.read().await.expect("a CONNACK");
        assert_eq!((connack.first, &connack.body[..2]), (0x20, &[0, 0][..]), "none is present");
        client.send(&PINGREQ).await;
        assert_eq!(client.read().await.unwrap().first, 0xd0);
    }
}

#[tokio::test(start_paused = true)]
async fn every_alias_that_was_granted_is_taken_and_ends_with_its_connection() {
    let aliased = |topic: &str, alias: u8| {
        let body = [&string(topic)[..], &[0, alias, 3, 0x23, 0, alias], b"x"].concat();
        packet(0x32, &body)
    };
    let players = FakePlayers::new();
    let edge = Edge::new(Arc::clone(&players) as _, Limits::default());
    let mut topics = Vec::new();
    for _ in 0..2 {
        let (mut client, closed) = dial_edge(&edge, 5);
        client.send(&connect(5, "ada", 30, &[])).await;
        let connack = client.read().await.unwrap().body;
        assert!(connack.windows(3).any(|it| it == [0x22, 0, 4]), "four: {connack:02x?}");
        for alias in 1..=4 {
            let topic = format!("answer/0{alias}");
            for said in [topic.as_str(), ""] {
                client.send(&aliased(said, alias)).await;
                assert_eq!(client.read().await.unwrap().body[..3], [0, alias, 0]);
                topics.push(topic.clone());
            }
        }
        client.send(&DISCONNECT).await;
        closed.await.unwrap();
        // The same client, and what it may have hoped to be known.
        let (mut back, closed) = dial_edge(&edge, 5);
        back.send(&connect(5, "ada", 30, &[])).await;
        back.read().await.unwrap();
        back.send(&aliased("", 1)).await;
        let farewell = back.read().await.unwrap();
        assert_eq!((farewell.first, farewell.body[0]), (0xe0, 0x94));
        assert_eq!(back.read().await, None, "nothing follows");
        drop(back);
        closed.await.unwrap();
    }
    assert_eq!(players.topics(), topics);
}

#[tokio::test(start_paused = true)]
async fn everything_before_a_connect_ends_the_connection_in_silence() {
    for version in [4, 5] {
        for bytes in [&PINGREQ[..], &DISCONNECT, &publish(version, 0, 0, "t", b"x")] {
            let players = FakePlayers::new();
            let (mut client, closed) = dial(&players, version);
            client.send(bytes).await;
            assert_eq!(client.read().await, None);
            drop(client);
            assert!(matches!(closed.await.unwrap(), Closed::Faulty(_)));
            assert!(players.topics().is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_payload_of_a_connect_is_what_its_flags_say() {
    for version in [4, 5] {
        // A will that is not there, a user name that is not there, and one that is there unannounced.
        for flags in [0x06, 0x82] {
            let players = FakePlayers::new();
            let (mut client, closed) = dial(&players, version);
            let mut bytes = connect(version, "ada", 30, &[]);
            bytes[9] = flags;
            client.send(&bytes).await;
            client.send(&[0; 8]).await;
            while let Some(packet) = client.read().await {
                assert!(packet.first == 0x20 && packet.body[1] != 0, "{packet:?}");
            }
            drop(client);
            assert!(matches!(closed.await.unwrap(), Closed::Faulty(_)), "flags {flags:#x}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn client_ids_of_every_usual_kind_are_taken() {
    let letters: String = ('0'..='9').chain('a'..='z').chain('A'..='Z').collect();
    let long = "x".repeat(200);
    for version in [4, 5] {
        for id in ["a", &letters[..23], &letters[39..], &long, "mit Umlaut ü"] {
            let (mut client, _closed) = dial(&FakePlayers::new(), version);
            let mut body = b"\0\x04MQTT".to_vec();
            body.extend([version, 2, 0, 30]);
            body.extend(if version == 5 { &[0][..] } else { &[] });
            body.extend(string(id));
            client.send(&packet(0x10, &body)).await;
            assert_eq!(client.read().await.unwrap().body[..2], [0, 0], "{id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_filters_in_a_packet_are_answered_one_by_one_and_in_order() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        players.show("state");
        let (mut client, _closed) = welcomed(&players, version, &[]).await;
        let filters = ["nowhere", "live/482913", "live/+", "inbox/ada", "inbox/mallory"];
        client.send(&subscribe(version, 300, &filters)).await;
        let suback = client.read().await.unwrap();
        assert_eq!((suback.first, &suback.body[..2]), (0x90, &[1, 44][..]));
        let codes = &suback.body[suback.body.len() - filters.len()..];
        let refused = |code| if version == 5 { code } else { 0x80 };
        assert_eq!(codes, [refused(0x8f), 0, refused(0xa2), 0, refused(0x87)]);
        assert_eq!(client.message().await, "state");

        client.send(&unsubscribe(version, 301, &["inbox/bob", "live/482913"])).await;
        let unsuback = client.read().await.unwrap();
        assert_eq!((unsuback.first, &unsuback.body[..2]), (0xb0, &[1, 45][..]));
        if version == 5 {
            assert_eq!(unsuback.body[3..], [0x11, 0], "there was none, and there was one");
        }
        players.show("unseen");
        players.inbox("inbox/ada").send(frame("inbox/ada", "seen")).await.unwrap();
        assert_eq!(client.message().await, "seen", "what is given up brings nothing more");
    }
}

fn frame(topic: &str, payload: &'static str) -> Arc<Frame> {
    Arc::new(Frame::new(topic, payload, false))
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_is_held_already_is_replaced_and_its_state_sent_again() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        players.show("state");
        let (mut client, _closed) = welcomed(&players, version, &[]).await;
        for _ in 0..2 {
            client.subscribe("live/482913").await;
            assert_eq!(client.message().await, "state");
        }
        players.show("newer");
        assert_eq!(client.message().await, "newer");
        client.send(&PINGREQ).await;
        assert_eq!(client.read().await.unwrap().first, 0xd0, "once, not twice");
    }
}

#[tokio::test(start_paused = true)]
async fn who_wants_the_retain_flag_as_published_has_it_on_what_comes_later() {
    // Subscription options (without and with it, and with it for later states only), and how what comes begins.
    let cases: [(u8, &[(u8, &str)]); 3] = [
        (0x00, &[(0x31, "now"), (0x30, "later")]),
        (0x08, &[(0x31, "now"), (0x31, "later")]),
        (0x28, &[(0x31, "later")]),
    ];
    for (options, expected) in cases {
        let players = FakePlayers::new();
        players.show("now");
        let (mut client, _closed) = welcomed(&players, 5, &[]).await;
        let mut wish = subscribe(5, 7, &["live/482913", "inbox/ada"]);
        let live = wish.len() - 1 - string("inbox/ada").len() - 1;
        (wish[live], *wish.last_mut().unwrap()) = (options, options);
        client.send(&wish).await;
        assert_eq!(client.read().await.unwrap().first, 0x90);
        for (first, text) in expected {
            if *text == "later" {
                players.show("later");
            }
            let message = client.read().await.unwrap();
            assert!(message.body.ends_with(text.as_bytes()), "{message:?}");
            assert_eq!(message.first, *first, "options {options:#x}, {text}");
        }
        players.inbox("inbox/ada").send(frame("inbox/ada", "hello")).await.unwrap();
        assert_eq!(client.read().await.unwrap().first, 0x30, "an inbox retains nothing");
    }
}

/// Of what it publishes itself the acknowledgement tells it: where that cannot say all, the inbox does.
#[tokio::test(start_paused = true)]
async fn who_wants_nothing_of_its_own_has_its_receipts_once() {
    // Properties of the CONNECT: none; no problem information; packets of 255 bytes at most.
    let few = [0x17, 0];
    let short = [0x27, 0, 0, 0, 0xff];
    let cases: [(u8, &[u8], u8, bool); 6] = [
        (5, &[], 1, true),
        (5, &[], 2, true),
        (5, &[], 0, false),
        (5, &few, 1, false),
        (5, &short, 1, false),
        (4, &[], 1, false),
    ];
    for (version, properties, qos, is_own) in cases {
        let players = FakePlayers::new();
        let (mut client, _closed) = welcomed(&players, version, properties).await;
        let mut wish = subscribe(version, 7, &["live/482913", "inbox/ada"]);
        *wish.last_mut().unwrap() = if version == 5 { 0x04 } else { 0 };
        client.send(&wish).await;
        assert_eq!(client.read().await.unwrap().first, 0x90);
        client.send(&publish(version, qos, 9, "answer/2a", b"x")).await;
        client.send(&PINGREQ).await;
        while client.read().await.unwrap().first != 0xd0 {}
        let (owns, opened) = (players.owns.lock().unwrap(), players.opened.lock().unwrap());
        assert_eq!(
            (opened[0], opened[1].is_some()),
            (None, version == 5),
            "only where it is asked for"
        );
        assert_eq!(owns[0].is_some(), is_own, "MQTT {version}, {properties:x?}, QoS {qos}");
        assert!(!is_own || owns[0] == opened[1], "they are one connection's");
    }
}

/// What a node sends has the shortest lengths. That a client's are longer than need be harms nobody.
#[tokio::test(start_paused = true)]
async fn lengths_in_more_bytes_than_needed_are_read_all_the_same() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        let (mut client, _closed) = welcomed(&players, version, &[]).await;
        client.send(&[0xc0, 0x80, 0]).await;
        assert_eq!(client.read().await, Some(Packet { first: 0xd0, body: Bytes::new() }));
        let short = publish(version, 1, 9, "answer/2a", b"x");
        let long = [&[short[0], short[1] | 0x80, 0x80, 0][..], &short[2..]].concat();
        client.send(&long).await;
        assert_eq!(client.read().await.unwrap().body[..2], [0, 9]);
        assert_eq!(players.topics(), ["answer/2a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn filters_are_compared_character_by_character() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        players.show("state");
        let (mut client, _closed) = welcomed(&players, version, &[]).await;
        client.subscribe("live/482913").await;
        assert_eq!(client.message().await, "state");
        client.send(&unsubscribe(version, 9, &["live/482913/", "Live/482913", "+/482913"])).await;
        assert_eq!(client.read().await.unwrap().first, 0xb0);
        players.show("newer");
        assert_eq!(client.message().await, "newer");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_completed_after_its_filter_is_given_up() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        let (mut client, _closed) = welcomed(&players, version, &[]).await;
        let mut wish = subscribe(version, 7, &["inbox/ada"]);
        *wish.last_mut().unwrap() = 2;
        client.send(&wish).await;
        client.read().await.unwrap();
        players.inbox("inbox/ada").send(frame("inbox/ada", "hello")).await.unwrap();
        let message = client.read().await.unwrap();
        assert_eq!(message.first, 0x34);
        let id = [message.body[11], message.body[12]];
        client.send(&unsubscribe(version, 9, &["inbox/ada"])).await;
        assert_eq!(client.read().await.unwrap().first, 0xb0);
        client.send(&packet(0x50, &id)).await;
        let pubrel = client.read().await.unwrap();
        assert_eq!((pubrel.first, &pubrel.body[..2]), (0x62, &id[..]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_at_most_as_wished_and_has_no_dup_flag() {
    for (version, qos) in [(4, 0), (4, 1), (5, 0), (5, 1)] {
        let players = FakePlayers::new();
        let (mut client, _closed) = welcomed(&players, version, &[]).await;
        let mut wish = subscribe(version, 7, &["inbox/ada"]);
        *wish.last_mut().unwrap() = qos;
        client.send(&wish).await;
        assert_eq!(client.read().await.unwrap().body.last(), Some(&qos));
        players.inbox("inbox/ada").send(frame("inbox/ada", "hello")).await.unwrap();
        let message = client.read().await.unwrap();
        assert_eq!(message.first, 0x30 | qos << 1);
        assert_eq!(&message.body[..11], b"\0\x09inbox/ada", "the topic that was wished for");
    }
}

#[tokio::test(start_paused = true)]
async fn what_clients_publish_as_retained_is_not_kept() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        let (mut client, _closed) = welcomed(&players, version, &[]).await;
        let mut retained = publish(version, 1, 9, "live/482913", b"mine");
        retained[0] |= 1;
        client.send(&retained).await;
        assert_eq!(client.read().await.unwrap().first, 0x40);
        client.subscribe("live/482913").await;
        let nothing = timeout(Duration::from_secs(5), client.read()).await;
        assert!(nothing.is_err(), "{nothing:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_its_client_refuses_is_not_released_and_not_sent_again() {
    let players = FakePlayers::new();
    let (mut client, _closed) = welcomed(&players, 5, &[]).await;
    let mut wish = subscribe(5, 7, &["inbox/ada"]);
    *wish.last_mut().unwrap() = 2;
    client.send(&wish).await;
    client.read().await.unwrap();
    let mut inbox = players.inbox("inbox/ada");
    inbox.send(frame("inbox/ada", "one")).await.unwrap();
    let message = client.read().await.unwrap();
    client.send(&packet(0x50, &[message.body[11], message.body[12], 0x97])).await;
    client.send(&PINGREQ).await;
    assert_eq!(client.read().await.unwrap().first, 0xd0, "no PUBREL");
    inbox.send(frame("inbox/ada", "two")).await.unwrap();
    let next = client.read().await.unwrap();
    assert!(next.first == 0x34 && next.body.ends_with(b"two"), "{next:?}");
    let nothing = timeout(Duration::from_secs(20), client.read()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test(start_paused = true)]
async fn a_will_that_is_to_be_retained_is_not_kept() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        let (mut client, closed) = dial(&players, version);
        let no_properties = if version == 5 { &[0][..] } else { &[] };
        let mut body = [b"\0\x04MQTT", &[version, 0x26, 0, 30][..], no_properties].concat();
        body.extend([&string("ada")[..], no_properties, &string("live/482913")].concat());
        body.extend(string("mine"));
        client.send(&packet(0x10, &body)).await;
        assert_eq!(client.read().await.unwrap().body[1], 0);
        drop(client);
        assert_eq!(closed.await.unwrap(), Closed::Gone);
        assert_eq!(players.payloads(), ["mine"], "it is the node's to judge");
        let (mut other, _closed) = welcomed(&players, version, &[]).await;
        other.subscribe("live/482913").await;
        let nothing = timeout(Duration::from_secs(5), other.read()).await;
        assert!(nothing.is_err(), "{nothing:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_retained_outlives_the_sessions_that_were_sent_it() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        players.show("state");
        for _ in 0..2 {
            let (mut client, closed) = welcomed(&players, version, &[]).await;
            client.subscribe("live/482913").await;
            assert_eq!(client.message().await, "state");
            client.send(&DISCONNECT).await;
            assert_eq!(closed.await.unwrap(), Closed::Disconnected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_has_no_words_that_it_did_not_ask_for() {
    let players = FakePlayers::new();
    let (mut client, _closed) = welcomed(&players, 5, &[0x17, 0]).await;
    let suback = client.subscribe("nowhere").await;
    assert_eq!(suback.body[2], 0, "no properties");
    client.publish(1, 9, "elsewhere", b"x").await;
    assert_eq!(client.read().await.unwrap().body.len(), 3, "a reason and no properties");
    let (mut client, _closed) = dial(&players, 5);
    client.send(&connect(5, "bob", 30, &[0x19, 0])).await;
    let connack = client.read().await.unwrap();
    assert!(!connack.body[2..].contains(&0x1a), "no response information: {connack:?}");
}

#[tokio::test(start_paused = true)]
async fn no_last_word_is_larger_than_the_client_takes() {
    for limit in 1..=120 {
        let players = FakePlayers::new();
        let (mut client, closed) = dial(&players, 5);
        client.send(&connect(5, "ada", 30, &[0x27, 0, 0, 0, limit])).await;
        // Has no place in this connection: the node says what it thinks of it.
        client.send(&[0xf0, 0]).await;
        let mut last = None;
        while let Some(packet) = client.read().await {
            assert!(packet.body.len() + 2 <= limit.into(), "{limit}: {packet:?}");
            last = Some((packet.first, packet.body[0], packet.body[1]));
        }
        match last {
            None => assert!(limit < 5, "{limit}"),
            Some((0xe0, ..)) => {}
            Some(refused) => assert_eq!(refused, (0x20, 0, 0x95), "{limit}"),
        }
        drop(client);
        assert!(matches!(closed.await.unwrap(), Closed::Faulty(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn only_who_can_have_no_session_is_told_that_it_ends() {
    let ends_at_once = [0x11, 0, 0, 0, 0];
    for (client_id, told) in [("scoreboard", true), ("5a1c0e62a4b2d7f15a1c0e62a4b2d7f1", false)] {
        let players = FakePlayers::new();
        let (mut client, _closed) = dial(&players, 5);
        let mut bytes = connect(5, client_id, 30, &[0x11, 0, 0, 1, 44]);
        bytes[9] = 0;
        client.send(&bytes).await;
        let connack = client.read().await.expect("a CONNACK");
        assert_eq!(connack.body[..2], [0, 0], "there is nothing yet");
        let found = connack.body[3..].windows(5).any(|it| it == ends_at_once);
        assert_eq!(found, told, "{client_id}: {connack:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_connection_ends_after_a_disconnect_and_nothing_more_is_read() {
    for version in [4, 5] {
        let players = FakePlayers::new();
        let (mut client, closed) = welcomed(&players, version, &[]).await;
        client.send(&[&DISCONNECT[..], &publish(version, 0, 0, "t", b"x")].concat()).await;
        assert_eq!(client.read().await, None);
        drop(client);
        assert_eq!(closed.await.unwrap(), Closed::Disconnected);
        assert!(players.topics().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_whatever_else_waits() {
    let players = FakePlayers::new();
    for version in [4, 5] {
        let (mut client, _closed) = welcomed(&players, version, &[]).await;
        client.publish(1, 9, "answer/2a", b"wait").await;
        client.send(&PINGREQ).await;
        assert_eq!(client.read().await.unwrap().first, 0xd0);
        players.gate.add_permits(1);
        assert_eq!(client.read().await.unwrap().first, 0x40);
    }
}

/// Connects as `ada` with a will that is to wait for ten seconds, and goes without a word.
async fn goes_with_a_will(edge: &Edge, expiry_s: u8) -> JoinHandle<Closed> {
    let (mut client, closed) = dial_edge(edge, 5);
    let mut body = [b"\0\x04MQTT", &[5, 6, 0, 30, 5, 0x11, 0, 0, 0, expiry_s][..]].concat();
    body.extend(string("ada"));
    body.extend([5, 0x18, 0, 0, 0, 10]);
    body.extend([string("answer/2a"), string("gone")].concat());
    client.send(&packet(0x10, &body)).await;
    assert_eq!(client.read().await.unwrap().first, 0x20);
    closed
}

#[tokio::test(start_paused = true)]
async fn a_will_waits_for_its_delay_and_is_not_published_for_who_returns() {
    let players = FakePlayers::new();
    let edge = Edge::new(Arc::clone(&players) as _, Limits::default());
    let gone_at = Instant::now();
    let closed = goes_with_a_will(&edge, 60).await;
    players.taken.subscribe().wait_for(|taken| *taken == 1).await.unwrap();
    assert_eq!(gone_at.elapsed().as_secs(), 10);
    assert_eq!(closed.await.unwrap(), Closed::Gone);
    // The session's end comes before the delay's.
    let gone_at = Instant::now();
    goes_with_a_will(&edge, 3).await;
    players.taken.subscribe().wait_for(|taken| *taken == 2).await.unwrap();
    assert_eq!(gone_at.elapsed().as_secs(), 3);
    // Who returns within it has not gone.
    let closed = goes_with_a_will(&edge, 60).await;
    let (mut back, _closed) = dial_edge(&edge, 5);
    let mut hello = connect(5, "ada", 30, &[]);
    // With a clean start it would be another session, and the old one's will is due.
    hello[9] = 0;
    back.send(&hello).await;
    assert_eq!(back.read().await.unwrap().first, 0x20);
    closed.await.unwrap();
    assert_eq!(players.payloads(), ["gone", "gone"]);
}
