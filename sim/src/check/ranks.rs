//! Points and ranks equal those of a naive model that knows only the published rules: what was
//! asked, what hosts ruled, what is held, when it was given, what was awarded.

use std::collections::BTreeMap;

use crdt_state::PlayerId;

use super::Exports;
use super::export::{AnswerLine, Export, PlayerLine};
use crate::quiz::evidence::Evidence;

/// Points for an answer at once; the show files of runs do not say otherwise.
const POINTS: u64 = 1_000;
/// An answer within this is an answer at once.
const IMMEDIATE_MS: u64 = 500;

pub(super) fn check(evidence: &Evidence, exports: &Exports) -> Vec<String> {
    let Some(export) = super::first(exports) else { return Vec::new() };
    let mut found = Vec::new();
    let mut totals: BTreeMap<PlayerId, (u64, u64)> = BTreeMap::new();
    for answer in &export.answers {
        let is_correct =
            export.correct_of(&evidence.plan, answer).as_ref() == Some(&answer.choices);
        let due = if is_correct { points(export, answer) } else { 0 };
        if due != answer.points || is_correct != answer.correct {
            found.push(format!("{answer:?} should give {due}"));
        }
        let total = totals.entry(answer.player).or_default();
        total.0 += due;
        total.1 += if is_correct { u64::from(answer.elapsed_ms) } else { 0 };
    }
    found.extend(check_ranks(export, &totals));
    found
}

fn check_ranks(export: &Export, totals: &BTreeMap<PlayerId, (u64, u64)>) -> Vec<String> {
    let total = |line: &PlayerLine| {
        let (points, ms) = totals.get(&line.player).copied().unwrap_or_default();
        (points.saturating_add_signed(line.awarded), ms)
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
