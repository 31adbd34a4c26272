//! The problems of a show file: giving them their places, printing them.

use crate::service::view::{Problem, Refusal};
use crdt_state::engagement::file::Found;
use std::fmt::Write;

pub(super) use crdt_state::engagement::file::{Report, quote};

/// The problems by their places in the source, which is walked once.
pub(super) fn problems(report: Report, source: &Places<'_>) -> Vec<Problem> {
    let (mut found, more) = report.into_found();
    found.sort_by_key(|found| found.at);
    let mut place = Place::default();
    let mut problems = Vec::with_capacity(found.len() + 1);
    for Found { at, field, message } in found {
        place.advance(source, at);
        problems.push(Problem { line: place.line, column: place.column, field, message });
    }
    if more > 0 {
        let message = format!("{more} more problems are not listed");
        let Place { line, column, .. } = place;
        problems.push(Problem { line, column, field: String::new(), message });
    }
    problems
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

/// The no to a show that has problems.
#[must_use]
pub fn refused(problems: Vec<Problem>) -> Refusal {
    let (noun, them) = if problems.len() == 1 { ("problem", "it") } else { ("problems", "them") };
    let message = format!("the show has {} {noun}", problems.len());
    let hint = format!("mend {them} and import the show again");
    Refusal { problems, ..Refusal::new("show_invalid", message).hint(hint) }
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

/// Bits of a place in a spreadsheet that hold its column; a sheet has at most 16,384 of them.
pub(super) const SHEET_COLUMN_BITS: u32 = 14;
