//! Nodes killed without warning while questions are open, thirty times in one show.
//!
//! The judges are the clients: what a firm receipt promised must be in the exports, once. No node's
//! own counters are asked.

use crdt_state::PlayerId;
use node::service::view::{Command, PhaseView, StageView};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use std::collections::BTreeMap;
use std::time::Duration;
use tests::cluster::{Cluster, ClusterOptions};
use tests::crowd::Crowd;
use tests::export::{Export, agreed};
use tests::lab::{eventually_ok, heavy, random, say};
use tests::player::{Player, Record};
use tests::shows::sums;
use tokio::time::{Instant, sleep_until};

const NODES: usize = 3;
const PLAYERS: usize = 18;
/// A third of them hit the node that the host works on.
const KILLS: u32 = 30;
const OPEN_MS: u32 = 3_500;
/// Players answer and nodes die before this, so that a player whose node died while it answered
/// still has the time to answer elsewhere.
const ANSWERS_MS: u64 = 2_400;
/// A question may close this much later than its time: a survivor notices by its own clock, and
/// two cores run three nodes, eighteen players and a starting process.
const LATE_MAX: Duration = Duration::from_millis(1_500);
/// The opening reaches players at different moments.
const EARLY_MAX: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_firm_receipt_is_lost_by_thirty_kills_during_open_questions() {
    let _turn = heavy();
    let mut random = random();
    let options = ClusterOptions { nodes: NODES, show: Some(sums(KILLS, OPEN_MS)) };
    let mut cluster = Cluster::start_with(&options);
    cluster.wait_linked(WAIT_MAX);
    cluster.open_lobby(0);
    let crowd = Crowd::join(&cluster, PLAYERS, &mut random).await;
    let mut host_kills = 0;
    for instance in 1..=KILLS {
        let plan = Plan::draw(instance, &mut random);
        host_kills += u32::from(plan.victim == plan.host);
        round(&mut cluster, &crowd, &plan).await;
    }
    assert!(host_kills >= 10, "{host_kills} kills of the host's node");
    let host = cluster.size() - 1;
    cluster.step(host, Command::Next);
    crowd.wait_stage(KILLS, PhaseView::Ended, WAIT_MAX).await;
    judge(&cluster, &crowd);
    say(&format!("{KILLS} kills, {host_kills} of them of the host's node"));
    cluster.stop();
}

/// What happens in one question.
#[derive(Debug)]
struct Plan {
    instance: u32,
    /// The node that the host opens the question at.
    host: usize,
    victim: usize,
    /// The node that the host goes on with; never the victim.
    next_host: usize,
    /// Who does what when, in milliseconds after the opening; `None` is the kill.
    acts: BTreeMap<(u64, u32), Option<usize>>,
}

impl Plan {
    fn draw(instance: u32, random: &mut ChaCha8Rng) -> Self {
        let mut below = |bound: u64| random.next_u64() % bound;
        let host = below(NODES as u64) as usize;
        let other = (host + 1 + below(NODES as u64 - 1) as usize) % NODES;
        let victim = if instance.is_multiple_of(3) { host } else { other };
        let next_host = (victim + 1 + below(NODES as u64 - 1) as usize) % NODES;
        let answers = (0..PLAYERS).map(|player| ((below(ANSWERS_MS), player as u32), Some(player)));
        let mut acts: BTreeMap<_, _> = answers.collect();
        acts.insert((100 + below(ANSWERS_MS - 100), u32::MAX), None);
        Plan { instance, host, victim, next_host, acts }
    }
}

/// One question: opened, answered, hit by a kill, closed by its time, revealed.
async fn round(cluster: &mut Cluster, crowd: &Crowd, plan: &Plan) {
    let instance = plan.instance;
    everybody_home(crowd).await;
    let before: Vec<Record> = crowd.players.iter().map(Player::record).collect();
    cluster.step(plan.host, Command::Next);
    cluster.step(plan.host, Command::Open);
    crowd.wait_stage(instance, PhaseView::Open, WAIT_MAX).await;
    let at_kill = act(cluster, crowd, plan).await;
    cluster.restart(plan.victim);
    crowd.wait_stage(instance, PhaseView::Closed, WAIT_MAX).await;
    check_closed_on_time(crowd, instance);
    for ((player, before), at_kill) in crowd.players.iter().zip(&before).zip(&at_kill) {
        if at_kill.node == Some(plan.victim) {
            check_came_back(player, before, at_kill, plan).await;
        }
    }
    cluster.step(plan.next_host, Command::Tallies);
    cluster.step(plan.next_host, Command::Reveal);
    crowd.wait_results(instance).await;
    cluster.step(plan.next_host, Command::Leaderboard);
    // One failure at a time: the next kill waits until the last victim has everything again.
    cluster.wait_linked(WAIT_MAX);
    cluster.wait_phase(plan.victim, instance, PhaseView::Board, WAIT_MAX);
}

/// Sends everybody back to the node they started at, so that every kill hits some and spares some.
async fn everybody_home(crowd: &Crowd) {
    for player in &crowd.players {
        let (home, before) = (player.options.node, player.record());
        if before.node == Some(home) {
            continue;
        }
        player.move_to(home);
        let moved = |record: &Record| {
            let joined = record.joined.last().is_some_and(|joined| joined.node == home);
            joined && record.connections > before.connections
        };
        player.wait("the move home", WAIT_MAX, moved).await;
    }
}

/// Lets everything happen in its time, and returns what the players knew at the kill.
async fn act(cluster: &Cluster, crowd: &Crowd, plan: &Plan) -> Vec<Record> {
    let opened = Instant::now();
    let mut at_kill = Vec::new();
    for (&(at_ms, _), act) in &plan.acts {
        sleep_until(opened + Duration::from_millis(at_ms)).await;
        match act {
            Some(index) => {
                let player = &crowd.players[*index];
                player.answer(plan.instance, &[choice(player.options.id, plan.instance)]);
            }
            None => {
                at_kill = crowd.players.iter().map(Player::record).collect();
                cluster.kill(plan.victim);
            }
        }
    }
    at_kill
}

/// Any choice, as long as it never changes.
fn choice(player: PlayerId, instance: u32) -> u8 {
    ((player.0 >> 8) as u32).wrapping_add(instance) as u8 % 4
}

/// Judged by the players whose connection saw both the opening and the close.
fn check_closed_on_time(crowd: &Crowd, instance: u32) {
    let mut witnesses = 0;
    for player in &crowd.players {
        let record = player.record();
        let seen = |phase| record.seen(StageView { instance, phase }).expect("was waited for");
        let (open, closed) = (seen(PhaseView::Open), seen(PhaseView::Closed));
        if open.connection != closed.connection {
            continue;
        }
        let took = closed.at - open.at;
        let length = Duration::from_millis(OPEN_MS.into());
        let name = &player.options.name;
        assert!(took + EARLY_MAX >= length, "{name} saw {instance} close after only {took:?}");
        assert!(took <= length + LATE_MAX, "{name} saw {instance} close only after {took:?}");
        witnesses += 1;
    }
    assert!(witnesses > 0, "nobody kept a connection over instance {instance}");
}

/// A player of the victim finds itself on another node: name, score, and the answer it had given.
async fn check_came_back(player: &Player, before: &Record, at_kill: &Record, plan: &Plan) {
    let lost = at_kill.joined.last().map_or(0, |joined| joined.connection);
    let back = player
        .wait("coming back on another node", WAIT_MAX, |record| {
            record.joined.iter().any(|joined| joined.connection > lost)
        })
        .await;
    let joined = back.joined.iter().find(|joined| joined.connection > lost).expect("waited for");
    assert_ne!(joined.node, plan.victim, "{} came back on the dead node", player.options.name);
    assert_eq!(joined.name, player.options.name);
    assert_eq!(joined.points, before.total(), "{}'s score changed", player.options.name);
    let Some(given) = at_kill.firm(plan.instance).cloned() else { return };
    player
        .wait("the given answer on another node", WAIT_MAX, |record| {
            record.receipts.iter().any(|receipt| {
                let again = receipt.connection > lost && receipt.instance == plan.instance;
                again && receipt.choices == given.choices
            })
        })
        .await;
}

fn judge(cluster: &Cluster, crowd: &Crowd) {
    let text = eventually_ok("equal exports of two nodes", WAIT_MAX, || {
        agreed(cluster.export(0), &cluster.export(1))
    });
    let export = Export::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let faults = crowd.faults(&export);
    assert!(faults.is_empty(), "{} faults: {faults:#?}", faults.len());
    let receipts = crowd.players.iter().map(|player| {
        let record = player.record();
        (1..=KILLS).filter(|instance| record.firm(*instance).is_some()).count()
    });
    let (receipts, answers) = (receipts.sum::<usize>(), PLAYERS * KILLS as usize);
    say(&format!("{receipts} firm receipts for {answers} answers, all of them scored once"));
    // Were most answers never firmly taken, the promise above would be kept by doing nothing.
    assert!(receipts * 10 >= answers * 9, "only {receipts} of {answers} answers got a receipt");
}
