//! Rehearsals on a real cluster: the built-in crowd plays a file of another product to its end, and then a show
//! of kinds that end otherwise than a quiz.

use serde_json::Value;
use std::fs;
use std::time::Duration;
use tests::binary::starling;
use tests::cluster::{Cluster, ClusterOptions};
use tests::lab::heavy;

const WAIT_MAX: Duration = Duration::from_secs(60);

const SHOW: &str = "question,option 1,option 2,option 3,correct,seconds\n\
    One plus one?,1,2,3,2,30\nWhich are even?,2,3,4,\"1,3\",30\n";

const KINDS: &str = r#"{"format": "starling-show/1", "title": "Kinds", "questions": [
    {"kind": "poll", "text": "Tea or coffee?", "options": ["Tea", "Coffee"], "seconds": 30},
    {"kind": "tug", "text": "Pull!", "sides": ["Left", "Right"], "seconds": 1},
    {"kind": "rating", "text": "How was it?", "seconds": 1},
    {"text": "One plus one?", "options": ["1", "2"], "correct": "2", "seconds": 30}
]}"#;

#[test]
fn rehearsals_play_a_table_and_other_kinds_to_their_ends_and_lose_nothing() {
    let _turn = heavy();
    let cluster = Cluster::start_with(&ClusterOptions { nodes: 2, show: None });
    cluster.wait_linked(WAIT_MAX);
    let report = rehearse(&cluster, "sums.csv", SHOW, "1");
    let count = |field: &str| report[field].as_u64().unwrap_or(u64::MAX);
    assert_eq!(["joined", "players", "ended"].map(count), [25, 25, 25], "{report}");
    assert_eq!(["sent", "acknowledged", "lost", "doubled"].map(count), [50, 50, 0, 0], "{report}");
    assert_eq!(report["board"].as_array().map(Vec::len), Some(10), "{report}");
    // Players of the show before are still in it: none of these may be one of them.
    let report = rehearse(&cluster, "kinds.json", KINDS, "2");
    let count = |field: &str| report[field].as_u64().unwrap_or(u64::MAX);
    assert_eq!(["joined", "ended", "lost", "doubled"].map(count), [25, 25, 0, 0], "{report}");
    assert!(count("acknowledged") >= 50, "a poll and a quiz at least: {report}");
    cluster.stop();
}

/// The report of a show that the crowd has played to its end.
fn rehearse(cluster: &Cluster, name: &str, show: &str, seed: &str) -> Value {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join(name);
    fs::write(&path, show).expect("it can be written");
    let file = cluster.file();
    let output = starling()
        .arg("rehearse")
        .arg(&path)
        .args(["--players", "25", "--think-ms", "300", "--json", "--minutes", "5", "--seed", seed])
        .args(["--node", &file.nodes[0].http, "--token", &file.ops_token])
        .output()
        .expect("the binary was just built");
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    serde_json::from_str(&said).expect("it is JSON")
}
