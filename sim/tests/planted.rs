//! A simulator that finds nothing proves nothing: every bug that is planted must be found, by the
//! ordinary draw, within a stated number of seeds, by the checker that is named; and without one the
//! same seeds pass.

use std::panic;

use crdt_state::planted::{Bug, plant};
use sim::schedule::Wanted;
use sim::sweep::{Draws, Found, hunt};

/// What `sweep --fidelity message --scenario swarm` draws.
const DRAW: Draws = Draws::Swarm(Wanted { nodes: None, players: None, ack: None });
/// Within so many seeds each bug shows.
const SEEDS_MAX: u64 = 100;

/// Every bug, and the checker that finds it.
const FOUND_BY: [(Bug, &str); 31] = [
    (Bug::AckPastGap, "holders"),
    (Bug::EarlyReceipt, "holders"),
    (Bug::ReceiptOfEntryBefore, "holders"),
    (Bug::SnapshotClaimsTooMuch, "digests"),
    (Bug::PeerNeverGone, "membership"),
    (Bug::RepairForgotten, "agreement"),
    (Bug::GapApplied, "digests"),
    (Bug::StageOverwritten, "laws"),
    (Bug::DeadlineByMinimum, "laws"),
    (Bug::SealWithoutAnswers, "seals"),
    (Bug::FinalByOne, "seals"),
    (Bug::SettledByMinority, "seals"),
    (Bug::LateAccepted, "closing"),
    (Bug::DuplicateAsSent, "receipts"),
    (Bug::TiesNotShared, "ranks"),
    (Bug::TieBreakForgotten, "ranks"),
    (Bug::PointsRoundedDown, "ranks"),
    (Bug::EarlyReveal, "secrecy"),
    (Bug::RunningCount, "secrecy"),
    (Bug::FenceIgnored, "seals"),
    (Bug::StakeBeyondPoints, "ranks"),
    (Bug::AcceptedForgotten, "rulings"),
    // A replica asserts that itself when it reads what it has kept.
    (Bug::ReusedDot, "panic"),
    (Bug::ScoreIncrements, "doubles"),
    (Bug::QuestionTooMany, "stages"),
    (Bug::TailsUnbounded, "bounds"),
    (Bug::GraceForgotten, "closing"),
    (Bug::PromiseForgotten, "receipts"),
    (Bug::UpgradeForgotten, "progress"),
    (Bug::RepeatsUnbounded, "bounds"),
    (Bug::QuestionsUnbounded, "bounds"),
];

fn hunt_for(bug: Option<Bug>) -> Option<Found> {
    plant(bug);
    let found = hunt(1..=SEEDS_MAX, DRAW);
    plant(None);
    found
}

#[test]
fn every_planted_bug_is_found_by_the_checker_that_is_named() {
    // A core that asserts its own invariant need not say so at length.
    panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for (bug, rule) in FOUND_BY {
        match hunt_for(Some(bug)) {
            Some(found) if found.rules.contains(rule) => {
                println!("{bug:?} is found by seed {}: {}", found.seed, found.what);
            }
            found => missed.push(format!("{bug:?} should be found by {rule}: {found:?}")),
        }
    }
    drop(panic::take_hook());
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn without_a_bug_the_same_seeds_pass() {
    assert_eq!(hunt_for(None), None);
}

#[test]
fn every_bug_is_listed_once() {
    let listed: Vec<Bug> = FOUND_BY.iter().map(|(bug, _)| *bug).collect();
    assert_eq!(listed, Bug::ALL);
}
