//! Show files: the JSON that an author writes and the script that a node runs.
//!
//! Reading a file either gives a script that keeps every cap of
//! [`caps`](crdt_state::engagement::quiz::script::caps), or *all* of its problems at once, each with
//! its place: an author corrects a file in one go. `docs/show-format.md` is the description for
//! authors; every message made here is listed there. Deliberately absent: comments, includes and
//! any other extension of JSON, so that every tool that writes JSON can write a show.

mod fields;
pub mod import;
mod questions;
mod report;
mod write;

pub use questions::{OPEN_MS_DEFAULT, POINTS_DEFAULT};
pub use report::{PROBLEMS_MAX, describe};
pub use write::to_json;

use crate::service::view::Problem;
use crdt_state::engagement::quiz::script::Script;
use fields::Object;
use jsonc_parser::ast::Value;
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use report::{Places, Report, quote};
use std::ops::RangeInclusive;

/// What the field `format` says.
pub const FORMAT: &str = "starling-show/1";

/// A show of twelve questions to try Starling with.
pub const SAMPLE: &str = include_str!("../../shows/sample.json");

/// Bytes of a show file: room for as many questions as the caps allow, of a kilobyte each. What a node
/// takes is bounded by its entries besides.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Shortest and longest wait of the autopilot, in milliseconds. Arbitrary: shorter is a flicker on
/// the big screen, longer is not an autopilot.
pub const AUTOPILOT_MS: RangeInclusive<u32> = 1_000..=600_000;

/// Reads a show file.
///
/// # Errors
/// Every problem of the file, by its place in it; a syntax error alone, since nothing after it can
/// be understood. At most [`PROBLEMS_MAX`] problems are listed, then how many more there are.
pub fn parse(text: &str) -> Result<Script, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut report = Report::default();
    if text.len() > FILE_BYTES_MAX {
        let length = text.len();
        report.add(
            0,
            "",
            format!("the file has {length} bytes, at most {FILE_BYTES_MAX} are read"),
        );
        return Err(report.into_problems(&Places::Text(text)));
    }
    let script = syntax(text, &mut report).and_then(|root| read_show(&root, &mut report));
    match script {
        Some(script) if report.is_empty() => Ok(script),
        _ => Err(report.into_problems(&Places::Text(text))),
    }
}

fn syntax<'a>(text: &'a str, report: &mut Report) -> Option<Value<'a>> {
    match parse_to_ast(text, &CollectOptions::default(), &strict()) {
        Ok(parsed) => {
            if parsed.value.is_none() {
                report.add(0, "", "the file is empty, expected a show: {\"format\": ...}");
            }
            parsed.value
        }
        Err(error) => {
            report.add(error.range().start, "", advice(error.kind()));
            None
        }
    }
}

/// JSON as RFC 8259 has it, nothing more.
fn strict() -> ParseOptions {
    ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn advice(kind: &ParseErrorKind) -> String {
    let advice = match kind {
        ParseErrorKind::TrailingCommasNotAllowed => "a comma after the last entry: remove it",
        ParseErrorKind::ExpectedComma => "a comma is missing here",
        ParseErrorKind::CommentsNotAllowed => "JSON has no comments: remove it",
        ParseErrorKind::SingleQuotedStringsNotAllowed => "JSON strings have double quotes",
        ParseErrorKind::ExpectedStringObjectProperty => "a field's name needs double quotes",
        ParseErrorKind::ExpectedColonAfterObjectKey => "a colon is missing after the field's name",
        ParseErrorKind::ExpectedObjectValue => "a value is missing after the colon",
        ParseErrorKind::UnterminatedObject => "this { is never closed by a }",
        ParseErrorKind::UnterminatedArray => "this [ is never closed by a ]",
        ParseErrorKind::MultipleRootJsonValues => "the show has ended: remove what follows",
        ParseErrorKind::UnexpectedWord | ParseErrorKind::UnexpectedToken => {
            "unexpected text: strings need double quotes"
        }
        other => return format!("not JSON: {}", other.to_string().to_lowercase()),
    };
    advice.to_owned()
}

fn read_show(root: &Value<'_>, report: &mut Report) -> Option<Script> {
    let known = ["format", "title", "autopilot_seconds", "questions"];
    let show = Object::read(root, "", &known, report)?;
    read_format(&show, report);
    let title = show.text("title", report);
    let autopilot_ms = show.optional("autopilot_seconds", report, |value, path, report| {
        fields::milliseconds(value, path, &AUTOPILOT_MS, report)
    });
    let questions = questions::read(&show, report);
    Some(Script { title: title?, questions: questions?, autopilot_ms })
}

fn read_format(show: &Object<'_, '_>, report: &mut Report) {
    let Some((value, path)) = show.required("format", report) else { return };
    let Some(format) = fields::string(value, &path, report) else { return };
    if format != FORMAT {
        let found = quote(format);
        report.at(value, &path, format!("{found} cannot be read, expected \"{FORMAT}\""));
    }
}

#[cfg(test)]
mod tests;
