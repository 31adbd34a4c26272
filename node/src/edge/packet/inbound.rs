//! What clients say.

use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::{
    Packet, Property, Qos, RetainHandling, SubEntry, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;

/// What a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// It introduces itself.
    Connect(Connect),
    /// It publishes.
    Publish(Publish),
    /// It wants what is behind some filters.
    Subscribe {
        /// Names the packet in its answer.
        packet_id: u16,
        /// In the packet's order.
        wishes: Vec<Wish>,
    },
    /// It no longer wants that.
    Unsubscribe {
        /// Names the packet in its answer.
        packet_id: u16,
        /// In the packet's order.
        filters: Vec<String>,
    },
    /// The third step of QoS 2.
    Release {
        /// Of the publish.
        packet_id: u16,
        /// Whether there is such a publish.
        known: bool,
    },
    /// It has something that it was sent.
    Has(Has),
    /// The client repeated a QoS 2 publish that is known; these bytes say so.
    Repeated(Bytes),
    /// It is alive.
    Ping,
    /// It goes.
    Disconnect {
        /// Whether its will is to be published all the same.
        with_will: bool,
        /// For how long its session is to be kept, if it says so anew, in seconds.
        session_expiry_s: Option<u32>,
    },
}

/// An answer to something that the client was sent at QoS 1 or 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Has {
    /// Of what it was sent.
    pub packet_id: u16,
    /// How far it is.
    pub step: HasStep,
    /// Whether it says that something went wrong.
    pub failed: bool,
}

/// The three answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HasStep {
    /// PUBACK: the end of QoS 1.
    Acknowledged,
    /// PUBREC: the second step of QoS 2.
    Received,
    /// PUBCOMP: the end of QoS 2.
    Completed,
}

/// A client's introduction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// What it calls itself; may be empty.
    pub client_id: String,
    /// Whether it starts afresh.
    pub clean: bool,
    /// 0 for none.
    pub keep_alive_s: u16,
    /// The largest packet that it takes, if it said so.
    pub packet_bytes_max: Option<u32>,
    /// Whether it asks for MQTT 5's extended authentication.
    pub wants_authentication: bool,
    /// Whether it asks where answers to its requests may go.
    pub wants_response_topic: bool,
    /// How many messages at QoS 1 and 2 it takes at once.
    pub receive_maximum: u16,
    /// How many topic aliases it takes.
    pub alias_maximum: u16,
    /// For how long it asks its session to be kept, in seconds; in MQTT 3.1.1 for ever or not.
    pub session_expiry_s: u32,
    /// What is to be published for it if it goes without a word.
    pub will: Option<Box<Publish>>,
    /// For how long that waits for its return, in seconds.
    pub will_delay_s: u32,
    /// By which it may prove who it is. The user name is not looked at.
    pub password: Option<Bytes>,
}

/// A client's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Its topic, neither empty nor with wildcards.
    pub topic: String,
    /// What it carries.
    pub payload: Bytes,
    /// How it is to be acknowledged.
    pub acknowledge: Acknowledge,
    /// Where an answer to it is to go, if it is a request.
    pub request: Option<Box<Request>>,
    /// Its quality of service.
    pub qos: u8,
    /// Whether it is to be retained.
    pub retain: bool,
    /// Where it ceases to matter, in seconds from now.
    pub expiry_s: Option<u32>,
    /// What else it says, for whoever is sent it.
    pub passed: Vec<Property>,
}

/// What makes a publish a request (MQTT 5.0, section 4.10).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Where the answer is to go.
    pub response_topic: String,
    /// By which the client knows the answer.
    pub correlation: Option<Vec<u8>>,
    /// Passed through to the answer.
    pub user_properties: Vec<(String, String)>,
}

/// What a publish's quality of service asks of its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// QoS 0: nothing.
    Not,
    /// QoS 1: a PUBACK for this packet id.
    Once(u16),
    /// QoS 2: a PUBREC for this packet id, and a PUBCOMP after its PUBREL.
    Twice(u16),
}

/// One line of a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The topic filter.
    pub filter: String,
    /// The quality of service that is asked for, and granted.
    pub qos: u8,
    /// Whether the retain flag is to be kept on what comes later.
    pub retain_as_published: bool,
    /// Whether what is already known is to be sent.
    pub replay: Replay,
    /// Whether the client wants nothing that it publishes itself.
    pub no_local: bool,
    /// A number that is to come with whatever this brings.
    pub id: Option<u32>,
    /// Whether it carries flags that MQTT 3.1.1 reserves.
    pub has_options: bool,
}

/// When a new subscription is answered with the current state (MQTT 5.0, section 3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// Always; the only way of MQTT 3.1.1.
    Always,
    /// Unless the client held that filter before.
    IfNew,
    /// Not at all.
    Never,
}

impl Inbound {
    /// Reads a packet that a client may send; `None` for any other.
    pub(in crate::edge) fn from_packet(packet: Packet) -> Option<Inbound> {
        Some(match packet {
            Packet::V3_1_1Connect(packet) => Inbound::Connect(connect_v3(&packet)),
            Packet::V5_0Connect(packet) => Inbound::Connect(connect_v5(&packet)),
            Packet::V3_1_1Publish(packet) => Inbound::Publish(Publish {
                topic: packet.topic_name().to_owned(),
                payload: Bytes::copy_from_slice(packet.payload().as_slice()),
                acknowledge: acknowledge(packet.qos(), packet.packet_id()),
                request: None,
                qos: packet.qos() as u8,
                retain: packet.retain(),
                expiry_s: None,
                passed: Vec::new(),
            }),
            Packet::V5_0Publish(packet) => Inbound::Publish(Publish {
                topic: packet.topic_name().to_owned(),
                payload: Bytes::copy_from_slice(packet.payload().as_slice()),
                acknowledge: acknowledge(packet.qos(), packet.packet_id()),
                request: request(packet.props()),
                qos: packet.qos() as u8,
                retain: packet.retain(),
                expiry_s: expiry(packet.props()),
                passed: passed(packet.props()),
            }),
            Packet::V3_1_1Subscribe(packet) => Inbound::Subscribe {
                packet_id: packet.packet_id(),
                wishes: packet.entries().iter().map(|entry| wish(entry, None)).collect(),
            },
            Packet::V5_0Subscribe(packet) => {
                let id = subscription_id(packet.props());
                let wishes = packet.entries().iter().map(|entry| wish(entry, id)).collect();
                Inbound::Subscribe { packet_id: packet.packet_id(), wishes }
            }
            Packet::V3_1_1Unsubscribe(packet) => Inbound::Unsubscribe {
                packet_id: packet.packet_id(),
                filters: packet.entries().iter().map(|f| f.as_str().to_owned()).collect(),
            },
            Packet::V5_0Unsubscribe(packet) => Inbound::Unsubscribe {
                packet_id: packet.packet_id(),
                filters: packet.entries().iter().map(|f| f.as_str().to_owned()).collect(),
            },
            Packet::V3_1_1Pubrel(packet) => release(packet.packet_id()),
            Packet::V5_0Pubrel(packet) => release(packet.packet_id()),
            Packet::V3_1_1Pingreq(_) | Packet::V5_0Pingreq(_) => Inbound::Ping,
            Packet::V3_1_1Disconnect(_) => {
                Inbound::Disconnect { with_will: false, session_expiry_s: None }
            }
            Packet::V5_0Disconnect(packet) => {
                let reason = packet.reason_code();
                let with_will = reason == Some(DisconnectReasonCode::DisconnectWithWillMessage);
                let properties = packet.props.as_deref().unwrap_or_default();
                Inbound::Disconnect { with_will, session_expiry_s: session_expiry(properties) }
            }
            _ => return None,
        })
    }
}

/// The guard knows whether it is known.
fn release(packet_id: u16) -> Inbound {
    Inbound::Release { packet_id, known: false }
}

fn request(properties: &[Property]) -> Option<Box<Request>> {
    let mut request = Request::default();
    for property in properties {
        match property {
            Property::ResponseTopic(topic) => topic.val().clone_into(&mut request.response_topic),
            Property::CorrelationData(data) => request.correlation = Some(data.val().to_vec()),
            Property::UserProperty(pair) => {
                request.user_properties.push((pair.key().to_owned(), pair.val().to_owned()));
            }
            _ => {}
        }
    }
    (!request.response_topic.is_empty()).then(|| Box::new(request))
}

fn expiry(properties: &[Property]) -> Option<u32> {
    properties.iter().find_map(|property| match property {
        Property::MessageExpiryInterval(seconds) => Some(seconds.val()),
        _ => None,
    })
}

fn session_expiry(properties: &[Property]) -> Option<u32> {
    properties.iter().find_map(|property| match property {
        Property::SessionExpiryInterval(seconds) => Some(seconds.val()),
        _ => None,
    })
}

fn subscription_id(properties: &[Property]) -> Option<u32> {
    properties.iter().find_map(|property| match property {
        Property::SubscriptionIdentifier(id) => Some(id.val()),
        _ => None,
    })
}

/// What a message says to whoever is sent it, in its order (MQTT 5.0, section 3.3.2.3).
fn passed(properties: &[Property]) -> Vec<Property> {
    let for_receivers = |property: &&Property| {
        matches!(
            property,
            Property::PayloadFormatIndicator(_)
                | Property::ContentType(_)
                | Property::ResponseTopic(_)
                | Property::CorrelationData(_)
                | Property::UserProperty(_)
        )
    };
    properties.iter().filter(for_receivers).cloned().collect()
}

fn will(topic: Option<&str>, payload: Option<&[u8]>, manner: Manner<'_>) -> Option<Box<Publish>> {
    let (topic, payload) = (topic?.to_owned(), Bytes::copy_from_slice(payload.unwrap_or_default()));
    let Manner { qos, retain, properties } = manner;
    Some(Box::new(Publish {
        topic,
        payload,
        acknowledge: Acknowledge::Not,
        request: None,
        qos: qos as u8,
        retain,
        expiry_s: expiry(properties),
        passed: passed(properties),
    }))
}

/// How a will is to be published.
#[derive(Clone, Copy)]
struct Manner<'a> {
    qos: Qos,
    retain: bool,
    properties: &'a [Property],
}

fn connect_v3(packet: &v3_1_1::Connect) -> Connect {
    Connect {
        client_id: packet.client_id().to_owned(),
        clean: packet.clean_session(),
        keep_alive_s: packet.keep_alive(),
        packet_bytes_max: None,
        wants_authentication: false,
        wants_response_topic: false,
        receive_maximum: u16::MAX,
        alias_maximum: 0,
        session_expiry_s: if packet.clean_session() { 0 } else { u32::MAX },
        will: will(
            packet.will_topic(),
            packet.will_payload(),
            Manner { qos: packet.will_qos(), retain: packet.will_retain(), properties: &[] },
        ),
        will_delay_s: 0,
        password: packet.password().map(Bytes::copy_from_slice),
    }
}

fn connect_v5(packet: &v5_0::Connect) -> Connect {
    let manner = Manner {
        qos: packet.will_qos(),
        retain: packet.will_retain(),
        properties: packet.will_props(),
    };
    let mut connect = Connect {
        client_id: packet.client_id().to_owned(),
        clean: packet.clean_start(),
        keep_alive_s: packet.keep_alive(),
        packet_bytes_max: None,
        wants_authentication: false,
        wants_response_topic: false,
        receive_maximum: u16::MAX,
        alias_maximum: 0,
        session_expiry_s: 0,
        will: will(packet.will_topic(), packet.will_payload(), manner),
        will_delay_s: 0,
        password: packet.password().map(Bytes::copy_from_slice),
    };
    for property in packet.will_props() {
        if let Property::WillDelayInterval(seconds) = property {
            connect.will_delay_s = seconds.val();
        }
    }
    for property in packet.props() {
        match property {
            Property::MaximumPacketSize(bytes) => connect.packet_bytes_max = Some(bytes.val()),
            Property::AuthenticationMethod(_) => connect.wants_authentication = true,
            Property::RequestResponseInformation(wanted) => {
                connect.wants_response_topic = wanted.val() == 1;
            }
            Property::ReceiveMaximum(most) => connect.receive_maximum = most.val(),
            Property::TopicAliasMaximum(most) => connect.alias_maximum = most.val(),
            Property::SessionExpiryInterval(seconds) => connect.session_expiry_s = seconds.val(),
            _ => {}
        }
    }
    connect
}

fn acknowledge(qos: Qos, packet_id: Option<u16>) -> Acknowledge {
    match (qos, packet_id) {
        (Qos::AtLeastOnce, Some(id)) => Acknowledge::Once(id),
        (Qos::ExactlyOnce, Some(id)) => Acknowledge::Twice(id),
        _ => Acknowledge::Not,
    }
}

fn wish(entry: &SubEntry, id: Option<u32>) -> Wish {
    let options = entry.sub_opts();
    let replay = match options.rh() {
        RetainHandling::SendRetained => Replay::Always,
        RetainHandling::SendRetainedIfNotExists => Replay::IfNew,
        RetainHandling::DoNotSendRetained => Replay::Never,
    };
    let has_options = options.nl() || options.rap() || replay != Replay::Always;
    Wish {
        filter: entry.topic_filter().to_owned(),
        qos: options.qos() as u8,
        retain_as_published: options.rap(),
        replay,
        no_local: options.nl(),
        id,
        has_options,
    }
}
