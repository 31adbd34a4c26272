//! One message on its way to many players: encoded once, shared by all their queues.

use bytes::{BufMut, Bytes, BytesMut};

/// A QoS 0 PUBLISH in both wire forms of MQTT. Cloning the bytes costs a reference count.
#[derive(Debug)]
pub struct Frame {
    /// Its topic.
    pub topic: String,
    /// Its JSON text.
    pub payload: Bytes,
    /// MQTT 3.1.1, section 3.3.
    pub v3: Bytes,
    /// MQTT 5.0, section 3.3, without properties.
    pub v5: Bytes,
}

impl Frame {
    /// Encodes a message; `retained` marks one that also answers a new subscription.
    ///
    /// # Panics
    /// If topic and payload together exceed MQTT's 256 MiB, which no view of ours comes near.
    #[must_use]
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>, retained: bool) -> Self {
        let (topic, payload) = (topic.into(), payload.into());
        let v3 = publish(&topic, &payload, retained, &[]);
        let v5 = publish(&topic, &payload, retained, &[0]);
        Frame { topic, payload, v3, v5 }
    }
}

fn publish(topic: &str, payload: &[u8], retained: bool, properties: &[u8]) -> Bytes {
    let length = 2 + topic.len() + properties.len() + payload.len();
    let mut out = BytesMut::with_capacity(length + 5);
    out.put_u8(0x30 | u8::from(retained));
    put_variable_length(&mut out, length);
    out.put_u16(u16::try_from(topic.len()).expect("our topics are short"));
    out.put_slice(topic.as_bytes());
    out.put_slice(properties);
    out.put_slice(payload);
    out.freeze()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_wire_forms_follow_the_standard() {
        let frame = Frame::new("live/1", &b"{}"[..], true);
        assert_eq!(&frame.v3[..], b"\x31\x0a\x00\x06live/1{}");
        assert_eq!(&frame.v5[..], b"\x31\x0b\x00\x06live/1\x00{}");
    }

    #[test]
    fn a_long_payload_has_a_longer_length() {
        let frame = Frame::new("t", vec![b'x'; 200], false);
        assert_eq!(&frame.v3[..6], b"\x30\xcb\x01\x00\x01t");
    }
}
