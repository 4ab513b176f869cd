//! Record batches from columns: what a writer took apart is put together again. Knows nothing of files and requests.

use std::collections::VecDeque;

use arrow_array::{
    Array, ArrayRef, BinaryArray, Int32Array, Int64Array, ListArray, RecordBatch as Columns, StringArray,
    StructArray, TimestampMicrosecondArray, cast::AsArray,
};
use bytes::Bytes;
use ebb_protocol::{
    batch::{BatchBuilder, BatchError, BatchHeader, BuildError, Header, RecordBatch},
    ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp},
};

use crate::schema::MICROS;

/// A batch that was larger before compression comes back in pieces of about this size, in bytes.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Why rows make no record batch.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A column is missing or of another type.
    #[error("column {0} is missing or of another type")]
    Column(&'static str),
    /// A row has no value where the layout demands one.
    #[error("the row at offset {0} is not whole")]
    Row(Offset),
    /// A batch that was kept whole is not sound.
    #[error("{0}")]
    Batch(#[from] BatchError),
    /// The records do not go into a batch.
    #[error("{0}")]
    Build(#[from] BuildError),
}

/// A batch that was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The batch.
    pub batch: RecordBatch,
    /// Whether it was kept byte for byte, because columns cannot hold it.
    pub kept_whole: bool,
}

/// Puts batches together from rows, which come in order.
#[derive(Debug)]
pub(crate) struct Rebuild {
    from: Offset,
    to: Offset,
    /// The offset behind the last record that was taken.
    next: Offset,
    builder: BatchBuilder,
    open: Option<Open>,
    /// Rows with this base offset belong to a batch that was given whole.
    given_whole: Option<Offset>,
    ready: VecDeque<Found>,
}

/// The batch that is being put together.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// As it was written.
    original: Offset,
    header: BatchHeader,
}

impl Rebuild {
    /// For rows from an offset up to another, which is not wanted any more.
    pub(crate) fn new(from: Offset, to: Offset) -> Self {
        Self {
            from,
            to,
            next: from,
            builder: BatchBuilder::default(),
            open: None,
            given_whole: None,
            ready: VecDeque::new(),
        }
    }

    /// The next batch that is whole.
    pub(crate) fn pop(&mut self) -> Option<Found> {
        self.ready.pop_front()
    }

    /// Takes rows.
    ///
    /// # Errors
    /// Any [`RebuildError`].
    pub(crate) fn push(&mut self, columns: &Columns) -> Result<(), RebuildError> {
        let rows = View::new(columns)?;
        let mut headers = Vec::new();
        for row in 0..rows.len {
            let header = rows.header(row);
            if self.given_whole == Some(header.base_offset) {
                continue;
            }
            if let Some(raw) = rows.raw(row) {
                self.end()?;
                self.given_whole = Some(header.base_offset);
                self.give_whole(raw)?;
                continue;
            }
            let offset = Offset(rows.offset.value(row));
            if offset < self.from || offset >= self.to {
                continue;
            }
            rows.headers(row, &mut headers).ok_or(RebuildError::Row(offset))?;
            let timestamp = rows.timestamp(row).ok_or(RebuildError::Row(offset))?;
            let open = self.open_for(header, offset)?;
            let delta = offset.0.wrapping_sub(open.header.base_offset.0);
            let delta = i32::try_from(delta).map_err(|_| RebuildError::Row(offset))?;
            self.builder.append_at(delta, timestamp, rows.key(row), rows.value(row), &headers)?;
            self.next = offset.plus(1);
        }
        Ok(())
    }

    /// Ends the batch that is being put together.
    ///
    /// # Errors
    /// [`RebuildError::Build`].
    pub(crate) fn end(&mut self) -> Result<(), RebuildError> {
        if let Some(open) = self.open.take() {
            let batch = self.builder.finish_as(open.header)?;
            self.ready.push_back(Found { batch, kept_whole: false });
        }
        Ok(())
    }

    /// The batch into which a row of another goes: the open one, or a new one that begins with the row.
    fn open_for(&mut self, header: BatchHeader, offset: Offset) -> Result<Open, RebuildError> {
        let original = header.base_offset;
        let goes_on = self.builder.bytes() < BATCH_BYTES_MAX;
        if let Some(open) = self.open.filter(|open| open.original == original && goes_on) {
            return Ok(open);
        }
        self.end()?;
        let begins = original.max(self.next).min(offset);
        let open = Open { original, header: header_at(header, begins) };
        self.open = Some(open);
        Ok(open)
    }

    fn give_whole(&mut self, raw: &[u8]) -> Result<(), RebuildError> {
        let mut bytes = Bytes::copy_from_slice(raw);
        let batch = RecordBatch::split_first(&mut bytes)?;
        if batch.last_offset() >= self.from && batch.base_offset() < self.to {
            self.ready.push_back(Found { batch, kept_whole: true });
        }
        Ok(())
    }
}

/// The header of a batch that begins later than the one which was written.
fn header_at(header: BatchHeader, base_offset: Offset) -> BatchHeader {
    let later = base_offset.0.wrapping_sub(header.base_offset.0);
    let base_sequence = match header.base_sequence {
        Sequence(sequence) if sequence >= 0 => header.base_sequence.plus(i32::try_from(later).unwrap_or(0)),
        none => none,
    };
    BatchHeader { base_offset, base_sequence, ..header }
}

/// Columns by their types.
struct View<'a> {
    len: usize,
    offset: &'a Int64Array,
    timestamp: &'a TimestampMicrosecondArray,
    key: &'a BinaryArray,
    value: Value<'a>,
    headers: &'a ListArray,
    header_key: &'a StringArray,
    header_value: &'a BinaryArray,
    batch_base_offset: &'a Int64Array,
    leader_epoch: &'a Int32Array,
    attributes: &'a Int32Array,
    producer_id: &'a Int64Array,
    producer_epoch: &'a Int32Array,
    base_sequence: &'a Int32Array,
    raw_batch: Option<&'a BinaryArray>,
}

enum Value<'a> {
    Binary(&'a BinaryArray),
    Text(&'a StringArray),
}

/// A column by its name, as the type that it has.
fn column<'a, T>(
    columns: &'a Columns,
    name: &'static str,
    cast: impl Fn(&'a ArrayRef) -> Option<&'a T>,
) -> Result<&'a T, RebuildError> {
    columns.column_by_name(name).and_then(cast).ok_or(RebuildError::Column(name))
}

impl<'a> View<'a> {
    fn new(columns: &'a Columns) -> Result<Self, RebuildError> {
        let i32s = |name| column(columns, name, |array| array.as_primitive_opt());
        let i64s = |name| column(columns, name, |array| array.as_primitive_opt());
        let headers: &ListArray = column(columns, "headers", |array| array.as_list_opt())?;
        let fields: &StructArray = headers.values().as_struct_opt().ok_or(RebuildError::Column("headers"))?;
        let field = |index| fields.columns().get(index).ok_or(RebuildError::Column("headers"));
        let value = columns.column_by_name("value").and_then(|array| {
            let binary = array.as_binary_opt().map(Value::Binary);
            binary.or_else(|| array.as_string_opt().map(Value::Text))
        });
        Ok(Self {
            len: columns.num_rows(),
            offset: i64s("offset")?,
            timestamp: column(columns, "timestamp", |array| array.as_primitive_opt())?,
            key: column(columns, "key", |array| array.as_binary_opt())?,
            value: value.ok_or(RebuildError::Column("value"))?,
            headers,
            header_key: field(0)?.as_string_opt().ok_or(RebuildError::Column("headers"))?,
            header_value: field(1)?.as_binary_opt().ok_or(RebuildError::Column("headers"))?,
            batch_base_offset: i64s("batch_base_offset")?,
            leader_epoch: i32s("leader_epoch")?,
            attributes: i32s("attributes")?,
            producer_id: i64s("producer_id")?,
            producer_epoch: i32s("producer_epoch")?,
            base_sequence: i32s("base_sequence")?,
            raw_batch: columns.column_by_name("raw_batch").and_then(|array| array.as_binary_opt()),
        })
    }

    fn header(&self, row: usize) -> BatchHeader {
        BatchHeader {
            base_offset: Offset(self.batch_base_offset.value(row)),
            leader_epoch: LeaderEpoch(self.leader_epoch.value(row)),
            attributes: i16::try_from(self.attributes.value(row)).unwrap_or_default(),
            producer_id: ProducerId(self.producer_id.value(row)),
            producer_epoch: ProducerEpoch(i16::try_from(self.producer_epoch.value(row)).unwrap_or(-1)),
            base_sequence: Sequence(self.base_sequence.value(row)),
        }
    }

    fn raw(&self, row: usize) -> Option<&'a [u8]> {
        self.raw_batch.filter(|raw| raw.is_valid(row)).map(|raw| raw.value(row))
    }

    fn timestamp(&self, row: usize) -> Option<Timestamp> {
        self.timestamp.is_valid(row).then(|| Timestamp(self.timestamp.value(row) / MICROS))
    }

    fn key(&self, row: usize) -> Option<&'a [u8]> {
        self.key.is_valid(row).then(|| self.key.value(row))
    }

    fn value(&self, row: usize) -> Option<&'a [u8]> {
        match &self.value {
            Value::Binary(values) => values.is_valid(row).then(|| values.value(row)),
            Value::Text(values) => values.is_valid(row).then(|| values.value(row).as_bytes()),
        }
    }

    /// Puts the row's headers in place of those of the row before.
    fn headers(&self, row: usize, headers: &mut Vec<Header>) -> Option<()> {
        headers.clear();
        let [start, end] = self.headers.value_offsets().get(row..)?.first_chunk().copied()?;
        for index in usize::try_from(start).ok()?..usize::try_from(end).ok()? {
            let value = self.header_value.is_valid(index).then(|| self.header_value.value(index));
            headers.push(Header {
                key: Bytes::copy_from_slice(self.header_key.value(index).as_bytes()),
                value: value.map(Bytes::copy_from_slice),
            });
        }
        Some(())
    }
}
