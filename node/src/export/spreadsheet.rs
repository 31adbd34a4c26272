//! XLSX: a sheet for each table. Texts are cells of type text, so that nothing in them is ever run.

use super::table::{Cells, Column, Table, Tables};
use super::text::is_formula;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};

/// Rows of a sheet below its header; a longer table goes on in another sheet.
const SHEET_ROWS: usize = 1_048_575;

/// The workbook; equal tables make equal bytes.
pub(super) fn workbook(tables: &Tables) -> Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    // The day on which it was made would make every workbook another one.
    let fixed = ExcelDateTime::from_ymd(2000, 1, 1)?;
    workbook.set_properties(&DocProperties::new().set_creation_datetime(&fixed));
    for table in tables.all() {
        let sheets = table.rows.div_ceil(SHEET_ROWS).max(1);
        for number in 0..sheets {
            let name = match number {
                0 => table.name.to_owned(),
                number => format!("{} {}", table.name, number + 1),
            };
            fill(workbook.add_worksheet().set_name(name)?, table, number * SHEET_ROWS)?;
        }
    }
    workbook.save_to_buffer()
}

fn fill(sheet: &mut Worksheet, table: &Table, first: usize) -> Result<(), XlsxError> {
    let last = table.rows.min(first + SHEET_ROWS);
    let (bold, quoted) = (Format::new().set_bold(), Format::new().set_quote_prefix());
    sheet.set_freeze_panes(1, 0)?;
    for (index, column) in table.columns.iter().enumerate() {
        let at = index as u16;
        sheet.write_string_with_format(0, at, &column.name, &bold)?;
        for row in first..last {
            write(sheet, ((row - first) as u32 + 1, at), column, row, &quoted)?;
        }
    }
    Ok(())
}

fn write(
    sheet: &mut Worksheet,
    (line, at): (u32, u16),
    column: &Column,
    row: usize,
    quoted: &Format,
) -> Result<(), XlsxError> {
    match &column.cells {
        Cells::Whole(cells) => {
            if let Some(number) = cells[row] {
                sheet.write_number(line, at, number as f64)?;
            }
        }
        Cells::Real(cells) => {
            if let Some(number) = cells[row] {
                sheet.write_number(line, at, number)?;
            }
        }
        Cells::Flag(cells) => {
            if let Some(flag) = cells[row] {
                sheet.write_boolean(line, at, flag)?;
            }
        }
        Cells::Text(texts) => match texts.get(row) {
            // Shown as it is, and still a text after somebody has edited the cell.
            Some(text) if is_formula(text) => {
                sheet.write_string_with_format(line, at, text, quoted)?;
            }
            Some(text) => {
                sheet.write_string(line, at, text)?;
            }
            None => {}
        },
    }
    Ok(())
}
