//! Looking closely at one run: a moment of it, its picture, its other futures.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};
use std::time::Duration;

use crdt_state::planted::{Bug, plant};
use serde_json::Value;
use sim::fork::futures;
use sim::recording::Recorder;
use sim::run::Options;
use sim::schedule::{Blow, DiskFate, Fault, Kinds, Planned, Schedule, Victim, Wanted};
use sim::verdict::{Fidelity, judge_in};

const MESSAGE: [&str; 6] = ["--seed", "7", "--nodes", "3", "--fidelity", "message"];

fn sim(command: &str, arguments: &[&str]) -> Output {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_starling-sim"));
    sim.arg(command).args(arguments).output().unwrap()
}

#[test]
fn a_moment_of_a_run_is_shown_and_two_nodes_are_compared() {
    let at = |more: &[&str]| sim("at", &[&MESSAGE, more].concat());
    let output = at(&["--t", "5s", "--node", "1", "--node", "2", "--json", "-"]);
    assert!(output.status.success(), "{output:?}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["at_s"], 5.0);
    let (one, two) = (&json["nodes"]["1"], &json["nodes"]["2"]);
    assert_ne!(one["origin"], two["origin"]);
    assert!(!one["heads"].as_object().unwrap().is_empty(), "{one}");
    let same = one["digest"] == two["digest"];
    assert_eq!(json["difference"].as_array().unwrap().is_empty(), same, "{json:#}");
    let output = at(&["--t", "5s", "--node", "1"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with("at 5.000 s\nnode 1\n  origin "), "{told}");
    assert_eq!(at(&["--t", "5s", "--node", "9"]).status.code(), Some(2));
}

#[test]
fn a_stopped_run_is_not_blamed_for_what_it_could_not_do() {
    let schedule = Schedule::draw_of(3, Wanted::default(), Kinds::ALL);
    for fidelity in [Fidelity::Message, Fidelity::Wire] {
        let until = Some(Duration::from_secs(8));
        let options = Options { until, ..Options::default() };
        let verdict = judge_in(fidelity, schedule.clone(), options).unwrap();
        let evidence = &verdict.outcome.value;
        assert_eq!(evidence.stopped, until, "{verdict}");
        assert!(verdict.is_good(), "{verdict}");
        assert!(evidence.ends.is_empty() && !evidence.states.is_empty());
        let states = evidence.states.values();
        assert!(states.clone().all(|state| state.players > 0), "{verdict}");
    }
}

#[test]
fn recording_changes_nothing_and_sees_messages_arrive_and_get_lost() {
    for fidelity in [Fidelity::Message, Fidelity::Wire] {
        let run = |recorder: Option<Recorder>| {
            let options = Options { recorder, ..Options::default() };
            judge_in(fidelity, Schedule::classic(3), options).unwrap().outcome
        };
        let recorder = Recorder::default();
        let recorded = run(Some(recorder.clone()));
        assert_eq!(run(None).trace_hash, recorded.trace_hash, "{fidelity:?}");
        let recording = recorder.take();
        let arrived = recording.flights.iter().filter(|flight| flight.arrived).count();
        assert!(arrived > 200 && arrived < recording.flights.len(), "{arrived} arrived");
        assert!(recording.flights.iter().all(|flight| flight.sent_ns <= flight.ended_ns));
        let alone = recording.samples.iter().filter(|sample| sample.peers.is_empty()).count();
        assert!(recording.samples.len() > 50 && alone < recording.samples.len());
        assert!(recording.origins.len() > 3, "a node had a second life");
    }
}

/// What a crashed node held is still counted on, so that receipts become firm which nobody else holds: a run is
/// lost from the crash on, though only the end shows it.
#[test]
fn futures_fail_once_the_damage_is_done() {
    let mut schedule = Schedule::draw_of(
        6,
        Wanted { nodes: Some(3), players: Some(20), ..Wanted::default() },
        Kinds::NONE,
    );
    schedule.faults.push(Planned {
        instance: 2,
        after_ms: 500,
        lasts_ms: 2_000,
        fault: Fault::Crash {
            victims: vec![Victim::Node(2)],
            how: Blow::Killed,
            disk: DiskFate::Same,
        },
    });
    let run = judge_in(Fidelity::Message, schedule.clone(), Options::default()).unwrap();
    let crash = run.outcome.value.outages[0].from;
    plant(Some(Bug::PeerNeverGone));
    let share = |at: Duration| futures(&schedule, at, 12, 1).probability();
    let before = share(Duration::from_secs(1));
    let after = share(crash + Duration::from_millis(2_100));
    plant(None);
    assert!(after > 0.9, "{after} of all futures fail after the crash");
    assert!(before < after, "{before} before it");
    assert_eq!(futures(&schedule, crash, 4, 2).failed, 0, "without the bug none does");
}

#[test]
fn futures_are_of_message_fidelity() {
    let output = sim("fork", &["--seed", "1", "--at", "1s", "--fidelity", "wire"]);
    assert_eq!(output.status.code(), Some(2));
    let output =
        sim("fork", &[&MESSAGE, &["--at", "4s", "--futures", "2", "--jobs", "2"][..]].concat());
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("4.00 s  ....") && told.contains("0/2"), "{told}");
}
