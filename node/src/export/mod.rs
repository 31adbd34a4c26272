//! An event's results as files for people, spreadsheets and databases, and the proof that they are right.
//!
//! The source of all of them is the export in JSON lines, which two nodes that have seen the same write to
//! the same byte; every other format is a pure function of it, so that it can be made again and compared.
//! A folder also holds the state that the lines were folded from: with it anybody can fold again
//! ([`replay`]). `docs/export.md` describes files and columns.

mod columnar;
mod manifest;
mod proof;
mod replay;
mod spreadsheet;
mod table;
#[cfg(test)]
mod tests;
mod text;

pub use manifest::{File, Head, MANIFEST, Manifest, folder};
pub use proof::{Proof, ProofError};
pub use replay::{Aside, Difference, Replay, ReplayError, raffle, replay};
pub use table::{LineError, Tables};

use clap::ValueEnum;

/// The formats that results can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Format {
    /// One JSON value a line, as nodes write it
    Jsonl,
    /// One JSON document
    Json,
    /// Text tables: answers, players, questions, posts, votes, log
    Csv,
    /// One workbook with a sheet for each table
    Xlsx,
    /// Columnar tables: answers, players, questions, posts, votes, log
    Parquet,
}

impl Format {
    /// The names of its files.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Format::Jsonl => &[LINES],
            Format::Json => &["event.json"],
            Format::Csv => &[
                "answers.csv",
                "players.csv",
                "questions.csv",
                "posts.csv",
                "votes.csv",
                "log.csv",
            ],
            Format::Xlsx => &["event.xlsx"],
            Format::Parquet => &[
                "answers.parquet",
                "players.parquet",
                "questions.parquet",
                "posts.parquet",
                "votes.parquet",
                "log.parquet",
            ],
        }
    }
}

/// The name of the export in JSON lines.
pub const LINES: &str = "event.jsonl";
/// The name of the state that it was folded from.
pub const STATE: &str = "event.state";

/// A file that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A line of the export is not one.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The workbook would break a limit of spreadsheets.
    #[error("the workbook cannot be made: {0}")]
    Workbook(#[from] rust_xlsxwriter::XlsxError),
    /// The columns could not be encoded.
    #[error("the Parquet file cannot be made: {0}")]
    Columns(#[from] parquet::errors::ParquetError),
}

/// One file, by the name that it has in a folder of results; nothing if no export has one of that name.
///
/// # Errors
/// As [`files`].
pub fn file(lines: &str, name: &str) -> Result<Option<Vec<u8>>, WriteError> {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let Ok(format) = Format::from_str(extension, false) else { return Ok(None) };
    let mut made = files(lines, format)?.into_iter();
    Ok(made.find(|(made, _)| made == name).map(|(_, bytes)| bytes))
}

/// Files and their names.
pub type Files = Vec<(String, Vec<u8>)>;

/// The files of one format.
///
/// # Errors
/// If the lines are no export, or break a limit of the format.
pub fn files(lines: &str, format: Format) -> Result<Files, WriteError> {
    if format == Format::Jsonl {
        return Ok(vec![(LINES.to_owned(), lines.as_bytes().to_vec())]);
    }
    if format == Format::Json {
        return Ok(vec![("event.json".to_owned(), text::document(lines)?)]);
    }
    let tables = Tables::read(lines)?;
    let name = |table: &table::Table, extension: &str| format!("{}.{extension}", table.name);
    let all = tables.all();
    Ok(match format {
        Format::Csv => all.map(|table| (name(table, "csv"), text::csv(table))).collect(),
        Format::Xlsx => vec![("event.xlsx".to_owned(), spreadsheet::workbook(&tables)?)],
        _ => {
            let encode = |table| Ok((name(table, "parquet"), columnar::parquet(table)?));
            all.map(encode).collect::<Result<_, WriteError>>()?
        }
    })
}
