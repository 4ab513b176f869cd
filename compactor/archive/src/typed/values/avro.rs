//! Values in Avro's binary encoding (Avro 1.12), which have nothing in them that says what they are: the topic's schema
//! does. Knows no columns beyond those that a schema wants.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read},
};

use apache_avro::{
    GenericSingleObjectReader, Schema,
    schema::{DecimalSchema, InnerDecimalSchema, Name, NamespaceRef, UuidSchema},
    types::Value as Avro,
    util::max_allocation_bytes,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat, Utc};
use ebb_protocol::values::ValueSyntax;
use serde_json::{Map, Value};

use super::{ColumnTree, Kind, Members, SchemaError, Unfit, VALUE_DEPTH_MAX, Wanted, entry, number};

/// The largest part of a value, in bytes as the library holds it: texts and lists say how long they are before any of it is
/// there. Values with larger parts do not fit.
const PART_BYTES_MAX: usize = 32 << 20;

/// Reads records of one schema.
pub(super) struct Reader {
    records: GenericSingleObjectReader,
    schema: Schema,
    /// The types that the schema gives names.
    named: BTreeMap<String, Schema>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Avro").field(&self.schema).finish()
    }
}

impl Reader {
    /// # Errors
    /// When the schema cannot be read, is not one of records, or would let a small value take any memory.
    pub(super) fn new(schema: &str) -> Result<Self, SchemaError> {
        // The library has one limit for the process; it is the same each time.
        max_allocation_bytes(PART_BYTES_MAX);
        let syntax = |error| SchemaError::Syntax(format!("it is not an Avro schema: {error}"));
        let schema = Schema::parse_str(schema).map_err(syntax)?;
        let records = GenericSingleObjectReader::builder().schema(schema.clone()).header(Vec::new());
        let records = records.build().map_err(syntax)?;
        let mut types = Types::default();
        types.shape(&schema, None)?;
        Ok(Self { records, schema, named: types.named })
    }

    /// The columns that the schema wants.
    pub(super) fn columns(&self) -> Result<ColumnTree, SchemaError> {
        match self.kind(&mut Wanted::new(), &self.schema, None, 0) {
            Some(Kind::Struct(root)) if !root.nodes.is_empty() => Ok(ColumnTree { root }),
            _ => Err(SchemaError::Shape("the schema of a record with fields that columns can hold")),
        }
    }

    /// Reads a value, which is one record and nothing else.
    pub(super) fn read(&self, value: &[u8]) -> Result<Map<String, Value>, Unfit> {
        let unfit = || Unfit::Schema(ValueSyntax::Avro);
        let mut bytes = Whole(value);
        let record = self.records.read_value(&mut bytes).map_err(|_| unfit())?;
        match self.value(&self.schema, None, record) {
            Value::Object(object) if bytes.0.is_empty() => Ok(object),
            _ => Err(unfit()),
        }
    }

    fn named(&self, name: &Name) -> Option<&Schema> {
        self.named.get(&name.fullname(None))
    }

    /// What a column of a schema's values holds; none for what no column can.
    fn kind(
        &self,
        wanted: &mut Wanted,
        schema: &Schema,
        space: NamespaceRef<'_>,
        depth: usize,
    ) -> Option<Kind> {
        Some(match schema {
            Schema::Boolean => Kind::Boolean,
            Schema::Int | Schema::Long => Kind::Long,
            Schema::Float | Schema::Double => Kind::Double,
            Schema::Date => Kind::Date,
            Schema::TimestampMillis | Schema::TimestampMicros | Schema::TimestampNanos => Kind::Timestamp,
            Schema::String
            | Schema::Enum(_)
            | Schema::Uuid(_)
            | Schema::Bytes
            | Schema::Fixed(_)
            | Schema::Decimal(_)
            | Schema::TimeMillis
            | Schema::TimeMicros
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Kind::String,
            Schema::Array(list) => {
                wanted.list(depth, |wanted| self.kind(wanted, &list.items, space, depth + 1))?
            }
            Schema::Map(map) => {
                wanted.map(depth, Kind::String, |wanted| self.kind(wanted, &map.types, space, depth + 2))?
            }
            Schema::Union(union) => {
                let mut variants = union.variants().iter().filter(|variant| **variant != Schema::Null);
                let only = variants.next().filter(|_| variants.next().is_none())?;
                self.kind(wanted, only, space, depth)?
            }
            Schema::Record(record) => {
                let name = record.name.fully_qualified_name(space);
                let fields = record.fields.iter().filter_map(|field| {
                    let kind =
                        |wanted: &mut Wanted| self.kind(wanted, &field.schema, name.namespace(), depth + 1);
                    wanted.node(&field.name, depth + 1, kind)
                });
                Kind::Struct(fields.collect::<Members>())
            }
            Schema::Ref { name } => {
                let name = name.fully_qualified_name(space);
                self.kind(wanted, self.named(&name)?, name.namespace(), depth)?
            }
            Schema::Null | Schema::BigDecimal | Schema::Duration(_) => return None,
        })
    }

    /// A value as JSON has it. Times become text, bytes base64, and what no column can hold null.
    fn value(&self, schema: &Schema, space: NamespaceRef<'_>, value: Avro) -> Value {
        match (schema, value) {
            (Schema::Union(union), Avro::Union(variant, value)) => {
                let variant = usize::try_from(variant).ok().and_then(|variant| union.variants().get(variant));
                variant.map_or(Value::Null, |variant| self.value(variant, space, *value))
            }
            (Schema::Record(record), Avro::Record(values)) => {
                let name = record.name.fully_qualified_name(space);
                let fields = record.fields.iter().zip(values);
                let read = |schema, value| self.value(schema, name.namespace(), value);
                Value::Object(fields.map(|(field, (key, value))| (key, read(&field.schema, value))).collect())
            }
            (Schema::Array(list), Avro::Array(values)) => {
                values.into_iter().map(|value| self.value(&list.items, space, value)).collect()
            }
            (Schema::Map(map), Avro::Map(values)) => {
                let sorted: BTreeMap<_, _> = values.into_iter().collect();
                let entries = sorted.into_iter();
                entries
                    .map(|(key, value)| entry(Value::from(key), self.value(&map.types, space, value)))
                    .collect()
            }
            (Schema::Ref { name }, value) => {
                let name = name.fully_qualified_name(space);
                let schema = self.named(&name);
                schema.map_or(Value::Null, |schema| self.value(schema, name.namespace(), value))
            }
            (Schema::Decimal(schema), Avro::Decimal(value)) => {
                let bytes = Vec::try_from(value).ok();
                bytes.and_then(|bytes| decimal(&bytes, schema.scale)).map_or(Value::Null, Value::from)
            }
            (_, value) => scalar(value).unwrap_or(Value::Null),
        }
    }
}

/// A value with nothing in it.
fn scalar(value: Avro) -> Option<Value> {
    let instant = |time: DateTime<Utc>| Value::from(time.to_rfc3339_opts(SecondsFormat::Micros, true));
    let local =
        |time: DateTime<Utc>| Value::from(time.naive_utc().format("%Y-%m-%dT%H:%M:%S%.6f").to_string());
    Some(match value {
        Avro::Boolean(value) => Value::from(value),
        Avro::Int(value) => Value::from(value),
        Avro::Long(value) => Value::from(value),
        Avro::Float(value) => number(value.into()),
        Avro::Double(value) => number(value),
        Avro::String(value) | Avro::Enum(_, value) => Value::from(value),
        Avro::Bytes(value) | Avro::Fixed(_, value) => Value::from(BASE64_STANDARD.encode(value)),
        Avro::Uuid(value) => Value::from(value.to_string()),
        Avro::Date(days) => Value::from(date(days)?.to_string()),
        Avro::TimeMillis(millis) => time(i64::from(millis).checked_mul(1_000)?)?,
        Avro::TimeMicros(micros) => time(micros)?,
        Avro::TimestampMillis(millis) => instant(DateTime::from_timestamp_millis(millis)?),
        Avro::TimestampMicros(micros) => instant(DateTime::from_timestamp_micros(micros)?),
        Avro::TimestampNanos(nanos) => instant(DateTime::from_timestamp_nanos(nanos)),
        Avro::LocalTimestampMillis(millis) => local(DateTime::from_timestamp_millis(millis)?),
        Avro::LocalTimestampMicros(micros) => local(DateTime::from_timestamp_micros(micros)?),
        Avro::LocalTimestampNanos(nanos) => local(DateTime::from_timestamp_nanos(nanos)),
        _ => return None,
    })
}

fn date(days: i32) -> Option<NaiveDate> {
    let distance = Days::new(days.unsigned_abs().into());
    let epoch = NaiveDate::default();
    if days < 0 { epoch.checked_sub_days(distance) } else { epoch.checked_add_days(distance) }
}

/// A time of day, from microseconds since midnight.
fn time(micros: i64) -> Option<Value> {
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let nanos = u32::try_from(rest).ok()?.checked_mul(1_000)?;
    let time = NaiveTime::from_num_seconds_from_midnight_opt(u32::try_from(seconds).ok()?, nanos)?;
    Some(Value::from(time.format("%H:%M:%S%.6f").to_string()))
}

/// A decimal number of at most 38 digits or so, from its two's complement and the digits behind the point.
fn decimal(bytes: &[u8], scale: usize) -> Option<String> {
    let first = bytes.first().copied().unwrap_or(0);
    let sign = if first >= 0x80 { u8::MAX } else { 0 };
    let mut whole = [sign; 16];
    whole.get_mut(16_usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    let number = i128::from_be_bytes(whole);
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale.checked_add(1)?);
    let (before, behind) = digits.split_at_checked(digits.len() - scale)?;
    let sign = if number < 0 { "-" } else { "" };
    Some(if scale == 0 { format!("{sign}{before}") } else { format!("{sign}{before}.{behind}") })
}

/// Bytes that must all be there. Where they end early, the library would read nulls; this error makes it stop.
struct Whole<'a>(&'a [u8]);

impl Read for Whole<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() && !into.is_empty() {
            return Err(io::Error::other("the value ends early"));
        }
        self.0.read(into)
    }
}

/// Goes through the types of a schema before any value is read by it.
#[derive(Default)]
struct Types {
    named: BTreeMap<String, Schema>,
    /// The shape of each named type's values; none while it is being looked at.
    shapes: BTreeMap<String, Option<Shape>>,
}

/// What is known of all values of a type.
#[derive(Clone, Copy)]
struct Shape {
    /// Whether they take at least a byte.
    takes_bytes: bool,
    /// How many types lie in each other, this one counted.
    depth: usize,
}

impl Shape {
    const LEAF: Self = Self { takes_bytes: true, depth: 1 };
}

impl Types {
    /// The shape of a schema's values.
    ///
    /// # Errors
    /// [`SchemaError::Recursive`] when a type has itself in it: the library would go as deep as a value says.
    /// [`SchemaError::Deep`] when it goes too deep without that.
    /// [`SchemaError::Weightless`] when the elements of a list take no bytes: a few bytes could be any number of them.
    fn shape(&mut self, schema: &Schema, space: NamespaceRef<'_>) -> Result<Shape, SchemaError> {
        let shape = match schema {
            Schema::Null => Shape { takes_bytes: false, depth: 1 },
            Schema::Fixed(of)
            | Schema::Duration(of)
            | Schema::Uuid(UuidSchema::Fixed(of))
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(of), .. }) => {
                self.name(&of.name, space, schema, Shape { takes_bytes: of.size > 0, depth: 1 })
            }
            Schema::Enum(symbols) => self.name(&symbols.name, space, schema, Shape::LEAF),
            Schema::Array(list) => {
                let items = self.shape(&list.items, space)?;
                if !items.takes_bytes {
                    return Err(SchemaError::Weightless);
                }
                Shape { depth: items.depth + 1, ..items }
            }
            Schema::Map(map) => Shape { takes_bytes: true, depth: self.shape(&map.types, space)?.depth + 1 },
            Schema::Union(union) => {
                let depths = union.variants().iter().map(|variant| Ok(self.shape(variant, space)?.depth));
                let deepest = depths.collect::<Result<Vec<_>, _>>()?.into_iter().max();
                Shape { takes_bytes: true, depth: deepest.unwrap_or(0) + 1 }
            }
            Schema::Record(record) => {
                let name = record.name.fully_qualified_name(space);
                self.shapes.insert(name.fullname(None), None);
                let mut shape = Shape { takes_bytes: false, depth: 0 };
                for field in &record.fields {
                    let field = self.shape(&field.schema, name.namespace())?;
                    shape.takes_bytes |= field.takes_bytes;
                    shape.depth = shape.depth.max(field.depth);
                }
                self.name(&record.name, space, schema, Shape { depth: shape.depth + 1, ..shape })
            }
            Schema::Ref { name } => {
                let name = name.fullname(space);
                match self.shapes.get(&name) {
                    Some(known) => known.ok_or(SchemaError::Recursive(name))?,
                    None => return Err(SchemaError::Syntax(format!("it does not say what {name} is"))),
                }
            }
            _ => Shape::LEAF,
        };
        if shape.depth > VALUE_DEPTH_MAX { Err(SchemaError::Deep) } else { Ok(shape) }
    }

    /// Takes up a type that gets its name here.
    fn name(&mut self, name: &Name, space: NamespaceRef<'_>, schema: &Schema, shape: Shape) -> Shape {
        let name = name.fullname(space);
        self.named.insert(name.clone(), schema.clone());
        self.shapes.insert(name, Some(shape));
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_value_says_of_its_length_takes_no_memory() {
        let schema = r#"{"type": "record", "name": "a", "fields": [{"name": "b", "type": "bytes"}]}"#;
        let reader = Reader::new(schema).expect("a schema");
        assert_eq!(max_allocation_bytes(usize::MAX), PART_BYTES_MAX, "the library keeps to the limit");
        // 134,217,727 bytes, of which none is there.
        let unfit = Err(Unfit::Schema(ValueSyntax::Avro));
        assert_eq!(reader.read(&[0xfe, 0xff, 0xff, 0x7f]), unfit);
    }
}
