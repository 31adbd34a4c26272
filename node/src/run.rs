//! How a node is put together: from a configuration, its surroundings and its ground.
//!
//! [`start`] is the same for the binary and for the simulator; only [`serve`] knows sockets, files and
//! signals.

use crate::api::{self, metrics};
use crate::broker::dial::AuthorityError;
use crate::broker::{self, Behind};
use crate::config::{Bound, MqttProfile, NodeConfig};
use crate::edge::{Accept, Edge, Elsewhere, Limits, OpenLimits, Transport, accept_from};
use crate::engine::{Alarms, Inboxes, Interest, Listed, ListingCore, Ports, Rules, Traffic};
use crate::env::Env;
use crate::hub::{
    Attendance, Facts, Hub, LettingGo, ListingTask, Listings, Owners, Parts, Presence, Switchboard,
    replay,
};
use crate::identity::Identities;
use crate::service::view::NodeLinks;
use crate::service::{Hosts, Ops, Players};
use crate::store::{self, Opened, StoreHandle, StoreOp};
use crate::supervise::{Supervisor, WhenExhausted};
use crate::token::TokenKeys;
use axum::Router;
use crdt_state::catalogue::CATALOGUE;
use crdt_state::{NodeId, Origin};
use futures_util::future::join_all;
use gossip::network::{
    ClusterKey, Member, Network, NetworkConfig, Ports as NetworkPorts, Standing,
    StartError as NetworkStartError, Tuning,
};
use gossip::replication::Config;
use ring::digest;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

mod certificate;
mod discover;
mod hook;
mod http;
mod inside;
mod members;
mod memory;
mod serve;

use inside::Inside;
pub use members::MemberEvents;
pub use serve::{RunError, serve};

/// Over which players are sent to other nodes when this one stops: 250 ms, a tenth of what an open page
/// takes to find another node by itself.
const DRAIN_TIME: Duration = Duration::from_millis(250);
/// Over which players are sent to other nodes when an operator drains this one: 10 s, so that the others
/// take some thousands a second at most. Half of them have moved if it is taken back after half the time.
const MOVE_TIME: Duration = Duration::from_secs(10);
/// How long other nodes may take to hold all that this one does before it leaves: 2 s, a few exchanges of
/// heads and pulls. What they lack then is in this node's store only.
const RETIRE_PATIENCE: Duration = Duration::from_secs(2);
/// How long a disk that fails may hold up the end: 3 s, enough for two more attempts.
const SAVE_PATIENCE: Duration = Duration::from_secs(3);
/// What a node of the open profile says its cluster is, so that peers that find it leave it alone: players whom
/// they sent there would find a broker that takes their answers and does nothing with them.
const OPEN_CLUSTER: &str = "none: the open profile";
/// Wishes to carry an event that wait for the switchboard; importers wait when it is full.
const CARRY_QUEUE: usize = 64;

/// What a node stands on: sockets and disk, real or simulated.
pub struct Ground {
    /// The peers' socket.
    pub socket: Arc<dyn quinn::AsyncUdpSocket>,
    /// QUIC's timers and tasks.
    pub runtime: Arc<dyn quinn::Runtime>,
    /// Where peers reach this node.
    pub advertise: SocketAddr,
    /// Addresses of peers to look for first.
    pub seeds: Vec<SocketAddr>,
    /// Where players and hosts reach this node.
    pub links: NodeLinks,
    /// Where players' connections come from.
    pub players: Vec<Box<dyn Accept>>,
    /// The store; `None` for a node in memory.
    pub store: Option<Opened>,
}

/// A node that runs.
pub struct Node {
    /// What it says of itself.
    pub facts: Facts,
    /// The peers.
    pub network: Network,
    /// The store.
    pub store: StoreHandle,
    /// The events that it carries.
    pub owners: Owners,
    /// The players' edge.
    pub edge: Edge,
    /// What `/metrics` shows.
    pub metrics: Arc<metrics::Metrics>,
    /// What replication has told that operators have to know.
    pub alarms: Arc<Alarms>,
    /// What becomes of other members.
    pub member_events: Arc<MemberEvents>,
    /// Keeps everything up that may panic.
    pub supervisor: Supervisor,
    hub: Arc<Hub>,
    tokens: TokenKeys,
    /// Its bridge to a broker, once there is one.
    behind: std::sync::OnceLock<Behind>,
}

impl Node {
    /// The node as its hosts see it.
    #[must_use]
    pub fn hosts(&self) -> Arc<dyn Hosts> {
        Arc::clone(&self.hub) as Arc<dyn Hosts>
    }

    /// The node as its players see it.
    #[must_use]
    pub fn players(&self) -> Arc<dyn Players> {
        Arc::clone(&self.hub) as Arc<dyn Players>
    }

    /// The node as its operators handle it.
    #[must_use]
    pub fn ops(&self) -> Arc<dyn Ops> {
        Arc::clone(&self.hub) as Arc<dyn Ops>
    }

    /// The HTTP API, the pages and MQTT over WebSocket.
    pub fn router(&self, stop: tokio_util::sync::CancellationToken) -> Router {
        let mut settings = api::Settings::new(self.facts.links.http.clone());
        settings.metrics = Arc::clone(&self.metrics);
        settings.stop = stop;
        if let Some(behind) = self.behind.get() {
            settings.broker_pages = behind.pages.iter().map(ToString::to_string).collect();
        }
        let mqtt = Router::new()
            .route("/mqtt", axum::routing::get(crate::edge::mqtt_over_websocket))
            .with_state(self.edge.clone().over(Transport::WebSocket));
        api::router(Arc::clone(&self.hub), settings).merge(mqtt)
    }

    /// Puts the node behind the broker of its configuration, if that names one.
    ///
    /// # Errors
    /// When the broker's certificate authorities cannot be read.
    pub fn stand_behind(&self, config: &NodeConfig, env: &Env) -> Result<(), AuthorityError> {
        let Some(broker) = config.broker.clone() else { return Ok(()) };
        let parts = broker::Parts {
            node: self.facts.node,
            cluster: config.cluster_name.clone(),
            hub: Arc::clone(&self.hub),
            owners: self.owners.clone(),
            network: self.network.clone(),
            tokens: self.tokens.clone(),
            supervisor: self.supervisor.branch("broker", WhenExhausted::Escalate),
        };
        let behind = broker::start(broker, parts, env)?;
        self.metrics.register(Arc::clone(&behind.state) as Arc<dyn metrics::Source>);
        assert!(self.behind.set(behind).is_ok(), "a node is put behind its broker once");
        Ok(())
    }

    /// Leaves the cluster politely and brings everything to disk.
    pub async fn stop(&self) {
        self.network.stand(Standing::Draining);
        self.edge.drain(self.hub.elsewhere(), DRAIN_TIME).await;
        if let Some(behind) = self.behind.get() {
            behind.stop().await;
        }
        // Or an event that comes after the goodbyes would wait for this node.
        if timeout(RETIRE_PATIENCE, self.hub.begin_nothing()).await.is_err() {
            warn!("events may be left without a goodbye: the switchboard does not answer");
        }
        self.retire().await;
        self.network.leave().await;
        self.save().await;
    }

    /// Has nobody wait for this node in the events that it carries, if somebody stays who takes players: where
    /// all nodes stop at once they come back as the ones that they were.
    async fn retire(&self) {
        let own = self.facts.node;
        let stays =
            |m: &Member| m.live && !m.left && m.node != own && m.standing == Standing::Ready;
        let going: BTreeSet<NodeId> = {
            let members = self.network.members();
            let members = members.borrow();
            if !members.iter().any(stays) {
                return;
            }
            let goes = |m: &&Member| m.live && m.standing >= Standing::Draining;
            members.iter().filter(goes).map(|m| m.node).collect()
        };
        let leaving = self.owners.all().into_iter().map(|owner| async {
            let owner = owner;
            match timeout(RETIRE_PATIENCE, owner.retire(1, going.clone())).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => info!(why, "an event is left without a goodbye"),
                Err(_) => warn!("no other node has confirmed all of an event that is left"),
            }
        });
        join_all(leaving).await;
    }

    /// Brings everything to disk; of a disk that goes on failing, says what that means.
    async fn save(&self) {
        let Err(flushed) = self.store.flush_or_trouble().await else { return };
        if timeout(SAVE_PATIENCE, flushed).await.is_err() {
            let trouble = self.store.trouble().borrow().clone();
            let reason = trouble.as_deref().unwrap_or("the disk is slow");
            error!(reason, "not all was saved: what no peer holds is lost");
        }
    }
}

/// Starts a node.
///
/// # Errors
/// When the network cannot start.
pub async fn start(config: &NodeConfig, env: &Env, ground: Ground) -> Result<Node, StartError> {
    let Ground { socket, runtime, advertise, seeds, links, players, store } = ground;
    let origin = Origin(env.random_u64("origin"));
    let (base, events, memory) = match store {
        Some(Opened { database, reopen, events, memory, .. }) => {
            (Some((database, reopen)), events, memory)
        }
        None => Default::default(),
    };
    let store = store::start(base, env);
    let (node, generation) = remember(&store, &memory, env).await;
    let facts = Facts {
        node,
        origin,
        name: config.name.clone(),
        links,
        cluster: config.key.fingerprint(),
        join: config.join.clone(),
        started: Instant::now(),
    };
    let identity = Identity { facts: &facts, generation, advertise, seeds, memory: &memory };
    let network_config = network_config(config, identity);
    let ports = NetworkPorts {
        socket,
        runtime,
        spawn: Arc::clone(&env.spawn),
        seed: env.random("network").get_seed(),
    };
    let (network, received) = Network::start(network_config, ports).await?;
    let node = assemble(config, env, facts, network, store, events, received);
    listen(&node, env, players);
    node.network.stand(Standing::Ready);
    info!(node = %node.facts.node, origin = %node.facts.origin, "node started");
    Ok(node)
}

/// Takes players' connections; a listener outlives the loop that accepts from it.
fn listen(node: &Node, env: &Env, players: Vec<Box<dyn Accept>>) {
    let listeners = node.supervisor.branch("listeners", WhenExhausted::Escalate);
    for (number, accept) in players.into_iter().enumerate() {
        let (edge, spawn) = (node.edge.clone(), Arc::clone(&env.spawn));
        let label = format!("mqtt {number}");
        listeners.keep_with("accept", &label, (accept, edge, spawn), |heir| {
            let (accept, edge, spawn) = heir;
            Box::pin(accept_from(&mut **accept, edge, &**spawn))
        });
    }
}

/// A node that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The peer plane cannot start.
    #[error("the peer plane cannot start: {0}")]
    Network(#[from] NetworkStartError),
}

/// Who the node is, and which of its lives this is. Both are on disk before anything is written in this
/// life's name, but where a disk fails that knows already who the node is: what this life writes is not
/// kept either until the disk takes it, peers know of the lives before, and to wait would only keep a node
/// away that could serve.
async fn remember(
    store: &StoreHandle,
    memory: &BTreeMap<String, Vec<u8>>,
    env: &Env,
) -> (NodeId, u64) {
    let number = |name: &str| {
        let bytes: [u8; 8] = memory.get(name)?.as_slice().try_into().ok()?;
        Some(u64::from_be_bytes(bytes))
    };
    let node = number("node").unwrap_or_else(|| env.random_u64("node"));
    let generation = number(memory::GENERATION).unwrap_or(0).saturating_add(1).max((env.wall)());
    for (name, value) in [("node", node), (memory::GENERATION, generation)] {
        let value = value.to_be_bytes().to_vec();
        store.put(StoreOp::Remember { name, value }).await;
    }
    if memory.contains_key("node") {
        if store.flush_or_trouble().await.is_err() {
            warn!(
                "the node starts although its disk fails: it promises nothing until that is mended"
            );
        }
    } else {
        store.flush().await;
    }
    (NodeId(node), generation)
}

struct Identity<'a> {
    facts: &'a Facts,
    generation: u64,
    advertise: SocketAddr,
    seeds: Vec<SocketAddr>,
    memory: &'a BTreeMap<String, Vec<u8>>,
}

fn network_config(config: &NodeConfig, identity: Identity<'_>) -> NetworkConfig {
    let Identity { facts, generation, advertise, seeds, memory } = identity;
    let kvs = [
        ("http", facts.links.http.clone()),
        ("ws", facts.links.ws.clone()),
        ("mqtt", facts.links.mqtt.clone()),
        ("mqtts", facts.links.mqtts.clone()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    // Nodes of the open profile are in no cluster: what is not a cluster's name nobody else is told.
    let is_open = config.mqtt_profile == MqttProfile::Open;
    let cluster = if is_open { OPEN_CLUSTER.to_owned() } else { config.cluster_name.clone() };
    let remembered = if is_open { Vec::new() } else { memory::addresses(memory) };
    NetworkConfig {
        cluster,
        ring: memory::ring(memory, &ClusterKey::from_bytes(*config.key.bytes())),
        node: facts.node,
        origin: facts.origin,
        generation,
        name: facts.name.clone(),
        advertise,
        seeds,
        remembered,
        kvs: kvs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        config_hash: config_hash(config),
        tuning: Tuning { versions: config.versions, ..Tuning::default() },
    }
}

/// What must be equal on all nodes, in 64 bits; it travels in the handshake.
fn config_hash(config: &NodeConfig) -> u64 {
    let text = format!("{:?}", config.cluster);
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    u64::from_be_bytes(hash.as_ref()[..8].try_into().expect("SHA-256 gives 32 bytes"))
}

fn assemble(
    config: &NodeConfig,
    env: &Env,
    facts: Facts,
    network: Network,
    store: StoreHandle,
    mut events: BTreeMap<crdt_state::EventId, store::Kept>,
    received: mpsc::Receiver<gossip::network::NetworkEvent>,
) -> Node {
    let (ack, grace, versions) = (config.cluster.ack.into(), config.cluster.grace, config.versions);
    let rules = Rules { ack, grace, versions, ..Rules::default() };
    let replication = Config { receipt_patience: config.cluster.receipt_wait, ..Config::default() };
    let inboxes = Arc::new(Inboxes::default());
    let alarms = Arc::new(Alarms::default());
    let traffic = Arc::new(Traffic::default());
    let attendance = Arc::new(Attendance::default());
    let here = (Arc::clone(&inboxes), Arc::clone(&attendance));
    let (presence, present) = Presence::new(facts.node, here, network.clone());
    let ports = Ports {
        present,
        network: network.clone(),
        store: store.clone(),
        inboxes: Arc::clone(&inboxes),
        alarms: Arc::clone(&alarms),
        traffic: Arc::clone(&traffic),
        awaiting: Arc::default(),
        started: facts.started,
    };
    let mut listed = Listed::default();
    let kept = events.remove(&CATALOGUE).unwrap_or_default();
    let quarantined = kept.quarantined.clone();
    let logs = replay(kept, &mut listed, ports.now());
    let (origin, node_id) = (facts.origin, facts.node);
    let core = ListingCore::resume(origin, node_id, rules.ack, replication.clone(), listed, logs)
        .quarantining(quarantined);
    let (listings, listing) = ListingTask::start(core, ports.clone());
    let supervisor = Supervisor::root(Arc::clone(&env.spawn));
    supervisor.keep_with("presence", "presence", presence, |task| Box::pin(task.run()));
    supervisor.keep_with("catalogue", "catalogue", listing, |task| Box::pin(task.run()));

    let owners = Owners::default();
    let malformed = Arc::new(AtomicU64::new(0));
    let (carry, wishes) = mpsc::channel(CARRY_QUEUE);
    let mut switchboard = Switchboard {
        facts: facts.clone(),
        ports,
        rules,
        replication,
        env: env.clone(),
        owners: owners.clone(),
        listings: listings.clone(),
        peers: BTreeMap::new(),
        interest: Interest::new(facts.node, []),
        letting_go: LettingGo::after(config.let_go_after),
        listed_at: 0,
        given_up: BTreeSet::new(),
        malformed: Arc::clone(&malformed),
        events: supervisor.branch("events", WhenExhausted::GiveUp),
    };
    switchboard.restore(events);
    if config.broker.is_some() {
        switchboard.interest.carry_all();
    }
    let heir = (switchboard, received, wishes);
    supervisor.keep_with("switchboard", "switchboard", heir, |(switchboard, network, wishes)| {
        Box::pin(switchboard.run(network, wishes))
    });
    listings.set_ready();

    let member_events = Arc::new(MemberEvents::default());
    let following = member_events.clone().follow(network.clone(), network.member_events());
    env.spawn.spawn("member events", Box::pin(following));
    let tokens = TokenKeys::new(&memory::token_keys(&network.ring().borrow()));
    let keeping = memory::keep(network.clone(), store.clone(), tokens.clone());
    env.spawn.spawn("memory", Box::pin(keeping));
    let sessions = Sessions::default();
    let identities = config.identity.clone().map(|config| Identities::new(config, env));
    let parts = Parts {
        facts: facts.clone(),
        tokens: tokens.clone(),
        identities: identities.clone(),
        owners: owners.clone(),
        listings: listings.clone(),
        inboxes,
        attendance,
        carry,
        network: network.clone(),
        sessions: sessions.reader(),
        member_events: Arc::clone(&member_events),
        publishes: config.rates.player_publishes(),
        supervisor: supervisor.clone(),
        store: store.trouble(),
    };
    let hub = Arc::new(Hub::new(parts, env));
    let edge = players_edge(config, env, &hub, &supervisor);
    sessions.fill(&edge);
    let heir = (edge.clone(), listings, tokens.clone());
    supervisor.keep_with("revocations", "revocations", heir, |(edge, listings, tokens)| {
        Box::pin(end_revoked(edge, listings, tokens))
    });
    let heir = (edge.clone(), Arc::clone(&hub), hub.moving());
    supervisor.keep_with("drain", "drain", heir, |(edge, hub, moving)| {
        Box::pin(move_players(edge, hub, moving))
    });
    let metrics = Arc::new(metrics::Metrics::default());
    metrics.register(Arc::clone(&hub) as Arc<dyn metrics::Source>);
    metrics.register(Arc::clone(&member_events) as Arc<dyn metrics::Source>);
    metrics.register(Arc::clone(&alarms) as Arc<dyn metrics::Source>);
    metrics.register(traffic as Arc<dyn metrics::Source>);
    if let Some(identities) = identities {
        metrics.register(Arc::clone(&identities) as Arc<dyn metrics::Source>);
        supervisor.keep("identities", "identities", move || Arc::clone(&identities).run());
    }
    metrics.register(Arc::new(Inside {
        edge: edge.clone(),
        network: network.clone(),
        store: store.clone(),
        malformed,
        supervisor: supervisor.clone(),
    }));
    let behind = std::sync::OnceLock::new();
    Node {
        facts,
        network,
        store,
        owners,
        edge,
        metrics,
        alarms,
        member_events,
        supervisor,
        hub,
        tokens,
        behind,
    }
}

/// What players connect to; in the open profile anybody.
fn players_edge(config: &NodeConfig, env: &Env, hub: &Arc<Hub>, supervisor: &Supervisor) -> Edge {
    let NodeConfig { keep_alive_max_s, connections_max, .. } = *config;
    let limits = Limits { keep_alive_max_s, connections_max, ..config.rates.limits() };
    let edge = Edge::new(Arc::clone(hub) as Arc<dyn Players>, limits);
    let edge = edge.with_acl(config.acl.clone()).with_nonce(env.random_u64("client names"));
    let edge = edge.supervised(supervisor.branch("players", WhenExhausted::GiveUp));
    if config.mqtt_profile == MqttProfile::Players {
        return edge;
    }
    let edge = edge.with_open_profile(OpenLimits::default());
    let kept = edge.clone();
    supervisor.keep("open profile", "open profile", move || {
        let edge = kept.clone();
        async move { edge.keep_open().await }
    });
    edge
}

/// Has the players of a node that an operator drains move to others, and takes players again when that is
/// taken back. Where there is no other node, nobody is sent away.
async fn move_players(edge: &Edge, hub: &Hub, moving: &mut watch::Receiver<bool>) {
    loop {
        let is_moving = *moving.borrow_and_update();
        let elsewhere = if is_moving { hub.elsewhere() } else { Elsewhere::default() };
        if elsewhere.is_empty() {
            edge.undrain();
        }
        let drain = async {
            if !elsewhere.is_empty() {
                edge.drain(elsewhere, MOVE_TIME).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            changed = moving.changed() => if changed.is_err() { return },
            () = drain => {}
        }
    }
}

/// Ends the connections of those who are turned away, whenever the catalogue says so of somebody else, and
/// of hosts and operators whose token rests on a cluster key that is removed.
async fn end_revoked(edge: &Edge, listings: &Listings, tokens: &TokenKeys) {
    let (mut known, mut ring) = (listings.watch(), tokens.watch());
    let mut before = Vec::new();
    loop {
        tokio::select! {
            changed = known.changed() => if changed.is_err() { return },
            changed = ring.changed() => {
                if changed.is_err() {
                    return;
                }
                edge.end_revoked(|bearer| bearer.key.is_some_and(|key| !tokens.honours(key)));
            }
        }
        let banned: Vec<_> = known.borrow_and_update().banned().collect();
        if banned != before {
            edge.end_revoked(|bearer| listings.is_revoked(bearer));
            before = banned;
        }
    }
}

/// The number of sessions, which the edge knows and the hub, made before it, tells.
#[derive(Clone, Default)]
struct Sessions(Arc<std::sync::OnceLock<Arc<crate::edge::Counters>>>);

impl Sessions {
    fn reader(&self) -> Arc<dyn Fn() -> u64 + Send + Sync> {
        let counters = Arc::clone(&self.0);
        Arc::new(move || counters.get().map_or(0, |counters| counters.sessions_active()))
    }

    fn fill(&self, edge: &Edge) {
        // Filled once, right here.
        let _ = self.0.set(Arc::clone(edge.counters()));
    }
}

/// Where a node that listens on `bound` is reached.
#[must_use]
pub fn links(config: &NodeConfig, bound: &Bound) -> NodeLinks {
    let (secure, http) = match bound.https {
        Some(https) => ("s", config.advertised(https)),
        None => ("", config.advertised(bound.http)),
    };
    NodeLinks {
        name: config.name.clone(),
        ws: format!("ws{secure}://{http}/mqtt"),
        http: format!("http{secure}://{http}"),
        mqtt: config.advertised(bound.mqtt),
        mqtts: bound.mqtts.map(|mqtts| config.advertised(mqtts)).unwrap_or_default(),
    }
}
