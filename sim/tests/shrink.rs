//! Shrinking, on a bug that was planted: from what the ordinary draw found to next to nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::catch_unwind;
use std::process::Command;

use crdt_state::planted::{Bug, plant};
use sim::failure::Failure;
use sim::kept::Kept;
use sim::run::Options;
use sim::schedule::{Schedule, Wanted, Weather};
use sim::shrink::{Shrink, Shrunk};
use sim::sweep::{Draws, hunt};
use sim::verdict::{Fidelity, judge_in};

const DRAW: Draws = Draws::Swarm(Wanted { nodes: None, players: None, ack: None });

fn found_and_shrunk(bug: Bug) -> (Schedule, Shrunk) {
    plant(Some(bug));
    let schedule = DRAW.schedule(hunt(1..=100, DRAW).unwrap().seed);
    let mut steps = 0;
    let shrunk = Shrink::default().shrink(schedule.clone(), |_| steps += 1).unwrap();
    plant(None);
    assert!(steps > 0 && shrunk.runs <= Shrink::default().runs_max);
    (schedule, shrunk)
}

#[test]
fn a_bug_of_repair_shrinks_to_what_it_needs() {
    let (before, shrunk) = found_and_shrunk(Bug::RepairForgotten);
    let Shrunk { schedule, failure, runs, .. } = &shrunk;
    println!("{before}\n{shrunk}");
    assert_eq!(failure.rule, "progress", "the nodes never agree: {failure}");
    assert!(*runs < 100, "{runs} runs");
    assert!(schedule.faults.len() <= 1 && schedule.weather == Weather::CALM, "{schedule}");
    assert!(schedule.nodes <= 2 && schedule.players <= 3, "{schedule}");
    assert_eq!(schedule.questions.len(), 1, "{schedule}");
}

#[test]
fn a_bug_of_ranking_needs_no_fault_at_all() {
    let (_, shrunk) = found_and_shrunk(Bug::TiesNotShared);
    let Shrunk { schedule, .. } = &shrunk;
    assert!(schedule.faults.is_empty() && schedule.nodes == 1, "{schedule}");
    assert!(schedule.players <= 20, "{schedule}");
    let test = shrunk.to_test();
    assert!(
        test.starts_with("/// ranks: ") && test.contains("#[test]\nfn ranks_of_seed_"),
        "{test}"
    );
    let pasted = test.split("r##\"").nth(1).unwrap().split("\"##").next().unwrap();
    assert_eq!(Schedule::from_json(pasted).as_ref(), Ok(schedule), "what is pasted is what failed");
}

mod pasted {
    include!("shrink/pasted.rs.in");

    pub(super) const TEST: fn() = ranks_of_seed_1;
}

/// The test above is what `shrink` has printed of [`Bug::TiesNotShared`], to the letter: it compiles, it passes since
/// the bug is gone, and it fails where it is back.
#[test]
fn what_is_printed_can_be_pasted_and_fails_while_the_bug_is_there() {
    const PASTED: &str = include_str!("shrink/pasted.rs.in");
    let schedule = PASTED.split("r##\"").nth(1).unwrap().split("\"##").next().unwrap();
    let schedule = Schedule::from_json(schedule).unwrap();
    plant(Some(Bug::TiesNotShared));
    let failed = catch_unwind(pasted::TEST);
    let judged = judge_in(Fidelity::Message, schedule.clone(), Options::default());
    plant(None);
    let said = *failed.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("VIOLATED ranks: "), "{said}");
    let failure = Failure::of(&judged).unwrap();
    let shrunk = Shrunk { schedule, failure, runs: 1, fidelity: Fidelity::Message };
    assert_eq!(shrunk.to_test(), PASTED);
}

#[test]
fn what_does_not_fail_is_not_shrunk() {
    assert!(Shrink::default().shrink(DRAW.schedule(3), |_| ()).is_none());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("good.json");
    let schedule = DRAW.schedule(3);
    let kept = Kept { fidelity: Some(Fidelity::Message), rule: None, what: None, schedule };
    std::fs::write(&file, kept.to_json()).unwrap();
    let run = |command: &str| {
        let mut sim = Command::new(env!("CARGO_BIN_EXE_starling-sim"));
        sim.args([command, file.to_str().unwrap()]).output().unwrap()
    };
    assert_eq!(run("shrink").status.code(), Some(2));
    let replayed = run("replay");
    assert!(replayed.status.success(), "{replayed:?}");
    let told = String::from_utf8(replayed.stdout).unwrap();
    assert!(told.contains("verdict: good"), "{told}");
}
