//! The main job: a show for a whole audience on three nodes, without a fault.
//!
//! Players are spread evenly and answer at a random moment within [`SPREAD`] after they saw the
//! question open. All moments are taken in this process, on one clock:
//! - *receipt*: from handing the answer to the MQTT client until its firm receipt;
//! - *visible*: from the same moment until the applied stream of each other node shows the answer;
//!   percentiles are over all pairs of an answer and another node;
//! - *lost*: firm receipts that the exports of two nodes do not both keep (cell <= receipted value);
//! - *double*: what an export scores twice;
//! - *ready*: from spawning `starling dev` until `cluster.json` is there.

use super::applied::Follower;
use super::audience::{Audience, SPREAD};
use super::readme::machine;
use super::timings::{Timings, hundredths};
use super::verdict::Verdict;
use super::{Figure, Report, Scale};
use crate::binary::starling_path;
use crate::cluster::{Cluster, ClusterOptions};
use crate::lab::{eventually, random, say};
use crate::shows::sums;
use node::service::view::{Command, PhaseView};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};
use tokio::runtime::Builder;

/// See the module.
pub(super) const FIGURE: Figure =
    Figure { name: "main-job", about: "a show with 2,000 players on three nodes", run };

fn run(scale: &Scale) -> Result<Report, String> {
    let (cluster, ready) = start(scale);
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let mut random = random();
    let show = runtime.block_on(play(&cluster, scale, &mut random))?;
    let exports = [final_export(&cluster, 0)?, final_export(&cluster, NODES - 1)?];
    let measured = Measured::of(&show, &exports, ready)?;
    cluster.stop();
    Ok(Report { numbers: measured.numbers(), table: measured.table(scale) })
}

/// Starts the cluster a few times; the last one stays. Returns the median time to be ready.
fn start(scale: &Scale) -> (Cluster, Duration) {
    say(&format!("building {}", starling_path().display()));
    let show = Some(sums(scale.questions, OPEN_MS));
    let options = ClusterOptions { nodes: NODES, show };
    let mut times = Vec::new();
    loop {
        let started = Instant::now();
        let cluster = Cluster::start_with(&options);
        times.push(started.elapsed());
        say(&format!("starling dev is ready after {:?}", started.elapsed()));
        if times.len() == STARTS {
            times.sort();
            return (cluster, times[STARTS / 2]);
        }
        cluster.stop();
    }
}

/// A show that has been played.
struct Show {
    audience: Audience,
    followers: Vec<Follower>,
}

async fn play(cluster: &Cluster, scale: &Scale, random: &mut ChaCha8Rng) -> Result<Show, String> {
    cluster.wait_linked(WAIT_MAX);
    cluster.open_lobby(0);
    for node in 0..NODES {
        cluster.wait_phase(node, 0, PhaseView::Lobby, WAIT_MAX);
    }
    let followers = (0..NODES).map(|node| Follower::open(cluster, node));
    let followers = followers.collect::<Result<_, _>>()?;
    let began = Instant::now();
    let audience = Audience::join(cluster, scale.players, random, JOIN_MAX).await?;
    say(&format!("{} players joined in {:?}", scale.players, began.elapsed()));
    let show = Show { audience, followers };
    for instance in 1..=scale.questions {
        if began.elapsed() > PLAY_MAX {
            return Err(format!("question {instance} would begin later than {PLAY_MAX:?}"));
        }
        show.ask(cluster, instance).await?;
    }
    cluster.step(0, Command::Next);
    for node in 0..NODES {
        cluster.wait_phase(node, scale.questions, PhaseView::Ended, WAIT_MAX);
    }
    Ok(show)
}

impl Show {
    /// One question, driven from one node; the next one is driven from the next node.
    async fn ask(&self, cluster: &Cluster, instance: u32) -> Result<(), String> {
        let host = instance as usize % NODES;
        let began = Instant::now();
        cluster.step(host, Command::Next);
        cluster.step(host, Command::Open);
        self.audience.wait_firm(instance, ANSWERS_MAX).await?;
        for (node, follower) in self.followers.iter().enumerate() {
            let others = self.audience.seats.iter().filter(|seat| seat.node != node);
            follower.wait(instance, others.count(), WAIT_MAX)?;
        }
        for command in [Command::Close, Command::Tallies, Command::Reveal, Command::Leaderboard] {
            cluster.step(host, command);
        }
        for node in 0..NODES {
            cluster.wait_phase(node, instance, PhaseView::Board, WAIT_MAX);
        }
        say(&format!("question {instance} took {:?}", began.elapsed()));
        Ok(())
    }
}

fn final_export(cluster: &Cluster, node: usize) -> Result<Verdict, String> {
    eventually("a final export", WAIT_MAX, || {
        let verdict = Verdict::parse(&cluster.export(node));
        verdict.map_or_else(|e| Some(Err(e)), |it| it.is_final().then_some(Ok(it)))
    })
}

/// All numbers.
struct Measured {
    lost: usize,
    double: usize,
    receipt: Timings,
    visible: Timings,
    ready: Duration,
}

impl Measured {
    fn of(show: &Show, exports: &[Verdict; 2], ready: Duration) -> Result<Self, String> {
        let double = exports.iter().map(Verdict::doubles).max().unwrap_or(0);
        let (receipt, visible) = (Timings::new(), Timings::new());
        let mut measured = Measured { lost: 0, double, receipt, visible, ready };
        for (seat, answer) in show.audience.answers() {
            let Some(firm) = &answer.firm else { return Err("an answer has no receipt".into()) };
            measured.receipt.record(answer.sent, firm.at);
            let kept = |export: &Verdict| export.keeps(answer.instance, seat.id, firm);
            measured.lost += usize::from(!exports.iter().all(kept));
            let others = show.followers.iter().enumerate().filter(|(node, _)| *node != seat.node);
            for (node, follower) in others {
                let seen = follower.seen(answer.instance, seat.id);
                let seen = seen.ok_or_else(|| format!("node {node} did not show {answer:?}"))?;
                measured.visible.record(answer.sent, seen);
            }
        }
        Ok(measured)
    }

    fn numbers(&self) -> Map<String, Value> {
        let numbers = [
            ("lost", json!(self.lost)),
            ("double", json!(self.double)),
            ("receipt_ms_p50", json!(self.receipt.quantile_ms(0.5))),
            ("receipt_ms_p99", json!(self.receipt.quantile_ms(0.99))),
            ("visible_ms_p50", json!(self.visible.quantile_ms(0.5))),
            ("visible_ms_p99", json!(self.visible.quantile_ms(0.99))),
            ("dev_ready_s", json!(hundredths(self.ready.as_secs_f64()))),
        ];
        numbers.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
    }

    fn table(&self, scale: &Scale) -> String {
        let pair =
            |of: &Timings| format!("{} ms | {} ms", of.quantile_ms(0.5), of.quantile_ms(0.99));
        let (receipt, visible) = (pair(&self.receipt), pair(&self.visible));
        let (lost, double, answers) = (self.lost, self.double, self.receipt.count());
        let (ready, machine) = (hundredths(self.ready.as_secs_f64()), machine());
        let Scale { players, questions, .. } = scale;
        let (spread, profile) = (SPREAD.as_secs(), profile());
        format!(
            "| the main job | p50 | p99 |\n|---|---|---|\n\
             | from sending an answer to its firm receipt | {receipt} |\n\
             | from sending an answer until another node shows it as applied | {visible} |\n\n\
             Of {answers} firm receipts {lost} were lost, {double} answers were scored twice; \
             `starling dev` with three\nnodes is ready after {ready} s (median of {STARTS} starts). \
             {players} MQTT 5 players are spread evenly over {NODES} nodes\nand answer {questions} \
             questions, each player at a random moment within {spread} s after it saw the question \
             open; receipts\nwait for one more node (`--ack peer`, the default). All is timed on one \
             clock, in the process of the players, which\nshares the machine with the nodes: \
             {machine}, {profile} build.\n"
        )
    }
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

const NODES: usize = 3;

/// The median needs an odd number.
const STARTS: usize = 3;

/// Threads for all players; the nodes need the rest of the machine.
const WORKERS: usize = 2;

/// How long a question is open unless its host closes it, as this one does.
const OPEN_MS: u32 = 60_000;

/// For steps of the show, and for nodes to catch up with each other.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// For the whole audience to join.
const JOIN_MAX: Duration = Duration::from_secs(180);

/// For all firm receipts of a question, the spread of the answers included.
const ANSWERS_MAX: Duration = Duration::from_secs(40);

/// No question begins later than this after the first join. With the waits of the last question, of
/// the starts and of the end the whole stays within 15 minutes.
const PLAY_MAX: Duration = Duration::from_secs(8 * 60);
