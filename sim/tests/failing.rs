//! A failing sweep from end to end, on a bug that was planted: grouped, written down, kept, run
//! again, shrunk, drawn.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sim::kept::Kept;

fn sim(folder: &Path, arguments: &str) -> Output {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_starling-sim"));
    sim.current_dir(folder).args(arguments.split(' ')).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_failure_goes_from_a_sweep_to_a_small_schedule() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let swept = sim(
        folder,
        "sweep --seeds 12 --players 60 --nodes 3 --faults none --fidelity message \
         --keep kept --junit sweep.xml --json sweep.json --plant TiesNotShared",
    );
    assert_eq!(swept.status.code(), Some(1), "{}", text(&swept.stderr));
    let json = std::fs::read(folder.join("sweep.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    let failures = json["failures"].as_array().unwrap();
    let (count, failed) = (failures[0]["count"].as_u64(), json["failed"].as_u64());
    assert_eq!((failures.len(), count), (1, failed), "all seeds fail alike: {json:#}");
    assert_eq!(failures[0]["rule"], "ranks");
    let again = failures[0]["reproduce"].as_str().unwrap();
    assert!(again.ends_with("--faults none --fidelity message --plant TiesNotShared"), "{again}");
    let again = sim(folder, again.strip_prefix("starling-sim ").unwrap());
    assert_eq!(again.status.code(), Some(1), "the command that is printed reproduces it");
    let xml = std::fs::read_to_string(folder.join("sweep.xml")).unwrap();
    assert!(xml.contains("<failure type=\"ranks\""), "{xml}");

    let kept = std::fs::read_dir(folder.join("kept")).unwrap().next().unwrap().unwrap().path();
    let kept = kept.to_str().unwrap();
    let replayed = sim(folder, &format!("replay {kept} --plant TiesNotShared"));
    assert_eq!(replayed.status.code(), Some(1), "{}", text(&replayed.stdout));
    let mended = sim(folder, &format!("replay {kept}"));
    assert!(mended.status.success(), "without the bug it passes: {}", text(&mended.stdout));

    let shrunk = sim(folder, &format!("shrink {kept} --out small.json --plant TiesNotShared"));
    assert!(shrunk.status.success(), "{}", text(&shrunk.stderr));
    assert!(text(&shrunk.stdout).contains("#[test]\nfn ranks_of_seed_"));
    let small = Kept::read(&folder.join("small.json")).unwrap();
    assert!(small.schedule.nodes == 1 && small.schedule.players < 60, "{}", small.schedule);
    let drawn = sim(folder, "report small.json --out run.html --plant TiesNotShared");
    assert!(drawn.status.success(), "{}", text(&drawn.stderr));
    let page = std::fs::read_to_string(folder.join("run.html")).unwrap();
    assert!(page.contains("ranks: ") && page.contains("\"violations\":[\""), "the page says it");
}
