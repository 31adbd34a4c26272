//! Maelstrom's workloads over the replica: valid under the ordinary faults, and not under a bug.

use crdt_state::planted::{Bug, plant};
use sim::maelstrom::{Workload, maelstrom};
use sim::schedule::{Kinds, Schedule, Wanted};

fn schedule(seed: u64) -> Schedule {
    Schedule::draw(seed, Wanted::default())
}

#[test]
fn every_workload_is_valid_whatever_goes_wrong() {
    let (mut ops, mut ok) = (0, 0);
    for seed in 1..=40 {
        for workload in Workload::ALL {
            let results = maelstrom(workload, &schedule(seed));
            assert!(results.valid, "seed {seed}: {results}\n{}", schedule(seed));
            ops += results.ops;
            ok += results.ok;
        }
    }
    assert!(ops > 10_000 && ok * 4 > ops * 3, "most hold: {ok} of {ops}");
}

#[test]
fn nothing_is_unknown_where_nothing_goes_wrong() {
    let wanted = Wanted { nodes: Some(5), players: Some(50), ack: None };
    let schedule = Schedule::draw_of(1, wanted, Kinds::NONE);
    for workload in Workload::ALL {
        let results = maelstrom(workload, &schedule);
        assert_eq!((results.ok, results.fail + results.info), (results.ops, 0), "{results}");
        if let Some((least, most)) = results.acceptable {
            assert_eq!(least, most);
            assert!(results.reads.values().all(|read| *read == least), "{results}");
        }
    }
    let results = maelstrom(Workload::Broadcast, &schedule);
    assert!(results.stable_latencies_ms[3] < 100, "{results}");
}

#[test]
fn a_run_repeats_itself() {
    let run = |seed| maelstrom(Workload::PnCounter, &schedule(seed));
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).hash, run(6).hash);
}

#[test]
fn a_planted_bug_makes_a_workload_invalid() {
    for bug in [Bug::EarlyReceipt, Bug::RepairForgotten] {
        plant(Some(bug));
        let valid = (1..=60).all(|seed| maelstrom(Workload::Broadcast, &schedule(seed)).valid);
        plant(None);
        assert!(!valid, "{bug:?} is found");
    }
}
