//! Why a player has the points that a round gave: the answer to every complaint, in one piece.

use super::view::StageView;
use crdt_state::engagement::Gave;
use crdt_state::{EventId, PlayerId};
use serde::{Deserialize, Serialize};

/// Why a player has what a round gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainView {
    /// The event.
    pub event: EventId,
    /// Who.
    pub player: PlayerId,
    /// The name as shown.
    pub name: String,
    /// Which run.
    pub round: u32,
    /// Where the event stands.
    pub stage: StageView,
    /// The question's number, from 1, and what it asks.
    pub number: u32,
    /// What is asked.
    pub question: String,
    /// For how long it was open, in milliseconds, extensions included.
    pub open_ms: u32,
    /// For how long after that an answer is still taken, in milliseconds.
    pub grace_ms: u64,
    /// How much of what the question and the answer took on the player's line, as the node that took it measured it, is
    /// not in the answer's time, in milliseconds at most. How much it was of one answer nobody keeps.
    #[serde(default)]
    pub credit_max_ms: u64,
    /// The answer that counts; nothing if none is held.
    pub receipt: Option<HeldView>,
    /// What was turned away, as far as the node that tells knows.
    pub refused: Vec<TurnedAwayView>,
    /// The correct choices, from the close on.
    pub correct: Option<Vec<u8>>,
    /// How often hosts have ruled anew on what the round gives.
    #[serde(default)]
    pub revision: u64,
    /// How an answer is scored, in words; from the close on.
    pub rule: Option<String>,
    /// The rule with this answer's numbers; from the close on.
    pub arithmetic: Option<String>,
    /// What the answer gave; from the close on.
    pub points: Option<i64>,
    /// The reason in one sentence.
    pub verdict: String,
}

/// The answer that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldView {
    /// What was given, in its fields and in words.
    #[serde(flatten)]
    pub gave: Gave,
    /// When, counted from the opening at the node that took it.
    pub elapsed_ms: u32,
    /// The names of the nodes that may have taken it: the answer keeps 16 bits of its origin.
    pub taken_by: Vec<String>,
    /// How many rows the player has; more than one where several nodes took the player at once.
    pub rows: usize,
    /// `firm` or `provisional`: whether its receipt has reached its level, as the node knows that took it; absent where
    /// another one tells, or the one that took it has been started again since.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub level: Option<String>,
    /// The names of the nodes that are known to hold it, the one that tells first.
    #[serde(default)]
    pub held_by: Vec<String>,
}

/// An answer that a node turned away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnedAwayView {
    /// The node.
    pub node: String,
    /// The word of the refusal.
    pub code: String,
    /// Its sentence.
    pub message: String,
    /// When it came, counted from the opening there; nothing before it.
    pub elapsed_ms: Option<u64>,
    /// How often.
    pub times: u32,
}
