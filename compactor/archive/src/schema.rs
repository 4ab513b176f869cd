//! The columns of an archive file and what its footer says of where it belongs. Knows nothing of how rows are written.

use std::{str::FromStr, sync::Arc};

use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use ebb_protocol::ids::{ArchiveId, ClusterId, TopicId};
use parquet::{arrow::PARQUET_FIELD_ID_META_KEY, file::metadata::KeyValue};

/// The version of the layout that this code writes, and the newest that it reads.
pub const VERSION: u8 = 1;

const KEY_VERSION: &str = "ebbtide.archive.version";
const KEY_CLUSTER: &str = "ebbtide.cluster";
const KEY_TOPIC: &str = "ebbtide.topic";
const KEY_OBJECT: &str = "ebbtide.object";
pub(crate) const KEY_CHECKSUMS: &str = "ebbtide.checksums";

/// Microseconds in one of Kafka's milliseconds.
pub(crate) const MICROS: i64 = 1_000;

/// A column of an archive file that a reader wants, by its place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Column {
    Partition,
    Offset,
    Timestamp,
    Key,
    Value,
    Headers,
    BatchBaseOffset,
    LeaderEpoch,
    Attributes,
    ProducerId,
    ProducerEpoch,
    BaseSequence,
    /// Behind `value_error`, which is for analysts alone.
    RawBatch = 13,
}

impl Column {
    /// Its place among the columns of the first level.
    pub(crate) fn root(self) -> usize {
        self as usize
    }

    /// Its place among the columns that hold values: the headers are two of those.
    pub(crate) fn leaf(self) -> usize {
        self.root() + usize::from(self.root() > Self::Headers.root())
    }
}

/// As what a topic's values are shown to analysts. Chosen when the topic's table begins: a table cannot change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueType {
    /// Bytes.
    #[default]
    Binary,
    /// Text; a batch with a value that is not UTF-8 is kept whole beside its rows, whose value is null.
    String,
}

/// Where an archive file belongs. Written into its footer, so that a file says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The topic whose records it holds.
    pub topic: TopicId,
    /// The object's own id.
    pub object: ArchiveId,
}

impl Identity {
    pub(crate) fn key_values(&self) -> Vec<KeyValue> {
        [
            (KEY_VERSION, VERSION.to_string()),
            (KEY_CLUSTER, self.cluster.to_string()),
            (KEY_TOPIC, self.topic.to_string()),
            (KEY_OBJECT, self.object.to_string()),
        ]
        .into_iter()
        .map(|(key, value)| KeyValue::new(key.to_owned(), value))
        .collect()
    }

    /// Reads version and identity; `None` when a key is missing or no id.
    pub(crate) fn read(pairs: &[KeyValue]) -> Option<(u8, Self)> {
        fn parse<T: FromStr>(pairs: &[KeyValue], key: &str) -> Option<T> {
            find(pairs, key)?.parse().ok()
        }
        let identity = Self {
            cluster: parse(pairs, KEY_CLUSTER)?,
            topic: TopicId(parse(pairs, KEY_TOPIC)?),
            object: parse(pairs, KEY_OBJECT)?,
        };
        Some((parse(pairs, KEY_VERSION)?, identity))
    }
}

/// The value of a key in a file's footer.
pub(crate) fn find<'a>(pairs: &'a [KeyValue], key: &str) -> Option<&'a str> {
    pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
}

pub(crate) fn field(id: u32, name: &str, kind: DataType, nullable: bool) -> Field {
    let id = (PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string());
    Field::new(name, kind, nullable).with_metadata([id])
}

/// The fields of a header, KIP-82.
pub(crate) fn header_fields() -> Fields {
    Fields::from(vec![field(17, "key", DataType::Utf8, false), field(18, "value", DataType::Binary, true)])
}

/// The element of the list of headers.
pub(crate) fn header_field() -> FieldRef {
    Arc::new(field(16, "element", DataType::Struct(header_fields()), false))
}

/// The type of the column `timestamp`.
pub(crate) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// How many columns that hold values every file has. Those of `v` lie behind them.
pub(crate) const LEAVES: usize = 15;

/// All columns, in their order; the typed ones last, so that consumers' lie together.
pub(crate) fn schema(value: ValueType, typed: Option<&FieldRef>) -> SchemaRef {
    use DataType::{Binary, Int32, Int64, List, Utf8};
    let value = match value {
        ValueType::Binary => Binary,
        ValueType::String => Utf8,
    };
    let columns = vec![
        field(1, "partition", Int32, false),
        field(2, "offset", Int64, false),
        field(3, "timestamp", timestamp_type(), true),
        field(4, "key", Binary, true),
        field(5, "value", value, true),
        field(6, "headers", List(header_field()), false),
        field(7, "batch_base_offset", Int64, false),
        field(8, "leader_epoch", Int32, false),
        field(9, "attributes", Int32, false),
        field(10, "producer_id", Int64, false),
        field(11, "producer_epoch", Int32, false),
        field(12, "base_sequence", Int32, false),
        field(14, "value_error", Utf8, true),
        field(15, "raw_batch", Binary, true),
    ];
    Arc::new(Schema::new(columns.into_iter().map(Arc::new).chain(typed.cloned()).collect::<Fields>()))
}
