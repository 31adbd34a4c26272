//! A show for which nobody comes any more, in a cluster of six: three nodes go on carrying it, and whoever comes to
//! another one finds all of it there.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use crdt_state::PlayerId;
use node::service::view::{Command, EventSummary, PhaseView};
use serde_json::{Value, json};
use std::time::Duration;
use tests::cluster::{Cluster, ClusterOptions};
use tests::lab::{eventually, heavy};
use tests::raw::Raw;
use tests::shows::sums;

const WAIT_MAX: Duration = Duration::from_secs(60);
const NODES: usize = 6;
const ADA: PlayerId = PlayerId(0xada);

/// The nodes that say that they carry the show.
fn carriers(cluster: &Cluster) -> Vec<usize> {
    let carries = |node: &usize| {
        let events: Vec<EventSummary> = cluster.get(*node, "/api/v1/events").json();
        events.iter().any(|event| event.pin == cluster.pin() && event.warnings.is_empty())
    };
    (0..cluster.size()).filter(carries).collect()
}

/// How many shows a node has in memory, as it says in its metrics.
fn owned(cluster: &Cluster, node: usize) -> f64 {
    let metrics = cluster.get(node, "/metrics").body;
    let line = metrics.lines().find(|line| line.starts_with("starling_events "));
    line.unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

/// Ada's connection to a node, her inbox open.
fn connect(cluster: &Cluster, node: usize) -> Raw {
    let (mut ada, said) = Raw::connect(cluster.links(node).mqtt, true, "ada", None);
    assert_eq!(said.reason, 0, "{said:?}");
    ada.subscribe(&format!("inbox/{ADA}"));
    ada
}

/// Publishes until it is taken: a node to which the show only just comes asks for it again.
fn publish(ada: &mut Raw, topic: &str, payload: &Value) -> Value {
    eventually("a publish being taken", WAIT_MAX, || {
        let said = ada.publish(&format!("{topic}/{:02x}", ADA.slot()), payload);
        (said.reason == 0).then(|| said.receipt())
    })
}

#[test]
fn a_show_that_nobody_wants_is_dropped_but_by_three_and_found_again_by_whoever_comes() {
    let _turn = heavy();
    let options = ClusterOptions { nodes: NODES, show: Some(sums(2, 600_000)) };
    let cluster = Cluster::start_as(&options, &["--let-go-after-s", "2"]);
    cluster.wait_linked(WAIT_MAX);
    // Who has come to all of them has the best three begin, who never let go.
    for node in 0..NODES {
        cluster.wait_host(node, "the show at every node", WAIT_MAX, |_| true);
    }
    let three = eventually("three carriers", WAIT_MAX, || {
        Some(carriers(&cluster)).filter(|found| found.len() == 3)
    });
    let home = three[0];
    cluster.open_lobby(home);
    let aside = (0..NODES).find(|node| !three.contains(node)).unwrap();
    assert!(owned(&cluster, aside) < 1.0);

    let mut ada = connect(&cluster, aside);
    let join = json!({ "pin": cluster.pin(), "player": ADA.to_string(), "name": "Ada" });
    publish(&mut ada, "connect", &join);
    let joined = ada.message("the join", |message| message["token"].is_string());
    let token = joined["token"].clone();
    for command in [Command::Next, Command::Open] {
        cluster.step(home, command);
    }
    let answer = json!({ "token": token, "instance": 1, "choices": [1] });
    let receipt = publish(&mut ada, "answer", &answer);
    assert_eq!(receipt["status"], "accepted", "{receipt}");
    ada.message("a firm receipt", |message| {
        message["level"] == "firm" && message["choices"] == json!([1])
    });
    assert!(owned(&cluster, aside) > 0.0, "while she plays, it is here");
    assert!(carriers(&cluster).contains(&aside));
    drop(ada);

    eventually("the node letting go", WAIT_MAX, || {
        (carriers(&cluster) == three && owned(&cluster, aside) < 1.0).then_some(())
    });
    cluster.step(home, Command::Close);
    cluster.wait_host(home, "a final result without the node", WAIT_MAX, |view| {
        view.live.result.as_ref().is_some_and(|result| result.status == "final")
    });

    let mut ada = connect(&cluster, aside);
    publish(&mut ada, "connect", &json!({ "token": token }));
    ada.message("what she answered", |message| {
        message["instance"] == 1 && message["choices"] == json!([1])
    });
    assert!(owned(&cluster, aside) > 0.0);
    for command in [Command::Tallies, Command::Reveal, Command::Next, Command::Open] {
        cluster.step(home, command);
    }
    cluster.wait_phase(aside, 2, PhaseView::Open, WAIT_MAX);
    let answer = json!({ "token": token, "instance": 2, "choices": [2] });
    let receipt = publish(&mut ada, "answer", &answer);
    assert_eq!(receipt["choices"], json!([2]), "{receipt}");
    cluster.step(home, Command::Close);
    cluster.wait_host(home, "a final result with the node", WAIT_MAX, |view| {
        view.live.result.as_ref().is_some_and(|result| result.status == "final")
    });
    let exports = eventually("equal exports", WAIT_MAX, || {
        let exports = [aside, home].map(|node| cluster.export(node));
        (exports[0] == exports[1]).then_some(exports)
    });
    assert!(exports[0].contains(&ADA.to_string()));
}
