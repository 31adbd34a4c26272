//! The cells of a spreadsheet, out of a file that may claim anything of itself.
//!
//! An archive of kilobytes unpacks to gigabytes if it was made to, and a sheet of two cells can lie a million rows
//! deep. So every part is unpacked and counted before anything of it is kept, the library is asked for one cell after
//! the other and never for the sheet as a grid, and what is kept grows with the words that stand in cells.

use super::super::FILE_BYTES_MAX;
use super::super::report::SHEET_COLUMN_BITS as COLUMN_BITS;
use calamine::{DataRef, Reader, Xlsx, XlsxError, open_workbook_from_rs};
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// How every such file begins: it is a zip archive.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// Rows and columns that are read; more than any show has questions and options.
const ROWS_MAX: usize = 60_000;
const COLUMNS_MAX: usize = 64;

/// The fewest bytes of a text in the workbook's list of texts: `<si/>`.
const TEXT_BYTES_MIN: usize = 5;

/// Why a workbook is not read, and the packed place of the cell that it is about.
pub(super) type Unreadable = (usize, String);

/// The cells of the first sheet as texts, from its first row and column on; a row is as long as what stands in it.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Vec<String>>, Unreadable> {
    let whole = |message: String| (0, message);
    check_unpacked(bytes).map_err(whole)?;
    let opened: Result<Xlsx<_>, _> = open_workbook_from_rs(Cursor::new(bytes));
    let mut workbook = opened.map_err(|error| whole(no_workbook(&error)))?;
    let first = workbook.sheet_names().into_iter().next();
    let first = first.ok_or_else(|| whole("the workbook has no sheet".to_owned()))?;
    let broken = |error: XlsxError| whole(format!("the first sheet cannot be read: {error}"));
    let mut cells = workbook.worksheet_cells_reader(&first).map_err(broken)?;
    let mut grid = Grid::default();
    while let Some(cell) = cells.next_cell().map_err(broken)? {
        grid.put(cell.get_position(), text(cell.get_value()))?;
    }
    Ok(grid.rows)
}

fn no_workbook(error: &dyn std::error::Error) -> String {
    format!("not an XLSX workbook: {error}")
}

/// Unpacks every part, and refuses what takes more room than a file may. What cannot be unpacked here cannot be read
/// later either, and if it matters, that is told then.
fn check_unpacked(bytes: &[u8]) -> Result<(), String> {
    if !bytes.starts_with(MAGIC) {
        return Err("not an XLSX workbook: it is no zip archive".to_owned());
    }
    let archive = ZipArchive::new(Cursor::new(bytes));
    let mut archive = archive.map_err(|error| no_workbook(&error))?;
    let mut room = FILE_BYTES_MAX;
    for index in 0..archive.len() {
        let Ok(part) = archive.by_index(index) else { continue };
        let mut content = Vec::new();
        let _ = part.take(room as u64 + 1).read_to_end(&mut content);
        room = room.checked_sub(content.len()).ok_or_else(|| {
            format!("the workbook takes more than {FILE_BYTES_MAX} bytes when it is unpacked")
        })?;
        check_claims(&content)?;
    }
    Ok(())
}

/// The library makes room for as many texts as their list says that it has, before it has read one.
fn check_claims(part: &[u8]) -> Result<(), String> {
    // In UTF-16 every other byte of these words is zero.
    let words = String::from_utf8_lossy(part).replace('\0', "");
    for (at, claim) in words.match_indices("uniqueCount") {
        let value = words[at + claim.len()..].trim_start_matches([' ', '\t', '\r', '\n', '=']);
        let digits = value.trim_start_matches(['"', '\'']);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let count = digits[..end].parse::<usize>();
        if end > 0 && count.is_ok_and(|count| count > part.len() / TEXT_BYTES_MIN) {
            let count = &digits[..end];
            return Err(format!("the workbook claims {count} texts, more than it has room for"));
        }
    }
    Ok(())
}

/// What was read so far.
#[derive(Default)]
struct Grid {
    rows: Vec<Vec<String>>,
    bytes: usize,
}

impl Grid {
    fn put(&mut self, (row, column): (u32, u32), text: String) -> Result<(), Unreadable> {
        if text.is_empty() {
            return Ok(());
        }
        let (row, column) = (row as usize, column as usize);
        let at = row << COLUMN_BITS | column.min((1 << COLUMN_BITS) - 1);
        if row >= ROWS_MAX || column >= COLUMNS_MAX {
            let message = format!(
                "only {ROWS_MAX} rows and {COLUMNS_MAX} columns are read: empty this cell, or move it"
            );
            return Err((at, message));
        }
        // One text of the workbook may stand in any number of cells.
        self.bytes += text.len();
        if self.bytes > FILE_BYTES_MAX {
            return Err((
                at,
                format!("up to here the cells hold more than {FILE_BYTES_MAX} bytes"),
            ));
        }
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, Vec::new);
        }
        let cells = &mut self.rows[row];
        if cells.len() <= column {
            cells.resize_with(column + 1, String::new);
        }
        cells[column] = text;
        Ok(())
    }
}

fn text(cell: &DataRef<'_>) -> String {
    match cell {
        DataRef::SharedString(text) => text.trim().to_owned(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            text.trim().to_owned()
        }
        DataRef::Bool(flag) => flag.to_string(),
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::DateTime(time) => time.as_f64().to_string(),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}

#[cfg(test)]
mod tests;
