//! Answers by the thousand: what an edge shard has checked and folded is taken, committed and
//! acknowledged as one.
//!
//! The rules are those of single answers; what differs is the cost. A shard hands over rows and packed
//! values, and gets one reply with a verdict for each. A row that is not known here is the one thing that a
//! batch cannot settle: its answer is sent again alone, with the token's claim. So is the answer of a player
//! of whom a host has said something, who may be out, and any to a question that a stream's time opens. A batch that is late is refused whole: whoever has
//! extra time sends alone.

use super::core::EventCore;
use super::intake::{Answer, Claim};
use super::io::Reply;
use super::owed::Waiting;
use super::publisher::Asked;
use crate::service::view::InboxMessage;
#[cfg(doc)]
use crdt_state::engagement::Given;
use crdt_state::{Cell, Mono, PlayerId, Row};
use std::sync::Arc;

/// Most answers of one batch: one entry's worth.
pub const BULK_ANSWERS_MAX: usize = 4_096;

/// Answers to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulk {
    /// Which run.
    pub instance: u32,
    /// The question that it runs, as the shard saw it when it checked the answers.
    pub question: u16,
    /// At most [`BULK_ANSWERS_MAX`].
    pub answers: Vec<BulkAnswer>,
}

/// One answer of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkAnswer {
    /// Whose.
    pub player: PlayerId,
    /// The row that the player's token names.
    pub row: Row,
    /// What the question's kind makes of the answer; at most [`Cell::VALUE_MAX`].
    pub value: u32,
    /// See [`Given::credit_ms`].
    pub credit_ms: u32,
}

/// What became of one answer of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkVerdict {
    /// It is held.
    Accepted(Cell),
    /// Another one was held already.
    Duplicate(Cell),
    /// The row is not known here, or a host has said something of the player: send the answer alone.
    Unknown,
}

impl EventCore {
    pub(super) fn answer_all(&mut self, now: Mono, ticket: u64, bulk: &Bulk) {
        let elapsed_ms = match self.check_time(now, bulk.instance, 0) {
            Ok((question, elapsed_ms)) if question == bulk.question => elapsed_ms,
            Ok(_) => return self.refuse(ticket, super::intake::question_unknown()),
            Err(refusal) => return self.refuse(ticket, refusal),
        };
        let again = self.rests_here_alone();
        let taken = bulk.answers.iter().take(BULK_ANSWERS_MAX);
        let verdicts: Arc<[BulkVerdict]> = taken
            .map(|answer| {
                let verdict = self.take_one(bulk, answer, elapsed_ms);
                if let BulkVerdict::Accepted(cell) = verdict {
                    self.write_down(bulk, answer, cell);
                    self.held.receipts.put(bulk.instance, answer.row, cell);
                } else if let BulkVerdict::Duplicate(cell) = verdict {
                    self.note_told(bulk.instance, answer.player, cell);
                    if again {
                        self.write_again(now, bulk.instance, answer);
                    }
                }
                verdict
            })
            .collect();
        self.grow_batch(now);
        let players = bulk.answers.iter().map(|answer| answer.player).collect();
        let waiting = Waiting::Bulk { instance: bulk.instance, players, verdicts };
        self.held.wait(ticket, waiting);
        self.await_bulk(now, ticket);
    }

    /// What is asked, while a round is open.
    pub(super) fn asked(&self) -> Option<Asked> {
        let (state, instance) = (self.state(), self.stage().instance);
        let (question, asked) = state.question_of(instance).filter(|_| state.is_open(instance))?;
        Some(Asked { instance, question, task: asked.task.clone() })
    }

    /// Whether an answer may be taken in a batch: nothing is known of its player that would make it
    /// another's affair, and nothing is held yet.
    pub(super) fn folds(&self, claim: &Claim, instance: u32) -> bool {
        let state = self.state();
        let known = state.players.get(claim.row);
        known.is_some_and(|known| known.id == claim.player)
            && !state.named.people.is_marked(claim.player)
            && state.held(instance, state.players.rows_of(claim.player)).is_none()
    }

    /// The receipt of one answer of a batch; `None` if it is to be sent alone.
    pub(super) fn receipt_in_bulk(
        &self,
        instance: u32,
        player: PlayerId,
        verdict: BulkVerdict,
        firm: bool,
    ) -> Option<InboxMessage> {
        let (status, cell) = match verdict {
            BulkVerdict::Accepted(cell) => ("accepted", cell),
            BulkVerdict::Duplicate(cell) => ("duplicate", cell),
            BulkVerdict::Unknown => return None,
        };
        let told = self.as_it_stands(instance, player, (status, cell), firm);
        let (status, cell, firm) = told;
        Some(self.receipt(instance, player, (status, firm), cell))
    }

    /// Whether a stream's time opens the question: every player has a time of their own then.
    fn has_window(&self, instance: u32) -> bool {
        let question = self.carried.state.question_of(instance);
        question.is_some_and(|(_, question)| question.window_ms() > 0)
    }

    fn take_one(&mut self, bulk: &Bulk, answer: &BulkAnswer, elapsed_ms: u32) -> BulkVerdict {
        let known = self.carried.state.players.get(answer.row);
        let is_known = known.is_some_and(|known| known.id == answer.player);
        let is_marked = self.carried.state.named.people.is_marked(answer.player);
        let is_alone = is_marked || self.has_window(bulk.instance);
        if !is_known || is_alone || answer.value > Cell::VALUE_MAX {
            return BulkVerdict::Unknown;
        }
        let elapsed_ms = self.credited(elapsed_ms, answer.credit_ms);
        let cell = Cell::new(elapsed_ms, self.identity.origin, answer.value);
        match self.carried.offer(bulk.instance, bulk.question, answer.row, cell) {
            Some(held) => BulkVerdict::Duplicate(held),
            None => BulkVerdict::Accepted(cell),
        }
    }

    /// Writes what is held down once more: to the question and with the row that it is held under, so that
    /// this node has applied what its lane says.
    fn write_again(&mut self, now: Mono, instance: u32, answer: &BulkAnswer) {
        let state = &self.carried.state;
        if let Some((question, cell)) = state.held(instance, state.players.rows_of(answer.player)) {
            let text = self.held_text(instance, question, answer.player);
            self.take_answer(now, instance, question, answer.row, Answer { cell, text });
        }
    }

    fn write_down(&mut self, bulk: &Bulk, answer: &BulkAnswer, cell: Cell) {
        let Row { origin, number } = answer.row;
        let row = (number, cell.elapsed_ms(), cell.value());
        self.batch.push((bulk.instance, bulk.question, origin), row);
    }

    /// Notes what the players of a batch are told firmly: what counts in place of an answer that was overruled, if they
    /// hear of it for the first time.
    pub(super) fn promise_bulk(
        &mut self,
        first: bool,
        instance: u32,
        players: &[PlayerId],
        verdicts: &[BulkVerdict],
    ) {
        for (player, verdict) in players.iter().zip(verdicts) {
            let (BulkVerdict::Accepted(cell) | BulkVerdict::Duplicate(cell)) = *verdict else {
                continue;
            };
            if !self.promise(instance, *player, cell)
                && first
                && let Some(cell) = self.overruling(instance, *player, cell)
                && self.is_firm_by_now(instance, *player, cell)
            {
                self.promise(instance, *player, cell);
            }
        }
    }

    /// Tells players what they were told provisionally before: their answers are firm now.
    pub(super) fn upgrade_bulk(
        &mut self,
        instance: u32,
        players: &[PlayerId],
        verdicts: &[BulkVerdict],
    ) {
        for (player, verdict) in players.iter().zip(verdicts) {
            let (BulkVerdict::Accepted(cell) | BulkVerdict::Duplicate(cell)) = *verdict else {
                continue;
            };
            if self.is_overruled(instance, *player, cell) {
                continue;
            }
            if let Some(message) = self.receipt_in_bulk(instance, *player, *verdict, true) {
                self.tell_inbox(*player, message);
            }
        }
    }
}

/// The reply to a batch.
pub(super) fn reply_to_all(verdicts: &Arc<[BulkVerdict]>, firm: bool) -> Reply {
    Reply::AnsweredAll { verdicts: Arc::clone(verdicts), firm }
}
