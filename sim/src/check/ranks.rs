//! Points and ranks equal those of a naive model that knows only the published rules: what was
//! asked, what hosts ruled, what is held, when it was given, what was awarded.

use std::collections::BTreeMap;

use crdt_state::PlayerId;

use super::Exports;
use super::export::{AnswerLine, Export, PlayerLine};
use crate::quiz::evidence::Evidence;
use crate::schedule::{CREDIT, Form, stake};

/// Points for an answer at once; the show files of runs do not say otherwise.
const POINTS: u64 = 1_000;
/// An answer within this is an answer at once.
const IMMEDIATE_MS: u64 = 500;

/// What each player has, and in how many milliseconds.
type Totals = BTreeMap<PlayerId, (i64, u64)>;

pub(super) fn check(evidence: &Evidence, exports: &Exports) -> Vec<String> {
    let Some(export) = super::first(exports) else { return Vec::new() };
    let (mut found, mut totals) = (Vec::new(), Totals::new());
    for answers in by_question(export).into_values() {
        let form = answers.first().and_then(|answer| export.form_of(&evidence.plan, answer));
        let is_right: Vec<bool> =
            answers.iter().map(|answer| export.is_right(&evidence.plan, answer)).collect();
        let dues = match form {
            Some(Form::Prediction) => {
                let unstaked = answers.iter().filter(|answer| !is_staked(answer));
                found.extend(unstaked.map(|answer| format!("{answer:?} was never staked")));
                won(&answers, &is_right, &totals)
            }
            _ => {
                let due = |(answer, is_right): (&&AnswerLine, &bool)| match is_right {
                    true => points(export, answer) as i64,
                    false => 0,
                };
                answers.iter().zip(&is_right).map(due).collect()
            }
        };
        for ((answer, due), is_right) in answers.into_iter().zip(dues).zip(is_right) {
            let total = totals.entry(answer.player).or_default();
            // Nobody loses more than there is.
            let due = due.max(-total.0);
            if due != answer.points || is_right != answer.correct {
                found.push(format!("{answer:?} should give {due}"));
            }
            total.0 += due;
            // To bet early is no merit.
            let is_timed = is_right && form != Some(Form::Prediction);
            total.1 += if is_timed { u64::from(answer.elapsed_ms) } else { 0 };
        }
    }
    found.extend(check_ranks(export, &totals));
    found
}

/// The answers of every run in order, those to another question than the one that is shown by themselves.
fn by_question(export: &Export) -> BTreeMap<(u32, Option<u32>), Vec<&AnswerLine>> {
    let mut all: BTreeMap<_, Vec<&AnswerLine>> = BTreeMap::new();
    for answer in &export.answers {
        all.entry((answer.instance, answer.number)).or_default().push(answer);
    }
    all
}

/// Whether a player staked that on this option. Who saw the same run ask for an option only, on the other side of a
/// cut, said no stake, and has the credit on it.
fn is_staked(answer: &AnswerLine) -> bool {
    let choice = answer.choices.first().copied().unwrap_or_default();
    let may = [stake(answer.player, answer.instance, choice), CREDIT];
    answer.stake.is_some_and(|stake| may.contains(&stake))
}

/// What a prediction gives: whoever is right takes what the others staked by the share of the own stake among
/// those who are. Nobody stakes more than earlier runs gave, or the credit.
fn won(answers: &[&AnswerLine], is_right: &[bool], totals: &Totals) -> Vec<i64> {
    let staked = |answer: &&AnswerLine| {
        let has = totals.get(&answer.player).map_or(0, |total| total.0);
        i64::from(answer.stake.unwrap_or_default()).min(has.max(CREDIT.into()))
    };
    let stakes: Vec<i64> = answers.iter().map(staked).collect();
    let sum = |of: bool| -> i64 {
        stakes.iter().zip(is_right).filter(|(_, right)| **right == of).map(|(stake, _)| stake).sum()
    };
    let (right, wrong) = (sum(true), sum(false));
    let due = |(stake, is_right): (&i64, &bool)| match (right, is_right) {
        (0, _) => 0,
        (_, true) => wrong * stake / right,
        (_, false) => -stake,
    };
    stakes.iter().zip(is_right).map(due).collect()
}

fn check_ranks(export: &Export, totals: &Totals) -> Vec<String> {
    let total = |line: &PlayerLine| {
        let (points, ms) = totals.get(&line.player).copied().unwrap_or_default();
        (line.total_of(points), ms)
    };
    let mut order: Vec<(u64, u64)> = export.players.iter().map(total).collect();
    order.sort_by_key(|(points, ms)| (std::cmp::Reverse(*points), *ms));
    let mut found = Vec::new();
    for line in &export.players {
        let (points, ms) = total(line);
        let ahead = order.partition_point(|of| of.0 > points || (of.0 == points && of.1 < ms));
        if line.rank as usize != ahead + 1 || line.points != points || line.correct_ms != ms {
            found.push(format!("{line:?} should have {points} points and rank {}", ahead + 1));
        }
    }
    found
}

/// Half of the points fall away in a line over the time that a round is open.
fn points(export: &Export, answer: &AnswerLine) -> u64 {
    let open_ms = export.questions.get(&answer.instance).map_or(1, |line| line.open_ms.into());
    let elapsed = u64::from(answer.elapsed_ms).min(open_ms);
    if elapsed < IMMEDIATE_MS {
        return POINTS;
    }
    (POINTS * (2 * open_ms - elapsed) + open_ms) / (2 * open_ms)
}
