//! Kahoot's spreadsheet: instructions on top, the columns' names in row 8, questions below.

use super::super::report::{Places, Report, SHEET_COLUMN_BITS as COLUMN_BITS, problems};
use super::draft::{self, Draft, Words};
use super::sheet::{self, Numbers, Row};
use super::{Format, Import, Source, finish, title_of, workbook};
use crate::service::view::Problem;
use crdt_state::engagement::Script;
use crdt_state::engagement::script::POINTS_DEFAULT;

/// The row in which the template has its columns' names, from 0.
const HEADER_ROW: usize = 7;

/// Reads the workbook's first sheet.
///
/// # Errors
/// Every problem, its line the row and its column the column of the sheet.
pub(super) fn read(source: &Source<'_>) -> Result<Import, Vec<Problem>> {
    let mut report = Report::default();
    let grid = match workbook::read(source.bytes) {
        Ok(grid) => grid,
        Err((at, message)) => {
            report.add(at, "", message);
            return Err(problems(report, &Places::Sheet));
        }
    };
    let rows_in_all = grid.len();
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

fn row(index: usize, cells: &[String]) -> Row<'_> {
    let place = |column: usize| index << COLUMN_BITS | column;
    let cells = cells.iter().enumerate();
    let cells = cells.map(|(column, text)| Words::new(place(column), text.as_str()).on_one_line());
    Row { at: place(0), cells: cells.collect() }
}

fn is_header(row: &Row<'_>) -> bool {
    row.cells.iter().any(|cell| cell.text.to_lowercase().starts_with("question"))
}
