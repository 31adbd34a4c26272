//! Clients that we did not write play along: mosquitto's over TCP, Paho's over TCP and WebSocket,
//! each in MQTT 3.1.1 and 5.

use node::service::view::{Command as Step, PhaseView};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tests::cluster::{Cluster, ClusterOptions};
use tests::lab::{heavy, random};
use tests::mosquitto::Mosquitto;
use tests::paho::{PahoOptions, PahoPlayer, python};
use tests::player::{Dialect, Transport};
use tests::raw::slotted;
use tests::shows::sums;
use tests::single::Single;

const OPEN_MS: u32 = 60_000;
const WAIT_MAX: Duration = Duration::from_secs(10);

#[test]
fn mosquitto_plays_in_mqtt_3_1_1() {
    mosquitto_plays(Dialect::V311);
}

#[test]
fn mosquitto_plays_in_mqtt_5() {
    mosquitto_plays(Dialect::V5);
}

#[test]
fn paho_plays_in_mqtt_3_1_1_over_tcp() {
    paho_plays(Dialect::V311, Transport::Tcp);
}

#[test]
fn paho_plays_in_mqtt_5_over_tcp() {
    paho_plays(Dialect::V5, Transport::Tcp);
}

#[test]
fn paho_plays_in_mqtt_3_1_1_over_websocket() {
    paho_plays(Dialect::V311, Transport::WebSocket);
}

#[test]
fn paho_plays_in_mqtt_5_over_websocket() {
    paho_plays(Dialect::V5, Transport::WebSocket);
}

fn cluster() -> Cluster {
    let cluster = Cluster::start_with(&ClusterOptions { nodes: 2, show: Some(sums(1, OPEN_MS)) });
    cluster.wait_linked(WAIT_MAX);
    cluster.open_lobby(0);
    cluster
}

fn player() -> String {
    tests::crowd::player_id(&mut random()).to_string()
}

/// Question 1 of the show has option 1 as its correct one.
fn mosquitto_plays(dialect: Dialect) {
    let _turn = heavy();
    let cluster = cluster();
    let links = cluster.links(1);
    let Some(mosquitto) = Mosquitto::new(&links, dialect) else { return };
    let player = player();
    let topic = slotted("connect", &player);
    let mut inbox = mosquitto.listen(&format!("inbox/{player}"));
    let mut live = mosquitto.listen(&format!("live/{}", cluster.pin()));
    live.wait("the lobby", |live| live["stage"]["phase"] == "lobby");
    let join = json!({ "pin": cluster.pin(), "player": player, "name": "Mosquito" });
    let joined = mosquitto.publish(&topic, &join.to_string());
    assert!(joined.success && joined.output.contains("received PUBACK"), "{}", joined.output);
    let joined = inbox.wait_type("joined");
    assert_eq!((&joined["name"], &joined["pin"]), (&json!("Mosquito"), &json!(cluster.pin())));
    assert_eq!(joined["nodes"].as_array().map(Vec::len), Some(2), "{joined}");

    cluster.step(0, Step::Next);
    cluster.step(0, Step::Open);
    let open = live.wait("the opening", |live| live["stage"]["phase"] == "open");
    assert_eq!(open["question"]["options"].as_array().map(Vec::len), Some(4), "{open}");
    assert!(open["reveal"].is_null() && open["tallies"].is_null(), "{open}");
    let answer = json!({ "token": joined["token"], "instance": 1, "choice": 1 }).to_string();
    let topic = slotted("answer", &player);
    let taken = mosquitto.publish(&topic, &answer);
    assert!(taken.output.contains("RC:0"), "{}", taken.output);
    let firm = inbox.wait("a firm receipt", |it| it["type"] == "receipt" && it["level"] == "firm");
    assert_eq!((&firm["status"], &firm["choices"]), (&json!("accepted"), &json!([1])));
    let again = mosquitto.publish(&topic, &answer);
    assert!(again.output.contains("RC:0"), "{}", again.output);
    inbox.wait("a duplicate", |it| it["type"] == "receipt" && it["status"] == "duplicate");

    cluster.step(0, Step::Close);
    cluster.wait_phase(1, 1, PhaseView::Closed, WAIT_MAX);
    let mosquito_two = json!({ "pin": cluster.pin(), "player": "7".repeat(32), "name": "Two" });
    let mut second = mosquitto.listen(&format!("inbox/{}", "7".repeat(32)));
    let _ = mosquitto.publish(&slotted("connect", &"7".repeat(32)), &mosquito_two.to_string());
    let second_token = second.wait_type("joined")["token"].clone();
    let late = json!({ "token": second_token, "instance": 1, "choice": 1 }).to_string();
    let late = mosquitto.publish(&slotted("answer", &"7".repeat(32)), &late);
    let reason = if dialect == Dialect::V5 { "RC:131" } else { "RC:0" };
    assert!(late.output.contains(reason), "{}", late.output);
    let refused = second.wait_type("refused");
    assert!(refused["code"] == "late" || refused["code"] == "not_open", "{refused}");

    cluster.step(0, Step::Tallies);
    cluster.step(0, Step::Reveal);
    let result = inbox.wait_type("result");
    assert_eq!((&result["correct"], &result["choices"]), (&json!(true), &json!([1])), "{result}");
    assert_eq!((&result["rank"], &result["players"]), (&json!(1), &json!(2)), "{result}");
    cluster.stop();
}

fn paho_plays(dialect: Dialect, transport: Transport) {
    let Some(python) = python() else { return };
    let _turn = heavy();
    let cluster = cluster();
    let links = cluster.links(1);
    let (pin, name) = (cluster.pin().to_owned(), "Paho".to_owned());
    let options = PahoOptions { pin, player: player(), name, choice: 1, dialect, transport };
    let paho = PahoPlayer::start(&python, &links, &options);
    let joined = paho.wait("joined");
    assert_eq!(joined["name"], "Paho");
    cluster.step(0, Step::Next);
    cluster.step(0, Step::Open);
    assert_eq!(paho.wait("open")["instance"], 1);
    // The receipt comes by inbox and by acknowledgement, in either order.
    let (mut by_inbox, mut by_acknowledgement) = (false, false);
    while !(by_inbox && by_acknowledgement) {
        let told = paho.wait_either("receipt", "puback");
        if told["told"] == "puback" {
            check_acknowledgement(&told, dialect);
            by_acknowledgement = true;
        } else {
            assert_eq!((&told["status"], &told["choices"]), (&json!("accepted"), &json!([1])));
            by_inbox = told["level"] == "firm";
        }
    }
    cluster.step(0, Step::Close);
    cluster.step(0, Step::Tallies);
    cluster.step(0, Step::Reveal);
    let result = paho.wait("result");
    assert_eq!((&result["correct"], &result["rank"]), (&json!(true), &json!(1)), "{result}");
    cluster.stop();
}

/// MQTT 5 carries the receipt in the acknowledgement itself.
fn check_acknowledgement(told: &serde_json::Value, dialect: Dialect) {
    assert_eq!(told["reason"], 0, "{told}");
    assert!(told["topic"].as_str().is_some_and(|topic| topic.starts_with("answer/")), "{told}");
    match dialect {
        Dialect::V311 => assert!(told["receipt"].is_null(), "{told}"),
        Dialect::V5 => {
            assert_eq!(told["receipt"]["status"], "accepted", "{told}");
            assert_eq!(told["receipt"]["choices"], json!([1]), "{told}");
        }
    }
}

/// A client that asks for a place to be answered at is given one, and has its answer there with all that it sent along.
#[test]
fn paho_asks_and_is_answered_where_it_listens() {
    let Some(python) = python() else { return };
    let _turn = heavy();
    let node = Single::start(&["--ack", "local"]);
    let show = node.show(&sums(1, OPEN_MS));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/paho/request.py");
    let (host, port) = (node.bound.mqtt.ip().to_string(), node.bound.mqtt.port().to_string());
    let mut command = Command::new(python);
    let player = player();
    let slot = slotted("connect", &player).replace("connect/", "");
    command.arg(script).args([&host, &port, &show.imported.pin, &player, &slot]);
    command.stdin(Stdio::null());
    let output = command.output().expect("python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    let told: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {errors}"));
    assert_eq!(told["topic"], "reply/asker", "{told}");
    assert_eq!(told["answer"]["status"], "joined", "{told}");
    assert_eq!(told["correlation"], "01ff", "{told}");
    assert_eq!(told["user"], json!([["seat", "7"], ["row", "2"], ["seat", "8"]]), "{told}");
}
