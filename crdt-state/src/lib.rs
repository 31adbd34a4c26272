//! What Starling replicates and how it merges.
//!
//! This crate is a pure function of its arguments: no clock, no randomness, no IO, no async.

pub mod engagement;
pub mod id;

pub use id::{Dot, EventId, Heads, Lamport, Lane, LaneId, Mono, NodeId, Origin, PlayerId, Row};
