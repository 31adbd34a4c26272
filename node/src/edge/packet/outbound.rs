//! What the edge answers.

use super::{Protocol, Request};
use crate::edge::acl::Denied;
use crate::service::view::Refusal;
use crate::service::{Reason, Verdict};
use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, CorrelationData, Packet, Properties, Qos, ReasonString,
    ReceiveMaximum, ResponseInformation, ServerKeepAlive, SessionExpiryInterval,
    SharedSubscriptionAvailable, SubscriptionIdentifierAvailable, TopicAliasMaximum, UserProperty,
    WildcardSubscriptionAvailable, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, MqttError, PubackReasonCode, PubcompReasonCode,
    PubrecReasonCode, SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};

/// What the edge answers.
#[derive(Debug)]
pub enum Outbound<'a> {
    /// Welcome.
    Connack(Welcome),
    /// The verdict on a QoS 1 publish.
    Puback(u16, &'a Verdict),
    /// The verdict on a QoS 2 publish.
    Pubrec(u16, &'a Verdict),
    /// The end of a QoS 2 publish, and whether there was one.
    Pubcomp(u16, bool),
    /// What became of each wish: the quality of service, or why not.
    Suback(u16, &'a [Result<u8, Refused>]),
    /// Whether there was something to give up, per filter.
    Unsuback(u16, &'a [bool]),
    /// Alive, too.
    Pingresp,
}

/// How a client is welcomed.
#[derive(Debug, Clone, Default)]
pub struct Welcome {
    /// Whether it finds its session.
    pub session_present: bool,
    /// For how long its session is kept, where that is not what it asked for, in seconds.
    pub session_expiry_s: Option<u32>,
    /// The name given to a client without one.
    pub client_id: Option<String>,
    /// The keep-alive given to a client without one, in seconds.
    pub keep_alive_s: Option<u16>,
    /// How many publishes may be under way.
    pub receive_maximum: u16,
    /// Where answers to its requests may go, if it asked for that.
    pub response_topic: Option<String>,
    /// Who it has proven to be as a player.
    pub player: Option<String>,
    /// Whether wildcards, shared subscriptions and numbers of subscriptions are taken, as a general broker
    /// does.
    pub is_general: bool,
}

/// What an answer carries beside its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) enum Detail {
    /// Nothing.
    Nothing,
    /// What programs read.
    Properties,
    /// That, and why not in words.
    Words,
}

/// Topic aliases that a client may use: it publishes to two topics.
const ALIASES_MAX: u16 = 4;

/// Why a subscription is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// For MQTT 5.
    pub reason: SubackReasonCode,
    /// For people.
    pub message: String,
}

impl Refused {
    /// The same about one filter of many: a SUBACK has words for one of them only.
    pub(in crate::edge) fn of(self, filter: &str, one_of_many: bool) -> Self {
        if !one_of_many {
            return self;
        }
        let message = format!("{filter}: {}", self.message);
        Refused { message, ..self }
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        let message = format!("not_permitted: {denied}");
        Refused { reason: SubackReasonCode::NotAuthorized, message }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let reason = match refusal.code.as_str() {
            "topic_unknown" | "pin_unknown" | "slot_wrong" => SubackReasonCode::TopicFilterInvalid,
            "flooded" | "overloaded" => SubackReasonCode::QuotaExceeded,
            _ => SubackReasonCode::NotAuthorized,
        };
        Refused { reason, message: refusal.in_words() }
    }
}

impl Outbound<'_> {
    /// The packet in a client's version, with as much beside its reason as `detail` says.
    pub(in crate::edge) fn to_packet(
        &self,
        protocol: Protocol,
        detail: Detail,
    ) -> Result<Packet, MqttError> {
        match protocol {
            Protocol::V3 => self.to_v3(),
            Protocol::V5 => self.to_v5(detail),
        }
    }

    fn to_v3(&self) -> Result<Packet, MqttError> {
        Ok(match self {
            Outbound::Connack(welcome) => v3_1_1::Connack::builder()
                .session_present(welcome.session_present)
                .return_code(ConnectReturnCode::Accepted)
                .build()?
                .into(),
            Outbound::Puback(id, _) => v3_1_1::Puback::builder().packet_id(*id).build()?.into(),
            Outbound::Pubrec(id, _) => v3_1_1::Pubrec::builder().packet_id(*id).build()?.into(),
            Outbound::Pubcomp(id, _) => v3_1_1::Pubcomp::builder().packet_id(*id).build()?.into(),
            Outbound::Suback(id, outcomes) => v3_1_1::Suback::builder()
                .packet_id(*id)
                .return_codes(outcomes.iter().map(return_code).collect())
                .build()?
                .into(),
            Outbound::Unsuback(id, _) => v3_1_1::Unsuback::builder().packet_id(*id).build()?.into(),
            Outbound::Pingresp => v3_1_1::Pingresp::new().into(),
        })
    }

    fn to_v5(&self, detail: Detail) -> Result<Packet, MqttError> {
        Ok(match self {
            Outbound::Connack(welcome) => connack_v5(welcome)?.into(),
            Outbound::Puback(id, verdict) => puback_v5(*id, verdict, detail)?.into(),
            Outbound::Pubrec(id, verdict) => pubrec_v5(*id, verdict, detail)?.into(),
            Outbound::Pubcomp(id, true) => v5_0::Pubcomp::builder().packet_id(*id).build()?.into(),
            Outbound::Pubcomp(id, false) => v5_0::Pubcomp::builder()
                .packet_id(*id)
                .reason_code(PubcompReasonCode::PacketIdentifierNotFound)
                .build()?
                .into(),
            Outbound::Suback(id, outcomes) => suback_v5(*id, outcomes, detail)?.into(),
            Outbound::Unsuback(id, existed) => v5_0::Unsuback::builder()
                .packet_id(*id)
                .reason_codes(existed.iter().map(unsubscribed).collect())
                .build()?
                .into(),
            Outbound::Pingresp => v5_0::Pingresp::new().into(),
        })
    }
}

/// The protocol core adds the largest packet that it takes.
fn connack_v5(welcome: &Welcome) -> Result<v5_0::Connack, MqttError> {
    let mut properties: Properties = vec![
        ReceiveMaximum::new(welcome.receive_maximum)?.into(),
        TopicAliasMaximum::new(ALIASES_MAX)?.into(),
    ];
    if !welcome.is_general {
        properties.push(WildcardSubscriptionAvailable::new(0)?.into());
        properties.push(SubscriptionIdentifierAvailable::new(0)?.into());
        properties.push(SharedSubscriptionAvailable::new(0)?.into());
    }
    if let Some(seconds) = welcome.session_expiry_s {
        properties.push(SessionExpiryInterval::new(seconds)?.into());
    }
    if let Some(client_id) = &welcome.client_id {
        properties.push(AssignedClientIdentifier::new(client_id)?.into());
    }
    if let Some(seconds) = welcome.keep_alive_s {
        properties.push(ServerKeepAlive::new(seconds)?.into());
    }
    if let Some(topic) = &welcome.response_topic {
        properties.push(ResponseInformation::new(topic)?.into());
    }
    if let Some(player) = &welcome.player {
        properties.push(UserProperty::new("player", player)?.into());
    }
    v5_0::Connack::builder()
        .session_present(welcome.session_present)
        .reason_code(ConnectReasonCode::Success)
        .props(properties)
        .build()
}

/// The answer to a request, with everything by which its sender knows it.
///
/// # Errors
/// If the request cannot be answered, as when its topic has wildcards.
pub fn response(request: &Request, verdict: &Verdict) -> Result<Bytes, MqttError> {
    let mut properties: Properties = Vec::new();
    if let Some(correlation) = &request.correlation {
        properties.push(CorrelationData::new(correlation)?.into());
    }
    for (key, value) in &request.user_properties {
        properties.push(UserProperty::new(key, value)?.into());
    }
    let publish =
        v5_0::Publish::builder().topic_name(&request.response_topic)?.qos(Qos::AtMostOnce);
    let publish = publish.props(properties).payload(verdict.receipt.as_bytes()).build()?;
    Ok(publish.to_continuous_buffer().into())
}

fn pubrec_v5(id: u16, verdict: &Verdict, detail: Detail) -> Result<v5_0::Pubrec, MqttError> {
    let reason = match verdict.reason {
        Reason::Success => PubrecReasonCode::Success,
        Reason::ImplementationSpecific => PubrecReasonCode::ImplementationSpecificError,
        Reason::NotAuthorized => PubrecReasonCode::NotAuthorized,
        Reason::TopicNameInvalid => PubrecReasonCode::TopicNameInvalid,
        Reason::QuotaExceeded => PubrecReasonCode::QuotaExceeded,
        Reason::PayloadFormatInvalid => PubrecReasonCode::PayloadFormatInvalid,
    };
    let pubrec = v5_0::Pubrec::builder().packet_id(id).reason_code(reason);
    let properties = properties_of(verdict, detail)?;
    if properties.is_empty() { pubrec.build() } else { pubrec.props(properties).build() }
}

fn puback_v5(id: u16, verdict: &Verdict, detail: Detail) -> Result<v5_0::Puback, MqttError> {
    let puback = v5_0::Puback::builder().packet_id(id).reason_code(puback_reason(verdict.reason));
    let properties = properties_of(verdict, detail)?;
    if properties.is_empty() { puback.build() } else { puback.props(properties).build() }
}

/// Why not, for people, and the receipt for programs.
fn properties_of(verdict: &Verdict, detail: Detail) -> Result<Properties, MqttError> {
    let mut properties: Properties = Vec::new();
    if let Some(refusal) = verdict.refusal.as_ref().filter(|_| detail == Detail::Words) {
        properties.push(ReasonString::new(refusal.in_words())?.into());
    }
    if detail != Detail::Nothing && !verdict.receipt.is_empty() {
        properties.push(UserProperty::new("receipt", &verdict.receipt)?.into());
    }
    Ok(properties)
}

fn puback_reason(reason: Reason) -> PubackReasonCode {
    match reason {
        Reason::Success => PubackReasonCode::Success,
        Reason::ImplementationSpecific => PubackReasonCode::ImplementationSpecificError,
        Reason::NotAuthorized => PubackReasonCode::NotAuthorized,
        Reason::TopicNameInvalid => PubackReasonCode::TopicNameInvalid,
        Reason::QuotaExceeded => PubackReasonCode::QuotaExceeded,
        Reason::PayloadFormatInvalid => PubackReasonCode::PayloadFormatInvalid,
    }
}

/// A SUBACK has one reason in words for all its lines: the first refusal's.
fn suback_v5(
    id: u16,
    outcomes: &[Result<u8, Refused>],
    detail: Detail,
) -> Result<v5_0::Suback, MqttError> {
    let reasons = outcomes.iter().map(|outcome| match outcome {
        Ok(0) => SubackReasonCode::GrantedQos0,
        Ok(1) => SubackReasonCode::GrantedQos1,
        Ok(_) => SubackReasonCode::GrantedQos2,
        Err(refused) => refused.reason,
    });
    let suback = v5_0::Suback::builder().packet_id(id).reason_codes(reasons.collect());
    match outcomes.iter().find_map(|outcome| outcome.as_ref().err()) {
        Some(refused) if detail == Detail::Words => {
            suback.props(vec![ReasonString::new(&refused.message)?.into()]).build()
        }
        _ => suback.build(),
    }
}

fn return_code(outcome: &Result<u8, Refused>) -> SubackReturnCode {
    match outcome {
        Ok(0) => SubackReturnCode::SuccessMaximumQos0,
        Ok(1) => SubackReturnCode::SuccessMaximumQos1,
        Ok(_) => SubackReturnCode::SuccessMaximumQos2,
        Err(_) => SubackReturnCode::Failure,
    }
}

fn unsubscribed(existed: &bool) -> UnsubackReasonCode {
    if *existed { UnsubackReasonCode::Success } else { UnsubackReasonCode::NoSubscriptionExisted }
}
