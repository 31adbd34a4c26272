//! One MQTT connection of a player: `rumqttc` in both dialects, over TCP or WebSocket.
//!
//! The library repeats unacknowledged messages on its own when it reconnects; so it never does
//! here: one connection, and a new client for the next.

use node::service::view::NodeLinks;
use rumqttc::v5;
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// 3.1.1
    V311,
    /// 5
    V5,
}

/// What carries MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// WebSocket, path `/mqtt`, subprotocol `mqtt`.
    WebSocket,
}

/// Where to connect to.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    /// A host name, or a URL for WebSocket.
    host: String,
    port: u16,
    transport: Transport,
}

impl Address {
    /// The address of a node; `None` if its links are not what they should be.
    pub(crate) fn of(transport: Transport, links: &NodeLinks) -> Option<Self> {
        let (host, port) = links.mqtt.rsplit_once(':')?;
        let host = match transport {
            Transport::Tcp => host.to_owned(),
            Transport::WebSocket => links.ws.clone(),
        };
        Some(Address { host, port: port.parse().ok()?, transport })
    }
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// To which topic.
    pub(crate) topic: String,
    /// To which run, if it was the player's answer.
    pub(crate) instance: Option<u32>,
}

/// What a connection has to tell.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The node accepted the connection.
    Connected,
    /// The node acknowledged what was published.
    Acknowledged {
        /// What.
        published: Published,
        /// The reason code; 0 in MQTT 3.1.1.
        reason: u8,
        /// The user property `receipt`; absent in MQTT 3.1.1.
        receipt: Option<String>,
    },
    /// A message came.
    Message {
        /// On which topic.
        topic: String,
        /// What it says.
        payload: Vec<u8>,
    },
    /// The connection is over.
    Lost(String),
}

/// What the library has to tell, in one shape for both dialects.
enum Packeted {
    Connected,
    Sent { id: u16 },
    Acknowledged { id: u16, reason: u8, receipt: Option<String> },
    Message { topic: String, payload: Vec<u8> },
    Lost(String),
}

/// One connection.
pub(crate) struct Wire {
    client: Client,
    packets: mpsc::Receiver<Packeted>,
    /// Published and not yet sent, in order.
    queued: VecDeque<Published>,
    /// Sent and not yet acknowledged, by packet id.
    sent: BTreeMap<u16, Published>,
    task: JoinHandle<()>,
}

enum Client {
    V311(AsyncClient),
    V5(v5::AsyncClient),
}

impl Wire {
    /// Begins to connect.
    pub(crate) fn open(dialect: Dialect, client_id: &str, address: &Address) -> Self {
        let (to, packets) = mpsc::channel(PACKETS_MAX);
        let (client, task) = match dialect {
            Dialect::V311 => open_v311(client_id, address, to),
            Dialect::V5 => open_v5(client_id, address, to),
        };
        Wire { client, packets, queued: VecDeque::new(), sent: BTreeMap::new(), task }
    }

    pub(crate) fn subscribe(&mut self, topic: &str) {
        // Fails only when the connection has ended, which is heard anyway.
        let _ = match &self.client {
            Client::V311(client) => client.try_subscribe(topic, QoS::AtLeastOnce).is_ok(),
            Client::V5(client) => {
                client.try_subscribe(topic, v5::mqttbytes::QoS::AtLeastOnce).is_ok()
            }
        };
    }

    pub(crate) fn publish(&mut self, topic: &str, payload: &str, instance: Option<u32>) {
        let payload = payload.to_owned();
        let queued = match &self.client {
            Client::V311(client) => {
                client.try_publish(topic, QoS::AtLeastOnce, false, payload).is_ok()
            }
            Client::V5(client) => {
                let qos = v5::mqttbytes::QoS::AtLeastOnce;
                client.try_publish(topic, qos, false, payload).is_ok()
            }
        };
        if queued {
            self.queued.push_back(Published { topic: topic.to_owned(), instance });
        }
    }

    /// The next thing it has to tell. Cancel safe.
    pub(crate) async fn hear(&mut self) -> Heard {
        loop {
            match self.packets.recv().await {
                None => return Heard::Lost("the connection's task ended".to_owned()),
                Some(Packeted::Connected) => return Heard::Connected,
                Some(Packeted::Lost(reason)) => return Heard::Lost(reason),
                Some(Packeted::Message { topic, payload }) => {
                    return Heard::Message { topic, payload };
                }
                Some(Packeted::Sent { id }) => {
                    let published = self.queued.pop_front();
                    self.sent.extend(published.map(|published| (id, published)));
                }
                Some(Packeted::Acknowledged { id, reason, receipt }) => {
                    let Some(published) = self.sent.remove(&id) else { continue };
                    return Heard::Acknowledged { published, reason, receipt };
                }
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn open_v311(
    client_id: &str,
    address: &Address,
    to: mpsc::Sender<Packeted>,
) -> (Client, JoinHandle<()>) {
    let mut options = MqttOptions::new(client_id, &address.host, address.port);
    options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
    options.set_max_packet_size(PACKET_BYTES_MAX as usize, PACKET_BYTES_MAX as usize);
    if address.transport == Transport::WebSocket {
        options.set_transport(rumqttc::Transport::Ws);
    }
    let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
    let task = tokio::spawn(async move {
        let lost = loop {
            match events.poll().await {
                Ok(event) => pass_on(v311(event), &to).await,
                Err(error) => break error,
            }
        };
        // What came in the same read as the end of the connection was received all the same.
        for event in events.state.events.drain(..) {
            pass_on(v311(event), &to).await;
        }
        pass_on(Some(Packeted::Lost(lost.to_string())), &to).await;
    });
    (Client::V311(client), task)
}

/// Waits while the player is behind; a player that is gone aborts this task.
async fn pass_on(packet: Option<Packeted>, to: &mpsc::Sender<Packeted>) {
    if let Some(packet) = packet {
        let _ = to.send(packet).await;
    }
}

fn v311(event: Event) -> Option<Packeted> {
    match event {
        Event::Incoming(Packet::ConnAck(_)) => Some(Packeted::Connected),
        Event::Incoming(Packet::PubAck(ack)) => {
            Some(Packeted::Acknowledged { id: ack.pkid, reason: 0, receipt: None })
        }
        Event::Incoming(Packet::Publish(message)) => {
            Some(Packeted::Message { topic: message.topic, payload: message.payload.to_vec() })
        }
        Event::Outgoing(Outgoing::Publish(id)) => Some(Packeted::Sent { id }),
        _ => None,
    }
}

fn open_v5(
    client_id: &str,
    address: &Address,
    to: mpsc::Sender<Packeted>,
) -> (Client, JoinHandle<()>) {
    let mut options = v5::MqttOptions::new(client_id, &address.host, address.port);
    options.set_keep_alive(KEEP_ALIVE).set_clean_start(true);
    options.set_max_packet_size(Some(PACKET_BYTES_MAX));
    // By default it keeps 65,535 places for a client that has one publish under way.
    options.set_outgoing_inflight_upper_limit(16);
    if address.transport == Transport::WebSocket {
        options.set_transport(rumqttc::Transport::Ws);
    }
    let (client, mut events) = v5::AsyncClient::new(options, REQUESTS_MAX);
    let task = tokio::spawn(async move {
        let lost = loop {
            match events.poll().await {
                Ok(event) => pass_on(v5(event), &to).await,
                Err(error) => break error,
            }
        };
        // What came in the same read as the end of the connection was received all the same.
        for event in events.state.events.drain(..) {
            pass_on(v5(event), &to).await;
        }
        pass_on(Some(Packeted::Lost(lost.to_string())), &to).await;
    });
    (Client::V5(client), task)
}

fn v5(event: v5::Event) -> Option<Packeted> {
    use v5::mqttbytes::v5::Packet;
    match event {
        v5::Event::Incoming(Packet::ConnAck(_)) => Some(Packeted::Connected),
        v5::Event::Incoming(Packet::PubAck(ack)) => {
            let properties = ack.properties.map(|it| it.user_properties).unwrap_or_default();
            let receipt = properties.into_iter().find(|(key, _)| key == "receipt");
            let (id, reason) = (ack.pkid, reason_code(ack.reason));
            Some(Packeted::Acknowledged { id, reason, receipt: receipt.map(|(_, value)| value) })
        }
        v5::Event::Incoming(Packet::Publish(message)) => {
            let topic = String::from_utf8_lossy(&message.topic).into_owned();
            Some(Packeted::Message { topic, payload: message.payload.to_vec() })
        }
        v5::Event::Outgoing(Outgoing::Publish(id)) => Some(Packeted::Sent { id }),
        _ => None,
    }
}

/// The number of a PUBACK reason (MQTT 5.0, section 3.4.2.1).
fn reason_code(reason: v5::mqttbytes::v5::PubAckReason) -> u8 {
    use v5::mqttbytes::v5::PubAckReason;
    match reason {
        PubAckReason::Success => 0x00,
        PubAckReason::NoMatchingSubscribers => 0x10,
        PubAckReason::UnspecifiedError => 0x80,
        PubAckReason::ImplementationSpecificError => 0x83,
        PubAckReason::NotAuthorized => 0x87,
        PubAckReason::TopicNameInvalid => 0x90,
        PubAckReason::PacketIdentifierInUse => 0x91,
        PubAckReason::QuotaExceeded => 0x97,
        PubAckReason::PayloadFormatInvalid => 0x99,
    }
}

/// Packets that wait to be heard; the reader waits when it is full, and TCP makes the node wait.
const PACKETS_MAX: usize = 256;

/// Requests that wait to be sent; more are refused by the library and the answer stays unsent.
const REQUESTS_MAX: usize = 16;

/// A node that is gone without a word is noticed within one and a half of these.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The largest packet that a player takes.
const PACKET_BYTES_MAX: u32 = 256 * 1024;
