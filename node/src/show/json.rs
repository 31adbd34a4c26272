//! JSON as a tree: RFC 8259 and nothing more, so that every tool that writes JSON can write a show.

use crdt_state::engagement::file::{Field, Report, Value, What};
use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

/// Reads a text, and tells `follow` at which byte it is; a syntax error alone is reported, since nothing after it
/// can be understood.
pub(super) fn read(text: &str, follow: &dyn Fn(usize), report: &mut Report) -> Option<Value> {
    match parse_to_ast(text, &CollectOptions::default(), &strict()) {
        Ok(parsed) => {
            if parsed.value.is_none() {
                report.add(0, "", "the file is empty, expected a show: {\"format\": ...}");
            }
            parsed.value.as_ref().map(|root| tree(root, follow))
        }
        Err(error) => {
            report.add(error.range().start, "", advice(error.kind()));
            None
        }
    }
}

fn tree(value: &ast::Value<'_>, follow: &dyn Fn(usize)) -> Value {
    let tree = |value| tree(value, follow);
    let what = match value {
        ast::Value::StringLit(text) => What::Text(text.value.clone().into_owned()),
        ast::Value::NumberLit(number) => What::Number(number.value.to_owned()),
        ast::Value::BooleanLit(flag) => What::Flag(flag.value),
        ast::Value::NullKeyword(_) => What::Null,
        ast::Value::Array(list) => What::List(list.elements.iter().map(tree).collect()),
        ast::Value::Object(object) => {
            follow(value.start());
            let field = |property| field(property, follow);
            What::Table(object.properties.iter().map(field).collect())
        }
    };
    Value::new(value.start(), what)
}

fn field(property: &ast::ObjectProp<'_>, follow: &dyn Fn(usize)) -> Field {
    let (at, name) = (property.start(), property.name.as_str().to_owned());
    Field { at, name, value: tree(&property.value, follow) }
}

fn strict() -> ParseOptions {
    ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn advice(kind: &ParseErrorKind) -> String {
    let advice = match kind {
        ParseErrorKind::TrailingCommasNotAllowed => "a comma after the last entry: remove it",
        ParseErrorKind::ExpectedComma => "a comma is missing here",
        ParseErrorKind::CommentsNotAllowed => "JSON has no comments: remove it",
        ParseErrorKind::SingleQuotedStringsNotAllowed => "JSON strings have double quotes",
        ParseErrorKind::ExpectedStringObjectProperty => "a field's name needs double quotes",
        ParseErrorKind::ExpectedColonAfterObjectKey => "a colon is missing after the field's name",
        ParseErrorKind::ExpectedObjectValue => "a value is missing after the colon",
        ParseErrorKind::UnterminatedObject => "this { is never closed by a }",
        ParseErrorKind::UnterminatedArray => "this [ is never closed by a ]",
        ParseErrorKind::MultipleRootJsonValues => "the show has ended: remove what follows",
        ParseErrorKind::UnexpectedWord | ParseErrorKind::UnexpectedToken => {
            "unexpected text: strings need double quotes"
        }
        other => return format!("not JSON: {}", other.to_string().to_lowercase()),
    };
    advice.to_owned()
}

/// A tree as JSON, indented.
pub(super) fn write(what: &What) -> String {
    let mut json = serde_json::to_string_pretty(&Written(what)).expect("no map keys but strings");
    json.push('\n');
    json
}

struct Written<'a>(&'a What);

impl serde::Serialize for Written<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            What::Null => to.serialize_none(),
            What::Flag(flag) => to.serialize_bool(*flag),
            What::Number(number) => serde_json::from_str::<serde_json::Number>(number)
                .map_err(serde::ser::Error::custom)?
                .serialize(to),
            What::Text(text) => to.serialize_str(text),
            What::List(list) => to.collect_seq(list.iter().map(|value| Written(&value.what))),
            What::Table(fields) => to.collect_map(
                fields.iter().map(|field| (field.name.as_str(), Written(&field.value.what))),
            ),
        }
    }
}
