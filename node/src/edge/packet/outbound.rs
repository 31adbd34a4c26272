//! What the edge answers.

use super::Protocol;
use crate::service::view::Refusal;
use crate::service::{Reason, Verdict};
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumQos, Packet, Properties, ReasonString, ReceiveMaximum,
    ServerKeepAlive, SessionExpiryInterval, SharedSubscriptionAvailable,
    SubscriptionIdentifierAvailable, UserProperty, WildcardSubscriptionAvailable, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, MqttError, PubackReasonCode, SubackReasonCode,
    SubackReturnCode, UnsubackReasonCode,
};

/// What the edge answers.
#[derive(Debug)]
pub enum Outbound<'a> {
    /// Welcome.
    Connack {
        /// The name given to a client without one.
        client_id: Option<String>,
        /// The keep-alive given to a client without one, in seconds.
        keep_alive_s: Option<u16>,
        /// How many publishes may be under way.
        receive_maximum: u16,
    },
    /// The verdict on a QoS 1 publish.
    Puback(u16, &'a Verdict),
    /// The verdict on a QoS 2 publish. Only MQTT 3.1.1 comes here, and its PUBREC has no room.
    Pubrec(u16),
    /// The end of a QoS 2 publish.
    Pubcomp(u16),
    /// What became of each wish.
    Suback(u16, &'a [Result<(), Refused>]),
    /// Whether there was something to give up, per filter.
    Unsuback(u16, &'a [bool]),
    /// Alive, too.
    Pingresp,
}

/// Why a subscription is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// For MQTT 5.
    pub reason: SubackReasonCode,
    /// For people.
    pub message: String,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let reason = match refusal.code.as_str() {
            "topic_unknown" | "pin_unknown" | "slot_wrong" => SubackReasonCode::TopicFilterInvalid,
            "flooded" | "overloaded" => SubackReasonCode::QuotaExceeded,
            _ => SubackReasonCode::NotAuthorized,
        };
        let message = match refusal.hint {
            Some(hint) => format!("{}: {}; {hint}", refusal.code, refusal.message),
            None => format!("{}: {}", refusal.code, refusal.message),
        };
        Refused { reason, message }
    }
}

impl Outbound<'_> {
    /// The packet in a client's version. Without `detail` it carries no words and no user
    /// properties.
    pub(in crate::edge) fn to_packet(
        &self,
        protocol: Protocol,
        detail: bool,
    ) -> Result<Packet, MqttError> {
        match protocol {
            Protocol::V3 => self.to_v3(),
            Protocol::V5 => self.to_v5(detail),
        }
    }

    fn to_v3(&self) -> Result<Packet, MqttError> {
        Ok(match self {
            Outbound::Connack { .. } => v3_1_1::Connack::builder()
                .session_present(false)
                .return_code(ConnectReturnCode::Accepted)
                .build()?
                .into(),
            Outbound::Puback(id, _) => v3_1_1::Puback::builder().packet_id(*id).build()?.into(),
            Outbound::Pubrec(id) => v3_1_1::Pubrec::builder().packet_id(*id).build()?.into(),
            Outbound::Pubcomp(id) => v3_1_1::Pubcomp::builder().packet_id(*id).build()?.into(),
            Outbound::Suback(id, outcomes) => v3_1_1::Suback::builder()
                .packet_id(*id)
                .return_codes(outcomes.iter().map(return_code).collect())
                .build()?
                .into(),
            Outbound::Unsuback(id, _) => v3_1_1::Unsuback::builder().packet_id(*id).build()?.into(),
            Outbound::Pingresp => v3_1_1::Pingresp::new().into(),
        })
    }

    fn to_v5(&self, detail: bool) -> Result<Packet, MqttError> {
        Ok(match self {
            Outbound::Connack { client_id, keep_alive_s, receive_maximum } => {
                let client_id = client_id.as_deref();
                connack_v5(client_id, *keep_alive_s, *receive_maximum)?.into()
            }
            Outbound::Puback(id, verdict) => puback_v5(*id, verdict, detail)?.into(),
            Outbound::Pubrec(id) => v5_0::Pubrec::builder().packet_id(*id).build()?.into(),
            Outbound::Pubcomp(id) => v5_0::Pubcomp::builder().packet_id(*id).build()?.into(),
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
fn connack_v5(
    client_id: Option<&str>,
    keep_alive_s: Option<u16>,
    receive_maximum: u16,
) -> Result<v5_0::Connack, MqttError> {
    let mut properties: Properties = vec![
        SessionExpiryInterval::new(0)?.into(),
        ReceiveMaximum::new(receive_maximum)?.into(),
        MaximumQos::new(1)?.into(),
        WildcardSubscriptionAvailable::new(0)?.into(),
        SubscriptionIdentifierAvailable::new(0)?.into(),
        SharedSubscriptionAvailable::new(0)?.into(),
    ];
    if let Some(client_id) = client_id {
        properties.push(AssignedClientIdentifier::new(client_id)?.into());
    }
    if let Some(seconds) = keep_alive_s {
        properties.push(ServerKeepAlive::new(seconds)?.into());
    }
    v5_0::Connack::builder()
        .session_present(false)
        .reason_code(ConnectReasonCode::Success)
        .props(properties)
        .build()
}

fn puback_v5(id: u16, verdict: &Verdict, detail: bool) -> Result<v5_0::Puback, MqttError> {
    let puback = v5_0::Puback::builder().packet_id(id).reason_code(puback_reason(verdict.reason));
    if !detail {
        return puback.build();
    }
    puback.props(vec![UserProperty::new("receipt", &verdict.receipt)?.into()]).build()
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
    outcomes: &[Result<(), Refused>],
    detail: bool,
) -> Result<v5_0::Suback, MqttError> {
    let reasons = outcomes.iter().map(|outcome| match outcome {
        Ok(()) => SubackReasonCode::GrantedQos0,
        Err(refused) => refused.reason,
    });
    let suback = v5_0::Suback::builder().packet_id(id).reason_codes(reasons.collect());
    match outcomes.iter().find_map(|outcome| outcome.as_ref().err()) {
        Some(refused) if detail => {
            suback.props(vec![ReasonString::new(&refused.message)?.into()]).build()
        }
        _ => suback.build(),
    }
}

fn return_code(outcome: &Result<(), Refused>) -> SubackReturnCode {
    match outcome {
        Ok(()) => SubackReturnCode::SuccessMaximumQos0,
        Err(_) => SubackReturnCode::Failure,
    }
}

fn unsubscribed(existed: &bool) -> UnsubackReasonCode {
    if *existed { UnsubackReasonCode::Success } else { UnsubackReasonCode::NoSubscriptionExisted }
}
