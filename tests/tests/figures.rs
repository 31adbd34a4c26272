//! The figures, scaled down: the same code, on a cluster of the same kind.

use std::process::Command;
use tests::figures::{FIGURES, Scale, find};
use tests::lab::heavy;

/// What the program measures in a process of its own, as figures that start others need it.
fn measured(arguments: &[&str]) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_figures")).args(arguments).output();
    let output = output.expect("it was just built");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

#[test]
fn the_main_job_loses_and_doubles_nothing_and_measures_everything() {
    let _turn = heavy();
    let figure = find("main-job").expect("there is one");
    let report = (figure.run)(&Scale { players: 60, questions: 2, minutes: 0 });
    let numbers = report.unwrap_or_else(|error| panic!("{error}")).numbers;
    assert_eq!((&numbers["lost"], &numbers["double"]), (&0.into(), &0.into()));
    let times =
        ["receipt_ms_p50", "receipt_ms_p99", "visible_ms_p50", "visible_ms_p99", "dev_ready_s"];
    for key in times {
        assert!(numbers[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {numbers:?}");
    }
    assert_eq!(numbers.len(), times.len() + 2, "{numbers:?}");
}

#[test]
fn the_edge_measures_everything_beside_the_bare_server() {
    let _turn = heavy();
    let numbers = measured(&["edge", "--players", "200"]);
    let names = [
        "fanout_ms",
        "ack_local_per_s",
        "ack_peer_per_s",
        "connect_per_s",
        "join_per_s",
        "rss_per_player_bytes",
        "bare_fanout_ms",
        "bare_ack_per_s",
        "bare_paced_ms_p99",
        "paced_local_ms_p99",
        "paced_peer_ms_p99",
    ];
    for name in names {
        assert!(numbers[name].as_f64().is_some_and(|value| value > 0.0), "{name}: {numbers}");
    }
    for beside in ["mosquitto_fanout_ms", "mosquitto_ack_per_s"] {
        assert!(numbers[beside].is_null() || numbers[beside].is_number(), "{beside}: {numbers}");
    }
    assert_eq!(numbers.as_object().map(serde_json::Map::len), Some(names.len() + 2), "{numbers}");
}

#[test]
fn replication_measures_the_state_and_three_whole_nodes() {
    let _turn = heavy();
    let numbers = measured(&["replication", "--players", "9000", "--questions", "2"]);
    for (name, value) in numbers.as_object().expect("an object") {
        let is_peer = name.starts_with("redis_");
        let is_told = value.as_f64().is_some_and(|value| value >= 0.0);
        assert!(is_told || is_peer && value.is_null(), "{name}: {numbers}");
    }
    for name in [
        "apply_per_s_core",
        "converged_per_s_3_nodes",
        "visible_100k_ms_p99",
        "seen_s",
        "death_s",
        "raw_quic_per_s",
    ] {
        assert!(numbers[name].as_f64() > Some(0.0), "{name}: {numbers}");
    }
    assert_eq!(numbers.as_object().map(serde_json::Map::len), Some(22), "{numbers}");
}

#[test]
fn the_simulator_measures_itself() {
    let _turn = heavy();
    let figure = find("simulator").expect("there is one");
    let report = (figure.run)(&Scale { players: 60, questions: 2, minutes: 0 });
    let numbers = report.unwrap_or_else(|error| panic!("{error}")).numbers;
    for name in ["wire_virtual_s_per_s", "message_seeds_per_s", "planted_found"] {
        assert!(numbers[name].as_f64().is_some_and(|value| value > 0.0), "{name}: {numbers:?}");
    }
    assert!(numbers["planted"].as_u64() >= Some(20), "{numbers:?}");
    assert_eq!(numbers["same_hash"], true, "{numbers:?}");
    let growth = numbers["growth"].as_array().expect("a list");
    assert_eq!(growth.len(), 3, "{growth:?}");
    for grown in growth {
        assert!(grown["bytes_per_node"].as_u64() > Some(0), "{grown}");
    }
    assert_eq!(numbers.len(), 6, "{numbers:?}");
}

#[test]
fn the_soak_loses_no_connection_and_no_answer() {
    let _turn = heavy();
    let numbers = measured(&["soak", "--players", "120", "--minutes", "0"]);
    for nothing in ["connections_lost", "unanswered", "refused", "answers_lost"] {
        assert_eq!(numbers[nothing], 0, "{nothing}: {numbers}");
    }
    assert_eq!((&numbers["clients"], &numbers["show_players"]), (&120.into(), &60.into()));
    assert!(numbers["answered"].as_u64() > Some(30), "{numbers}");
    assert_eq!(numbers.as_object().map(serde_json::Map::len), Some(15), "{numbers}");
}

#[test]
fn a_show_is_measured_beside_bare_servers() {
    let _turn = heavy();
    let numbers = measured(&["engagements", "--players", "90", "--questions", "2"]);
    let names = [
        "fold_ms_1m",
        "rank_ms_1m",
        "rank_points_ms_1m",
        "phase_ms_p99",
        "bare_fanout_ms_p99",
        "import_50k_s",
    ];
    for name in names {
        assert!(numbers[name].as_f64().is_some_and(|value| value > 0.0), "{name}: {numbers}");
    }
    assert_eq!(numbers.as_object().map(serde_json::Map::len), Some(names.len()), "{numbers}");
}

#[test]
fn an_unknown_figure_is_refused_with_the_names_of_all() {
    let output = Command::new(env!("CARGO_BIN_EXE_figures")).arg("main-jab").output();
    let output = output.expect("it was just built");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(output.stdout.is_empty());
    for figure in FIGURES {
        assert!(told.contains(figure.name), "{told}");
    }
}
