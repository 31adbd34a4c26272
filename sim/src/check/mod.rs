//! What must hold of every run, judged from what was seen; one family of rules per file.
//!
//! The checkers know what the product promises and none of its code: they read what players were
//! told, what nodes showed, and what they exported.

mod agreement;
mod closing;
mod doubles;
mod export;
mod holders;
mod receipts;
mod secrecy;

use std::fmt;

use crate::quiz::evidence::Evidence;

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
    let families: [Family; 7] = [
        ("progress", progress),
        ("receipts", receipts::check),
        ("holders", holders::check),
        ("doubles", doubles::check),
        ("agreement", agreement::check),
        ("closing", closing::check),
        ("secrecy", secrecy::check),
    ];
    let judged = families.into_iter().flat_map(|(rule, check)| {
        check(evidence).into_iter().map(move |what| Violation { rule, what })
    });
    judged.collect()
}

/// What the run itself noticed: too little progress, steps undone.
fn progress(evidence: &Evidence) -> Vec<String> {
    evidence.stuck.iter().chain(&evidence.undone).cloned().collect()
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

#[cfg(test)]
mod tests;
