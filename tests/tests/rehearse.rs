//! A rehearsal on a real cluster: the built-in crowd plays a file of another product to its end.

use serde_json::Value;
use std::fs;
use std::time::Duration;
use tests::binary::starling;
use tests::cluster::{Cluster, ClusterOptions};
use tests::lab::heavy;

const WAIT_MAX: Duration = Duration::from_secs(60);

const SHOW: &str = "question,option 1,option 2,option 3,correct,seconds\n\
    One plus one?,1,2,3,2,30\nWhich are even?,2,3,4,\"1,3\",30\n";

#[test]
fn a_rehearsal_plays_a_table_to_its_end_and_loses_nothing() {
    let _turn = heavy();
    let cluster = Cluster::start_with(&ClusterOptions { nodes: 2, show: None });
    cluster.wait_linked(WAIT_MAX);
    let folder = tempfile::tempdir().unwrap();
    let show = folder.path().join("sums.csv");
    fs::write(&show, SHOW).unwrap();
    let file = cluster.file();
    let output = starling()
        .arg("rehearse")
        .arg(&show)
        .args(["--players", "25", "--think-ms", "300", "--json", "--minutes", "5"])
        .args(["--node", &file.nodes[0].http, "--token", &file.ops_token])
        .output()
        .expect("the binary was just built");
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    let report: Value = serde_json::from_str(&said).expect("it is JSON");
    let count = |field: &str| report[field].as_u64().unwrap_or(u64::MAX);
    assert_eq!(["joined", "players", "ended"].map(count), [25, 25, 25], "{said}");
    assert_eq!(["sent", "acknowledged", "lost", "doubled"].map(count), [50, 50, 0, 0], "{said}");
    assert_eq!(report["board"].as_array().map(Vec::len), Some(10), "{said}");
    cluster.stop();
}
