//! Rehearsals on a real cluster: the built-in crowd plays a file of another product to its end, and then the sample
//! show of every kind.

use node::service::view::EventSummary;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;
use tests::binary::starling;
use tests::cluster::{Cluster, ClusterOptions};
use tests::lab::heavy;

const WAIT_MAX: Duration = Duration::from_secs(60);

const SHOW: &str = "question,option 1,option 2,option 3,correct,seconds\n\
    One plus one?,1,2,3,2,30\nWhich are even?,2,3,4,\"1,3\",30\n";

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
    let show = include_str!("../../node/shows/kinds.json");
    let report = rehearse(&cluster, "kinds.json", show, "2");
    let rounds = node::show::parse(show).expect("it is a show").questions.len() as u64;
    let count = |field: &str| report[field].as_u64().unwrap_or(u64::MAX);
    assert_eq!(["joined", "ended", "lost", "doubled"].map(count), [25, 25, 0, 0], "{report}");
    assert_eq!(["sent", "acknowledged"].map(count), [25 * rounds; 2], "{report}");
    assert_eq!((count("unreceipted"), &report["refused"]), (0, &json!({})), "{report}");
    check_rounds(&cluster, rounds);
    let report = rehearse(&cluster, "alone.json", ALONE, "3");
    let count = |field: &str| report[field].as_u64().unwrap_or(u64::MAX);
    assert_eq!(["joined", "ended", "lost", "doubled"].map(count), [25, 25, 0, 0], "{report}");
    assert!(count("acknowledged") > 0 && report["status"] == "final", "{report}");
    check_nobody_drove(&cluster);
    cluster.stop();
}

/// A whole show without a host.
const ALONE: &str = r#"{"format": "starling-show/1", "title": "Nobody there", "autopilot_seconds": 1,
    "lobby_seconds": 5, "questions": [
    {"text": "One plus one?", "options": ["1", "2"], "correct": 1, "seconds": 5},
    {"kind": "poll", "text": "Again?", "options": ["Yes", "No"], "seconds": 5}]}"#;

/// Every step of the show without a host was the directors' own.
fn check_nobody_drove(cluster: &Cluster) {
    let lines = export_of(cluster, "Nobody there");
    let notes = lines.iter().filter(|line| line["type"] == "note");
    let steps: Vec<&Value> = notes.filter(|note| note["act"] != "create").collect();
    assert!(steps.iter().all(|note| note["by"] == "director"), "{steps:?}");
    let stages = |act: &str| {
        let taken = steps.iter().filter(|note| note["act"] == act);
        taken.map(|note| note["stage"].to_string()).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(["lobby", "open", "closed", "ended"].map(stages), [1, 2, 2, 1], "{steps:?}");
}

/// The export's lines of the newest show of a title.
fn export_of(cluster: &Cluster, title: &str) -> Vec<Value> {
    let events: Vec<EventSummary> = cluster.get(0, "/api/v1/events").json();
    let played = events.iter().find(|it| it.title == title).expect("it is listed");
    let export = cluster.get(0, &format!("/api/v1/events/{}/export", played.event)).body;
    export.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
}

/// Every round of the newest show has answers, posts or counts.
fn check_rounds(cluster: &Cluster, rounds: u64) {
    let lines = export_of(cluster, "Every kind once");
    for round in 1..=rounds {
        let of = |kind: &'static str| {
            lines.iter().filter(move |l| l["type"] == kind && l["instance"] == round)
        };
        let answers = of("answer").count();
        let counts =
            of("tally").flat_map(|line| line["counts"].as_array().cloned().unwrap_or_default());
        let counted: u64 = counts.filter_map(|count| count.as_u64()).sum();
        let kind = of("question").next().expect("every round was closed")["kind"].clone();
        let posts = of("post").filter(|post| post["text"].is_string()).count();
        let has_some = if kind == "qa" { posts > 0 } else { answers == 25 || counted > 0 };
        assert!(has_some, "round {round}, a {kind}: {answers} answers, {posts} posts");
    }
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
