//! Replication of one event between the nodes that carry it, as one state machine without IO.
//!
//! Each origin writes two lanes, control and bulk, numbered from 1. A [`Replica`] pushes its own
//! lanes straight to every connected peer, applies theirs strictly in order, keeps everyone's
//! newest entries as the origin's own bytes, and repairs whatever was lost by asking for it.
//!
//! One invariant holds after every step: **what a node has is exactly what its heads say, not
//! more and not less.** Duplicates are dropped by the vector, a gap is never applied over, and a
//! snapshot is an exact cut together with the vector of that cut, committed as a whole or not at
//! all. Everything else follows: an acknowledgement is a head, a lack is a difference of two
//! vectors, equal vectors must mean equal digests.
//!
//! Any message may be dropped, doubled or reordered: the exchange of heads every
//! [`Config::heads_interval`] finds the lack and a pull mends it. Nobody is ever sent full state
//! unasked.
//!
//! Who takes part is the owner's word ([`Replica::set_enrolled`], [`Replica::set_vouching`]): a
//! receipt counts only enrolled nodes that have not left, a majority counts those of them that are
//! down too, and a peer's acknowledgement counts once all that it had said itself by then has been
//! applied. Who does not carry the event is nobody here. Seals, and what makes a result final or
//! settled, are entries like any other: the owner's.
//!
//! Deliberately absent: clock, randomness, IO, a view of membership (the owner says which peers
//! carry the event and are connected), any idea of what an entry means ([`Replicated`] has that).
//!
//! After Almeida, Shoker, Baquero, "Delta state replicated data types", section 6 (causal
//! delta-merging: only contiguous intervals are joined), with single-writer logs in place of
//! per-neighbour buffers.

mod alarm;
mod config;
mod describe;
mod enrolment;
mod entries;
mod heads;
mod message;
mod peer;
mod pull;
mod push;
mod receipt;
mod replica;
mod replicated;
mod serve;
mod snapshot;
mod stash;
mod status;
mod tail;
mod unaged;

pub use alarm::Alarm;
pub use config::{Config, ConfigError};
pub use enrolment::EnrolmentState;
pub use message::{
    DecodeError, ENTRIES_MAX, ENTRY_BYTES_MAX, LANES_MAX, MESSAGE_BYTES_MAX, Message,
    PART_BYTES_MAX, PARTS_MAX, PROTOCOL, SEQ_MAX, Span,
};
pub use receipt::AckLevel;
pub use replica::{Input, Output, Replica};
pub use replicated::{AGE_UNKNOWN, ApplyError, Cut, Replicated};
pub use status::{Lag, Stats};
