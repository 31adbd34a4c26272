//! The laws of every named type, the same for all; and the `crdts` crate as an oracle and as a warning.
//!
//! Three writers change a value at random while they hear of each other's changes, each writer's in its
//! order, some of them twice. Whatever the interleaving, all end with one value, and joining states gives
//! what applying operations gives.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "named/caps.rs"]
mod caps;
#[path = "named/laws.rs"]
mod laws;
#[path = "named/oracle.rs"]
mod oracle;
#[path = "named/traps.rs"]
mod traps;
