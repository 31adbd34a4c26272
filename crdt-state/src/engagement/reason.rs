//! Why a player has what a run gave, in words.
//!
//! A kind has its own words; here is what kinds share that score an answer by a key and a time. Nothing is
//! computed anew: what an answer gave comes from the fold, and the words only say how.
//!
//! The arithmetic is a sum that anybody can do again with a pencil: steps with a semicolon between, each
//! `what it is: expression = number`, or `what it is: number` where there is nothing to compute. The last number is
//! what the run gave. The tests do every sum again.

use super::quiz::How;
use super::scoring::Late;
use super::{Facts, Outcome, Question, SoFar, fold};
use crate::Cell;
use crate::event::EventState;
use crate::id::PlayerId;

/// One player in one run, as a kind explains it.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The run, with the question that the player answered.
    pub facts: Facts<'a>,
    /// Who.
    pub player: PlayerId,
    /// The held answer, if there is one.
    pub cell: Option<Cell>,
    /// What was typed.
    pub text: Option<&'a str>,
    /// What the run gave.
    pub outcome: Outcome,
    /// What it gave everybody who counts, in the order of the players.
    pub all: &'a [(PlayerId, Outcome)],
}

/// Why a player has what a run gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The rule with the player's numbers, to be done again.
    pub arithmetic: String,
    /// In one sentence.
    pub verdict: String,
}

impl<'a> Case<'a> {
    /// A player of a run, given what it gave everybody; nothing if there is no such run.
    #[must_use]
    pub fn of(
        state: &'a EventState,
        instance: u32,
        player: PlayerId,
        all: &'a [(PlayerId, Outcome)],
    ) -> Option<Self> {
        let shown = Facts::of(state, instance)?;
        let rows = || state.players.rows_of(player);
        let held = state.held(instance, rows());
        // The answer may be to what the far side of a partition was shown.
        let facts = shown.at(held.map_or(shown.number, |(number, _)| number))?;
        let at = all.binary_search_by_key(&player, |(id, _)| *id);
        Some(Case {
            facts,
            player,
            cell: held.map(|(_, cell)| cell),
            text: held.and_then(|_| state.held_text(instance, facts.number, rows())),
            outcome: at.map(|at| all[at].1).unwrap_or_default(),
            all,
        })
    }

    /// What everybody had before the run, in the order of the players.
    #[must_use]
    pub fn before(&self) -> Vec<(PlayerId, SoFar)> {
        fold(self.facts.state, |instance| instance < self.facts.instance, |_, _| {})
    }

    /// What the player had before the run.
    pub(super) fn had(&self) -> SoFar {
        let before = self.before();
        let at = before.binary_search_by_key(&self.player, |(id, _)| *id);
        at.map(|at| before[at].1).unwrap_or_default()
    }

    /// The reason of a kind that knows right and wrong answers only; nothing without an answer.
    pub(super) fn by_outcome(&self, rule: &str) -> Option<Reason> {
        self.cell?;
        let Outcome { points, bonus, correct, .. } = self.outcome;
        let mut steps = vec![format!("{rule}: {}", points - bonus)];
        steps.extend(self.streak(points, bonus));
        let verdict = if correct { "the answer is correct" } else { WRONG };
        Some(Reason { arithmetic: steps.join("; "), verdict: verdict.to_owned() })
    }

    /// The step of a streak's bonus, if there is one.
    fn streak(&self, points: i64, bonus: i64) -> Option<String> {
        let nth = (bonus != 0).then(|| self.had().streak + 1)?;
        let given = points - bonus;
        let nth = ordinal(nth);
        Some(format!("correct for the {nth} time in a row: {given} + {bonus} = {points}"))
    }
}

/// A place in a row: 1st, 2nd, 3rd, 4th, 11th, 21st.
fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// A loss of so much, which came to `given`: nobody loses more than there is.
pub(super) fn loss(much: u64, given: i64) -> String {
    match given.unsigned_abs() == much {
        true => format!("0 - {much} = {given}"),
        false => format!("0 - {much} = -{much}; nobody loses more than there is: {given}"),
    }
}

/// Why a wrong answer has what it has.
pub(super) const WRONG: &str = "the answer is not the correct one";

impl Reason {
    /// Why there are no points.
    #[must_use]
    pub fn nothing(words: impl Into<String>) -> Self {
        let words = words.into();
        Reason { arithmetic: format!("{words}: 0"), verdict: words }
    }
}

/// How time, streaks and the price of a wrong answer go into points, for answers of which `worth` says what they are
/// worth.
pub(super) fn rule_of_key(worth: &str, question: &Question) -> String {
    let scoring = &question.scoring;
    let mut rule = match scoring.min_percent.min(100) {
        100 => format!("{worth}, at whatever time"),
        least => format!(
            "{worth}; all of it below {} ms, then in a line down to {least} % of it at the end, rounded to the \
             nearest",
            scoring.full_ms
        ),
    };
    rule += &match scoring.wrong {
        0 => "; what is worth nothing costs nothing".to_owned(),
        points => format!("; what is worth nothing and not correct costs {points}"),
    };
    if !scoring.streak.is_empty() {
        let steps: Vec<String> = scoring.streak.iter().map(ToString::to_string).collect();
        rule += &format!("; the second, third ... correct one in a row adds {}", steps.join(", "));
    }
    rule + match scoring.late {
        Late::AtDeadline => "; an answer within the grace counts as one at the deadline",
        Late::Nothing => "; an answer within the grace gives nothing",
    }
}

/// An answer's way to its points by a key and its time.
pub(super) struct Timed<'a> {
    case: Case<'a>,
    /// How it comes to what it is worth.
    how: How,
    /// The deadline, in milliseconds.
    open_ms: u32,
    /// When it was given.
    elapsed_ms: u32,
    /// When it counts as given: what came in granted time does as at the deadline.
    judged_ms: u32,
}

impl<'a> Timed<'a> {
    /// The held answer of a case, if there is one; `how` says of what is judged what it is worth.
    pub(super) fn of(case: &Case<'a>, how: impl FnOnce(Cell) -> How) -> Option<Self> {
        let (cell, facts) = (case.cell?, case.facts);
        let judged = facts.judged(case.player, cell);
        Some(Timed {
            case: *case,
            how: how(judged),
            open_ms: facts.open_ms(),
            elapsed_ms: cell.elapsed_ms(),
            judged_ms: judged.elapsed_ms(),
        })
    }

    /// The reason for what it gave.
    pub(super) fn reason(&self, points: i64, bonus: i64) -> Reason {
        Reason { arithmetic: self.arithmetic(points, bonus), verdict: self.verdict() }
    }

    fn arithmetic(&self, points: i64, bonus: i64) -> String {
        let mut steps = vec![self.how.sum.clone()];
        steps.extend(self.after_worth(points - bonus));
        steps.extend(self.case.streak(points, bonus));
        steps.join("; ")
    }

    /// What becomes of what it is worth.
    fn after_worth(&self, given: i64) -> Option<String> {
        let (scoring, How { worth, is_right, .. }) = (&self.case.facts.question.scoring, &self.how);
        let (length, open) = (self.open_ms.max(1), self.open_ms);
        let (judged, counted) = (self.judged_ms, self.judged_ms.min(length));
        if *worth == 0 && !is_right {
            let price = scoring.wrong;
            return (price > 0)
                .then(|| format!("the price of a wrong answer: {}", loss(price.into(), given)));
        }
        if self.is_late() {
            return Some(format!("{judged} ms > {open} ms, and late gives nothing: {given}"));
        }
        let when = if judged < self.elapsed_ms {
            "in granted time, which counts as the deadline"
        } else if judged > open {
            "within the grace, which counts as the deadline"
        } else {
            "for the time that it took"
        };
        let lost = 100 - u32::from(scoring.min_percent.min(100));
        Some(match counted < scoring.full_ms {
            true => format!(
                "{counted} ms < {} ms, so that time takes nothing: {given}",
                scoring.full_ms
            ),
            false if lost == 0 => format!("time takes nothing: {given}"),
            false => format!(
                "{when}: ({worth} * (100 * {length} - {lost} * {counted}) + 50 * {length}) / (100 * {length}), \
                 rounded down = {given}"
            ),
        })
    }

    fn verdict(&self) -> String {
        let (elapsed, open) = (self.elapsed_ms, self.open_ms);
        match (self.how.is_right, self.how.worth > 0) {
            (_, true) if self.is_late() => {
                format!("{elapsed} ms is after the {open} ms, and late gives nothing")
            }
            (true, _) => format!("correct after {elapsed} of {open} ms"),
            (false, true) => format!("a part of it is correct, after {elapsed} of {open} ms"),
            (false, false) => self.how.flaw.to_owned(),
        }
    }

    fn is_late(&self) -> bool {
        self.judged_ms > self.open_ms && self.case.facts.question.scoring.late == Late::Nothing
    }
}

#[cfg(test)]
mod tests;
