//! Who is there: the host sees on any node how many players are connected, and that one has gone, with or
//! without a word.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;
use std::time::Duration;
use tests::lab::{eventually_ok, heavy};
use tests::raw::Raw;
use tests::shows::sums;
use tests::single::{Single, SingleShow};

const WAIT_MAX: Duration = Duration::from_secs(60);

fn wait_present(nodes: &[&Single], show: &SingleShow, wanted: u64) {
    eventually_ok("the host seeing who is there", WAIT_MAX, || {
        let seen: Vec<Option<u64>> =
            nodes.iter().map(|node| node.host_view(show).map(|view| view.present)).collect();
        let as_wanted = seen.iter().all(|present| *present == Some(wanted));
        as_wanted.then_some(()).ok_or_else(|| format!("{seen:?} in place of {wanted}"))
    });
}

fn join(node: &Single, show: &SingleShow, player: &str) -> Raw {
    let (mut raw, _) = Raw::connect(node.bound.mqtt, true, player, None);
    raw.subscribe(&format!("inbox/{player}"));
    let join = json!({ "pin": show.imported.pin, "player": player, "name": &player[..4] });
    let said = raw.publish(&format!("connect/{}", &player[..2]), &join);
    assert_eq!(said.receipt()["status"], "joined", "{said:?}");
    raw
}

#[test]
fn the_host_sees_on_any_node_who_is_there_and_who_has_gone() {
    let _turn = heavy();
    let one = Single::start(&[]);
    let two = one.start_beside(&[]);
    let show = one.show(&sums(1, 60_000));
    let nodes = [&one, &two];
    wait_present(&nodes, &show, 0);
    let players = ["2a00", "2b00", "2c00"].map(|start| format!("{start}{:028x}", 255));
    let ada = join(&one, &show, &players[0]);
    let bob = join(&two, &show, &players[1]);
    let eve = join(&two, &show, &players[2]);
    wait_present(&nodes, &show, 3);
    drop(bob);
    wait_present(&nodes, &show, 2);
    // A node that dies takes its players along.
    drop((eve, two));
    wait_present(&[&one], &show, 1);
    drop(ada);
    wait_present(&[&one], &show, 0);
}
