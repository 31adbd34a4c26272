//! The guard between a client's bytes and the MQTT state machine.
//!
//! `mqtt-protocol-core` keeps the protocol's state (packet ids, receive maximum, packet sizes,
//! version); this wrapper cuts the byte stream into packets and refuses beforehand what the state
//! machine lets pass or stumbles over:
//! - a CONNECT of MQTT 5 with Topic Alias Maximum 0 makes it panic, so the value is set to 1 in
//!   place, and read as 0;
//! - a password of MQTT 5 without a user name is refused by it: an empty name is put before it;
//! - answers to what a client was sent at QoS 1 and 2: it knows nothing of that, since what is sent
//!   to many is encoded past it;
//! - packet id 0, reserved flags, empty topics, wildcards in topics, malformed filters, an empty
//!   client id without a clean session;
//! - texts with a U+0000, acknowledgements of MQTT 3.1.1 that are too long, a PUBLISH of MQTT 5 that ends
//!   before its properties;
//! - what it reports as an error without asking for the connection's end;
//! - and, should it panic all the same, the panic stays in the one connection.
//!
//! Invariant: at most one incomplete packet, and thus at most `packet_bytes_max` bytes, are kept
//! after [`Guard::poll_packet`] returned `None`. There is no socket, clock or task in here.

mod fault;
mod wire;

pub(super) use wire::pubrel;

pub use fault::Fault;

use super::filter;
use super::packet::{Acknowledge, Connect, Detail, Inbound, Outbound, Protocol};
use crate::service::Reason;
use bytes::{Bytes, BytesMut};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event};
use mqtt_protocol_core::mqtt::packet::prelude::GenericPacketTrait;
use mqtt_protocol_core::mqtt::packet::{Packet, Property};
use mqtt_protocol_core::mqtt::result_code::MqttError;
use mqtt_protocol_core::mqtt::{Connection, Version, role};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The protocol's state of one connection.
pub struct Guard {
    machine: Connection<role::Server>,
    input: BytesMut,
    packet_bytes_max: u32,
    protocol: Option<Protocol>,
    /// From the CONNACK on.
    welcomed: bool,
    /// Whether the client takes words and user properties.
    detail: bool,
    /// Whether its Topic Alias Maximum of 0 was raised.
    takes_no_alias: bool,
    /// The largest packet that the client takes.
    peer_bytes_max: usize,
    /// QoS 2 publishes whose PUBREL has not come.
    unreleased: BTreeSet<u16>,
    /// Those of them whose PUBREC has not left: the verdict is still to come.
    unanswered: BTreeSet<u16>,
    /// Whether subscriptions may have numbers.
    takes_subscription_ids: bool,
    /// How long what is kept with a connection may be.
    lengths: Lengths,
}

/// In bytes: what a client may have kept for as long as it is connected. A packet could be larger.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    client_id: usize,
    topic: usize,
    will: usize,
}

/// Starling's own ids have 32 bytes, its topics at most 64, and what players say fits in 1 KB.
const OF_PLAYERS: Lengths = Lengths { client_id: 256, topic: 512, will: 4096 };
/// Arbitrary; a will is bounded by its packet, and by what the broker keeps of all together.
const OF_ANYBODY: Lengths = Lengths { client_id: 1024, topic: 4096, will: usize::MAX };

impl Guard {
    /// The state before the first byte.
    #[must_use]
    pub fn new(packet_bytes_max: u32) -> Self {
        let options = ConnectionOptions::new().maximum_packet_size_recv(packet_bytes_max);
        let mut machine = Connection::with_options(Version::Undetermined, options);
        machine.set_auto_pub_response(false);
        Guard {
            machine,
            input: BytesMut::new(),
            packet_bytes_max,
            protocol: None,
            welcomed: false,
            detail: false,
            takes_no_alias: false,
            peer_bytes_max: usize::MAX,
            unreleased: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            takes_subscription_ids: false,
            lengths: OF_PLAYERS,
        }
    }

    /// The same as a general broker's: subscriptions may have numbers, and topics any usual length.
    #[must_use]
    pub fn of_anybody(self) -> Self {
        Guard { takes_subscription_ids: true, lengths: OF_ANYBODY, ..self }
    }

    /// QoS 2 publishes that the client sent on an earlier connection of its session, and has not released.
    /// To be told after the CONNACK.
    pub fn resume(&mut self, unreleased: Vec<u16>) {
        self.machine.restore_qos2_publish_handled(unreleased.iter().copied().collect());
        self.unreleased = unreleased.into_iter().collect();
    }

    /// Which version the client speaks, once it has said so.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        self.protocol
    }

    /// Whether the client has been welcomed.
    #[must_use]
    pub fn is_welcomed(&self) -> bool {
        self.welcomed
    }

    /// How many bytes wait to be read.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.input.len()
    }

    /// Takes what came from the client.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next complete packet among what was fed.
    ///
    /// # Errors
    /// What the client did wrong; the connection has to be closed then.
    pub fn poll_packet(&mut self) -> Result<Option<Inbound>, Fault> {
        loop {
            let Some(header) = wire::header(&self.input, self.packet_bytes_max)? else {
                return Ok(None);
            };
            if self.protocol.is_none() {
                wire::check_first(header)?;
            }
            if self.input.len() < header.packet_bytes {
                return Ok(None);
            }
            let mut packet = self.input.split_to(header.packet_bytes);
            if self.input.is_empty() {
                // Gives the memory back: an idle connection holds no buffer.
                self.input = BytesMut::new();
            }
            let repeated = wire::qos_2_id(header, &packet);
            match self.read(header, &mut packet)? {
                // Its verdict is still to come, and so is its PUBREC.
                Some(Inbound::Repeated(_))
                    if repeated.is_some_and(|id| self.unanswered.contains(&id)) => {}
                Some(inbound) => return Ok(Some(inbound)),
                None => {}
            }
        }
    }

    /// Whether an answer of so many bytes reaches the client with all its user properties.
    #[must_use]
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.detail && self.peer_bytes_max >= bytes
    }

    /// The bytes of an answer.
    ///
    /// # Errors
    /// If the client takes no packet as large as even the shortest form of it.
    pub fn encode(&mut self, outbound: &Outbound<'_>) -> Result<Bytes, Fault> {
        let protocol = self.protocol.ok_or(Fault::ConnectExpected)?;
        // What does not fit the client's limit is left out, the words first.
        let less_and_less: &[Detail] =
            if self.detail { &[Detail::Words, Detail::Properties] } else { &[] };
        let mut encode = |detail| self.send(outbound.to_packet(protocol, detail)?);
        let with_detail = less_and_less.iter().find_map(|detail| encode(*detail).ok());
        let bytes = with_detail.map_or_else(|| encode(Detail::Nothing), Ok)?;
        self.welcomed |= matches!(outbound, Outbound::Connack(_));
        if let Outbound::Pubrec(id, verdict) = outbound {
            self.unanswered.remove(id);
            if protocol == Protocol::V5 && verdict.reason != Reason::Success {
                // The end of that publish: no PUBREL follows.
                self.unreleased.remove(id);
            }
        }
        Ok(bytes)
    }

    /// The last words to a client, if its version and state have any: `reason` as MQTT 5 knows it,
    /// the same in words, and where else to go. What the client's largest packet has no room for is left
    /// out, the words first.
    #[must_use]
    pub fn farewell(&self, reason: u8, words: &str, elsewhere: Option<&str>) -> Option<Bytes> {
        let words = self.detail.then_some(words);
        let less_and_less = [
            wire::Words { words, elsewhere },
            wire::Words { words: None, elsewhere },
            wire::Words::default(),
        ];
        let mut forms = less_and_less
            .into_iter()
            .filter_map(|said| wire::farewell(self.protocol, self.welcomed, reason, said));
        forms.find(|bytes| bytes.len() <= self.peer_bytes_max)
    }

    fn read(
        &mut self,
        header: wire::Header,
        packet: &mut BytesMut,
    ) -> Result<Option<Inbound>, Fault> {
        let body = &mut packet[header.header_bytes..];
        match self.protocol {
            None => {
                if wire::is_of_later_version(body) {
                    // It is told so as MQTT 5 has it, whose successor it is.
                    (self.protocol, self.detail) = (Some(Protocol::V5), true);
                    return Err(Fault::VersionUnsupported);
                }
                let protocol = wire::protocol(body)?;
                self.protocol = Some(protocol);
                // Before anything is refused: the refusal has to fit, and may have words.
                let takes = wire::takes(body, protocol);
                self.detail = takes.words;
                if let Some(bytes) = takes.bytes_max {
                    self.peer_bytes_max = bytes as usize;
                }
                self.takes_no_alias = wire::check_connect(body, protocol)?;
                if let Some(named) = wire::with_user_name(body, protocol) {
                    *packet = named;
                }
            }
            Some(protocol) => {
                wire::check(header.first, body, protocol)?;
                if let Some(has) = wire::answer(header.first, body, protocol)? {
                    let early = Fault::Protocol(fault::PROTOCOL_ERROR);
                    return if self.welcomed { Ok(Some(Inbound::Has(has))) } else { Err(early) };
                }
            }
        }
        let mut inbound = self.advance(packet)?;
        if let Some(inbound) = &mut inbound {
            self.check(inbound)?;
        }
        Ok(inbound)
    }

    /// Runs one packet through the state machine.
    fn advance(&mut self, packet: &[u8]) -> Result<Option<Inbound>, Fault> {
        let machine = &mut self.machine;
        let receive = AssertUnwindSafe(|| machine.recv(&mut Cursor::new(packet)));
        let events = catch_unwind(receive);
        let (mut inbound, mut broken) = (None, None);
        for event in events.map_err(|_| Fault::Panicked)? {
            match event {
                Event::NotifyPacketReceived(packet) => inbound = Some(self.take(packet)?),
                Event::RequestSendPacket { packet, .. } if self.welcomed => {
                    inbound = Some(Inbound::Repeated(packet.to_continuous_buffer().into()));
                }
                // The error that asks for the end may come after or without that request.
                Event::NotifyError(error) => broken = Some(error.into()),
                Event::RequestClose => {
                    broken = broken.or(Some(Fault::Protocol(fault::PROTOCOL_ERROR)));
                }
                _ => {}
            }
        }
        broken.map_or(Ok(inbound), Err)
    }

    fn take(&mut self, packet: Packet) -> Result<Inbound, Fault> {
        if !self.takes_subscription_ids && has_subscription_id(&packet) {
            return Err(Fault::SubscriptionIdUnsupported);
        }
        if is_numbered_publish(&packet) {
            return Err(Fault::Protocol(fault::PROTOCOL_ERROR));
        }
        check_texts(&packet)?;
        check_company(properties(&packet))?;
        properties(&packet).iter().try_for_each(check_property)?;
        Inbound::from_packet(packet).ok_or(Fault::Protocol(fault::PROTOCOL_ERROR))
    }

    /// What the state machine has let pass.
    fn check(&mut self, inbound: &mut Inbound) -> Result<(), Fault> {
        match inbound {
            Inbound::Connect(connect) => {
                let nameless = connect.client_id.is_empty() && !connect.clean;
                if nameless && self.protocol == Some(Protocol::V3) {
                    return Err(Fault::ClientIdMissing);
                }
                if connect.wants_authentication {
                    return Err(Fault::AuthenticationUnsupported);
                }
                self.lengths.check(connect)?;
                if self.takes_no_alias {
                    connect.alias_maximum = 0;
                }
            }
            Inbound::Publish(publish) => {
                if publish.topic.len() > self.lengths.topic {
                    return Err(Fault::TopicLong);
                }
                if let Acknowledge::Twice(id) = publish.acknowledge {
                    self.unreleased.insert(id);
                    self.unanswered.insert(id);
                }
                if self.unreleased.len() > RELEASES_PENDING_MAX {
                    return Err(Fault::ReleasesPending);
                }
            }
            Inbound::Subscribe { wishes, .. } => {
                let reserved = self.protocol == Some(Protocol::V3);
                for wish in wishes {
                    check_filter(&wish.filter)?;
                    if reserved && wish.has_options {
                        return Err(Fault::FlagsReserved);
                    }
                }
            }
            Inbound::Unsubscribe { filters, .. } => {
                filters.iter().try_for_each(|filter| check_filter(filter))?;
            }
            Inbound::Release { packet_id, known } => *known = self.unreleased.remove(packet_id),
            Inbound::Repeated(_) | Inbound::Has(_) | Inbound::Ping | Inbound::Disconnect { .. } => {
            }
        }
        Ok(())
    }

    fn send(&mut self, packet: Packet) -> Result<Bytes, MqttError> {
        let mut bytes = Err(MqttError::PacketNotAllowedToSend);
        for event in self.machine.send(packet) {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    bytes = Ok(packet.to_continuous_buffer().into());
                }
                Event::NotifyError(error) => return Err(error),
                _ => {}
            }
        }
        bytes
    }
}

impl Lengths {
    fn check(self, connect: &Connect) -> Result<(), Fault> {
        if connect.client_id.len() > self.client_id {
            return Err(Fault::ClientIdLong);
        }
        match &connect.will {
            Some(will) if will.topic.is_empty() => Err(Fault::TopicEmpty),
            Some(will) if will.topic.contains(['+', '#']) => Err(Fault::TopicWildcard),
            Some(will) if will.topic.len() > self.topic => Err(Fault::TopicLong),
            Some(will) if will.payload.len() > self.will => Err(Fault::WillLarge),
            _ => Ok(()),
        }
    }
}

fn has_subscription_id(packet: &Packet) -> bool {
    let Packet::V5_0Subscribe(packet) = packet else { return false };
    packet.props().iter().any(|property| matches!(property, Property::SubscriptionIdentifier(_)))
}

/// MQTT 5.0, section 3.3.4: those numbers are for what a server sends.
fn is_numbered_publish(packet: &Packet) -> bool {
    let Packet::V5_0Publish(packet) = packet else { return false };
    packet.props().iter().any(|property| matches!(property, Property::SubscriptionIdentifier(_)))
}

/// What the packets of MQTT 5 that carry texts for others say beside their content.
fn properties(packet: &Packet) -> &[Property] {
    match packet {
        Packet::V5_0Connect(packet) => packet.props(),
        Packet::V5_0Publish(packet) => packet.props(),
        Packet::V5_0Subscribe(packet) => packet.props(),
        Packet::V5_0Unsubscribe(packet) => packet.props(),
        Packet::V5_0Pubrel(packet) => packet.props().as_deref().unwrap_or_default(),
        Packet::V5_0Disconnect(packet) => packet.props().as_deref().unwrap_or_default(),
        _ => &[],
    }
}

/// MQTT 5.0, section 1.5.4: no text of an introduction has a U+0000, its will's included.
fn check_texts(packet: &Packet) -> Result<(), Fault> {
    let texts = match packet {
        Packet::V3_1_1Connect(it) => [Some(it.client_id()), it.will_topic(), it.user_name()],
        Packet::V5_0Connect(it) => {
            it.will_props().iter().try_for_each(check_property)?;
            [Some(it.client_id()), it.will_topic(), it.user_name()]
        }
        _ => return Ok(()),
    };
    let has_null = texts.into_iter().flatten().any(|text| text.contains('\0'));
    if has_null { Err(Fault::Protocol(fault::MALFORMED)) } else { Ok(()) }
}

/// MQTT 5.0, sections 3.1.2.11.10 and 3.8.2.1.2: what proves somebody goes with the method by which it does, and a
/// subscription has one number.
fn check_company(properties: &[Property]) -> Result<(), Fault> {
    let count = |wanted: fn(&Property) -> bool| properties.iter().filter(|it| wanted(it)).count();
    let numbers = count(|it| matches!(it, Property::SubscriptionIdentifier(_)));
    let methods = count(|it| matches!(it, Property::AuthenticationMethod(_)));
    let proofs = count(|it| matches!(it, Property::AuthenticationData(_)));
    if numbers > 1 || proofs > methods {
        return Err(Fault::Protocol(fault::PROTOCOL_ERROR));
    }
    Ok(())
}

/// MQTT 5.0, sections 1.5.4, 3.3.2.3.5 and 3.14.2.2.5: no text has a U+0000, a response topic is not empty and has no
/// wildcard, and only servers say where else to go.
fn check_property(property: &Property) -> Result<(), Fault> {
    let malformed = Fault::Protocol(fault::MALFORMED);
    match property {
        Property::UserProperty(pair) if [pair.key(), pair.val()].concat().contains('\0') => {
            Err(malformed)
        }
        Property::ContentType(text) if text.val().contains('\0') => Err(malformed),
        Property::ReasonString(text) if text.val().contains('\0') => Err(malformed),
        Property::ServerReference(_) => Err(Fault::Protocol(fault::PROTOCOL_ERROR)),
        Property::ResponseTopic(topic) if topic.val().contains('\0') => Err(malformed),
        Property::ResponseTopic(topic) if topic.val().is_empty() => {
            Err(Fault::Protocol(fault::PROTOCOL_ERROR))
        }
        Property::ResponseTopic(topic) if topic.val().contains(['+', '#']) => {
            Err(Fault::TopicWildcard)
        }
        _ => Ok(()),
    }
}

fn check_filter(filter: &str) -> Result<(), Fault> {
    filter::check_filter(filter).map_err(|_| Fault::FilterMalformed)
}

/// Above what usual clients have in flight (20); 4 times what they are told in MQTT 5.
const RELEASES_PENDING_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_state_machine_is_a_fault_of_that_connection() {
        // The packet that the guard makes harmless beforehand, past the guard.
        let connect = b"\x10\x11\0\x04MQTT\x05\x02\0\x1e\x03\x22\0\0\0\x01c";
        assert_eq!(Guard::new(1000).advance(connect), Err(Fault::Panicked));
        let mut guard = Guard::new(1000);
        guard.feed(connect);
        assert!(matches!(guard.poll_packet(), Ok(Some(Inbound::Connect(_)))));
    }
}
