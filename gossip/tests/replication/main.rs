//! The replication core from outside: seed sweeps against a toy state under faults, golden
//! dialogues, and hostile bytes. Nothing here sleeps: time is an argument.

#![allow(clippy::unwrap_used)] // a test panics on purpose

mod cluster;
mod dialogue;
#[path = "../golden/mod.rs"]
mod golden;
mod script;
mod sweep;
mod toy;
mod weather;
mod wire;
