//! A message on its way through the broker, and its bytes for one client.

use super::session::Delivery;
use crate::edge::packet::{Protocol, Publish};
use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::{
    MessageExpiryInterval, Properties, Property, Qos, SubscriptionIdentifier, TopicAlias, v3_1_1,
    v5_0,
};
use mqtt_protocol_core::mqtt::result_code::MqttError;
use std::sync::Arc;

/// A message as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::edge) struct Message {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// When it ceases to matter.
    pub(super) expires_at: Option<u64>,
    /// What it says to whoever is sent it.
    pub(super) passed: Vec<Property>,
    /// Whose it is: the session that says it.
    pub(super) from: u64,
    /// Its client's id, where it is retained: clients that come again know their own.
    pub(super) author: Option<Arc<str>>,
}

impl Message {
    /// A client's publish at `now`.
    pub(in crate::edge) fn new(publish: Publish, now: u64) -> Self {
        let Publish { topic, payload, qos, retain, expiry_s, passed, .. } = publish;
        let expires_at = expiry_s.map(|seconds| now + u64::from(seconds) * 1000);
        Message { topic, payload, qos, retain, expires_at, passed, from: 0, author: None }
    }

    /// What keeping it costs, in bytes.
    pub(super) fn cost(&self) -> usize {
        let passed = self.passed.iter().map(|it| it.size() + PROPERTY_OVERHEAD_BYTES);
        let passed: usize = passed.sum();
        let author = self.author.as_ref().map_or(0, |author| author.len());
        self.topic.len() + self.payload.len() + passed + author + OVERHEAD_BYTES
    }

    pub(super) fn is_expired(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// In seconds, rounded up: what was just published says what its publisher said.
    fn expiry_s(&self, now: u64) -> Option<u32> {
        let left_ms = self.expires_at?.saturating_sub(now);
        Some(u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX).max(1))
    }
}

/// How a publish names its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) enum AliasUse {
    /// In full.
    None,
    /// In full, with a number that stands for it from now on.
    New(u16),
    /// By its number.
    Known(u16),
}

impl Delivery {
    /// The PUBLISH, for a client of that version.
    ///
    /// # Errors
    /// If it cannot be encoded, which nothing that was decoded is known to do.
    pub(in crate::edge) fn encode(
        &self,
        protocol: Protocol,
        alias: AliasUse,
        now: u64,
    ) -> Result<Bytes, MqttError> {
        let message = &*self.message;
        let qos = Qos::try_from(self.qos).map_err(|_| MqttError::MalformedPacket)?;
        match protocol {
            Protocol::V3 => {
                let publish = v3_1_1::Publish::builder().topic_name(&*message.topic)?.qos(qos);
                let publish = publish.retain(self.retain).dup(self.again).packet_id(self.packet_id);
                let publish = publish.payload(&message.payload[..]).build()?;
                Ok(publish.to_continuous_buffer().into())
            }
            Protocol::V5 => {
                let topic = if let AliasUse::Known(_) = alias { "" } else { &*message.topic };
                let publish = v5_0::Publish::builder().topic_name(topic)?.qos(qos);
                let publish = publish.retain(self.retain).dup(self.again).packet_id(self.packet_id);
                let publish = publish.props(self.properties(alias, now)?);
                Ok(publish.payload(&message.payload[..]).build()?.to_continuous_buffer().into())
            }
        }
    }

    fn properties(&self, alias: AliasUse, now: u64) -> Result<Properties, MqttError> {
        let mut properties: Properties = self.message.passed.clone();
        if let Some(seconds) = self.message.expiry_s(now) {
            properties.push(MessageExpiryInterval::new(seconds)?.into());
        }
        for id in &self.ids {
            properties.push(SubscriptionIdentifier::new(*id)?.into());
        }
        if let AliasUse::New(number) | AliasUse::Known(number) = alias {
            properties.push(TopicAlias::new(number)?.into());
        }
        Ok(properties)
    }
}

/// What a property costs beside its bytes: its place in a list, and two allocations.
const PROPERTY_OVERHEAD_BYTES: usize = size_of::<Property>() + 32;
/// What a message costs beside its bytes. A guess on the safe side.
const OVERHEAD_BYTES: usize = 256;
