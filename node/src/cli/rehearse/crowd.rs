//! One player of the crowd: joins, answers every question once, writes down what it was told.
//!
//! It is a careful client: an answer that was not acknowledged is sent again over a new connection, one that
//! was is never repeated, so that a node that loses it cannot be saved by its player.

use super::mqtt::{Connection, KEEP_ALIVE_S, Packet};
use crate::service::view::{InboxMessage, LiveView, NodeLinks, PhaseView, QuestionView};
use crate::service::{inbox_topic, live_topic};
use crdt_state::PlayerId;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::time::{Instant as Moment, sleep_until};

/// What all players share.
#[derive(Debug)]
pub(super) struct Game {
    pub pin: String,
    pub nodes: Vec<NodeLinks>,
    /// The longest that a player thinks.
    pub think: Duration,
    pub seed: u64,
    /// How many have joined.
    pub joined: AtomicUsize,
}

/// An answer as its player saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub choices: Vec<u8>,
    /// From sending to the acknowledgement.
    pub acknowledged: Option<Duration>,
    /// From sending to the firm receipt.
    pub firm: Option<Duration>,
    /// The word with which it was refused.
    pub refused: Option<String>,
}

/// What a player wrote down.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    pub player: Option<PlayerId>,
    /// By instance.
    pub answers: BTreeMap<u32, Given>,
    /// Connections that were lost.
    pub losses: u32,
    /// Runs of questions of a kind that the crowd does not know how to answer.
    pub passed: BTreeSet<u32>,
    /// Refusals of anything but answers.
    pub refused: Vec<String>,
    /// Whether it saw the end.
    pub ended: bool,
}

struct Player {
    game: Arc<Game>,
    number: usize,
    id: PlayerId,
    random: ChaCha8Rng,
    token: Option<String>,
    record: Record,
    /// The answer that is due, and when.
    due: Option<(Moment, u32, Vec<u8>)>,
    /// The answer that is not acknowledged: its packet, run and moment.
    sent: Option<(u16, u32, Instant)>,
    sent_at: BTreeMap<u32, Instant>,
    /// When to ask for a place again: this node had not heard of the lobby yet, or was busy.
    join_again: Option<Moment>,
}

/// Connections that a player loses before it gives up.
const LOSSES_MAX: u32 = 50;
/// How long a player waits before it tries the next node.
const RETRY: Duration = Duration::from_millis(200);

/// Plays until the show ends.
pub(super) async fn play(game: Arc<Game>, number: usize) -> Record {
    let mut random = ChaCha8Rng::seed_from_u64(game.seed.wrapping_add(number as u64));
    let id = PlayerId(u128::from(random.next_u64()) << 64 | u128::from(random.next_u64()));
    let mut player = Player {
        record: Record { player: Some(id), ..Record::default() },
        token: None,
        due: None,
        sent: None,
        sent_at: BTreeMap::new(),
        join_again: None,
        game,
        number,
        id,
        random,
    };
    while player.record.losses <= LOSSES_MAX {
        match player.connection().await {
            Ok(()) => break,
            Err(_) => player.record.losses += 1,
        }
        tokio::time::sleep(RETRY).await;
    }
    player.record
}

impl Player {
    /// One connection, from the join to the end of the show.
    async fn connection(&mut self) -> io::Result<()> {
        let nodes = &self.game.nodes;
        let node = &nodes[(self.number + self.record.losses as usize) % nodes.len()];
        let mut connection = Connection::open(&node.mqtt, &self.id.to_string()).await?;
        let topics = [inbox_topic(self.id), live_topic(&self.game.pin)];
        connection.subscribe(&topics).await?;
        self.join(&mut connection).await?;
        self.resend(&mut connection).await?;
        let mut ping = tokio::time::interval(Duration::from_secs(u64::from(KEEP_ALIVE_S) / 2));
        while !self.record.ended {
            let far = Moment::now() + Duration::from_secs(3_600);
            let due = self.due.as_ref().map_or(far, |(at, ..)| *at);
            let again = self.join_again.unwrap_or(far);
            tokio::select! {
                packet = connection.read() => self.take(packet?),
                () = sleep_until(due) => self.answer(&mut connection).await?,
                () = sleep_until(again) => self.join(&mut connection).await?,
                _ = ping.tick() => connection.ping().await?,
            }
        }
        connection.close().await;
        Ok(())
    }

    async fn join(&mut self, connection: &mut Connection) -> io::Result<()> {
        self.join_again = None;
        let payload = match &self.token {
            Some(token) => json!({ "token": token }),
            None => json!({ "pin": self.game.pin, "player": self.id, "name": self.name() }),
        };
        connection.publish(&self.topic("connect"), &payload.to_string()).await?;
        Ok(())
    }

    /// Sends what was not acknowledged once more.
    async fn resend(&mut self, connection: &mut Connection) -> io::Result<()> {
        let Some((_, instance, at)) = self.sent.take() else { return Ok(()) };
        let choices = self.record.answers[&instance].choices.clone();
        let id = self.publish_answer(connection, instance, &choices).await?;
        self.sent = Some((id, instance, at));
        Ok(())
    }

    async fn answer(&mut self, connection: &mut Connection) -> io::Result<()> {
        let Some((_, instance, choices)) = self.due.take() else { return Ok(()) };
        let at = Instant::now();
        self.record
            .answers
            .insert(instance, Given { choices: choices.clone(), ..Given::default() });
        self.sent_at.insert(instance, at);
        self.sent = Some((0, instance, at));
        let id = self.publish_answer(connection, instance, &choices).await?;
        self.sent = Some((id, instance, at));
        Ok(())
    }

    async fn publish_answer(
        &self,
        connection: &mut Connection,
        instance: u32,
        choices: &[u8],
    ) -> io::Result<u16> {
        let payload = json!({ "token": self.token, "instance": instance, "choices": choices });
        connection.publish(&self.topic("answer"), &payload.to_string()).await
    }

    fn take(&mut self, packet: Packet) {
        match packet {
            Packet::Acknowledged(id) => {
                if let Some((_, instance, at)) = self.sent.take_if(|(sent, ..)| *sent == id) {
                    let given = self.record.answers.entry(instance).or_default();
                    given.acknowledged = Some(at.elapsed());
                }
            }
            Packet::Message { topic, payload } if topic.starts_with("inbox/") => {
                if let Ok(message) = serde_json::from_slice(&payload) {
                    self.hear(message);
                }
            }
            Packet::Message { payload, .. } => {
                if let Ok(live) = serde_json::from_slice(&payload) {
                    self.see(&live);
                }
            }
            Packet::Connected | Packet::Other => {}
        }
    }

    fn hear(&mut self, message: InboxMessage) {
        match message {
            InboxMessage::Joined { token, .. } => {
                let is_first = self.token.replace(token).is_none();
                self.game.joined.fetch_add(usize::from(is_first), Relaxed);
            }
            InboxMessage::Receipt { instance, level, .. } if level == "firm" => {
                let at = self.sent_at.get(&instance).map(Instant::elapsed);
                if let Some(given) = self.record.answers.get_mut(&instance) {
                    given.firm = given.firm.or(at);
                }
            }
            InboxMessage::Refused { topic, code, .. } => self.refused(&topic, code),
            _ => {}
        }
    }

    fn refused(&mut self, topic: &str, code: String) {
        if topic.starts_with("connect/") && matches!(&*code, "not_open" | "overloaded") {
            self.join_again = Some(Moment::now() + RETRY);
        }
        let newest = self.record.answers.values_mut().next_back();
        match newest.filter(|given| topic.starts_with("answer/") && given.firm.is_none()) {
            Some(given) => given.refused = Some(code),
            None => self.record.refused.push(code),
        }
    }

    fn see(&mut self, live: &LiveView) {
        self.record.ended |= live.stage.phase >= PhaseView::Ended;
        let instance = live.stage.instance;
        let is_new = !self.record.answers.contains_key(&instance)
            && self.due.as_ref().is_none_or(|(_, due, _)| *due != instance);
        if live.stage.phase != PhaseView::Open || self.token.is_none() || !is_new {
            return;
        }
        let Some(choices) = live.question.as_ref().and_then(|it| self.choose(it)) else {
            self.record.passed.insert(instance);
            return;
        };
        let think = self.game.think.min(Duration::from_millis(live.remaining_ms.unwrap_or(0)) / 2);
        let wait = think.mul_f64(self.random.next_u32() as f64 / f64::from(u32::MAX));
        self.due = Some((Moment::now() + wait, instance, choices));
    }

    /// One option by chance, or several where that is asked.
    fn choose(&mut self, question: &QuestionView) -> Option<Vec<u8>> {
        let count = u32::try_from(question.options().len()).ok().filter(|count| *count > 0)?;
        let first = (self.random.next_u32() % count) as u8;
        if !question.takes_several() {
            return Some(vec![first]);
        }
        let mask = self.random.next_u32();
        Some(
            (0..count as u8).filter(|option| *option == first || mask >> option & 1 == 1).collect(),
        )
    }

    fn topic(&self, word: &str) -> String {
        format!("{word}/{:02x}", self.id.slot())
    }

    /// Two letters and a number: no two look alike, and no filter minds.
    fn name(&self) -> String {
        format!("Crowd {}", self.number + 1)
    }
}
