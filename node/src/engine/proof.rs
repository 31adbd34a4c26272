//! The state of an event as bytes that outlive it, and the event folded again from them.
//!
//! The bytes are an exact cut: the vector and the state that is exactly what the vector says. An event made
//! of them has no peers and takes nothing; it is there to be read.

use super::carried::Carried;
use super::core::EventCore;
use super::io::{Identity, Rules};
use crate::export::{Head, Proof};
use bytes::Bytes;
use crdt_state::{EventId, Lane, Mono, NodeId, Origin};
use gossip::replication::{AGE_UNKNOWN, Config, Replicated};
use serde::{Deserialize, Serialize};

/// The version of the bytes' shape.
const SCHEMA: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Kept {
    schema: u32,
    event: EventId,
    pin: String,
    cut: Vec<Bytes>,
}

/// Bytes that no event can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// They are damaged or something else.
    #[error("it is no state of an event: {0}")]
    Malformed(String),
    /// They were written by another version.
    #[error("it has schema {0}, this version reads {SCHEMA}")]
    Schema(u32),
}

impl EventCore {
    /// The export, the state that it is folded from, and the vector of both.
    #[must_use]
    pub fn proof(&self, now: Mono, pin: &str) -> Proof {
        let cut = self.carried.cut(now).whole();
        let kept = Kept { schema: SCHEMA, event: self.event(), pin: pin.to_owned(), cut };
        let state = postcard::to_stdvec(&kept).expect("our own types encode into memory");
        let lines = String::from_utf8(self.export(pin).into()).expect("our own lines are text");
        Proof { lines, state, heads: self.export_heads() }
    }

    /// The event of a state, and its PIN.
    ///
    /// # Errors
    /// If the bytes are no state of this version.
    pub fn from_state(bytes: &[u8]) -> Result<(Self, String), StateError> {
        let malformed = |error: String| StateError::Malformed(error);
        let (kept, rest): (Kept, _) =
            postcard::take_from_bytes(bytes).map_err(|error| malformed(error.to_string()))?;
        if kept.schema != SCHEMA {
            return Err(StateError::Schema(kept.schema));
        }
        if !rest.is_empty() {
            return Err(malformed(format!("{} bytes are too many", rest.len())));
        }
        let mut carried = Carried::default();
        let restored = carried.restore(Mono::ZERO, AGE_UNKNOWN, None, &kept.cut);
        restored.map_err(|error| malformed(error.to_string()))?;
        let nobody = Identity {
            event: kept.event,
            node: NodeId(0),
            name: "replay".to_owned(),
            origin: Origin(0),
            born_ms: 0,
        };
        let (rules, config) = (Rules::default(), Config::default());
        Ok((EventCore::resume(nobody, rules, config, carried, Vec::new()), kept.pin))
    }

    /// The newest entry of every lane that is counted.
    #[must_use]
    pub fn export_heads(&self) -> Vec<Head> {
        let head = |(id, seq): (&crdt_state::LaneId, &u64)| Head {
            origin: id.origin.to_string(),
            lane: match id.lane {
                Lane::Control => "control".to_owned(),
                Lane::Bulk => "bulk".to_owned(),
            },
            seq: *seq,
        };
        self.heads().dots.iter().map(head).collect()
    }
}
