//! The players' edge: MQTT 3.1.1 and 5 over anything that carries bytes.
//!
//! [`listener`], [`tls`] and [`websocket`] yield byte streams, [`connection`] talks MQTT on each of
//! them and asks the node through [`Players`]. Nothing in here knows engines, lanes or peers, and
//! nothing but the listeners knows sockets: a simulated player speaks to [`serve`] over a simulated
//! stream.
//!
//! What the edge offers, and no more: QoS 0, 1 and 2 both ways; exact topic filters; sessions that
//! are derived from state, so that every node has them, and whose packet ids do not outlive a
//! connection; wills, published like anything else that the client may publish; requests, whose
//! answers go to the client that asked. A password may be a token that proves who connects; user
//! names are not looked at. The [`open`] profile puts a small general broker behind the same task.

pub mod acl;
mod admission;
pub mod connection;
pub mod counters;
mod feeds;
pub mod filter;
pub mod guard;
pub mod line;
pub mod listener;
pub mod open;
mod output;
pub mod packet;
pub mod rates;
mod sessions;
pub mod tls;
pub mod websocket;

pub use acl::Acl;
pub use admission::{Admission, Edge};
pub use connection::{Closed, serve};
pub use counters::{Counters, Reading};
pub use line::Line;
pub use listener::{
    Accept, Accepted, BindError, Remote, Stream, TcpAccept, accept_from, accept_players,
};
pub use open::OpenLimits;
pub use rates::{Meter, Meters, Rate};
pub use sessions::{Elsewhere, Transport};
pub use tls::{Tls, TlsAccept, TlsError};
pub use websocket::{WebSocketStream, mqtt_over_websocket};

pub use gossip::network::Spawn;

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

#[cfg(doc)]
use crate::service::Players;

/// What one node grants its clients. A value per node: clusters may mix them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Clients connected at once, over all listeners. Each costs a few KB here and about 5 KB in
    /// the kernel.
    pub connections_max: u64,
    /// The largest packet that a client may send, in bytes, header included.
    pub packet_bytes_max: NonZeroU32,
    /// Publishes of one client that may wait for their verdict. MQTT 5 calls it receive maximum.
    pub in_flight_max: NonZeroU16,
    /// Topic filters that one client may hold.
    pub subscriptions_max: usize,
    /// Bytes that may wait for a client before nothing more is read from it.
    pub output_bytes_max: usize,
    /// From the first byte's opportunity to the CONNECT.
    pub connect_timeout: Duration,
    /// How long a client may leave everything unread.
    pub write_timeout: Duration,
    /// The keep-alive for a client of MQTT 5 that asks for none, in seconds.
    pub keep_alive_default_s: NonZeroU16,
    /// The longest keep-alive that a client of MQTT 5 gets, in seconds; whoever asks for more is told so.
    pub keep_alive_max_s: Option<NonZeroU16>,
    /// How long a closing connection may take over its last words.
    pub farewell_timeout: Duration,
    /// Clients that may connect, in all. Those beyond are told when to come again, so that those who
    /// are in keep their latency.
    pub connects: Option<Rate>,
    /// Clients that may connect from one address.
    pub address_connects: Option<Rate>,
    /// Publishes that are taken, in all.
    pub publishes: Option<Rate>,
    /// For how long a will may wait for its client's return. Until then its connection has a place.
    pub will_delay_max: Duration,
    /// How long a closing connection waits for verdicts that are still to come.
    pub settle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // Arbitrary: about 1 GB of memory, kernel included.
            connections_max: 100_000,
            // Arbitrary: 100 times the largest payload that players send.
            packet_bytes_max: NonZeroU32::new(64 * 1024).expect("it is not zero"),
            // Arbitrary: a player has one answer under way, seldom two.
            in_flight_max: NonZeroU16::new(16).expect("it is not zero"),
            // Arbitrary: a player needs two.
            subscriptions_max: 16,
            // Arbitrary: a few live states.
            output_bytes_max: 64 * 1024,
            // Arbitrary: several round trips of the worst mobile network.
            connect_timeout: Duration::from_secs(10),
            // Arbitrary: longer than a phone's change of network.
            write_timeout: Duration::from_secs(30),
            // The usual default of MQTT clients.
            keep_alive_default_s: NonZeroU16::new(60).expect("it is not zero"),
            keep_alive_max_s: None,
            // Arbitrary: a round trip or two of a slow network.
            farewell_timeout: Duration::from_secs(2),
            // Above what two cores accept (measured: 15,000), so that a queue never grows for long.
            connects: Rate::per_second(20_000),
            // A whole audience may share one address.
            address_connects: None,
            publishes: None,
            // Arbitrary: longer than any change of network or reload of a page.
            will_delay_max: Duration::from_secs(60),
            // Twenty times the 250 ms after which a verdict comes whatever its level.
            settle_timeout: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// What a client of MQTT 5 that asks for a keep-alive of `asked_s` is given in its place, if anything.
    fn keep_alive(&self, asked_s: u16) -> Option<u16> {
        let most = self.keep_alive_max_s.map_or(u16::MAX, NonZeroU16::get);
        let wanted = if asked_s == 0 { self.keep_alive_default_s.get() } else { asked_s };
        Some(wanted.min(most)).filter(|given| *given != asked_s)
    }
}
