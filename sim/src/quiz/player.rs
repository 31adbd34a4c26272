//! A player: joins over MQTT, answers once a round is open, keeps every receipt, and goes to another
//! node when the connection is gone.
//!
//! A player is patient: an answer is repeated with the same choice until something acknowledges it. When
//! and what is answered is a function of (seed, player, instance). Some players move to another node now and
//! then without a reason, and some are a nuisance.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crdt_state::PlayerId;
use crdt_state::engagement::Given;
use node::service::view::{InboxMessage, LiveView, PhaseView};
use node::service::{inbox_topic, live_topic};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::evidence::{Notebook, Receipt, Unheld, now};
use super::mqtt::{Client, Packet, Version};
use super::nuisance::{Extra, Habit, NO_OPTION, publish_elsewhere};
use super::readings::{Reading, Readings};
use crate::chance;
use crate::cluster::{MQTT_PORT, address};
use crate::machine::Life;
use crate::mix::Draw;
use crate::schedule::{Form, Habits, Question, held, secrets_in};
use crate::spawn::Spawn;

/// A player who has said nothing for so long pings: soon enough to hear of a silent node in time.
const PING_EVERY: Duration = Duration::from_secs(2);
/// A node that says nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// What was published and not acknowledged is repeated after this.
const REPEAT_AFTER: Duration = Duration::from_millis(1_500);
/// What was refused for the moment is tried again after this.
const RETRY_AFTER: Duration = Duration::from_millis(300);

/// Who plays, where and when.
pub(crate) struct Ticket {
    pub(crate) seed: u64,
    pub(crate) number: u16,
    pub(crate) pin: String,
    pub(crate) nodes: u8,
    pub(crate) habits: Habits,
    /// What is asked: how many words may be typed no page tells.
    pub(crate) questions: Arc<[Question]>,
    pub(crate) notebook: Notebook,
    /// Live states as all players of the run have read them.
    pub(crate) readings: Readings,
    /// Firm receipts, for whoever asks the other nodes about them.
    pub(crate) firm: mpsc::Sender<Unheld>,
}

/// Plays until the end of the run.
pub(crate) async fn play(life: Life, ticket: Ticket) {
    let mut player = Player::new(life, ticket);
    sleep(player.draw(die::BEGIN, 2_000)).await;
    loop {
        // Whatever ended it, the player comes back.
        if let Err(why) = player.session().await
            && why.kind() == io::ErrorKind::InvalidData
        {
            let what = format!("player {} cannot read its node: {why}", player.id);
            player.ticket.notebook.write(|seen| seen.stuck.push(what));
        }
        player.moves += 1;
        player.ticket.notebook.player(player.id, |seen| seen.connected = None);
        sleep(player.draw(die::PAUSE, 500)).await;
    }
}

struct Player {
    life: Life,
    ticket: Ticket,
    id: PlayerId,
    version: Version,
    /// Counts the connections that have ended.
    moves: u64,
    habit: Habit,
    token: Option<String>,
    /// Whether this connection has led into the show.
    is_in: bool,
    /// When to ask for the join again, while no answer came.
    join_due: Option<Instant>,
    /// The newest answer.
    answer: Option<Answer>,
    /// What else is to be said.
    extras: Vec<Extra>,
    /// What the packets under way are about.
    under_way: BTreeMap<u16, About>,
    heard: Instant,
    said: Instant,
}

struct Answer {
    instance: u32,
    choice: u8,
    form: Form,
    /// Whether it was published.
    sent: bool,
    /// When to publish it, or publish it again; nothing once that is settled.
    due: Option<Instant>,
}

#[derive(Clone, Copy)]
enum About {
    Join,
    Answer(u32),
}

/// The numbers of a player's dice.
mod die {
    pub(super) const ID: u64 = 0;
    pub(super) const BEGIN: u64 = 2;
    pub(super) const PAUSE: u64 = 3;
    pub(super) const NODE: u64 = 4;
    pub(super) const ROAMS: u64 = 5;
    pub(super) const STAYS: u64 = 6;
    pub(super) const ABSTAINS: u64 = 7;
    pub(super) const THINKS: u64 = 8;
    pub(super) const CHOICE: u64 = 9;
    pub(super) const FOLLOWS: u64 = 12;
}

/// What a verdict of MQTT 5 says in detail.
#[derive(Deserialize)]
struct Verdict {
    status: String,
    #[serde(default)]
    level: String,
    #[serde(default)]
    choices: Vec<u8>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    elapsed_ms: u32,
}

/// The id of a player.
pub(super) fn id(seed: u64, number: u16) -> PlayerId {
    let dice = Draw::new(seed, &[PLAYER, number.into()]);
    PlayerId(u128::from(dice.word(die::ID)) << 64 | u128::from(dice.word(die::ID + 1)))
}

impl Player {
    fn new(life: Life, ticket: Ticket) -> Self {
        let id = id(ticket.seed, ticket.number);
        let version = if ticket.number.is_multiple_of(2) { Version::V5 } else { Version::V3 };
        let dice = Draw::new(ticket.seed, &[PLAYER, ticket.number.into()]);
        Self {
            habit: Habit::draw(dice, ticket.habits),
            life,
            ticket,
            id,
            version,
            moves: 0,
            token: None,
            is_in: false,
            join_due: None,
            answer: None,
            extras: Vec::new(),
            under_way: BTreeMap::new(),
            heard: Instant::now(),
            said: Instant::now(),
        }
    }

    /// The dice of this player for one occasion.
    fn dice(&self, occasion: u64) -> Draw {
        let chance = chance::of(self.ticket.seed);
        Draw::new(chance, &[PLAYER, u64::from(self.ticket.number), 1, occasion])
    }

    fn draw(&self, die: u64, most_ms: u64) -> Duration {
        Duration::from_millis(self.dice(self.moves).up_to(die, most_ms))
    }

    /// The node of the next connection: one's own at first, then any.
    fn node(&self) -> u8 {
        let Ticket { seed, number, nodes, habits, .. } = &self.ticket;
        let dice = self.dice(self.moves);
        let who = (u64::from(*number), dice.unit(die::FOLLOWS));
        if let Some(node) = habits.flock(chance::of(*seed), now(), who, *nodes) {
            return 1 + node;
        }
        let count = u64::from(*nodes);
        let at = match self.moves {
            0 => u64::from(*number) % count,
            _ => dice.up_to(die::NODE, count - 1),
        };
        1 + at as u8
    }

    /// How long this connection is kept; for ever by most.
    fn stays(&self) -> Option<Duration> {
        let dice = self.dice(self.moves);
        let Habits { roaming, flocking, .. } = self.ticket.habits;
        (flocking || dice.unit(die::ROAMS) < roaming)
            .then(|| Duration::from_millis(1_000 + dice.up_to(die::STAYS, 8_000)))
    }

    async fn session(&mut self) -> io::Result<()> {
        let node = self.node();
        self.ticket.notebook.player(self.id, |seen| {
            (seen.connections, seen.connected) = (seen.connections + 1, Some(now()));
        });
        let dialled = self.life.connect(address(node, MQTT_PORT));
        let stream = timeout(SILENCE_MAX, dialled).await??;
        let mut client = Client::connect(stream, self.version, &self.name()).await?;
        client.subscribe(&[inbox_topic(self.id), live_topic(&self.ticket.pin)]).await?;
        self.under_way.clear();
        self.is_in = false;
        self.heard = Instant::now();
        self.join(&mut client).await?;
        let far = Duration::from_secs(86_400);
        let leave = Instant::now() + self.stays().unwrap_or(far);
        while Instant::now() < leave {
            let due = self.due().min(leave);
            tokio::select! { biased;
                packet = client.read() => self.on_packet(node, packet?)?,
                () = sleep_until(due) => {}
            }
            self.act(node, &mut client).await?;
        }
        client.disconnect().await
    }

    fn name(&self) -> String {
        format!("player {}", self.ticket.number)
    }

    async fn join(&mut self, client: &mut Client) -> io::Result<()> {
        let topic = format!("connect/{:02x}", self.id.slot());
        let payload = match &self.token {
            Some(token) => json!({ "token": token }),
            None => {
                json!({ "pin": self.ticket.pin, "player": self.id.to_string(), "name": self.name() })
            }
        };
        self.join_due = Some(Instant::now() + REPEAT_AFTER);
        self.publish(client, &topic, &payload.to_string(), About::Join).await
    }

    async fn publish(
        &mut self,
        client: &mut Client,
        topic: &str,
        payload: &str,
        about: About,
    ) -> io::Result<()> {
        for _ in 0..self.habit.times() {
            let id = client.publish(topic, payload).await?;
            self.under_way.insert(id, about);
        }
        self.said = Instant::now();
        Ok(())
    }

    /// When there is something to do, if nothing comes.
    fn due(&self) -> Instant {
        let answer = self.answer.as_ref().and_then(|answer| answer.due);
        let extra = self.extras.iter().map(|extra| extra.due).min();
        let answers = answer.into_iter().chain(extra).filter(|_| self.token.is_some());
        let alive = (self.said + PING_EVERY).min(self.heard + SILENCE_MAX);
        answers.chain(self.join_due).fold(alive, Instant::min)
    }

    /// Does what has fallen due.
    async fn act(&mut self, node: u8, client: &mut Client) -> io::Result<()> {
        let now = Instant::now();
        if now >= self.heard + SILENCE_MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if self.join_due.is_some_and(|due| due <= now) {
            self.join(client).await?;
        }
        self.give_answer(client, now).await?;
        self.give_extras(node, client, now).await?;
        if now >= self.said + PING_EVERY {
            self.said = now;
            client.ping().await?;
        }
        Ok(())
    }

    async fn give_answer(&mut self, client: &mut Client, now: Instant) -> io::Result<()> {
        let Some(answer) = self.answer.as_mut().filter(|_| self.token.is_some()) else {
            return Ok(());
        };
        if answer.due.is_none_or(|due| due > now) {
            return Ok(());
        }
        (answer.due, answer.sent) = (Some(now + REPEAT_AFTER), true);
        let (instance, choice) = (answer.instance, answer.choice);
        self.ticket.notebook.player(self.id, |seen| seen.owed.insert(instance));
        let Some((topic, payload)) = self.answer_of(instance, choice) else { return Ok(()) };
        self.publish(client, &topic, &payload, About::Answer(instance)).await
    }

    /// Says what is due beside the answer, and nothing of it twice.
    async fn give_extras(&mut self, node: u8, client: &mut Client, now: Instant) -> io::Result<()> {
        if self.token.is_none() {
            return Ok(());
        }
        for extra in self.extras.extract_if(.., |extra| extra.due <= now).collect::<Vec<_>>() {
            let Extra { instance, choice, elsewhere, .. } = extra;
            let nodes = u64::from(self.ticket.nodes);
            let other = 1 + self.dice(instance.into()).up_to(die::NODE, nodes - 1) as u8;
            if elsewhere && other == node {
                continue;
            }
            let Some(said) = self.answer_of(instance, choice) else { continue };
            if elsewhere {
                let (life, name) = (self.life.clone(), format!("{} elsewhere", self.name()));
                let published = publish_elsewhere(life, other, name, said);
                // Nobody waits for what comes of it.
                let published = async { drop(published.await) };
                self.life.spawner().clone().spawn("elsewhere", Box::pin(published));
            } else {
                self.publish(client, &said.0, &said.1, About::Answer(instance)).await?;
            }
        }
        Ok(())
    }

    /// The topic and the payload of an answer, which is about to be sent.
    fn answer_of(&self, instance: u32, choice: u8) -> Option<(String, String)> {
        let (answer, token) = (self.answer.as_ref()?, self.token.as_ref()?);
        let Given { choices, text, stake, .. } = answer.form.given(self.id, instance, choice);
        let payload = json!({
            "token": token, "instance": instance, "choices": choices, "text": text, "stake": stake,
        });
        // What is no option is never acknowledged.
        if choice != NO_OPTION {
            self.ticket.notebook.player(self.id, |seen| {
                *seen.answered.entry(instance).or_default() |= 1 << choice;
            });
        }
        Some((format!("answer/{:02x}", self.id.slot()), payload.to_string()))
    }

    /// # Errors
    /// What makes this connection useless.
    fn on_packet(&mut self, node: u8, packet: Packet) -> io::Result<()> {
        self.heard = Instant::now();
        match packet {
            Packet::Connack { code: 0 } | Packet::Pingresp => {}
            Packet::Connack { .. } | Packet::Disconnect => {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            // A node that has not heard of the show yet: another one may have.
            Packet::Suback { codes } if codes.iter().any(|code| *code >= 0x80) => {
                return Err(io::ErrorKind::NotFound.into());
            }
            Packet::Suback { .. } => {}
            Packet::Puback { id, reason, receipt } => self.on_puback(node, id, reason, receipt)?,
            Packet::Publish { topic, payload } => self.on_publish(node, &topic, &payload)?,
        }
        Ok(())
    }

    fn on_puback(
        &mut self,
        node: u8,
        id: u16,
        reason: u8,
        receipt: Option<String>,
    ) -> io::Result<()> {
        let (Some(about), Some(receipt)) = (self.under_way.remove(&id), receipt) else {
            return Ok(());
        };
        let verdict: Verdict = read(receipt.as_bytes())?;
        match about {
            About::Answer(instance) if reason == 0 => {
                let Verdict { status, level, choices, text, elapsed_ms } = verdict;
                let choices = held(choices, text.as_deref());
                self.on_receipt(node, instance, status, &level, choices, elapsed_ms);
            }
            // Accepted joins and all refusals come to the inbox, too.
            _ => {}
        }
        Ok(())
    }

    fn on_publish(&mut self, node: u8, topic: &str, payload: &Bytes) -> io::Result<()> {
        if topic.starts_with("live/") {
            self.on_live(&*self.ticket.readings.read(payload)?);
        } else {
            secrets_in(&String::from_utf8_lossy(payload))
                .into_iter()
                .for_each(|n| self.on_secret(n));
            self.on_inbox(node, read(payload)?);
        }
        Ok(())
    }

    fn on_inbox(&mut self, node: u8, message: InboxMessage) {
        match message {
            InboxMessage::Joined { token, level, .. } => {
                self.token = Some(token);
                (self.is_in, self.join_due) = (true, None);
                self.ticket.notebook.player(self.id, |seen| {
                    seen.let_in.get_or_insert_with(now);
                    if level == "firm" {
                        seen.joined.get_or_insert_with(now);
                    }
                });
            }
            InboxMessage::Receipt {
                instance, status, level, choices, elapsed_ms, text, ..
            } => {
                let choices = held(choices, text.as_deref());
                self.on_receipt(node, instance, status, &level, choices, elapsed_ms);
            }
            InboxMessage::Result { instance, choices, .. } => {
                self.ticket.notebook.player(self.id, |seen| {
                    seen.told.entry(instance).or_insert_with(now);
                    seen.results.insert(instance, choices);
                });
            }
            InboxMessage::Refused { topic, code, .. } => self.on_refused(&topic, code),
            InboxMessage::Marked { .. } => {}
        }
    }

    fn on_receipt(
        &mut self,
        node: u8,
        instance: u32,
        status: String,
        level: &str,
        choices: Vec<u8>,
        elapsed_ms: u32,
    ) {
        let receipt = Receipt {
            at: now(),
            node,
            instance,
            status,
            firm: level == "firm",
            choices,
            elapsed_ms,
        };
        if let Some(answer) = self.answer.as_mut().filter(|answer| answer.instance == instance) {
            answer.due = None;
        }
        // A flood of the same is answered by a flood of the same.
        let is_news = self.ticket.notebook.player(self.id, |seen| {
            seen.owed.remove(&instance);
            seen.is_news(&receipt, |held| held.says(&receipt))
        });
        if !is_news {
            return;
        }
        if receipt.firm {
            let claim = Unheld { player: self.id, receipt: receipt.clone() };
            self.ticket.firm.try_send(claim).expect("there is room for all receipts of a run");
            self.ticket.notebook.write(|seen| {
                seen.promised.entry(instance).or_default().insert(self.id);
            });
        }
        self.ticket.notebook.player(self.id, |seen| seen.receipts.push(receipt));
    }

    /// A refusal that says "never" settles the answer; any other says "not now". What is said of a lie says nothing
    /// of the answer.
    fn on_refused(&mut self, topic: &str, code: String) {
        let retry = Instant::now() + RETRY_AFTER;
        let is_lie = code == "choice_invalid";
        if topic.starts_with("connect/") {
            // Of a flood of joins some are refused after one was taken.
            self.join_due = (!self.is_in).then_some(retry);
        } else if let Some(answer) = self.answer.as_mut()
            && answer.sent
            && answer.due.is_some()
            && !is_lie
        {
            let over = matches!(code.as_str(), "late" | "ended");
            answer.due = (!over).then_some(retry);
            if over {
                let instance = answer.instance;
                self.ticket.notebook.player(self.id, |seen| seen.owed.remove(&instance));
            }
        }
        self.ticket.notebook.player(self.id, |seen| *seen.refused.entry(code).or_default() += 1);
    }

    fn on_live(&mut self, Reading { live, leaks, secrets }: &Reading) {
        secrets.iter().for_each(|instance| self.on_secret(*instance));
        for leak in leaks {
            self.ticket.notebook.player(self.id, |seen| seen.leaks.push(leak.clone()));
        }
        let stage = live.stage;
        let known = self.answer.as_ref().is_some_and(|answer| answer.instance >= stage.instance);
        let (PhaseView::Open, false, Some(question)) = (stage.phase, known, &live.question) else {
            return;
        };
        let dice = Draw::new(
            chance::of(self.ticket.seed),
            &[PLAYER, u64::from(self.ticket.number), 2, u64::from(stage.instance)],
        );
        let left_ms = live.remaining_ms.unwrap_or_default();
        // Some tap on zero, some after it.
        let thinks = Duration::from_millis(dice.up_to(die::THINKS, left_ms + LATE_MS));
        let abstains = dice.unit(die::ABSTAINS) < 0.05;
        let plan =
            question.number.checked_sub(1).and_then(|n| self.ticket.questions.get(n as usize));
        let (options, form) = plan.map_or((2, Form::Choice), |it| (it.options, it.form));
        let (instance, choice) =
            (stage.instance, dice.up_to(die::CHOICE, u64::from(options) - 1) as u8);
        let due = (!abstains).then(|| Instant::now() + thinks);
        let before = self.answer.replace(Answer { instance, choice, form, sent: false, due });
        // The question before is given up.
        if let Some(before) = before {
            self.ticket.notebook.player(self.id, |seen| seen.owed.remove(&before.instance));
        }
        if !abstains {
            self.extras = self.habit.extras(dice, (instance, choice, options), thinks);
        }
    }

    /// The word that gives an answer away has come.
    fn on_secret(&mut self, instance: u32) {
        self.ticket.notebook.player(self.id, |seen| {
            seen.secrets.entry(instance).or_insert_with(now);
        });
    }
}

/// The name of players' dice.
const PLAYER: u64 = u64::from_be_bytes(*b"a player");
/// How long after the deadline an answer may be tapped.
const LATE_MS: u64 = 300;

/// What a live state says before its own phase allows it.
pub(crate) fn leaks(live: &LiveView) -> Vec<String> {
    let phase = live.stage.phase;
    let mut leaks = Vec::new();
    if live.reveal.is_some() && phase < PhaseView::Reveal {
        leaks.push(format!("the correct answer in {:?}", live.stage));
    }
    if live.tallies.is_some() && phase < PhaseView::Tallies {
        leaks.push(format!("tallies in {:?}", live.stage));
    }
    if live.answered.is_some() && phase == PhaseView::Open {
        leaks.push(format!("a running count in {:?}", live.stage));
    }
    leaks
}

pub(super) fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> io::Result<T> {
    serde_json::from_slice(payload)
        .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why.to_string()))
}
