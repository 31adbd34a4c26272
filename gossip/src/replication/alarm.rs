//! What must never pass in silence.
//!
//! An alarm is not an error of a call: it is a fact about the event that an operator has to know.
//! The owner logs it, counts it and shows it; the core has already done what safety asks.

use crdt_state::{LaneId, Origin};

/// A fact that an operator has to know. Each names what the core did about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Alarm {
    /// Two histories under one origin. The lane is quarantined: nothing more is applied to it.
    #[error("two histories of lane {id:?} at {seq}, as told by {peer}: the lane is quarantined")]
    Equivocation {
        /// The lane that has two histories. Our own, if somebody else writes as us.
        id: LaneId,
        /// Where they differ.
        seq: u64,
        /// Who brought the second one.
        peer: Origin,
    },
    /// Equal heads, different digests. A snapshot of the peer is being joined.
    #[error(
        "heads equal those of {peer} but digests differ: {mine:016x} here, {theirs:016x} there"
    )]
    Divergence {
        /// The peer that differs.
        peer: Origin,
        /// Our digest.
        mine: u64,
        /// The peer's digest.
        theirs: u64,
    },
    /// Something written by a newer program. Nothing more is applied to this event.
    #[error("kind {kind} in version {version}, sent by {peer}, is not known: replication stops")]
    Unsupported {
        /// Which kind of entry.
        kind: u16,
        /// The version that a program must read to go on.
        version: u16,
        /// Who sent it.
        peer: Origin,
    },
    /// An entry that cannot be read. The lane is quarantined.
    #[error("entry {seq} of lane {id:?}, sent by {peer}, is malformed ({reason}): quarantined")]
    MalformedEntry {
        /// The lane of the entry.
        id: LaneId,
        /// Its number.
        seq: u64,
        /// Who sent it.
        peer: Origin,
        /// What is wrong with it.
        reason: String,
    },
    /// A snapshot that cannot be read. It was thrown away; another source is asked.
    #[error("the snapshot sent by {peer} is malformed ({reason})")]
    MalformedSnapshot {
        /// Who sent it.
        peer: Origin,
        /// What is wrong with it.
        reason: String,
    },
    /// More lanes than [`LANES_MAX`](super::LANES_MAX). New lanes are not taken in.
    #[error("no room for lane {id:?}: the event has the most lanes it may have")]
    LanesFull {
        /// The first lane that was refused.
        id: LaneId,
    },
}

impl Alarm {
    /// What kind of fact it is, in a stable word for counters.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Alarm::Equivocation { .. } => "equivocation",
            Alarm::Divergence { .. } => "divergence",
            Alarm::Unsupported { .. } => "unsupported",
            Alarm::MalformedEntry { .. } => "malformed_entry",
            Alarm::MalformedSnapshot { .. } => "malformed_snapshot",
            Alarm::LanesFull { .. } => "lanes_full",
        }
    }
}
