//! Whole nodes live through crash and partition without losing what was promised, by the seed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::process::Command;

use crdt_state::queues::Queue;
use sim::quiz::evidence::Evidence;
use sim::run::{Options, Outcome};
use sim::schedule::NODES;
use sim::verdict::judge;

fn good(seed: u64) -> Outcome<Evidence> {
    let verdict = judge(seed, Options::default()).unwrap();
    assert!(verdict.is_good(), "{verdict}");
    verdict.outcome
}

/// The first seeds, and those that found a bug once: an owner that went round in circles (20), a
/// promise that rested on one machine (24, 28).
#[test]
fn seeds_pass_and_differ() {
    let seeds = (1..=8).chain([20, 24, 28]);
    let hashes: Vec<u64> = seeds.map(|seed| good(seed).trace_hash).collect();
    assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), hashes.len(), "{hashes:?}");
}

#[test]
fn a_seed_leaves_the_same_trace_here_and_in_another_process() {
    let first = good(7).trace_hash;
    assert_eq!(good(7).trace_hash, first);
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling-sim"));
    let output = command.args(["run", "--seed", "7"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert_eq!(text.lines().next().unwrap(), format!("seed 7 hash {first:016x}"));
}

#[test]
fn a_run_is_as_eventful_as_it_says() {
    let outcome = good(3);
    let evidence = &outcome.value;
    let answers: usize = evidence.players.values().map(|player| player.answered.len()).sum();
    assert!(answers > 50 * evidence.plan.questions.len(), "{answers} answers");
    assert!(evidence.asked > 200, "other nodes were asked about {} receipts", evidence.asked);
    assert!(evidence.firm().count() as u64 >= evidence.asked, "a receipt was asked about twice");
    assert!(evidence.players.values().any(|player| player.connections > 1), "nobody moved");
    let [outage] = evidence.outages[..] else { panic!("{:?}", evidence.outages) };
    assert!(outage.to.is_some());
    let lives = evidence.sightings.iter().filter(|seen| seen.node == outage.node);
    assert_eq!(lives.map(|seen| seen.life).collect::<BTreeSet<_>>().len(), 2, "no second life");
    assert_eq!(evidence.ends.keys().copied().collect::<Vec<_>>(), NODES);
    assert!(outcome.net.datagrams_dropped > 20, "no faults happened: {:?}", outcome.net);
}

/// What whole nodes hold and their cores know nothing of; events that are left take a schedule in which that is done.
const OF_WHOLE_NODES: [Queue; 15] = [
    Queue::LaneFrames,
    Queue::LaneBytes,
    Queue::Addresses,
    Queue::Dials,
    Queue::Members,
    Queue::MemberKeys,
    Queue::Slips,
    Queue::Inboxes,
    Queue::Metered,
    Queue::Connections,
    Queue::InFlight,
    Queue::Subscriptions,
    Queue::Unread,
    Queue::Answers,
    Queue::Feeds,
];

/// A bound is only seen to be kept by a queue that something is put into.
#[test]
fn whole_nodes_fill_their_queues() {
    let fullest = good(2).fullest;
    let is_empty = |queue: &Queue| fullest[*queue as usize].is_none();
    let empty: Vec<_> = OF_WHOLE_NODES.into_iter().filter(is_empty).collect();
    assert_eq!(empty, []);
}

#[test]
fn a_sweep_names_what_passed() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling-sim"));
    let output = command.args(["sweep", "--seeds", "9..=10"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("2 of 2 seeds passed, 2 different traces"), "{text}");
    assert!(text.contains("merge laws: tried in 2 of 2 runs"), "{text}");
}
