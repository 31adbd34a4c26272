//! One player of the crowd: joins, answers every question once, writes down what it was told.
//!
//! It is a careful client: an answer that was not acknowledged is sent again over a new connection, one that
//! was is never repeated, so that a node that loses it cannot be saved by its player.

use super::mqtt::{Connection, KEEP_ALIVE_S, Packet};
use crate::service::view::{InboxMessage, LiveView, NodeLinks, PhaseView};
use crate::service::{inbox_topic, live_topic};
use crdt_state::engagement::Given;
use crdt_state::{EventId, PlayerId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{Instant as Moment, sleep_until};

/// What all players share.
#[derive(Debug)]
pub(super) struct Game {
    pub event: EventId,
    pub pin: String,
    pub nodes: Vec<NodeLinks>,
    /// The longest that a player thinks.
    pub think: Duration,
    pub seed: u64,
    /// How many have joined.
    pub joined: AtomicUsize,
    /// How many were told what became of what they gave, by run.
    pub told: Mutex<BTreeMap<u32, usize>>,
}

impl Game {
    /// How many were told what became of what they gave to a run.
    pub(super) fn told(&self, instance: u32) -> usize {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.get(&instance).copied().unwrap_or(0)
    }

    fn tell(&self, instance: u32) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        *told.entry(instance).or_insert(0) += 1;
    }
}

/// What a player gave, as the player saw it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sent {
    pub given: Given,
    /// Whether it is the one answer of the player; else posts, votes or taps.
    pub is_answer: bool,
    /// What the receipt in the inbox says is held: choices, and what was typed.
    pub receipt: Option<(Vec<u8>, Option<String>)>,
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
    pub answers: BTreeMap<u32, Sent>,
    /// Connections that were lost.
    pub losses: u32,
    /// Refusals of anything but answers.
    pub refused: Vec<String>,
    /// Joins that were tried again, because the node had not heard of the lobby yet or was busy.
    pub joined_again: u32,
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
    due: Option<(Moment, u32, Sent)>,
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
    let mut player = Player::new(game, number);
    while player.record.losses <= LOSSES_MAX {
        match player.connection().await {
            Ok(()) => break,
            Err(_) => player.record.losses += 1,
        }
        tokio::time::sleep(RETRY).await;
    }
    player.record
}

/// A player's own generator; `event` is zero for what is to be the same in every show.
fn random(seed: u64, number: u64, event: u64) -> ChaCha8Rng {
    let mut whole = [0; 32];
    for (part, value) in whole.chunks_exact_mut(8).zip([seed, number, event]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(whole)
}

impl Player {
    /// The id is of this event alone: no rehearsal meets the players of another one, whatever its seed. What is
    /// answered hangs on the seed only.
    fn new(game: Arc<Game>, number: usize) -> Self {
        let mut ids = random(game.seed, number as u64, game.event.0);
        let id = PlayerId(u128::from(ids.next_u64()) << 64 | u128::from(ids.next_u64()));
        Player {
            record: Record { player: Some(id), ..Record::default() },
            token: None,
            due: None,
            sent: None,
            sent_at: BTreeMap::new(),
            join_again: None,
            random: random(game.seed, number as u64, 0),
            game,
            number,
            id,
        }
    }

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
        let given = self.record.answers[&instance].given.clone();
        let id = self.publish_answer(connection, instance, &given).await?;
        self.sent = Some((id, instance, at));
        Ok(())
    }

    async fn answer(&mut self, connection: &mut Connection) -> io::Result<()> {
        let Some((_, instance, sent)) = self.due.take() else { return Ok(()) };
        let (at, given) = (Instant::now(), sent.given.clone());
        self.record.answers.insert(instance, sent);
        self.sent_at.insert(instance, at);
        self.sent = Some((0, instance, at));
        let id = self.publish_answer(connection, instance, &given).await?;
        self.sent = Some((id, instance, at));
        Ok(())
    }

    async fn publish_answer(
        &self,
        connection: &mut Connection,
        instance: u32,
        given: &Given,
    ) -> io::Result<u16> {
        let payload = payload(self.token.as_deref(), instance, given);
        connection.publish(&self.topic("answer"), &payload.to_string()).await
    }

    fn take(&mut self, packet: Packet) {
        match packet {
            Packet::Acknowledged(id) => {
                if let Some((_, instance, at)) = self.sent.take_if(|(sent, ..)| *sent == id) {
                    let sent = self.record.answers.entry(instance).or_default();
                    sent.acknowledged = Some(at.elapsed());
                    self.game.tell(instance);
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

    /// An inbox is a player's, not an event's: what another show says there is left alone.
    fn hear(&mut self, message: InboxMessage) {
        let this = self.game.event;
        match message {
            InboxMessage::Joined { event, token, .. } if event == this => {
                let is_first = self.token.replace(token).is_none();
                self.game.joined.fetch_add(usize::from(is_first), Relaxed);
            }
            InboxMessage::Receipt { event, instance, level, choices, text, .. }
                if event == this =>
            {
                let at = self.sent_at.get(&instance).map(Instant::elapsed);
                if let Some(sent) = self.record.answers.get_mut(&instance) {
                    sent.firm = sent.firm.or(at.filter(|_| level == "firm"));
                    sent.receipt = Some((choices, text));
                }
            }
            InboxMessage::Refused { topic, code, .. } => self.refused(&topic, code),
            _ => {}
        }
    }

    fn refused(&mut self, topic: &str, code: String) {
        if topic.starts_with("connect/") && matches!(&*code, "not_open" | "overloaded") {
            self.join_again = Some(Moment::now() + RETRY);
            self.record.joined_again += 1;
            return;
        }
        let newest = self.record.answers.values_mut().next_back();
        match newest.filter(|sent| topic.starts_with("answer/") && sent.firm.is_none()) {
            Some(sent) => sent.refused = Some(code),
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
        let Some(sent) = self.guess(live) else { return };
        let think = self.game.think.min(Duration::from_millis(live.remaining_ms.unwrap_or(0)) / 2);
        let wait = think.mul_f64(self.random.next_u32() as f64 / f64::from(u32::MAX));
        self.due = Some((Moment::now() + wait, instance, sent));
    }

    /// What somebody gives who knows nothing but what is shown.
    fn guess(&mut self, live: &LiveView) -> Option<Sent> {
        let task = &live.question.as_ref()?.task;
        let mut draw = |below: u32| self.random.next_u32() % below.max(1);
        let given = task.guess(live.results.as_ref(), &mut draw);
        Some(Sent { given, is_answer: task.is_one_answer(), ..Sent::default() })
    }

    fn topic(&self, word: &str) -> String {
        format!("{word}/{:02x}", self.id.slot())
    }

    /// Two letters and a number: no two look alike, and no filter minds.
    fn name(&self) -> String {
        format!("Crowd {}", self.number + 1)
    }
}

/// What is published to `answer/<slot>`.
fn payload(token: Option<&str>, instance: u32, given: &Given) -> Value {
    let Given { choices, text, number, stake, count, post, .. } = given;
    json!({
        "token": token, "instance": instance, "choices": choices, "text": text, "number": number,
        "stake": stake, "count": count, "post": post.map(|post| format!("{post:016x}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player(seed: u64, number: usize, event: u64) -> Player {
        let game = Game {
            event: EventId(event),
            pin: "123456".into(),
            nodes: Vec::new(),
            think: Duration::ZERO,
            seed,
            joined: AtomicUsize::new(0),
            told: Mutex::default(),
        };
        Player::new(Arc::new(game), number)
    }

    fn joined(event: u64) -> InboxMessage {
        serde_json::from_value(json!({
            "type": "joined", "event": EventId(event), "pin": "1", "player": PlayerId(7), "name": "Crowd 1",
            "token": format!("of {event}"), "level": "firm", "nodes": [], "points": 0, "rank": null, "players": 1,
        }))
        .expect("it is a message")
    }

    #[test]
    fn no_two_rehearsals_share_a_player() {
        let of = |seed, number, event| player(seed, number, event).id;
        assert_ne!(of(1, 1, 9), of(2, 0, 9), "the seeds are beside each other");
        assert_ne!(of(1, 1, 9), of(1, 1, 8), "the same seed, another event");
    }

    #[test]
    fn the_token_of_another_show_is_not_taken() {
        let mut player = player(1, 0, 9);
        player.hear(joined(8));
        assert_eq!((&player.token, player.game.joined.load(Relaxed)), (&None, 0));
        player.hear(joined(9));
        player.hear(joined(8));
        assert_eq!(player.token.as_deref(), Some("of 9"));
        assert_eq!(player.game.joined.load(Relaxed), 1);
    }

    #[test]
    fn a_join_that_is_tried_again_is_no_refusal() {
        let mut player = player(1, 0, 9);
        player.refused("connect/00", "not_open".into());
        assert!(player.join_again.is_some() && player.record.refused.is_empty());
        assert_eq!(player.record.joined_again, 1);
        player.refused("connect/00", "pin_unknown".into());
        assert_eq!(player.record.refused, ["pin_unknown"]);
    }
}
