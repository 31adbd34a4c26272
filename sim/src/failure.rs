//! Why a run failed, and what makes two failures the same one.
//!
//! A bug shows on many seeds with other numbers: a [`Signature`] is the checker that spoke and its
//! words without the numbers, so that a sweep counts bugs and not seeds.

use std::fmt;

use crate::run::RunError;
use crate::verdict::{Unjudged, Verdict};

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The family of checkers that spoke first, or what kept the run from being judged.
    pub rule: String,
    /// What it said.
    pub what: String,
    /// How many violations there were; none if the run could not be judged.
    pub violations: usize,
}

/// What failures of one cause have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature {
    /// The checker.
    pub rule: String,
    /// Its words, with `#` in place of each number.
    pub words: String,
}

impl Failure {
    /// What is wrong with a run; nothing if it kept every promise.
    pub fn of(judged: &Result<Verdict, Unjudged>) -> Option<Self> {
        match judged {
            Ok(verdict) => {
                let first = verdict.violations.first()?;
                let violations = verdict.violations.len();
                Some(Self { rule: first.rule.to_owned(), what: first.what.clone(), violations })
            }
            Err(why) => {
                let (rule, what) = (unjudged_rule(why).to_owned(), why.to_string());
                Some(Self { rule, what, violations: 0 })
            }
        }
    }

    /// What it has in common with others of the same cause.
    pub fn signature(&self) -> Signature {
        Signature { rule: self.rule.clone(), words: without_numbers(&self.what) }
    }
}

fn unjudged_rule(why: &Unjudged) -> &'static str {
    match why {
        Unjudged::Broken { .. } | Unjudged::TooMany { .. } => "unformed",
        Unjudged::Run(RunError::Panicked { .. }) => "panic",
        Unjudged::Run(RunError::Livelock { .. }) => "livelock",
        Unjudged::Run(RunError::OutOfVirtualTime { .. } | RunError::OutOfRealTime { .. }) => "time",
        Unjudged::Run(RunError::DeadHook { .. } | RunError::Io { .. }) => "simulator",
    }
}

/// A signature is no longer than this; what differs beyond it is detail.
const WORDS_MAX: usize = 160;
/// From this many digits on a word of hexadecimal digits is an id.
const ID_DIGITS: usize = 8;

/// Each word that is a number, a time or an id becomes `#`, and a list of such a single one.
fn without_numbers(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == 'µ' || c == '_';
    let mut words = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match is_word(first) {
            true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (word, after) = rest.split_at(length);
        let shown = if is_number(word) { "#" } else { word };
        rest = after;
        words.push_str(shown);
    }
    while let Some(at) = words.find("#, #") {
        words.replace_range(at..at + 4, "#");
    }
    words.chars().take(WORDS_MAX).collect()
}

/// `17`, `2.5s`, `300ms`, `0x1f`, `5d07c3aa90b1`, `n3`; not `peer` or `add`.
fn is_number(word: &str) -> bool {
    let bare = word.trim_end_matches('.');
    let digits = bare.chars().filter(char::is_ascii_digit).count();
    let hex = bare.chars().all(|c| c.is_ascii_hexdigit());
    let starts = bare.starts_with(|c: char| c.is_ascii_digit());
    starts || (digits > 0 && hex && bare.len() >= ID_DIGITS) || is_name_of_node(bare)
}

fn is_name_of_node(word: &str) -> bool {
    word.strip_prefix('n').is_some_and(|number| number.parse::<u8>().is_ok())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.violations {
            0 => write!(f, "{}: {}", self.rule, self.what),
            count => write!(f, "{count} violations, first {}: {}", self.rule, self.what),
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        without_numbers(text)
    }

    #[test]
    fn the_same_words_with_other_numbers_are_the_same_failure() {
        let one = "node 3 calls 2 settled at 12.25s without [PlayerId(5d07c3aa90b1ff02), 17]";
        let other = "node 11 calls 4 settled at 900ms without [PlayerId(0011223344556677), 2]";
        assert_eq!(words(one), words(other));
        assert_eq!(words(one), "node # calls # settled at # without [PlayerId(#), #]");
    }

    #[test]
    fn lists_of_any_length_are_alike() {
        assert_eq!(words("lost: 1, 22, 333"), words("lost: 9"));
        assert_ne!(words("lost: 1"), words("found: 1"));
    }

    #[test]
    fn words_stay_words() {
        assert_eq!(words("added a dead cafe, facade and n1"), "added a dead cafe, facade and #");
        assert_eq!(words("src/a.rs:17:5: peer1 is gone."), "src/a.rs:#:#: peer1 is gone.");
    }
}
