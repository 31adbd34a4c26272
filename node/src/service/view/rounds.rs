//! The runs of a show as hosts see them, long after they were closed too.

use super::{Command, QuestionView};
use crdt_state::engagement::TaskResults;
use serde::{Deserialize, Serialize};

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundLine {
    /// Which run.
    pub instance: u32,
    /// Of which question, counted from 1.
    pub number: u32,
    /// Whether it gives nothing: void, or left before its end.
    pub voided: bool,
    /// Whether a host has said what came true, or that it is cancelled; only of what waits for that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolved: Option<bool>,
    /// How often hosts have ruled on what it gives.
    pub revision: u64,
}

/// A run with all that a ruling on it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundView {
    /// The run.
    #[serde(flatten)]
    pub line: RoundLine,
    /// What was asked.
    pub question: QuestionView,
    /// What can be ruled on it now; nothing until it is closed.
    pub can: Vec<Command>,
    /// Indexes of the correct options by the key that holds.
    pub correct: Vec<u8>,
    /// The key that holds, in words; empty where there is none.
    pub answer: String,
    /// How many players answered.
    pub answered: u64,
    /// How many chose what, once it is closed.
    pub tallies: Option<Vec<u64>>,
    /// What else the answers come to, once it is closed.
    pub results: Option<TaskResults>,
}
