//! A player over real MQTT, as a careful client would be written.
//!
//! It joins, moves to another node when its own is lost, resumes by its token, answers, and writes
//! down everything it is told. One rule makes its record a judge: an answer that was acknowledged
//! is never published again, so a node that loses it cannot be saved by the client. An answer that
//! was not acknowledged is repeated on the next node, with the same choices.

mod record;
pub(crate) mod wire;

pub use record::{Acknowledged, Joined, Level, Receipt, Record, Refused, Seen, Told, TotalResult};
pub use wire::{Dialect, Transport};

use crate::cluster::Directory;
use crdt_state::PlayerId;
use node::service::view::InboxMessage;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use wire::{Address, Heard, Published, Wire};

/// Who plays, and how.
#[derive(Debug, Clone)]
pub struct PlayerOptions {
    /// The event's PIN.
    pub pin: String,
    /// The client's own random id.
    pub id: PlayerId,
    /// The name to join with.
    pub name: String,
    /// The node to start with.
    pub node: usize,
    /// Which MQTT.
    pub dialect: Dialect,
    /// Over what.
    pub transport: Transport,
}

impl PlayerOptions {
    fn topic(&self, word: &str) -> String {
        format!("{word}/{:02x}", self.id.slot())
    }
}

/// A player that plays until it quits or is dropped.
#[derive(Debug)]
pub struct Player {
    /// Who plays, and how.
    pub options: PlayerOptions,
    orders: mpsc::Sender<Order>,
    record: watch::Receiver<Record>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Order {
    Answer { instance: u32, choices: Vec<u8> },
    Move { node: usize },
    Publish { topic: String, payload: String },
}

impl Player {
    /// Starts to play.
    #[must_use]
    pub fn start(options: PlayerOptions, directory: Directory) -> Self {
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        let (told, record) = watch::channel(Record::default());
        let client = Client {
            options: options.clone(),
            directory,
            orders: taken,
            record: told,
            answer: None,
            connection: 0,
        };
        Player { options, orders, record, task: tokio::spawn(client.play()) }
    }

    /// Gives an answer as soon as there is a connection. A player of these tests gives one answer
    /// to a question and never changes it.
    ///
    /// # Panics
    /// If far more orders were given than the player could take.
    pub fn answer(&self, instance: u32, choices: &[u8]) {
        self.order(Order::Answer { instance, choices: choices.to_vec() });
    }

    /// Leaves the current node for another one.
    ///
    /// # Panics
    /// If far more orders were given than the player could take.
    pub fn move_to(&self, node: usize) {
        self.order(Order::Move { node });
    }

    /// Publishes anything, for tests of what a node refuses.
    ///
    /// # Panics
    /// If far more orders were given than the player could take.
    pub fn publish(&self, topic: &str, payload: &str) {
        self.order(Order::Publish { topic: topic.to_owned(), payload: payload.to_owned() });
    }

    /// The topic of this player for a `word`: `connect` or `answer`.
    #[must_use]
    pub fn topic(&self, word: &str) -> String {
        self.options.topic(word)
    }

    /// Everything that it was told so far.
    #[must_use]
    pub fn record(&self) -> Record {
        self.record.borrow().clone()
    }

    /// Waits until the record is as wanted.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub async fn wait(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Record) -> bool,
    ) -> Record {
        let mut record = self.record.clone();
        let waited = tokio::time::timeout(within, record.wait_for(|record| wanted(record))).await;
        match waited {
            Ok(Ok(record)) => record.clone(),
            _ => {
                panic!("{}: {what} not within {within:?}: {:#?}", self.options.name, self.record())
            }
        }
    }

    /// Waits until it is in, firmly.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub async fn wait_joined(&self, within: Duration) -> Record {
        let firm = |joined: &Joined| joined.level == Level::Firm;
        self.wait("a firm join", within, |record| record.joined.iter().any(firm)).await
    }

    /// Waits for the firm receipt of its answer to an instance.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub async fn wait_receipt(&self, instance: u32, within: Duration) -> Record {
        let what = format!("a firm receipt for instance {instance}");
        self.wait(&what, within, |record| record.firm(instance).is_some()).await
    }

    /// Leaves for good, without a goodbye.
    #[must_use]
    pub fn quit(self) -> Record {
        self.task.abort();
        self.record()
    }

    fn order(&self, order: Order) {
        self.orders.try_send(order).expect("a player takes its orders");
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What runs inside a player's task.
struct Client {
    options: PlayerOptions,
    directory: Directory,
    orders: mpsc::Receiver<Order>,
    record: watch::Sender<Record>,
    answer: Option<Answer>,
    /// Counts from 1.
    connection: u32,
}

/// The newest answer.
#[derive(Debug, Clone)]
struct Answer {
    instance: u32,
    choices: Vec<u8>,
    acknowledged: bool,
}

/// How a stay at a node ended.
enum Left {
    /// The node is gone.
    Lost,
    /// The player wants another one.
    For(usize),
    /// The player was dropped.
    Quit,
}

impl Client {
    async fn play(mut self) {
        let mut node = self.options.node;
        loop {
            match self.stay(node).await {
                Left::Quit => return,
                Left::For(other) => node = other,
                Left::Lost => {
                    node += 1;
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
            }
        }
    }

    /// One connection to one node.
    async fn stay(&mut self, node: usize) -> Left {
        let Some((node, address)) = self.address(node) else { return Left::Lost };
        self.connection += 1;
        let mut wire = Wire::open(self.options.dialect, &self.options.id.to_string(), &address);
        self.greet(&mut wire);
        let left = loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    None => break Left::Quit,
                    Some(Order::Move { node }) => break Left::For(node),
                    Some(Order::Publish { topic, payload }) => wire.publish(&topic, &payload, None),
                    Some(Order::Answer { instance, choices }) => {
                        self.answer = Some(Answer { instance, choices, acknowledged: false });
                        self.publish_answer(&mut wire);
                    }
                },
                heard = wire.hear() => match heard {
                    Heard::Lost(reason) => {
                        self.note(|record| record.losses.push(reason));
                        break Left::Lost;
                    }
                    heard => self.on_heard(heard, node, &mut wire),
                },
            }
        };
        self.note(|record| record.node = None);
        left
    }

    /// Where `node`, counted around, is now.
    fn address(&self, node: usize) -> Option<(usize, Address)> {
        let directory = self.directory.read().expect("no holder panics");
        let node = node % directory.len().max(1);
        let links = directory.get(node)?;
        Some((node, Address::of(self.options.transport, links)?))
    }

    /// What each connection begins with: the subscriptions, then the join or its token.
    fn greet(&self, wire: &mut Wire) {
        let PlayerOptions { pin, id, name, .. } = &self.options;
        wire.subscribe(&format!("inbox/{id}"));
        wire.subscribe(&format!("live/{pin}"));
        let join = match &self.record.borrow().token {
            Some(token) => json!({ "token": token }),
            None => json!({ "pin": pin, "player": id, "name": name }),
        };
        wire.publish(&self.options.topic("connect"), &join.to_string(), None);
        self.publish_answer(wire);
    }

    /// Publishes the answer unless it was acknowledged, or the join has not given a token yet.
    fn publish_answer(&self, wire: &mut Wire) {
        let Some(token) = self.record.borrow().token.clone() else { return };
        let Some(Answer { instance, choices, acknowledged: false }) = &self.answer else { return };
        let answer = json!({ "token": token, "instance": instance, "choices": choices });
        wire.publish(&self.options.topic("answer"), &answer.to_string(), Some(*instance));
    }

    fn on_heard(&mut self, heard: Heard, node: usize, wire: &mut Wire) {
        let connection = self.connection;
        match heard {
            Heard::Connected => self.note(|record| {
                record.node = Some(node);
                record.connections += 1;
            }),
            Heard::Acknowledged { published, reason, receipt } => {
                self.on_acknowledged(published, reason, receipt.as_deref(), node);
            }
            Heard::Message { topic, payload } if topic.starts_with("live/") => {
                match serde_json::from_slice(&payload) {
                    Ok(live) => self.note(|record| record.take_live(live, connection)),
                    Err(error) => self.error(&error.to_string(), &payload),
                }
            }
            Heard::Message { payload, .. } => match serde_json::from_slice(&payload) {
                Ok(message) => self.on_message(message, node, wire),
                Err(error) => self.error(&error.to_string(), &payload),
            },
            Heard::Lost(_) => {}
        }
    }

    fn on_acknowledged(
        &mut self,
        published: Published,
        reason: u8,
        receipt: Option<&str>,
        node: usize,
    ) {
        let Published { topic, instance } = published;
        let (connection, at) = (self.connection, Instant::now());
        let receipt: Option<record::ReceiptProperty> =
            receipt.and_then(|receipt| serde_json::from_str(receipt).ok());
        if let Some(instance) = instance {
            self.acknowledge(instance);
        }
        self.note(|record| {
            record.refused.extend(receipt.as_ref().and_then(|it| it.refused(&topic)));
            record.acknowledged.push(Acknowledged { topic, reason, at });
            let receipt = receipt.zip(instance);
            let receipt = receipt.and_then(|(it, of)| it.receipt(of, connection, node, at));
            record.receipts.extend(receipt);
        });
    }

    fn on_message(&mut self, message: InboxMessage, node: usize, wire: &mut Wire) {
        if let InboxMessage::Receipt { instance, .. } = &message {
            self.acknowledge(*instance);
        }
        let first = self.record.borrow().token.is_none();
        let connection = self.connection;
        self.note(|record| record.take(message, connection, node));
        if first && self.record.borrow().token.is_some() {
            self.publish_answer(wire);
        }
    }

    fn acknowledge(&mut self, instance: u32) {
        if let Some(answer) = self.answer.as_mut().filter(|answer| answer.instance == instance) {
            answer.acknowledged = true;
        }
    }

    fn error(&self, error: &str, payload: &[u8]) {
        let payload = String::from_utf8_lossy(payload);
        self.note(|record| record.errors.push(format!("{error} in {payload}")));
    }

    fn note(&self, change: impl FnOnce(&mut Record)) {
        self.record.send_modify(change);
    }
}

/// Orders that wait while a player connects; a test gives a handful.
const ORDERS_MAX: usize = 64;

/// Between two attempts to connect. Arbitrary: long beside a refused connection on loopback.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
