//! Reads the values of a topic: whatever syntax they have, they come out as objects of one shape, which columns are made
//! of. Also says which columns a schema wants. Must not know how columns get their ids or are written.

mod avro;
mod json_schema;
mod protobuf;

use std::sync::Arc;

use ebb_protocol::{
    columns::{COLUMN_DEPTH_MAX, COLUMN_NAME_BYTES_MAX, COLUMNS_MAX},
    values::{ValueFormat, ValueFraming, ValueSyntax},
};
use serde_json::{Map, Value};

use super::{ColumnTree, ELEMENT, Kind, Members, Node, fit::Unfit};

/// What stands before each value of Confluent's serializers: a zero byte, and the schema's id.
const CONFLUENT_BYTES: usize = 5;
/// How many types of a schema lie in each other at most.
const VALUE_DEPTH_MAX: usize = 64;

/// Why a schema gives no columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// There is none, and values of this syntax cannot be read without.
    #[error("values in {} need a schema", .0.name())]
    Missing(ValueSyntax),
    /// It cannot be read.
    #[error("{0}")]
    Syntax(String),
    /// It is the schema of something else.
    #[error("it must be {0}")]
    Shape(&'static str),
    /// A part of it does not say what its values are.
    #[error("{0} needs a type: boolean, integer, number, string, object or array, with or without null")]
    Type(String),
    /// There are too many columns, they lie too deep in each other, or have names that are too long.
    #[error(
        "{0} goes too far: at most {COLUMNS_MAX} columns, {COLUMN_DEPTH_MAX} deep, with names of \
         {COLUMN_NAME_BYTES_MAX} bytes"
    )]
    Limit(String),
    /// A type of it has itself in it, so that its values may be of any depth.
    #[error("{0} has itself in it")]
    Recursive(String),
    /// A list's elements take no bytes, so that a few bytes may be any number of them.
    #[error("it has a list whose elements take no bytes")]
    Weightless,
    /// Too many types lie in each other, so that a value could use up the stack.
    #[error("more than {VALUE_DEPTH_MAX} of its types lie in each other")]
    Deep,
    /// It has no message of this name.
    #[error("it has no message {0}")]
    Message(String),
}

/// Reads the values of a topic.
#[derive(Clone, Debug, Default)]
pub struct ValueReader {
    framing: ValueFraming,
    syntax: Syntax,
}

#[derive(Clone, Debug, Default)]
enum Syntax {
    #[default]
    Json,
    Avro(Arc<avro::Reader>),
    Protobuf(Box<protobuf::Reader>),
}

impl ValueReader {
    /// A reader of values, and the columns that their schema wants; none if these follow from the values.
    ///
    /// # Errors
    /// Any [`SchemaError`].
    pub fn new(format: &ValueFormat) -> Result<(Self, Option<ColumnTree>), SchemaError> {
        let (syntax, columns) = match format.syntax {
            ValueSyntax::Json if format.schema.is_empty() => (Syntax::Json, None),
            ValueSyntax::Json => (Syntax::Json, Some(json_schema::columns(&format.schema)?)),
            syntax if format.schema.is_empty() => return Err(SchemaError::Missing(syntax)),
            ValueSyntax::Avro => {
                let reader = avro::Reader::new(&format.schema)?;
                let columns = reader.columns()?;
                (Syntax::Avro(Arc::new(reader)), Some(columns))
            }
            ValueSyntax::Protobuf => {
                let reader = protobuf::Reader::new(&format.schema, &format.message)?;
                let columns = reader.columns()?;
                (Syntax::Protobuf(Box::new(reader)), Some(columns))
            }
        };
        Ok((Self { framing: format.framing, syntax }, columns))
    }

    /// Reads a value.
    ///
    /// # Errors
    /// [`Unfit`] when it cannot be read.
    pub(super) fn read(&self, value: &[u8]) -> Result<Map<String, Value>, Unfit> {
        let value = match (self.framing, value) {
            (ValueFraming::None, value) => value,
            (ValueFraming::Confluent, [0, ..]) => value.get(CONFLUENT_BYTES..).ok_or(Unfit::Framing)?,
            (ValueFraming::Confluent, _) => return Err(Unfit::Framing),
        };
        match (&self.syntax, self.framing) {
            (Syntax::Json, _) => match serde_json::from_slice(value) {
                Ok(Value::Object(object)) => Ok(object),
                Ok(_) => Err(Unfit::NoObject),
                Err(_) => Err(Unfit::Syntax),
            },
            (Syntax::Avro(reader), _) => reader.read(value),
            (Syntax::Protobuf(reader), ValueFraming::None) => reader.read(value),
            (Syntax::Protobuf(reader), ValueFraming::Confluent) => reader.read_named(value),
        }
    }
}

/// Columns that a schema of records wants, as far as the limits of a topic go. What goes beyond gets no column.
struct Wanted {
    /// How many more there may be.
    left: usize,
}

impl Wanted {
    fn new() -> Self {
        Self { left: COLUMNS_MAX }
    }

    /// A column of a struct or list, which lies so deep, if its kind is one that columns have.
    fn node(
        &mut self,
        key: &str,
        depth: usize,
        kind: impl FnOnce(&mut Self) -> Option<Kind>,
    ) -> Option<Node> {
        if self.left == 0 || depth > COLUMN_DEPTH_MAX || key.len() > COLUMN_NAME_BYTES_MAX {
            return None;
        }
        self.left -= 1;
        let kind = kind(self).filter(|kind| kind.leaves() > 0);
        if kind.is_none() {
            self.left += 1;
        }
        kind.map(|kind| Node::wanted(key, kind))
    }

    /// A list, which lies so deep.
    fn list(&mut self, depth: usize, kind: impl FnOnce(&mut Self) -> Option<Kind>) -> Option<Kind> {
        Some(Kind::List(Box::new(self.node(ELEMENT, depth + 1, kind)?)))
    }

    /// A map, as a list of its keys and values.
    fn map(
        &mut self,
        depth: usize,
        key: Kind,
        value: impl FnOnce(&mut Self) -> Option<Kind>,
    ) -> Option<Kind> {
        self.list(depth, |wanted| {
            let key = wanted.node(MAP_KEY, depth + 2, |_| Some(key))?;
            let value = wanted.node(MAP_VALUE, depth + 2, value);
            Some(Kind::Struct(std::iter::once(key).chain(value).collect()))
        })
    }
}

/// The columns of an element of a map.
const MAP_KEY: &str = "key";
const MAP_VALUE: &str = "value";

/// An element of a map.
fn entry(key: Value, value: Value) -> Value {
    Value::Object([(MAP_KEY.to_owned(), key), (MAP_VALUE.to_owned(), value)].into_iter().collect())
}

/// A floating-point number; null if it is none, or without end.
fn number(number: f64) -> Value {
    Value::from(number)
}
