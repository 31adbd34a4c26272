//! Kahoot's spreadsheet: instructions on top, the columns' names in row 8, questions below.

use super::super::report::{Places, Report, SHEET_COLUMN_BITS as COLUMN_BITS};
use super::draft::{self, Draft, Words};
use super::sheet::{self, Numbers, Row};
use super::{Format, Import, Source, finish, title_of};
use crate::service::view::Problem;
use calamine::{Data, Range, Reader, Xlsx, open_workbook_from_rs};
use crdt_state::engagement::Script;
use crdt_state::engagement::script::POINTS_DEFAULT;
use std::io::Cursor;

/// How every such file begins: it is a zip archive.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// The row in which the template has its columns' names, from 0.
const HEADER_ROW: usize = 7;

/// Rows and columns that are read; more than any show has questions and options.
const ROWS_MAX: usize = 60_000;
const COLUMNS_MAX: usize = 64;

/// Reads the workbook's first sheet.
///
/// # Errors
/// Every problem, its line the row and its column the column of the sheet.
pub(super) fn read(source: &Source<'_>) -> Result<Import, Vec<Problem>> {
    let grid = open(source.bytes)
        .map_err(|message| vec![Problem { line: 1, column: 1, field: String::new(), message }])?;
    let (mut report, rows_in_all) = (Report::default(), grid.len());
    let follow = |at: usize| source.follow(at >> COLUMN_BITS, rows_in_all);
    let mut rows = grid.iter().enumerate().map(|(index, cells)| row(index, cells));
    let header = rows.by_ref().skip(HEADER_ROW.min(grid.len())).find(|row| is_header(row));
    let drafts = match header {
        Some(header) => {
            let filled = rows.filter(|row| row.cells.iter().skip(1).any(|it| !it.text.is_empty()));
            let mut drafts = sheet::read(&header, filled, Numbers::Columns, &follow, &mut report);
            drafts.iter_mut().for_each(credit_each);
            drafts
        }
        None => {
            report.add(
                HEADER_ROW << COLUMN_BITS,
                "",
                "row 8 should hold the columns' names: \"Question\", \"Answer 1\", ...",
            );
            Vec::new()
        }
    };
    let is_lost = drafts.is_empty() && !report.is_empty();
    let root = draft::show(&title_of(source.name), drafts);
    let script = if is_lost { None } else { Script::read(&root, &mut report) };
    let script = finish(script, report, &Places::Sheet)?;
    Ok(Import { script, format: Format::Kahoot, encoding: "XLSX" })
}

/// Of several correct answers each gives up to half of what a question gives, whether the others are chosen or not.
fn credit_each(draft: &mut Draft<'_>) {
    let points = draft.points.map_or(Some(POINTS_DEFAULT), |(_, points)| points.parse().ok());
    if draft.correct.len() > 1 {
        draft.each = points.map(|points| points / 2).filter(|each| *each > 0);
    }
}

/// The cells of the first sheet as texts, from its first row and column on.
fn open(bytes: &[u8]) -> Result<Vec<Vec<String>>, String> {
    let opened: Result<Xlsx<_>, _> = open_workbook_from_rs(Cursor::new(bytes));
    let mut workbook = opened.map_err(|error| format!("not an XLSX workbook: {error}"))?;
    let sheet = workbook.worksheet_range_at(0).ok_or("the workbook has no sheet")?;
    let sheet = sheet.map_err(|error| format!("the first sheet cannot be read: {error}"))?;
    texts(&sheet)
}

fn texts(sheet: &Range<Data>) -> Result<Vec<Vec<String>>, String> {
    let Some((last_row, last_column)) = sheet.end() else { return Ok(Vec::new()) };
    let (rows, columns) = (last_row as usize + 1, last_column as usize + 1);
    if rows > ROWS_MAX {
        return Err(format!("the sheet has {rows} rows, at most {ROWS_MAX} are read"));
    }
    let columns = columns.min(COLUMNS_MAX) as u32;
    let cell = |row: u32, column: u32| sheet.get_value((row, column)).map(text).unwrap_or_default();
    let row = |row: u32| (0..columns).map(|column| cell(row, column)).collect();
    Ok((0..rows as u32).map(row).collect())
}

fn text(cell: &Data) -> String {
    match cell {
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => {
            text.trim().to_owned()
        }
        Data::Bool(flag) => flag.to_string(),
        Data::Int(number) => number.to_string(),
        Data::Float(number) => number.to_string(),
        Data::DateTime(time) => time.as_f64().to_string(),
        Data::Error(error) => error.to_string(),
        Data::Empty => String::new(),
    }
}

fn row(index: usize, cells: &[String]) -> Row<'_> {
    let place = |column: usize| index << COLUMN_BITS | column;
    let cells = cells.iter().enumerate();
    let cells = cells.map(|(column, text)| Words::new(place(column), text.as_str()).on_one_line());
    Row { at: place(0), cells: cells.collect() }
}

fn is_header(row: &Row<'_>) -> bool {
    row.cells.iter().any(|cell| cell.text.to_lowercase().starts_with("question"))
}
