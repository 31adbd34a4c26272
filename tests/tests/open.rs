//! Clients that we did not write, on a node in the open profile: a small general broker, for them to find
//! nothing missing. Each brings its own dialogue, in MQTT 3.1.1 and 5.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Filter, Packet};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tests::binary::starling;
use tests::javascript::JavaScript;
use tests::lab::{heavy, need};
use tests::paho::python;
use tests::single::Single;
use tests::solo::new_key;
use tokio::time::timeout;

fn broker() -> Single {
    Single::start(&["--mqtt-profile", "open"])
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/open").join(name)
}

fn assert_done(output: &Output, what: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}: {errors}", output.status);
}

#[test]
fn paho_misses_nothing_in_the_open_profile() {
    let Some(python) = python() else { return };
    let _turn = heavy();
    let node = broker();
    for version in ["4", "5"] {
        let mut command = Command::new(&python);
        command.arg(script("open.py")).env("MQTT_VERSION", version).stdin(Stdio::null());
        let (host, port) = (node.bound.mqtt.ip(), node.bound.mqtt.port());
        command.env("MQTT_HOST", host.to_string()).env("MQTT_PORT", port.to_string());
        assert_done(&command.output().unwrap(), &format!("paho in {version}"));
    }
}

#[test]
fn mqtt_js_misses_nothing_in_the_open_profile() {
    let Some(javascript) = JavaScript::with("mqttjs", &[MQTT_JS]) else { return };
    let _turn = heavy();
    let node = broker();
    let script = javascript.script(&script("open.mjs"));
    for url in [format!("mqtt://{}", node.bound.mqtt), format!("ws://{}/mqtt", node.bound.http)] {
        for version in ["4", "5"] {
            let mut command = Command::new(&javascript.node);
            command.arg(&script).env("MQTT_URL", &url).env("MQTT_VERSION", version);
            let output = command.stdin(Stdio::null()).output().unwrap();
            assert_done(&output, &format!("mqtt.js in {version} at {url}"));
        }
    }
}

#[test]
fn mosquitto_misses_nothing_in_the_open_profile() {
    let (Some(publish), Some(subscribe)) = (need("mosquitto_pub"), need("mosquitto_sub")) else {
        return;
    };
    let _turn = heavy();
    let node = broker();
    for version in ["mqttv311", "mqttv5"] {
        let run = |program: &Path, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(["-h", &node.bound.mqtt.ip().to_string(), "-V", version]);
            command.args(["-p", &node.bound.mqtt.port().to_string()]).args(arguments);
            let output = command.stdin(Stdio::null()).output().unwrap();
            assert_done(&output, &format!("{} {arguments:?} in {version}", program.display()));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let topic = |name: &str| format!("{version}/{name}");
        run(&publish, &["-q", "1", "-r", "-t", &topic("kept/1"), "-m", "kept"]);
        let heard = ["-q", "2", "-t", &topic("kept/+"), "-C", "1", "-W", "60", "-F", "%t %p %q %r"];
        assert_eq!(run(&subscribe, &heard), format!("{} kept 1 1", topic("kept/1")));
        let kept = ["-i", &topic("keeper"), "-c", "-q", "1", "-t", &topic("queue")];
        let expiry = if version == "mqttv5" { &["-x", "600"][..] } else { &[] };
        run(&subscribe, &[&kept[..], expiry, &["-E"]].concat());
        for number in ["1", "2"] {
            run(&publish, &["-q", "2", "-t", &topic("queue"), "-m", number]);
        }
        let back = [&kept[..], expiry, &["-C", "2", "-W", "60"]].concat();
        assert_eq!(run(&subscribe, &back), "1\n2");
    }
}

/// What one client hears until `count` publishes have come.
async fn heard(events: &mut EventLoop, count: usize) -> Vec<(String, bool)> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let event = timeout(WAIT_MAX, events.poll()).await.expect("an event in time").unwrap();
        if let Event::Incoming(Packet::Publish(publish)) = event {
            let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
            heard.push((payload, publish.retain));
        }
    }
    heard
}

/// Goes on until what `wanted` likes has come.
async fn until(events: &mut EventLoop, wanted: impl Fn(&Packet) -> bool) -> Packet {
    loop {
        let event = timeout(WAIT_MAX, events.poll()).await.expect("an event in time").unwrap();
        if let Event::Incoming(packet) = event
            && wanted(&packet)
        {
            return packet;
        }
    }
}

fn rumqttc(address: SocketAddr, name: &str, expiry_s: u32) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(name, address.ip().to_string(), address.port());
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(expiry_s);
    options.set_clean_start(expiry_s == 0).set_connect_properties(properties);
    AsyncClient::new(options, 100)
}

#[tokio::test]
async fn rumqttc_misses_nothing_in_the_open_profile() {
    let _turn = heavy();
    let node = broker();
    let address = node.bound.mqtt;
    let is_subscribed = |packet: &Packet| matches!(packet, Packet::SubAck(_));
    let (bob, mut bobs) = rumqttc(address, "bob", 0);
    bob.publish("kept/1", QoS::AtLeastOnce, true, "old").await.unwrap();
    until(&mut bobs, |packet| matches!(packet, Packet::PubAck(_))).await;
    let (ada, mut adas) = rumqttc(address, "ada", 600);
    let filters = ["kept/+", "queue/#"].map(|path| Filter::new(path, QoS::ExactlyOnce));
    ada.subscribe_many(filters).await.unwrap();
    until(&mut adas, is_subscribed).await;
    assert_eq!(heard(&mut adas, 1).await, [("old".to_owned(), true)]);
    drop((ada, adas));
    for number in 0..20 {
        bob.publish("queue/x", QoS::ExactlyOnce, false, number.to_string()).await.unwrap();
        until(&mut bobs, |packet| matches!(packet, Packet::PubComp(_))).await;
    }
    let (_ada, mut adas) = rumqttc(address, "ada", 600);
    let back = until(&mut adas, |packet| matches!(packet, Packet::ConnAck(_))).await;
    assert!(matches!(back, Packet::ConnAck(connack) if connack.session_present));
    let expected: Vec<_> = (0..20).map(|number| (number.to_string(), false)).collect();
    assert_eq!(heard(&mut adas, 20).await, expected);
}

#[test]
fn the_open_profile_is_refused_where_others_could_reach_it() {
    for (listener, address) in [("--mqtt", "0.0.0.0:0"), ("--http", "[::]:0")] {
        let mut command = starling();
        command.args(["serve", "--mqtt-profile", "open", "--advertise", "localhost"]);
        command.args([listener, address]).env("STARLING_KEY", new_key()).stdin(Stdio::null());
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{errors}");
        assert!(errors.contains("--mqtt-profile open") && errors.contains(listener), "{errors}");
    }
}

/// The release that the tests were written with.
const MQTT_JS: &str = "mqtt@5.16.0";
/// Generous: the machine may be busy with other tests.
const WAIT_MAX: Duration = Duration::from_secs(60);
