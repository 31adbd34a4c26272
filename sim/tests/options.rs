//! Options that would do nothing are refused with a way out, and what was asked for and does not happen is said.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use sim::schedule::Schedule;

fn sim(arguments: &str) -> Output {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_starling-sim"));
    sim.args(arguments.split(' ')).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn good(arguments: &str) -> Output {
    let output = sim(arguments);
    assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
    output
}

/// What it says against a command line that it does not take.
fn refused(arguments: &str) -> String {
    let output = sim(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments}: {said}");
    assert!(output.stdout.is_empty(), "{arguments}: nothing was run");
    said
}

/// A schedule in a file of a folder that is there for as long as it is held.
fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.json");
    let mut schedule = Schedule::classic(3);
    schedule.players = 5;
    std::fs::write(&file, schedule.to_json()).unwrap();
    (folder, file)
}

const OF_A_DRAW: [&str; 5] =
    ["--nodes 5", "--players 9", "--faults none", "--ack local", "--scenario swarm"];

#[test]
fn what_a_seed_draws_is_not_asked_for_beside_a_file() {
    let (_folder, file) = file();
    let file = file.display();
    let commands = [
        format!("run --schedule {file}"),
        format!("run --print --schedule {file}"),
        format!("shrink {file}"),
        format!("report {file}"),
        format!("at {file} --t 5s --node 1"),
        format!("fork {file} --at 5s"),
    ];
    for (command, option) in commands.iter().flat_map(|it| OF_A_DRAW.map(|option| (it, option))) {
        let said = refused(&format!("{command} {option}"));
        let name = option.split(' ').next().unwrap();
        assert!(said.contains("mine.json: a file is a whole schedule"), "{said}");
        assert!(said.contains(&format!("which {name} would not change")), "{said}");
        assert!(said.contains("giving --seed in place of the file"), "{said}");
    }
    let said = refused(&format!("run --schedule {file} --scenario mesh --nodes 4"));
    assert!(said.contains("which --scenario, --nodes would"), "{said}");
}

#[test]
fn what_says_how_a_file_is_run_is_asked_for_beside_it() {
    let (_folder, file) = file();
    let file = file.display();
    let run = format!("run --schedule {file} --fidelity message --real-limit 200");
    let told = text(&good(&run).stdout);
    assert!(told.contains("5 players, 3 nodes"), "{told}");
    let at = format!("at {file} --t 5s --node 1 --fidelity message --player 2 --json -");
    let json: Value = serde_json::from_slice(&good(&at).stdout).unwrap();
    let players = json["players"].as_array().unwrap();
    assert!(players.len() == 1 && players[0]["joined_s"].is_number(), "{json:#}");
}

#[test]
fn the_mesh_takes_nothing_of_a_show() {
    for option in ["--nodes 4", "--faults none", "--fidelity message", "--until 4s", "--json -"] {
        let said = refused(&format!("run --scenario mesh {option}"));
        let name = option.split(' ').next().unwrap();
        assert!(said.contains(&format!("is no show: leave out {name}")), "{said}");
    }
    assert!(refused("run --scenario mesh --print").contains("has no schedule"));
}

#[test]
fn who_prints_a_schedule_runs_nothing() {
    for option in ["--check", "--until 4s", "--json -", "--log info", "--real-limit 9", "--trace t"]
    {
        let said = refused(&format!("run --print {option}"));
        assert!(said.contains("'--print' cannot be used with"), "{option}: {said}");
    }
}

#[test]
fn a_kind_that_so_few_nodes_do_not_have_is_refused() {
    for command in ["run --seed 1", "run --print", "sweep --seeds 2", "maelstrom"] {
        let said = refused(&format!("{command} --faults crash,leave --nodes 3"));
        let way_out = "--nodes 3 is too few for --faults leave: leave that out, or give --nodes 4";
        assert!(said.contains(way_out), "{said}");
    }
    assert!(refused("run --nodes 1 --faults loss").contains("give --nodes 2"));
    assert!(refused("maelstrom --faults crash,lying").contains("no part for --faults lying:"));
}

#[test]
fn what_was_named_and_does_not_happen_is_said() {
    let unmet = "no leave: it takes 4 nodes or more";
    let print = |more: &str| good(&format!("run --print --faults crash,leave {more}"));
    let seed = (1..).find(|seed| {
        let printed = print(&format!("--seed {seed}"));
        Schedule::from_json(&text(&printed.stdout)).unwrap().nodes == 3
    });
    let seed = format!("--seed {}", seed.unwrap());
    assert!(text(&print(&seed).stderr).contains(unmet), "a printed schedule says it");
    assert!(text(&print("--nodes 4").stderr).is_empty(), "all that was named is there");
    let clock = "no clock: message fidelity has no part for it";
    let printed = good("run --print --faults clock --fidelity message");
    assert!(text(&printed.stderr).contains(clock));
    let run = "run --faults crash,leave --fidelity message --players 5";
    assert!(text(&good(&format!("{run} {seed}")).stderr).contains(unmet), "so does a run");
    let sweep = "sweep --faults clock,leave --fidelity message --seeds 12 --players 5 --json -";
    let swept = good(sweep);
    let told = text(&swept.stderr);
    assert!(told.contains(&format!("in 12 of 12 seeds there is {clock}")), "{told}");
    assert!(told.contains(&format!(" of 12 seeds there is {unmet}")), "{told}");
    let json: Value = serde_json::from_slice(&swept.stdout).unwrap();
    let of = |kind: &str| json["unmet"].as_array().unwrap().iter().find(|it| it["kind"] == kind);
    assert_eq!(of("clock").unwrap()["seeds"], 12);
    assert_eq!(of("leave").unwrap()["said"], unmet);
}
