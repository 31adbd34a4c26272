//! Looking closely at one run: a moment of it, its picture, its other futures.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};
use std::time::Duration;

use crdt_state::planted::{Bug, plant};
use serde_json::Value;
use sim::fork::{Fork, Forks};
use sim::kept::Kept;
use sim::recording::Recorder;
use sim::run::Options;
use sim::schedule::{Blow, DiskFate, Fault, Kinds, Planned, Schedule, Victim, Wanted};
use sim::trace::{Lines, first_difference};
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
    let forks = |tried, jobs| Forks {
        schedule: &schedule,
        fidelity: Fidelity::Message,
        tried,
        jobs,
        real_limit: Options::default().real_limit,
    };
    let share = |at: Duration| forks(12, 1).at(at).probability();
    let before = share(Duration::from_secs(1));
    let after = share(crash + Duration::from_millis(2_100));
    plant(None);
    assert!(after > 0.9, "{after} of all futures fail after the crash");
    assert!(before < after, "{before} before it");
    assert_eq!(forks(4, 2).at(crash).failed, 0, "without the bug none does");
}

/// The schedule of a run in which a node is killed while a question is open.
fn with_crash(players: u32) -> Schedule {
    let wanted = Wanted { nodes: Some(3), players: Some(players), ..Wanted::default() };
    let mut schedule = Schedule::draw_of(6, wanted, Kinds::NONE);
    let (victims, how, disk) = (vec![Victim::Node(2)], Blow::Killed, DiskFate::Same);
    let fault = Fault::Crash { victims, how, disk };
    schedule.faults.push(Planned { instance: 2, after_ms: 500, lasts_ms: 2_000, fault });
    schedule
}

/// The lines of a trace up to a moment, and their number.
fn past(trace: &str, at: Duration) -> (usize, Vec<&str>) {
    let is_past = |line: &&str| {
        let ns = line.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok());
        ns.unwrap() <= at.as_nanos() as u64
    };
    let past: Vec<&str> = trace.lines().take_while(is_past).collect();
    (past.len(), past)
}

/// Whole nodes have the same past to the byte in every future, and the same future again where it is asked for again.
#[test]
fn futures_of_whole_nodes_share_their_past_and_repeat_themselves() {
    let (schedule, at) = (with_crash(5), Duration::from_secs(6));
    let run = |future: Option<u64>| {
        let lines = Lines::default();
        let fork = future.map(|future| Fork { at, future });
        let options = Options { fork, sink: Some(lines.sink()), ..Options::default() };
        let verdict = judge_in(Fidelity::Wire, schedule.clone(), options).unwrap();
        assert!(verdict.is_good(), "{verdict}");
        (verdict.outcome.trace_hash, lines.text(), verdict.outcome.value.plan)
    };
    let (was, first, again, second) = (run(None), run(Some(1)), run(Some(1)), run(Some(2)));
    assert_eq!(first.0, again.0, "a future has a name");
    assert!(first.0 != second.0 && first.0 != was.0, "futures differ");
    let (count, lines) = past(&was.1, at);
    assert!(count > 1_000, "{count} lines of a past");
    for (future, plan) in [(&first.1, &first.2), (&second.1, &second.2)] {
        let parts = first_difference(&was.1, future).unwrap();
        assert!(past(future, at).1 == lines, "the past is one: {parts}");
        assert!(!plan.faults.contains(&schedule.faults[0]), "what had not begun does not happen");
    }
}

#[test]
fn futures_are_told_in_both_fidelities() {
    let args =
        ["--at", "9s", "--futures", "2", "--jobs", "2", "--players", "5", "--real-limit", "200"];
    let told = |more: &[&str]| {
        let output = sim("fork", &[more, &args].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let message = told(&MESSAGE);
    assert!(message.contains("2 futures fail in message fidelity"), "{message}");
    assert!(message.contains("9.00 s  ....") && message.contains("0/2"), "{message}");
    let wire = told(&["--seed", "7", "--nodes", "3"]);
    assert!(wire.contains("2 futures fail in wire fidelity"), "{wire}");
    assert!(wire.contains("9.00 s  ....") && wire.contains("0/2"), "{wire}");
}

/// On the wire, too: who takes in what comes behind a gap is lost once a node is down, and before only where another
/// future takes one down. In which fidelity futures are run the file says.
#[test]
fn futures_of_whole_nodes_fail_once_the_damage_is_done() {
    let schedule = with_crash(20);
    let run = judge_in(Fidelity::Wire, schedule.clone(), Options::default()).unwrap();
    let crash = run.outcome.value.outages[0].from.as_millis();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("crash.json");
    let kept = Kept { fidelity: Some(Fidelity::Wire), rule: None, what: None, schedule };
    std::fs::write(&file, kept.to_json()).unwrap();
    let failed = |at: &str| {
        let file = file.to_str().unwrap();
        let plant = ["--plant", "GapApplied", "--futures", "4", "--jobs", "2", "--at", at];
        let output = sim("fork", &[&[file], &plant[..]].concat());
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains("in wire fidelity"), "{told}");
        let count = told.split("/4").next().unwrap().split_whitespace().last().unwrap();
        count.parse::<u32>().unwrap()
    };
    let (before, after) = (failed("1s"), failed(&format!("{}ms", crash + 500)));
    assert_eq!(after, 4, "of all futures after the crash");
    assert!(before < after, "{before} before it");
}
