//! Whole nodes in this process, each on threads of its own, over real QUIC on loopback.

use super::socket::{Counted, Counts};
use crdt_state::{EventId, Heads, NodeId, Stage};
use node::config::{Ack, NodeConfig, Secret};
use node::engine::{EventCore, Owner, stage_of};
use node::env::Env;
use node::run::{Ground, Node, start};
use node::service::view::{Command, CommandRequest, NodeLinks};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

/// How a cluster is set up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub(super) nodes: usize,
    pub(super) loss_permille: u64,
    /// How many must hold an answer.
    pub(super) ack: Ack,
}

/// A node that runs.
pub(super) struct Peer {
    pub(super) node: Node,
    pub(super) counts: Arc<Counts>,
    addr: SocketAddr,
    runtime: Option<Runtime>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Peer {
    fn start(name: &str, seeds: Vec<SocketAddr>, setup: Setup) -> Result<Self, String> {
        let mut threads = Builder::new_multi_thread();
        let runtime = threads.worker_threads(2).thread_name(name).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let counts = Arc::new(Counts::default());
        let started = runtime.block_on(Self::start_node(name, seeds, setup, &counts))?;
        let (node, addr) = started;
        Ok(Peer { node, counts, addr, runtime: Some(runtime) })
    }

    async fn start_node(
        name: &str,
        seeds: Vec<SocketAddr>,
        setup: Setup,
        counts: &Arc<Counts>,
    ) -> Result<(Node, SocketAddr), String> {
        let (socket, addr) = gossip::network::open_socket(([127, 0, 0, 1], 0).into())
            .map_err(|error| error.to_string())?;
        let socket = Counted::new(socket, Arc::clone(counts), setup.loss_permille);
        let mut config = NodeConfig::loopback(name, Secret::new([7; 32]));
        config.cluster.ack = setup.ack;
        let env = Env::system().map_err(|error| error.to_string())?;
        let nowhere = || format!("{name}.invalid");
        let links = NodeLinks {
            name: name.to_owned(),
            http: nowhere(),
            ws: nowhere(),
            mqtt: nowhere(),
            mqtts: nowhere(),
        };
        let ground = Ground {
            socket: Arc::new(socket),
            runtime: Arc::new(quinn::TokioRuntime),
            advertise: addr,
            seeds,
            links,
            players: Vec::new(),
            store: None,
        };
        let node = start(&config, &env, ground).await.map_err(|error| error.to_string())?;
        Ok((node, addr))
    }

    /// Whether it takes a node for alive.
    pub(super) fn sees_alive(&self, node: NodeId) -> bool {
        let members = self.node.network.members();
        let members = members.borrow();
        members.iter().any(|member| member.node == node && member.live)
    }

    /// Ends it without a word, as `kill -9` does.
    pub(super) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            self.node.network.abort();
            runtime.shutdown_background();
        }
    }
}

/// Some nodes, and the show that they run.
pub(super) struct Cluster {
    pub(super) peers: Vec<Peer>,
    setup: Setup,
    pub(super) event: EventId,
}

impl Cluster {
    /// Starts the nodes and opens the lobby of a show.
    pub(super) async fn start(setup: Setup, show: &str) -> Result<Self, String> {
        let mut cluster = Cluster { peers: Vec::new(), setup, event: EventId(0) };
        for _ in 0..setup.nodes {
            cluster.add()?;
        }
        for peer in &cluster.peers {
            let linked = || peer.node.network.peers().len() + 1 >= setup.nodes;
            until("links", || async { linked().then_some(()) }).await?;
        }
        let imported = cluster.peers[0].node.hosts().import(show).await;
        cluster.event = imported.map_err(|refusal| format!("{refusal:?}"))?.event;
        for at in 0..setup.nodes {
            cluster.carried(at).await?;
        }
        cluster.step(Command::Lobby).await?;
        Ok(cluster)
    }

    /// Starts one more node.
    pub(super) fn add(&mut self) -> Result<usize, String> {
        let seeds = self.peers.iter().map(|peer| peer.addr).collect();
        let name = format!("n{}", self.peers.len() + 1);
        // A runtime must not be made, or waited for, on another one's thread.
        let setup = self.setup;
        let started =
            std::thread::scope(|scope| scope.spawn(|| Peer::start(&name, seeds, setup)).join());
        self.peers.push(started.map_err(|_| "a node panics at its start".to_owned())??);
        Ok(self.peers.len() - 1)
    }

    /// The owner of the show on a node, once it carries it: somebody comes for it, without which the fourth node
    /// may leave it to the others.
    pub(super) async fn carried(&self, at: usize) -> Result<Owner, String> {
        let peer = &self.peers[at];
        until("the show to be carried", || async {
            peer.node.hosts().host_feed(self.event).await.ok()?;
            let owner = peer.node.owners.get(self.event)?;
            let known = owner.read(|core, _, _| core.state().script().is_some()).await?;
            known.then_some(owner)
        })
        .await
    }

    /// All owners, in the order of nodes.
    pub(super) fn owners(&self) -> Vec<Owner> {
        self.peers.iter().filter_map(|peer| peer.node.owners.get(self.event)).collect()
    }

    /// Drives the show one step and waits until all nodes are there.
    pub(super) async fn step(&self, command: Command) -> Result<Stage, String> {
        let stage = self.read(0, |core| core.state().stage()).await?;
        let expected = node::engine::stage_view(stage);
        let request = CommandRequest::new(command, expected);
        let reply = self.peers[0].node.hosts().command(self.event, request).await;
        let stage = stage_of(reply.map_err(|refusal| format!("{refusal:?}"))?.stage);
        for at in 0..self.peers.len() {
            until("a step", || async {
                let there = self.read(at, move |core| core.state().stage() >= stage).await;
                there.unwrap_or(false).then_some(())
            })
            .await?;
        }
        Ok(stage)
    }

    /// Opens the next question; its instance.
    pub(super) async fn open(&self) -> Result<u32, String> {
        self.step(Command::Next).await?;
        Ok(self.step(Command::Open).await?.instance)
    }

    /// Brings the question that is open to its board.
    pub(super) async fn finish(&self) -> Result<(), String> {
        for command in [Command::Close, Command::Tallies, Command::Reveal, Command::Leaderboard] {
            self.step(command).await?;
        }
        Ok(())
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        at: usize,
        read: impl FnOnce(&EventCore) -> T + Send + 'static,
    ) -> Result<T, String> {
        let owner = self.peers[at].node.owners.get(self.event);
        let owner = owner.ok_or("a node does not carry the show")?;
        owner.read(|core, _, _| read(core)).await.ok_or("an owner is gone".to_owned())
    }

    /// Waits until all nodes have applied the same; when that was.
    pub(super) async fn converged(&self) -> Result<Instant, String> {
        until("equal vectors", || async {
            let mut all: Vec<Heads> = Vec::new();
            for at in 0..self.peers.len() {
                all.push(self.read(at, |core| core.heads().clone()).await.ok()?);
            }
            all.windows(2).all(|pair| pair[0] == pair[1]).then(Instant::now)
        })
        .await
    }

    /// UDP payload so far: sent by all, received by all.
    pub(super) fn udp(&self) -> (u64, u64) {
        use std::sync::atomic::Ordering::Relaxed;
        let sum = |count: fn(&Counts) -> u64| self.peers.iter().map(|p| count(&p.counts)).sum();
        (sum(|counts| counts.sent.load(Relaxed)), sum(|counts| counts.received.load(Relaxed)))
    }
}

/// Waits for something, for a minute at most.
pub(super) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut so: impl FnMut() -> F,
) -> Result<T, String> {
    let began = Instant::now();
    loop {
        if let Some(value) = so().await {
            return Ok(value);
        }
        if began.elapsed() > WAIT_MAX {
            return Err(format!("waited {WAIT_MAX:?} for {what}"));
        }
        sleep(LOOK_EVERY).await;
    }
}

const WAIT_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_micros(500);
