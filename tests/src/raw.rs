//! MQTT byte by byte: for what client libraries hide, such as reasons in words and user properties.
//!
//! It knows the packets that the tests need and nothing else, and waits for each with a time limit.

use crdt_state::PlayerId;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// A connection in MQTT 3.1.1 or 5.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    v5: bool,
    buffer: Vec<u8>,
    packet_ids: u16,
    /// Publishes that came while something else was waited for.
    pub inbox: Vec<(String, Value)>,
}

/// The topic of a player's slot.
///
/// # Panics
/// If that is no player's id.
#[must_use]
pub fn slotted(word: &str, player: &str) -> String {
    let player: PlayerId = player.parse().expect("a player id has 32 hexadecimal digits");
    format!("{word}/{:02x}", player.slot())
}

/// A packet: its first byte and what follows its length.
type Packet = (u8, Vec<u8>);

/// What a node says: a reason code, and what it adds in words and user properties.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The reason or return code.
    pub reason: u8,
    /// The reason string.
    pub words: String,
    /// User properties.
    pub properties: Vec<(String, String)>,
}

impl Said {
    /// The JSON in the user property `receipt`.
    #[must_use]
    pub fn receipt(&self) -> Value {
        let receipt = self.properties.iter().find(|(name, _)| name == "receipt");
        receipt.map_or(Value::Null, |(_, text)| serde_json::from_str(text).unwrap_or_default())
    }
}

impl Raw {
    /// Connects and says CONNECT; tells what the node says.
    ///
    /// # Panics
    /// If there is no answer.
    #[must_use]
    pub fn connect(
        to: impl ToSocketAddrs,
        v5: bool,
        client_id: &str,
        password: Option<&str>,
    ) -> (Self, Said) {
        Raw::introduce(to, v5, client_id, (password, None))
    }

    /// The same, and leaves a will of QoS 1: a topic, and JSON.
    ///
    /// # Panics
    /// If there is no answer.
    #[must_use]
    pub fn connect_with_will(
        to: impl ToSocketAddrs,
        v5: bool,
        client_id: &str,
        will: (&str, &Value),
    ) -> (Self, Said) {
        Raw::introduce(to, v5, client_id, (None, Some(will)))
    }

    fn introduce(
        to: impl ToSocketAddrs,
        v5: bool,
        client_id: &str,
        (password, will): (Option<&str>, Option<(&str, &Value)>),
    ) -> (Self, Said) {
        let stream = TcpStream::connect(to).expect("the node listens");
        let mut raw = Raw { stream, v5, buffer: Vec::new(), packet_ids: 0, inbox: Vec::new() };
        let mut body = Vec::new();
        put(&mut body, b"MQTT");
        let (named, left) = (password.map_or(0, |_| 0xc0), will.map_or(0, |_| 0x0c));
        let flags = 0x02 | named | left;
        body.extend([if v5 { 5 } else { 4 }, flags, 0, 60]);
        if v5 {
            body.push(0);
        }
        put(&mut body, client_id.as_bytes());
        if let Some((topic, message)) = will {
            if v5 {
                body.push(0);
            }
            put(&mut body, topic.as_bytes());
            put(&mut body, message.to_string().as_bytes());
        }
        if let Some(password) = password {
            put(&mut body, b"anybody");
            put(&mut body, password.as_bytes());
        }
        raw.send(0x10, &body);
        let (first, body) = raw.wait(|first| first == 0x20);
        assert_eq!(first, 0x20, "the first answer is a CONNACK");
        let said = said(body[1], if v5 { &body[2..] } else { &[] });
        (raw, said)
    }

    /// Publishes JSON at QoS 1; tells what the PUBACK says.
    ///
    /// # Panics
    /// If none comes.
    pub fn publish(&mut self, topic: &str, payload: &Value) -> Said {
        let mut body = Vec::new();
        put(&mut body, topic.as_bytes());
        self.put_id(&mut body);
        if self.v5 {
            body.push(0);
        }
        body.extend(payload.to_string().as_bytes());
        self.send(0x32, &body);
        let (_, body) = self.wait(|first| first == 0x40);
        match body.get(2) {
            Some(reason) => said(*reason, body.get(3..).unwrap_or_default()),
            None => Said::default(),
        }
    }

    /// Publishes at QoS 2, and ends it.
    ///
    /// # Panics
    /// If it is not acknowledged and completed.
    pub fn publish_twice(&mut self, topic: &str, payload: &Value) {
        let mut body = Vec::new();
        put(&mut body, topic.as_bytes());
        self.put_id(&mut body);
        let id = self.packet_ids;
        if self.v5 {
            body.push(0);
        }
        body.extend(payload.to_string().as_bytes());
        self.send(0x34, &body);
        let (_, body) = self.wait(|first| first == 0x50);
        // An error ends it at once in MQTT 5.
        if body.get(2).is_none_or(|reason| *reason < 0x80) {
            self.send(0x62, &id.to_be_bytes());
            self.wait(|first| first == 0x70);
        }
    }

    /// Gives up a topic.
    ///
    /// # Panics
    /// If that is not acknowledged.
    pub fn unsubscribe(&mut self, filter: &str) {
        let mut body = Vec::new();
        self.put_id(&mut body);
        if self.v5 {
            body.push(0);
        }
        put(&mut body, filter.as_bytes());
        self.send(0xa2, &body);
        self.wait(|first| first == 0xb0);
    }

    /// Subscribes to one topic at QoS 0; tells what the SUBACK says.
    ///
    /// # Panics
    /// If none comes.
    pub fn subscribe(&mut self, filter: &str) -> Said {
        self.subscribe_with(filter, 0)
    }

    /// The same with the options of MQTT 5 (section 3.8.3.1).
    ///
    /// # Panics
    /// If no SUBACK comes.
    pub fn subscribe_with(&mut self, filter: &str, options: u8) -> Said {
        let mut body = Vec::new();
        self.put_id(&mut body);
        if self.v5 {
            body.push(0);
        }
        put(&mut body, filter.as_bytes());
        body.push(options);
        self.send(0x82, &body);
        let (_, body) = self.wait(|first| first == 0x90);
        let reason = *body.last().expect("a SUBACK has a reason");
        said(reason, if self.v5 { &body[2..] } else { &[] })
    }

    /// Waits for a message that `wanted` likes.
    ///
    /// # Panics
    /// If none comes in time.
    pub fn message(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(at) = self.inbox.iter().position(|(_, message)| wanted(message)) {
                return self.inbox.remove(at).1;
            }
            let packet = self.read().unwrap_or_else(|why| panic!("waiting for {what}: {why}"));
            self.keep(&packet);
        }
    }

    /// Waits until the node ends the connection; tells what its DISCONNECT says, if there is one.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn end(&mut self) -> Option<Said> {
        let mut said_last = None;
        loop {
            match self.read() {
                Ok((0xe0, body)) if self.v5 => said_last = Some(said(body[0], &body[1..])),
                Ok(_) => {}
                Err(why) if why.contains("ended") => return said_last,
                Err(why) => panic!("the connection goes on: {why}"),
            }
        }
    }

    /// Whether the node still answers.
    pub fn pings(&mut self) -> bool {
        self.stream.write_all(&[0xc0, 0]).is_ok() && self.try_wait(|first| first == 0xd0).is_ok()
    }

    fn put_id(&mut self, body: &mut Vec<u8>) {
        self.packet_ids += 1;
        body.extend(self.packet_ids.to_be_bytes());
    }

    fn send(&mut self, first: u8, body: &[u8]) {
        let mut packet = vec![first];
        let mut left = body.len();
        loop {
            let more = if left > 127 { 0x80 } else { 0 };
            packet.push((left & 127) as u8 | more);
            left >>= 7;
            if left == 0 {
                break;
            }
        }
        packet.extend(body);
        self.stream.write_all(&packet).expect("the node takes bytes");
    }

    fn wait(&mut self, wanted: impl Fn(u8) -> bool) -> Packet {
        self.try_wait(wanted).unwrap_or_else(|why| panic!("no answer: {why}"))
    }

    fn try_wait(&mut self, wanted: impl Fn(u8) -> bool) -> Result<Packet, String> {
        loop {
            let packet = self.read()?;
            if wanted(packet.0) {
                return Ok(packet);
            }
            self.keep(&packet);
        }
    }

    fn keep(&mut self, (first, body): &Packet) {
        if first >> 4 != 3 {
            return;
        }
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let (topic, rest) = body[2..].split_at(length);
        let rest = if self.v5 { &rest[1 + usize::from(rest[0])..] } else { rest };
        let topic = String::from_utf8_lossy(topic).into_owned();
        self.inbox.push((topic, serde_json::from_slice(rest).unwrap_or_default()));
    }

    fn read(&mut self) -> Result<Packet, String> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            if let Some((first, length, at)) = header(&self.buffer)
                && self.buffer.len() >= at + length
            {
                let body = self.buffer[at..at + length].to_vec();
                self.buffer.drain(..at + length);
                return Ok((first, body));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("silence for {WAIT_MAX:?}"));
            }
            self.stream.set_read_timeout(Some(left)).map_err(|error| error.to_string())?;
            let mut space = [0; 4096];
            match self.stream.read(&mut space) {
                Ok(0) => return Err("the connection ended".to_owned()),
                Ok(count) => self.buffer.extend(&space[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return Err("the connection ended".to_owned());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

fn put(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend(u16::try_from(bytes.len()).expect("it is short").to_be_bytes());
    body.extend(bytes);
}

/// First byte, length of what follows, and where that begins.
fn header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let mut length = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 127) << (7 * index);
        if byte & 128 == 0 {
            return Some((bytes[0], length, index + 2));
        }
    }
    None
}

/// Reads properties, their length before them, as far as they are texts that tell something.
fn said(reason: u8, properties: &[u8]) -> Said {
    let mut said = Said { reason, ..Said::default() };
    let Some((_, length, at)) = header(&[&[0], properties].concat()) else { return said };
    let mut rest = properties.get(at - 1..at - 1 + length).unwrap_or_default();
    while let Some((id, after)) = rest.split_first() {
        let width = match id {
            0x1f | 0x26 | 0x12 | 0x1a | 0x1c => None,
            0x21 | 0x22 | 0x13 => Some(2),
            0x11 | 0x27 => Some(4),
            _ => Some(1),
        };
        rest = match width {
            Some(width) => after.get(width..).unwrap_or_default(),
            None => {
                let (text, mut left) = take_text(after);
                match id {
                    0x1f => said.words = text,
                    0x26 => {
                        let (value, after) = take_text(left);
                        left = after;
                        said.properties.push((text, value));
                    }
                    _ => {}
                }
                left
            }
        };
    }
    said
}

fn take_text(bytes: &[u8]) -> (String, &[u8]) {
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let (text, rest) = bytes[2..].split_at(length);
    (String::from_utf8_lossy(text).into_owned(), rest)
}

/// Generous: the machine may be busy with other tests.
const WAIT_MAX: Duration = Duration::from_secs(30);
