//! Question files of other products, read into the same tree as a show's own JSON.
//!
//! Every format is lowered to the tree that the reader of `starling-show/1` walks, its nodes placed where
//! the words stand in the author's file. So one reader keeps the caps and the messages, and each format
//! here knows its own syntax only. What a format says that a show cannot hold is a problem with a place,
//! never dropped in silence. `docs/import.md` is the description for authors.

mod aiken;
mod csv;
mod decode;
mod draft;
mod gift;
mod kahoot;
mod opentdb;
mod sheet;
#[cfg(test)]
mod tests;
mod toml;
mod workbook;

use super::report::{Places, Report};
use super::{FILE_BYTES_MAX, finish, json};
use crate::service::view::Problem;
use clap::ValueEnum;
use crdt_state::engagement::Script;
use crdt_state::engagement::file::Value;
use std::path::Path;

/// The formats that questions can come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Format {
    /// A show as JSON
    Json,
    /// A show as TOML
    Toml,
    /// A reply of the Open Trivia Database
    Opentdb,
    /// A table as text: comma, semicolon or tab between its cells
    Csv,
    /// Kahoot's spreadsheet
    Kahoot,
    /// Moodle's GIFT
    Gift,
    /// Aiken
    Aiken,
}

impl Format {
    /// The format's name as a person writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "JSON",
            Format::Toml => "TOML",
            Format::Opentdb => "OpenTDB JSON",
            Format::Csv => "CSV",
            Format::Kahoot => "Kahoot XLSX",
            Format::Gift => "GIFT",
            Format::Aiken => "Aiken",
        }
    }
}

/// A file that became a show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// What will be played.
    pub script: Script,
    /// How the file was read.
    pub format: Format,
    /// In which encoding.
    pub encoding: &'static str,
}

/// What is to be read.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The file's bytes.
    pub bytes: &'a [u8],
    /// Its name, for its extension and, where the format has no title, for the show's title.
    pub name: &'a Path,
    /// The format, where it is not to be found out.
    pub format: Option<Format>,
    /// Told how many of how many bytes have been read.
    pub progress: Option<&'a dyn Fn(u64, u64)>,
}

/// Told at which place a reader is.
type Follow<'a> = &'a dyn Fn(usize);

impl Source<'_> {
    fn follow(&self, done: usize, total: usize) {
        if let Some(progress) = self.progress {
            progress(done as u64, total as u64);
        }
    }
}

/// Reads a file of questions.
///
/// # Errors
/// Every problem of the file, by its place in it.
pub fn import(source: &Source<'_>) -> Result<Import, Vec<Problem>> {
    let length = source.bytes.len();
    if length > FILE_BYTES_MAX {
        let message = format!("the file has {length} bytes, at most {FILE_BYTES_MAX} are read");
        return Err(vec![Problem { line: 1, column: 1, field: String::new(), message }]);
    }
    // A workbook that is damaged is none, whatever else its bytes could be taken for.
    let format = format_of(source);
    if format == Format::Kahoot {
        return kahoot::read(source);
    }
    let decoded = decode::decode(source.bytes)?;
    if matches!(format, Format::Json | Format::Toml | Format::Opentdb) {
        decode::require_unicode(source.bytes, &decoded, format)?;
    }
    let script = read_text(source, &decoded.text, format)?;
    Ok(Import { script, format, encoding: decoded.encoding })
}

/// How a file is read: as is said, or as it looks.
#[must_use]
pub fn format_of(source: &Source<'_>) -> Format {
    let is_book = || source.bytes.starts_with(workbook::MAGIC) || extension(source.name) == "xlsx";
    let by_text = || {
        let text = decode::decode(source.bytes).map(|decoded| decoded.text).unwrap_or_default();
        guess(source.name, &text)
    };
    let guessed = || if is_book() { Format::Kahoot } else { by_text() };
    source.format.unwrap_or_else(guessed)
}

fn read_text(source: &Source<'_>, text: &str, format: Format) -> Result<Script, Vec<Problem>> {
    let follow = |at| source.follow(at, text.len());
    let mut report = Report::default();
    let root = match format {
        Format::Json => json::read(text, &follow, &mut report),
        Format::Toml => toml::read(text, &follow, &mut report),
        _ => read_drafts(source, text, format, &follow, &mut report),
    };
    let script = root.and_then(|root| Script::read(&root, &mut report));
    follow(text.len());
    finish(script, report, &Places::Text(text))
}

fn read_drafts(
    source: &Source<'_>,
    text: &str,
    format: Format,
    follow: Follow<'_>,
    report: &mut Report,
) -> Option<Value> {
    let drafts = match format {
        Format::Opentdb => {
            let root = json::read(text, &|_| {}, report)?;
            opentdb::read(&root, follow, report)
        }
        Format::Gift => gift::read(text, follow, report),
        Format::Aiken => aiken::read(text, follow, report),
        _ => csv::read(text, follow, report),
    };
    // Where nothing could be read, that there are no questions is no news.
    let is_lost = drafts.is_empty() && !report.is_empty();
    (!is_lost).then(|| draft::show(&title_of(source.name), drafts))
}

fn extension(name: &Path) -> String {
    name.extension().and_then(|it| it.to_str()).unwrap_or_default().to_ascii_lowercase()
}

/// The format by the file's extension, else by what stands in it.
fn guess(name: &Path, text: &str) -> Format {
    match extension(name).as_str() {
        "json" => json_kind(text),
        "toml" => Format::Toml,
        "csv" | "tsv" => Format::Csv,
        "gift" => Format::Gift,
        "aiken" => Format::Aiken,
        _ => guess_by_content(text),
    }
}

fn guess_by_content(text: &str) -> Format {
    let start = text.trim_start();
    let answers = |line: &str| aiken::answer_of(line).is_some();
    if start.starts_with('{') || (start.starts_with('[') && start.contains("\"question\"")) {
        json_kind(text)
    } else if text.lines().any(answers) {
        Format::Aiken
    } else if start.starts_with("format") && start.contains("starling-show/") {
        Format::Toml
    } else if text.contains('{') || start.starts_with("::") || start.starts_with("//") {
        Format::Gift
    } else {
        Format::Csv
    }
}

/// A show names its format; a reply of the Open Trivia Database has other words.
fn json_kind(text: &str) -> Format {
    let head: String = text.chars().take(JSON_HEAD_CHARS).collect();
    let foreign = ["\"response_code\"", "\"incorrect_answers\"", "\"correct_answer\""];
    match foreign.iter().any(|word| head.contains(word)) && !head.contains("\"starling-show/") {
        true => Format::Opentdb,
        false => Format::Json,
    }
}

/// A title for a show whose format has none: the file's name without its extension.
fn title_of(name: &Path) -> String {
    let stem = name.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let stem = stem.unwrap_or_default();
    let shown: String = stem.chars().filter(|c| !c.is_control()).take(TITLE_CHARS_MAX).collect();
    if shown.trim().is_empty() { "Quiz".to_owned() } else { shown }
}

/// How far into a JSON file its kind is looked for: the first entry of the largest kind fits.
const JSON_HEAD_CHARS: usize = 4_096;

/// Characters of a title that is made of a file's name; four bytes each fit a title.
const TITLE_CHARS_MAX: usize = 200;
