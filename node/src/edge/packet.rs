//! Packets without their version: what players send and what the edge answers, once for both
//! MQTT 3.1.1 and MQTT 5.
//!
//! Only what Starling looks at is kept. What only one version can say (reasons, user properties)
//! is said here in full and left out where the version or the client does not take it.

mod inbound;
mod outbound;

pub use inbound::{Acknowledge, Connect, Has, HasStep, Inbound, Publish, Replay, Request, Wish};
pub(super) use outbound::Detail;
pub use outbound::{Outbound, Refused, Welcome, response};

/// The two versions that the edge speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// MQTT 3.1.1.
    V3,
    /// MQTT 5.0.
    V5,
}
