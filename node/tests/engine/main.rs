//! The engine's core at the level of messages: several cores on one virtual clock, a network that
//! delays, loses, doubles and reorders, and stores that survive crashes. Nothing here sleeps: time
//! is an argument, and all chance comes from a seed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod asks;
mod autopilot;
mod bulk;
mod choosing;
mod crashes;
mod cuts;
mod dialogue;
mod disk;
mod facts;
mod forgotten;
mod friends;
mod full;
#[path = "../golden/mod.rs"]
mod golden;
mod hosts;
mod kinds;
mod leaving;
mod model;
mod naive;
mod outlets;
mod partitions;
mod pauses;
mod receipts;
mod results;
mod revisions;
mod rounds;
mod rulings;
mod secrecy;
mod sweep;
mod trail;
mod video;
mod words;
mod world;
