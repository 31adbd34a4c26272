//! Replication: what the state costs, and how fast and how dearly it reaches other nodes.
//!
//! Three nodes run whole in this process, each on threads of its own, and meet over real QUIC on
//! loopback. Their sockets count UDP payload, and lose some where that is asked for. Answers are handed
//! to the engines by the batch, as edge shards do; players' connections are another figure's matter.
//! - *converged*: from the first batch of a burst of everybody's answers, handed to all three engines,
//!   until the last vector is equal;
//! - *visible*: from handing an answer over until another node's applied stream shows it, in this process
//!   and on its clock; *receipt*: from handing it over until its firm receipt;
//! - *replication's share of a core*: the process with three linked nodes, less the same answers on three
//!   nodes alone, each of which has as many players: what it costs to show a crowd to hosts is no replication;
//! - *copies*: UDP payload that a receiver took over the bytes of the batches that it lacked.
//!
//! Beside it stands what can be run here: the `crdts` crate and a bare hash map for the state, Redis for counters and a
//! sorted set, raw streams of quinn for the network. What cannot be installed is quoted.

mod bare;
mod churn;
pub(super) mod cpu;
mod crowd;
mod nodes;
mod redis;
mod socket;
pub(super) mod state;
mod table;
pub mod visitors;

use super::readme::machine;
use super::timings::{Timings, hundredths};
use super::{Figure, Report, Scale};
use crate::lab::say;
use crate::shows::sums;
use crowd::{Burst, Crowd, Watch, paced_apart};
use node::config::Ack;
use nodes::{Cluster, Setup, until};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::runtime::Builder;

/// See the module.
pub(super) const FIGURE: Figure =
    Figure { name: "replication", about: "state and replication of a million players", run };

/// How large all of it is.
#[derive(Debug, Clone, Copy)]
struct Size {
    players: usize,
    questions: u32,
    /// A second, while answers come in at a pace.
    slow: usize,
    fast: usize,
    seconds: usize,
    incarnations: u64,
}

fn run(scale: &Scale) -> Result<Report, String> {
    let full = scale.players == super::PLAYERS_DEFAULT;
    let questions = scale.questions;
    // For less than the default audience everything shrinks with it: that is a test of the figure.
    let size = if full {
        Size {
            players: 1_000_000,
            questions,
            slow: 1_000,
            fast: 100_000,
            seconds: 3,
            incarnations: 1_000,
        }
    } else {
        let (slow, fast) = (scale.players / 4, scale.players / 2);
        Size { players: scale.players, questions, slow, fast, seconds: 1, incarnations: 20 }
    };
    let mut measured = Measured::new(size);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    say("incarnations come and go");
    // First of all: a look at a process that holds millions of answers would see nothing.
    measured.churn = runtime.block_on(churn::measure(size.incarnations))?;
    say("state: players, answers, joins");
    let script = node::show::parse(&sums(questions, OPEN_MS)).map_err(|p| format!("{p:?}"))?;
    measured.state = state::measure(size.players, &script)?;
    say("redis, and raw streams");
    measured.redis = redis::measure(size.players)?;
    measured.raw_per_s = runtime.block_on(bare::measure(size.players))?;
    runtime.block_on(measured.arrival())?;
    runtime.block_on(measured.cluster())?;
    runtime.block_on(measured.lossy())?;
    runtime.block_on(measured.alone())?;
    Ok(Report { numbers: measured.numbers(), table: measured.table() })
}

/// All that was measured.
struct Measured {
    size: Size,
    state: state::State,
    redis: Option<redis::Redis>,
    raw_per_s: f64,
    bursts: Vec<Burst>,
    lossy: Option<Burst>,
    slow: [Timings; 2],
    fast: [Timings; 2],
    linked_share: f64,
    alone_share: f64,
    joiner: Duration,
    joiner_receipts: Timings,
    seen: Duration,
    death: Duration,
    churn: f64,
}

impl Measured {
    fn new(size: Size) -> Self {
        let pair = || [Timings::new(), Timings::new()];
        Measured {
            size,
            state: state::State::default(),
            redis: None,
            raw_per_s: 0.0,
            bursts: Vec::new(),
            lossy: None,
            slow: pair(),
            fast: pair(),
            linked_share: 0.0,
            alone_share: 0.0,
            joiner: Duration::ZERO,
            joiner_receipts: Timings::new(),
            seen: Duration::ZERO,
            death: Duration::ZERO,
            churn: 0.0,
        }
    }

    /// A node that starts beside three others, from its start until all of them see it alive.
    async fn arrival(&mut self) -> Result<(), String> {
        say("small cluster: a start");
        let setup = Setup { nodes: NODES, loss_permille: 0, ack: Ack::Peer };
        let mut cluster = Cluster::start(setup, &sums(1, OPEN_MS)).await?;
        let began = Instant::now();
        let at = cluster.add()?;
        let newcomer = cluster.peers[at].node.facts.node;
        until("the start to be seen", || async {
            cluster.peers[..at].iter().all(|peer| peer.sees_alive(newcomer)).then_some(())
        })
        .await?;
        self.seen = began.elapsed();
        Ok(())
    }

    /// Three nodes: bursts, a pace, a newcomer, a death.
    async fn cluster(&mut self) -> Result<(), String> {
        let Size { players, questions, slow, fast, seconds, .. } = self.size;
        let setup = Setup { nodes: NODES, loss_permille: 0, ack: Ack::Peer };
        let mut cluster = Cluster::start(setup, &sums(questions + PACED, OPEN_MS)).await?;
        say(&format!("cluster: {players} players join"));
        let crowd = Crowd::join(&cluster, players).await?;
        for _ in 0..questions {
            let burst = crowd.burst(&cluster).await?;
            say(&format!("cluster: {:.0} answers/s converged", burst.per_second()));
            self.bursts.push(burst);
            cluster.finish().await?;
        }
        say("cluster: answers at a pace");
        let paced = crowd.paced(&cluster, slow, seconds, Watch::Others).await?;
        self.slow = [paced.visible, paced.receipt];
        let paced = crowd.paced(&cluster, fast, seconds, Watch::Others).await?;
        self.fast = [paced.visible, paced.receipt];
        self.linked_share = crowd.paced(&cluster, fast, seconds, Watch::Nobody).await?.share;
        self.newcomer(&mut cluster, &crowd).await?;
        self.die(&mut cluster).await
    }

    /// A node with nothing, while the others serve.
    async fn newcomer(&mut self, cluster: &mut Cluster, crowd: &Crowd) -> Result<(), String> {
        say("cluster: a newcomer");
        let instance = cluster.open().await?;
        let serving = Arc::new(AtomicBool::new(true));
        let receipts = crowd.keep_answering(cluster, instance, Arc::clone(&serving)).await?;
        let began = Instant::now();
        let at = cluster.add()?;
        cluster.carried(at).await?;
        let wanted = crowd.len() as u64;
        until("the newcomer to serve", || async {
            let whole = cluster.read(at, move |core| {
                let state = core.state();
                state.players.count() as u64 == wanted && state.is_open(instance)
            });
            whole.await.unwrap_or(false).then_some(())
        })
        .await?;
        self.joiner = began.elapsed();
        serving.store(false, Relaxed);
        self.joiner_receipts = receipts.await.map_err(|error| error.to_string())??;
        cluster.converged().await?;
        Ok(())
    }

    /// A node that is killed.
    async fn die(&mut self, cluster: &mut Cluster) -> Result<(), String> {
        say("cluster: a death");
        let victim = cluster.peers[NODES - 1].node.facts.node;
        let began = Instant::now();
        cluster.peers[NODES - 1].kill();
        until("the death to be noticed", || async {
            (0..NODES - 1).all(|at| !cluster.peers[at].sees_alive(victim)).then_some(())
        })
        .await?;
        self.death = began.elapsed();
        Ok(())
    }

    /// One datagram in twenty is lost.
    async fn lossy(&mut self) -> Result<(), String> {
        say("lossy cluster");
        let setup = Setup { nodes: NODES, loss_permille: 50, ack: Ack::Peer };
        let cluster = Cluster::start(setup, &sums(1, OPEN_MS)).await?;
        let crowd = Crowd::join(&cluster, self.size.players / 10).await?;
        self.lossy = Some(crowd.burst(&cluster).await?);
        Ok(())
    }

    /// The same answers at the same time on as many nodes that have no peers, with the same players on each.
    async fn alone(&mut self) -> Result<(), String> {
        say("nodes alone");
        let setup = Setup { nodes: 1, loss_permille: 0, ack: Ack::Local };
        let Size { players, fast, seconds, .. } = self.size;
        let mut apart = Vec::new();
        for _ in 0..NODES {
            let cluster = Cluster::start(setup, &sums(1, OPEN_MS)).await?;
            let crowd = Crowd::join(&cluster, players).await?;
            apart.push((cluster, crowd));
        }
        self.alone_share = paced_apart(&apart, fast, seconds).await?;
        let (linked, alone) = (self.linked_share, self.alone_share);
        say(&format!("of a core: {linked:.3} as peers, {alone:.3} alone"));
        Ok(())
    }

    fn replication_share(&self) -> f64 {
        (self.linked_share - self.alone_share).max(0.0)
    }

    /// The burst in the middle, by speed.
    fn burst(&self) -> Burst {
        let mut bursts = self.bursts.clone();
        bursts.sort_by_key(|burst| burst.took);
        bursts[bursts.len() / 2]
    }

    fn numbers(&self) -> Map<String, Value> {
        let (state, burst) = (&self.state, self.burst());
        let numbers = [
            ("apply_per_s_core", json!(state.apply_per_s.round())),
            ("crdts_map_apply_per_s_core", json!(state.crdts_apply_per_s.round())),
            ("bytes_per_player", json!(hundredths(state.bytes_per_player))),
            ("bytes_per_answer", json!(hundredths(state.bytes_per_answer))),
            ("join_ms_1m", json!(state.join_ms)),
            ("redis_counters_per_s", json!(self.redis.map(|redis| redis.counters_per_s.round()))),
            ("redis_sorted_set_per_s", json!(self.redis.map(|it| it.sorted_set_per_s.round()))),
            ("raw_quic_per_s", json!(self.raw_per_s.round())),
            ("converged_per_s_3_nodes", json!(burst.per_second().round())),
            ("visible_ms_p50", json!(self.slow[0].quantile_ms(0.5))),
            ("visible_ms_p99", json!(self.slow[0].quantile_ms(0.99))),
            ("visible_100k_ms_p99", json!(self.fast[0].quantile_ms(0.99))),
            ("receipt_ms_p50", json!(self.slow[1].quantile_ms(0.5))),
            ("receipt_ms_p99", json!(self.slow[1].quantile_ms(0.99))),
            ("replication_core_share_100k", json!(hundredths(self.replication_share()))),
            ("wire_bytes_per_answer", json!(hundredths(burst.wire_bytes_per_answer()))),
            ("copies_no_loss", json!(hundredths(burst.copies()))),
            ("copies_5pct_loss", json!(self.lossy.map(|burst| hundredths(burst.copies())))),
            ("joiner_s_1m", json!(hundredths(self.joiner.as_secs_f64()))),
            ("seen_s", json!(hundredths(self.seen.as_secs_f64()))),
            ("death_s", json!(hundredths(self.death.as_secs_f64()))),
            ("churn_rss_ratio", json!(hundredths(self.churn))),
        ];
        numbers.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
    }
}

const NODES: usize = 3;

/// Questions beside those of the bursts: three at a pace, one for the newcomer.
const PACED: u32 = 4;

/// How long a question is open unless its host closes it, as this one does.
const OPEN_MS: u32 = 600_000;
