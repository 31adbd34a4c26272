//! A whole Starling node as a library: what the `starling` binary runs and the simulator runs too.
//!
//! ```text
//! players ──MQTT── edge ─┐                     ┌─ owner of an event ─ publisher ── views
//!                        ├─ hub ─ (by event) ──┤      core: state, replica, director
//! hosts ────HTTP── api ──┘                     └─ owner of another
//!                          switchboard ── gossip::network ── peers        store ── redb
//! ```
//!
//! | module | holds | must not hold |
//! |---|---|---|
//! | [`service`] | what edges ask of a node, and every payload type | anything that acts |
//! | [`engine`] | one event on one node: intake, commands, director, views, export; pure cores under thin shells | sockets, tokens, wall clocks |
//! | [`hub`] | the way from edges to engines: tokens, PINs, inboxes, the catalogue | state of any event |
//! | [`identity`] | whom an operator's own platform vouches for | sessions |
//! | [`edge`] | MQTT over any byte stream | rules of engagements |
//! | [`broker`] | the edge behind a broker that is there already | rules of engagements |
//! | [`api`] | HTTP, pages, metrics | rules of engagements |
//! | [`store`] | what survives a restart | what entries mean |
//! | [`mod@env`] | the ports that the simulator replaces | |
//! | [`schema`] | the JSON Schemas of all messages | |
//! | [`mod@run`] | how all of it is put together | |
//!
//! Everything from outside comes in through a port: the network, the disk, time, randomness, tasks.

pub mod allocator;
pub mod api;
pub mod broker;
pub mod cli;
pub mod config;
pub mod edge;
pub mod engine;
pub mod env;
pub mod export;
pub mod hub;
pub mod identity;
pub mod run;
pub mod schema;
pub mod service;
pub mod show;
pub mod store;
pub mod supervise;
pub mod token;
