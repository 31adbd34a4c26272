//! Writing to stdout: text, tables, JSON. A reader that goes away, such as `head`, is no error.

use super::{Exit, Failure};
use crdt_state::name::find_unruly;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, ErrorKind, Write};

/// Writes a text and ends its line. What somebody else wrote into it does nothing to the terminal.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    let text = &shown(text);
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

/// A text whose characters do nothing but be seen: any other stands there as Rust writes it, as in `\u{1b}`.
fn shown(text: &str) -> Cow<'_, str> {
    let is_unruly =
        |c: char| !matches!(c, '\n' | '\t') && find_unruly(c.encode_utf8(&mut [0; 4])).is_some();
    if !text.contains(is_unruly) {
        return Cow::Borrowed(text);
    }
    let escaped =
        |c: char| if is_unruly(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
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
    use super::{shown, table};

    #[test]
    fn what_others_wrote_does_nothing_to_the_terminal() {
        assert_eq!(shown("grün\tx\ny"), "grün\tx\ny");
        assert_eq!(shown("a\u{1b}[31mb\u{202e}c\0"), r"a\u{1b}[31mb\u{202e}c\u{0}");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["n1".to_owned(), "x".to_owned()], ["grün-node".to_owned(), "yy".to_owned()]];
        assert_eq!(table(["NAME", "Y"], &rows), "NAME       Y\nn1         x\ngrün-node  yy");
    }
}
