//! Nobody counts twice: a player has one line and one answer per question, totals are sums of
//! answers, tallies are counts of answers.

use std::collections::{BTreeMap, BTreeSet};

use super::Exports;
use super::export::Export;
use crate::quiz::evidence::Evidence;
use crate::schedule::Form;

pub(super) fn check(evidence: &Evidence, exports: &Exports) -> Vec<String> {
    let mut found = Vec::new();
    for (node, export) in super::readable(exports) {
        let wrong = [twice(export), sums(evidence, export), tallies(evidence, export)].concat();
        found.extend(wrong.into_iter().map(|what| format!("node {node}: {what}")));
    }
    found
}

fn twice(export: &Export) -> Vec<String> {
    let mut players = BTreeSet::new();
    let mut answers = BTreeSet::new();
    let doubled = export.players.iter().filter(|line| !players.insert(line.player));
    let mut found: Vec<String> = doubled.map(|line| format!("{line:?} is a second line")).collect();
    let doubled =
        export.answers.iter().filter(|line| !answers.insert((line.instance, line.player)));
    found.extend(doubled.map(|line| format!("{line:?} is a second answer")));
    found
}

fn sums(evidence: &Evidence, export: &Export) -> Vec<String> {
    let mut totals: BTreeMap<_, (i64, u64)> = BTreeMap::new();
    for answer in &export.answers {
        let total = totals.entry(answer.player).or_default();
        total.0 += answer.points;
        // To bet early is no merit.
        let is_bet = export.form_of(&evidence.plan, answer) == Some(Form::Prediction);
        total.1 += if answer.correct && !is_bet { u64::from(answer.elapsed_ms) } else { 0 };
    }
    let wrong = export.players.iter().filter(|line| {
        let (points, ms) = totals.get(&line.player).copied().unwrap_or_default();
        (line.total_of(points), ms) != (line.points, line.correct_ms)
    });
    wrong.map(|line| format!("{line:?} is not {:?}", totals.get(&line.player))).collect()
}

fn tallies(evidence: &Evidence, export: &Export) -> Vec<String> {
    let mut found = Vec::new();
    for (instance, counts) in &export.tallies {
        let mut counted = vec![0; counts.len()];
        let answers = export
            .answers
            .iter()
            .filter(|answer| answer.instance == *instance && answer.number.is_none());
        // Of what is typed nothing is counted by its place.
        for choice in answers.flat_map(|answer| &answer.choices).filter(|_| !counts.is_empty()) {
            counted[usize::from(*choice)] += 1;
        }
        if counted != *counts {
            found.push(format!("question {instance} has tallies {counts:?} of {counted:?}"));
        }
    }
    for answer in &export.answers {
        if export.is_right(&evidence.plan, answer) != answer.correct {
            let asked = export.questions.get(&answer.instance);
            found.push(format!("{answer:?} is not what was asked: {asked:?}"));
        }
    }
    found
}
