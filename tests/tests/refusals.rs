//! What a player of MQTT 3.1.1 is refused comes to the inbox, whoever refuses it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use node::service::view::Command;
use serde_json::json;
use std::fs;
use tests::lab::heavy;
use tests::raw::{Raw, slotted};
use tests::shows::sums;
use tests::single::Single;

#[test]
fn a_player_of_mqtt_3_1_1_hears_what_no_acknowledgement_can_say() {
    let _turn = heavy();
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("acl");
    fs::write(&rules, "deny all publish answer/#\n").unwrap();
    let node = Single::start(&["--acl", rules.to_str().unwrap()]);
    let show = node.show(&sums(1, 60_000));
    let player = "2a".repeat(16);
    // The inbox on one connection, the answers on another: it is their token that tells whose they are.
    let (mut reader, _) = Raw::connect(node.bound.mqtt, false, "reader", None);
    let (mut writer, _) = Raw::connect(node.bound.mqtt, false, "writer", None);
    reader.subscribe(&format!("inbox/{player}"));
    let (connect, answer) = (slotted("connect", &player), slotted("answer", &player));
    writer.publish(&connect, &json!({ "pin": show.imported.pin, "player": player, "name": "Ada" }));
    let token = reader.message("the join", |it| it["type"] == "joined")["token"].clone();
    node.step(&show, Command::Next);
    node.step(&show, Command::Open);
    writer.publish(&answer, &json!({ "token": token, "instance": 1, "choices": [1] }));
    let refused = reader.message("the node's rules", |it| it["type"] == "refused");
    assert_eq!((&refused["code"], &refused["topic"]), (&json!("not_permitted"), &json!(answer)));

    // What does not tell whose it is goes to whoever listens on the same connection.
    for (topic, payload, code) in [
        ("foo/bar", json!({}), "topic_unknown"),
        (&connect, json!({ "token": "x" }), "token_unknown"),
        (&connect, json!([1]), "payload_malformed"),
    ] {
        reader.publish(topic, &payload);
        let refused = reader.message(code, |it| it["type"] == "refused");
        assert_eq!((&refused["code"], &refused["topic"]), (&json!(code), &json!(topic)));
    }
    // Or to the player whose connection it has proven to be.
    writer.publish(&connect, &json!({ "token": token }));
    writer.publish("foo/bar", &json!({}));
    reader.message("the other's slip", |it| it["code"] == "topic_unknown");
}
