//! The quiz: questions with a fixed set of options, scored by correctness and speed.

pub mod script;

pub use script::{Question, Script};
