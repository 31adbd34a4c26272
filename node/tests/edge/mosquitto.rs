//! The usual command line clients against the edge, in both versions.

use crate::players::FakePlayers;
use crate::tcp::listen;
use node::edge::Limits;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Whether both tools are there. In the laboratory they have to be.
async fn tools_are_there() -> bool {
    for tool in ["mosquitto_pub", "mosquitto_sub"] {
        let run = Command::new(tool).arg("--help").stdout(Stdio::null()).status().await;
        if run.is_err() {
            let required = std::env::var("STARLING_LAB").is_ok_and(|value| value == "1");
            assert!(!required, "{tool} has to be on PATH here");
            eprintln!("SKIP mosquitto_clients_join_answer_and_watch: missing {tool}");
            return false;
        }
    }
    true
}

#[tokio::test]
async fn mosquitto_clients_join_answer_and_watch() {
    if !tools_are_there().await {
        return;
    }
    let players = FakePlayers::new();
    players.show("lobby");
    let (address, _edge) = listen(&players, Limits::default());
    let port = address.port().to_string();
    for version in ["311", "5"] {
        let common = ["-V", version, "-h", "127.0.0.1", "-p", &port];
        let mut watcher = Command::new("mosquitto_sub")
            .args(common)
            .args(["-t", "live/482913", "-C", "2", "-q", "1"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(watcher.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("lobby"));

        for (qos, payload) in [("0", "zero"), ("1", "one")] {
            let publisher = Command::new("mosquitto_pub")
                .args(common)
                .args(["-t", "answer/2a", "-q", qos, "-m", payload])
                .status();
            assert!(publisher.await.unwrap().success(), "version {version}, QoS {qos}");
        }
        players.show("open");
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("open"));
        assert!(watcher.wait().await.unwrap().success());
        players.show("lobby");
    }
    // QoS 0 has no acknowledgement to wait for, and the order of two clients is not certain.
    players.taken.subscribe().wait_for(|taken| *taken == 4).await.unwrap();
    let mut payloads = players.payloads();
    payloads.sort_unstable();
    assert_eq!(payloads, ["one", "one", "zero", "zero"]);
}
