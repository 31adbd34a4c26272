//! The simulator as others use it in their tests.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output};

use crdt_state::planted::{Bug, plant};
use sim::schedule::{Kind, Kinds};
use sim::simulation::Simulation;
use sim::verdict::Fidelity;

#[test]
fn five_nodes_live_through_crashes_and_lost_packets() {
    let runs = Simulation::builder()
        .nodes(5)
        .players(200)
        .faults([Kind::Crash, Kind::Loss])
        .seeds(1..=2)
        .run();
    for run in &runs {
        let evidence = &run.outcome.value;
        assert!(evidence.asked > 200, "{run}");
        assert!(!evidence.outages.is_empty(), "each seed has its crash: {run}");
        assert_eq!(evidence.ends.len(), 5, "{run}");
    }
}

/// Where players flock to two nodes at a time, the others drop the show, and come back to it.
#[test]
fn nodes_let_go_of_what_nobody_wants_there_in_both_fidelities() {
    for fidelity in [Fidelity::Message, Fidelity::Wire] {
        let runs = Simulation::builder()
            .nodes(6)
            .players(10)
            .faults([Kind::LetGo])
            .fidelity(fidelity)
            .seeds(1..=3)
            .run();
        for run in &runs {
            let evidence = &run.outcome.value;
            assert!(!evidence.let_go.is_empty(), "{run}");
            assert!(evidence.partings.len() >= evidence.let_go.len(), "{run}");
        }
    }
}

#[test]
fn a_failing_run_tells_how_to_replay_it() {
    let ranking = Simulation::builder().nodes(3).players(60).faults(Kinds::NONE).seeds(5..=40);
    plant(Some(Bug::TiesNotShared));
    let failed = catch_unwind(AssertUnwindSafe(|| ranking.run()));
    plant(None);
    let panic = failed.expect_err("equals are found among sixty players");
    let said = panic.downcast_ref::<String>().expect("it says something");
    assert!(said.contains("VIOLATED ranks"), "{said}");
    assert!(said.contains("replay with: SIM_SEED="), "{said}");
    assert!(said.ends_with("cargo test a_failing_run_tells_how_to_replay_it"), "{said}");
}

/// Such a test would pass whatever becomes of what it is about.
#[test]
fn a_kind_that_cannot_happen_fails_the_test_that_names_it() {
    let said = |simulation: Simulation| {
        let failed = catch_unwind(AssertUnwindSafe(|| simulation.seeds(1..=1).run()));
        failed.expect_err("it is refused").downcast_ref::<String>().cloned().unwrap_or_default()
    };
    let few = Simulation::builder().nodes(3).faults([Kind::Crash, Kind::Leave]);
    assert_eq!(said(few), "3 nodes are too few for leave: it takes 4");
    let cores = Simulation::builder().faults([Kind::Crash, Kind::Clock]);
    assert_eq!(said(cores), "message fidelity has no part for clock");
    let wire = Simulation::builder().faults([Kind::Memory]).fidelity(Fidelity::Wire);
    assert_eq!(said(wire), "wire fidelity has no part for memory");
}

#[test]
fn calm_seeds_pass() {
    let runs = Simulation::builder().nodes(3).players(10).faults(Kinds::NONE).seeds(1..=2).run();
    let seeds: Vec<u64> = runs.iter().map(|run| run.outcome.value.plan.seed).collect();
    println!("ran seeds {seeds:?}");
    assert!(!seeds.is_empty());
}

#[test]
fn the_seed_in_the_environment_runs_alone() {
    let this = env::current_exe().expect("a test has a file");
    let run = |seed: &str| -> Output {
        let mut test = Command::new(&this);
        test.args(["calm_seeds_pass", "--exact", "--nocapture"]).env("SIM_SEED", seed);
        test.output().expect("it runs again")
    };
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let alone = run("17");
    assert!(alone.status.success() && text(&alone).contains("ran seeds [17]"), "{alone:?}");
    let none = run("seventeen");
    assert!(!none.status.success(), "{none:?}");
    assert!(format!("{none:?}").contains("is no seed"), "{none:?}");
}
