//! CSV and JSON.
//!
//! A name is a player's own words, and a spreadsheet runs what begins with `=`: in CSV, which has no types,
//! such a text gets an apostrophe in front, as spreadsheets themselves write it.

use super::table::{Cells, LineError, Table, objects};
use serde_json::{Map, Value};

/// A table as RFC 4180 has it: a line of names, CRLF, quotes where they are needed.
pub(super) fn csv(table: &Table) -> Vec<u8> {
    let mut out = String::new();
    let names = table.columns.iter().map(|column| column.name.clone());
    line(&mut out, names);
    for row in 0..table.rows {
        let cells = table.columns.iter().map(|column| match &column.cells {
            Cells::Text(texts) => defused(texts.get(row).unwrap_or_default()),
            cells => cells.in_words(row).unwrap_or_default(),
        });
        line(&mut out, cells);
    }
    out.into_bytes()
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(',');
        }
        if cell.contains([',', '"', '\n', '\r']) {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&cell);
        }
    }
    out.push_str("\r\n");
}

/// A text that no spreadsheet takes for a formula, nor a part of it: where lists are separated by semicolons, files are
/// cut there too.
fn defused(text: &str) -> String {
    let part = |part: &str| if is_formula(part) { format!("'{part}") } else { part.to_owned() };
    text.split_inclusive(';').map(part).collect()
}

/// Whether a spreadsheet would take a text for a formula: ASCII and full-width signs, tab and return.
pub(super) fn is_formula(text: &str) -> bool {
    let signs = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
    text.trim_start_matches(' ').starts_with(signs)
}

/// All lines as one document, gathered by their types.
pub(super) fn document(lines: &str) -> Result<Vec<u8>, LineError> {
    let mut root = Map::new();
    for object in objects(lines) {
        let mut object = object?;
        let kind = object.remove("type").unwrap_or_default();
        match kind.as_str().unwrap_or_default() {
            "event" => {
                root.insert("event".to_owned(), Value::Object(object));
            }
            "" => {}
            kind => {
                let list = root.entry(plural(kind)).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list.push(Value::Object(object));
                }
            }
        }
    }
    let mut document = serde_json::to_vec_pretty(&root).expect("all keys are texts");
    document.push(b'\n');
    Ok(document)
}

fn plural(kind: &str) -> String {
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}
