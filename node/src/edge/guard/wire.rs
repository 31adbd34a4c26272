//! The wire forms that the guard looks at itself, before the state machine does.

use super::Fault;
use crate::edge::packet::Protocol;
use bytes::Bytes;

/// A packet's fixed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Type and flags.
    pub(super) first: u8,
    /// Its own length.
    pub(super) header_bytes: usize,
    /// The packet's length, this header included.
    pub(super) packet_bytes: usize,
}

/// Reads a fixed header; `None` while it is incomplete.
pub(super) fn header(input: &[u8], packet_bytes_max: u32) -> Result<Option<Header>, Fault> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    let Some((length, length_bytes)) = variable_length(rest)? else { return Ok(None) };
    let header_bytes = 1 + length_bytes;
    let packet_bytes = header_bytes + length;
    if packet_bytes > packet_bytes_max as usize {
        return Err(Fault::Oversized);
    }
    Ok(Some(Header { first, header_bytes, packet_bytes }))
}

/// MQTT 5.0, section 1.5.5; `None` while it is incomplete.
fn variable_length(input: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut value = 0;
    for (index, byte) in input.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if input.len() < 4 { Ok(None) } else { Err(Fault::LengthMalformed) }
}

/// The first packet is a CONNECT: told from its first byte, before anything is buffered.
pub(super) fn check_first(header: Header) -> Result<(), Fault> {
    if header.first == CONNECT << 4 { Ok(()) } else { Err(Fault::ConnectExpected) }
}

/// The version that a CONNECT's body asks for.
pub(super) fn protocol(body: &[u8]) -> Result<Protocol, Fault> {
    match body.get(..7) {
        Some(b"\0\x04MQTT\x04") => Ok(Protocol::V3),
        Some(b"\0\x04MQTT\x05") => Ok(Protocol::V5),
        Some([0, 4, b'M', b'Q', b'T', b'T', _]) => Err(Fault::VersionUnsupported),
        _ if body.starts_with(b"\0\x06MQIsdp") => Err(Fault::VersionUnsupported),
        _ => Err(Fault::ConnectExpected),
    }
}

/// Checks a CONNECT's body and takes the sting out of it: see the guard's header.
pub(super) fn check_connect(body: &mut [u8], protocol: Protocol) -> Result<(), Fault> {
    let flags = *body.get(7).ok_or(Fault::Protocol(0x81))?;
    let (has_will, will_qos) = (flags & 0x04 != 0, (flags >> 3) & 3);
    if flags & 1 != 0 || will_qos == 3 || !has_will && flags & 0x38 != 0 {
        return Err(Fault::FlagsReserved);
    }
    if protocol == Protocol::V5 {
        if will_qos == 2 {
            return Err(Fault::QosUnsupported);
        }
        raise_alias_maximum(body.get_mut(10..).unwrap_or_default());
    }
    Ok(())
}

/// Sets a Topic Alias Maximum of 0 to 1. What cannot be read is left to the state machine.
fn raise_alias_maximum(properties: &mut [u8]) {
    let Ok(Some((length, length_bytes))) = variable_length(properties) else { return };
    let Some(mut rest) = properties.get_mut(length_bytes..length_bytes + length) else { return };
    while let Some(property_bytes) = connect_property_bytes(rest) {
        let Some((property, after)) = rest.split_at_mut_checked(property_bytes) else { return };
        if *property == [TOPIC_ALIAS_MAXIMUM, 0, 0] {
            property[2] = 1;
        }
        rest = after;
    }
}

/// The length of the property that comes first, identifier included (MQTT 5.0, section 2.2.2.2).
fn connect_property_bytes(properties: &[u8]) -> Option<usize> {
    let (&id, value) = properties.split_first()?;
    Some(match id {
        0x17 | 0x19 => 2,
        0x21 | TOPIC_ALIAS_MAXIMUM => 3,
        0x11 | 0x27 => 5,
        0x15 | 0x16 => 1 + string_bytes(value)?,
        0x26 => {
            let key = string_bytes(value)?;
            1 + key + string_bytes(value.get(key..)?)?
        }
        _ => return None,
    })
}

fn string_bytes(input: &[u8]) -> Option<usize> {
    let (length, _) = input.split_first_chunk()?;
    Some(2 + usize::from(u16::from_be_bytes(*length)))
}

/// Checks flags, packet id and topic of any later packet.
pub(super) fn check(first: u8, body: &[u8], protocol: Protocol) -> Result<(), Fault> {
    let (kind, flags) = (first >> 4, first & 0x0f);
    match kind {
        PUBLISH => check_publish(flags, body, protocol),
        PUBREL | SUBSCRIBE | UNSUBSCRIBE => {
            if flags != 2 {
                return Err(Fault::FlagsReserved);
            }
            check_packet_id(body)
        }
        _ if flags != 0 => Err(Fault::FlagsReserved),
        _ => Ok(()),
    }
}

fn check_publish(flags: u8, body: &[u8], protocol: Protocol) -> Result<(), Fault> {
    let (qos, duplicate) = ((flags >> 1) & 3, flags & 8 != 0);
    if qos == 3 || qos == 0 && duplicate {
        return Err(Fault::FlagsReserved);
    }
    if qos == 2 && protocol == Protocol::V5 {
        return Err(Fault::QosUnsupported);
    }
    let topic_bytes = string_bytes(body).ok_or(Fault::Protocol(0x81))?;
    let (topic, rest) = body.split_at_checked(topic_bytes).ok_or(Fault::Protocol(0x81))?;
    check_topic(&topic[2..], protocol)?;
    if qos > 0 { check_packet_id(rest) } else { Ok(()) }
}

fn check_topic(topic: &[u8], protocol: Protocol) -> Result<(), Fault> {
    // In MQTT 5 an empty topic may stand for an alias; the state machine knows.
    if topic.is_empty() && protocol == Protocol::V3 {
        return Err(Fault::TopicEmpty);
    }
    if topic.contains(&0) {
        return Err(Fault::Protocol(0x81));
    }
    if topic.iter().any(|byte| matches!(byte, b'+' | b'#')) {
        return Err(Fault::TopicWildcard);
    }
    Ok(())
}

fn check_packet_id(body: &[u8]) -> Result<(), Fault> {
    match body.first_chunk() {
        Some([0, 0]) => Err(Fault::PacketIdZero),
        Some(_) => Ok(()),
        None => Err(Fault::Protocol(0x81)),
    }
}

/// DISCONNECT or CONNACK with a reason, as far as the version has one.
pub(super) fn farewell(protocol: Option<Protocol>, welcomed: bool, reason: u8) -> Option<Bytes> {
    match (protocol, welcomed) {
        (Some(Protocol::V5), true) => Some(Bytes::copy_from_slice(&[0xe0, 1, reason])),
        (Some(Protocol::V5), false) => Some(Bytes::copy_from_slice(&[0x20, 3, 0, reason, 0])),
        (Some(Protocol::V3), true) => None,
        // Of these two each version of MQTT understands its own old form.
        (_, false) => match reason {
            0x84 => Some(Bytes::from_static(&[0x20, 2, 0, 1])),
            0x85 => Some(Bytes::from_static(&[0x20, 2, 0, 2])),
            _ => None,
        },
        (None, true) => None,
    }
}

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PUBREL: u8 = 6;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;
const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
