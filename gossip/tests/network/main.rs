//! Nodes that find each other, link, exchange frames, fail and come back: over real UDP on
//! loopback, and over a simulated network on virtual time.

// A failed unwrap is a failed test.
#![allow(clippy::unwrap_used)]

mod desk;
#[path = "../golden/mod.rs"]
mod golden;
mod harness;
mod loopback;
mod membership;
mod ring;
mod virtual_net;
mod virtual_time;
