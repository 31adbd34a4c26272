//! The wire forms that the guard looks at itself, before the state machine does.

use super::Fault;
use super::fault::MALFORMED;
use crate::edge::packet::{Has, HasStep, Protocol};
use bytes::{BufMut, Bytes, BytesMut};
use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;

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

/// Whether a CONNECT's body asks for a version of MQTT that came after those that are spoken.
pub(super) fn is_of_later_version(body: &[u8]) -> bool {
    matches!(body.get(..7), Some([0, 4, b'M', b'Q', b'T', b'T', level]) if *level > 5)
}

/// Checks a CONNECT's body and takes the sting out of it, which it tells: see the guard's header.
pub(super) fn check_connect(body: &mut [u8], protocol: Protocol) -> Result<bool, Fault> {
    let flags = *body.get(7).ok_or(Fault::Protocol(MALFORMED))?;
    let (has_will, will_qos) = (flags & 0x04 != 0, (flags >> 3) & 3);
    if flags & 1 != 0 || will_qos == 3 || !has_will && flags & 0x38 != 0 {
        return Err(Fault::FlagsReserved);
    }
    let properties = body.get_mut(10..).unwrap_or_default();
    Ok(protocol == Protocol::V5 && raise_alias_maximum(properties) == Some(true))
}

/// Sets a Topic Alias Maximum of 0 to 1 and tells whether it did. What cannot be read is left to the
/// state machine.
fn raise_alias_maximum(properties: &mut [u8]) -> Option<bool> {
    let (length, length_bytes) = variable_length(properties).ok()??;
    let mut rest = properties.get_mut(length_bytes..length_bytes + length)?;
    let mut raised = false;
    while let Some(property_bytes) = connect_property_bytes(rest) {
        let Some((property, after)) = rest.split_at_mut_checked(property_bytes) else { break };
        if *property == [TOPIC_ALIAS_MAXIMUM, 0, 0] {
            property[2] = 1;
            raised = true;
        }
        rest = after;
    }
    Some(raised)
}

/// What a client may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Takes {
    /// In packets of at most so many bytes, if it says so.
    pub(super) bytes_max: Option<u32>,
    /// Whether in words, and with user properties.
    pub(super) words: bool,
}

/// What a client may be told, as far as its CONNECT can be read.
pub(super) fn takes(body: &[u8], protocol: Protocol) -> Takes {
    let mut takes = Takes { bytes_max: None, words: protocol == Protocol::V5 };
    let properties = body.get(10..).filter(|_| takes.words).and_then(block);
    let mut rest = properties.unwrap_or_default();
    while let Some(property_bytes) = connect_property_bytes(rest) {
        let Some((property, after)) = rest.split_at_checked(property_bytes) else { break };
        match property {
            // Zero is none (MQTT 5.0, section 3.1.2.11.4), and refused.
            [MAXIMUM_PACKET_SIZE, 0, 0, 0, 0] => {}
            [MAXIMUM_PACKET_SIZE, a, b, c, d] => {
                takes.bytes_max = Some(u32::from_be_bytes([*a, *b, *c, *d]));
            }
            [REQUEST_PROBLEM_INFORMATION, wanted] => takes.words = *wanted != 0,
            _ => {}
        }
        rest = after;
    }
    takes
}

/// The bytes that follow their own length.
fn block(input: &[u8]) -> Option<&[u8]> {
    let (length, length_bytes) = variable_length(input).ok()??;
    input.get(length_bytes..length_bytes + length)
}

/// Where a CONNECT of MQTT 5 has a password and no user name (section 3.1.2.9): the same packet with an empty name.
/// What cannot be read is left to the state machine.
pub(super) fn with_user_name(body: &[u8], protocol: Protocol) -> Option<BytesMut> {
    let flags = *body.get(7)?;
    if protocol != Protocol::V5 || flags & (USER_NAME | PASSWORD) != PASSWORD {
        return None;
    }
    let mut rest = after_block(body.get(10..)?)?;
    rest = rest.get(string_bytes(rest)?..)?;
    if flags & WILL != 0 {
        rest = after_block(rest)?;
        for _ in 0..2 {
            rest = rest.get(string_bytes(rest)?..)?;
        }
    }
    let (before, password) = body.split_at(body.len() - rest.len());
    let mut packet = BytesMut::with_capacity(body.len() + 7);
    packet.put_u8(CONNECT << 4);
    put_variable_length(&mut packet, body.len() + 2);
    let flags_at = packet.len() + 7;
    packet.put_slice(before);
    packet[flags_at] |= USER_NAME;
    packet.put_u16(0);
    packet.put_slice(password);
    Some(packet)
}

/// What comes after the bytes that follow their own length.
fn after_block(input: &[u8]) -> Option<&[u8]> {
    let (length, length_bytes) = variable_length(input).ok()??;
    input.get(length_bytes + length..)
}

fn put_variable_length(out: &mut BytesMut, mut value: usize) {
    while value > 0x7f {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// The length of the property that comes first, identifier included (MQTT 5.0, section 2.2.2.2).
fn connect_property_bytes(properties: &[u8]) -> Option<usize> {
    let (&id, value) = properties.split_first()?;
    Some(match id {
        REQUEST_PROBLEM_INFORMATION | 0x19 => 2,
        0x21 | TOPIC_ALIAS_MAXIMUM => 3,
        0x11 | MAXIMUM_PACKET_SIZE => 5,
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
        PUBACK | PUBREC | PUBCOMP if flags == 0 => check_packet_id(body),
        PUBREL | SUBSCRIBE | UNSUBSCRIBE => {
            if flags != 2 {
                return Err(Fault::FlagsReserved);
            }
            check_packet_id(body)
        }
        _ if flags != 0 => Err(Fault::FlagsReserved),
        _ => Ok(()),
    }?;
    // An acknowledgement of MQTT 3.1.1 is its packet id.
    let is_ack = matches!(kind, PUBACK | PUBREC | PUBREL | PUBCOMP);
    let is_long = is_ack && protocol == Protocol::V3 && body.len() > 2;
    if is_long { Err(Fault::Protocol(MALFORMED)) } else { Ok(()) }
}

fn check_publish(flags: u8, body: &[u8], protocol: Protocol) -> Result<(), Fault> {
    let (qos, duplicate) = ((flags >> 1) & 3, flags & 8 != 0);
    if qos == 3 || qos == 0 && duplicate {
        return Err(Fault::FlagsReserved);
    }
    let topic_bytes = string_bytes(body).ok_or(Fault::Protocol(MALFORMED))?;
    let (topic, rest) = body.split_at_checked(topic_bytes).ok_or(Fault::Protocol(MALFORMED))?;
    check_topic(&topic[2..], protocol)?;
    let rest = if qos > 0 {
        check_packet_id(rest)?;
        &rest[2..]
    } else {
        rest
    };
    // The length of its properties follows at least.
    if protocol == Protocol::V5 && rest.is_empty() {
        Err(Fault::Protocol(MALFORMED))
    } else {
        Ok(())
    }
}

/// The packet id of a PUBLISH at QoS 2.
pub(super) fn qos_2_id(header: Header, packet: &[u8]) -> Option<u16> {
    if header.first >> 4 != PUBLISH || (header.first >> 1) & 3 != 2 {
        return None;
    }
    let body = packet.get(header.header_bytes..)?;
    let id = body.get(string_bytes(body)?..)?.first_chunk()?;
    Some(u16::from_be_bytes(*id))
}

fn check_topic(topic: &[u8], protocol: Protocol) -> Result<(), Fault> {
    // In MQTT 5 an empty topic may stand for an alias; the state machine knows.
    if topic.is_empty() && protocol == Protocol::V3 {
        return Err(Fault::TopicEmpty);
    }
    if topic.contains(&0) {
        return Err(Fault::Protocol(MALFORMED));
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
        None => Err(Fault::Protocol(MALFORMED)),
    }
}

/// What the client answers to something that it was sent, if that is what it says.
pub(super) fn answer(first: u8, body: &[u8], protocol: Protocol) -> Result<Option<Has>, Fault> {
    let step = match first >> 4 {
        PUBACK => HasStep::Acknowledged,
        PUBREC => HasStep::Received,
        PUBCOMP => HasStep::Completed,
        _ => return Ok(None),
    };
    let failed = match (step, protocol) {
        (HasStep::Acknowledged, Protocol::V3) => {
            whole(v3_1_1::Puback::parse(body), body)?.is_none()
        }
        (HasStep::Received, Protocol::V3) => whole(v3_1_1::Pubrec::parse(body), body)?.is_none(),
        (HasStep::Completed, Protocol::V3) => whole(v3_1_1::Pubcomp::parse(body), body)?.is_none(),
        (HasStep::Acknowledged, Protocol::V5) => {
            let packet = whole(v5_0::Puback::parse(body), body)?;
            check_words(packet.as_ref().and_then(|it| it.props().as_deref()))?;
            packet.and_then(|it| it.reason_code()).is_some_and(|reason| reason.is_failure())
        }
        (HasStep::Received, Protocol::V5) => {
            let packet = whole(v5_0::Pubrec::parse(body), body)?;
            check_words(packet.as_ref().and_then(|it| it.props().as_deref()))?;
            packet.and_then(|it| it.reason_code()).is_some_and(|reason| reason.is_failure())
        }
        (HasStep::Completed, Protocol::V5) => {
            let packet = whole(v5_0::Pubcomp::parse(body), body)?;
            check_words(packet.as_ref().and_then(|it| it.props().as_deref()))?;
            packet.and_then(|it| it.reason_code()).is_some_and(|reason| reason.is_failure())
        }
    };
    let packet_id = u16::from_be_bytes([body[0], body[1]]);
    Ok(Some(Has { packet_id, step, failed }))
}

fn check_words(properties: Option<&[Property]>) -> Result<(), Fault> {
    properties.unwrap_or_default().iter().try_for_each(super::check_property)
}

/// A parsed body that has nothing left over.
fn whole<T>(parsed: Result<(T, usize), MqttError>, body: &[u8]) -> Result<Option<T>, Fault> {
    match parsed.map_err(Fault::from)? {
        (packet, length) if length == body.len() => Ok(Some(packet)),
        _ => Err(Fault::Protocol(MALFORMED)),
    }
}

/// The third step of QoS 2 towards a client, and whether there is such a message.
pub(in crate::edge) fn pubrel(packet_id: u16, known: bool, protocol: Protocol) -> Bytes {
    let [high, low] = packet_id.to_be_bytes();
    match (known, protocol) {
        (false, Protocol::V5) => Bytes::copy_from_slice(&[0x62, 3, high, low, 0x92]),
        _ => Bytes::copy_from_slice(&[0x62, 2, high, low]),
    }
}

/// What is said beside a reason.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Words<'a> {
    /// The reason for people.
    pub(super) words: Option<&'a str>,
    /// Another server.
    pub(super) elsewhere: Option<&'a str>,
}

impl Words<'_> {
    /// As properties, their length before them; nothing at all if there is nothing to say.
    fn encode(&self) -> BytesMut {
        let mut out = BytesMut::new();
        for (id, text) in [(REASON_STRING, self.words), (SERVER_REFERENCE, self.elsewhere)] {
            let Some(text) = text.filter(|text| text.len() <= WORDS_BYTES_MAX) else { continue };
            out.put_u8(id);
            out.put_u16(text.len() as u16);
            out.put_slice(text.as_bytes());
        }
        out
    }
}

/// DISCONNECT or CONNACK with a reason, as far as the version has one.
pub(super) fn farewell(
    protocol: Option<Protocol>,
    welcomed: bool,
    reason: u8,
    words: Words<'_>,
) -> Option<Bytes> {
    match (protocol, welcomed) {
        (Some(Protocol::V5), true) => Some(with_properties(&[0xe0], &[reason], words)),
        (Some(Protocol::V5), false) => Some(with_properties(&[0x20], &[0, reason], words)),
        (Some(Protocol::V3), true) => None,
        // Of these each version of MQTT understands its own old form.
        (_, false) => match reason {
            0x84 => Some(Bytes::from_static(&[0x20, 2, 0, 1])),
            0x85 => Some(Bytes::from_static(&[0x20, 2, 0, 2])),
            0x86 => Some(Bytes::from_static(&[0x20, 2, 0, 4])),
            0x87 => Some(Bytes::from_static(&[0x20, 2, 0, 5])),
            0x88 | 0x97 | 0x9c | 0x9f => Some(Bytes::from_static(&[0x20, 2, 0, 3])),
            _ => None,
        },
        (None, true) => None,
    }
}

fn with_properties(first: &[u8], fixed: &[u8], words: Words<'_>) -> Bytes {
    let properties = words.encode();
    let length = fixed.len() + 5 + properties.len();
    let mut out = BytesMut::with_capacity(length);
    out.put_slice(first);
    // The words are too short for a length of three bytes.
    let length_bytes = if properties.len() < 128 { 1 } else { 2 };
    put_variable_length(&mut out, fixed.len() + length_bytes + properties.len());
    out.put_slice(fixed);
    put_variable_length(&mut out, properties.len());
    out.put_slice(&properties);
    out.freeze()
}

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const PUBREL: u8 = 6;
const PUBCOMP: u8 = 7;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;
/// CONNECT's flags.
const WILL: u8 = 0x04;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;
const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
const MAXIMUM_PACKET_SIZE: u8 = 0x27;
const REASON_STRING: u8 = 0x1f;
const SERVER_REFERENCE: u8 = 0x1c;
/// Longer words are left out. Arbitrary: a sentence or two.
const WORDS_BYTES_MAX: usize = 1024;
