//! What must hold of every run, judged from what was seen; one family of rules per file.
//!
//! The checkers know what the product promises and none of its code: they read what players were
//! told, what nodes showed, and what they exported.

mod agreement;
mod bounds;
mod carriers;
pub(crate) mod closing;
mod digests;
mod doubles;
mod export;
mod holders;
mod laws;
mod membership;
mod ranks;
mod receipts;
mod rulings;
mod seals;
mod secrecy;
mod stages;

use std::collections::BTreeSet;
use std::fmt;

use crate::quiz::evidence::{End, Evidence};
use crate::schedule::Question;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The family of the rule.
    pub rule: &'static str,
    /// What was seen instead.
    pub what: String,
}

/// A family's name, and what it has to say against a run.
type Family = (&'static str, fn(&Evidence) -> Vec<String>);

/// Judges a run; nothing is good news.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let families: [Family; 16] = [
        ("progress", progress),
        ("stages", stages::check),
        ("digests", digests::check),
        ("receipts", receipts::check),
        ("holders", holders::check),
        ("doubles", doubles::check),
        ("agreement", agreement::check),
        ("carriers", carriers::check),
        ("closing", closing::check),
        ("secrecy", secrecy::check),
        ("seals", seals::check),
        ("rulings", rulings::check),
        ("ranks", ranks::check),
        ("bounds", bounds::check),
        ("membership", membership::check),
        ("laws", laws::check),
    ];
    let judged = families.into_iter().flat_map(|(rule, check)| {
        check(evidence).into_iter().map(move |what| Violation { rule, what })
    });
    judged.collect()
}

/// The ends that differ in what they export: equal ones are read once.
fn distinct_ends(evidence: &Evidence) -> Vec<(u8, &End)> {
    let mut ends: Vec<(u8, &End)> = Vec::new();
    for (node, end) in &evidence.ends {
        if ends.iter().all(|(_, other)| other.export != end.export) {
            ends.push((*node, end));
        }
    }
    ends
}

/// The questions that nodes have shown in a run, by their places in the plan: more than one where two
/// sides of a partition went different ways.
fn questions_of(evidence: &Evidence, instance: u32) -> Vec<&Question> {
    let shown = evidence.sightings.iter().filter(|seen| seen.stage.instance == instance);
    let numbers: BTreeSet<u32> = shown.filter_map(|seen| seen.question).collect();
    let all = numbers.into_iter();
    all.filter_map(|number| evidence.plan.questions.get(number as usize - 1)).collect()
}

/// What the run itself noticed: too little progress.
fn progress(evidence: &Evidence) -> Vec<String> {
    evidence.stuck.clone()
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

#[cfg(test)]
mod tests;
