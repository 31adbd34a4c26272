//! The problems of a show file: collecting them, giving them their places, printing them.

use crate::service::view::Problem;
use jsonc_parser::common::Ranged;
use std::fmt::Write;

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    found: Vec<Found>,
    /// Beyond [`PROBLEMS_MAX`].
    more: usize,
}

#[derive(Debug)]
struct Found {
    /// Byte offset in the file.
    at: usize,
    field: String,
    message: String,
}

impl Report {
    /// Adds a problem at a byte offset; beyond [`PROBLEMS_MAX`] it is counted only.
    pub(super) fn add(&mut self, at: usize, field: &str, message: impl Into<String>) {
        if self.found.len() == PROBLEMS_MAX {
            self.more += 1;
            return;
        }
        self.found.push(Found { at, field: field.to_owned(), message: message.into() });
    }

    /// Adds a problem where `node` begins.
    pub(super) fn at(&mut self, node: &impl Ranged, field: &str, message: impl Into<String>) {
        self.add(node.start(), field, message);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The problems by their places in the source, which is walked once.
    pub(super) fn into_problems(mut self, source: &Places<'_>) -> Vec<Problem> {
        self.found.sort_by_key(|found| found.at);
        let mut place = Place::default();
        let mut problems = Vec::with_capacity(self.found.len() + 1);
        for Found { at, field, message } in self.found {
            place.advance(source, at);
            problems.push(Problem { line: place.line, column: place.column, field, message });
        }
        if self.more > 0 {
            let message = format!("{} more problems are not listed", self.more);
            let Place { line, column, .. } = place;
            problems.push(Problem { line, column, field: String::new(), message });
        }
        problems
    }
}

/// What the places of a report mean.
pub(super) enum Places<'t> {
    /// Byte offsets in a text.
    Text(&'t str),
    /// Rows and columns of a spreadsheet, packed by its reader.
    Sheet,
}

/// A place as an author sees it; both numbers count from 1, columns of a text in characters.
struct Place {
    offset: usize,
    line: usize,
    column: usize,
}

impl Default for Place {
    fn default() -> Self {
        Place { offset: 0, line: 1, column: 1 }
    }
}

impl Place {
    fn advance(&mut self, source: &Places<'_>, to: usize) {
        match source {
            Places::Text(text) => self.walk(text, to),
            Places::Sheet => {
                self.line = (to >> SHEET_COLUMN_BITS) + 1;
                self.column = (to & ((1 << SHEET_COLUMN_BITS) - 1)) + 1;
            }
        }
    }

    fn walk(&mut self, text: &str, to: usize) {
        for character in text[self.offset..to.min(text.len())].chars() {
            if character == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.offset = to.min(text.len());
    }
}

/// The problems as a compiler prints them: a line each, then how many there are.
#[must_use]
pub fn describe(problems: &[Problem], source_name: &str) -> String {
    let mut text = String::new();
    for Problem { line, column, field, message } in problems {
        let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
        let _ = writeln!(text, "{source_name}:{line}:{column}: {field}{message}");
    }
    let (count, noun) = (problems.len(), if problems.len() == 1 { "problem" } else { "problems" });
    let _ = write!(text, "{count} {noun} in {source_name}");
    text
}

/// A value in a message: quoted, escaped and cut.
pub(super) fn quote(value: &str) -> String {
    let cut: String = value.chars().take(QUOTE_CHARS_MAX).collect();
    let rest = if cut.len() < value.len() { "..." } else { "" };
    format!("{cut:?}{rest}")
}

/// Bits of a place in a spreadsheet that hold its column; a sheet has at most 16,384 of them.
pub(super) const SHEET_COLUMN_BITS: u32 = 14;

/// Problems listed of one file; a file with more than that is not a show but something else.
pub const PROBLEMS_MAX: usize = 1_000;

/// How much of a value a message repeats, in characters.
const QUOTE_CHARS_MAX: usize = 60;
