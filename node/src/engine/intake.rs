//! Taking players and their answers.
//!
//! Accepting is this node's own decision: the round is open in its view and within the deadline on its own
//! clock. An accepted answer is never lost or made late afterwards; a repetition is answered with what
//! is held, so that any client may repeat anything to any node.

use super::core::EventCore;
use super::io::Reply;
use super::owed::{NO_RUN, Waiting};
use crate::service::view::Refusal;
use bytes::Bytes;
use crdt_state::delta::{Answers, Delta, Join, Texts, encode_all};
use crdt_state::engagement::script::caps::ANSWER_BYTES_MAX;
use crdt_state::engagement::{Facts, Given, TEAM_INSTANCE, Taken};
use crdt_state::named::LOBBY_LOCK;
use crdt_state::{Cell, Lane, LaneId, Mono, Origin, Phase, PlayerId, Row, Stage};

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

/// An answer as it is held.
pub(super) struct Answer {
    pub(super) cell: Cell,
    pub(super) text: Option<String>,
}

impl EventCore {
    pub(super) fn join(
        &mut self,
        now: Mono,
        ticket: u64,
        player: PlayerId,
        name: (&str, Option<bool>),
    ) {
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

    fn check_join(
        &self,
        player: PlayerId,
        (name, abuse): (&str, Option<bool>),
    ) -> Result<String, Refusal> {
        let state = &self.carried.state;
        let stage = state.stage();
        if stage.is_over() {
            return Err(Refusal::new("ended", "the show is over"));
        }
        if stage < Stage::LOBBY {
            return Err(Refusal::new("not_open", "the lobby is not open yet")
                .hint("wait until the host opens it"));
        }
        let name = self.check_name(name, abuse)?;
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
        if state.is_full_of_players() {
            return Err(Refusal::new("full", "this event has all the players it can take"));
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
        let Join { row, player, name } = join;
        if self.held.has_enough(NO_RUN, player) {
            return self.reply(ticket, Reply::Joined { row, name, firm: false });
        }
        self.held.wait(ticket, Waiting::Join { player, row, name });
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
        // Lanes are independent: answers may be here before what they answer, and a receipt says what is held.
        if self.carried.state.script().is_none() {
            return self.refuse(ticket, question_unknown());
        }
        self.admit(now, claim);
        if instance == TEAM_INSTANCE {
            return self.choose_team(now, ticket, claim, given);
        }
        let rows = self.carried.state.players.rows_of(claim.player);
        let held = self.carried.state.held(instance, rows);
        if let Some((question, cell)) = held.filter(|_| !self.is_pulled(instance, claim.player)) {
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

    /// Whether what is held of a player in a run is a side, on which there is more to give.
    fn is_pulled(&self, instance: u32, player: PlayerId) -> bool {
        let state = &self.carried.state;
        let question = state.question_of(instance);
        question.is_some_and(|(_, question)| question.task.side_of(state, player).is_some())
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
            Refusal::new("choice_invalid", invalid.to_string()).hint(format!(
                "the live state says what there is to choose, node/docs/mqtt.md how `{kind}` is answered"
            ))
        })?;
        if !can_be_held(&taken) {
            let most = ANSWER_BYTES_MAX;
            return Err(Refusal::new("choice_invalid", "there is nothing of it, or too much")
                .hint(format!("a text has 1 to {most} bytes once it is in order")));
        }
        self.check_words(player, &question.task, &taken, given.abuse)?;
        let is_typed = matches!(taken, Taken::Answer { text: Some(_), .. });
        if is_typed && self.carried.state.is_full_of_texts() {
            let why = "this event has all the typed answers it can take";
            return Err(Refusal::new("limit_reached", why));
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
        Ok(self.credited(own_ms, given.credit_ms))
    }

    /// The elapsed milliseconds without those that the question and the answer took on the player's line, as
    /// this node has measured them, and no more of them than the rules allow. Whether an answer is late is
    /// judged without it.
    pub(super) fn credited(&self, elapsed_ms: u32, credit_ms: u32) -> u32 {
        let most = self.rules.credit_max.as_millis() as u32;
        elapsed_ms.saturating_sub(credit_ms.min(most))
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
        let is_early = self.is_behind(now) || !self.is_reckoned_with(instance);
        crdt_state::sometimes!(AnswerFenced, is_early);
        let elapsed = self.carried.elapsed_ms(now, instance).filter(|_| !is_early);
        let elapsed = elapsed.ok_or_else(|| {
            let why = "this node has just come and does not know how the round stands";
            Refusal::new("overloaded", why).hint("send the answer again in a moment")
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
        if state.is_full_of_answers() {
            return Err(Refusal::new(
                "limit_reached",
                "this event has all the answers it can take",
            ));
        }
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
        if status == "duplicate" {
            let promised = self.has_promised(instance, player, cell);
            if promised || self.held.has_enough(instance, player) {
                return self.held.repeat(ticket, (instance, player), cell, promised);
            }
        }
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
        let mut formers = formers.map(|id| (id, mine.get(&id)));
        self.own_rests_here_alone() || !formers.all(|lane| self.is_elsewhere(lane))
    }

    /// The same of what this life took before its owner was lost.
    pub(super) fn own_rests_here_alone(&self) -> bool {
        let own = LaneId::bulk(self.identity.origin);
        self.revived_at.is_some_and(|head| !self.is_elsewhere((own, head)))
    }

    /// Whether a peer is known to hold a lane so far.
    fn is_elsewhere(&self, (id, head): (LaneId, u64)) -> bool {
        let has = |peer: &Origin| {
            self.replica.peer_heads(*peer).is_some_and(|heads| heads.get(&id) >= head)
        };
        head == 0 || self.connected.keys().any(has)
    }

    /// Has the ticket wait for the entry that this turn will commit, or for the newest there is.
    pub(super) fn await_bulk(&mut self, _now: Mono, ticket: u64) {
        self.batch.tickets.push(ticket);
    }

    /// Commits what was taken in this turn, as one entry unless it is too long, and has its receipts wait for it.
    pub(super) fn commit_bulk(&mut self, now: Mono) {
        if self.batch.is_empty() {
            return;
        }
        for entry in encode_all(&self.batch.take_deltas()) {
            self.commit(now, Lane::Bulk, Bytes::from(entry));
        }
        let head = self.carried.heads().get(&LaneId::bulk(self.identity.origin));
        let tickets = std::mem::take(&mut self.batch.tickets);
        match head {
            // Nothing of ours to wait for: what is held came from others and is held by them too.
            0 => tickets.into_iter().for_each(|ticket| self.on_receipt(ticket, true)),
            head => {
                let entry = (Lane::Bulk, head);
                let refused = self.replica.await_receipts(now, tickets, entry, self.rules.ack);
                refused.into_iter().for_each(|ticket| self.on_no_room(ticket));
            }
        }
    }

    pub(super) fn name_of(&self, row: Row) -> String {
        self.carried.state.players.get(row).map(|p| p.name.to_owned()).unwrap_or_default()
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
