//! Workbooks that are not what they say.

use super::super::tests::{kahoot, problems};
use super::*;
use rust_xlsxwriter::Workbook;
use std::io::Write;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const SHEET: &str = "xl/worksheets/sheet1.xml";
const TEXTS: &str = "xl/sharedStrings.xml";

/// Kahoot's template with one of its parts changed.
fn with_part(name: &str, change: impl Fn(String) -> Vec<u8>) -> Vec<u8> {
    let book = kahoot(7);
    let mut from = ZipArchive::new(Cursor::new(&book)).unwrap();
    let mut to = ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..from.len() {
        let mut part = from.by_index(index).unwrap();
        let mut content = String::new();
        part.read_to_string(&mut content).unwrap();
        let known = part.name().unwrap().into_owned();
        to.start_file(&known, SimpleFileOptions::default()).unwrap();
        let content = if known == name { change(content) } else { content.into_bytes() };
        to.write_all(&content).unwrap();
    }
    to.finish().unwrap().into_inner()
}

#[test]
fn a_cell_at_the_end_of_the_world_is_refused_by_its_place() {
    for (row, column) in [(1_048_575, 16_383), (60_000, 0), (9, 64)] {
        let mut workbook = Workbook::new();
        let sheet = workbook.add_worksheet();
        sheet.write_string(0, 1, "Quiz template").unwrap();
        sheet.write_string(row, column, "far").unwrap();
        let found = problems("k.xlsx", workbook.save_to_buffer().unwrap());
        let place = format!("{}:{} : only 60000 rows and 64 columns are read", row + 1, column + 1);
        assert!(found.len() == 1 && found[0].starts_with(&place), "{found:?}");
    }
}

#[test]
fn what_unpacks_to_more_than_a_file_may_hold_is_not_read() {
    let cell = |words: &str| {
        format!(
            "<row r=\"99\"><c r=\"B99\" t=\"inlineStr\"><is><t>{words}</t></is></c></row></sheetData>"
        )
    };
    let huge = cell(&"A".repeat(FILE_BYTES_MAX));
    let bomb = with_part(SHEET, |sheet| sheet.replace("</sheetData>", &huge).into_bytes());
    assert!(bomb.len() < FILE_BYTES_MAX / 100);
    let found = problems("k.xlsx", bomb);
    let wanted = "1:1 : the workbook takes more than 67108864 bytes when it is unpacked";
    assert_eq!(found, [wanted]);
    let fair = cell("A question?");
    let found = problems("k.xlsx", with_part(SHEET, |it| it.replace("</sheetData>", &fair).into()));
    assert!(found.iter().all(|line| line.starts_with("99:")), "it is read: {found:?}");
}

/// A part in UTF-16, as others may write it.
fn wide(text: &str) -> Vec<u8> {
    let text = text.replace("UTF-8", "UTF-16");
    [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn no_room_is_made_for_texts_that_a_workbook_only_claims_to_have() {
    let claim = |texts: String| {
        let (before, after) = texts.split_once("uniqueCount=\"").expect("it is counted");
        let (_, after) = after.split_once('"').expect("the count ends");
        format!("{before}uniqueCount=\"99999999999999\"{after}")
    };
    let plain = with_part(TEXTS, |texts| claim(texts).into_bytes());
    let hidden = with_part(TEXTS, |texts| wide(&claim(texts)));
    for book in [plain, hidden] {
        let found = problems("k.xlsx", book);
        let wanted = "1:1 : the workbook claims 99999999999999 texts, more than it has room for";
        assert_eq!(found, [wanted]);
    }
}

/// A workbook holds a text once, however many cells show it.
#[test]
fn one_long_text_in_thousands_of_cells_does_not_grow_beyond_what_a_file_may_hold() {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    let text = "A".repeat(32_767);
    let rows = (FILE_BYTES_MAX / text.len() + 1) as u32;
    for row in 0..rows {
        sheet.write_string(row, 1, &text).unwrap();
    }
    let found = problems("k.xlsx", workbook.save_to_buffer().unwrap());
    let place = format!("{rows}:2 : up to here the cells hold more than 67108864 bytes");
    assert_eq!(found, [place]);
}

#[test]
fn what_is_no_archive_is_no_workbook() {
    let found = problems("k.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 an older one");
    assert_eq!(found, ["1:1 : not an XLSX workbook: it is no zip archive"]);
}
