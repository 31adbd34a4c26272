//! Who carries a show in a cluster of five: three, and whoever is asked for it. What is asked of a node that does not.
//! And a node that is stopped in order leaves its shows in order.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use crdt_state::PlayerId;
use node::service::view::{Command, EventSummary, ForgetView, PhaseView, PinView};
use std::collections::BTreeMap;
use std::time::Duration;
use tests::cluster::{Cluster, ClusterOptions, Http};
use tests::lab::{eventually, heavy};
use tests::raw::Raw;
use tests::shows::sums;

const WAIT_MAX: Duration = Duration::from_secs(60);
const NODES: usize = 5;

/// Which of the nodes that answer say that they carry an event, by its PIN.
fn carriers(cluster: &Cluster) -> BTreeMap<String, Vec<usize>> {
    let mut carriers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for node in 0..cluster.size() {
        let reply = cluster.get(node, "/api/v1/events");
        let events: Vec<EventSummary> = if reply.status == 200 { reply.json() } else { Vec::new() };
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
    // Who sees few others for a moment carries all that there is, and lets go of it again.
    let options = ClusterOptions { nodes: NODES, show: None };
    let cluster = Cluster::start_as(&options, &["--let-go-after-s", "1"]);
    cluster.wait_linked(WAIT_MAX);
    let pins: Vec<String> = (0..8).map(|_| cluster.imported(0, &sums(1, 60_000)).pin).collect();
    let found = eventually("three carriers of each show", WAIT_MAX, || {
        let found = carriers(&cluster);
        let three = |pin: &String| found.get(pin).is_some_and(|nodes| nodes.len() == 3);
        pins.iter().all(three).then_some(found)
    });
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
    let exports = [aside, found[pin][0]].map(|node| {
        eventually("an export", WAIT_MAX, || {
            let reply = cluster.get(node, &format!("/api/v1/events/{}/export", view.event));
            (reply.status == 200).then_some(reply.body)
        })
    });
    assert_eq!(exports[0], exports[1]);
    eventually("the node that was asked carrying the show", WAIT_MAX, || {
        let reply = cluster.get(aside, &format!("/api/v1/events/{}/export", view.event));
        (reply.status == 200 && carriers(&cluster)[pin].contains(&aside)).then_some(())
    });
}

/// A cluster with a show whose lobby is open, and the three nodes that carry it: who saw few others at its start has let
/// go of it.
fn playing(nodes: usize) -> (Cluster, Vec<usize>) {
    let options = ClusterOptions { nodes, show: Some(sums(1, 600_000)) };
    let cluster = Cluster::start_as(&options, &["--let-go-after-s", "1"]);
    cluster.wait_linked(WAIT_MAX);
    let found = three_carriers(&cluster);
    cluster.open_lobby(found[0]);
    (cluster, found)
}

fn three_carriers(cluster: &Cluster) -> Vec<usize> {
    eventually("three carriers", WAIT_MAX, || {
        carriers(cluster).remove(cluster.pin()).filter(|nodes| nodes.len() == 3)
    })
}

#[test]
fn a_node_is_given_up_by_a_word_to_a_node_that_does_not_carry_the_show() {
    let _turn = heavy();
    let (mut cluster, found) = playing(NODES + 1);
    let (home, gone) = (found[0], found[1]);
    for command in [Command::Next, Command::Open] {
        cluster.step(home, command);
    }
    cluster.wait_phase(gone, 1, PhaseView::Open, WAIT_MAX);
    let members = cluster.members(home).expect("it answers");
    let member = members.iter().find(|member| member.name == cluster.links(gone).name);
    let id = member.expect("it is a member").node;
    cluster.kill_by_console(gone);
    eventually("its death being known", WAIT_MAX, || {
        let members = cluster.members(home)?;
        members.iter().any(|member| member.node == id && member.state == "dead").then_some(())
    });
    three_carriers(&cluster);
    let (http, token) = (Http::new(), cluster.file().ops_token.clone());
    // Who carries it may change while nodes notice who is left: whoever is asked carried nothing when it said so.
    let view: ForgetView = eventually("the node being given up", WAIT_MAX, || {
        let found = carriers(&cluster).remove(cluster.pin())?;
        let aside = (0..=NODES).find(|node| *node != gone && !found.contains(node))?;
        let url = format!("{}/api/v1/nodes/{id}/forget", cluster.links(aside).http);
        let reply = http.post(&url, &token, "");
        let view = (reply.status == 200).then(|| reply.json::<ForgetView>())?;
        (view.events == 0).then_some(view)
    });
    assert_eq!(view.node, id);
    cluster.step(home, Command::Close);
    cluster.wait_host(home, "a result that does not wait", WAIT_MAX, |view| {
        view.live.result.as_ref().is_some_and(|result| result.status == "forgotten")
    });
}

#[test]
fn a_player_who_only_comes_back_is_found_at_a_node_that_did_not_carry_the_show() {
    let _turn = heavy();
    let (cluster, found) = playing(NODES);
    let aside = (0..NODES).find(|node| !found.contains(node)).expect("not all carry it");
    let player = PlayerId(0xada);
    let inbox = format!("inbox/{player}");
    let (mut first, _) = Raw::connect(cluster.links(found[0]).mqtt, true, "first", None);
    first.subscribe(&inbox);
    let join = serde_json::json!({
        "pin": cluster.pin(), "player": player.to_string(), "name": "Ada",
    });
    first.publish(&format!("connect/{:02x}", player.slot()), &join);
    let joined = first.message("the join", |message| message["token"].is_string());
    let token = joined["token"].as_str().expect("it has a token").to_owned();
    let (to, id) = (cluster.links(aside).mqtt, player.to_string());
    let (mut again, said) = Raw::connect(to, true, &id, Some(&token));
    assert_eq!(said.reason, 0, "{said:?}");
    again.subscribe(&inbox);
    let greeting = again.message("the greeting", |message| message["token"].is_string());
    assert_eq!(greeting["event"], joined["event"]);
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
