//! A quiz as its author wrote it: immutable once imported, the same on every node.
//!
//! A script holds the correct answers and therefore never travels to a player; what players see is
//! the question view, a type that has no field for them.

use serde::{Deserialize, Serialize};

/// The caps that every script keeps; a file beyond them is refused when it is imported.
pub mod caps {
    /// Questions in one show.
    pub const QUESTIONS_MAX: usize = 50_000;
    /// Options of one question, as many as a choice mask has bits for.
    pub const OPTIONS_MAX: usize = 16;
    /// Fewest options that make a choice.
    pub const OPTIONS_MIN: usize = 2;
    /// Bytes of a title, a question or an explanation.
    pub const TEXT_BYTES_MAX: usize = 1_000;
    /// Bytes of one option.
    pub const OPTION_BYTES_MAX: usize = 200;
    /// Shortest and longest time that a question may be open, in milliseconds.
    pub const OPEN_MS: std::ops::RangeInclusive<u32> = 1_000..=600_000;
    /// Most points that one question may give.
    pub const POINTS_MAX: u32 = 100_000;
}

/// A show: a title and its questions in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Script {
    /// Shown on every page.
    pub title: String,
    /// At least one; a step of the show is an index into this list.
    pub questions: Vec<Question>,
    /// How long the director waits in the phases that nobody has to act in; `None` leaves every
    /// step but the close of a question to the host.
    pub autopilot_ms: Option<u32>,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Question {
    /// What is asked.
    pub text: String,
    /// What can be chosen, between [`caps::OPTIONS_MIN`] and [`caps::OPTIONS_MAX`].
    pub options: Vec<String>,
    /// The correct options as a mask, bit `i` for option `i`; never zero.
    pub correct: u16,
    /// How long it is open, in milliseconds, within [`caps::OPEN_MS`].
    pub open_ms: u32,
    /// What an immediate correct answer gives, 0 to [`caps::POINTS_MAX`].
    pub points: u32,
    /// Shown with the reveal.
    pub explanation: Option<String>,
    /// Whether a player chooses several options; then exactly the correct set scores.
    pub multiple: bool,
}
