//! What goes over the wire is MQTT in the eyes of somebody else's dissector: of a whole run not a packet is
//! malformed, and nothing in one is worth an error or a warning.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use node::service::view::Command as Step;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use tests::lab::{heavy, need};
use tests::paho::python;
use tests::pcap::Tap;
use tests::raw::{Raw, slotted};
use tests::shows::sums;
use tests::single::Single;

/// What tshark prints of each packet that `filter` lets through.
fn dissect(tshark: &Path, capture: &Path, filter: &str, field: &str) -> Vec<String> {
    let mut command = Command::new(tshark);
    command.arg("-r").arg(capture).args(["-d", "tcp.port==1883,mqtt", "-Y", filter]);
    command.args(["-T", "fields", "-e", field, "-E", "aggregator=,"]);
    let output = command.stdin(Stdio::null()).output().expect("tshark runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn a_captured_run_is_decoded_without_a_complaint() {
    let (Some(tshark), Some(python)) = (need("tshark"), python()) else { return };
    let _turn = heavy();
    let node = Single::start(&[]);
    let show = node.show(&sums(1, 600_000));
    node.step(&show, Step::Next);
    node.step(&show, Step::Open);
    let folder = tempfile::tempdir().unwrap();
    let tap = Tap::start(node.bound.mqtt, &folder.path().join("run.pcap"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/docs/examples/player.py");
    for version in ["4", "5"] {
        let mut player = Command::new(&python);
        player.arg(&script).env("MQTT_URL", format!("mqtt://{}", tap.address()));
        player.env("MQTT_VERSION", version).env("PIN", &show.imported.pin);
        player.env("NAME", format!("Tapped {version}")).stdin(Stdio::null());
        let played = player.output().expect("python runs");
        assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    }
    complain(&tap, &show.imported.pin);
    check(&tshark, tap.path());
}

/// Has the node say all that it says to what is wrong.
fn complain(tap: &Tap, pin: &str) {
    for v5 in [false, true] {
        let (mut raw, _) = Raw::connect(tap.address(), v5, "", None);
        raw.publish("connect/00", &json!({ "pin": "000", "player": "00".repeat(16), "name": "A" }));
        raw.publish("answer/00", &json!({ "token": "slp_nonsense", "instance": 1 }));
        raw.publish("nowhere", &json!({}));
        for filter in
            ["live/000", "nowhere/+", "#", "$share/group/live/000", &format!("live/{pin}")]
        {
            raw.subscribe(filter);
        }
        assert!(raw.pings());
        raw.unsubscribe(&format!("live/{pin}"));
        raw.unsubscribe("live/000");
        raw.publish_twice("answer/00", &json!({ "token": "slp_nonsense", "instance": 1 }));
        let joins = json!({ "pin": pin, "player": "0a".repeat(16), "name": "Twice" });
        raw.publish_twice(&slotted("connect", &"0a".repeat(16)), &joins);
        let (_, said) = Raw::connect(tap.address(), v5, "", Some("slo_nonsense"));
        assert_ne!(said.reason, 0);
        let (mut other, _) = Raw::connect(tap.address(), v5, "twice", None);
        let _ = Raw::connect(tap.address(), v5, "twice", None);
        other.end();
    }
}

fn check(tshark: &Path, capture: &Path) {
    let complaints = dissect(tshark, capture, WORTH_A_WORD, "frame.number");
    assert!(complaints.is_empty(), "frames {complaints:?} of {}", capture.display());
    let kinds = dissect(tshark, capture, "mqtt", "mqtt.msgtype");
    let kinds: BTreeSet<u8> = kinds.iter().flat_map(|kinds| kinds.split(',')).map(number).collect();
    // All that a client and a node can say to each other: 15 is AUTH, which no node asks for.
    for wanted in 1..=14 {
        assert!(kinds.contains(&wanted), "packets of type {wanted} among {kinds:?}");
    }
    let reasons = dissect(tshark, capture, "mqtt.prop_string", "mqtt.prop_string");
    assert!(reasons.iter().any(|words| words.contains("token_malformed")), "{reasons:?}");
}

/// Malformed, or a warning or an error about a packet of ours.
const WORTH_A_WORD: &str = "_ws.malformed || (mqtt && _ws.expert.severity >= 0x600000)";

fn number(text: &str) -> u8 {
    text.parse().unwrap_or_else(|error| panic!("{error}: {text:?}"))
}
