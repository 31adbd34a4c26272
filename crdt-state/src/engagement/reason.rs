//! Why a player has what a run gave, in words.
//!
//! A kind has its own words; here is what kinds share that score an answer by a key and a time. Nothing is
//! computed anew: what an answer gave comes from the fold, and the words only say how.

use super::scoring::{Late, Partial};
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
    /// The rule with the player's numbers.
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

    /// The reason of a kind that knows right and wrong answers only; nothing without an answer.
    pub(super) fn by_outcome(&self, rule: &str) -> Option<Reason> {
        self.cell?;
        let points = self.outcome.points;
        let verdict = if self.outcome.correct { "the answer is correct" } else { WRONG };
        Some(Reason { arithmetic: format!("{rule}: {points}"), verdict: verdict.to_owned() })
    }
}

/// Why a wrong answer has what it has.
const WRONG: &str = "the answer is not the correct one";

impl Reason {
    /// A reason without numbers.
    #[must_use]
    pub fn new(words: impl Into<String>) -> Self {
        let words = words.into();
        Reason { arithmetic: words.clone(), verdict: words }
    }
}

/// How a question is scored that has a key, by what is correct of an answer and by its time.
pub(super) fn rule_of_key(question: &Question) -> String {
    let (full, scoring) = (question.points, &question.scoring);
    let mut rule = format!(
        "a correct answer gives {full} points below {} ms, then in a line down to {} % of them at the end, \
         rounded to the nearest; a part of the correct options {}; a wrong answer {}",
        scoring.full_ms,
        scoring.min_percent,
        describe_partial(scoring.partial),
        match scoring.wrong {
            0 => "costs nothing".to_owned(),
            points => format!("costs {points}"),
        },
    );
    if !scoring.streak.is_empty() {
        let steps: Vec<String> = scoring.streak.iter().map(ToString::to_string).collect();
        rule += &format!("; the second, third ... correct one in a row adds {}", steps.join(", "));
    }
    rule + match scoring.late {
        Late::AtDeadline => "; an answer within the grace counts as one at the deadline",
        Late::Nothing => "; an answer within the grace gives nothing",
    }
}

fn describe_partial(partial: Partial) -> String {
    match partial {
        Partial::Exact => "gives nothing".to_owned(),
        Partial::Proportional => "gives its share".to_owned(),
        Partial::PerOption(points) => format!("gives {points} for each"),
    }
}

/// An answer's way to its points by a key and its time.
pub(super) struct Timed<'a> {
    question: &'a Question,
    /// The deadline, in milliseconds.
    open_ms: u32,
    /// When it was given.
    elapsed_ms: u32,
    /// When it counts as given: what came in granted time does as at the deadline.
    judged_ms: u32,
    /// Whether it is correct.
    is_right: bool,
    /// What it is worth, before time takes its share.
    worth: u32,
}

impl<'a> Timed<'a> {
    /// The held answer of a case; `worth` says of what is judged whether it is right, and what it is worth.
    pub(super) fn of(case: &Case<'a>, worth: impl FnOnce(Cell) -> (bool, u32)) -> Option<Self> {
        let (cell, facts) = (case.cell?, case.facts);
        let judged = facts.judged(case.player, cell);
        let (is_right, worth) = worth(judged);
        Some(Timed {
            question: facts.question,
            open_ms: facts.open_ms(),
            elapsed_ms: cell.elapsed_ms(),
            judged_ms: judged.elapsed_ms(),
            is_right,
            worth,
        })
    }

    /// The reason for what it gave.
    pub(super) fn reason(&self, points: i64, bonus: i64) -> Reason {
        Reason { arithmetic: self.arithmetic(points, bonus), verdict: self.verdict() }
    }

    fn arithmetic(&self, points: i64, bonus: i64) -> String {
        let (worth, is_nothing) = (self.worth, self.worth == 0 && !self.is_right);
        if is_nothing {
            return format!("nothing of it is correct: {points}");
        }
        if self.is_late() {
            return format!("{} ms > {} ms, and late: {points}", self.judged_ms, self.open_ms);
        }
        let mut text = String::new();
        if self.judged_ms < self.elapsed_ms {
            text += "in granted time, which counts as the deadline: ";
        }
        if worth != self.question.points {
            text += &format!("{worth} for what is correct of it; ");
        }
        let (scoring, length) = (&self.question.scoring, self.open_ms.max(1));
        let counted = self.judged_ms.min(length);
        let sum = if counted < scoring.full_ms {
            format!("{counted} ms < {} ms: {worth}", scoring.full_ms)
        } else {
            let lost = 100 - u32::from(scoring.min_percent.min(100));
            format!(
                "({worth} * (100 * {length} - {lost} * {counted}) + 50 * {length}) / (100 * {length})"
            )
        };
        text + &format!("{sum}, bonus {bonus}: {points}")
    }

    fn verdict(&self) -> String {
        let (elapsed, open) = (self.elapsed_ms, self.open_ms);
        match (self.is_right, self.worth > 0) {
            (_, true) if self.is_late() => {
                format!("{elapsed} ms is after the {open} ms, and late gives nothing")
            }
            (true, _) => format!("correct after {elapsed} of {open} ms"),
            (false, true) => format!("a part of it is correct, after {elapsed} of {open} ms"),
            (false, false) => WRONG.to_owned(),
        }
    }

    fn is_late(&self) -> bool {
        self.judged_ms > self.open_ms && self.question.scoring.late == Late::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engagement::Scoring;

    #[test]
    fn a_rule_is_told_in_words() {
        let question = Question::choice("?", vec!["a".into(), "b".into()], 1);
        let usual = rule_of_key(&question);
        assert!(usual.contains(
            "a part of the correct options gives nothing; a wrong answer costs nothing; an"
        ));
        let (partial, late) = (Partial::PerOption(500), Late::Nothing);
        let streak = vec![100, 200];
        let scoring = Scoring { partial, late, streak, wrong: 50, ..Scoring::default() };
        let other = rule_of_key(&Question { scoring, ..question });
        for words in ["gives 500 for each", "costs 50", "adds 100, 200", "the grace gives nothing"]
        {
            assert!(other.contains(words), "{words}: {other}");
        }
    }

    fn timed(
        question: &Question,
        (elapsed_ms, judged_ms): (u32, u32),
        (is_right, worth): (bool, u32),
    ) -> Timed<'_> {
        Timed { question, open_ms: 10_000, elapsed_ms, judged_ms, is_right, worth }
    }

    #[test]
    fn an_answer_after_the_deadline_is_explained_as_the_rule_has_it() {
        let mut question = Question::choice("?", vec!["a".into(), "b".into()], 1);
        let late = timed(&question, (10_100, 10_100), (true, 1_000)).arithmetic(500, 0);
        assert!(late.contains("50 * 10000) + 50") && late.ends_with("bonus 0: 500"), "{late}");
        question.scoring.late = Late::Nothing;
        let late = timed(&question, (10_100, 10_100), (true, 1_000)).reason(0, 0);
        assert_eq!(late.arithmetic, "10100 ms > 10000 ms, and late: 0");
        assert_eq!(late.verdict, "10100 ms is after the 10000 ms, and late gives nothing");
        let granted = timed(&question, (12_000, 10_000), (true, 1_000)).arithmetic(500, 0);
        assert!(granted.starts_with("in granted time") && granted.ends_with(": 500"), "{granted}");
    }

    #[test]
    fn a_part_of_an_answer_is_explained_by_what_it_is_worth() {
        let question = Question::choice("?", vec!["a".into(), "b".into()], 1);
        let part = timed(&question, (0, 0), (false, 400)).reason(400, 0);
        let words = "400 for what is correct of it; 0 ms < 500 ms: 400, bonus 0: 400";
        assert_eq!(part.arithmetic, words);
        assert!(part.verdict.contains("a part of it is correct"));
        let wrong = timed(&question, (0, 0), (false, 0)).arithmetic(-50, 0);
        assert_eq!(wrong, "nothing of it is correct: -50");
    }
}
