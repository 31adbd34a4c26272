//! One message on its way to many players: encoded once per wire form, shared by all their queues.
//!
//! A form is encoded when the first connection asks for it; cloning its bytes costs a reference count.
//! What differs from client to client, a packet id, stands in a small head of its own before the
//! shared payload.

use bytes::{BufMut, Bytes, BytesMut};
use std::sync::OnceLock;

/// A message in every wire form of MQTT that a connection may need.
#[derive(Debug)]
pub struct Frame {
    /// Its topic.
    pub topic: String,
    /// Its JSON text.
    pub payload: Bytes,
    /// Whether it also answers a new subscription.
    pub retained: bool,
    forms: [OnceLock<Bytes>; Form::COUNT],
}

/// How a message looks to one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// MQTT 5 instead of 3.1.1.
    pub v5: bool,
    /// The flag that marks what was known before the subscription.
    pub retain: bool,
    /// How it names its topic.
    pub alias: Alias,
}

/// How a message names its topic. There is one alias, number 1 (MQTT 5.0, section 3.3.2.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alias {
    /// By name.
    None,
    /// By name, and the alias stands for it from now on.
    New,
    /// By alias alone.
    Known,
}

impl Frame {
    /// A message; `retained` marks one that also answers a new subscription.
    #[must_use]
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>, retained: bool) -> Self {
        let (topic, payload) = (topic.into(), payload.into());
        Frame { topic, payload, retained, forms: Default::default() }
    }

    /// The whole PUBLISH at QoS 0.
    ///
    /// # Panics
    /// If topic and payload together exceed MQTT's 256 MiB, which no view of ours comes near.
    #[must_use]
    pub fn bytes(&self, form: Form) -> &Bytes {
        self.forms[form.index()].get_or_init(|| {
            let mut out = self.encode_head(form, 0, None, self.payload.len());
            out.put_slice(&self.payload);
            out.freeze()
        })
    }

    /// What stands before the payload in a PUBLISH at QoS 1 or 2.
    ///
    /// # Panics
    /// As for [`Frame::bytes`].
    #[must_use]
    pub fn head(&self, form: Form, qos: u8, packet_id: u16) -> Bytes {
        self.encode_head(form, qos, Some(packet_id), 0).freeze()
    }

    fn encode_head(&self, form: Form, qos: u8, packet_id: Option<u16>, room: usize) -> BytesMut {
        let topic = if form.alias == Alias::Known { "" } else { &self.topic };
        let properties: &[u8] = match (form.v5, form.alias) {
            (false, _) => &[],
            (true, Alias::None) => &[0],
            (true, _) => &[3, TOPIC_ALIAS, 0, 1],
        };
        let id_bytes = packet_id.map_or(0, |_| 2);
        let length = 2 + topic.len() + id_bytes + properties.len() + self.payload.len();
        let mut out = BytesMut::with_capacity(length - self.payload.len() + 5 + room);
        out.put_u8(0x30 | qos << 1 | u8::from(form.retain));
        put_variable_length(&mut out, length);
        out.put_u16(u16::try_from(topic.len()).expect("our topics are short"));
        out.put_slice(topic.as_bytes());
        if let Some(id) = packet_id {
            out.put_u16(id);
        }
        out.put_slice(properties);
        out
    }
}

impl Form {
    /// How many there are.
    const COUNT: usize = 8;

    fn index(self) -> usize {
        let kind = match (self.v5, self.alias) {
            (false, _) => 0,
            (true, Alias::None) => 1,
            (true, Alias::New) => 2,
            (true, Alias::Known) => 3,
        };
        2 * kind + usize::from(self.retain)
    }
}

/// MQTT's variable byte integer (MQTT 5.0, section 1.5.5).
fn put_variable_length(out: &mut BytesMut, mut length: usize) {
    assert!(length < 1 << 28, "an MQTT packet is at most 256 MiB, not {length} bytes");
    loop {
        let low = (length % 128) as u8;
        length /= 128;
        out.put_u8(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return;
        }
    }
}

/// MQTT 5.0, section 2.2.2.2.
const TOPIC_ALIAS: u8 = 0x23;

#[cfg(test)]
mod tests {
    use super::*;

    const V3: Form = Form { v5: false, retain: false, alias: Alias::None };
    const V5: Form = Form { v5: true, ..V3 };

    #[test]
    fn both_wire_forms_follow_the_standard() {
        let frame = Frame::new("live/1", &b"{}"[..], true);
        let retain = |form| Form { retain: true, ..form };
        assert_eq!(&frame.bytes(retain(V3))[..], b"\x31\x0a\x00\x06live/1{}");
        assert_eq!(&frame.bytes(retain(V5))[..], b"\x31\x0b\x00\x06live/1\x00{}");
        assert_eq!(&frame.bytes(V3)[..], b"\x30\x0a\x00\x06live/1{}");
    }

    #[test]
    fn an_alias_is_introduced_and_then_stands_alone() {
        let frame = Frame::new("live/1", &b"{}"[..], true);
        let with = |alias| Form { alias, ..V5 };
        let new = frame.bytes(with(Alias::New));
        assert_eq!(&new[..], b"\x30\x0e\x00\x06live/1\x03\x23\x00\x01{}");
        assert_eq!(&frame.bytes(with(Alias::Known))[..], b"\x30\x08\x00\x00\x03\x23\x00\x01{}");
    }

    #[test]
    fn a_form_is_encoded_once() {
        let frame = Frame::new("live/1", &b"{}"[..], true);
        assert_eq!(frame.bytes(V5).as_ptr(), frame.bytes(V5).as_ptr());
    }

    #[test]
    fn a_packet_id_stands_in_a_head_of_its_own() {
        let frame = Frame::new("t", &b"{}"[..], false);
        assert_eq!(&frame.head(V3, 1, 7)[..], b"\x32\x07\x00\x01t\x00\x07");
        assert_eq!(&frame.head(V5, 2, 7)[..], b"\x34\x08\x00\x01t\x00\x07\x00");
    }

    #[test]
    fn a_long_payload_has_a_longer_length() {
        let frame = Frame::new("t", vec![b'x'; 200], false);
        assert_eq!(&frame.bytes(V3)[..6], b"\x30\xcb\x01\x00\x01t");
    }
}
