//! One connection to the broker as a state machine: bytes in, what was heard out, bytes to send.
//!
//! `mqtt-protocol-core` keeps the protocol's state here too, as a client this time; both versions of
//! MQTT are one shape behind this file. Acknowledging is the caller's: a PUBACK leaves when
//! [`Wire::acknowledge`] is called and never by itself. There is no socket, clock or task in here.

mod packet;

use bytes::{Bytes, BytesMut};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event};
use mqtt_protocol_core::mqtt::packet::prelude::GenericPacketTrait;
use mqtt_protocol_core::mqtt::packet::{Packet, Qos, SubEntry, SubOpts, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;
use mqtt_protocol_core::mqtt::{Connection, Version, role};

/// The largest packet that the broker may send, header included. Arbitrary: as at the edge.
const PACKET_BYTES_MAX: u32 = 64 * 1_024;
/// Longest payload that is looked at; a longer one is acknowledged and passed over.
pub const PAYLOAD_BYTES_MAX: usize = PACKET_BYTES_MAX as usize;

/// The version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// 3.1.1
    V3,
    /// 5
    V5,
}

impl Protocol {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Protocol::V3 => Protocol::V5,
            Protocol::V5 => Protocol::V3,
        }
    }

    /// As people write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Protocol::V3 => "3.1.1",
            Protocol::V5 => "5",
        }
    }
}

/// How a connection introduces itself.
#[derive(Debug, Clone)]
pub struct Introduction {
    /// The name of the session.
    pub client_id: String,
    /// Whom the broker is to take it for.
    pub user: Option<String>,
    /// The proof of that.
    pub password: Option<String>,
    /// Sent at least this often, in seconds.
    pub keep_alive_s: u16,
    /// For how long the broker keeps the session, in seconds; in MQTT 3.1.1 for ever, unless 0.
    pub session_expiry_s: u32,
    /// How many messages may wait for their acknowledgement.
    pub receive_maximum: u16,
}

/// What a broker says of itself when it accepts a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// Whether it had kept the session.
    pub session_present: bool,
    /// Whether it has shared subscriptions.
    pub has_shared: bool,
    /// How many publishes it takes at once.
    pub receive_maximum: u16,
    /// The keep-alive that it wants instead.
    pub keep_alive_s: Option<u16>,
}

/// A message from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// On which topic.
    pub topic: String,
    /// What it says.
    pub payload: Bytes,
    /// By which it is acknowledged; `None` at QoS 0.
    pub packet_id: Option<u16>,
    /// Where an answer is to go, if the sender named a topic in MQTT 5.
    pub response_topic: Option<String>,
    /// By which the sender knows the answer.
    pub correlation: Option<Vec<u8>>,
}

/// What a broker that refuses a connection objects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objection {
    /// The version of MQTT.
    Version,
    /// Who the node says it is.
    Identity,
    /// The name of its session.
    ClientId,
    /// Something else.
    Other,
}

/// What was heard.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// The broker accepts the connection.
    Welcome(Welcome),
    /// The broker refuses the connection, with its reason.
    Refused {
        /// In words.
        reason: String,
        /// What it is about.
        objection: Objection,
    },
    /// A message.
    Message(Message),
    /// A publish has arrived there.
    Published {
        /// Which.
        packet_id: u16,
        /// Whether the broker took it.
        taken: bool,
    },
    /// Subscriptions were made.
    Subscribed {
        /// By which packet.
        packet_id: u16,
        /// Whether each was granted.
        granted: Vec<bool>,
    },
    /// Subscriptions were ended.
    Unsubscribed {
        /// By which packet.
        packet_id: u16,
    },
    /// The broker ends the connection.
    Goodbye {
        /// Why, in words.
        reason: String,
        /// Whether it is since another client has taken over the session.
        is_taken_over: bool,
    },
    /// The broker is alive.
    Pong,
}

/// The connection cannot go on, or something could not be said on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(MqttError);

/// A message that a node publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// To which topic.
    pub topic: String,
    /// What it says.
    pub payload: Bytes,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// Passed through to the one who asked.
    pub correlation: Option<Vec<u8>>,
}

/// One connection.
pub struct Wire {
    machine: Connection<role::Client>,
    protocol: Protocol,
    output: BytesMut,
}

impl Wire {
    /// A connection that has said who it is.
    ///
    /// # Errors
    /// If the introduction cannot be encoded.
    pub fn open(protocol: Protocol, introduction: &Introduction) -> Result<Self, WireError> {
        let version = match protocol {
            Protocol::V3 => Version::V3_1_1,
            Protocol::V5 => Version::V5_0,
        };
        // MQTT 3.1.1 cannot tell the broker what is too long: a stranger's message would end each connection
        // to which the broker brings it again.
        let options = match protocol {
            Protocol::V3 => ConnectionOptions::new(),
            Protocol::V5 => ConnectionOptions::new().maximum_packet_size_recv(PACKET_BYTES_MAX),
        };
        let mut machine = Connection::with_options(version, options);
        machine.set_auto_pub_response(false);
        let mut wire = Wire { machine, protocol, output: BytesMut::new() };
        let connect = match protocol {
            Protocol::V3 => packet::connect_v3(introduction),
            Protocol::V5 => packet::connect_v5(introduction),
        };
        wire.send(connect.map_err(WireError)?)?;
        Ok(wire)
    }

    /// Which version is spoken.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// What is to be sent.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Takes what came.
    ///
    /// # Errors
    /// When it is not MQTT, or not what may come now; the connection has to be closed then.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Heard>, WireError> {
        let mut cursor = Cursor::new(bytes);
        let mut heard = Vec::new();
        while (cursor.position() as usize) < bytes.len() {
            for event in self.machine.recv(&mut cursor) {
                match event {
                    Event::NotifyPacketReceived(packet) => heard.extend(packet::read(packet)),
                    Event::RequestSendPacket { packet, .. } => self.queue(&packet),
                    Event::NotifyError(error) => return Err(WireError(error)),
                    Event::RequestClose => return Err(WireError(MqttError::ProtocolError)),
                    _ => {}
                }
            }
        }
        Ok(heard)
    }

    /// Whether the broker takes one more publish now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.machine.get_receive_maximum_vacancy_for_send().is_none_or(|room| room > 0)
    }

    /// Publishes at QoS 1; the packet id that its acknowledgement will carry.
    ///
    /// # Errors
    /// When it is larger than the broker takes, or all packet ids are in use.
    pub fn publish(&mut self, message: &Outgoing) -> Result<u16, WireError> {
        let id = self.machine.acquire_packet_id().map_err(WireError)?;
        let packet = match self.protocol {
            Protocol::V3 => packet::publish_v3(id, message),
            Protocol::V5 => packet::publish_v5(id, message),
        };
        let sent = packet.map_err(WireError).and_then(|packet| self.send(packet));
        if sent.is_err() {
            self.machine.release_packet_id(id);
        }
        sent.map(|()| id)
    }

    /// Acknowledges a message.
    ///
    /// # Errors
    /// When there is no such message to acknowledge.
    pub fn acknowledge(&mut self, packet_id: u16) -> Result<(), WireError> {
        let packet = match self.protocol {
            Protocol::V3 => v3_1_1::Puback::builder().packet_id(packet_id).build().map(Into::into),
            Protocol::V5 => v5_0::Puback::builder().packet_id(packet_id).build().map(Into::into),
        };
        self.send(packet.map_err(WireError)?)
    }

    /// Subscribes at QoS 1; the packet id that its acknowledgement will carry.
    ///
    /// # Errors
    /// When a filter cannot be encoded, or all packet ids are in use.
    pub fn subscribe(&mut self, filters: &[String]) -> Result<u16, WireError> {
        let id = self.machine.acquire_packet_id().map_err(WireError)?;
        let entry = |filter: &String| {
            SubEntry::new(filter.as_str(), SubOpts::new().set_qos(Qos::AtLeastOnce))
        };
        let entries: Result<Vec<_>, _> = filters.iter().map(entry).collect();
        let entries = entries.map_err(WireError)?;
        let packet = match self.protocol {
            Protocol::V3 => {
                v3_1_1::Subscribe::builder().packet_id(id).entries(entries).build().map(Into::into)
            }
            Protocol::V5 => {
                v5_0::Subscribe::builder().packet_id(id).entries(entries).build().map(Into::into)
            }
        };
        self.send(packet.map_err(WireError)?)?;
        Ok(id)
    }

    /// Ends subscriptions; the packet id that the acknowledgement will carry.
    ///
    /// # Errors
    /// When a filter cannot be encoded, or all packet ids are in use.
    pub fn unsubscribe(&mut self, filters: &[String]) -> Result<u16, WireError> {
        let id = self.machine.acquire_packet_id().map_err(WireError)?;
        let packet = match self.protocol {
            Protocol::V3 => packet::unsubscribe_v3(id, filters),
            Protocol::V5 => packet::unsubscribe_v5(id, filters),
        };
        self.send(packet.map_err(WireError)?)?;
        Ok(id)
    }

    /// Asks whether the broker is alive.
    ///
    /// # Errors
    /// When the connection is not one yet, or no more.
    pub fn ping(&mut self) -> Result<(), WireError> {
        self.send(match self.protocol {
            Protocol::V3 => v3_1_1::Pingreq::new().into(),
            Protocol::V5 => v5_0::Pingreq::new().into(),
        })
    }

    /// Says goodbye. Where `keeps_session` is not said, MQTT 5 ends the session with it.
    ///
    /// # Errors
    /// When the connection is not one yet, or no more.
    pub fn disconnect(&mut self, keeps_session: bool) -> Result<(), WireError> {
        let packet = match self.protocol {
            Protocol::V3 => v3_1_1::Disconnect::new().into(),
            Protocol::V5 => packet::disconnect_v5(keeps_session).map_err(WireError)?,
        };
        self.send(packet)
    }

    fn send(&mut self, packet: Packet) -> Result<(), WireError> {
        let mut refused = None;
        for event in self.machine.send(packet) {
            match event {
                Event::RequestSendPacket { packet, .. } => self.queue(&packet),
                Event::NotifyError(error) => refused = Some(WireError(error)),
                _ => {}
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn queue(&mut self, packet: &Packet) {
        self.output.extend_from_slice(&packet.to_continuous_buffer());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn introduction() -> Introduction {
        Introduction {
            client_id: "node".into(),
            user: Some("starling".into()),
            password: Some("secret".into()),
            keep_alive_s: 15,
            session_expiry_s: 60,
            receive_maximum: 9,
        }
    }

    /// A connection that the broker has accepted.
    fn welcomed(protocol: Protocol) -> Wire {
        let mut wire = Wire::open(protocol, &introduction()).unwrap();
        let connack: &[u8] = match protocol {
            Protocol::V3 => b"\x20\x02\x01\x00",
            Protocol::V5 => b"\x20\x08\x01\x00\x05\x2a\x00\x21\x00\x02",
        };
        let heard = wire.receive(connack).unwrap();
        let v5 = protocol == Protocol::V5;
        let welcome = Welcome {
            session_present: true,
            has_shared: false,
            receive_maximum: if v5 { 2 } else { u16::MAX },
            keep_alive_s: None,
        };
        assert_eq!(heard, [Heard::Welcome(welcome)]);
        wire.output().clear();
        wire
    }

    fn outgoing(topic: &str) -> Outgoing {
        let payload = Bytes::from_static(b"{}");
        Outgoing { topic: topic.into(), payload, retain: false, correlation: None }
    }

    #[test]
    fn a_message_is_acknowledged_when_told_and_not_before() {
        for (protocol, publish) in [
            (Protocol::V3, &b"\x32\x07\x00\x01t\x00\x07{}"[..]),
            (Protocol::V5, &b"\x32\x08\x00\x01t\x00\x07\x00{}"[..]),
        ] {
            let mut wire = welcomed(protocol);
            let heard = wire.receive(publish).unwrap();
            let [Heard::Message(message)] = &heard[..] else { panic!("{heard:?}") };
            assert_eq!((message.packet_id, &message.payload[..]), (Some(7), &b"{}"[..]));
            assert!(wire.output().is_empty());
            wire.acknowledge(7).unwrap();
            assert_eq!(&wire.output()[..], b"\x40\x02\x00\x07");
        }
    }

    #[test]
    fn a_packet_may_come_in_pieces() {
        let mut wire = welcomed(Protocol::V3);
        let publish = b"\x32\x07\x00\x01t\x00\x07{}";
        let heard: Vec<Heard> =
            publish.iter().flat_map(|byte| wire.receive(&[*byte]).unwrap()).collect();
        assert!(matches!(&heard[..], [Heard::Message(_)]), "{heard:?}");
    }

    #[test]
    fn a_broker_that_takes_two_at_once_is_sent_two() {
        let mut wire = welcomed(Protocol::V5);
        let first = wire.publish(&outgoing("a")).unwrap();
        wire.publish(&outgoing("b")).unwrap();
        assert!(!wire.has_room());
        let [high, low] = first.to_be_bytes();
        let heard = wire.receive(&[0x40, 2, high, low]).unwrap();
        assert_eq!(heard, [Heard::Published { packet_id: first, taken: true }]);
        assert!(wire.has_room());
    }

    #[test]
    fn a_broker_of_another_version_says_so() {
        let mut wire = Wire::open(Protocol::V5, &introduction()).unwrap();
        let heard = wire.receive(b"\x20\x03\x00\x84\x00").unwrap();
        assert!(
            matches!(&heard[..], [Heard::Refused { objection: Objection::Version, .. }]),
            "{heard:?}"
        );
    }

    #[test]
    fn a_refusal_is_told_in_words_and_by_what_it_is_about() {
        for (protocol, connack) in
            [(Protocol::V3, &b"\x20\x02\x00\x04"[..]), (Protocol::V5, &b"\x20\x03\x00\x86\x00"[..])]
        {
            let mut wire = Wire::open(protocol, &introduction()).unwrap();
            let heard = wire.receive(connack).unwrap();
            let reason = "bad user name or password".to_owned();
            assert_eq!(heard, [Heard::Refused { reason, objection: Objection::Identity }]);
        }
    }

    #[test]
    fn whoever_takes_a_session_over_is_told_apart() {
        let mut wire = welcomed(Protocol::V5);
        for (code, is_taken_over) in [(0x8e, true), (0x8b, false)] {
            let heard = wire.receive(&[0xe0, 1, code]).unwrap();
            let [Heard::Goodbye { reason, is_taken_over: told }] = &heard[..] else {
                panic!("{heard:?}")
            };
            assert_eq!(*told, is_taken_over, "{reason}");
            wire = welcomed(Protocol::V5);
        }
    }

    #[test]
    fn what_comes_out_of_turn_is_an_error() {
        let mut wire = Wire::open(Protocol::V5, &introduction()).unwrap();
        assert!(wire.receive(b"\x40\x02\x00\x01").is_err());
    }
}
