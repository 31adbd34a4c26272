//! Taking players and their answers.
//!
//! Accepting is this node's own decision: the round is open in its view and within the deadline on its own
//! clock. An accepted answer is never lost or made late afterwards; a repetition is answered with what
//! is held, so that any client may repeat anything to any node.

use super::bulk::{BulkVerdict, reply_to_all};
use super::carried::Joined;
use super::core::EventCore;
use super::io::{Output, Reply};
use super::receipts::Receipts;
use crate::service::view::{InboxMessage, Refusal};
use bytes::Bytes;
use crdt_state::delta::{Answers, Delta, Join, Posts, Texts, Votes, encode};
use crdt_state::engagement::script::caps::ANSWER_BYTES_MAX;
use crdt_state::engagement::{Facts, Given, TEAM_INSTANCE, Taken};
use crdt_state::named::{Change, LOBBY_LOCK, NumberChange};
use crdt_state::{Cell, Lane, LaneId, Mono, Origin, Phase, PlayerId, Row, Stage};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// What a player's token proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub player: PlayerId,
    /// The row that was given.
    pub row: Row,
    /// The name that was given.
    pub name: String,
}

/// Most rows in one entry; what is taken beyond it in one turn makes another.
const BATCH_ROWS: usize = 4096;

/// Instance, question, and the origin that numbered the rows.
type Sheet = (u32, u16, Origin);

/// Typed answers: every text once, and by row the index of its text.
#[derive(Debug, Default)]
pub struct TypedRows {
    texts: Vec<String>,
    rows: Vec<(u32, u32, u32, u32)>,
}

/// What was taken in this turn and is not committed yet.
#[derive(Debug, Default)]
pub struct Batch {
    joins: Vec<Join>,
    answers: BTreeMap<Sheet, Vec<(u32, u32, u32)>>,
    pub(super) texts: BTreeMap<Sheet, TypedRows>,
    pub(super) posts: BTreeMap<u32, Posts>,
    pub(super) votes: BTreeMap<u32, Votes>,
    /// The own running totals of counters.
    pub(super) counts: BTreeMap<String, u64>,
    /// Other changes, as they came.
    changes: Vec<Delta>,
    rows: usize,
    tickets: Vec<u64>,
}

impl Batch {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.rows == 0 && self.tickets.is_empty()
    }

    pub(super) fn push(&mut self, sheet: Sheet, row: (u32, u32, u32)) {
        self.answers.entry(sheet).or_default().push(row);
        self.rows += 1;
    }

    fn push_text(&mut self, sheet: Sheet, text: String, row: (u32, u32, u32)) {
        self.texts.entry(sheet).or_default().push(text, row);
        self.rows += 1;
    }

    /// Counts one more change that is to be committed.
    pub(super) fn grow(&mut self) {
        self.rows += 1;
    }

    /// One more change that is to be committed.
    pub(super) fn push_change(&mut self, change: Delta) {
        self.changes.push(change);
        self.rows += 1;
    }

    fn take_deltas(&mut self) -> Vec<Delta> {
        let mut deltas = Vec::new();
        if !self.joins.is_empty() {
            deltas.push(Delta::Joins(std::mem::take(&mut self.joins)));
        }
        for ((instance, question, rows_of), rows) in std::mem::take(&mut self.answers) {
            deltas.push(Delta::Answers(Answers { instance, question, rows_of, rows }));
        }
        for ((instance, question, rows_of), typed) in std::mem::take(&mut self.texts) {
            let TypedRows { texts, rows } = typed;
            deltas.push(Delta::Texts(Texts { instance, question, rows_of, texts, rows }));
        }
        deltas.extend(std::mem::take(&mut self.posts).into_values().map(Delta::Posts));
        deltas.extend(std::mem::take(&mut self.votes).into_values().map(Delta::Votes));
        for (name, total) in std::mem::take(&mut self.counts) {
            let change = Change::Total(NumberChange { name, value: total });
            deltas.push(Delta::Named(change));
        }
        deltas.append(&mut self.changes);
        self.rows = 0;
        deltas
    }
}

/// A request whose receipt is not firm yet.
#[derive(Debug, Clone)]
pub enum Waiting {
    /// See [`Reply::Created`].
    Create,
    /// See [`Reply::Joined`].
    Join { row: Row, name: String },
    /// See [`Reply::Answered`].
    Answer { player: PlayerId, instance: u32, cell: Cell, status: &'static str },
    /// See [`Reply::AnsweredAll`].
    Bulk { instance: u32, players: Arc<[PlayerId]>, verdicts: Arc<[BulkVerdict]> },
    /// See [`Reply::Commanded`].
    Command { outcome: &'static str, stage: Stage },
    /// See [`Reply::Forgot`].
    Forget { origins: usize },
}

impl Waiting {
    /// The run of an answer that waits.
    pub(super) fn instance(&self) -> Option<u32> {
        match self {
            // No result waits for the choice of a team.
            Waiting::Answer { instance: TEAM_INSTANCE, .. } => None,
            Waiting::Answer { instance, .. } | Waiting::Bulk { instance, .. } => Some(*instance),
            _ => None,
        }
    }

    /// The players whose answers others may have taken.
    pub(super) fn others_answers(&self) -> impl Iterator<Item = PlayerId> {
        let alone = match self {
            Waiting::Answer { player, status: "duplicate", .. } => Some(*player),
            _ => None,
        };
        let bulk = match self {
            Waiting::Bulk { players, verdicts, .. } => Some(players.iter().zip(verdicts.iter())),
            _ => None,
        };
        let repeated = bulk.into_iter().flatten().filter_map(|(player, verdict)| {
            matches!(verdict, BulkVerdict::Duplicate(_)).then_some(*player)
        });
        alone.into_iter().chain(repeated)
    }
}

/// What this node owes: replies that wait, and receipts that another node's answer may overrule.
#[derive(Debug, Default)]
pub struct Held {
    waiting: BTreeMap<u64, (Waiting, bool)>,
    /// How many of those that wait are receipts for a player's answer to an instance.
    unfirm: BTreeMap<(u32, PlayerId), usize>,
    /// The batches among those that have not been replied to.
    unfirm_bulk: BTreeMap<u64, (u32, Arc<[PlayerId]>)>,
    pub(super) receipts: Receipts,
}

impl Held {
    /// The creation waits for its receipt.
    pub fn created(&mut self, ticket: u64) {
        self.wait(ticket, Waiting::Create);
    }

    /// A request waits for its receipt.
    pub fn wait(&mut self, ticket: u64, waiting: Waiting) {
        if let Waiting::Answer { player, instance, .. } = &waiting {
            *self.unfirm.entry((*instance, *player)).or_default() += 1;
        }
        if let Waiting::Bulk { players, instance, .. } = &waiting {
            self.unfirm_bulk.insert(ticket, (*instance, Arc::clone(players)));
        }
        self.waiting.insert(ticket, (waiting, false));
    }

    /// Whether a receipt for this answer still waits for its level.
    pub fn is_unfirm(&self, instance: u32, player: PlayerId) -> bool {
        let in_bulk =
            |(of, players): &(u32, Arc<[PlayerId]>)| *of == instance && players.contains(&player);
        self.unfirm.contains_key(&(instance, player)) || self.unfirm_bulk.values().any(in_bulk)
    }

    /// A batch has waited for its level in vain: its answers may wait for long, so they are found one by
    /// one from now on.
    fn told_provisionally(&mut self, ticket: u64) {
        if let Some((instance, players)) = self.unfirm_bulk.remove(&ticket) {
            for player in players.iter() {
                *self.unfirm.entry((instance, *player)).or_default() += 1;
            }
        }
    }

    fn settled(&mut self, ticket: u64) {
        let was_found_whole = self.unfirm_bulk.remove(&ticket).is_some();
        match self.waiting.remove(&ticket) {
            Some((Waiting::Answer { player, instance, .. }, _)) => self.is_firm(instance, player),
            Some((Waiting::Bulk { instance, players, .. }, _)) if !was_found_whole => {
                players.iter().for_each(|player| self.is_firm(instance, *player));
            }
            _ => {}
        }
    }

    fn is_firm(&mut self, instance: u32, player: PlayerId) {
        if let Entry::Occupied(mut count) = self.unfirm.entry((instance, player)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl TypedRows {
    fn push(&mut self, text: String, (number, elapsed_ms, value): (u32, u32, u32)) {
        let known = self.texts.iter().position(|held| *held == text);
        let index = known.unwrap_or_else(|| {
            self.texts.push(text);
            self.texts.len() - 1
        });
        self.rows.push((number, elapsed_ms, value, index as u32));
    }
}

/// An answer as it is held.
pub(super) struct Answer {
    pub(super) cell: Cell,
    pub(super) text: Option<String>,
}

impl EventCore {
    pub(super) fn join(&mut self, now: Mono, ticket: u64, player: PlayerId, name: &str) {
        if self.refuses_kicked(ticket, player) {
            return;
        }
        if let Some(row) = self.carried.state.players.row_of(player) {
            let name = self.name_of(row);
            return self.joined(now, ticket, Join { row, player, name });
        }
        match self.check_join(player, name) {
            Err(refusal) => self.refuse(ticket, refusal),
            Ok(name) => {
                let origin = self.identity.origin;
                let number = self.carried.state.players.next_number(origin);
                let join = Join { row: Row { origin, number }, player, name };
                self.take_join(now, join.clone());
                self.joined(now, ticket, join);
            }
        }
    }

    fn check_join(&self, player: PlayerId, name: &str) -> Result<String, Refusal> {
        let state = &self.carried.state;
        let stage = state.stage();
        if stage.is_over() {
            return Err(Refusal::new("ended", "the show is over"));
        }
        if stage < Stage::LOBBY {
            return Err(Refusal::new("not_open", "the lobby is not open yet")
                .hint("wait until the host opens it"));
        }
        let name = self.check_name(name)?;
        if state.named.is_on(LOBBY_LOCK) {
            return Err(Refusal::new("locked", "the host has locked the lobby"));
        }
        if state.head_count() >= self.players_max() {
            return Err(Refusal::new("full", "as many players are in as the host lets in"));
        }
        if state.is_name_taken(&name, player) {
            return Err(Refusal::new("name_taken", format!("the name {name:?} is taken"))
                .hint("choose another name"));
        }
        if state.players.next_number(self.identity.origin) >= crdt_state::caps::ROWS_MAX {
            return Err(Refusal::new("overloaded", "this node has taken all players it can")
                .hint("join on another node"));
        }
        Ok(name)
    }

    /// Takes in a player who proves a join that this node may not have heard of.
    pub(super) fn resume_player(&mut self, now: Mono, ticket: u64, claim: Claim) {
        if self.refuses_kicked(ticket, claim.player) {
            return;
        }
        self.admit(now, &claim);
        let Claim { player, row, name } = claim;
        self.joined(now, ticket, Join { row, player, name });
    }

    /// Writes a proven join down again where its row is unknown, under this node's own origin.
    fn admit(&mut self, now: Mono, claim: &Claim) {
        if self.carried.state.players.get(claim.row).is_none() {
            crdt_state::sometimes!(JoinAdmitted);
            let Claim { player, row, name } = claim.clone();
            self.take_join(now, Join { row, player, name });
        }
    }

    fn take_join(&mut self, now: Mono, join: Join) {
        self.carried.take(now, self.identity.origin, Delta::Joins(vec![join.clone()]));
        self.batch.joins.push(join);
        self.batch.rows += 1;
        self.grow_batch(now);
    }

    fn joined(&mut self, now: Mono, ticket: u64, join: Join) {
        if self.rests_here_alone() {
            self.take_join(now, join.clone());
        }
        let Join { row, name, .. } = join;
        self.held.wait(ticket, Waiting::Join { row, name });
        self.await_bulk(now, ticket);
    }

    pub(super) fn answer(
        &mut self,
        now: Mono,
        ticket: u64,
        claim: &Claim,
        instance: u32,
        given: &Given,
    ) {
        if let Err(refusal) = self.check_in(claim.player) {
            self.turn_away(now, instance, claim.player, &refusal);
            return self.refuse(ticket, refusal);
        }
        self.admit(now, claim);
        if instance == TEAM_INSTANCE {
            return self.choose_team(now, ticket, claim, given);
        }
        let rows = self.carried.state.players.rows_of(claim.player);
        if let Some((question, cell)) = self.carried.state.held(instance, rows) {
            crdt_state::sometimes!(AnswerRepeated);
            if self.rests_here_alone() {
                let text = self.held_text(instance, question, claim.player);
                let again = Answer { cell, text };
                self.take_answer(now, instance, question, claim.row, again);
            }
            let cell = match given.choices.first() {
                Some(sent) if crdt_state::planted!(DuplicateAsSent) => {
                    Cell::new(cell.elapsed_ms(), self.identity.origin, 1 << (sent & 15))
                }
                _ => cell,
            };
            return self.answered(now, ticket, claim.player, instance, cell, "duplicate");
        }
        match self.check_answer(now, claim.player, instance, given) {
            Err(refusal) => {
                self.turn_away(now, instance, claim.player, &refusal);
                self.refuse(ticket, refusal);
            }
            Ok((question, elapsed_ms, Taken::Answer { value, text })) => {
                let cell = Cell::new(elapsed_ms, self.identity.origin, value);
                self.take_answer(now, instance, question, claim.row, Answer { cell, text });
                self.answered(now, ticket, claim.player, instance, cell, "accepted");
            }
            Ok((_, elapsed_ms, taken)) => {
                self.take_input(now, ticket, claim, (instance, elapsed_ms), taken);
            }
        }
    }

    /// The question, the elapsed milliseconds and what is to be held of an answer that can be taken.
    fn check_answer(
        &self,
        now: Mono,
        player: PlayerId,
        instance: u32,
        given: &Given,
    ) -> Result<(u16, u32, Taken), Refusal> {
        let extra_ms = self.carried.state.named.people.extra_ms(player);
        let (number, elapsed_ms) = self.check_time(now, instance, extra_ms)?;
        let facts = Facts::of(&self.carried.state, instance).ok_or_else(question_unknown)?;
        let elapsed_ms = self.check_shift(&facts, elapsed_ms, extra_ms, given)?;
        let question = facts.question;
        let taken = question.task.take(given).map_err(|invalid| {
            let kind = question.task.name();
            Refusal::new("choice_invalid", invalid.to_string())
                .hint(format!("the live state shows what this {kind} takes"))
        })?;
        if !can_be_held(&taken) {
            let most = ANSWER_BYTES_MAX;
            return Err(Refusal::new("choice_invalid", "there is nothing of it, or too much")
                .hint(format!("a text has 1 to {most} bytes once it is in order")));
        }
        Ok((number, elapsed_ms, taken))
    }

    /// The elapsed milliseconds from when the player's own stream got there, where a stream's time opens the
    /// question. The player says when that was and a node cannot know, so what it may be is bounded: nobody
    /// gains more than the question's window.
    fn check_shift(
        &self,
        facts: &Facts<'_>,
        elapsed_ms: u32,
        extra_ms: u32,
        given: &Given,
    ) -> Result<u32, Refusal> {
        let shift_ms = given.shift_ms.unwrap_or(0).min(facts.question.window_ms());
        let own_ms = elapsed_ms.saturating_sub(shift_ms);
        let grace_ms = self.rules.grace.as_millis() as u32;
        let limit = facts.open_ms().saturating_add(extra_ms).saturating_add(grace_ms);
        if facts.question.window_ms() > 0 && own_ms > limit {
            let late = own_ms - limit;
            return Err(Refusal::new("late", format!("your time ended {late} ms ago"))
                .hint("the round is open for players whose stream is behind yours"));
        }
        Ok(own_ms)
    }

    /// The question to which answers can be taken now from somebody with so much extra time, and the
    /// elapsed milliseconds.
    pub(super) fn check_time(
        &self,
        now: Mono,
        instance: u32,
        extra_ms: u32,
    ) -> Result<(u16, u32), Refusal> {
        let state = &self.carried.state;
        let stage = state.stage();
        if !state.is_open(instance) {
            return Err(not_open(stage, instance));
        }
        if self.is_paused(instance) {
            return Err(Refusal::new("paused", "the host has paused the round")
                .hint("answer when it goes on"));
        }
        crdt_state::sometimes!(AnswerFenced, self.is_behind(now));
        let elapsed = self.carried.elapsed_ms(now, instance).filter(|_| !self.is_behind(now));
        let elapsed = elapsed.ok_or_else(|| {
            Refusal::new("overloaded", "this node has just come back and does not know the time")
                .hint("send the answer again in a moment")
        })?;
        let limit = u64::from(state.open_ms(instance))
            + u64::from(extra_ms)
            + self.rules.grace.as_millis() as u64;
        if elapsed > limit && !crdt_state::planted!(LateAccepted) {
            crdt_state::sometimes!(AnswerLate);
            return Err(Refusal::new(
                "late",
                format!("the round closed {} ms ago", elapsed - limit),
            ));
        }
        let (number, _) = state.question_of(instance).ok_or_else(question_unknown)?;
        Ok((number, elapsed as u32))
    }

    pub(super) fn take_answer(
        &mut self,
        now: Mono,
        instance: u32,
        question: u16,
        row: Row,
        answer: Answer,
    ) {
        let Answer { cell, text } = answer;
        let (number, elapsed_ms, value) = (row.number, cell.elapsed_ms(), cell.value());
        let rows_of = row.origin;
        let key = (instance, question, rows_of);
        if let Some(text) = text {
            let rows = vec![(number, elapsed_ms, value, 0)];
            let texts = vec![text.clone()];
            let delta = Delta::Texts(Texts { instance, question, rows_of, texts, rows });
            self.carried.take(now, self.identity.origin, delta);
            self.batch.push_text(key, text, (number, elapsed_ms, value));
        } else {
            let row_cell = (number, elapsed_ms, value);
            let answers = Answers { instance, question, rows_of, rows: vec![row_cell] };
            self.carried.take(now, self.identity.origin, Delta::Answers(answers));
            self.batch.push(key, row_cell);
        }
        self.grow_batch(now);
    }

    /// What was typed with the answer that is held for a player.
    pub(super) fn held_text(
        &self,
        instance: u32,
        question: u16,
        player: PlayerId,
    ) -> Option<String> {
        let state = &self.carried.state;
        let rows = state.players.rows_of(player);
        state.held_text(instance, question, rows).map(str::to_owned)
    }

    pub(super) fn answered(
        &mut self,
        now: Mono,
        ticket: u64,
        player: PlayerId,
        instance: u32,
        cell: Cell,
        status: &'static str,
    ) {
        self.note_told(instance, player, cell);
        self.held.wait(ticket, Waiting::Answer { player, instance, cell, status });
        self.await_bulk(now, ticket);
    }

    pub(super) fn grow_batch(&mut self, now: Mono) {
        if self.batch.rows >= BATCH_ROWS {
            self.commit_bulk(now);
        }
    }

    /// Whether something that former incarnations of this node took, or this one before its owner was lost,
    /// is known to be on its own disk only. It
    /// is then written down again in this life's lane when its player asks, so that the receipt waits
    /// for another node like any other.
    pub(super) fn rests_here_alone(&self) -> bool {
        let mine = self.carried.heads();
        let formers = self.formers.iter().map(|former| LaneId::bulk(*former));
        let formers = formers.map(|id| (id, mine.get(&id)));
        let own = self.revived_at.map(|head| (LaneId::bulk(self.identity.origin), head));
        let is_elsewhere = |(id, head): (LaneId, u64)| {
            let has = |peer: &Origin| {
                self.replica.peer_heads(*peer).is_some_and(|heads| heads.get(&id) >= head)
            };
            head == 0 || self.connected.keys().any(has)
        };
        !formers.chain(own).all(is_elsewhere)
    }

    /// Has the ticket wait for the entry that this turn will commit, or for the newest there is.
    pub(super) fn await_bulk(&mut self, _now: Mono, ticket: u64) {
        self.batch.tickets.push(ticket);
    }

    /// Commits what was taken in this turn as one entry, and has its receipts wait for it.
    pub(super) fn commit_bulk(&mut self, now: Mono) {
        if self.batch.is_empty() {
            return;
        }
        let deltas = self.batch.take_deltas();
        if !deltas.is_empty() {
            self.commit(now, Lane::Bulk, Bytes::from(encode(&deltas)));
        }
        let head = self.carried.heads().get(&LaneId::bulk(self.identity.origin));
        for ticket in std::mem::take(&mut self.batch.tickets) {
            match head {
                // Nothing of ours to wait for: what is held came from others and is held by them too.
                0 => self.on_receipt(ticket, true),
                head => self.await_receipt(now, ticket, Lane::Bulk, head),
            }
        }
    }

    /// A receipt has reached its level, or has waited long enough.
    pub(super) fn on_receipt(&mut self, ticket: u64, firm: bool) {
        let Some((waiting, replied)) = self.held.waiting.get(&ticket) else { return };
        let (waiting, replied) = (waiting.clone(), *replied);
        match firm && self.stands(ticket, &waiting) {
            true => self.on_firm_receipt(ticket),
            false if !replied => self.tell_receipt(ticket, false),
            false => {}
        }
    }

    /// A receipt is firm.
    pub(super) fn on_firm_receipt(&mut self, ticket: u64) {
        self.tell_receipt(ticket, true);
    }

    fn tell_receipt(&mut self, ticket: u64, firm: bool) {
        let Some((waiting, replied)) = self.held.waiting.get_mut(&ticket) else { return };
        let first = !std::mem::replace(replied, true);
        crdt_state::sometimes!(ReceiptProvisional, !firm);
        crdt_state::sometimes!(ReceiptUpgraded, firm && !first);
        let waiting = waiting.clone();
        if firm {
            self.held.settled(ticket);
        } else {
            self.held.told_provisionally(ticket);
        }
        if let Waiting::Bulk { instance, players, verdicts } = &waiting
            && firm
            && !first
        {
            self.upgrade_bulk(*instance, players, verdicts);
        }
        let receipt = match waiting {
            Waiting::Answer { player, instance, cell, .. }
                if !first && self.is_overruled(instance, player, cell) =>
            {
                None
            }
            Waiting::Answer { player, instance, cell, status } => {
                let (status, cell) = self.as_it_stands(instance, player, (status, cell));
                let message = self.receipt(instance, player, (status, firm), cell);
                self.outputs.push_back(Output::Inbox { player, message: message.clone() });
                Some(message)
            }
            _ => None,
        };
        if first {
            let reply = receipt.map_or_else(|| reply_to(waiting, firm), Reply::Answered);
            self.reply(ticket, reply);
        }
    }

    /// Whether another choice is held by now in place of the one that was taken: its player is told so at
    /// once, and nothing more of the one that does not count.
    pub(super) fn is_overruled(&self, instance: u32, player: PlayerId, cell: Cell) -> bool {
        self.overruling(instance, player, cell).is_some()
    }

    /// The other choice that is held by now in place of the one that was taken.
    fn overruling(&self, instance: u32, player: PlayerId, cell: Cell) -> Option<Cell> {
        let held = self.carried.state.held(instance, self.carried.state.players.rows_of(player));
        held.map(|(_, held)| held).filter(|held| held.value() != cell.value())
    }

    /// What a first receipt says: of an answer that was overruled while it waited, what counts.
    pub(super) fn as_it_stands(
        &self,
        instance: u32,
        player: PlayerId,
        taken: (&'static str, Cell),
    ) -> (&'static str, Cell) {
        if crdt_state::planted!(DuplicateAsSent) && taken.0 == "duplicate" {
            return taken;
        }
        let held = self.overruling(instance, player, taken.1);
        held.map_or(taken, |held| ("superseded", held))
    }

    /// Notes what this node tells a player to be held, whoever took it: the player hears of it here when
    /// another answer takes its place, wherever the first receipt came from.
    pub(super) fn note_told(&mut self, instance: u32, player: PlayerId, cell: Cell) {
        let mut rows = self.carried.state.players.rows_of(player).peekable();
        let first = rows.peek().copied();
        let noted = rows.find(|row| self.held.receipts.get(instance, *row).is_some());
        if let Some(row) = noted.or(first) {
            self.held.receipts.put(instance, row, cell);
        }
    }

    /// Tells players whose receipted answer was overruled by an earlier one from elsewhere: by one to the
    /// same row, or to another row of theirs that has only now come.
    pub(super) fn check_superseded(&mut self) {
        for (instance, row) in self.carried.take_contested() {
            if let Some(player) = self.carried.state.players.get(row).map(|player| player.id) {
                self.check_receipt(instance, player);
            }
        }
        for (instance, player) in self.receipts_joined() {
            self.check_receipt(instance, player);
        }
    }

    /// The receipts of players of whom others brought a further row.
    fn receipts_joined(&mut self) -> Vec<(u32, PlayerId)> {
        let receipts = &self.held.receipts;
        let of = |player: PlayerId| receipts.instances().map(move |instance| (instance, player));
        match self.carried.take_joined() {
            Joined::Players(players) => players.into_iter().flat_map(of).collect(),
            Joined::Anybody => {
                let players = &self.carried.state.players;
                let player = |(instance, row)| Some((instance, players.get(row)?.id));
                receipts.rows().filter_map(player).collect()
            }
        }
    }

    fn check_receipt(&mut self, instance: u32, player: PlayerId) {
        let rows: Vec<Row> = self.carried.state.players.rows_of(player).collect();
        let receipted =
            rows.iter().find_map(|row| Some((*row, self.held.receipts.get(instance, *row)?)));
        let Some((row, own)) = receipted else { return };
        let Some((_, cell)) = self.carried.state.held(instance, rows) else { return };
        if cell == own {
            return;
        }
        self.held.receipts.put(instance, row, cell);
        if cell.value() != own.value() {
            crdt_state::sometimes!(ReceiptSuperseded);
            let message = self.receipt(instance, player, ("superseded", true), cell);
            self.outputs.push_back(Output::Inbox { player, message });
        }
    }

    /// The receipt of an answer that is held.
    pub(super) fn receipt(
        &self,
        instance: u32,
        player: PlayerId,
        (status, firm): (&str, bool),
        cell: Cell,
    ) -> InboxMessage {
        let state = &self.carried.state;
        // The answer may be to another question than the one that is shown, or that one not be known yet.
        let held = state.held(instance, state.players.rows_of(player));
        let number = match held.filter(|(_, held)| *held == cell) {
            Some((number, _)) => Some(number),
            None => state.question_of(instance).map(|(number, _)| number),
        };
        let question = number.and_then(|at| state.script()?.questions.get(usize::from(at)));
        let text = number.and_then(|number| self.held_text(instance, number, player));
        let (choices, elapsed_ms) = match question {
            // Of a team's cell the time only says which choice it is.
            _ if instance == TEAM_INSTANCE => (vec![cell.value() as u8], 0),
            question => {
                let choices = question.map(|question| question.task.choices(cell.value()));
                (choices.unwrap_or_default(), cell.elapsed_ms())
            }
        };
        InboxMessage::Receipt {
            event: self.identity.event,
            instance,
            status: status.to_owned(),
            level: level(firm),
            choices,
            elapsed_ms,
            text,
        }
    }

    pub(super) fn name_of(&self, row: Row) -> String {
        self.carried.state.players.get(row).map(|p| p.name.to_owned()).unwrap_or_default()
    }

    /// Forgets receipts of rounds that nobody can overrule any more. Who is cut off may, however many
    /// rounds later, and after the show's end.
    pub(super) fn forget_receipts(&mut self) {
        let state = &self.carried.state;
        let (shown, heads) = (state.stage().instance, self.carried.heads());
        let is_awaited = |instance| state.unsealed(instance, heads).next().is_some();
        self.held.receipts.keep(|instance| {
            instance == shown || is_awaited(instance) || state.has_orphans(instance)
        });
    }
}

pub(super) fn question_unknown() -> Refusal {
    Refusal::new("overloaded", "this node does not have the question yet")
        .hint("send the answer again in a moment")
}

fn not_open(stage: Stage, instance: u32) -> Refusal {
    let refusal = if stage.is_over() {
        Refusal::new("ended", "the show is over")
    } else if stage.instance > instance || (stage.instance == instance && stage.phase > Phase::Open)
    {
        Refusal::new("late", format!("round {instance} is closed"))
    } else if stage.instance == instance {
        Refusal::new("not_open", format!("round {instance} is not open yet"))
    } else {
        Refusal::new("instance_unknown", format!("there is no round {instance} yet"))
            .hint("answer with the instance that the live state shows")
    };
    Refusal { stage: Some(super::views::stage_view(stage)), ..refusal }
}

/// A receipt's level in words.
pub(crate) fn level(firm: bool) -> String {
    if firm { "firm" } else { "provisional" }.to_owned()
}

fn reply_to(waiting: Waiting, firm: bool) -> Reply {
    match waiting {
        Waiting::Create => Reply::Created { firm },
        Waiting::Forget { origins } => Reply::Forgot { origins, firm },
        Waiting::Join { row, name } => Reply::Joined { row, name, firm },
        Waiting::Answer { .. } => unreachable!("an answer is replied to with its receipt"),
        Waiting::Bulk { verdicts, .. } => reply_to_all(&verdicts, firm),
        Waiting::Command { outcome, stage } => {
            Reply::Commanded(crate::service::view::CommandReply {
                outcome: outcome.to_owned(),
                stage: super::views::stage_view(stage),
                level: level(firm),
                token: None,
            })
        }
    }
}

/// Whether every node can read what this becomes, whatever a kind makes of what was sent.
fn can_be_held(taken: &Taken) -> bool {
    let fits = |text: &String| (1..=ANSWER_BYTES_MAX).contains(&text.len());
    match taken {
        Taken::Answer { value, text } => {
            *value <= Cell::VALUE_MAX && text.as_ref().is_none_or(fits)
        }
        Taken::Post(text) => fits(text),
        Taken::Vote(_) | Taken::Count { .. } => true,
    }
}
