//! The players' edge, seen from its clients: in memory, over TCP and WebSocket, and by the usual
//! command line clients. Behind it stands a fake node, the other side of the port.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod admission;
mod client;
mod conformance;
mod connection;
mod guard;
mod malformed;
mod mosquitto;
mod open;
mod players;
mod refusals;
mod sessions;
mod tcp;
mod tls;
mod websocket;
