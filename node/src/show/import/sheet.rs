//! Questions in rows under a line of column names, whether they came as text or as a spreadsheet.
//!
//! Options are columns that people number from 1, so `correct` counts from 1 here, as in the templates
//! of other products.

use super::super::report::{Report, quote};
use super::Follow;
use super::draft::{Correct, Draft, Words};

/// A row and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Row<'t> {
    pub at: usize,
    pub cells: Vec<Words<'t>>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Question,
    /// From 1.
    Option(usize),
    Correct,
    Seconds,
    Points,
    Explanation,
    Multiple,
    /// Row numbers.
    Nothing,
    /// A column without a name: row numbers where it is the first, else nothing may stand there.
    Nameless,
}

/// The questions of `rows`, the names of whose columns stand in `header`.
pub(super) fn read<'t>(
    header: &Row<'_>,
    rows: impl Iterator<Item = Row<'t>>,
    numbers: Numbers,
    follow: Follow<'_>,
    report: &mut Report,
) -> Vec<Draft<'t>> {
    let columns = read_header(header, report);
    if !columns.contains(&Column::Question) {
        report.add(header.at, "", "no column is named \"question\"");
        return Vec::new();
    }
    let read = |row: Row<'t>| {
        follow(row.at);
        read_row(row, &columns, numbers, report)
    };
    rows.map(read).collect()
}

fn read_header(header: &Row<'_>, report: &mut Report) -> Vec<Column> {
    let mut columns = Vec::with_capacity(header.cells.len());
    for Words { at, text } in &header.cells {
        let column = column(text).unwrap_or_else(|| {
            report.add(*at, "", format!("unknown column {}, known are {KNOWN}", quote(text)));
            Column::Nothing
        });
        let may_repeat = matches!(column, Column::Nothing | Column::Nameless);
        if !may_repeat && columns.contains(&column) {
            report.add(*at, "", format!("the column {} stands here a second time", quote(text)));
        }
        columns.push(column);
    }
    columns
}

/// The column of a name; what follows a dash or a bracket is advice to whoever fills the template in.
fn column(name: &str) -> Option<Column> {
    let name = name.split([':', '(', '–', '—']).next().unwrap_or_default();
    let name = name.split(" - ").next().unwrap_or_default().trim().to_lowercase();
    let (word, number) = match name.rsplit_once([' ', '_']) {
        Some((word, number))
            if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) =>
        {
            (word.trim(), number.parse::<usize>().ok())
        }
        _ => split_digits(&name),
    };
    match (word, number) {
        ("question" | "text" | "question text", None) => Some(Column::Question),
        ("option" | "answer", Some(number)) if (1..=99).contains(&number) => {
            Some(Column::Option(number))
        }
        ("correct" | "correct answer" | "correct answers", None) => Some(Column::Correct),
        ("seconds" | "time" | "time limit", None) => Some(Column::Seconds),
        ("points", None) => Some(Column::Points),
        ("explanation", None) => Some(Column::Explanation),
        ("multiple", None) => Some(Column::Multiple),
        ("#" | "number" | "no" | "no.", None) => Some(Column::Nothing),
        ("", None) => Some(Column::Nameless),
        _ => None,
    }
}

/// `option3` is `option 3`.
fn split_digits(name: &str) -> (&str, Option<usize>) {
    let word = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (word, name[word.len()..].parse().ok())
}

fn read_row<'t>(
    row: Row<'t>,
    columns: &[Column],
    numbers: Numbers,
    report: &mut Report,
) -> Draft<'t> {
    let mut draft = Draft { at: row.at, ..Draft::default() };
    let (mut options, mut correct) = (Vec::new(), None);
    for (index, cell) in row.cells.into_iter().enumerate() {
        if cell.text.is_empty() {
            continue;
        }
        match columns.get(index) {
            Some(Column::Question) => draft.text = Some(cell),
            Some(Column::Option(number)) => options.push((*number, cell)),
            Some(Column::Correct) => correct = Some(cell),
            Some(Column::Seconds) => draft.seconds = number(cell, report),
            Some(Column::Points) => draft.points = number(cell, report),
            Some(Column::Explanation) => draft.explanation = Some(cell),
            Some(Column::Multiple) => draft.multiple = flag(&cell, report),
            Some(Column::Nothing) => {}
            Some(Column::Nameless)
                if index == 0 && cell.text.bytes().all(|b| b.is_ascii_digit()) => {}
            Some(Column::Nameless) => {
                report.add(cell.at, "", "this cell stands under no column's name");
            }
            None => report.add(cell.at, "", "this cell has no column: the row is too long"),
        }
    }
    options.sort_by_key(|(number, _)| *number);
    if let Some(cell) = correct {
        draft.correct = read_correct(&cell, &options, numbers, report);
        if draft.correct.is_empty() && !options.is_empty() {
            // What is wrong with the cell is told: that no option is correct is not a second problem.
            draft.correct.push((cell.at, Correct::Option(0)));
        }
    }
    draft.options = Some(options.into_iter().map(|(_, option)| option).collect());
    draft
}

/// What a number in the column `correct` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Always that of a column.
    Columns,
    /// That of a column, or the words of an option.
    ColumnsOrWords,
}

fn read_correct<'t>(
    cell: &Words<'t>,
    options: &[(usize, Words<'t>)],
    numbers: Numbers,
    report: &mut Report,
) -> Vec<(usize, Correct<'t>)> {
    let at = cell.at;
    let with_words = |words: &str| options.iter().position(|(_, option)| option.text == words);
    let in_column = |number: usize| options.iter().position(|(of, _)| *of == number);
    let parts: Vec<&str> = cell.text.split([',', ';']).map(str::trim).collect();
    let columns: Option<Vec<usize>> = parts.iter().map(|part| column_number(part)).collect();
    let whole = with_words(&cell.text);
    let Some(columns) = columns else {
        if let Some(index) = whole {
            return vec![(at, Correct::Option(index))];
        }
        let words = cell.text.split(';').map(str::trim).filter(|words| !words.is_empty());
        return words.map(|words| (at, Correct::Words(words.to_owned().into()))).collect();
    };
    if numbers == Numbers::ColumnsOrWords {
        let found: Option<Vec<usize>> = columns.iter().map(|number| in_column(*number)).collect();
        // Between words stand semicolons.
        let may_be_words = parts.len() == 1 || cell.text.contains(';');
        let is_other = |(part, index): (&&str, &usize)| {
            may_be_words && with_words(part).is_some_and(|of| of != *index)
        };
        match (found, whole) {
            // No column has such a number: then it is an option's words.
            (None, Some(index)) => return vec![(at, Correct::Option(index))],
            (Some(found), _)
                if whole.is_some_and(|index| found != [index])
                    || parts.iter().zip(&found).any(is_other) =>
            {
                let text = quote(&cell.text);
                report.add(at, "", format!(
                    "{text} may be numbers of options and the words of others: write \"option {}\" for the number, or \
                     name the option by other words",
                    columns[0]
                ));
                return Vec::new();
            }
            _ => {}
        }
    }
    let mut correct = Vec::new();
    for number in columns {
        match in_column(number) {
            Some(index) => correct.push((at, Correct::Option(index))),
            None => report.add(
                at,
                "",
                format!("option {number} is called correct, but its cell is empty or not there; options count from 1"),
            ),
        }
    }
    correct
}

/// The number of an option's column, alone or as in `option 2`.
fn column_number(text: &str) -> Option<usize> {
    let (word, number) = text.split_at(text.find(|c: char| c.is_ascii_digit())?);
    let is_named = matches!(word.trim().to_lowercase().as_str(), "" | "option" | "answer");
    number.parse().ok().filter(|_| is_named)
}

/// A number as the reader takes it. One with a decimal comma is written with a point there.
fn number<'t>(cell: Words<'t>, report: &mut Report) -> Option<(usize, &'t str)> {
    match cell.text {
        std::borrow::Cow::Borrowed(digits)
            if serde_json::from_str::<serde_json::Number>(digits).is_ok() =>
        {
            Some((cell.at, digits))
        }
        text => {
            report.add(cell.at, "", format!("{} is not a number such as 20 or 12.5", quote(&text)));
            None
        }
    }
}

fn flag(cell: &Words<'_>, report: &mut Report) -> bool {
    match cell.text.to_lowercase().as_str() {
        "true" | "yes" | "1" | "x" => true,
        "false" | "no" | "0" => false,
        _ => {
            report.add(cell.at, "", format!("{} is neither yes nor no", quote(&cell.text)));
            false
        }
    }
}

/// The names of the columns, for messages.
const KNOWN: &str =
    "question, option 1 to option 16, correct, seconds, points, explanation, multiple";
