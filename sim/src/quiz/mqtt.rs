//! A player's half of MQTT 3.1.1 and 5, written from the standards, so that the edge is not tested
//! against the library that it is made of.
//!
//! What comes from a node and cannot be read is an error of the connection, never a panic.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::tcp::SimStream;

/// The version of MQTT that a player speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V3 = 4,
    V5 = 5,
}

/// What a node says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Connack { code: u8 },
    Suback { codes: Vec<u8> },
    Puback { id: u16, reason: u8, receipt: Option<String> },
    Publish { topic: String, payload: Bytes },
    Pingresp,
    Disconnect,
}

/// A connection to a node.
pub(crate) struct Client {
    stream: SimStream,
    version: Version,
    unread: BytesMut,
    packet_id: u16,
}

impl Client {
    /// Introduces itself over `stream`.
    pub(crate) async fn connect(
        stream: SimStream,
        version: Version,
        client_id: &str,
    ) -> io::Result<Self> {
        let mut client = Self { stream, version, unread: BytesMut::new(), packet_id: 0 };
        let mut body = b"\0\x04MQTT".to_vec();
        body.extend([version as u8, 2, 0, KEEP_ALIVE_S]);
        client.end_properties(&mut body);
        put_text(&mut body, client_id);
        client.send(0x10, &body).await?;
        Ok(client)
    }

    pub(crate) async fn subscribe(&mut self, filters: &[String]) -> io::Result<()> {
        let mut body = self.next_id().to_be_bytes().to_vec();
        self.end_properties(&mut body);
        for filter in filters {
            put_text(&mut body, filter);
            body.push(0);
        }
        self.send(0x82, &body).await
    }

    /// Publishes with QoS 1 and returns the packet's id.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &str) -> io::Result<u16> {
        let id = self.next_id();
        let mut body = Vec::new();
        put_text(&mut body, topic);
        body.extend(id.to_be_bytes());
        self.end_properties(&mut body);
        body.extend(payload.as_bytes());
        self.send(0x32, &body).await?;
        Ok(id)
    }

    pub(crate) async fn ping(&mut self) -> io::Result<()> {
        self.send(0xc0, &[]).await
    }

    pub(crate) async fn disconnect(&mut self) -> io::Result<()> {
        self.send(0xe0, &[]).await
    }

    /// The next packet. Nothing is lost when it is not waited for to the end.
    pub(crate) async fn read(&mut self) -> io::Result<Packet> {
        loop {
            if let Some((first, body)) = self.split_packet() {
                return self.decode(first, body).ok_or_else(|| io::ErrorKind::InvalidData.into());
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn next_id(&mut self) -> u16 {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
        self.packet_id
    }

    /// MQTT 5 has a list of properties here; ours is always empty.
    fn end_properties(&self, body: &mut Vec<u8>) {
        if self.version == Version::V5 {
            body.push(0);
        }
    }

    async fn send(&mut self, first: u8, body: &[u8]) -> io::Result<()> {
        let mut packet = vec![first];
        let mut length = body.len();
        loop {
            let low = (length % 128) as u8;
            length /= 128;
            packet.push(if length > 0 { low | 0x80 } else { low });
            if length == 0 {
                break;
            }
        }
        packet.extend(body);
        self.stream.write_all(&packet).await
    }

    fn split_packet(&mut self) -> Option<(u8, Bytes)> {
        let (length, length_bytes) = variable_length(self.unread.get(1..)?)?;
        if self.unread.len() < 1 + length_bytes + length {
            return None;
        }
        let first = self.unread[0];
        self.unread.advance(1 + length_bytes);
        Some((first, self.unread.split_to(length).freeze()))
    }

    fn decode(&self, first: u8, mut body: Bytes) -> Option<Packet> {
        Some(match first >> 4 {
            2 => Packet::Connack { code: *body.get(1)? },
            4 => self.decode_puback(body)?,
            9 => {
                take_u16(&mut body)?;
                self.take_properties(&mut body)?;
                Packet::Suback { codes: body.to_vec() }
            }
            // Nodes publish with QoS 0 only, so there is no packet id.
            3 if first & 0x06 == 0 => {
                let topic = take_text(&mut body)?;
                self.take_properties(&mut body)?;
                Packet::Publish { topic, payload: body }
            }
            13 => Packet::Pingresp,
            14 => Packet::Disconnect,
            _ => return None,
        })
    }

    fn decode_puback(&self, mut body: Bytes) -> Option<Packet> {
        let id = take_u16(&mut body)?;
        if body.is_empty() {
            return Some(Packet::Puback { id, reason: 0, receipt: None });
        }
        let reason = take(&mut body, 1)?[0];
        let mut properties = match body.is_empty() {
            true => Bytes::new(),
            false => self.take_properties(&mut body)?,
        };
        let mut receipt = None;
        while !properties.is_empty() {
            // The only properties of a PUBACK that nodes send are the reason in words and the user property.
            match take(&mut properties, 1)?[0] {
                REASON_STRING => drop(take_text(&mut properties)?),
                USER_PROPERTY => {
                    let (key, value) = (take_text(&mut properties)?, take_text(&mut properties)?);
                    receipt = (key == "receipt").then_some(value).or(receipt);
                }
                _ => return None,
            }
        }
        Some(Packet::Puback { id, reason, receipt })
    }

    fn take_properties(&self, body: &mut Bytes) -> Option<Bytes> {
        if self.version == Version::V3 {
            return Some(Bytes::new());
        }
        let (length, length_bytes) = variable_length(body)?;
        body.advance(length_bytes);
        take(body, length)
    }
}

/// The node gives a silent client up after one and a half times this.
const KEEP_ALIVE_S: u8 = 10;
/// MQTT 5.0, section 2.2.2.2.
const REASON_STRING: u8 = 0x1f;
/// The same.
const USER_PROPERTY: u8 = 0x26;

/// A variable byte integer and how many bytes it takes (MQTT 5.0, section 1.5.5).
fn variable_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((length, index + 1));
        }
    }
    None
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

fn take_u16(bytes: &mut Bytes) -> Option<u16> {
    take(bytes, 2).map(|mut bytes| bytes.get_u16())
}

fn take_text(bytes: &mut Bytes) -> Option<String> {
    let length = take_u16(bytes)?;
    String::from_utf8(take(bytes, usize::from(length))?.to_vec()).ok()
}

/// Our own texts are short.
fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}
