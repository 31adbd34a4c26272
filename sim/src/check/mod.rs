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

use self::export::Export;
use self::laws::Laws;
use crate::quiz::evidence::Evidence;
use crate::schedule::Question;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The family of the rule.
    pub rule: &'static str,
    /// What was seen instead.
    pub what: String,
}

/// A family of rules: what it has to say against a run.
#[derive(Clone, Copy)]
enum Family {
    /// By what was seen alone.
    Seen(fn(&Evidence) -> Vec<String>),
    /// By what nodes exported in the end, too.
    Exported(fn(&Evidence, &Exports) -> Vec<String>),
}

/// What nodes exported in the end, or why it cannot be read; equal exports are one, of the first node.
type Exports = [(u8, Result<Export, String>)];

/// Judges a run; nothing is good news.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    check_and_count(evidence).0
}

/// The same, and how many states the merge laws were tried on: none, where no node has every entry by itself.
pub fn check_and_count(evidence: &Evidence) -> (Vec<Violation>, usize) {
    let Laws { broken, compared } = laws::check(evidence);
    let broken = broken.into_iter().map(|what| Violation { rule: "laws", what });
    (by_families(evidence).into_iter().chain(broken).collect(), compared)
}

fn by_families(evidence: &Evidence) -> Vec<Violation> {
    use Family::{Exported, Seen};
    let families = [
        ("progress", Seen(progress)),
        ("stages", Seen(stages::check)),
        ("digests", Seen(digests::check)),
        ("receipts", Exported(receipts::check)),
        ("holders", Seen(holders::check)),
        ("doubles", Exported(doubles::check)),
        ("agreement", Seen(agreement::check)),
        ("carriers", Seen(carriers::check)),
        ("closing", Seen(closing::check)),
        ("secrecy", Seen(secrecy::check)),
        ("seals", Exported(seals::check)),
        ("rulings", Exported(rulings::check)),
        ("ranks", Exported(ranks::check)),
        ("bounds", Seen(bounds::check)),
        ("membership", Seen(membership::check)),
    ];
    judge(evidence, &families, &exports(evidence))
}

/// Judges a run that was stopped before its end, by what holds at any moment and not only once all is mended.
pub fn check_stopped(evidence: &Evidence) -> Vec<Violation> {
    use Family::{Exported, Seen};
    let families = [
        ("stages", Seen(stages::check)),
        ("digests", Seen(digests::check)),
        ("receipts", Exported(receipts::at_any_time)),
        ("holders", Seen(holders::check)),
        ("doubles", Exported(doubles::check)),
        ("closing", Seen(closing::answers)),
        ("secrecy", Seen(secrecy::check)),
        ("seals", Seen(seals::uncounted)),
        ("bounds", Seen(bounds::check)),
    ];
    judge(evidence, &families, &exports_so_far(evidence))
}

fn judge(
    evidence: &Evidence,
    families: &[(&'static str, Family)],
    exports: &Exports,
) -> Vec<Violation> {
    let judged = families.iter().flat_map(|(rule, family)| {
        let found = match family {
            Family::Seen(check) => check(evidence),
            Family::Exported(check) => check(evidence, exports),
        };
        found.into_iter().map(|what| Violation { rule, what })
    });
    judged.collect()
}

/// Reads every export once, however many nodes wrote it and however many rules want it.
fn exports(evidence: &Evidence) -> Vec<(u8, Result<Export, String>)> {
    let mut distinct: Vec<(u8, &[u8])> = Vec::new();
    for (node, end) in &evidence.ends {
        if distinct.iter().all(|(_, other)| *other != end.export) {
            distinct.push((*node, &end.export));
        }
    }
    distinct.into_iter().map(|(node, export)| (node, Export::read(export))).collect()
}

/// What each node would have exported when the run was stopped.
fn exports_so_far(evidence: &Evidence) -> Vec<(u8, Result<Export, String>)> {
    let states = evidence.states.iter();
    let read = |export: &[String]| Export::read(export.join("\n").as_bytes());
    states.map(|(node, state)| (*node, read(&state.export))).collect()
}

/// Those that can be read; what cannot is reported with the receipts.
fn readable(exports: &Exports) -> impl Iterator<Item = (u8, &Export)> {
    exports.iter().filter_map(|(node, export)| Some((*node, export.as_ref().ok()?)))
}

/// What the first node exported.
fn first(exports: &Exports) -> Option<&Export> {
    exports.first()?.1.as_ref().ok()
}

/// The questions that nodes have shown in a run, by their places in the plan: more than one where two
/// sides of a partition went different ways.
fn questions_of(evidence: &Evidence, instance: u32) -> Vec<&Question> {
    let shown = evidence.sightings.iter().filter(|seen| seen.stage.instance == instance);
    let numbers: BTreeSet<u32> = shown.filter_map(|seen| seen.question).collect();
    let all = numbers.into_iter();
    all.filter_map(|number| evidence.plan.questions.get(number as usize - 1)).collect()
}

/// What the run itself noticed: too little progress; and players who were left without a word, or with one that promises
/// nothing.
fn progress(evidence: &Evidence) -> Vec<String> {
    evidence.stuck.iter().cloned().chain(evidence.unsettled()).collect()
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

#[cfg(test)]
mod tests;
