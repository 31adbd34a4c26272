//! Engagement kinds: one folder each, holding its script types, rules and views.

pub mod quiz;
pub mod scoreboard;

pub use scoreboard::Scoreboard;
