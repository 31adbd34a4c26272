//! A file as a tree whose values know their places, whatever its syntax.

use jsonc_parser::ast;
use jsonc_parser::common::Range;

/// A value of a file and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    /// The place in the file.
    pub at: usize,
    /// What it says.
    pub what: What,
}

/// What a value says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
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
pub(super) struct Field {
    /// The place of the name.
    pub at: usize,
    /// The name.
    pub name: String,
    /// The value.
    pub value: Value,
}

impl Value {
    /// A value at a place.
    pub(super) fn new(at: usize, what: What) -> Self {
        Value { at, what }
    }

    /// The tree as the reader of shows walks it.
    pub(super) fn as_ast(&self) -> ast::Value<'_> {
        let range = Range::from_byte_index(self.at);
        match &self.what {
            What::Flag(value) => ast::Value::BooleanLit(ast::BooleanLit { range, value: *value }),
            What::Number(value) => ast::Value::NumberLit(ast::NumberLit { range, value }),
            What::Text(text) => {
                ast::Value::StringLit(ast::StringLit { range, value: text.as_str().into() })
            }
            What::List(list) => {
                let elements = list.iter().map(Value::as_ast).collect();
                ast::Value::Array(ast::Array { range, elements })
            }
            What::Table(fields) => {
                let properties = fields.iter().map(Field::as_ast).collect();
                ast::Value::Object(ast::Object { range, properties })
            }
        }
    }
}

impl Field {
    fn as_ast(&self) -> ast::ObjectProp<'_> {
        let range = Range::from_byte_index(self.at);
        let name = ast::StringLit { range, value: self.name.as_str().into() };
        let name = ast::ObjectPropName::String(name);
        ast::ObjectProp { range, name, value: self.value.as_ast() }
    }
}
