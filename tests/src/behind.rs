//! Players behind a broker, as the documentation tells them to play.
//!
//! A player asks under a random name where its inbox is, comes back under the inbox's name, and
//! repeats what it said until the receipt is in the inbox: at a broker a PUBACK proves nothing.

use crate::player::Dialect;
use crate::player::wire::{Address, Heard, Wire};
use crdt_state::PlayerId;
use node::service::view::{InboxMessage, LiveView, NodeLinks, StageView};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// What a player was told.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Proves the join.
    pub token: Option<String>,
    /// The topic of its inbox.
    pub inbox: Option<String>,
    /// The choices of its firm receipts, by instance.
    pub firm: BTreeMap<u32, Vec<u8>>,
    /// The points of its results, by instance.
    pub results: BTreeMap<u32, i64>,
    /// The newest stage.
    pub stage: Option<StageView>,
    /// How often the live state said `open`, by instance.
    pub opens: BTreeMap<u32, u32>,
    /// What it was refused.
    pub refused: Vec<String>,
}

/// A player that plays until it is dropped.
#[derive(Debug)]
pub struct BrokerPlayer {
    /// Its own id.
    pub id: PlayerId,
    orders: mpsc::Sender<(u32, u8)>,
    told: watch::Receiver<Told>,
    task: JoinHandle<()>,
}

impl BrokerPlayer {
    /// Starts to play at `broker`.
    #[must_use]
    pub fn start(
        broker: SocketAddr,
        dialect: Dialect,
        pin: &str,
        id: PlayerId,
        name: &str,
    ) -> Self {
        let (orders, taken) = mpsc::channel(16);
        let (record, told) = watch::channel(Told::default());
        let (pin, name) = (pin.to_owned(), name.to_owned());
        let client = Client { broker, dialect, pin, id, name, orders: taken, record, answer: None };
        BrokerPlayer { id, orders, told, task: tokio::spawn(client.play()) }
    }

    /// Answers, and says so again until there is a firm receipt.
    ///
    /// # Panics
    /// If far more orders were given than the player could take.
    pub fn answer(&self, instance: u32, choice: u8) {
        self.orders.try_send((instance, choice)).expect("a player takes a handful of orders");
    }

    /// What it was told so far.
    #[must_use]
    pub fn told(&self) -> Told {
        self.told.borrow().clone()
    }

    /// Waits until it was told what is wanted.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub async fn wait(&self, what: &str, wanted: impl Fn(&Told) -> bool) -> Told {
        let mut told = self.told.clone();
        let waiting = told.wait_for(|told| wanted(told));
        let waited = tokio::time::timeout(WAIT_MAX, waiting).await;
        let found = waited.map(|found| found.expect("the player plays").clone());
        found.unwrap_or_else(|_| panic!("{what} did not come for {}: {:#?}", self.id, self.told()))
    }
}

impl Drop for BrokerPlayer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Client {
    broker: SocketAddr,
    dialect: Dialect,
    pin: String,
    id: PlayerId,
    name: String,
    orders: mpsc::Receiver<(u32, u8)>,
    record: watch::Sender<Told>,
    answer: Option<(u32, u8)>,
}

impl Client {
    async fn play(mut self) {
        loop {
            self.connection().await;
            sleep(PAUSE).await;
        }
    }

    /// One connection, to its end; the first one ends when the inbox is known.
    async fn connection(&mut self) {
        let links = NodeLinks {
            name: String::new(),
            http: String::new(),
            ws: String::new(),
            mqtt: self.broker.to_string(),
            mqtts: String::new(),
        };
        let Some(address) = Address::of(crate::player::Transport::Tcp, &links) else { return };
        let inbox = self.record.borrow().inbox.clone();
        let name = inbox.as_deref().and_then(|inbox| inbox.strip_prefix("inbox/"));
        let client_id = name.map_or_else(|| format!("{:032x}", !self.id.0), str::to_owned);
        let mut wire = Wire::open(self.dialect, &client_id, &address);
        let (mut again, mut is_welcome, mut is_in) = (interval(REPEAT), false, false);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                heard = wire.hear() => match heard {
                    Heard::Connected => {
                        is_welcome = true;
                        let own = inbox.clone().unwrap_or_else(|| format!("reply/{client_id}"));
                        wire.subscribe(&own);
                        wire.subscribe(&format!("live/{}", self.pin));
                        self.ask(&mut wire, &client_id);
                    }
                    Heard::Message { topic, payload } => {
                        is_in |= self.on_message(&topic, &payload);
                    }
                    Heard::Acknowledged { .. } => {}
                    Heard::Lost(_) => return,
                },
                Some(answer) = self.orders.recv() => {
                    self.answer = Some(answer);
                    self.give(&mut wire);
                }
                _ = again.tick() => if is_welcome {
                    if !is_in {
                        self.ask(&mut wire, &client_id);
                    }
                    self.give(&mut wire);
                },
            }
            if inbox.is_none() && self.record.borrow().inbox.is_some() {
                return;
            }
        }
    }

    fn topic(&self, word: &str) -> String {
        format!("{word}/{:02x}", self.id.slot())
    }

    fn ask(&self, wire: &mut Wire, client_id: &str) {
        let ask = match &self.record.borrow().token {
            Some(token) => json!({ "token": token }),
            None => json!({ "pin": self.pin, "player": self.id, "name": self.name,
                "reply": format!("reply/{client_id}") }),
        };
        wire.publish(&self.topic("connect"), &ask.to_string(), None);
    }

    fn give(&self, wire: &mut Wire) {
        let told = self.record.borrow();
        let (Some(token), Some((instance, choice))) = (&told.token, self.answer) else { return };
        if !told.firm.contains_key(&instance) {
            let answer = json!({ "token": token, "instance": instance, "choices": [choice] });
            wire.publish(&self.topic("answer"), &answer.to_string(), None);
        }
    }

    /// Tells whether the player is in.
    fn on_message(&self, topic: &str, payload: &[u8]) -> bool {
        if topic.starts_with("live/") {
            let Ok(live) = serde_json::from_slice::<LiveView>(payload) else { return false };
            self.record.send_modify(|told| {
                told.stage = told.stage.max(Some(live.stage));
                if live.age_ms.is_some() {
                    *told.opens.entry(live.stage.instance).or_default() += 1;
                }
            });
            return false;
        }
        let message = serde_json::from_slice(payload).expect("an inbox holds inbox messages");
        let mut is_in = false;
        self.record.send_modify(|told| match message {
            InboxMessage::Joined { token, inbox, .. } => {
                (told.token, told.inbox, is_in) = (Some(token), inbox, true);
            }
            InboxMessage::Receipt { instance, level, choices, .. } if level == "firm" => {
                told.firm.insert(instance, choices);
            }
            InboxMessage::Result { instance, points, .. } => {
                told.results.insert(instance, points.unwrap_or_default());
            }
            InboxMessage::Refused { code, .. } => told.refused.push(code),
            InboxMessage::Receipt { .. } | InboxMessage::Marked { .. } => {}
        });
        is_in
    }
}

/// Between two connections.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two repetitions of what has no answer.
const REPEAT: Duration = Duration::from_secs(1);
/// Brokers and nodes restart in between, on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(120);
