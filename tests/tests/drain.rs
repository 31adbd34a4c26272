//! A node that an operator drains: its players move to another one, and it takes players again when the
//! operator changes their mind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::time::Duration;
use tests::lab::{eventually, heavy};
use tests::raw::Raw;
use tests::single::Single;

const WAIT_MAX: Duration = Duration::from_secs(60);

fn linked(node: &Single) -> Option<()> {
    let members: Value = serde_json::from_str(&node.get("/api/v1/members").body).ok()?;
    let ready = |member: &&Value| member["linked"] == true && member["state"] == "alive";
    (members.as_array()?.iter().filter(ready).count() == 2).then_some(())
}

#[test]
fn players_of_a_drained_node_move_and_it_takes_players_again() {
    let _turn = heavy();
    let node = Single::start(&[]);
    let other = node.start_beside(&[]);
    eventually("two nodes that see each other", WAIT_MAX, || linked(&node));
    let (mut player, _) = Raw::connect(node.bound.mqtt, true, "ada", None);
    assert_eq!(node.post("/api/v1/drain", "").json::<Value>()["standing"], "draining");
    let said = player.end().expect("a DISCONNECT says why");
    assert_eq!(said.reason, 0x9c, "{said:?}");
    let (_, said) = Raw::connect(node.bound.mqtt, true, "bob", None);
    assert_eq!(said.reason, 0x9c, "{said:?}");
    assert_eq!(Raw::connect(other.bound.mqtt, true, "ada", None).1.reason, 0);

    assert_eq!(node.post("/api/v1/undrain", "").json::<Value>()["standing"], "ready");
    let mut back = eventually("the node taking players again", WAIT_MAX, || {
        let (raw, said) = Raw::connect(node.bound.mqtt, true, "ada", None);
        (said.reason == 0).then_some(raw)
    });
    assert!(back.pings());
}

#[test]
fn a_node_without_another_sends_nobody_away() {
    let _turn = heavy();
    let node = Single::start(&[]);
    let (mut player, _) = Raw::connect(node.bound.mqtt, true, "ada", None);
    assert_eq!(node.post("/api/v1/drain", "").json::<Value>()["standing"], "draining");
    assert!(player.pings());
    assert_eq!(Raw::connect(node.bound.mqtt, true, "bob", None).1.reason, 0);
}
