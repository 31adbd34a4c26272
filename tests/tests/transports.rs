//! Clients that we did not write play over every transport: plain and under TLS 1.3, over TCP and
//! WebSocket, in MQTT 3.1.1 and 5. Each is an example of the documentation: it joins on one node, answers,
//! has its receipt, and resumes on the other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use node::service::view::Command as Step;
use rcgen::generate_simple_self_signed;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;
use tests::javascript::JavaScript;
use tests::lab::{heavy, need};
use tests::paho::python;
use tests::shows::sums;
use tests::single::{Single, SingleShow};

/// Two nodes that listen in all four ways, with a question that is open.
struct Secure {
    nodes: [Single; 2],
    show: SingleShow,
    folder: TempDir,
}

const SCHEMES: [&str; 4] = ["mqtt", "mqtts", "ws", "wss"];

impl Secure {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = generate_simple_self_signed(names).unwrap();
        fs::write(&chain, pem("CERTIFICATE", made.cert.der())).unwrap();
        fs::write(&key, pem("PRIVATE KEY", &made.signing_key.serialize_der())).unwrap();
        let files = ["--tls-cert", chain.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        let listeners = ["--mqtts", "127.0.0.1:0", "--https", "127.0.0.1:0"];
        let arguments = [&listeners[..], &files[..]].concat();
        let first = Single::start(&arguments);
        let second = first.start_beside(&arguments);
        let show = first.show(&sums(1, 600_000));
        first.step(&show, Step::Next);
        first.step(&show, Step::Open);
        Secure { nodes: [first, second], show, folder }
    }

    fn url(&self, node: usize, scheme: &str) -> String {
        let bound = &self.nodes[node].bound;
        match scheme {
            "mqtts" => format!("mqtts://{}", bound.mqtts.unwrap()),
            "ws" => format!("ws://{}/mqtt", bound.http),
            "wss" => format!("wss://{}/mqtt", bound.https.unwrap()),
            _ => format!("mqtt://{}", bound.mqtt),
        }
    }

    /// Lets a client play over these transports in both versions.
    fn is_played(&self, schemes: &[&str], client: impl Fn() -> Command) {
        let mut players = 0;
        for scheme in schemes {
            for version in ["4", "5"] {
                players += 1;
                let mut command = client();
                let name = format!("{scheme} {version}");
                command.env("MQTT_URL", self.url(0, scheme)).env("MQTT_VERSION", version);
                command.env("OTHER_URL", self.url(1, scheme)).env("NAME", &name);
                command.env("PIN", &self.show.imported.pin).stdin(Stdio::null());
                if matches!(*scheme, "mqtts" | "wss") {
                    command.env("CA_FILE", self.folder.path().join("chain.pem"));
                }
                assert_played(&command.output().unwrap(), &name);
            }
        }
        let view = self.nodes[0].host_view(&self.show).unwrap();
        assert_eq!((view.live.players, view.live.answered), (players, Some(players)));
    }
}

fn pem(label: &str, bytes: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(bytes))
}

/// What the inbox told: the join, later the receipt, and on the other node the join again.
fn assert_played(output: &Output, name: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}: {errors}", output.status);
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let told: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let joined = told.first().unwrap_or_else(|| panic!("{name} was told nothing: {errors}"));
    assert_eq!((&joined["type"], &joined["name"]), (&json!("joined"), &json!(name)), "{lines}");
    let receipt = told.iter().find(|it| it["type"] == "receipt").expect("there is a receipt");
    assert_eq!(receipt["choices"], json!([0]), "{lines}");
    assert!(receipt["status"] == "accepted" || receipt["status"] == "duplicate", "{lines}");
    let back = told.iter().rfind(|it| it["type"] == "joined").expect("it is not empty");
    assert_eq!(back["name"], json!(name), "{lines}");
    let (before, after) = (&joined["player"], &back["player"]);
    assert_eq!(before, after, "{lines}");
    assert_ne!(
        joined["nodes"][0]["mqtt"], back["nodes"][0]["mqtt"],
        "it resumed elsewhere: {lines}"
    );
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/docs/examples").join(name)
}

#[test]
fn paho_plays_over_every_transport() {
    let Some(python) = python() else { return };
    let _turn = heavy();
    Secure::start().is_played(&SCHEMES, || {
        let mut command = Command::new(&python);
        command.arg(example("player.py"));
        command
    });
}

#[test]
fn mqtt_js_plays_over_every_transport() {
    let Some(javascript) = JavaScript::with("mqttjs", &[MQTT_JS]) else { return };
    let _turn = heavy();
    let script = javascript.script(&example("player.mjs"));
    Secure::start().is_played(&SCHEMES, || {
        let mut command = Command::new(&javascript.node);
        command.arg(&script);
        command
    });
}

#[test]
fn rumqttc_plays_over_every_transport() {
    let _turn = heavy();
    Secure::start().is_played(&SCHEMES, || Command::new(env!("CARGO_BIN_EXE_player")));
}

#[test]
fn mosquitto_plays_over_tcp_and_tls() {
    let tools = [need("mosquitto_pub"), need("mosquitto_sub"), need("jq")];
    if tools.iter().any(Option::is_none) {
        return;
    }
    let _turn = heavy();
    Secure::start().is_played(&["mqtt", "mqtts"], || {
        let mut command = Command::new("sh");
        command.arg(example("player.sh"));
        command
    });
}

/// A node that makes its own certificate says where it is, and clients trust that and no other.
#[test]
fn mosquitto_trusts_a_node_by_the_certificate_that_it_made_for_itself() {
    let Some(publish) = need("mosquitto_pub") else { return };
    let _turn = heavy();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let listeners = ["--mqtts", "127.0.0.1:0", "--tls-self-signed"];
    let (temporary, kept) = {
        let with_data = [&listeners[..], &["--data", data]].concat();
        let (one, other) = (Single::start(&listeners), Single::start(&with_data));
        let certificate = |node: &Single| node.bound.certificate.clone().unwrap();
        let publishes = |node: &Single, cafile: &Path, host: &str| {
            let mut command = Command::new(&publish);
            let port = node.bound.mqtts.unwrap().port().to_string();
            command.args(["-h", host, "-p", &port, "-V", "mqttv311", "-q", "1"]);
            command.args(["-t", "connect/00", "-m", "{}", "--cafile"]).arg(cafile);
            command.stdin(Stdio::null()).output().unwrap()
        };
        for node in [&one, &other] {
            for host in ["127.0.0.1", "localhost"] {
                let output = publishes(node, &certificate(node), host);
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{host}: {}: {errors}", output.status);
            }
        }
        let crossed = publishes(&one, &certificate(&other), "127.0.0.1");
        assert!(!crossed.status.success(), "each node has its own");
        let certificates = (certificate(&one), certificate(&other));
        one.stop();
        certificates
    };
    assert!(!temporary.exists(), "it goes with the node");
    assert_eq!(kept, folder.path().join("self-signed.pem"));
}

/// The release that the tests were written with.
const MQTT_JS: &str = "mqtt@5.16.0";
