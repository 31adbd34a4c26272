//! Points and ranks equal those of a naive model that knows only the published rules: what was
//! asked, what is held, when it was given.

use std::collections::BTreeMap;

use crdt_state::PlayerId;

use super::export::{AnswerLine, Export};
use crate::quiz::evidence::Evidence;
use crate::schedule::Question;

/// Points for an answer at once; the show files of runs do not say otherwise.
const POINTS: u64 = 1_000;
/// An answer within this is an answer at once.
const IMMEDIATE_MS: u64 = 500;

pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let Some(end) = evidence.ends.values().next() else { return Vec::new() };
    let Ok(export) = Export::read(&end.export) else { return Vec::new() };
    let mut found = Vec::new();
    let mut totals: BTreeMap<PlayerId, (u64, u64)> = BTreeMap::new();
    for answer in &export.answers {
        let Some(question) = evidence.plan.question(answer.instance) else { continue };
        let open_ms = export.open_ms.get(&answer.instance).copied().unwrap_or(question.open_ms);
        let due = points(question, open_ms.into(), answer);
        if due != answer.points {
            found.push(format!("{answer:?} should give {due}"));
        }
        let total = totals.entry(answer.player).or_default();
        total.0 += due;
        total.1 += if is_correct(question, answer) { u64::from(answer.elapsed_ms) } else { 0 };
    }
    let mut order: Vec<(u64, u64)> = export
        .players
        .iter()
        .map(|line| totals.get(&line.player).copied().unwrap_or_default())
        .collect();
    order.sort_by_key(|(points, ms)| (std::cmp::Reverse(*points), *ms));
    for line in &export.players {
        let (points, ms) = totals.get(&line.player).copied().unwrap_or_default();
        let ahead = order.partition_point(|of| of.0 > points || (of.0 == points && of.1 < ms));
        if line.rank as usize != ahead + 1 || line.points != points {
            found.push(format!("{line:?} should have {points} points and rank {}", ahead + 1));
        }
    }
    found
}

fn is_correct(question: &Question, answer: &AnswerLine) -> bool {
    answer.choices == [question.correct]
}

/// Half of the points fall away in a line over the time that a round is open.
fn points(question: &Question, open_ms: u64, answer: &AnswerLine) -> u64 {
    let elapsed = u64::from(answer.elapsed_ms).min(open_ms);
    if !is_correct(question, answer) {
        return 0;
    }
    if elapsed < IMMEDIATE_MS {
        return POINTS;
    }
    (POINTS * (2 * open_ms - elapsed) + open_ms) / (2 * open_ms)
}
