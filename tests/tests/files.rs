//! A connection is an open file: how many of them a node may have is how many players it takes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use tests::binary::starling_path;
use tests::lab::heavy;
use tests::raw::Raw;
use tests::single::Single;

/// What a test's shell gives its node, fewer than any player needs.
const FEW: u64 = 128;

fn read(node: &Single, name: &str) -> f64 {
    let metrics = node.get("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[test]
fn more_players_come_than_a_shell_lets_a_program_open_files() {
    const PLAYERS: usize = 400;
    let _turn = heavy();
    let node = Single::start_with_files(FEW, 1_000, &[]);
    assert_eq!(read(&node, "starling_mqtt_connections_max"), 936.0);
    let come = || Raw::connect(node.bound.mqtt, true, "", None);
    let players: Vec<Raw> = (0..PLAYERS)
        .map(|number| {
            let (player, said) = come();
            assert_eq!(said.reason, 0, "player {number}: {said:?}");
            player
        })
        .collect();
    assert_eq!(read(&node, "starling_mqtt_connections_open"), players.len() as f64);
}

/// The crowd of a rehearsal is in one process, too.
#[test]
fn a_rehearsal_has_more_players_than_its_shell_lets_it_open_files() {
    let _turn = heavy();
    let node = Single::start(&["--ack", "local"]);
    let show = node.folder().join("sums.csv");
    fs::write(&show, "question,option 1,option 2,correct,seconds\nOne plus one?,1,2,2,30\n")
        .unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!(r#"ulimit -Sn {FEW} && exec "$0" "$@""#)]).arg(starling_path());
    shell.arg("rehearse").arg(show).args(["--players", "300", "--think-ms", "500", "--json"]);
    shell.args(["--node", &format!("http://{}", node.bound.http)]);
    let output =
        shell.env("STARLING_TOKEN", node.ops_token()).stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |field: &str| report[field].as_u64();
    assert_eq!(["joined", "ended", "lost"].map(count), [Some(300), Some(300), Some(0)], "{report}");
}

/// Who finds no place takes no file from anybody else: pages are served, and who is in is served.
#[test]
fn a_node_without_another_file_for_players_turns_them_away_and_goes_on() {
    let _turn = heavy();
    let node = Single::start_with_files(FEW, FEW, &[]);
    let places = FEW as usize - 64;
    assert_eq!(read(&node, "starling_mqtt_connections_max"), places as f64);
    let (mut player, _) = Raw::connect(node.bound.mqtt, true, "", None);
    let mut crowd: Vec<TcpStream> = (0..places * 2)
        .map(|_| TcpStream::connect(node.bound.mqtt).expect("the kernel takes it"))
        .collect();
    // They are let in in order, so that after the last one has its answer all have.
    let last = crowd.last_mut().unwrap();
    assert_eq!(last.read(&mut [0; 1]).unwrap_or(0), 0, "it is turned away");
    assert_eq!(read(&node, "starling_mqtt_connections_refused_total"), (places + 1) as f64);
    assert_eq!(read(&node, "starling_mqtt_accepts_failed_total"), 0.0);
    assert!(player.pings(), "who is in is served");
    drop(crowd);
}
