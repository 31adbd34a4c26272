//! What a node's network is told, and what it needs from the outside.

use super::handshake::Hello;
use super::membership::ANNOUNCEMENTS_MAX;
use super::ring::KeyRing;
use crdt_state::{NodeId, Origin, Versions};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Longest name of a node, in bytes.
pub const NAME_BYTES_MAX: usize = 32;

/// Longest key and value that a node may announce, in bytes; together they travel in each
/// greeting, which is capped as a whole.
pub const KEY_BYTES_MAX: usize = 32;
/// See [`KEY_BYTES_MAX`].
pub const VALUE_BYTES_MAX: usize = 256;

/// Who this node is, whom to look for, and how.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// The cluster's name: nodes of clusters with other names are refused even under one key.
    pub cluster: String,
    /// The cluster's secrets, the one in use and those that are believed.
    pub ring: KeyRing,
    /// This node.
    pub node: NodeId,
    /// This incarnation of the node: random, new on every start.
    pub origin: Origin,
    /// Orders the incarnations of a node: higher than that of every earlier one.
    pub generation: u64,
    /// For people; at most [`NAME_BYTES_MAX`] bytes, need not be unique.
    pub name: String,
    /// Where the other nodes reach this one. Never unspecified, never port 0.
    pub advertise: SocketAddr,
    /// Addresses to try from the start, and for ever; one's own is recognised and skipped.
    pub seeds: Vec<SocketAddr>,
    /// Where nodes were in former lives of this one, from [`Network::addresses`]. They are tried
    /// until their member left or was forgotten.
    ///
    /// [`Network::addresses`]: super::Network::addresses
    pub remembered: Vec<SocketAddr>,
    /// What else the members shall know of this node: addresses of its other listeners, versions.
    pub kvs: BTreeMap<String, String>,
    /// Hash of all settings that must be equal in the whole cluster.
    pub config_hash: u64,
    /// How long, how often, how much.
    pub tuning: Tuning,
}

/// Times and limits. Need not be equal on all nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// Silence after which a connection is given up. Above a garbage collector's or hypervisor's
    /// usual stall (1 s measured as harmless), below what a host on stage would wait. 3 s.
    pub idle_timeout: Duration,
    /// A member whose link brings nothing for so long is suspect: 1.2 s, two of its keep-alives
    /// lost, and short enough to be told before gossip has decided.
    pub suspect_after: Duration,
    /// Sent when nothing else is; a sixth of the idle time-out survives five losses. 0.5 s.
    pub keep_alive: Duration,
    /// First guess of the round trip: 10 ms. With QUIC's usual 333 ms a lost first packet costs a
    /// second.
    pub initial_rtt: Duration,
    /// A dial or an accepted connection that has not greeted by then is given up: 3 s, ten round
    /// trips around the world.
    pub handshake_timeout: Duration,
    /// First wait before an address is dialled again: 250 ms, one gossip interval.
    pub redial_min: Duration,
    /// Longest such wait: 5 s, which bounds how long a healed partition goes unnoticed.
    pub redial_max: Duration,
    /// Each node gossips that often. Measured at 250 ms: 0.7 % of a core, joins seen in 0.8 s.
    pub gossip_interval: Duration,
    /// Suspicion at which a member counts as dead. Measured with the interval above: 16 finds a
    /// killed node in 2-3 s and forgives stalls of 1.5 s, 8 does not forgive 0.8 s.
    pub phi_threshold: f64,
    /// A dead member is forgotten by gossip after this: 5 minutes, several restarts of a machine.
    pub dead_grace: Duration,
    /// Incarnations of nodes that gossip may hold, dead ones within their grace included. Beyond
    /// them strangers are refused, and from four fifths on an alarm is raised. 512: half of what
    /// one gossip message can name, so that nodes which count differently for a while still fit.
    pub incarnations_max: usize,
    /// Heartbeats by which a member's rhythm is judged: 200, the last minute or so. (chitchat's
    /// own 1,000 cost 8 KiB for every incarnation, dead ones included.)
    pub heartbeats_judged: usize,
    /// The members are derived anew that often, even if gossip reported no change: 1 s.
    pub snapshot_interval: Duration,
    /// Frames that wait per peer and lane; beyond them `send` refuses. Arbitrary: 1,024.
    pub lane_frames_max: usize,
    /// Bytes that wait per peer and lane; beyond them `send` refuses: 8 MiB, a million answers.
    pub lane_bytes_max: usize,
    /// Gossip messages that wait per peer; beyond them the newest is dropped: 16, a second's.
    pub gossip_messages_max: usize,
    /// Events that wait for the owner; beyond them reading from peers waits: 256.
    pub events_max: usize,
    /// Handshakes in progress at once; beyond them callers are refused: 256.
    pub handshakes_max: usize,
    /// What the program speaks. Less only in rehearsals of an upgrade.
    pub versions: Versions,
}

impl Tuning {
    /// Incarnations that gossip may name before it is not listened to: twice as many as there may be. Nodes
    /// that have refused strangers of their own know different ones, and must go on hearing each other.
    pub(super) fn named_max(&self) -> usize {
        2 * self.incarnations_max
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            idle_timeout: Duration::from_secs(3),
            suspect_after: Duration::from_millis(1_200),
            keep_alive: Duration::from_millis(500),
            initial_rtt: Duration::from_millis(10),
            handshake_timeout: Duration::from_secs(3),
            redial_min: Duration::from_millis(250),
            redial_max: Duration::from_secs(5),
            gossip_interval: Duration::from_millis(250),
            phi_threshold: 16.0,
            dead_grace: Duration::from_secs(300),
            incarnations_max: 512,
            heartbeats_judged: 200,
            snapshot_interval: Duration::from_secs(1),
            lane_frames_max: 1_024,
            lane_bytes_max: 8 << 20,
            gossip_messages_max: 16,
            events_max: 256,
            handshakes_max: 256,
            versions: Versions::THIS,
        }
    }
}

/// Something about this node's own settings cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nobody could reach this node.
    #[error("{0} cannot be advertised: other nodes need an address and a port")]
    Advertise(SocketAddr),
    /// The name is too long.
    #[error("the name is {bytes} bytes long, at most {NAME_BYTES_MAX} are allowed")]
    Name {
        /// Its length.
        bytes: usize,
    },
    /// A key or value is too long, or the key is one of the network's own.
    #[error(
        "{key:?} cannot be announced: it is reserved, empty, one too many or too long, or its value is"
    )]
    Announcement {
        /// The offending key.
        key: String,
    },
    /// All announcements together do not fit into a greeting.
    #[error("the announcements make a greeting of {bytes} bytes, at most {limit} are allowed")]
    Greeting {
        /// The length of the encoded greeting.
        bytes: usize,
        /// The most a greeting may have.
        limit: usize,
    },
}

/// Under which a node announces the fingerprints of its cluster keys, the one in use first, joined
/// by `+`; others read it in [`Member::kvs`](super::Member::kvs).
pub const KEYS: &str = "keys";

/// Keys that the network announces itself.
pub(super) const RESERVED_KEYS: [&str; 4] = ["name", "origin", "state", KEYS];

pub(super) fn check_announcement(key: &str, value: &str) -> Result<(), ConfigError> {
    let fits = !key.is_empty() && key.len() <= KEY_BYTES_MAX && value.len() <= VALUE_BYTES_MAX;
    if fits && !RESERVED_KEYS.contains(&key) {
        Ok(())
    } else {
        Err(ConfigError::Announcement { key: key.into() })
    }
}

impl NetworkConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.advertise.ip().is_unspecified() || self.advertise.port() == 0 {
            return Err(ConfigError::Advertise(self.advertise));
        }
        if self.name.len() > NAME_BYTES_MAX {
            return Err(ConfigError::Name { bytes: self.name.len() });
        }
        for (index, (key, value)) in self.kvs.iter().enumerate() {
            check_announcement(key, value)?;
            if index >= ANNOUNCEMENTS_MAX {
                return Err(ConfigError::Announcement { key: key.clone() });
            }
        }
        Hello::of(self).check_size()
    }
}

/// What the network needs from outside. The simulator supplies its own.
#[derive(Clone)]
pub struct Ports {
    /// The UDP port.
    pub socket: Arc<dyn quinn::AsyncUdpSocket>,
    /// Time and tasks for QUIC.
    pub runtime: Arc<dyn quinn::Runtime>,
    /// Starts the network's own tasks.
    pub spawn: Arc<dyn Spawn>,
    /// Seeds all of the network's own randomness (jitter of redials, stateless parts of QUIC).
    pub seed: [u8; 32],
}

/// Starts tasks. Every task of the network goes through it, except for chitchat's own and for
/// those that QUIC starts through its runtime.
pub trait Spawn: Send + Sync + 'static {
    /// Starts `task`; `name` says what it is for.
    fn spawn(&self, name: &'static str, task: Pin<Box<dyn Future<Output = ()> + Send>>);

    /// Pending while the node as a whole stands still, which only a simulator knows: it freezes
    /// what it spawned itself, and chitchat's loop through this.
    fn poll_running(&self, context: &mut Context<'_>) -> Poll<()> {
        let _ = context;
        Poll::Ready(())
    }
}

/// Starts tasks on the current tokio runtime and lets them run.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSpawn;

impl Spawn for TokioSpawn {
    fn spawn(&self, _name: &'static str, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }
}
