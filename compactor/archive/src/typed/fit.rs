//! Whether values fit into typed columns, and into which. Changes nothing.

use chrono::{DateTime, NaiveDate};
use ebb_protocol::values::ValueSyntax;
use serde_json::{Map, Value};

use super::{ColumnTree, Kind, Members};

/// Integers up to this one, and their negatives, are exact as floating-point numbers: 2^53.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// The longest path that an error names, in bytes.
const PATH_BYTES_MAX: usize = 200;

/// Why a value has no typed columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It cannot be read as JSON.
    #[error("the value is not JSON")]
    Syntax,
    /// It is JSON, and no object.
    #[error("the value is not a JSON object")]
    NoObject,
    /// It cannot be read as the topic's schema says, which is of this syntax.
    #[error("the value is not {} of the topic's schema", .0.name())]
    Schema(ValueSyntax),
    /// It does not begin as `archive.value.framing` says.
    #[error("the value does not begin with the id of a schema")]
    Framing,
    /// It is another message than the one that the topic's values are.
    #[error("the value is another message of the schema")]
    Message,
    /// A field of it is not what its column holds.
    #[error("{path}: the column holds {wanted}")]
    Kind {
        /// Where it lies in the value.
        path: String,
        /// What its first column holds.
        wanted: &'static str,
    },
}

impl ColumnTree {
    /// Whether a value fits.
    ///
    /// # Errors
    /// [`Unfit`] says why it does not.
    pub(super) fn check(&self, object: &Map<String, Value>) -> Result<(), Unfit> {
        self.root.check(object, "")
    }
}

impl Members {
    /// The place of the column that takes a field of an object; none for a field without columns, or that is null.
    pub(super) fn place(&self, key: &str, value: &Value) -> Option<usize> {
        let mut places = self.by_key.get(key)?.iter();
        places.find(|place| self.nodes.get(**place).is_some_and(|node| node.kind.takes(value))).copied()
    }

    fn check(&self, object: &Map<String, Value>, path: &str) -> Result<(), Unfit> {
        for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            let Some(first) = self.by_key.get(key).and_then(|places| self.nodes.get(*places.first()?)) else {
                continue;
            };
            let path = || shortened(format!("{path}{key}"));
            match self.place(key, value).and_then(|place| self.nodes.get(place)) {
                Some(node) => node.kind.check(value, &path)?,
                None => return Err(Unfit::Kind { path: path(), wanted: first.kind.name() }),
            }
        }
        Ok(())
    }
}

impl Kind {
    /// Whether a column of this kind takes a value, whatever lies in the objects of it.
    pub(super) fn takes(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null)
            | (Self::Boolean, Value::Bool(_))
            | (Self::String, Value::String(_))
            | (Self::Struct(_), Value::Object(_)) => true,
            (Self::Long, value) => long(value).is_some(),
            (Self::Double, value) => double(value).is_some(),
            (Self::Date, value) => date(value).is_some(),
            (Self::Timestamp, value) => timestamp(value).is_some(),
            (Self::List(element), Value::Array(values)) => {
                values.iter().all(|value| element.kind.takes(value))
            }
            _ => false,
        }
    }

    /// Checks what lies in the objects of a value that is taken.
    fn check(&self, value: &Value, path: &impl Fn() -> String) -> Result<(), Unfit> {
        match (self, value) {
            (Self::Struct(members), Value::Object(object)) => members.check(object, &format!("{}.", path())),
            (Self::List(element), Value::Array(values)) => {
                values.iter().try_for_each(|value| element.kind.check(value, path))
            }
            _ => Ok(()),
        }
    }
}

/// An integer; a number without a fraction is one, as JSON has it.
pub(super) fn long(value: &Value) -> Option<i64> {
    let whole = |number: f64| {
        let is_exact = number.fract() == 0.0 && number.abs() <= EXACT_MAX;
        #[allow(clippy::cast_possible_truncation, reason = "it was just compared")]
        is_exact.then_some(number as i64)
    };
    let number = value.as_number()?;
    if number.is_f64() { number.as_f64().and_then(whole) } else { number.as_i64() }
}

/// A number. Large integers are rounded, as JSON's readers do.
pub(super) fn double(value: &Value) -> Option<f64> {
    value.as_f64()
}

/// Days since 1970-01-01.
pub(super) fn date(value: &Value) -> Option<i32> {
    let date: NaiveDate = value.as_str()?.parse().ok()?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// Microseconds since 1970-01-01, of a time as in RFC 3339.
pub(super) fn timestamp(value: &Value) -> Option<i64> {
    DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|time| time.timestamp_micros())
}

fn shortened(mut path: String) -> String {
    if path.len() > PATH_BYTES_MAX {
        path.truncate(path.floor_char_boundary(PATH_BYTES_MAX));
        path.push_str("...");
    }
    path
}
