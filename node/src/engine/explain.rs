//! Why a player has the points that a round gave.
//!
//! All of it but the refusals is a fold over the replicated state, the same on every node. What a node turned
//! away only that node knows: it remembers the newest of each player, so many in all.

use super::core::EventCore;
use super::intake::choices_of;
use super::views::stage_view;
use crate::service::explain::{ExplainView, HeldView, TurnedAwayView};
use crate::service::view::Refusal;
use crdt_state::engagement::quiz::score::{IMMEDIATE_MS, points};
use crdt_state::engagement::quiz::{Question, outcome};
use crdt_state::{Cell, Mono, PlayerId};
use std::collections::BTreeMap;

/// Answers turned away that an event remembers; beyond them the oldest rounds' are forgotten first.
const TURNED_AWAY_MAX: usize = 100_000;

/// What was turned away, by run and player.
#[derive(Debug, Default)]
pub struct TurnedAway(BTreeMap<(u32, PlayerId), Turned>);

#[derive(Debug)]
struct Turned {
    code: String,
    message: String,
    elapsed_ms: Option<u64>,
    times: u32,
}

impl TurnedAway {
    /// Remembers a refusal; of several of one player to one run the newest, and how many there were.
    fn note(
        &mut self,
        instance: u32,
        player: PlayerId,
        elapsed_ms: Option<u64>,
        refusal: &Refusal,
    ) {
        let times = self.0.get(&(instance, player)).map_or(0, |turned| turned.times);
        let (code, message) = (refusal.code.clone(), refusal.message.clone());
        let turned = Turned { code, message, elapsed_ms, times: times.saturating_add(1) };
        self.0.insert((instance, player), turned);
        if self.0.len() > TURNED_AWAY_MAX {
            self.0.pop_first();
        }
    }
}

impl EventCore {
    /// Remembers that an answer was turned away.
    pub(super) fn turn_away(
        &mut self,
        now: Mono,
        instance: u32,
        player: PlayerId,
        refusal: &Refusal,
    ) {
        let elapsed_ms = self.carried.elapsed_ms(now, instance);
        self.turned_away.note(instance, player, elapsed_ms, refusal);
    }

    /// The player whose id or shown name this is.
    #[must_use]
    pub fn find_player(&self, words: &str) -> Option<PlayerId> {
        let players = &self.state().players;
        if let Ok(id) = words.parse::<PlayerId>() {
            return players.row_of(id).map(|_| id);
        }
        players.ids().find(|id| players.shown_name(*id).as_deref() == Some(words))
    }

    /// Why `player` has what run `instance` gave.
    ///
    /// # Errors
    /// `round_unknown`, `player_unknown`.
    pub fn explain(&self, words: &str, instance: u32) -> Result<ExplainView, Refusal> {
        let player = self.find_player(words).ok_or_else(|| {
            let message = format!("no player of this event has the id or the name {words:?}");
            Refusal::new("player_unknown", message)
                .hint("ids are 32 hex digits; the export lists them")
        })?;
        let (number, question) = self.state().question_of(instance).ok_or_else(|| {
            Refusal::new("round_unknown", format!("there is no round {instance}"))
                .hint("rounds are counted from 1, a question that is asked again counts again")
        })?;
        let closed = instance <= self.newest_closed();
        let cell = self.held_cell(player, instance);
        let outcome = outcome(self.state(), instance, player).filter(|_| closed);
        let open_ms = self.state().open_ms(instance);
        let shown = |text: String| closed.then_some(text);
        Ok(ExplainView {
            event: self.event(),
            player,
            name: self.state().players.shown_name(player).unwrap_or_default(),
            round: instance,
            stage: stage_view(self.stage()),
            number: u32::from(number) + 1,
            question: question.text.clone(),
            open_ms,
            grace_ms: self.rules.grace.as_millis() as u64,
            receipt: cell.map(|cell| self.held_view(player, cell)),
            refused: self.refusals(player, instance),
            correct: closed.then(|| choices_of(question.correct)),
            rule: shown(rule(question)),
            arithmetic: cell.and_then(|cell| shown(arithmetic(question, open_ms, cell))),
            points: closed.then(|| outcome.map_or(0, |outcome| outcome.points)),
            verdict: self.verdict(question, cell, closed, (player, instance)),
        })
    }

    fn held_cell(&self, player: PlayerId, instance: u32) -> Option<Cell> {
        let rows = self.state().players.rows_of(player);
        self.state().held(instance, rows).map(|(_, cell)| cell)
    }

    fn held_view(&self, player: PlayerId, cell: Cell) -> HeldView {
        let takers = self.state().enrolled();
        let takers = takers.filter(|(origin, ..)| (origin.0 >> 48) as u16 == cell.tag());
        HeldView {
            choices: choices_of(cell.choice()),
            elapsed_ms: cell.elapsed_ms(),
            taken_by: takers.map(|(_, _, name)| name.to_owned()).collect(),
            rows: self.state().players.rows_of(player).count(),
        }
    }

    fn refusals(&self, player: PlayerId, instance: u32) -> Vec<TurnedAwayView> {
        let turned = self.turned_away.0.get(&(instance, player));
        let view = |turned: &Turned| TurnedAwayView {
            node: self.identity.name.clone(),
            code: turned.code.clone(),
            message: turned.message.clone(),
            elapsed_ms: turned.elapsed_ms,
            times: turned.times,
        };
        turned.map(view).into_iter().collect()
    }

    fn verdict(
        &self,
        question: &Question,
        cell: Option<Cell>,
        closed: bool,
        (player, instance): (PlayerId, u32),
    ) -> String {
        let Some(cell) = cell else {
            return match self.turned_away.0.get(&(instance, player)) {
                Some(turned) => format!("no answer counts: it was turned away: {}", turned.message),
                None => {
                    "no answer counts: none has reached a node that this one has heard of".into()
                }
            };
        };
        let elapsed = cell.elapsed_ms();
        if !closed {
            return format!(
                "an answer is held, given after {elapsed} ms; the round is not closed yet"
            );
        }
        if cell.choice() != question.correct {
            return "0 points: the answer is not the correct one".to_owned();
        }
        let open_ms = self.state().open_ms(instance);
        let points = points(question, open_ms, elapsed, cell.choice());
        format!("{points} points: correct after {elapsed} of {open_ms} ms")
    }
}

fn rule(question: &Question) -> String {
    let full = question.points;
    let choice = if question.multiple {
        "exactly the correct options give"
    } else {
        "the correct option gives"
    };
    format!(
        "{choice} {full} points below {IMMEDIATE_MS} ms, then in a line down to half of them at the end, \
         rounded to the nearest: (P * (2 * T - t) + T) / (2 * T); anything else gives 0"
    )
}

fn arithmetic(question: &Question, open_ms: u32, cell: Cell) -> String {
    let (full, length) = (question.points, open_ms.max(1));
    let (elapsed, choice) = (cell.elapsed_ms(), cell.choice());
    let given = points(question, open_ms, elapsed, choice);
    if choice != question.correct {
        let (chosen, correct) = (choices_of(choice), choices_of(question.correct));
        return format!("chosen {chosen:?}, correct {correct:?}: 0");
    }
    let counted = elapsed.min(length);
    if u64::from(counted) < IMMEDIATE_MS {
        return format!("{counted} ms < {IMMEDIATE_MS} ms: {full}");
    }
    format!("({full} * (2 * {length} - {counted}) + {length}) / (2 * {length}) = {given}")
}
