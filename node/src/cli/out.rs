//! Writing to stdout: text, tables, JSON. A reader that goes away, such as `head`, is no error.

use super::{Exit, Failure};
use serde::Serialize;
use std::io::{self, ErrorKind, Write};

/// Writes a text and ends its line.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::of(Exit::Failed, "cannot write to stdout")(error))
        }
        _ => Ok(()),
    }
}

/// Writes a value as one line of JSON.
pub(super) fn say_json<T: Serialize>(value: &T) -> Result<(), Failure> {
    say(&serde_json::to_string(value).expect("our views have text keys only"))
}

/// Rows as aligned columns, two spaces apart.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(head)];
    lines.extend(rows.iter().map(|row| line(row.each_ref().map(String::as_str))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["n1".to_owned(), "x".to_owned()], ["grün-node".to_owned(), "yy".to_owned()]];
        assert_eq!(table(["NAME", "Y"], &rows), "NAME       Y\nn1         x\ngrün-node  yy");
    }
}
