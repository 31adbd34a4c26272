//! The state of an event as bytes that outlive it, and the event folded again from them.
//!
//! The bytes are an exact cut: the vector and the state that is exactly what the vector says. An event made
//! of them has no peers and takes nothing; it is there to be read.
//!
//! They hold every secret of the show, so that nobody gets them as long as one matters: a host who had a
//! raffle's salt would only have to enter last to choose who wins.

use super::carried::Carried;
use super::core::EventCore;
use super::io::{Identity, Rules};
use super::retire::Leaving;
use crate::export::{Head, Proof};
use crate::service::view::Refusal;
use bytes::Bytes;
use crdt_state::{EventId, Lane, Mono, NodeId, Origin, Phase};
use gossip::replication::{AGE_UNKNOWN, Config, Replica, Replicated};
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
    /// The event as it is now, to be read beside its owner: it has no peers and takes nothing. To freeze costs what a
    /// cut costs, not what is read of it; of what was turned away it knows that of one run.
    #[must_use]
    pub fn frozen(&self, run: Option<u32>) -> Self {
        let (identity, rules) = (self.identity.clone(), self.rules.clone());
        let (carried, heads) = (self.carried.frozen(), self.heads().clone());
        let replica = Replica::revive(identity.origin, Config::default(), heads, Vec::new());
        let mut frozen = EventCore::over(identity, rules, carried, replica);
        // It is the same life, not one that comes back.
        frozen.is_unknown = self.is_unknown;
        frozen.leaving = self.leaving.is_some().then(Leaving::default);
        frozen.turned_away = run.map(|run| self.turned_away.of_run(run)).unwrap_or_default();
        frozen
    }

    /// The export, the state that it is folded from, and the vector of both.
    ///
    /// # Errors
    /// `not_over` while the state holds what not even hosts may know yet.
    pub fn proof(&self, now: Mono, pin: &str) -> Result<Proof, Refusal> {
        self.check_secrets()?;
        let cut = self.carried.cut(now).whole();
        let kept = Kept { schema: SCHEMA, event: self.event(), pin: pin.to_owned(), cut };
        let state = postcard::to_stdvec(&kept).expect("our own types encode into memory");
        let lines = String::from_utf8(self.export(pin).into()).expect("our own lines are text");
        Ok(Proof { lines, state, heads: self.export_heads() })
    }

    /// Whether a secret of the state still decides something: the salts of raffles until none can be drawn
    /// any more, those of keys from the opening to the reveal.
    fn check_secrets(&self) -> Result<(), Refusal> {
        let (state, stage) = (self.state(), self.stage());
        let Some(script) = state.script().filter(|_| !stage.is_over()) else { return Ok(()) };
        let shown = state.question_of(stage.instance).map(|(_, question)| &question.task);
        let is_asked = stage.phase >= Phase::Open && !state.has_revealed(stage.instance);
        let why = if script.questions.iter().any(|question| question.task.is_drawn()) {
            "the state would tell whoever enters a raffle last how to win it".to_owned()
        } else if is_asked && shown.is_some_and(|task| task.key().is_some()) {
            format!("the state holds the key of round {}, which is not revealed", stage.instance)
        } else {
            return Ok(());
        };
        Err(Refusal::new("not_over", why).hint(
            "ask again when the show is over; the lines without their proof are there at any time",
        ))
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
