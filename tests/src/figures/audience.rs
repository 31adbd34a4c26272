//! Thousands of MQTT 5 players in one process, each with a connection of its own.
//!
//! Leaner than [`crate::player`]: a player never changes nodes and keeps only what is measured. It
//! answers as an audience does, at a random moment after it has seen the question open itself.
//! No fault is injected here, so whatever a player does not expect fails the whole measurement.

use crate::cluster::Cluster;
use crate::crowd::player_id;
use crate::player::Level;
use crdt_state::PlayerId;
use node::service::view::{InboxMessage, PhaseView, StageView};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAck, PubAckReason};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde::Deserialize;
use serde_json::json;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Within this time after a player has seen a question open, uniformly at random, it answers.
pub(super) const SPREAD: Duration = Duration::from_secs(3);

/// All players.
pub(super) struct Audience {
    pub(super) seats: Vec<Arc<Seat>>,
    progress: watch::Sender<Progress>,
    /// The players' tasks; they end with it.
    _tasks: JoinSet<()>,
}

/// How far all players together are.
#[derive(Debug, Default)]
struct Progress {
    joined: usize,
    /// First publishes, the joins, that were acknowledged.
    acknowledged: usize,
    firm: usize,
    /// The first thing that no player should have met.
    failure: Option<String>,
}

/// One player.
pub(super) struct Seat {
    pub(super) id: PlayerId,
    /// The node that it plays at.
    pub(super) node: usize,
    name: String,
    pin: String,
    notes: Mutex<Notes>,
    progress: watch::Sender<Progress>,
}

#[derive(Default)]
struct Notes {
    token: Option<String>,
    /// In order; only the last one is under way.
    answers: Vec<Answer>,
}

/// An answer and what came of it.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) instance: u32,
    /// When it was handed to the client.
    pub(super) sent: Instant,
    /// What its PUBACK said.
    level: Option<Level>,
    /// The first firm receipt in the inbox.
    inbox: Option<Receipt>,
    /// The first firm receipt, as the protocol gives it: with the PUBACK, or in the inbox if the
    /// PUBACK was provisional.
    pub(super) firm: Option<Receipt>,
}

/// A firm receipt.
#[derive(Debug, Clone)]
pub(super) struct Receipt {
    pub(super) at: Instant,
    pub(super) choices: Vec<u8>,
    pub(super) elapsed_ms: u32,
}

/// The user property `receipt` of an accepted answer.
#[derive(Deserialize)]
struct Property {
    level: Level,
    choices: Vec<u8>,
    elapsed_ms: u32,
}

/// All that a player here needs of the live state.
#[derive(Deserialize)]
struct Live {
    stage: StageView,
}

impl Audience {
    /// Lets `count` players join around the nodes, some at a time, and waits for them.
    ///
    /// # Errors
    /// If they are not in within `within`, or one was refused.
    pub(super) async fn join(
        cluster: &Cluster,
        count: usize,
        random: &mut ChaCha8Rng,
        within: Duration,
    ) -> Result<Self, String> {
        let progress = watch::Sender::new(Progress::default());
        let mut audience = Audience { seats: Vec::new(), progress, _tasks: JoinSet::new() };
        let deadline = Instant::now() + within;
        for index in 0..count {
            audience.seat(cluster, index, random)?;
            let seated = index + 1;
            if seated.is_multiple_of(JOINING_MAX) || seated == count {
                let left = deadline.saturating_duration_since(Instant::now());
                let all = |it: &Progress| it.joined >= seated && it.acknowledged >= seated;
                audience.wait("joins", left, all).await?;
            }
        }
        Ok(audience)
    }

    /// Waits until every player has a firm receipt for each of the first `questions` answers.
    ///
    /// # Errors
    /// If they have not within `within`, or a player met something unexpected.
    pub(super) async fn wait_firm(&self, questions: u32, within: Duration) -> Result<(), String> {
        let wanted = self.seats.len() * questions as usize;
        self.wait("firm receipts", within, |progress| progress.firm >= wanted).await
    }

    /// Every answer with the player who gave it.
    pub(super) fn answers(&self) -> impl Iterator<Item = (&Seat, Answer)> {
        self.seats.iter().flat_map(|seat| {
            let answers = seat.notes().answers.clone();
            answers.into_iter().map(|answer| (&**seat, answer))
        })
    }

    fn seat(
        &mut self,
        cluster: &Cluster,
        index: usize,
        random: &mut ChaCha8Rng,
    ) -> Result<(), String> {
        let node = index % cluster.size();
        let mqtt = cluster.links(node).mqtt;
        let (host, port) = mqtt.rsplit_once(':').ok_or_else(|| format!("no port in {mqtt}"))?;
        let port = port.parse().map_err(|error| format!("{mqtt}: {error}"))?;
        let seat = Arc::new(Seat {
            id: player_id(random),
            node,
            name: format!("Player {index}"),
            pin: cluster.pin().to_owned(),
            notes: Mutex::default(),
            progress: self.progress.clone(),
        });
        let mut options = MqttOptions::new(seat.id.to_string(), host, port);
        options.set_keep_alive(KEEP_ALIVE).set_max_packet_size(Some(PACKET_BYTES_MAX));
        options.set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX);
        let (client, events) = AsyncClient::new(options, REQUESTS_MAX);
        let random = fork(random);
        let player = Player { seat: Arc::clone(&seat), client, random, opened: 0 };
        self._tasks.spawn(player.play(events));
        self.seats.push(seat);
        Ok(())
    }

    async fn wait(
        &self,
        what: &str,
        within: Duration,
        reached: impl Fn(&Progress) -> bool,
    ) -> Result<(), String> {
        let mut progress = self.progress.subscribe();
        let over = |it: &Progress| it.failure.is_some() || reached(it);
        let waited = tokio::time::timeout(within, progress.wait_for(over)).await;
        let failure = waited.map(|over| over.ok().and_then(|over| over.failure.clone()));
        match failure {
            Ok(None) => Ok(()),
            Ok(Some(failure)) => Err(failure),
            Err(_) => Err(format!("{what}: {:?} after {within:?}", *self.progress.borrow())),
        }
    }
}

impl Seat {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().expect("no holder panics")
    }

    fn topic(&self, word: &str) -> String {
        format!("{word}/{:02x}", self.id.slot())
    }

    fn fail(&self, what: &str) {
        let failure = format!("{} at node {}: {what}", self.name, self.node);
        self.progress.send_modify(|it| {
            it.failure.get_or_insert(failure);
        });
    }
}

/// What runs in a player's task.
struct Player {
    seat: Arc<Seat>,
    client: AsyncClient,
    random: ChaCha8Rng,
    /// The newest instance that it has seen open.
    opened: u32,
}

impl Player {
    async fn play(mut self, mut events: EventLoop) {
        if !self.greet() {
            return self.seat.fail("its first requests were not taken");
        }
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(ack))) => self.on_acknowledged(&ack),
                Ok(Event::Incoming(Packet::Publish(message))) => {
                    if message.topic.starts_with(b"live/") {
                        self.on_live(&message.payload);
                    } else {
                        self.on_inbox(&message.payload);
                    }
                }
                Ok(_) => {}
                Err(error) => return self.seat.fail(&error.to_string()),
            }
        }
    }

    fn greet(&self) -> bool {
        let Seat { id, name, pin, .. } = &*self.seat;
        let join = json!({ "pin": pin, "player": id, "name": name }).to_string();
        let (client, qos) = (&self.client, QoS::AtLeastOnce);
        client.try_subscribe(format!("inbox/{id}"), qos).is_ok()
            && client.try_subscribe(format!("live/{pin}"), qos).is_ok()
            && client.try_publish(self.seat.topic("connect"), qos, false, join).is_ok()
    }

    /// Plans its answer when it sees that a question has opened.
    fn on_live(&mut self, payload: &[u8]) {
        let stage = match serde_json::from_slice(payload) {
            Ok(Live { stage }) => stage,
            Err(error) => return self.seat.fail(&format!("a live state: {error}")),
        };
        let newest = &mut self.opened;
        if stage.phase != PhaseView::Open || *newest == stage.instance {
            return;
        }
        *newest = stage.instance;
        let delay = SPREAD.mul_f64((self.random.next_u32() as f64) / f64::from(u32::MAX));
        let choice = self.random.next_u32() % CHOICES;
        let (seat, client) = (Arc::clone(&self.seat), self.client.clone());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            answer(&seat, &client, stage.instance, choice);
        });
    }

    /// The first acknowledgement is the join's, any other the newest answer's.
    fn on_acknowledged(&self, ack: &PubAck) {
        let at = Instant::now();
        let mut properties = ack.properties.iter().flat_map(|it| &it.user_properties);
        let receipt = properties.find(|(key, _)| key == "receipt").map_or("", |(_, value)| value);
        if ack.reason != PubAckReason::Success {
            return self.seat.fail(&format!("{:?}: {receipt}", ack.reason));
        }
        let mut notes = self.seat.notes();
        let Some(answer) = notes.answers.last_mut() else {
            return self.seat.progress.send_modify(|progress| progress.acknowledged += 1);
        };
        match serde_json::from_str(receipt) {
            Ok(Property { level, choices, elapsed_ms }) => {
                answer.level = Some(level);
                let own = (level == Level::Firm).then_some(Receipt { at, choices, elapsed_ms });
                let firm = own.or_else(|| answer.inbox.clone());
                self.confirm(answer, firm);
            }
            Err(error) => self.seat.fail(&format!("the receipt of a PUBACK: {error}")),
        }
    }

    fn on_inbox(&self, payload: &[u8]) {
        let at = Instant::now();
        match serde_json::from_slice(payload) {
            Ok(InboxMessage::Joined { token, .. }) => {
                if self.seat.notes().token.replace(token).is_none() {
                    self.seat.progress.send_modify(|progress| progress.joined += 1);
                }
            }
            Ok(InboxMessage::Receipt { instance, level, choices, elapsed_ms, .. }) => {
                if level == "firm" {
                    self.on_inbox_receipt(instance, Receipt { at, choices, elapsed_ms });
                }
            }
            Ok(InboxMessage::Result { .. } | InboxMessage::Marked { .. }) => {}
            Ok(InboxMessage::Refused { code, message, .. }) => {
                self.seat.fail(&format!("{code}: {message}"));
            }
            Err(error) => self.seat.fail(&format!("an inbox message: {error}")),
        }
    }

    fn on_inbox_receipt(&self, instance: u32, receipt: Receipt) {
        let mut notes = self.seat.notes();
        let newest = notes.answers.last_mut().filter(|answer| answer.instance == instance);
        if let Some(answer) = newest {
            let first = answer.inbox.get_or_insert(receipt).clone();
            if answer.level == Some(Level::Provisional) {
                self.confirm(answer, Some(first));
            }
        }
    }

    /// Notes the firm receipt, if that is what it is.
    fn confirm(&self, answer: &mut Answer, firm: Option<Receipt>) {
        if answer.firm.is_none() && firm.is_some() {
            answer.firm = firm;
            self.seat.progress.send_modify(|progress| progress.firm += 1);
        }
    }
}

/// Sends an answer; the clock of both figures starts here.
fn answer(seat: &Seat, client: &AsyncClient, instance: u32, choice: u32) {
    let mut notes = seat.notes();
    let payload =
        json!({ "token": notes.token, "instance": instance, "choices": [choice] }).to_string();
    let sent = Instant::now();
    notes.answers.push(Answer { instance, sent, level: None, inbox: None, firm: None });
    drop(notes);
    let topic = seat.topic("answer");
    if let Err(error) = client.try_publish(topic, QoS::AtLeastOnce, false, payload) {
        seat.fail(&format!("an answer was not sent: {error}"));
    }
}

fn fork(random: &mut ChaCha8Rng) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(random.next_u64())
}

/// Players that join at once. Arbitrary: enough to keep the nodes busy, few enough that no join waits
/// for a level in vain.
const JOINING_MAX: usize = 50;

/// Options of each question of the show.
const CHOICES: u32 = 4;

/// The usual one of MQTT clients; no node dies here.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Publishes under way: one. The library reserves room for each, 10 MB a player without this limit.
const IN_FLIGHT_MAX: u16 = 4;

/// Requests that wait to be sent: two subscriptions and one publish.
const REQUESTS_MAX: usize = 8;

/// The largest packet that a player takes.
const PACKET_BYTES_MAX: u32 = 256 * 1024;
