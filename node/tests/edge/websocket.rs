//! MQTT over WebSocket, spoken by hand (RFC 6455).

use crate::client::{Client, PINGREQ, connect, publish, subscribe};
use crate::players::FakePlayers;
use axum::Router;
use axum::routing::any;
use bytes::{Buf, BytesMut};
use node::edge::{Edge, Limits, OpenLimits, mqtt_over_websocket};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};

async fn listen(players: &Arc<FakePlayers>, limits: Limits) -> SocketAddr {
    listen_for(Edge::new(Arc::clone(players) as _, limits)).await
}

async fn listen_for(edge: Edge) -> SocketAddr {
    let router = Router::new().route("/mqtt", any(mqtt_over_websocket)).with_state(edge);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

/// Asks for the upgrade and returns the answer's head.
async fn upgrade(address: SocketAddr, subprotocol: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         {subprotocol}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

const MQTT: &str = "Sec-WebSocket-Protocol: mqtt\r\n";
const BINARY: u8 = 0x82;
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// A client's frame, masked as it has to be.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => out.push(0x80 | short),
        _ => match u16::try_from(payload.len()) {
            Ok(length) => {
                out.push(0x80 | 126);
                out.extend(length.to_be_bytes());
            }
            Err(_) => {
                out.push(0x80 | 127);
                out.extend((payload.len() as u64).to_be_bytes());
            }
        },
    }
    let mask = [1, 2, 3, 4];
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// Unwraps the node's frames onto a plain stream; ends with the connection.
async fn unwrap_frames(mut from: TcpStream, mut to: DuplexStream) -> Option<()> {
    let mut unread = BytesMut::new();
    loop {
        while let Some((first, payload)) = split_frame(&mut unread) {
            if first != BINARY {
                assert_eq!(first, CLOSE);
                return None;
            }
            to.write_all(&payload).await.ok()?;
        }
        if from.read_buf(&mut unread).await.ok()? == 0 {
            return None;
        }
    }
}

fn split_frame(unread: &mut BytesMut) -> Option<(u8, BytesMut)> {
    let (header_bytes, length) = match *unread.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(unread.get(2..4)?.try_into().ok()?))),
        short => (2, usize::from(short)),
    };
    if unread.len() < header_bytes + length {
        return None;
    }
    let first = unread[0];
    unread.advance(header_bytes);
    Some((first, unread.split_to(length)))
}

/// Sends one dialogue in the given messages; returns a client that reads the answers.
async fn dialogue(address: SocketAddr, messages: &[Vec<u8>], version: u8) -> Client<DuplexStream> {
    let (mut stream, head) = upgrade(address, MQTT).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.to_lowercase().contains("sec-websocket-protocol: mqtt"), "{head}");
    for message in messages {
        stream.write_all(message).await.unwrap();
    }
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    tokio::spawn(unwrap_frames(stream, theirs));
    Client::new(ours, version)
}

#[tokio::test]
async fn players_join_answer_and_watch_over_websocket() {
    let players = FakePlayers::new();
    players.show("x".repeat(40_000));
    let address = listen(&players, Limits::default()).await;
    for version in [4, 5] {
        let packets = [
            connect(version, "c", 30, &[]),
            subscribe(version, 1, &["live/482913"]),
            publish(version, 1, 2, "answer/2a", &vec![b'y'; 5000]),
            PINGREQ.to_vec(),
        ];
        // Once a packet per message, once all of them in pieces that fit nothing.
        let whole: Vec<_> = packets.iter().map(|packet| frame(BINARY, packet)).collect();
        let bytes = packets.concat();
        let pieces: Vec<_> = bytes.chunks(1000).map(|piece| frame(BINARY, piece)).collect();
        for messages in [whole, pieces] {
            let mut client = dialogue(address, &messages, version).await;
            let mut kinds = Vec::new();
            let mut live_bytes = 0;
            for _ in 0..5 {
                let packet = client.read().await.unwrap();
                kinds.push(packet.first & 0xf0);
                if packet.first == 0x31 {
                    live_bytes = packet.body.len();
                }
            }
            kinds.sort_unstable();
            assert_eq!(kinds, [0x20, 0x30, 0x40, 0x90, 0xd0]);
            assert!(live_bytes > 40_000);
        }
    }
    assert_eq!(players.topics().len(), 4);
}

/// What the node says at a WebSocket's end: the code, and the reason.
async fn close_of(mut stream: TcpStream) -> (u16, String) {
    let mut unread = BytesMut::new();
    loop {
        while let Some((first, payload)) = split_frame(&mut unread) {
            if first == CLOSE {
                let code = u16::from_be_bytes(payload[..2].try_into().unwrap());
                let reason = String::from_utf8(payload[2..].to_vec()).unwrap();
                assert_eq!(stream.read_buf(&mut unread).await.unwrap(), 0, "the end follows");
                return (code, reason);
            }
        }
        assert!(stream.read_buf(&mut unread).await.unwrap() > 0, "a Close comes before the end");
    }
}

#[tokio::test]
async fn a_text_message_ends_the_connection() {
    let address = listen(&FakePlayers::new(), Limits::default()).await;
    let messages = [frame(BINARY, &connect(5, "c", 30, &[])), frame(TEXT, b"hello")];
    let mut client = dialogue(address, &messages, 5).await;
    assert_eq!(client.read().await.unwrap().first, 0x20);
    assert_eq!(client.read().await, None);
    let (mut stream, _) = upgrade(address, MQTT).await;
    stream.write_all(&frame(TEXT, b"hello")).await.unwrap();
    let (code, reason) = close_of(stream).await;
    assert_eq!((code, reason.contains("binary")), (1003, true), "{reason}");
}

/// A message has a bound of its own, above that of the packets in it: whoever sends more hears which.
#[tokio::test]
async fn a_message_may_hold_several_packets_and_one_that_is_too_large_is_refused_in_words() {
    let players = FakePlayers::new();
    let address = listen(&players, Limits::default()).await;
    let answers: Vec<u8> =
        (1..=4).flat_map(|id| publish(5, 1, id, "answer/2a", &vec![b'y'; 60_000])).collect();
    let messages = [frame(BINARY, &connect(5, "c", 30, &[])), frame(BINARY, &answers)];
    let mut client = dialogue(address, &messages, 5).await;
    assert_eq!(client.read().await.unwrap().first, 0x20);
    for _ in 1..=4 {
        assert_eq!(client.read().await.unwrap().first, 0x40);
    }
    assert_eq!(players.topics().len(), 4);
    // In one frame, and in fragments of which each would do; all that follows is discarded, not reset.
    let many = answers.repeat(8);
    let mut fragments = vec![frame(0x02, &many[..200_000])];
    fragments.extend(many[200_000..].chunks(100_000).map(|part| frame(0x00, part)));
    for messages in [vec![frame(BINARY, &many)], fragments] {
        let (mut stream, _) = upgrade(address, MQTT).await;
        stream.write_all(&frame(BINARY, &connect(5, "d", 30, &[]))).await.unwrap();
        for message in messages {
            stream.write_all(&message).await.unwrap();
        }
        let (code, reason) = close_of(stream).await;
        assert_eq!((code, reason.contains("262144 bytes")), (1009, true), "{reason}");
    }
    assert_eq!(players.topics().len(), 4, "nothing of it was taken");
}

#[tokio::test]
async fn what_is_no_frame_of_a_client_is_refused_in_words() {
    let address = listen(&FakePlayers::new(), Limits::default()).await;
    let (mut stream, _) = upgrade(address, MQTT).await;
    // Without a mask.
    stream.write_all(&[BINARY, 2, 0xc0, 0]).await.unwrap();
    let (code, reason) = close_of(stream).await;
    assert_eq!((code, reason.contains("RFC 6455")), (1002, true), "{reason}");
}

#[tokio::test]
async fn a_client_without_the_subprotocol_is_told_to_offer_it() {
    let address = listen(&FakePlayers::new(), Limits::default()).await;
    let (mut stream, head) = upgrade(address, "").await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    let mut text = [0; 20];
    stream.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"this is MQTT over We");
}

#[tokio::test]
async fn a_full_node_says_so_before_the_upgrade() {
    let limits = Limits { connections_max: 0, ..Limits::default() };
    let address = listen(&FakePlayers::new(), limits).await;
    let (_, head) = upgrade(address, MQTT).await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
}

#[tokio::test]
async fn no_page_of_the_web_gets_into_the_open_profile() {
    let edge = Edge::new(FakePlayers::new(), Limits::default());
    let players = listen_for(edge.clone()).await;
    let open = listen_for(edge.with_open_profile(OpenLimits::default())).await;
    let from = |origin: &str| format!("{MQTT}Origin: {origin}\r\n");
    let foreign = [
        "https://evil.example",
        "http://localhost.evil.example:8080",
        "http://127.0.0.1.evil.example",
        "http://evil.example:80",
        "ftp://localhost",
        "http://[::1",
        "null",
    ];
    for origin in foreign {
        let (_, head) = upgrade(open, &from(origin)).await;
        assert!(head.starts_with("HTTP/1.1 403"), "{origin}: {head}");
        let (_, head) = upgrade(players, &from(origin)).await;
        assert!(head.starts_with("HTTP/1.1 101"), "players come from anywhere: {head}");
    }
    let (_, head) = upgrade(open, &(from("http://localhost") + "Origin: null\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    for origin in ["http://localhost:8080", "https://127.0.0.1", "http://[::1]:80", "http://[::1]"]
    {
        let (_, head) = upgrade(open, &from(origin)).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{origin}: {head}");
    }
    let (_, head) = upgrade(open, MQTT).await;
    assert!(head.starts_with("HTTP/1.1 101"), "what is no browser says nothing: {head}");
}
