//! The quiz: questions with a fixed set of options, scored by correctness and speed.

pub mod score;
pub mod script;

pub use score::{Outcome, Standing, outcome, outcome_of, standings};
pub use script::{Question, Script};
