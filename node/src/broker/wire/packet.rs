//! The packets of both versions: what a node says to a broker, and what a broker says.

use super::{Heard, Introduction, Message, Objection, Outgoing, Welcome};
use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::{
    CorrelationData, Packet, Properties, Property, Qos, ReceiveMaximum, SessionExpiryInterval,
    v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError,
};

pub(super) fn connect_v3(introduction: &Introduction) -> Result<Packet, MqttError> {
    let Introduction { client_id, user, password, keep_alive_s, session_expiry_s, .. } =
        introduction;
    let connect = v3_1_1::Connect::builder()
        .client_id(client_id.as_str())?
        .clean_session(*session_expiry_s == 0)
        .keep_alive(*keep_alive_s);
    let connect = match user {
        Some(user) => connect.user_name(user.as_str())?,
        None => connect,
    };
    let connect = match password {
        Some(password) => connect.password(password.clone().into_bytes())?,
        None => connect,
    };
    Ok(connect.build()?.into())
}

pub(super) fn connect_v5(introduction: &Introduction) -> Result<Packet, MqttError> {
    let Introduction { client_id, user, password, keep_alive_s, .. } = introduction;
    let properties = vec![
        Property::SessionExpiryInterval(SessionExpiryInterval::new(introduction.session_expiry_s)?),
        Property::ReceiveMaximum(ReceiveMaximum::new(introduction.receive_maximum)?),
    ];
    let connect = v5_0::Connect::builder()
        .client_id(client_id.as_str())?
        .clean_start(introduction.session_expiry_s == 0)
        .keep_alive(*keep_alive_s)
        .props(Properties::from(properties));
    let connect = match user {
        Some(user) => connect.user_name(user.as_str())?,
        None => connect,
    };
    let connect = match password {
        Some(password) => connect.password(password.clone().into_bytes())?,
        None => connect,
    };
    Ok(connect.build()?.into())
}

pub(super) fn publish_v3(id: u16, message: &Outgoing) -> Result<Packet, MqttError> {
    let packet = v3_1_1::Publish::builder()
        .topic_name(message.topic.as_str())?
        .qos(Qos::AtLeastOnce)
        .packet_id(id)
        .retain(message.retain)
        .payload(&message.payload[..])
        .build()?;
    Ok(packet.into())
}

pub(super) fn publish_v5(id: u16, message: &Outgoing) -> Result<Packet, MqttError> {
    let correlation = message.correlation.as_ref();
    let correlation = correlation.map(CorrelationData::new).transpose()?;
    let properties: Vec<_> = correlation.map(Property::CorrelationData).into_iter().collect();
    let packet = v5_0::Publish::builder()
        .topic_name(message.topic.as_str())?
        .qos(Qos::AtLeastOnce)
        .packet_id(id)
        .retain(message.retain)
        .props(Properties::from(properties))
        .payload(&message.payload[..])
        .build()?;
    Ok(packet.into())
}

pub(super) fn unsubscribe_v3(id: u16, filters: &[String]) -> Result<Packet, MqttError> {
    Ok(v3_1_1::Unsubscribe::builder().packet_id(id).entries(filters)?.build()?.into())
}

pub(super) fn unsubscribe_v5(id: u16, filters: &[String]) -> Result<Packet, MqttError> {
    Ok(v5_0::Unsubscribe::builder().packet_id(id).entries(filters)?.build()?.into())
}

/// What a packet says, if it is one that a broker sends.
pub(super) fn read(packet: Packet) -> Option<Heard> {
    Some(match packet {
        Packet::V3_1_1Connack(packet) => match packet.return_code() {
            ConnectReturnCode::Accepted => Heard::Welcome(Welcome {
                session_present: packet.session_present(),
                has_shared: false,
                receive_maximum: u16::MAX,
                keep_alive_s: None,
            }),
            code => Heard::Refused {
                reason: words(&code.to_string()),
                objection: match code {
                    ConnectReturnCode::UnacceptableProtocolVersion => Objection::Version,
                    ConnectReturnCode::BadUserNameOrPassword | ConnectReturnCode::NotAuthorized => {
                        Objection::Identity
                    }
                    ConnectReturnCode::IdentifierRejected => Objection::ClientId,
                    _ => Objection::Other,
                },
            },
        },
        Packet::V5_0Connack(packet) => match packet.reason_code() {
            ConnectReasonCode::Success => Heard::Welcome(welcome_v5(&packet)),
            code => Heard::Refused {
                reason: words(&code.to_string()),
                objection: match code {
                    ConnectReasonCode::UnsupportedProtocolVersion => Objection::Version,
                    ConnectReasonCode::BadUserNameOrPassword
                    | ConnectReasonCode::NotAuthorized
                    | ConnectReasonCode::BadAuthenticationMethod
                    | ConnectReasonCode::Banned => Objection::Identity,
                    ConnectReasonCode::ClientIdentifierNotValid => Objection::ClientId,
                    _ => Objection::Other,
                },
            },
        },
        Packet::V3_1_1Publish(packet) => Heard::Message(Message {
            topic: packet.topic_name().to_owned(),
            payload: Bytes::copy_from_slice(packet.payload().as_slice()),
            packet_id: packet.packet_id(),
            response_topic: None,
            correlation: None,
        }),
        Packet::V5_0Publish(packet) => Heard::Message(message_v5(&packet)),
        Packet::V3_1_1Puback(packet) => {
            Heard::Published { packet_id: packet.packet_id(), taken: true }
        }
        Packet::V5_0Puback(packet) => {
            let taken = packet.reason_code().is_none_or(|reason| (reason as u8) < 0x80);
            Heard::Published { packet_id: packet.packet_id(), taken }
        }
        Packet::V3_1_1Suback(packet) => Heard::Subscribed {
            packet_id: packet.packet_id(),
            granted: packet.return_codes().iter().map(|code| (*code as u8) < 0x80).collect(),
        },
        Packet::V5_0Suback(packet) => Heard::Subscribed {
            packet_id: packet.packet_id(),
            granted: packet.reason_codes().iter().map(|code| (*code as u8) < 0x80).collect(),
        },
        Packet::V3_1_1Unsuback(packet) => Heard::Unsubscribed { packet_id: packet.packet_id() },
        Packet::V5_0Unsuback(packet) => Heard::Unsubscribed { packet_id: packet.packet_id() },
        Packet::V5_0Disconnect(packet) => {
            let code = packet.reason_code();
            Heard::Goodbye {
                reason: code
                    .map_or_else(|| "no reason".to_owned(), |code| words(&code.to_string())),
                is_taken_over: code == Some(DisconnectReasonCode::SessionTakenOver),
            }
        }
        Packet::V3_1_1Pingresp(_) | Packet::V5_0Pingresp(_) => Heard::Pong,
        _ => return None,
    })
}

/// `BadUserNameOrPassword` as people write it.
fn words(code: &str) -> String {
    let mut words = String::with_capacity(code.len() + 8);
    for c in code.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

fn welcome_v5(packet: &v5_0::Connack) -> Welcome {
    let mut welcome = Welcome {
        session_present: packet.session_present(),
        // Absent means available (MQTT 5.0, section 3.2.2.3.13).
        has_shared: true,
        receive_maximum: u16::MAX,
        keep_alive_s: None,
    };
    for property in packet.props() {
        match property {
            Property::SharedSubscriptionAvailable(it) => welcome.has_shared = it.val() == 1,
            Property::ReceiveMaximum(it) => welcome.receive_maximum = it.val(),
            Property::ServerKeepAlive(it) => welcome.keep_alive_s = Some(it.val()),
            _ => {}
        }
    }
    welcome
}

fn message_v5(packet: &v5_0::Publish) -> Message {
    let (mut response_topic, mut correlation) = (None, None);
    for property in packet.props() {
        match property {
            Property::ResponseTopic(topic) => response_topic = Some(topic.val().to_owned()),
            Property::CorrelationData(data) => correlation = Some(data.val().to_vec()),
            _ => {}
        }
    }
    Message {
        topic: packet.topic_name().to_owned(),
        payload: Bytes::copy_from_slice(packet.payload().as_slice()),
        packet_id: packet.packet_id(),
        response_topic,
        correlation,
    }
}

pub(super) fn disconnect_v5(keeps_session: bool) -> Result<Packet, MqttError> {
    let goodbye = v5_0::Disconnect::builder();
    if keeps_session {
        return Ok(goodbye.build()?.into());
    }
    let expiry = Property::SessionExpiryInterval(SessionExpiryInterval::new(0)?);
    let goodbye = goodbye.reason_code(DisconnectReasonCode::NormalDisconnection);
    Ok(goodbye.props(Properties::from(vec![expiry])).build()?.into())
}
