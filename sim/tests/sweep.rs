//! The sweep as developers and CI use it: what is printed, what is written, how it exits.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use sim::schedule::Wanted;
use sim::sweep::{Draws, Sweep};
use sim::verdict::Fidelity;

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_starling-sim")).args(arguments).output().unwrap()
}

const MESSAGE: [&str; 5] = ["sweep", "--fidelity", "message", "--scenario", "swarm"];

fn sweep(arguments: &[&str]) -> Output {
    sim(&[&MESSAGE, arguments].concat())
}

#[test]
fn json_on_standard_output_is_nothing_else() {
    let output = sweep(&["--seeds", "1..=6", "--check", "0.5", "--jobs", "2", "--json", "-"]);
    assert!(output.status.success(), "{output:?}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["seeds"].as_u64(), json["passed"].as_u64()), (Some(6), Some(6)));
    assert_eq!(json["traces"], 6);
    assert!(json["checked"].as_u64().unwrap() >= 1, "{json}");
    assert_eq!(json["differing"], Value::Array(Vec::new()));
    assert!(json["virtual_s"].as_f64().unwrap() > 6.0 * 5.0, "{json}");
    assert!(json["marks"].as_array().unwrap().len() > 10);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("6 of 6 seeds passed"), "{told}");
}

#[test]
fn a_mark_that_is_never_reached_fails_a_sweep_that_asks_for_it() {
    let one_calm_seed = ["--seeds", "1", "--players", "1", "--nodes", "1"];
    let output = sweep(&one_calm_seed);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(told.contains("NEVER REACHED"), "{told}");
    let output = sweep(&[&one_calm_seed[..], &["--marks"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("marks that no seed reached"), "{told}");
}

#[test]
fn junit_has_a_test_case_for_each_seed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sweep.xml");
    let output = sweep(&["--seeds", "3..=5", "--junit", file.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let xml = std::fs::read_to_string(file).unwrap();
    assert!(xml.contains("tests=\"3\" failures=\"0\""), "{xml}");
    assert!(xml.contains("name=\"seed 4\""), "{xml}");
}

#[test]
fn wrong_usage_is_told_apart_from_a_failure() {
    for wrong in [
        &["sweep"][..],
        &["sweep", "--seeds", "5..=1"],
        &["sweep", "--seeds", "2", "--check", "7"],
        &["sweep", "--time", "soon"],
        &["sweep", "--seeds", "1", "--scenario", "mesh"],
        &["run", "--scenario", "quiz", "--nodes", "4"],
        &["run", "--schedule", "/there/is/no/such/file"],
    ] {
        let output = sim(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {output:?}");
    }
}

/// The first failure that it tells says that it is at work.
#[test]
fn a_sweep_that_is_asked_to_end_tells_what_it_came_to() {
    for (signal, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_starling-sim"));
        command.args(MESSAGE).args(["--time", "1h", "--players", "60", "--jobs", "2"]);
        command.args(["--plant", "TiesNotShared", "--json", "-"]);
        let mut sweep = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(sweep.stderr.take().unwrap());
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
        assert!(line.contains("failed: ") && line.contains("ranks: "), "{line}");
        // SAFETY: the child has not been waited for, so that its number is nobody else's.
        assert_eq!(unsafe { libc::kill(sweep.id() as i32, signal) }, 0);
        let mut rest = String::new();
        told.read_to_string(&mut rest).unwrap();
        let output = sweep.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{rest}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(json["failed"].as_u64().unwrap() > 0 && json["failures"][0]["rule"] == "ranks");
        assert!(rest.contains("seeds passed") && rest.contains("replay with: "), "{rest}");
        assert!(rest.contains(&format!("error: ended by signal {signal} after ")), "{rest}");
    }
}

#[test]
fn a_sweep_ends_when_its_time_is_up() {
    let sweep = Sweep {
        seeds: 1..=u64::MAX,
        draw: Draws::Swarm(Wanted { nodes: Some(3), players: Some(10), ack: None }),
        fidelity: Fidelity::Message,
        jobs: 1,
        real_limit: std::time::Duration::from_secs(60),
        time: Some(std::time::Duration::from_millis(1)),
        enough: Arc::default(),
        check: 0.0,
    };
    let swept = sweep.run(|_| ());
    assert_eq!(swept.ends.len(), 1, "the first is begun, and no other");
    assert!(swept.is_good(), "{swept}");
}
