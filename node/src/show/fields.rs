//! Reading one field of a show file: its presence, its type, its caps.
//!
//! A reader that meets a problem reports it and returns what it can, so that one pass finds all
//! problems; a script is taken only when the report stayed empty.

use super::report::{Report, quote};
use crdt_state::engagement::quiz::script::caps;
use jsonc_parser::ast::{self, Value};
use jsonc_parser::common::Ranged;
use std::ops::RangeInclusive;

/// An object of the file, its fields known and free of duplicates.
pub(super) struct Object<'a, 't> {
    start: usize,
    path: String,
    fields: Vec<(&'a str, &'a Value<'t>)>,
}

impl<'a, 't> Object<'a, 't> {
    /// The object that `value` should be, its names checked against `known`.
    pub(super) fn read(
        value: &'a Value<'t>,
        path: &str,
        known: &[&str],
        report: &mut Report,
    ) -> Option<Self> {
        let Value::Object(object) = value else {
            wrong_type(value, path, "an object", report);
            return None;
        };
        let mut read = Object { start: object.start(), path: path.to_owned(), fields: Vec::new() };
        for property in &object.properties {
            read.take(property, known, report);
        }
        Some(read)
    }

    fn take(&mut self, property: &'a ast::ObjectProp<'t>, known: &[&str], report: &mut Report) {
        let name = property.name.as_str();
        if !known.contains(&name) {
            let path = self.path_to(&cut(name));
            report.at(property, &path, unknown(name, known));
        } else if self.field(name).is_some() {
            report.at(property, &self.path_to(name), "the field stands here a second time");
        } else {
            self.fields.push((name, &property.value));
        }
    }

    /// Where a field is, as in `questions[2].correct`.
    pub(super) fn path_to(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn field(&self, name: &str) -> Option<&'a Value<'t>> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// A field that must be there, and its path.
    pub(super) fn required(
        &self,
        name: &str,
        report: &mut Report,
    ) -> Option<(&'a Value<'t>, String)> {
        let path = self.path_to(name);
        let value = self.field(name);
        if value.is_none() {
            report.add(self.start, &path, format!("the field \"{name}\" is missing"));
        }
        value.map(|value| (value, path))
    }

    /// A field that may be absent or null, read by `read`.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        report: &mut Report,
        read: impl FnOnce(&Value<'t>, &str, &mut Report) -> Option<T>,
    ) -> Option<T> {
        match self.field(name) {
            None | Some(Value::NullKeyword(_)) => None,
            Some(value) => read(value, &self.path_to(name), report),
        }
    }

    /// A text that must be there.
    pub(super) fn text(&self, name: &str, report: &mut Report) -> Option<String> {
        let (value, path) = self.required(name, report)?;
        text(value, &path, caps::TEXT_BYTES_MAX, report)
    }

    /// A list that must be there, its length within `lengths`, of `what`.
    pub(super) fn list(
        &self,
        name: &str,
        lengths: &RangeInclusive<usize>,
        what: &str,
        report: &mut Report,
    ) -> Option<(&'a [Value<'t>], String)> {
        let (value, path) = self.required(name, report)?;
        let Value::Array(list) = value else {
            wrong_type(value, &path, "a list", report);
            return None;
        };
        let (length, min, max) = (list.elements.len(), lengths.start(), lengths.end());
        if !lengths.contains(&length) {
            report.at(value, &path, format!("{length} {what}, expected {min} to {max}"));
        }
        Some((&list.elements, path))
    }
}

/// A string, whatever it says.
pub(super) fn string<'a>(value: &'a Value<'_>, path: &str, report: &mut Report) -> Option<&'a str> {
    let Value::StringLit(string) = value else {
        wrong_type(value, path, "a string", report);
        return None;
    };
    Some(&string.value)
}

/// A string that can be shown.
pub(super) fn text(
    value: &Value<'_>,
    path: &str,
    bytes_max: usize,
    report: &mut Report,
) -> Option<String> {
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
pub(super) fn flag(value: &Value<'_>, path: &str, report: &mut Report) -> Option<bool> {
    let Value::BooleanLit(flag) = value else {
        wrong_type(value, path, "true or false", report);
        return None;
    };
    Some(flag.value)
}

/// A whole number within `range`.
pub(super) fn whole(
    value: &Value<'_>,
    path: &str,
    range: &RangeInclusive<u32>,
    report: &mut Report,
) -> Option<u32> {
    let number = number(value, path, report)?;
    let (min, max) = (range.start(), range.end());
    match number.as_u64().and_then(|number| u32::try_from(number).ok()) {
        Some(whole) if range.contains(&whole) => Some(whole),
        _ => {
            let wanted = format!("expected a whole number from {min} to {max}");
            report.at(
                value,
                path,
                format!("{} is out of range, {wanted}", cut(&number.to_string())),
            );
            None
        }
    }
}

/// Seconds with up to three decimals, as milliseconds within `range`.
pub(super) fn milliseconds(
    value: &Value<'_>,
    path: &str,
    range: &RangeInclusive<u32>,
    report: &mut Report,
) -> Option<u32> {
    let seconds = number(value, path, report)?.as_f64()?;
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

fn number(value: &Value<'_>, path: &str, report: &mut Report) -> Option<serde_json::Number> {
    let Value::NumberLit(literal) = value else {
        wrong_type(value, path, "a number", report);
        return None;
    };
    let number = serde_json::from_str(literal.value).ok();
    if number.is_none() {
        report.at(value, path, format!("{} is not a JSON number", cut(literal.value)));
    }
    number
}

/// Reports that `value` is not `wanted`.
pub(super) fn wrong_type(value: &Value<'_>, path: &str, wanted: &str, report: &mut Report) {
    let found = match value {
        Value::StringLit(_) => "a string",
        Value::NumberLit(_) => "a number",
        Value::BooleanLit(_) => "true or false",
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::NullKeyword(_) => "null",
    };
    report.at(value, path, format!("expected {wanted}, found {found}"));
}

fn unknown(name: &str, known: &[&str]) -> String {
    let cut = cut(name).to_lowercase();
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(&cut, known);
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let hint = match nearest {
        Some(nearest) if likeness(nearest) >= LIKENESS_MIN => {
            format!("did you mean \"{nearest}\"?")
        }
        _ => format!("known are {}", known.join(", ")),
    };
    format!("unknown field {}, {hint}", quote(name))
}

/// A name or number in a path or message, shortened: a file may hold one of a megabyte.
fn cut(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(40).collect()
}

/// How alike a misspelt name and its suggestion are at least, of 1; found by trying typing errors.
const LIKENESS_MIN: f64 = 0.6;
