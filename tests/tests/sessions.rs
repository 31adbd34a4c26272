//! A session that another node goes on with: a client that we did not write says its name and subscribes to nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use node::service::view::Command;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet as OldPacket, v5};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tests::lab::{eventually, heavy};
use tests::raw::slotted;
use tests::shows::sums;
use tests::single::Single;
use tokio::time::timeout;

/// A host closes.
const OPEN_MS: u32 = 600_000;
const EXPIRY_S: u32 = 600;
/// Generous: the machine may be busy with other tests.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What came on which topic, and whether it was marked as known before.
#[derive(Debug)]
struct Heard {
    topic: String,
    says: Value,
    retain: bool,
}

impl Heard {
    fn new(topic: &[u8], payload: &[u8], retain: bool) -> Self {
        let topic = String::from_utf8(topic.to_vec()).unwrap();
        Heard { topic, says: serde_json::from_slice(payload).unwrap(), retain }
    }

    fn is(&self, kind: &str) -> bool {
        self.topic.starts_with("inbox/") && self.says["type"] == kind
    }
}

/// A client of MQTT 5 under the name of its player.
struct New {
    client: v5::AsyncClient,
    events: v5::EventLoop,
    /// Whether its session was there.
    present: bool,
}

impl New {
    async fn come(address: SocketAddr, player: &str, clean: bool) -> Self {
        let mut options = v5::MqttOptions::new(player, address.ip().to_string(), address.port());
        let mut properties = ConnectProperties::new();
        properties.session_expiry_interval = Some(EXPIRY_S);
        options.set_clean_start(clean).set_connect_properties(properties);
        let (client, events) = v5::AsyncClient::new(options, 16);
        let mut new = New { client, events, present: false };
        let Packet::ConnAck(connack) = new.packet().await else { panic!("no CONNACK first") };
        new.present = connack.session_present;
        new
    }

    async fn packet(&mut self) -> Packet {
        loop {
            let event = timeout(WAIT_MAX, self.events.poll()).await.expect("an event in time");
            if let v5::Event::Incoming(packet) = event.unwrap() {
                return packet;
            }
        }
    }

    async fn hear(&mut self, wanted: impl Fn(&Heard) -> bool) -> Heard {
        loop {
            let Packet::Publish(it) = self.packet().await else { continue };
            let heard = Heard::new(&it.topic, &it.payload, it.retain);
            if wanted(&heard) {
                return heard;
            }
        }
    }

    async fn publish(&self, topic: String, payload: Value) {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload.to_string()).await.unwrap();
    }
}

/// The same in MQTT 3.1.1: whether its session was there, and the first message that `wanted` likes.
async fn come_old(
    address: SocketAddr,
    player: &str,
    wanted: impl Fn(&Heard) -> bool,
) -> (bool, Heard) {
    let mut options = MqttOptions::new(player, address.ip().to_string(), address.port());
    options.set_clean_session(false).set_max_packet_size(256 * 1024, 256 * 1024);
    let (_client, mut events) = AsyncClient::new(options, 16);
    let mut present = None;
    loop {
        let event = timeout(WAIT_MAX, events.poll()).await.expect("an event in time").unwrap();
        match event {
            Event::Incoming(OldPacket::ConnAck(connack)) => present = Some(connack.session_present),
            Event::Incoming(OldPacket::Publish(it)) => {
                let heard = Heard::new(it.topic.as_bytes(), &it.payload, it.retain);
                if wanted(&heard) {
                    return (present.expect("a CONNACK first"), heard);
                }
            }
            _ => {}
        }
    }
}

fn linked(node: &Single) -> Option<()> {
    let members: Value = serde_json::from_str(&node.get("/api/v1/members").body).ok()?;
    let is_linked = |member: &&Value| member["linked"] == true;
    (members.as_array()?.iter().filter(is_linked).count() == 2).then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_gone_on_with_on_another_node_and_in_another_version() {
    let _turn = heavy();
    let node = Single::start(&[]);
    let other = node.start_beside(&[]);
    eventually("two linked nodes", WAIT_MAX, || linked(&node));
    let show = node.show(&sums(1, OPEN_MS));
    let (player, pin) = ("5e551045".repeat(4), show.imported.pin.clone());

    let mut first = New::come(node.bound.mqtt, &player, false).await;
    assert!(!first.present, "nobody has heard of the player yet");
    let topics = [format!("inbox/{player}"), format!("live/{pin}")];
    for topic in topics {
        first.client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
    }
    let join = json!({ "pin": pin, "player": player, "name": "Sessa" });
    first.publish(slotted("connect", &player), join).await;
    let joined = first.hear(|it| it.is("joined") && it.says["level"] == "firm").await;
    node.step(&show, Command::Next);
    node.step(&show, Command::Open);
    let answer = json!({ "token": joined.says["token"], "instance": 1, "choices": [1] });
    first.publish(slotted("answer", &player), answer).await;
    first.hear(|it| it.is("receipt") && it.says["level"] == "firm").await;
    drop(first);

    let mut second = New::come(other.bound.mqtt, &player, false).await;
    assert!(second.present, "the other node has its session");
    let live = second.hear(|it| it.topic == format!("live/{pin}")).await;
    assert!(live.retain && live.says["stage"]["phase"] == "open", "{live:?}");
    drop(second);
    // What is known comes in no order between topics: each is asked for on a connection of its own.
    let mut third = New::come(other.bound.mqtt, &player, false).await;
    let receipt = third.hear(|it| it.is("receipt")).await;
    assert_eq!(receipt.says["choices"], json!([1]), "{receipt:?}");
    for command in [Command::Close, Command::Tallies, Command::Reveal] {
        node.step(&show, command);
    }
    let result = third.hear(|it| it.is("result")).await;
    assert_eq!(result.says["correct"], true, "it is subscribed to what comes later: {result:?}");
    drop(third);

    let (present, result) = come_old(node.bound.mqtt, &player, |it| it.is("result")).await;
    assert!(present && result.says["correct"] == true, "{result:?}");
    let afresh = New::come(other.bound.mqtt, &player, true).await;
    assert!(!afresh.present, "a clean start finds none");
}
