//! Whole nodes on simulated ground: the node's own start over the ports of a machine's life.
//!
//! Invariants: whatever a node gets from outside comes from its life, so that a crash ends all of it
//! and the seed decides all of it; the store is read back from the disk at each start, and each
//! start is a new origin. Absent: HTTP; hosts drive through [`Hosts`].

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use crdt_state::{EventId, Versions};
use node::config::{Ack, ClusterConfig, NodeConfig, Secret};
use node::edge::{Accept, Accepted};
use node::engine::Owner;
use node::env::{Blocking, Env, Work};
use node::run::{self, Ground, Node, StartError};
use node::service::Hosts;
use node::service::view::NodeLinks;
use node::store::{OpenError, open_with};
use thiserror::Error;
use tokio::time::sleep;

use crate::chance;
use crate::disk::{COMMIT_SLOWLY, DiskTrouble};
use crate::machine::{Crash, Life};
use crate::mix::Draw;
use crate::tcp::SimListener;
use crate::trace::address_word;
use crate::world::World;

/// Where nodes listen for peers.
pub const PEER_PORT: u16 = 7946;
/// Where nodes listen for players.
pub const MQTT_PORT: u16 = 1883;
/// What nodes say is their port for pages and the API.
const HTTP_PORT: u16 = 8080;
/// The cluster's key; the same in every run, since nothing hangs on it.
const KEY: [u8; 32] = [7; 32];
/// The file that a node's store is in.
pub const STORE: &str = "store";

/// A node that runs, and the life that it runs in.
pub struct Running {
    /// The life.
    pub life: Life,
    /// The node.
    pub node: Node,
}

impl Running {
    /// The node as its hosts see it.
    pub fn hosts(&self) -> Arc<dyn Hosts> {
        self.node.hosts()
    }

    /// The owner of an event, once the node carries it.
    pub fn owner(&self, event: EventId) -> Option<Owner> {
        self.node.owners.get(event)
    }
}

/// Some nodes of one cluster, by number.
pub struct Cluster {
    world: World,
    running: BTreeMap<u8, Arc<Running>>,
    joined: BTreeSet<u8>,
}

/// A node that does not start. No fault of a run may cause it.
#[derive(Debug, Error)]
pub enum BootError {
    /// The life has no such port.
    #[error("node {number}: {why}")]
    Ground {
        /// The node.
        number: u8,
        /// What the machine said.
        why: io::Error,
    },
    /// The store does not open.
    #[error("node {number}: {why}")]
    Store {
        /// The node.
        number: u8,
        /// What the store said.
        why: OpenError,
    },
    /// The node does not start.
    #[error("node {number}: {why}")]
    Start {
        /// The node.
        number: u8,
        /// What it said.
        why: StartError,
    },
}

impl Cluster {
    /// A cluster without a running node.
    pub fn new(world: World) -> Self {
        Self { world, running: BTreeMap::new(), joined: BTreeSet::new() }
    }

    /// The nodes that run, in the order of their numbers.
    pub fn running(&self) -> impl Iterator<Item = (u8, &Arc<Running>)> {
        self.running.iter().map(|(number, running)| (*number, running))
    }

    /// A node, if it runs.
    pub fn node(&self, number: u8) -> Option<Arc<Running>> {
        self.running.get(&number).cloned()
    }

    /// Whether a node of this number has ever run.
    pub(crate) fn has_joined(&self, number: u8) -> bool {
        self.joined.contains(&number)
    }

    /// Takes in a node that [`boot`] has started.
    pub fn insert(&mut self, number: u8, running: Running) {
        self.joined.insert(number);
        self.running.insert(number, Arc::new(running));
    }

    /// Ends a node as `how` says; chitchat's own task, which no spawner knows, is ended too.
    pub fn crash(&mut self, number: u8, how: Crash) {
        self.world.node(number).crash(how);
        if let Some(running) = self.running.remove(&number) {
            running.node.network.abort();
        }
    }
}

/// How a node is started.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// Where it looks for peers first.
    pub seeds: &'a [u8],
    /// What it reads and writes.
    pub program: Versions,
    /// How many must hold what it promises.
    pub ack: Ack,
    /// After how long it lets go of what nobody wants there; as nodes do by default if nothing is said.
    pub let_go_after: Option<Duration>,
}

/// Starts the node `number`.
///
/// # Errors
/// If its ground or its store cannot be used, or it does not start.
pub async fn boot(world: &World, number: u8, start: Start<'_>) -> Result<Running, BootError> {
    let life = world.node(number).boot();
    let ground = ground(&life, number, start.seeds)?;
    let config = NodeConfig::loopback(&name(number), Secret::new(KEY));
    let cluster = ClusterConfig { ack: start.ack, ..config.cluster };
    let let_go_after = start.let_go_after.unwrap_or(config.let_go_after);
    let config = NodeConfig { versions: start.program, cluster, let_go_after, ..config };
    let node = run::start(&config, &env(world.seed(), &life), ground).await;
    let node = node.map_err(|why| BootError::Start { number, why })?;
    life.note("origin", node.facts.origin.0);
    Ok(Running { life, node })
}

/// The name of a node.
pub fn name(number: u8) -> String {
    format!("n{number}")
}

/// The address of a node's port.
pub fn address(number: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], port))
}

fn ground(life: &Life, number: u8, seeds: &[u8]) -> Result<Ground, BootError> {
    let failed = |why| BootError::Ground { number, why };
    let players = Players(life.listen(MQTT_PORT).map_err(failed)?);
    let disk = life.clone();
    let store = open_with(move || disk.open_file(STORE));
    Ok(Ground {
        socket: life.socket(PEER_PORT).map_err(failed)?,
        runtime: life.quic_runtime(),
        advertise: life.address(PEER_PORT),
        seeds: seeds.iter().map(|seed| address(*seed, PEER_PORT)).collect(),
        links: NodeLinks {
            name: name(number),
            // Nobody listens there: hosts drive through the node itself.
            http: format!("http://{}", life.address(HTTP_PORT)),
            ws: format!("ws://{}/mqtt", life.address(HTTP_PORT)),
            mqtt: life.address(MQTT_PORT).to_string(),
            mqtts: String::new(),
        },
        players: vec![Box::new(players)],
        store: Some(store.map_err(|why| BootError::Store { number, why })?),
    })
}

/// A node's surroundings: its life's tasks and clock, chance out of the seed, its machine's disk.
fn env(seed: u64, life: &Life) -> Env {
    let draw = Draw::new(chance::of(seed), &[address_word(life.ip()), life.number()]);
    let mut bytes = [0; 32];
    for (index, chunk) in bytes.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&draw.word(index as u64).to_le_bytes());
    }
    let clock = life.clone();
    let wall_ms =
        move || clock.wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let spawn = life.spawner().clone();
    Env { spawn, blocking: Arc::new(Inline(life.clone())), wall: Arc::new(wall_ms), seed: bytes }
}

/// Does disk work where it is asked for: there are no threads, and only a slow disk takes time.
struct Inline(Life);

impl Blocking for Inline {
    fn run(&self, work: Work) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let is_slow = self.0.disk_trouble(STORE) == DiskTrouble::Slow;
        Box::pin(async move {
            if is_slow {
                sleep(COMMIT_SLOWLY).await;
            }
            work();
        })
    }
}

/// Players' connections over simulated streams.
struct Players(SimListener);

#[async_trait]
impl Accept for Players {
    async fn accept(&mut self) -> io::Result<Accepted> {
        let (stream, from) = self.0.accept().await?;
        Ok((Box::new(stream), from.into()))
    }
}
