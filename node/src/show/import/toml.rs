//! A show as TOML: the same fields as in JSON.

use super::super::report::Report;
use super::Follow;
use crdt_state::engagement::file::{Field, Value, What};
use std::borrow::Cow;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The tree of a document; every slip of its syntax is reported at once.
pub(super) fn read(text: &str, follow: Follow<'_>, report: &mut Report) -> Option<Value> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        report.add(at, "", format!("not TOML: {}", error.message().trim()));
    }
    errors.is_empty().then(|| Source { text, follow }.table(&document.span(), document.get_ref()))
}

/// What a document was read from.
#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
    follow: Follow<'a>,
}

impl Source<'_> {
    fn value(self, spanned: &Spanned<DeValue<'_>>) -> Value {
        let span = spanned.span();
        let written = || self.text[span.clone()].to_owned();
        let what = match spanned.get_ref() {
            DeValue::String(words) => What::Text(words.clone().into_owned()),
            // As it is written: a number that JSON would not take is reported by whoever reads it.
            DeValue::Integer(_) | DeValue::Float(_) => What::Number(written()),
            DeValue::Boolean(flag) => What::Flag(*flag),
            DeValue::Datetime(_) => What::Text(written()),
            DeValue::Array(elements) => {
                What::List(elements.iter().map(|element| self.value(element)).collect())
            }
            DeValue::Table(fields) => return self.table(&span, fields),
        };
        Value::new(span.start, what)
    }

    fn table(self, span: &Range<usize>, fields: &DeTable<'_>) -> Value {
        (self.follow)(span.start);
        let field = |(name, field): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| Field {
            at: name.span().start,
            name: name.get_ref().clone().into_owned(),
            value: self.value(field),
        };
        Value::new(span.start, What::Table(fields.iter().map(field).collect()))
    }
}
