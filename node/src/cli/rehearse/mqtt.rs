//! A player's half of MQTT 3.1.1, as small as a phone's: connect, subscribe, publish with QoS 1.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What a node says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    /// The session is there.
    Connected,
    /// A publish was acknowledged.
    Acknowledged(u16),
    /// A message came.
    Message { topic: String, payload: Vec<u8> },
    /// Anything else that needs no answer.
    Other,
}

/// A connection.
pub(super) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
    packet_id: u16,
}

/// Longest packet that a player takes; a live state is a few kilobytes.
const PACKET_BYTES_MAX: usize = 1 << 20;
/// Keep-alive, in seconds; a ping goes out at half of it.
pub(super) const KEEP_ALIVE_S: u16 = 30;
/// How long a node may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

impl Connection {
    /// Connects to `address` as `client_id`.
    ///
    /// # Errors
    /// If nobody listens or the node refuses.
    pub(super) async fn open(address: &str, client_id: &str) -> io::Result<Self> {
        let stream = timeout(CONNECT_MAX, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let mut connection = Connection { stream, unread: Vec::new(), packet_id: 0 };
        let mut body = b"\0\x04MQTT\x04\x02".to_vec();
        body.extend(KEEP_ALIVE_S.to_be_bytes());
        put_text(&mut body, client_id);
        connection.send(0x10, &body).await?;
        match timeout(CONNECT_MAX, connection.read()).await?? {
            Packet::Connected => Ok(connection),
            other => Err(broken(&format!("{other:?} instead of a CONNACK"))),
        }
    }

    /// Asks for the messages of some topics, unacknowledged: what is lost with a connection is told again over
    /// the next.
    pub(super) async fn subscribe(&mut self, topics: &[String]) -> io::Result<()> {
        let mut body = self.next_id().to_be_bytes().to_vec();
        for topic in topics {
            put_text(&mut body, topic);
            body.push(0);
        }
        self.send(0x82, &body).await
    }

    /// Publishes with QoS 1 and returns the packet's id.
    pub(super) async fn publish(&mut self, topic: &str, payload: &str) -> io::Result<u16> {
        let id = self.next_id();
        let mut body = Vec::with_capacity(topic.len() + payload.len() + 4);
        put_text(&mut body, topic);
        body.extend(id.to_be_bytes());
        body.extend(payload.as_bytes());
        self.send(0x32, &body).await?;
        Ok(id)
    }

    /// Says that this player is still there.
    pub(super) async fn ping(&mut self) -> io::Result<()> {
        self.send(0xc0, &[]).await
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        // The node notices either way.
        let _ = self.send(0xe0, &[]).await;
    }

    /// The next packet. Can be dropped and called again at any time: what was read waits in a buffer.
    ///
    /// # Errors
    /// If the connection is lost or what comes is no MQTT.
    pub(super) async fn read(&mut self) -> io::Result<Packet> {
        loop {
            if let Some((kind, body)) = self.take_packet()? {
                return understand(kind, &body);
            }
            let mut piece = [0; 4_096];
            let length = self.stream.read(&mut piece).await?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.unread.extend_from_slice(&piece[..length]);
        }
    }

    /// A whole packet out of what was read, if there is one.
    fn take_packet(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let (mut length, mut at) = (0_usize, 1);
        loop {
            let Some(byte) = self.unread.get(at) else { return Ok(None) };
            length |= usize::from(byte & 0x7f) << (7 * (at - 1));
            at += 1;
            if byte & 0x80 == 0 {
                break;
            }
            if at > 4 {
                return Err(broken("a packet's length is no length"));
            }
        }
        if length > PACKET_BYTES_MAX {
            return Err(broken("a packet is longer than a player takes"));
        }
        if self.unread.len() < at + length {
            return Ok(None);
        }
        let kind = self.unread[0];
        let body = self.unread[at..at + length].to_vec();
        self.unread.drain(..at + length);
        Ok(Some((kind, body)))
    }

    async fn send(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let mut packet = vec![kind];
        let mut length = body.len();
        loop {
            let more = u8::from(length > 0x7f) << 7;
            packet.push((length & 0x7f) as u8 | more);
            length >>= 7;
            if length == 0 {
                break;
            }
        }
        packet.extend_from_slice(body);
        self.stream.write_all(&packet).await
    }

    fn next_id(&mut self) -> u16 {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
        self.packet_id
    }
}

fn understand(kind: u8, body: &[u8]) -> io::Result<Packet> {
    match kind >> 4 {
        2 if body.get(1) == Some(&0) => Ok(Packet::Connected),
        2 => Err(broken(&format!("the node refuses the connection: {body:?}"))),
        3 => message(body),
        4 => Ok(Packet::Acknowledged(number(body)?)),
        _ => Ok(Packet::Other),
    }
}

/// A message with QoS 0, which has no packet id.
fn message(body: &[u8]) -> io::Result<Packet> {
    let end = 2 + usize::from(number(body)?);
    let topic = body.get(2..end).ok_or_else(|| broken("a topic is cut short"))?;
    let topic = String::from_utf8_lossy(topic).into_owned();
    Ok(Packet::Message { topic, payload: body[end..].to_vec() })
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    body.extend((text.len() as u16).to_be_bytes());
    body.extend(text.as_bytes());
}

fn number(body: &[u8]) -> io::Result<u16> {
    match body {
        [high, low, ..] => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(broken("a packet is cut short")),
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
