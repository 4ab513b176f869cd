//! Rows on their way into a file: record batches come in, columns go out. Knows nothing of files and row groups.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, RecordBatch as Columns, StringArray,
    builder::{
        BinaryBuilder, Int32Builder, Int64Builder, ListBuilder, StringBuilder, StructBuilder,
        TimestampMicrosecondBuilder,
    },
};
use arrow_schema::{ArrowError, SchemaRef};
use ebb_protocol::{
    batch::{BatchHeader, DECOMPRESSED_BYTES_MAX, Header, Record, RecordBatch},
    ids::{PartitionIndex, Timestamp},
};

use crate::{
    hash::Chain,
    schema::{self, MICROS, ValueType},
    typed::{Cells, Typed},
};

/// What a row takes beside its key, value and headers, roughly, in bytes.
const ROW_OVERHEAD_BYTES: usize = 64;
/// Keys, values and headers of a record that columns hold, in bytes. A batch that is made anew is not compressed, so a
/// larger record, which came in a small batch, might be more than a consumer takes; its batch is kept whole.
pub(crate) const RECORD_BYTES_MAX: usize = 8 << 20;

/// Room that is made for a column's next bytes at most.
const ROOM_BYTES_MAX: usize = 4 << 20;

/// Rows that wait to be written.
#[derive(Debug)]
pub(crate) struct Rows {
    schema: SchemaRef,
    value_type: ValueType,
    partition: Int32Builder,
    offset: Int64Builder,
    timestamp: TimestampMicrosecondBuilder,
    key: BinaryBuilder,
    value: BinaryBuilder,
    headers: ListBuilder<StructBuilder>,
    batch_base_offset: Int64Builder,
    leader_epoch: Int32Builder,
    attributes: Int32Builder,
    producer_id: Int64Builder,
    producer_epoch: Int32Builder,
    base_sequence: Int32Builder,
    value_error: StringBuilder,
    raw_batch: BinaryBuilder,
    typed: Option<Cells>,
    /// Values that have no typed columns because they do not fit.
    unfit: u64,
    /// What they take, roughly, in bytes.
    bytes: usize,
    len: usize,
}

impl Rows {
    pub(crate) fn new(value_type: ValueType, typed: Typed) -> Self {
        let typed = (!typed.columns.is_empty()).then(|| Cells::new(typed));
        let headers = StructBuilder::new(
            schema::header_fields(),
            vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())],
        );
        Self {
            schema: schema::schema(value_type, typed.as_ref().map(Cells::field)),
            value_type,
            partition: Int32Builder::new(),
            offset: Int64Builder::new(),
            timestamp: TimestampMicrosecondBuilder::new().with_data_type(schema::timestamp_type()),
            key: BinaryBuilder::new(),
            value: BinaryBuilder::new(),
            headers: ListBuilder::new(headers).with_field(schema::header_field()),
            batch_base_offset: Int64Builder::new(),
            leader_epoch: Int32Builder::new(),
            attributes: Int32Builder::new(),
            producer_id: Int64Builder::new(),
            producer_epoch: Int32Builder::new(),
            base_sequence: Int32Builder::new(),
            value_error: StringBuilder::new(),
            raw_batch: BinaryBuilder::new(),
            typed,
            unfit: 0,
            bytes: 0,
            len: 0,
        }
    }

    /// What the rows take, roughly, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Their columns.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// How many values did not fit into typed columns, of all that were pushed.
    pub(crate) fn unfit(&self) -> u64 {
        self.unfit
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends a batch's records, and adds what consumers will see of them to the chain. A batch that the columns
    /// cannot hold is kept whole beside its rows.
    pub(crate) fn push(&mut self, partition: PartitionIndex, batch: &RecordBatch, chain: &mut Chain) {
        let header = batch.header();
        let decoded = batch.decode(DECOMPRESSED_BYTES_MAX);
        let records = decoded
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|records| records.borrowed().collect::<Result<Vec<_>, _>>());
        match records {
            Ok(records) if records.iter().all(|record| self.holds(record)) => {
                for record in &records {
                    self.push_row(partition, &header, record, Beside::default());
                    chain.add_record(header.timestamp_type(), record);
                }
            }
            Ok(records) => {
                for (index, record) in records.iter().enumerate() {
                    let raw_batch = (index == 0).then(|| &**batch.bytes());
                    let bytes = bytes_of(record);
                    if bytes <= RECORD_BYTES_MAX {
                        self.push_row(partition, &header, record, Beside { raw_batch, error: None });
                        continue;
                    }
                    let bare = Record { key: None, value: None, headers: Vec::new(), ..*record };
                    let error = format!("a record of {bytes} bytes is too large for columns");
                    self.push_row(partition, &header, &bare, Beside { raw_batch, error: Some(&error) });
                }
                chain.add_raw(batch);
            }
            Err(error) => {
                let (offset, timestamp) = (batch.base_offset(), batch.max_timestamp());
                let record = Record { offset, timestamp, key: None, value: None, headers: Vec::new() };
                let error = format!("the record batch cannot be read: {error}");
                let beside = Beside { raw_batch: Some(batch.bytes()), error: Some(&error) };
                self.push_row(partition, &header, &record, beside);
                chain.add_raw(batch);
            }
        }
    }

    /// Whether the columns hold all that a consumer sees of a record.
    fn holds(&self, record: &Record<&[u8]>) -> bool {
        let value_fits = self.value_type == ValueType::Binary
            || record.value.is_none_or(|value| str::from_utf8(value).is_ok());
        value_fits
            && bytes_of(record) <= RECORD_BYTES_MAX
            && micros(record.timestamp).is_some()
            && record.headers.iter().all(|header| str::from_utf8(header.key).is_ok())
    }

    fn push_row(
        &mut self,
        partition: PartitionIndex,
        header: &BatchHeader,
        record: &Record<&[u8]>,
        beside: Beside<'_>,
    ) {
        self.partition.append_value(partition.0);
        self.offset.append_value(record.offset.0);
        self.timestamp.append_option(micros(record.timestamp));
        self.key.append_option(record.key);
        let value = record.value;
        let is_text = || value.is_none_or(|value| str::from_utf8(value).is_ok());
        self.value.append_option(value.filter(|_| self.value_type == ValueType::Binary || is_text()));
        self.push_headers(&record.headers);
        self.batch_base_offset.append_value(header.base_offset.0);
        self.leader_epoch.append_value(header.leader_epoch.0);
        self.attributes.append_value(header.attributes.into());
        self.producer_id.append_value(header.producer_id.0);
        self.producer_epoch.append_value(header.producer_epoch.0.into());
        self.base_sequence.append_value(header.base_sequence.0);
        let unfit = self.typed.as_mut().and_then(|typed| typed.push(record.value).err());
        self.unfit += u64::from(unfit.is_some());
        // What is wrong with the whole batch goes before.
        let error = beside.error.map(str::to_owned).or_else(|| unfit.map(|unfit| unfit.to_string()));
        self.value_error.append_option(error);
        self.raw_batch.append_option(beside.raw_batch);
        self.bytes += ROW_OVERHEAD_BYTES + bytes_of(record) + beside.raw_batch.map_or(0, <[u8]>::len);
        self.len += 1;
    }

    fn push_headers(&mut self, headers: &[Header<&[u8]>]) {
        let fields = self.headers.values();
        for header in headers {
            let keys: &mut StringBuilder = fields.field_builder(0).expect("the first field is the key's");
            keys.append_value(String::from_utf8_lossy(header.key));
            let values: &mut BinaryBuilder =
                fields.field_builder(1).expect("the second field is the value's");
            values.append_option(header.value);
            fields.append(true);
        }
        self.headers.append(true);
    }

    /// Takes the rows as columns, and leaves none.
    ///
    /// # Errors
    /// None that can be brought about by what was pushed: the columns are as long as each other and of their types.
    pub(crate) fn take(&mut self) -> Result<Columns, ArrowError> {
        let value = take_bytes(&mut self.value);
        let value: ArrayRef = match self.value_type {
            ValueType::Binary => Arc::new(value),
            ValueType::String => Arc::new(StringArray::try_from_binary(value)?),
        };
        (self.bytes, self.len) = (0, 0);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.partition.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(self.timestamp.finish()),
            Arc::new(take_bytes(&mut self.key)),
            value,
            Arc::new(self.headers.finish()),
            Arc::new(self.batch_base_offset.finish()),
            Arc::new(self.leader_epoch.finish()),
            Arc::new(self.attributes.finish()),
            Arc::new(self.producer_id.finish()),
            Arc::new(self.producer_epoch.finish()),
            Arc::new(self.base_sequence.finish()),
            Arc::new(self.value_error.finish()),
            Arc::new(self.raw_batch.finish()),
        ];
        columns.extend(self.typed.as_mut().map(Cells::take).transpose()?);
        Columns::try_new(self.schema.clone(), columns)
    }
}

/// What stands beside a row that is not a plain record's.
#[derive(Clone, Copy, Debug, Default)]
struct Beside<'a> {
    /// The whole batch, byte for byte.
    raw_batch: Option<&'a [u8]>,
    /// Why the batch's records cannot be read.
    error: Option<&'a str>,
}

/// Takes what was built, and makes room for about as much again: the next rows are much like these.
fn take_bytes(builder: &mut BinaryBuilder) -> BinaryArray {
    let taken = builder.finish();
    let (rows, bytes) = (taken.len(), taken.value_data().len().min(ROOM_BYTES_MAX));
    *builder = BinaryBuilder::with_capacity(rows + rows / 8, bytes + bytes / 8);
    taken
}

/// What a record's key, value and headers take, in bytes.
fn bytes_of(record: &Record<&[u8]>) -> usize {
    let header_bytes = |header: &Header<&[u8]>| header.key.len() + header.value.map_or(0, <[u8]>::len);
    record.key.map_or(0, <[u8]>::len)
        + record.value.map_or(0, <[u8]>::len)
        + record.headers.iter().map(header_bytes).sum::<usize>()
}

/// A timestamp in microseconds, if it has them.
fn micros(timestamp: Timestamp) -> Option<i64> {
    timestamp.0.checked_mul(MICROS)
}
