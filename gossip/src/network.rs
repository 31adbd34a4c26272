//! The peer plane of a node: one UDP port, mutually authenticated QUIC, gossip and replication.
//!
//! From one cluster key each node derives the cluster's authority and issues itself a certificate;
//! nobody without the key gets past TLS. Every connection opens with a greeting; a greeted
//! connection is a *link*, of which there is exactly one per pair of nodes. Links carry chitchat's
//! gossip and, per lane, one ordered stream of frames. Gossip tells of further nodes, which are
//! dialled, so that knowing one address of the cluster is enough to be linked with all of it.
//!
//! **Invariants.** `PeerUp` comes before and `PeerDown` after every frame of a link. At most one
//! link per origin and per node. Frames of a lane arrive in order and without gaps from `PeerUp`
//! to `PeerDown`; what was queued or under way when a link ends is lost, for replication to pull.
//!
//! Absent on purpose: what frames mean, who carries which event, and any persistence: remembered
//! addresses come in as seeds.

mod addresses;
mod changes;
mod config;
mod connect;
mod endpoint;
mod frames;
mod gossip;
mod guard;
mod handshake;
mod identity;
mod link;
mod links;
mod membership;
mod notice;
mod queue;
mod reason;
mod ring;
mod silence;
mod slander;
mod standing;
mod stats;
mod supervise;
#[cfg(test)]
mod tests;
mod told;
mod twins;
mod unlinked;
mod view;

pub use changes::{MemberChange, MemberEvent};
pub use config::{
    ConfigError, KEY_BYTES_MAX, KEYS, NAME_BYTES_MAX, NetworkConfig, Ports, Spawn, TokioSpawn,
    Tuning, VALUE_BYTES_MAX,
};
pub use endpoint::{EndpointError, OpenError, open_socket};
pub use frames::FRAME_BYTES_MAX;
pub use handshake::{HELLO_BYTES_MAX, WIRE_VERSION};
pub use identity::{ClusterKey, IdentityError, ParseKeyError};
pub use membership::Member;
pub use reason::Reason;
pub use ring::{KEYS_MAX, KeyRing, RingError};
pub use standing::Standing;
pub use stats::{Attempt, NetworkStats};
pub(crate) use supervise::caught;
pub use twins::Twins;
pub use unlinked::Unlinked;

use addresses::AddressBook;
use bytes::Bytes;
use crdt_state::{Lane, NodeId, Origin};
use gossip::GossipInbox;
use guard::Crowd;
use handshake::Hello;
use links::Links;
use membership::Membership;
use notice::Notice;
use quinn::Endpoint;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use stats::Counters;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use twins::TwinWatch;

/// How long a leaving node waits for its goodbyes to be acknowledged.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Member events that a slow reader may be behind; it is told how many it missed beyond them.
const MEMBER_EVENTS: usize = 256;

/// A node's network: a handle that may be cloned freely. It runs until [`leave`](Self::leave).
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
}

/// What happens between this node and its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkEvent {
    /// A link stands; frames may be sent.
    PeerUp(PeerInfo),
    /// The link is gone, with all that was queued for it.
    PeerDown {
        /// The peer's incarnation.
        origin: Origin,
        /// The peer.
        node: NodeId,
        /// Why, for people.
        reason: String,
    },
    /// A peer sent a frame.
    Frame {
        /// The peer's incarnation.
        from: Origin,
        /// The lane it came on.
        lane: Lane,
        /// Its payload.
        bytes: Bytes,
    },
}

/// A node to which there is a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its incarnation.
    pub origin: Origin,
    /// The node.
    pub node: NodeId,
    /// Orders its incarnations.
    pub generation: u64,
    /// For people.
    pub name: String,
    /// Where it is reached.
    pub addr: SocketAddr,
    /// The link's smoothed round trip, as measured by QUIC.
    pub rtt: Duration,
    /// Packets sent on the link since it stands.
    pub packets_sent: u64,
    /// Of those, how many QUIC counts as lost.
    pub packets_lost: u64,
    /// What it announced when the link was made; [`Member::kvs`] follows later changes.
    pub kvs: BTreeMap<String, String>,
}

/// The frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no link to that origin.
    #[error("there is no link to {0}")]
    Unknown(Origin),
    /// The queue of that peer and lane is full: the peer is slow and will have to pull.
    #[error("the queue to {0} is full")]
    Full(Origin),
    /// The frame is above the limit, whoever it is for.
    #[error("a frame of {bytes} bytes is above the limit of {FRAME_BYTES_MAX}")]
    TooBig {
        /// Its payload.
        bytes: usize,
    },
}

/// The network could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The node's own settings cannot work.
    #[error("the network's settings cannot work")]
    Config(#[from] ConfigError),
    /// The endpoint could not be made.
    #[error("the endpoint could not be made")]
    Endpoint(#[from] EndpointError),
}

impl Network {
    /// Starts to listen, to dial the seeds and to gossip. The events must be read: while their
    /// queue is full, nothing is read from peers.
    ///
    /// # Errors
    /// When the settings cannot work or the socket is not accepted; nothing runs then.
    pub async fn start(
        config: NetworkConfig,
        ports: Ports,
    ) -> Result<(Network, mpsc::Receiver<NetworkEvent>), StartError> {
        config.check()?;
        let mut random = ChaCha12Rng::from_seed(ports.seed);
        let mut quic_seed = [0; 32];
        random.fill_bytes(&mut quic_seed);
        let endpoint = endpoint::open_endpoint(&config, &ports, quic_seed)?;
        let (events, received) = mpsc::channel(config.tuning.events_max);
        let shared = Arc::new(Shared::new(config, ports.spawn, random, endpoint, events));
        shared.members.send_replace(vec![shared.describe_self()]);
        shared.supervise("accept", connect::accept_connections);
        shared.supervise("membership", membership::keep_membership);
        shared.supervise("dialler", connect::dial_addresses);
        Ok((Network { shared }, received))
    }

    /// Queues a frame for a peer. Never waits.
    ///
    /// # Errors
    /// When there is no link to `to`, its queue is full, or the frame is above the limit.
    pub fn send(&self, to: Origin, lane: Lane, frame: Bytes) -> Result<(), SendError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(SendError::TooBig { bytes: frame.len() });
        }
        let link = lock(&self.shared.links).with_origin(to).cloned();
        let link = link.ok_or(SendError::Unknown(to))?;
        link.push(lane, frame).map_err(|_| {
            self.shared.counters.frames_refused.count();
            SendError::Full(to)
        })
    }

    /// The nodes to which there is a link, in the order of their origins.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        lock(&self.shared.links).iter().map(|link| link.describe()).collect()
    }

    /// All nodes that gossip knows, this one included, in the order of node ids.
    #[must_use]
    pub fn members(&self) -> watch::Receiver<Vec<Member>> {
        self.shared.members.subscribe()
    }

    /// What becomes of the other members, from now on. A reader that is too slow loses the oldest
    /// events; [`members`](Self::members) then tells how things stand.
    #[must_use]
    pub fn member_events(&self) -> broadcast::Receiver<MemberEvent> {
        self.shared.member_events.subscribe()
    }

    /// Where the other nodes reach this one.
    #[must_use]
    pub fn advertise(&self) -> SocketAddr {
        self.shared.config.advertise
    }

    /// The cluster's keys, now and whenever they change. For the store: they are resumed from
    /// there in the next life.
    #[must_use]
    pub fn ring(&self) -> watch::Receiver<KeyRing> {
        self.shared.ring.subscribe()
    }

    /// Changes the ring of keys here and, through the peers, everywhere. Connections that stand go
    /// on whatever becomes of the key that they were made under.
    ///
    /// # Errors
    /// Those of `change`; nothing is changed then.
    pub fn change_ring(
        &self,
        change: impl FnOnce(&mut KeyRing) -> Result<(), RingError>,
    ) -> Result<KeyRing, RingError> {
        self.shared.change_ring(change)
    }

    /// Says something else of this node, to every peer directly and to all others by gossip.
    /// Nothing takes back [`Standing::Left`], which [`leave`](Self::leave) says too.
    pub fn stand(&self, standing: Standing) {
        let said = self.shared.membership.say(standing);
        self.shared.notify_all(&Notice::Standing(said));
    }

    /// What this node says of itself.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.shared.membership.said().standing
    }

    /// Ends the link to a peer whose frames cannot be read; it hears why and is counted.
    pub fn refuse(&self, origin: Origin) {
        let link = lock(&self.shared.links).with_origin(origin).cloned();
        if let Some(link) = link {
            link.close(Reason::MalformedFrame);
        }
    }

    /// Where a node was found that this one cannot link with until an operator mends it, and why. Only what
    /// this node has dialled counts: whoever connects to it cannot bring it into discredit.
    #[must_use]
    pub fn misfit(&self) -> Option<(SocketAddr, Reason)> {
        *lock(&self.shared.misfit)
    }

    /// Who refuses this incarnation because a newer one of the same node is linked: another process has this
    /// node's id. It ends by itself some seconds after that other process has.
    #[must_use]
    pub fn displaced(&self) -> Option<SocketAddr> {
        lock(&self.shared.twins).refused_by(Instant::now())
    }

    /// Other nodes' ids that two living processes have.
    #[must_use]
    pub fn twins(&self) -> Vec<Twins> {
        lock(&self.shared.twins).others(Instant::now())
    }

    /// Living members to which there has been no link for ten seconds.
    #[must_use]
    pub fn unlinked(&self) -> Vec<Unlinked> {
        self.shared.membership.unlinked(Instant::now())
    }

    /// Every address at which a node was ever found, for the store:
    /// [`remembered`](NetworkConfig::remembered) in the next life.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        lock(&self.shared.addresses).kept().collect()
    }

    /// This node's generation: at least the configured one, higher if it was known under a higher
    /// one. For the store.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.membership.generation()
    }

    /// Adds discovered addresses; they are tried from now on, until nobody has answered there or
    /// named them again for ten minutes.
    pub fn add_candidates(&self, candidates: impl IntoIterator<Item = SocketAddr>) {
        for candidate in candidates {
            self.shared.note_address(|book, now| book.add_candidate(candidate, now));
        }
        self.shared.redial.notify_one();
    }

    /// Gives a node up on an operator's word: it counts as left and is dialled no more, unless at
    /// a seed, until it links with this node again or starts a new life.
    pub fn forget(&self, node: NodeId) {
        let members = self.shared.members.borrow();
        for member in members.iter().filter(|member| member.node == node) {
            self.shared.membership.note_left(member.origin);
            lock(&self.shared.addresses).forget(node, Some(member.origin));
        }
        lock(&self.shared.addresses).forget(node, None);
    }

    /// Tells all members something small about this node, such as its load.
    ///
    /// # Errors
    /// When the key is reserved, either text is too long, or there are too many.
    pub fn announce(&self, key: &str, value: &str) -> Result<(), ConfigError> {
        self.shared.membership.announce(key, value)
    }

    /// Ends when the node has begun to leave.
    pub async fn leaving(&self) {
        self.shared.closing().await;
    }

    /// What was counted since the start.
    #[must_use]
    pub fn stats(&self) -> NetworkStats {
        // One lock after the other: inside the expression below the first would be held to its end, and
        // whoever dials takes them the other way round.
        let links = lock(&self.shared.links).iter().count() as u64;
        let addresses = lock(&self.shared.addresses).iter().count() as u64;
        let dialling = lock(&self.shared.addresses).dialling() as u64;
        NetworkStats {
            links,
            addresses,
            dialling,
            connections: self.shared.endpoint.open_connections() as u64,
            incarnations: self.shared.membership.incarnations() as u64,
            incarnations_max: self.shared.config.tuning.incarnations_max as u64,
            ..self.shared.counters.snapshot()
        }
    }

    /// Says goodbye, through gossip and then on every link, and closes.
    pub async fn leave(&self) {
        let shared = &self.shared;
        if shared.closing.send_replace(true) {
            return;
        }
        let handle = shared.membership.handle();
        if let Some(handle) = &handle {
            shared.gossip_goodbye(handle).await;
            sleep(shared.config.tuning.gossip_interval).await;
        }
        lock(&shared.links).iter().for_each(|link| link.close(Reason::Left));
        if let Some(handle) = &handle {
            // It may have ended by itself.
            let _ = handle.initiate_shutdown();
        }
        shared.endpoint.close(Reason::Left.code(), Reason::Left.to_string().as_bytes());
        let _ = timeout(GOODBYE_TIMEOUT, shared.endpoint.wait_idle()).await;
    }

    /// Ends what only the network can end, without a word to anybody: chitchat's own task. Whoever
    /// supplied the spawn port and QUIC's runtime ends the other tasks.
    pub fn abort(&self) {
        self.shared.closing.send_replace(true);
        if let Some(handle) = self.shared.membership.handle() {
            handle.abort();
        }
    }
}

/// What the network's tasks have in common.
struct Shared {
    config: NetworkConfig,
    hello: Hello,
    endpoint: Endpoint,
    spawn: Arc<dyn Spawn>,
    events: mpsc::Sender<NetworkEvent>,
    /// Locked before `links` where both are needed.
    addresses: Mutex<AddressBook>,
    links: Mutex<Links>,
    ring: watch::Sender<KeyRing>,
    /// How connections are made since the ring changed.
    client: Mutex<Option<quinn::ClientConfig>>,
    inbox: GossipInbox,
    crowd: Mutex<Crowd>,
    membership: Membership,
    members: watch::Sender<Vec<Member>>,
    member_events: broadcast::Sender<MemberEvent>,
    counters: Counters,
    /// The newest dial that only an operator can mend.
    misfit: Mutex<Option<(SocketAddr, Reason)>>,
    twins: Mutex<TwinWatch>,
    random: Mutex<ChaCha12Rng>,
    /// Wakes the dialler.
    redial: Notify,
    closing: watch::Sender<bool>,
}

impl Shared {
    fn new(
        config: NetworkConfig,
        spawn: Arc<dyn Spawn>,
        random: ChaCha12Rng,
        endpoint: Endpoint,
        events: mpsc::Sender<NetworkEvent>,
    ) -> Self {
        let tuning = &config.tuning;
        let shared = Shared {
            hello: Hello::of(&config),
            endpoint,
            spawn,
            events,
            addresses: Mutex::new(AddressBook::new(
                config.advertise,
                tuning.redial_min,
                tuning.redial_max,
            )),
            links: Mutex::default(),
            ring: watch::Sender::new(config.ring.clone()),
            client: Mutex::default(),
            inbox: GossipInbox::default(),
            crowd: Mutex::default(),
            membership: Membership::new(config.generation, config.kvs.clone()),
            members: watch::Sender::default(),
            member_events: broadcast::Sender::new(MEMBER_EVENTS),
            counters: Counters::default(),
            misfit: Mutex::default(),
            twins: Mutex::default(),
            random: Mutex::new(random),
            redial: Notify::new(),
            closing: watch::Sender::new(false),
            config,
        };
        for seed in &shared.config.seeds {
            shared.note_address(|book, now| book.add_seed(*seed, now));
        }
        for address in &shared.config.remembered {
            shared.note_address(|book, now| book.add_remembered(*address, now));
        }
        shared
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn.spawn(name, Box::pin(task));
    }

    /// Enters an address into the book; one that finds no room there is counted.
    fn note_address(&self, note: impl FnOnce(&mut AddressBook, Instant) -> bool) {
        if !note(&mut lock(&self.addresses), Instant::now()) {
            self.counters.addresses_refused.count();
        }
    }

    fn remember(&self, address: SocketAddr, node: NodeId) {
        self.note_address(|book, now| book.learn(address, node, now));
    }

    /// Ends when the node begins to leave.
    async fn closing(&self) {
        // The sender is this very struct: it cannot be gone.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// A number in 0..1, for spreading what would otherwise happen at once.
    fn jitter(&self) -> f64 {
        f64::from(lock(&self.random).next_u32()) / (f64::from(u32::MAX) + 1.0)
    }
}

/// Locks what no task leaves half-changed, even by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
