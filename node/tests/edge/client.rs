//! An MQTT client written by hand, byte for byte as the standards say, so that the edge is not
//! tested against the library that it is made of.

use bytes::{Buf, Bytes, BytesMut};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// 4 for MQTT 3.1.1, 5 for MQTT 5.
pub type Version = u8;

/// A packet as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub first: u8,
    pub body: Bytes,
}

pub struct Client<IO> {
    pub io: IO,
    version: Version,
    unread: BytesMut,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Client<IO> {
    pub fn new(io: IO, version: Version) -> Self {
        Client { io, version, unread: BytesMut::new() }
    }

    /// Introduces itself and reads the CONNACK.
    pub async fn connect(io: IO, version: Version) -> Self {
        let mut client = Client::new(io, version);
        let name = format!("test-{}", NAMES.fetch_add(1, Ordering::Relaxed));
        client.send(&connect(version, &name, 30, &[])).await;
        let connack = client.read().await.expect("a CONNACK");
        assert_eq!((connack.first, &connack.body[..2]), (0x20, &[0, 0][..]));
        client
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    pub async fn publish(&mut self, qos: u8, id: u16, topic: &str, payload: &[u8]) {
        let packet = publish(self.version, qos, id, topic, payload);
        self.send(&packet).await;
    }

    /// Subscribes and reads the SUBACK.
    pub async fn subscribe(&mut self, filter: &str) -> Packet {
        let packet = subscribe(self.version, 7, &[filter]);
        self.send(&packet).await;
        let suback = self.read().await.expect("a SUBACK");
        assert_eq!((suback.first, &suback.body[..2]), (0x90, &[0, 7][..]));
        suback
    }

    /// The payload of the next packet, which is a publish.
    pub async fn message(&mut self) -> String {
        let packet = self.read().await.expect("a PUBLISH");
        assert_eq!(packet.first & 0xf6, 0x30, "a QoS 0 publish: {packet:?}");
        let mut body = packet.body;
        let topic_bytes = body.get_u16();
        body.advance(usize::from(topic_bytes));
        if self.version == 5 {
            assert_eq!(body.get_u8(), 0, "no properties");
        }
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// The next packet; `None` at the stream's end.
    pub async fn read(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.split_packet() {
                return Some(packet);
            }
            if self.io.read_buf(&mut self.unread).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    fn split_packet(&mut self) -> Option<Packet> {
        let mut length = 0;
        for (index, byte) in self.unread.iter().skip(1).take(4).enumerate() {
            length |= usize::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                let header_bytes = index + 2;
                if self.unread.len() < header_bytes + length {
                    return None;
                }
                let first = self.unread[0];
                self.unread.advance(header_bytes);
                return Some(Packet { first, body: self.unread.split_to(length).freeze() });
            }
        }
        None
    }
}

pub fn connect(version: Version, client_id: &str, keep_alive_s: u16, properties: &[u8]) -> Vec<u8> {
    let mut body = b"\0\x04MQTT".to_vec();
    body.extend([version, 2]);
    body.extend(keep_alive_s.to_be_bytes());
    if version == 5 {
        body.push(u8::try_from(properties.len()).unwrap());
        body.extend(properties);
    }
    body.extend(string(client_id));
    packet(0x10, &body)
}

pub fn publish(version: Version, qos: u8, id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = string(topic);
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    if version == 5 {
        body.push(0);
    }
    body.extend(payload);
    packet(0x30 | qos << 1, &body)
}

pub fn subscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version == 5 {
        body.push(0);
    }
    for filter in filters {
        body.extend(string(filter));
        body.push(0);
    }
    packet(0x82, &body)
}

pub fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version == 5 {
        body.push(0);
    }
    filters.iter().for_each(|filter| body.extend(string(filter)));
    packet(0xa2, &body)
}

pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut length = body.len();
    loop {
        let low = (length % 128) as u8;
        length /= 128;
        out.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    out.extend(body);
    out
}

pub fn string(text: &str) -> Vec<u8> {
    let mut out = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    out.extend(text.as_bytes());
    out
}

/// So that no two clients of a test have one name.
static NAMES: AtomicU32 = AtomicU32::new(0);

pub const PINGREQ: [u8; 2] = [0xc0, 0];
pub const DISCONNECT: [u8; 2] = [0xe0, 0];
