//! How points come about, in words: the rule of a question, and the rule with one answer's numbers.
//!
//! It computes nothing of its own: what an answer is worth, and what it gave, comes from the fold.

use crdt_state::engagement::scoring::{Late, Partial};
use crdt_state::engagement::{Facts, Outcome, Question, Task};
use crdt_state::{Cell, PlayerId};

/// How an answer is scored.
pub(super) fn rule(question: &Question) -> String {
    match &question.task {
        Task::Quiz(_) | Task::Elimination(_) => rule_of_key(question),
        Task::Prediction(_) => "who staked on what comes true keeps the stake and splits those of the others in \
             proportion to their own; who did not loses it; a stake is no more than the player has, or the \
             credit"
            .to_owned(),
        Task::Raffle(raffle) => {
            let (winners, points) = (raffle.winners, question.points);
            format!("each of {winners} drawn from all who entered gets {points} points")
        }
        Task::Tug(_) => {
            let points = question.points;
            format!("everybody on the side that pulls more for each of its players gets {points} points")
        }
        other => format!("a {} gives no points", other.name().replace('_', " ")),
    }
}

fn rule_of_key(question: &Question) -> String {
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

/// One answer's way to its points.
pub(super) struct Sum<'a> {
    question: &'a Question,
    /// The deadline, in milliseconds.
    open_ms: u32,
    /// When it was given.
    elapsed_ms: u32,
    /// When it counts as given: what came in granted time does as at the deadline.
    judged_ms: u32,
    /// Whether it is correct and what it is worth, before time takes its share; nothing for kinds that are not
    /// scored so.
    worth: Option<(bool, u32)>,
}

impl<'a> Sum<'a> {
    /// An answer to a question of a run.
    pub(super) fn of(facts: Facts<'a>, player: PlayerId, cell: Cell, text: Option<&str>) -> Self {
        let judged = facts.judged(player, cell);
        Sum {
            question: facts.question,
            open_ms: facts.open_ms(),
            elapsed_ms: cell.elapsed_ms(),
            judged_ms: judged.elapsed_ms(),
            worth: facts.worth(judged, text),
        }
    }

    /// The rule with the answer's numbers.
    pub(super) fn arithmetic(&self, outcome: &Outcome) -> String {
        let Outcome { points, bonus, .. } = outcome;
        let Some((is_right, worth)) = self.worth else { return self.of_other_kinds(outcome) };
        if worth == 0 && !is_right {
            return format!("nothing of it is correct: {points}");
        }
        if self.is_out(outcome) {
            return format!("who is out of the elimination gets nothing: {points}");
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
        if counted < scoring.full_ms {
            return text
                + &format!(
                    "{counted} ms < {} ms: {worth}, bonus {bonus}: {points}",
                    scoring.full_ms
                );
        }
        let lost = 100 - u32::from(scoring.min_percent.min(100));
        text + &format!(
            "({worth} * (100 * {length} - {lost} * {counted}) + 50 * {length}) / (100 * {length}), \
             bonus {bonus}: {points}"
        )
    }

    /// The reason in one sentence.
    pub(super) fn verdict(&self, outcome: &Outcome) -> String {
        let (points, elapsed, open) = (outcome.points, self.elapsed_ms, self.open_ms);
        let Some((is_right, worth)) = self.worth else {
            return format!("{points} points: {}", self.of_other_kinds(outcome));
        };
        match (is_right, worth > 0) {
            (true, _) if self.is_out(outcome) => {
                format!("{points} points: correct, but who is out of the elimination gets none")
            }
            (_, true) if self.is_late() => {
                format!(
                    "{points} points: {elapsed} ms is after the {open} ms, and late gives nothing"
                )
            }
            (true, _) => format!("{points} points: correct after {elapsed} of {open} ms"),
            (false, true) => {
                format!("{points} points: a part of it is correct, after {elapsed} of {open} ms")
            }
            (false, false) => format!("{points} points: the answer is not the correct one"),
        }
    }

    fn is_late(&self) -> bool {
        self.judged_ms > self.open_ms && self.question.scoring.late == Late::Nothing
    }

    /// Whether a correct answer gave nothing because its player was out.
    fn is_out(&self, outcome: &Outcome) -> bool {
        let gave_nothing = outcome.correct && outcome.points == 0 && !self.is_late();
        gave_nothing
            && matches!(self.question.task, Task::Elimination(_))
            && self.question.points > 0
    }

    fn of_other_kinds(&self, outcome: &Outcome) -> String {
        let points = outcome.points;
        match (&self.question.task, outcome.correct) {
            (Task::Prediction(_), true) => {
                format!("the stake comes back, with {points} of the others'")
            }
            (Task::Prediction(_), false) if points < 0 => format!("the stake is lost: {points}"),
            (Task::Prediction(_), false) => {
                "nothing is paid: it is open, cancelled, or nobody was right".into()
            }
            (Task::Raffle(_), true) => "drawn".to_owned(),
            (Task::Raffle(_), false) => "not drawn".to_owned(),
            (Task::Tug(_), true) => "on the side that won".to_owned(),
            (Task::Tug(_), false) => "not on the side that won".to_owned(),
            (other, _) => format!("a {} gives none", other.name().replace('_', " ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdt_state::engagement::Scoring;

    #[test]
    fn a_rule_is_told_in_words() {
        let question = Question::choice("?", vec!["a".into(), "b".into()], 1);
        let usual = rule(&question);
        assert!(usual.contains(
            "a part of the correct options gives nothing; a wrong answer costs nothing; an"
        ));
        let (partial, late) = (Partial::PerOption(500), Late::Nothing);
        let streak = vec![100, 200];
        let scoring = Scoring { partial, late, streak, wrong: 50, ..Scoring::default() };
        let other = rule(&Question { scoring, ..question });
        for words in ["gives 500 for each", "costs 50", "adds 100, 200", "the grace gives nothing"]
        {
            assert!(other.contains(words), "{words}: {other}");
        }
    }

    fn sum(
        question: &Question,
        (elapsed_ms, judged_ms): (u32, u32),
        worth: (bool, u32),
    ) -> Sum<'_> {
        Sum { question, open_ms: 10_000, elapsed_ms, judged_ms, worth: Some(worth) }
    }

    fn gives(correct: bool, points: i64) -> Outcome {
        Outcome { correct, points, ..Outcome::default() }
    }

    #[test]
    fn an_answer_after_the_deadline_is_explained_as_the_rule_has_it() {
        let mut question = Question::choice("?", vec!["a".into(), "b".into()], 1);
        let late = sum(&question, (10_100, 10_100), (true, 1_000)).arithmetic(&gives(true, 500));
        assert!(late.contains("50 * 10000) + 50") && late.ends_with("bonus 0: 500"), "{late}");
        question.scoring.late = Late::Nothing;
        let late = sum(&question, (10_100, 10_100), (true, 1_000));
        assert_eq!(late.arithmetic(&gives(true, 0)), "10100 ms > 10000 ms, and late: 0");
        let verdict = late.verdict(&gives(true, 0));
        assert_eq!(verdict, "0 points: 10100 ms is after the 10000 ms, and late gives nothing");
        let granted = sum(&question, (12_000, 10_000), (true, 1_000));
        let granted = granted.arithmetic(&gives(true, 500));
        assert!(granted.starts_with("in granted time") && granted.ends_with(": 500"), "{granted}");
    }

    #[test]
    fn a_part_of_an_answer_is_explained_by_what_it_is_worth() {
        let question = Question::choice("?", vec!["a".into(), "b".into()], 1);
        let part = sum(&question, (0, 0), (false, 400));
        let words = "400 for what is correct of it; 0 ms < 500 ms: 400, bonus 0: 400";
        assert_eq!(part.arithmetic(&gives(false, 400)), words);
        assert!(part.verdict(&gives(false, 400)).contains("a part of it is correct"));
        let wrong = sum(&question, (0, 0), (false, 0));
        assert_eq!(wrong.arithmetic(&gives(false, -50)), "nothing of it is correct: -50");
    }
}
