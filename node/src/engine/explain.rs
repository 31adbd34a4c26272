//! Why a player has the points that a round gave.
//!
//! All of it but the refusals is a fold over the replicated state, the same on every node. What a node turned
//! away only that node knows: it remembers the newest of each player, so many in all.

use super::arithmetic::{Sum, rule};
use super::core::EventCore;
use super::views::{correct_of, stage_view};
use crate::service::explain::{ExplainView, HeldView, TurnedAwayView};
use crate::service::view::Refusal;
use crdt_state::engagement::{Facts, Outcome, fold};
use crdt_state::event::Ruling;
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
        // The number is the sender's own: runs that are not there would push out those that are.
        if instance > self.stage().instance {
            return;
        }
        let elapsed_ms = self.carried.elapsed_ms(now, instance);
        self.turned_away.note(instance, player, elapsed_ms, refusal);
    }

    /// The player whose id or shown name this is.
    #[must_use]
    pub fn find_player(&self, words: &str) -> Option<PlayerId> {
        let (state, players) = (self.state(), &self.state().players);
        if let Ok(id) = words.parse::<PlayerId>() {
            return players.row_of(id).map(|_| id);
        }
        players.ids().find(|id| state.shown_name(*id).as_deref() == Some(words))
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
        let outcome = self.outcome_in(player, instance);
        let facts = Facts::of(self.state(), instance);
        let key = facts.and_then(|facts| facts.key());
        let open_ms = facts.map_or(0, |facts| facts.open_ms());
        let sum = cell.and_then(|cell| self.sum(player, instance, cell));
        let shown = |text: String| closed.then_some(text);
        Ok(ExplainView {
            event: self.event(),
            player,
            name: self.state().shown_name(player).unwrap_or_default(),
            round: instance,
            stage: stage_view(self.stage()),
            number: u32::from(number) + 1,
            question: question.text.clone(),
            open_ms,
            grace_ms: self.rules.grace.as_millis() as u64,
            receipt: cell.map(|cell| self.held_view(player, instance, cell)),
            refused: self.refusals(player, instance),
            correct: closed.then(|| key.as_ref().map(correct_of).unwrap_or_default()),
            revision: self.state().revision_of(instance),
            rule: shown(rule(question)),
            arithmetic: sum.and_then(|sum| shown(sum.arithmetic(&outcome))),
            points: closed.then_some(outcome.points),
            verdict: self.verdict(&outcome, cell, closed, (player, instance)),
        })
    }

    fn held_cell(&self, player: PlayerId, instance: u32) -> Option<Cell> {
        let rows = self.state().players.rows_of(player);
        self.state().held(instance, rows).map(|(_, cell)| cell)
    }

    fn held_view(&self, player: PlayerId, instance: u32, cell: Cell) -> HeldView {
        let takers = self.state().enrolled();
        let takers = takers.filter(|(origin, ..)| (origin.0 >> 48) as u16 == cell.tag());
        HeldView {
            choices: self.choices_in(instance, cell),
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

    /// What a run gave a player, by the same fold as the leaderboard.
    fn outcome_in(&self, player: PlayerId, instance: u32) -> Outcome {
        let mut found = Outcome::default();
        fold(
            self.state(),
            |of| of <= instance,
            |of, outcomes| {
                let at = outcomes.binary_search_by_key(&player, |(id, _)| *id);
                if let (true, Ok(at)) = (of == instance, at) {
                    found = outcomes[at].1;
                }
            },
        );
        found
    }

    fn choices_in(&self, instance: u32, cell: Cell) -> Vec<u8> {
        let question = self.state().question_of(instance);
        question.map(|(_, question)| question.task.choices(cell.value())).unwrap_or_default()
    }

    fn verdict(
        &self,
        outcome: &Outcome,
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
        if self.state().rulings.of(instance).is_some_and(Ruling::is_aside) {
            return "0 points: a host has set the round aside".to_owned();
        }
        let sum = self.sum(player, instance, cell);
        sum.map_or_else(|| format!("{} points", outcome.points), |sum| sum.verdict(outcome))
    }

    /// How what an answer gives comes about.
    fn sum(&self, player: PlayerId, instance: u32, cell: Cell) -> Option<Sum<'_>> {
        let shown = Facts::of(self.state(), instance)?;
        let rows = || self.state().players.rows_of(player);
        // The answer may be to what the far side of a partition was shown.
        let number = self.state().held(instance, rows()).map_or(shown.number, |(number, _)| number);
        let facts = shown.at(number)?;
        let text = self.state().held_text(instance, number, rows());
        Some(Sum::of(facts, player, cell, text))
    }
}
