//! Show files as trees, and reading one field of them: its presence, its type, its caps.
//!
//! A tree comes from whatever an author writes (JSON, TOML, a table); every value knows its place in that
//! file. A reader that meets a problem reports it and returns what it can, so that one pass finds all
//! problems; a script is taken only when the report stayed empty. Deliberately absent: syntaxes.

use super::script::caps;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// A value of a file and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Byte offset in the file.
    pub at: usize,
    /// What it says.
    pub what: What,
}

/// What a value says.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Nothing, said explicitly.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A number, as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// Values in order.
    List(Vec<Value>),
    /// Named values in the order of the file.
    Table(Vec<Field>),
}

/// A named value.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Byte offset of the name.
    pub at: usize,
    /// The name.
    pub name: String,
    /// The value.
    pub value: Value,
}

impl Value {
    /// A value at a place.
    #[must_use]
    pub fn new(at: usize, what: What) -> Self {
        Value { at, what }
    }
}

impl From<&str> for What {
    fn from(text: &str) -> Self {
        What::Text(text.to_owned())
    }
}

impl From<bool> for What {
    fn from(flag: bool) -> Self {
        What::Flag(flag)
    }
}

impl From<u32> for What {
    fn from(number: u32) -> Self {
        What::Number(number.to_string())
    }
}

impl From<i64> for What {
    fn from(number: i64) -> Self {
        What::Number(number.to_string())
    }
}

impl From<f64> for What {
    fn from(number: f64) -> Self {
        What::Number(number.to_string())
    }
}

impl<T: Clone + Into<What>> From<&[T]> for What {
    fn from(list: &[T]) -> Self {
        What::List(list.iter().cloned().map(|each| Value::new(0, each.into())).collect())
    }
}

impl From<String> for What {
    fn from(text: String) -> Self {
        What::Text(text)
    }
}

/// A table that is being written; fields that are left out have their defaults when they are read again.
#[derive(Debug, Default)]
pub struct Table(Vec<Field>);

impl Table {
    /// Adds a field.
    pub fn put(&mut self, name: &str, what: impl Into<What>) {
        let value = Value::new(0, what.into());
        self.0.push(Field { at: 0, name: name.to_owned(), value });
    }

    /// Adds a field unless it says what its absence says.
    pub fn put_unless<T: PartialEq + Into<What>>(&mut self, name: &str, what: T, default: &T) {
        if what != *default {
            self.put(name, what);
        }
    }

    /// What was written.
    #[must_use]
    pub fn done(self) -> What {
        What::Table(self.0)
    }
}

/// A length of time as the seconds that an author writes: whole ones without a decimal point.
#[must_use]
pub fn seconds(ms: u32) -> What {
    match ms.is_multiple_of(1_000) {
        true => (ms / 1_000).into(),
        false => (f64::from(ms) / 1_000.0).into(),
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Report {
    found: Vec<Found>,
    more: usize,
}

/// A problem of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Byte offset in the file.
    pub at: usize,
    /// The path of the field, as in `questions[2].correct`.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl Report {
    /// Adds a problem at a byte offset; beyond [`caps::PROBLEMS_MAX`] it is counted only.
    pub fn add(&mut self, at: usize, field: &str, message: impl Into<String>) {
        if self.is_full() {
            self.more += 1;
            return;
        }
        self.found.push(Found { at, field: field.to_owned(), message: message.into() });
    }

    /// Adds a problem of a value.
    pub fn at(&mut self, value: &Value, field: &str, message: impl Into<String>) {
        self.add(value.at, field, message);
    }

    /// How many problems were found so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether further problems are counted only.
    fn is_full(&self) -> bool {
        self.found.len() == caps::PROBLEMS_MAX
    }

    /// Whether there are no problems.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All problems, and how many more there are.
    #[must_use]
    pub fn into_found(self) -> (Vec<Found>, usize) {
        (self.found, self.more)
    }
}

/// A table of the file, its fields known and free of duplicates.
#[derive(Debug)]
pub struct Object<'a> {
    start: usize,
    path: String,
    fields: Vec<(&'a str, &'a Value)>,
}

impl<'a> Object<'a> {
    /// The table that `value` should be, its names checked against `known`.
    pub fn read(value: &'a Value, path: &str, known: &[&str], report: &mut Report) -> Option<Self> {
        let What::Table(fields) = &value.what else {
            wrong_type(value, path, "an object", report);
            return None;
        };
        let mut read = Object { start: value.at, path: path.to_owned(), fields: Vec::new() };
        for field in fields {
            read.take(field, known, report);
        }
        Some(read)
    }

    fn take(&mut self, field: &'a Field, known: &[&str], report: &mut Report) {
        let name = field.name.as_str();
        if !known.contains(&name) {
            let path = self.path_to(&cut(name));
            // What is counted only needs no words: looking for what was meant takes longer than reading the file.
            let message = if report.is_full() { String::new() } else { unknown(name, known) };
            report.add(field.at, &path, message);
        } else if self.field(name).is_some() {
            report.add(field.at, &self.path_to(name), "the field stands here a second time");
        } else {
            self.fields.push((name, &field.value));
        }
    }

    /// Where a field is, as in `questions[2].correct`.
    #[must_use]
    pub fn path_to(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A field, if it is there.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'a Value> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// Reports a problem of the table as a whole.
    pub fn report(&self, name: &str, message: impl Into<String>, report: &mut Report) {
        let at = self.field(name).map_or(self.start, |value| value.at);
        report.add(at, &self.path_to(name), message);
    }

    /// A field that must be there, and its path.
    pub fn required(&self, name: &str, report: &mut Report) -> Option<(&'a Value, String)> {
        let path = self.path_to(name);
        let value = self.field(name);
        if value.is_none() {
            report.add(self.start, &path, format!("the field \"{name}\" is missing"));
        }
        value.map(|value| (value, path))
    }

    /// A field that may be absent or null, read by `read`.
    pub fn optional<T>(
        &self,
        name: &str,
        report: &mut Report,
        read: impl FnOnce(&Value, &str, &mut Report) -> Option<T>,
    ) -> Option<T> {
        match self.field(name) {
            None | Some(Value { what: What::Null, .. }) => None,
            Some(value) => read(value, &self.path_to(name), report),
        }
    }

    /// A text that must be there.
    pub fn text(&self, name: &str, report: &mut Report) -> Option<String> {
        let (value, path) = self.required(name, report)?;
        text(value, &path, caps::TEXT_BYTES_MAX, report)
    }

    /// A whole number that may be absent.
    pub fn whole(
        &self,
        name: &str,
        range: RangeInclusive<u32>,
        report: &mut Report,
    ) -> Option<u32> {
        self.optional(name, report, |value, path, report| whole(value, path, &range, report))
    }

    /// `true` or `false`, the latter if absent.
    pub fn flag(&self, name: &str, report: &mut Report) -> bool {
        self.optional(name, report, flag).unwrap_or(false)
    }

    /// One of several words, the first if absent.
    pub fn word<T: Copy>(&self, name: &str, words: &[(&str, T)], report: &mut Report) -> T {
        let read = |value: &Value, path: &str, report: &mut Report| {
            let given = string(value, path, report)?;
            let found = words.iter().find(|(word, _)| *word == given);
            if found.is_none() {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let message = format!("{} is none of {}", quote(given), known.join(", "));
                let message = match nearest(given, &known) {
                    Some(nearest) => format!("{message}: did you mean {}?", quote(nearest)),
                    None => message,
                };
                report.at(value, path, message);
            }
            found.map(|(_, what)| *what)
        };
        self.optional(name, report, read).unwrap_or(words[0].1)
    }

    /// A list that must be there, its length within `lengths`, of `what`.
    pub fn list(
        &self,
        name: &str,
        lengths: &RangeInclusive<usize>,
        what: &str,
        report: &mut Report,
    ) -> Option<(&'a [Value], String)> {
        let (value, path) = self.required(name, report)?;
        let What::List(list) = &value.what else {
            wrong_type(value, &path, "a list", report);
            return None;
        };
        let (length, min, max) = (list.len(), lengths.start(), lengths.end());
        if !lengths.contains(&length) {
            let expected = if min == max { min.to_string() } else { format!("{min} to {max}") };
            report.at(value, &path, format!("{length} {what}, expected {expected}"));
        }
        Some((list, path))
    }

    /// Short texts that differ. One that is no text is empty here, so that the others keep their numbers.
    pub fn options(
        &self,
        name: &str,
        lengths: &RangeInclusive<usize>,
        report: &mut Report,
    ) -> Option<Vec<String>> {
        let (list, path) = self.list(name, lengths, name, report)?;
        let mut options: Vec<String> = Vec::with_capacity(list.len());
        let mut known = BTreeMap::new();
        for (index, value) in list.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let option = text(value, &path, caps::OPTION_BYTES_MAX, report).unwrap_or_default();
            if let What::Text(words) = &value.what
                && !words.is_empty()
            {
                let first = *known.entry(words.trim()).or_insert(index);
                if first != index {
                    let message = format!("{} is already option {first}", quote(&option));
                    report.at(value, &path, message);
                }
            }
            options.push(option);
        }
        Some(options)
    }
}

/// A string, whatever it says.
pub fn string<'a>(value: &'a Value, path: &str, report: &mut Report) -> Option<&'a str> {
    let What::Text(string) = &value.what else {
        wrong_type(value, path, "a string", report);
        return None;
    };
    Some(string)
}

/// A string that can be shown.
pub fn text(value: &Value, path: &str, bytes_max: usize, report: &mut Report) -> Option<String> {
    let text = string(value, path, report)?;
    if text.trim().is_empty() {
        report.at(value, path, "the text is empty");
    }
    if text.len() > bytes_max {
        let length = text.len();
        report.at(value, path, format!("the text has {length} bytes, at most {bytes_max} fit"));
    }
    if let Some(control) = text.chars().find(|character| character.is_control()) {
        let code = u32::from(control);
        report.at(value, path, format!("the control character U+{code:04X} cannot be shown"));
    }
    Some(text.to_owned())
}

/// `true` or `false`.
pub fn flag(value: &Value, path: &str, report: &mut Report) -> Option<bool> {
    let What::Flag(flag) = value.what else {
        wrong_type(value, path, "true or false", report);
        return None;
    };
    Some(flag)
}

/// A whole number within `range`.
pub fn whole(
    value: &Value,
    path: &str,
    range: &RangeInclusive<u32>,
    report: &mut Report,
) -> Option<u32> {
    let (literal, number) = number(value, path, report)?;
    let (min, max) = (range.start(), range.end());
    match literal.parse().ok() {
        Some(whole) if range.contains(&whole) => Some(whole),
        _ => {
            let is_whole = literal.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
            let shown = if is_whole { literal.to_owned() } else { format!("{number:?}") };
            let wanted = format!("expected a whole number from {min} to {max}");
            report.at(value, path, format!("{} is out of range, {wanted}", cut(&shown)));
            None
        }
    }
}

/// Seconds with up to three decimals, as milliseconds within `range`.
pub fn milliseconds(
    value: &Value,
    path: &str,
    range: &RangeInclusive<u32>,
    report: &mut Report,
) -> Option<u32> {
    let (_, seconds) = number(value, path, report)?;
    let (min, max) = (f64::from(*range.start()), f64::from(*range.end()));
    let exact = seconds * 1_000.0;
    let rounded = exact.round();
    if !(min..=max).contains(&rounded) {
        let (min, max) = (min / 1_000.0, max / 1_000.0);
        report.at(value, path, format!("{seconds} seconds, expected {min} to {max}"));
        return None;
    }
    if (exact - rounded).abs() > 1e-6 {
        report.at(value, path, format!("{seconds} seconds is finer than a millisecond"));
    }
    Some(rounded as u32)
}

/// A number, as it was written and as it is read.
pub fn number<'a>(value: &'a Value, path: &str, report: &mut Report) -> Option<(&'a str, f64)> {
    let What::Number(literal) = &value.what else {
        wrong_type(value, path, "a number", report);
        return None;
    };
    let number = literal.parse().ok().filter(|number: &f64| number.is_finite());
    if number.is_none() {
        report.at(value, path, format!("{} is not a JSON number", cut(literal)));
    }
    number.map(|number| (literal.as_str(), number))
}

/// Reports that `value` is not `wanted`.
pub fn wrong_type(value: &Value, path: &str, wanted: &str, report: &mut Report) {
    let found = match value.what {
        What::Text(_) => "a string",
        What::Number(_) => "a number",
        What::Flag(_) => "true or false",
        What::Table(_) => "an object",
        What::List(_) => "a list",
        What::Null => "null",
    };
    report.at(value, path, format!("expected {wanted}, found {found}"));
}

fn unknown(name: &str, known: &[&str]) -> String {
    let hint = match nearest(name, known) {
        Some(nearest) => format!("did you mean \"{nearest}\"?"),
        None => format!("known are {}", known.join(", ")),
    };
    format!("unknown field {}, {hint}", quote(name))
}

/// What somebody probably meant who wrote a word that is not known.
pub(crate) fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let cut = cut(given).to_lowercase();
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(&cut, known);
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    nearest.copied().filter(|nearest| likeness(nearest) >= LIKENESS_MIN)
}

/// A value in a message: quoted, escaped and cut.
#[must_use]
pub fn quote(value: &str) -> String {
    let cut: String = value.chars().take(QUOTE_CHARS_MAX).collect();
    let rest = if cut.len() < value.len() { "..." } else { "" };
    format!("{cut:?}{rest}")
}

/// A name or number in a path or message, shortened: a file may hold one of a megabyte.
fn cut(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(40).collect()
}

/// How much of a value a message repeats, in characters.
const QUOTE_CHARS_MAX: usize = 60;

/// How alike a misspelt name and its suggestion are at least, of 1; found by trying typing errors.
const LIKENESS_MIN: f64 = 0.6;
