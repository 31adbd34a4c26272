//! Players as engines know them: rows, and answers handed over by the batch.

use super::nodes::Cluster;
use crate::figures::timings::Timings;
use crdt_state::delta::{Answers, Delta, encode};
use crdt_state::{Cell, PlayerId, Row};
use node::engine::{BULK_ANSWERS_MAX, Bulk, BulkAnswer, BulkVerdict, Input, Owner, Reply};
use node::service::view::AppliedView;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Joins on their way at once, per node.
const JOINS: usize = 4_096;

/// Answers per node that [`Crowd::keep_answering`] gives at most.
const KEPT: usize = 2_000;

/// Players, spread evenly over the nodes that took them.
pub(super) struct Crowd {
    /// By node: who, and in which row. The low bits of an id are the player's number.
    seats: Vec<Vec<(PlayerId, Row)>>,
}

fn id(number: usize) -> PlayerId {
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    PlayerId(u128::from(mixed) << 64 | number as u128)
}

fn number(player: PlayerId) -> usize {
    player.0 as u32 as usize
}

impl Crowd {
    /// Has everybody join, and waits until all nodes know all.
    pub(super) async fn join(cluster: &Cluster, players: usize) -> Result<Self, String> {
        let owners = cluster.owners();
        let mut joining = JoinSet::new();
        for (at, owner) in owners.iter().enumerate() {
            let (owner, step) = (owner.clone(), owners.len());
            joining.spawn(async move { join_at(&owner, (at..players).step_by(step)).await });
        }
        let mut seats = vec![Vec::new(); owners.len()];
        while let Some(joined) = joining.join_next().await {
            let joined = joined.map_err(|error| error.to_string())??;
            let at = joined.first().map_or(0, |(player, _)| number(*player) % owners.len());
            seats[at] = joined;
        }
        cluster.converged().await?;
        Ok(Crowd { seats })
    }

    pub(super) fn len(&self) -> usize {
        self.seats.iter().map(Vec::len).sum()
    }

    /// Answers a hundred times a second while `serving`; how long each receipt took.
    pub(super) async fn keep_answering(
        &self,
        cluster: &Cluster,
        instance: u32,
        serving: Arc<AtomicBool>,
    ) -> Result<JoinHandle<Result<Timings, String>>, String> {
        let question = question_of(cluster, instance).await?;
        let owners = cluster.owners();
        let seats: Vec<Vec<_>> =
            self.seats.iter().map(|seats| seats.iter().take(KEPT).copied().collect()).collect();
        Ok(tokio::spawn(async move {
            let (mut tick, mut receipts) = (interval(Duration::from_millis(10)), Timings::new());
            for number in 0..KEPT * owners.len() {
                if !serving.load(Relaxed) {
                    break;
                }
                tick.tick().await;
                let at = number % owners.len();
                let Some((player, row)) = seats[at].get(number / owners.len()) else { break };
                let answers =
                    vec![BulkAnswer { player: *player, row: *row, value: 1, credit_ms: 0 }];
                let began = Instant::now();
                ask(&owners[at], Bulk { instance, question, answers }).await?;
                receipts.record(began, Instant::now());
            }
            Ok(receipts)
        }))
    }

    fn batches(&self, at: usize, instance: u32, question: u16) -> Vec<Bulk> {
        let answer = |(player, row): &(PlayerId, Row)| {
            let value = 1 << (player.0 % 4);
            BulkAnswer { player: *player, row: *row, value, credit_ms: 0 }
        };
        let batch = |seats: &[(PlayerId, Row)]| {
            let answers = seats.iter().map(answer).collect();
            Bulk { instance, question, answers }
        };
        self.seats[at].chunks(BULK_ANSWERS_MAX).map(batch).collect()
    }

    /// Everybody answers at once, at the node that took them.
    pub(super) async fn burst(&self, cluster: &Cluster) -> Result<Burst, String> {
        let instance = cluster.open().await?;
        let question = question_of(cluster, instance).await?;
        cluster.converged().await?;
        let owners = cluster.owners();
        let batches: Vec<Vec<Bulk>> =
            (0..owners.len()).map(|at| self.batches(at, instance, question)).collect();
        let before = cluster.udp();
        let (began, mut asking) = (Instant::now(), JoinSet::new());
        for (owner, batches) in owners.into_iter().zip(batches) {
            for bulk in batches {
                let owner = owner.clone();
                asking.spawn(async move { ask(&owner, bulk).await });
            }
        }
        let (mut answers, mut encoded) = (0, 0);
        while let Some(asked) = asking.join_next().await {
            let asked = asked.map_err(|error| error.to_string())??;
            answers += asked.bulk.answers.len();
            encoded += asked.encoded()?;
        }
        let took = cluster.converged().await? - began;
        let after = cluster.udp();
        let answered = cluster.read(0, move |core| core.state().answered(instance)).await?;
        if answered != answers as u64 {
            return Err(format!("{answered} of {answers} answers are held"));
        }
        let (sent, received) = (after.0 - before.0, after.1 - before.1);
        Ok(Burst { answers, took, sent, received, encoded, nodes: cluster.peers.len() })
    }

    /// So many answers a second, spread evenly over time and nodes.
    pub(super) async fn paced(
        &self,
        cluster: &Cluster,
        per_second: usize,
        seconds: usize,
        watch: Watch,
    ) -> Result<Paced, String> {
        let instance = cluster.open().await?;
        let question = question_of(cluster, instance).await?;
        let owners = cluster.owners();
        let sent = Arc::new(Sent::new(self.len()));
        let mut followers = JoinSet::new();
        if watch == Watch::Others {
            for owner in &owners {
                let follow = owner.follow().await.ok_or("an owner is gone")?;
                followers.spawn(follow_until_quiet(follow, Arc::clone(&sent)));
            }
        }
        let plan = self.plan(&owners, instance, question, per_second, seconds)?;
        let (share, mut asking) = drive(plan, &sent).await;
        let mut paced = Paced { visible: Timings::new(), receipt: Timings::new(), share };
        while let Some(asked) = asking.join_next().await {
            let (began, ended, firm) = asked.map_err(|error| error.to_string())??;
            if !firm {
                return Err("a receipt was provisional".to_owned());
            }
            paced.receipt.record(began, ended);
        }
        while let Some(seen) = followers.join_next().await {
            let seen = seen.map_err(|error| error.to_string())??;
            paced.visible.add(&seen);
        }
        if watch == Watch::Others && paced.visible.count() == 0 {
            return Err("no answer was seen by another node".to_owned());
        }
        cluster.converged().await?;
        cluster.finish().await?;
        Ok(paced)
    }

    /// What is handed over in each millisecond, and to whom.
    fn plan(
        &self,
        owners: &[Owner],
        instance: u32,
        question: u16,
        per_second: usize,
        seconds: usize,
    ) -> Result<Plan, String> {
        let nodes = self.seats.len();
        let mut left: Vec<&[(PlayerId, Row)]> = self.seats.iter().map(Vec::as_slice).collect();
        let due = |ms: usize, at: usize| (ms * per_second / 1_000 + nodes - 1 - at) / nodes;
        let mut tick = |ms: usize| {
            let batch = |(at, left): (usize, &mut &[(PlayerId, Row)])| {
                let seats = left.split_off(..due(ms + 1, at) - due(ms, at));
                let seats = seats.ok_or("there are too few players for this rate")?;
                let answer = |(player, row): &(PlayerId, Row)| BulkAnswer {
                    player: *player,
                    row: *row,
                    value: 1,
                    credit_ms: 0,
                };
                let answers = seats.iter().map(answer).collect();
                Ok((owners[at].clone(), Bulk { instance, question, answers }))
            };
            let batches: Result<Vec<_>, String> = left.iter_mut().enumerate().map(batch).collect();
            batches
                .map(|all| all.into_iter().filter(|(_, bulk)| !bulk.answers.is_empty()).collect())
        };
        (0..seconds * 1_000).map(&mut tick).collect()
    }
}

/// What is handed over in each millisecond, and to whom.
type Plan = Vec<Vec<(Owner, Bulk)>>;

/// What becomes of batches: when each was handed over and answered, and whether it was firm.
type Asking = JoinSet<Result<(Instant, Instant, bool), String>>;

/// Hands a plan's batches over in time; tells what share of a core this process took meanwhile.
async fn drive(plan: Plan, sent: &Sent) -> (f64, Asking) {
    let (mut tick, mut asking) = (interval(Duration::from_millis(1)), Asking::new());
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (began, cpu) = (Instant::now(), super::cpu::process());
    for batches in plan {
        tick.tick().await;
        for (owner, bulk) in batches {
            sent.note(&bulk);
            asking.spawn(async move {
                let began = Instant::now();
                let firm = ask(&owner, bulk).await?.firm;
                Ok((began, Instant::now(), firm))
            });
        }
    }
    let spent = super::cpu::process() - cpu;
    (spent.as_secs_f64() / began.elapsed().as_secs_f64(), asking)
}

/// As [`Crowd::paced`], with so many answers a second over clusters that know nothing of each other; the
/// share of a core.
pub(super) async fn paced_apart(
    apart: &[(Cluster, Crowd)],
    per_second: usize,
    seconds: usize,
) -> Result<f64, String> {
    let mut plan: Plan = vec![Vec::new(); seconds * 1_000];
    for (cluster, crowd) in apart {
        let instance = cluster.open().await?;
        let question = question_of(cluster, instance).await?;
        let (owners, share) = (cluster.owners(), per_second / apart.len());
        let own = crowd.plan(&owners, instance, question, share, seconds)?;
        plan.iter_mut().zip(own).for_each(|(all, own)| all.extend(own));
    }
    let sent = Sent::new(apart.iter().map(|(_, crowd)| crowd.len()).sum());
    let (share, mut asking) = drive(plan, &sent).await;
    while let Some(asked) = asking.join_next().await {
        asked.map_err(|error| error.to_string())??;
    }
    Ok(share)
}

async fn question_of(cluster: &Cluster, instance: u32) -> Result<u16, String> {
    let question = cluster.read(0, move |core| core.state().question_of(instance).map(|q| q.0));
    question.await?.ok_or("the instance has no question".to_owned())
}

async fn join_at(
    owner: &Owner,
    numbers: impl Iterator<Item = usize>,
) -> Result<Vec<(PlayerId, Row)>, String> {
    let (mut numbers, mut seats) = (numbers.peekable(), Vec::new());
    while numbers.peek().is_some() {
        let mut joining = JoinSet::new();
        for number in numbers.by_ref().take(JOINS) {
            let (owner, player, name) = (owner.clone(), id(number), format!("player {number}"));
            joining.spawn(async move {
                let join = move |ticket| Input::Join { ticket, player, name, abuse: None };
                (player, owner.ask(join).await)
            });
        }
        while let Some(joined) = joining.join_next().await {
            match joined.map_err(|error| error.to_string())? {
                (player, Some(Reply::Joined { row, .. })) => seats.push((player, row)),
                (_, other) => return Err(format!("a join was answered with {other:?}")),
            }
        }
    }
    Ok(seats)
}

/// A batch, and what became of it.
struct Asked {
    bulk: Bulk,
    verdicts: Arc<[BulkVerdict]>,
    firm: bool,
}

async fn ask(owner: &Owner, bulk: Bulk) -> Result<Asked, String> {
    let asked = bulk.clone();
    match owner.ask(move |ticket| Input::AnswerAll { ticket, bulk: asked }).await {
        Some(Reply::AnsweredAll { verdicts, firm }) => Ok(Asked { bulk, verdicts, firm }),
        other => Err(format!("a batch was answered with {other:?}")),
    }
}

impl Asked {
    /// How many bytes the answers take in an entry.
    fn encoded(&self) -> Result<u64, String> {
        let row = |(answer, verdict): (&BulkAnswer, &BulkVerdict)| match verdict {
            BulkVerdict::Accepted(cell) => Ok(cells_row(answer.row, *cell)),
            other => Err(format!("an answer is {other:?}")),
        };
        let rows = self.bulk.answers.iter().zip(&*self.verdicts).map(row);
        let rows: Vec<(u32, u32, u32)> = rows.collect::<Result<_, _>>()?;
        let Bulk { instance, question, ref answers } = self.bulk;
        let rows_of = answers[0].row.origin;
        let entry = encode(&[Delta::Answers(Answers { instance, question, rows_of, rows })]);
        Ok(entry.len() as u64)
    }
}

fn cells_row(row: Row, cell: Cell) -> (u32, u32, u32) {
    (row.number, cell.elapsed_ms(), cell.value())
}

/// What a burst cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Burst {
    pub(super) answers: usize,
    pub(super) took: Duration,
    sent: u64,
    received: u64,
    /// Bytes of the batches, each counted once.
    encoded: u64,
    nodes: usize,
}

impl Burst {
    pub(super) fn per_second(&self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64()
    }

    /// UDP payload sent for an answer and a peer that lacked it.
    pub(super) fn wire_bytes_per_answer(&self) -> f64 {
        self.sent as f64 / (self.answers * (self.nodes - 1)) as f64
    }

    /// UDP payload that a receiver took, over the bytes of the batches that it lacked.
    pub(super) fn copies(&self) -> f64 {
        self.received as f64 / (self.encoded * (self.nodes as u64 - 1)) as f64
    }
}

/// Who watches while answers come in at a pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// Nobody.
    Nobody,
    /// A follower at each node.
    Others,
}

/// What answers at a pace met with.
pub(super) struct Paced {
    pub(super) visible: Timings,
    pub(super) receipt: Timings,
    /// Of one core, the whole process.
    pub(super) share: f64,
}

/// When each player's answer was handed over, in nanoseconds since this was made.
struct Sent {
    zero: Instant,
    at: Vec<AtomicU64>,
}

impl Sent {
    fn new(players: usize) -> Self {
        Sent { zero: Instant::now(), at: (0..players).map(|_| AtomicU64::new(0)).collect() }
    }

    fn note(&self, bulk: &Bulk) {
        let now = self.zero.elapsed().as_nanos() as u64;
        for answer in &bulk.answers {
            self.at[number(answer.player)].store(now, Relaxed);
        }
    }

    fn of(&self, player: PlayerId) -> Instant {
        self.zero + Duration::from_nanos(self.at[number(player)].load(Relaxed))
    }
}

async fn follow_until_quiet(
    mut follow: tokio::sync::broadcast::Receiver<Arc<AppliedView>>,
    sent: Arc<Sent>,
) -> Result<Timings, String> {
    let mut seen = Timings::new();
    loop {
        match timeout(QUIET, follow.recv()).await {
            Ok(Ok(view)) => {
                let now = Instant::now();
                view.rows.iter().for_each(|(_, player)| seen.record(sent.of(*player), now));
            }
            Ok(Err(RecvError::Lagged(missed))) => {
                return Err(format!("a follower missed {missed} batches"));
            }
            Ok(Err(RecvError::Closed)) | Err(_) => return Ok(seen),
        }
    }
}

/// Nothing for so long means that all has come.
const QUIET: Duration = Duration::from_secs(2);
