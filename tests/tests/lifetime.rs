//! The end of nodes and of events, as an operator sees to it on a running cluster.

use node::service::view::{ArchivedView, Command, ForgetView, Refusal};
use serde::de::DeserializeOwned;
use std::process::Output;
use std::time::Duration;
use tests::binary::starling;
use tests::cluster::{Cluster, ClusterOptions};
use tests::lab::{eventually, heavy};
use tests::shows::sums;

const WAIT_MAX: Duration = Duration::from_secs(60);

/// Runs the command line against a node.
fn order(cluster: &Cluster, node: usize, words: &[&str]) -> Output {
    let mut command = starling();
    command.args(words).args(["--json", "--timeout", "30", "--node", &cluster.links(node).http]);
    command.env("STARLING_TOKEN", &cluster.file().ops_token).output().expect("it was just built")
}

fn done<T: DeserializeOwned>(output: &Output) -> T {
    let (said, told) = (String::from_utf8_lossy(&output.stdout), &output.stderr);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(told));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error} in {said}"))
}

fn result_status(cluster: &Cluster, node: usize) -> String {
    let view = cluster.host_view(node);
    view.and_then(|view| view.live.result).map(|result| result.status).unwrap_or_default()
}

#[test]
fn a_node_is_forgotten_and_an_event_is_archived_for_good() {
    let _turn = heavy();
    let options = ClusterOptions { nodes: 3, show: Some(sums(2, 2_000)) };
    let mut cluster = Cluster::start_with(&options);
    cluster.wait_linked(WAIT_MAX);
    cluster.open_lobby(0);
    cluster.step(0, Command::Open);
    let gone = cluster.members(0).expect("node 0 answers");
    let gone = gone.iter().find(|m| m.name == cluster.links(2).name).expect("it is a member");
    let too_early = order(&cluster, 0, &["node", "forget", &gone.name]);
    assert_eq!(too_early.status.code(), Some(1), "it is alive: {too_early:?}");
    cluster.kill_by_console(2);
    let forgotten: ForgetView = eventually("node 2 being forgotten", WAIT_MAX, || {
        let output = order(&cluster, 0, &["node", "forget", &gone.node.to_string()]);
        output.status.success().then(|| done(&output))
    });
    assert_eq!((forgotten.events, forgotten.origins), (1, 1));
    for node in 0..2 {
        eventually("a result without it", WAIT_MAX, || {
            (result_status(&cluster, node) == "forgotten").then_some(())
        });
    }
    cluster.restart(2);
    eventually("its return", WAIT_MAX, || (result_status(&cluster, 0) == "final").then_some(()));

    let event = cluster.file().event.id.clone();
    let too_early = order(&cluster, 1, &["event", "archive", &event]);
    assert_eq!(too_early.status.code(), Some(1), "it is not over: {too_early:?}");
    cluster.step(1, Command::End);
    let archived: ArchivedView = done(&order(&cluster, 1, &["event", "archive", &event]));
    assert_eq!(archived.event.to_string(), event);
    let none_left = |cluster: &Cluster, node: usize| {
        eventually("no event being left", WAIT_MAX, || {
            cluster.status(node).filter(|status| status.events.is_empty())
        });
        let reply = cluster.get(node, &format!("/api/v1/events/{event}"));
        assert_eq!((reply.status, reply.code().as_str()), (410, "event_archived"));
    };
    (0..3).for_each(|node| none_left(&cluster, node));
    let pin = cluster.get(0, &format!("/api/v1/pins/{}", cluster.pin()));
    let refusal: serde_json::Value = serde_json::from_str(&pin.body).expect("a refusal is JSON");
    let refusal: Refusal = serde_json::from_value(refusal["error"].clone()).expect("of one shape");
    assert_eq!((pin.status, refusal.code.as_str()), (404, "pin_unknown"), "its PIN is free again");
    cluster.stop();
}
