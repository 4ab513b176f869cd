//! Values that are Protobuf messages, which the topic's `.proto` file describes. Knows no columns beyond those that a
//! message wants.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, SecondsFormat};
use ebb_protocol::values::ValueSyntax;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, FileDescriptor, Kind as Type, MapKey, MessageDescriptor, ReflectMessage,
    Value as Field, prost::encoding::decode_varint,
};
use protox::{
    Compiler,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};
use serde_json::{Map, Value};

use super::{ColumnTree, Kind, Members, SchemaError, Unfit, Wanted, entry, number};

/// What the topic's file is called in errors.
const FILE: &str = "archive.value.schema";
/// How deep in other messages the message of a value lies at most.
const PATH_MAX: u64 = 16;

/// Reads messages of one type.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    file: FileDescriptor,
    message: MessageDescriptor,
}

/// Has the compiler read the topic's file.
struct Source(String);

impl FileResolver for Source {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == FILE { File::from_source(name, &self.0) } else { Err(protox::Error::file_not_found(name)) }
    }
}

impl Reader {
    /// Reads messages of this name, or of the first one if that is empty.
    ///
    /// # Errors
    /// When the file cannot be read, imports what does not come with Protobuf, or has no such message.
    pub(super) fn new(schema: &str, message: &str) -> Result<Self, SchemaError> {
        let syntax = |error: &dyn ToString| {
            SchemaError::Syntax(format!("it is not a .proto file: {}", error.to_string()))
        };
        let mut files = ChainFileResolver::new();
        files.add(Source(schema.to_owned()));
        files.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(files);
        compiler.open_file(FILE).map_err(|error| syntax(&error))?;
        let pool = compiler.descriptor_pool();
        let file = pool.get_file_by_name(FILE).ok_or_else(|| syntax(&"it is empty"))?;
        let found = if message.is_empty() {
            file.messages().next().ok_or(SchemaError::Shape("a .proto file with a message"))?
        } else {
            let named = |found: &MessageDescriptor| found.full_name() == message || found.name() == message;
            let found = pool.all_messages().find(|found| found.parent_file() == file && named(found));
            found.ok_or_else(|| SchemaError::Message(message.to_owned()))?
        };
        Ok(Self { file, message: found })
    }

    /// The columns that the message wants.
    pub(super) fn columns(&self) -> Result<ColumnTree, SchemaError> {
        let mut open = Vec::new();
        let root = members(&mut Wanted::new(), &self.message, 0, &mut open);
        let root = Some(root).filter(|root| !root.nodes.is_empty());
        let root = root.ok_or(SchemaError::Shape("a message with fields that columns can hold"))?;
        Ok(ColumnTree { root })
    }

    /// Reads a value.
    pub(super) fn read(&self, value: &[u8]) -> Result<Map<String, Value>, Unfit> {
        let message = DynamicMessage::decode(self.message.clone(), value);
        Ok(object(&message.map_err(|_| Unfit::Schema(ValueSyntax::Protobuf))?))
    }

    /// Reads a value behind the path of its message in the file, as Confluent's serializers write it: how long the path
    /// is, and in each step the message's place, all as zigzag varints. Nothing at all is the first message.
    pub(super) fn read_named(&self, mut value: &[u8]) -> Result<Map<String, Value>, Unfit> {
        let mut next = || decode_varint(&mut value).map(|zigzag| zigzag / 2).map_err(|_| Unfit::Framing);
        let length = next()?;
        let place = |step: u64| usize::try_from(step).unwrap_or(usize::MAX);
        let mut message = self.file.messages().nth(if length == 0 { 0 } else { place(next()?) });
        for _ in 1..length.min(PATH_MAX) {
            let step = place(next()?);
            message = message.and_then(|message| message.child_messages().nth(step));
        }
        if message.as_ref() != Some(&self.message) {
            return Err(Unfit::Message);
        }
        self.read(value)
    }
}

/// The columns of a message. One that has itself in it gets none at that place.
fn members(
    wanted: &mut Wanted,
    message: &MessageDescriptor,
    depth: usize,
    open: &mut Vec<String>,
) -> Members {
    open.push(message.full_name().to_owned());
    let fields = message.fields().filter_map(|field| {
        wanted.node(field.name(), depth + 1, |wanted| column(wanted, &field, depth + 1, open))
    });
    let members = fields.collect();
    open.pop();
    members
}

fn column(
    wanted: &mut Wanted,
    field: &FieldDescriptor,
    depth: usize,
    open: &mut Vec<String>,
) -> Option<Kind> {
    match field.kind() {
        Type::Message(pair) if field.is_map() => {
            let key = kind(wanted, &pair.map_entry_key_field().kind(), depth, open)?;
            let value = pair.map_entry_value_field().kind();
            wanted.map(depth, key, |wanted| kind(wanted, &value, depth + 2, open))
        }
        element if field.is_list() => wanted.list(depth, |wanted| kind(wanted, &element, depth + 1, open)),
        single => kind(wanted, &single, depth, open),
    }
}

/// What a column of a type's values holds.
fn kind(wanted: &mut Wanted, of: &Type, depth: usize, open: &mut Vec<String>) -> Option<Kind> {
    Some(match of {
        Type::Bool => Kind::Boolean,
        Type::Double | Type::Float => Kind::Double,
        Type::String | Type::Bytes | Type::Enum(_) => Kind::String,
        Type::Message(message) => match Known::of(message) {
            Some(Known::Timestamp) => Kind::Timestamp,
            Some(Known::Wrapper(value)) => kind(wanted, &value.kind(), depth, open)?,
            Some(Known::Free) => return None,
            None if open.iter().any(|name| name == message.full_name()) => return None,
            None => Kind::Struct(members(wanted, message, depth, open)),
        },
        Type::Int32
        | Type::Int64
        | Type::Uint32
        | Type::Uint64
        | Type::Sint32
        | Type::Sint64
        | Type::Fixed32
        | Type::Fixed64
        | Type::Sfixed32
        | Type::Sfixed64 => Kind::Long,
    })
}

/// Messages that come with Protobuf and mean more than their fields.
enum Known {
    Timestamp,
    /// A value that may be absent, in its only field.
    Wrapper(FieldDescriptor),
    /// Something of any shape.
    Free,
}

impl Known {
    fn of(message: &MessageDescriptor) -> Option<Self> {
        let name = message.full_name().strip_prefix("google.protobuf.")?;
        match name {
            "Timestamp" => Some(Self::Timestamp),
            "Any" | "Struct" | "Value" | "ListValue" => Some(Self::Free),
            _ if name.ends_with("Value") => message.get_field_by_name("value").map(Self::Wrapper),
            _ => None,
        }
    }
}

/// A message's fields. Those that are not set are null where that can be told, else they have their default.
fn object(message: &DynamicMessage) -> Map<String, Value> {
    let of = message.descriptor();
    let fields = of.fields().map(|field| {
        let is_absent = field.supports_presence() && !message.has_field(&field);
        let read = || value(&field.kind(), &message.get_field(&field));
        (field.name().to_owned(), if is_absent { Value::Null } else { read() })
    });
    fields.collect()
}

/// A value as JSON has it. Times become text, bytes base64, and what no column can hold null.
fn value(of: &Type, field: &Field) -> Value {
    match (of, field) {
        (_, Field::Bool(value)) => Value::from(*value),
        (_, Field::I32(value)) => Value::from(*value),
        (_, Field::I64(value)) => Value::from(*value),
        (_, Field::U32(value)) => Value::from(*value),
        (_, Field::U64(value)) => Value::from(*value),
        (_, Field::F32(value)) => number((*value).into()),
        (_, Field::F64(value)) => number(*value),
        (_, Field::String(value)) => Value::from(value.as_str()),
        (_, Field::Bytes(value)) => Value::from(BASE64_STANDARD.encode(value)),
        (Type::Enum(of), Field::EnumNumber(number)) => match of.get_value(*number) {
            Some(value) => Value::from(value.name()),
            None => Value::from(number.to_string()),
        },
        (of, Field::List(values)) => values.iter().map(|value| self::value(of, value)).collect(),
        (Type::Message(pair), Field::Map(values)) => {
            let of = pair.map_entry_value_field().kind();
            let sorted: BTreeMap<_, _> = values.iter().collect();
            sorted.into_iter().map(|(key, value)| entry(map_key(key), self::value(&of, value))).collect()
        }
        (Type::Message(of), Field::Message(message)) => match Known::of(of) {
            Some(Known::Timestamp) => timestamp(message).unwrap_or(Value::Null),
            Some(Known::Wrapper(field)) => value(&field.kind(), &message.get_field(&field)),
            Some(Known::Free) => Value::Null,
            None => Value::Object(object(message)),
        },
        _ => Value::Null,
    }
}

fn map_key(key: &MapKey) -> Value {
    match key {
        MapKey::Bool(key) => Value::from(*key),
        MapKey::I32(key) => Value::from(*key),
        MapKey::I64(key) => Value::from(*key),
        MapKey::U32(key) => Value::from(*key),
        MapKey::U64(key) => Value::from(*key),
        MapKey::String(key) => Value::from(key.as_str()),
    }
}

fn timestamp(message: &DynamicMessage) -> Option<Value> {
    let seconds = message.get_field_by_name("seconds")?.as_i64()?;
    let nanos = u32::try_from(message.get_field_by_name("nanos")?.as_i32()?).ok()?;
    let time = DateTime::from_timestamp(seconds, nanos)?;
    Some(Value::from(time.to_rfc3339_opts(SecondsFormat::Micros, true)))
}
