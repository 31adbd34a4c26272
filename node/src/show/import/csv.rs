//! Tables as text: RFC 4180, with semicolon or tab as spreadsheets in other countries write it.
//!
//! An own reader, since every cell's place is needed for the problems and libraries tell a record's only.

use super::super::report::Report;
use super::Follow;
use super::draft::{Draft, Words};
use super::sheet::{self, Numbers, Row};
use std::borrow::Cow;

/// The questions of a table whose first line names its columns.
pub(super) fn read<'t>(text: &'t str, follow: Follow<'_>, report: &mut Report) -> Vec<Draft<'t>> {
    let (start, delimiter) = delimiter(text);
    let rows = Cells { text, at: start, delimiter, report }.rows();
    let mut rows = rows.into_iter().filter(|row| row.cells.iter().any(|it| !it.text.is_empty()));
    let Some(header) = rows.next() else {
        report.add(0, "", "the file is empty, expected a first line with the columns' names");
        return Vec::new();
    };
    sheet::read(&header, rows, Numbers::ColumnsOrWords, follow, report)
}

/// Where the table begins, and what stands between its cells: what `sep=` says, else whichever the first
/// line has most of.
fn delimiter(text: &str) -> (usize, u8) {
    let first = text.lines().next().unwrap_or_default();
    if let Some(&[delimiter]) = first.strip_prefix("sep=").map(str::as_bytes) {
        let rest = &text[first.len()..];
        let end = rest.len() - rest.trim_start_matches(['\r', '\n']).len();
        return (first.len() + end, delimiter);
    }
    let count = |delimiter: &u8| first.bytes().filter(|byte| byte == delimiter).count();
    let most = [b'\t', b';', b','].into_iter().max_by_key(count);
    (0, most.unwrap_or(b','))
}

/// A walk over the cells.
struct Cells<'t, 'r> {
    text: &'t str,
    at: usize,
    delimiter: u8,
    report: &'r mut Report,
}

impl<'t> Cells<'t, '_> {
    fn rows(mut self) -> Vec<Row<'t>> {
        let mut rows = Vec::new();
        while self.at < self.text.len() {
            let start = self.at;
            let mut cells = vec![self.cell()];
            while self.peek() == Some(self.delimiter) {
                self.at += 1;
                cells.push(self.cell());
            }
            self.end_line();
            rows.push(Row { at: start, cells });
        }
        rows
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn cell(&mut self) -> Words<'t> {
        let start = self.at;
        let text = if self.peek() == Some(b'"') { self.quoted() } else { self.bare().into() };
        Words::new(start, trimmed(text)).on_one_line()
    }

    fn bare(&mut self) -> &'t str {
        let rest = &self.text.as_bytes()[self.at..];
        let end = |byte: &u8| [self.delimiter, b'\n', b'\r'].contains(byte);
        let length = rest.iter().position(end).unwrap_or(rest.len());
        let start = self.at;
        self.at += length;
        &self.text[start..self.at]
    }

    /// A cell in quotes, in which a quote is written twice.
    fn quoted(&mut self) -> Cow<'t, str> {
        let start = self.at;
        self.at += 1;
        let mut content = self.at;
        let mut doubled = String::new();
        loop {
            let Some(length) = self.text[self.at..].find('"') else {
                self.report.add(start, "", "this cell's quote is never closed");
                self.at = self.text.len();
                return doubled.into();
            };
            self.at += length + 1;
            if self.peek() != Some(b'"') {
                break;
            }
            doubled.push_str(&self.text[content..self.at]);
            self.at += 1;
            content = self.at;
        }
        let last = &self.text[content..self.at - 1];
        let after = self.at;
        if !self.bare().trim().is_empty() {
            self.report.add(after, "", "text after a cell's closing quote: write a quote twice");
        }
        if doubled.is_empty() { last.into() } else { (doubled + last).into() }
    }

    fn end_line(&mut self) {
        if self.peek() == Some(b'\r') {
            self.at += 1;
        }
        if self.peek() == Some(b'\n') {
            self.at += 1;
        }
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => text.trim().into(),
        Cow::Owned(text) => text.trim().to_owned().into(),
    }
}
