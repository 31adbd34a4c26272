//! Who carries a show in a cluster of five: three, and whoever is asked for it. And a node that is stopped in
//! order leaves its shows in order.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use node::service::view::{Command, EventSummary, PhaseView, PinView};
use std::collections::BTreeMap;
use std::time::Duration;
use tests::cluster::{Cluster, ClusterOptions};
use tests::lab::{eventually, heavy};
use tests::shows::sums;

const WAIT_MAX: Duration = Duration::from_secs(60);
const NODES: usize = 5;

/// Which nodes say that they carry an event, by its PIN.
fn carriers(cluster: &Cluster) -> BTreeMap<String, Vec<usize>> {
    let mut carriers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for node in 0..NODES {
        let events: Vec<EventSummary> = cluster.get(node, "/api/v1/events").json();
        for event in events {
            let of = carriers.entry(event.pin).or_default();
            if event.warnings.is_empty() {
                of.push(node);
            }
        }
    }
    carriers
}

#[test]
fn of_five_nodes_three_carry_a_show_and_any_other_begins_when_it_is_asked() {
    let _turn = heavy();
    let cluster = Cluster::start(NODES);
    cluster.wait_linked(WAIT_MAX);
    let pins: Vec<String> = (0..8).map(|_| cluster.imported(0, &sums(1, 60_000)).pin).collect();
    let found = eventually("three carriers of each show", WAIT_MAX, || {
        let found = carriers(&cluster);
        let enough = |pin: &String| found.get(pin).is_some_and(|nodes| nodes.len() >= 3);
        pins.iter().all(enough).then_some(found)
    });
    // The node that made a show carries it too, and nobody has come to another one.
    assert!(pins.iter().all(|pin| found[pin].len() <= 4 && found[pin].contains(&0)), "{found:?}");
    let pin = &pins[0];
    let aside = (0..NODES).find(|node| !found[pin].contains(node)).unwrap();
    let view: PinView = eventually("the show at a node that did not carry it", WAIT_MAX, || {
        let reply = cluster.get(aside, &format!("/api/v1/pins/{pin}"));
        (reply.status == 200).then(|| reply.json())
    });
    assert_eq!(view.pin, *pin);
    let looked_up = carriers(&cluster);
    assert!(
        !looked_up[pin].contains(&aside),
        "whoever tries PINs makes no node carry: {looked_up:?}"
    );
    let exports = [aside, 0].map(|node| {
        eventually("an export", WAIT_MAX, || {
            let reply = cluster.get(node, &format!("/api/v1/events/{}/export", view.event));
            (reply.status == 200).then_some(reply.body)
        })
    });
    assert_eq!(exports[0], exports[1]);
    let after = carriers(&cluster);
    assert!(after[pin].contains(&aside), "it carries the show now: {after:?}");
}

#[test]
fn a_result_is_final_without_a_node_that_was_stopped_in_order() {
    let _turn = heavy();
    let options = ClusterOptions { nodes: 3, show: Some(sums(1, 600_000)) };
    let cluster = Cluster::start_with(&options);
    cluster.wait_linked(WAIT_MAX);
    cluster.open_lobby(0);
    for command in [Command::Next, Command::Open] {
        cluster.step(0, command);
    }
    for node in 0..3 {
        cluster.wait_phase(node, 1, PhaseView::Open, WAIT_MAX);
    }
    // SAFETY: kill takes two integers and touches no memory of ours.
    assert_eq!(unsafe { libc::kill(cluster.file().nodes[2].pid, libc::SIGTERM) }, 0);
    eventually("a member that left", WAIT_MAX, || {
        let members = cluster.members(0)?;
        members.iter().any(|member| member.state == "left").then_some(())
    });
    cluster.step(0, Command::Close);
    for node in 0..2 {
        cluster.wait_host(node, "a final result", WAIT_MAX, |view| {
            view.live.result.as_ref().is_some_and(|result| result.status == "final")
        });
    }
}
