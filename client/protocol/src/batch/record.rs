//! Records: how one is written into a batch's buffer and read out of it without copying.
//! Layout: Kafka's record version 2 (KIP-98, headers of KIP-82). Lengths and deltas are zigzag varints.
//!
//! ```text
//! length | attributes i8 = 0 | timestamp delta | offset delta | key length or -1, key | value length or -1, value
//!        | header count | key length, key | value length or -1, value | ...
//! ```

use bytes::Bytes;

use super::{CompressionError, RecordBatch, TimestampType};
use crate::{
    ids::{Offset, Timestamp},
    wire::{Reader, WireError, put_varint, varint_len},
};

/// What a record takes in a batch beside its key, value and headers, at most, in bytes.
pub const RECORD_OVERHEAD_BYTES_MAX: usize = 36;
/// What a header takes beside its key and value, at most, in bytes.
pub const HEADER_OVERHEAD_BYTES_MAX: usize = 10;

/// A record as a consumer gets it. Its bytes are shared with the batch it came in, or borrowed (`Record<&[u8]>`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<B = Bytes> {
    /// Its place in the partition.
    pub offset: Offset,
    /// The producer's or the broker's time, as the batch's timestamp type says.
    pub timestamp: Timestamp,
    /// The key; none is not the same as an empty one.
    pub key: Option<B>,
    /// The value; none marks the key as deleted on a compacted topic.
    pub value: Option<B>,
    /// The headers, in the order in which the producer put them.
    pub headers: Vec<Header<B>>,
}

/// A header of a record. Keys may repeat, and are bytes: Kafka means them to be UTF-8 and does not check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<B = Bytes> {
    /// The key.
    pub key: B,
    /// The value.
    pub value: Option<B>,
}

/// Why the records of a batch cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The records do not decompress.
    #[error("{0}")]
    Compression(#[from] CompressionError),
    /// A record is malformed.
    #[error("record {index} of the batch is malformed: {reason}")]
    Malformed {
        /// The record's place in the batch, counted from 0.
        index: i32,
        /// What is wrong with it.
        reason: WireError,
    },
    /// A record does not end where its length says.
    #[error("record {index} of the batch has {left} bytes too many")]
    Overlong {
        /// The record's place in the batch, counted from 0.
        index: i32,
        /// Bytes after its last field.
        left: usize,
    },
    /// The offset delta goes back or lies outside the batch.
    #[error("record {index} of the batch has an impossible offset delta of {delta}")]
    OffsetDelta {
        /// The record's place in the batch, counted from 0.
        index: i32,
        /// Its offset delta.
        delta: i32,
    },
    /// More bytes follow than the batch has records.
    #[error("{0} bytes follow the last record of the batch")]
    TrailingBytes(usize),
}

/// A record's deltas to its batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deltas {
    pub(super) timestamp: i64,
    pub(super) offset: i32,
}

/// Appends a record to a batch's buffer.
pub(super) fn put_record(
    out: &mut Vec<u8>,
    deltas: Deltas,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[Header],
) {
    put_len(out, body_len(deltas, key, value, headers));
    out.push(0);
    put_varint(out, deltas.timestamp);
    put_varint(out, deltas.offset.into());
    put_nullable(out, key);
    put_nullable(out, value);
    put_len(out, headers.len());
    for header in headers {
        put_nullable(out, Some(&header.key));
        put_nullable(out, header.value.as_deref());
    }
}

fn body_len(deltas: Deltas, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]) -> usize {
    let fields = 1 + varint_len(deltas.timestamp) + varint_len(deltas.offset.into());
    let header_len =
        |header: &Header| nullable_len(Some(&header.key)) + nullable_len(header.value.as_deref());
    let headers_len = headers.iter().map(header_len).sum::<usize>();
    fields + nullable_len(key) + nullable_len(value) + len_len(headers.len()) + headers_len
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| len_len(bytes.len()) + bytes.len())
}

fn len_len(len: usize) -> usize {
    varint_len(i64::try_from(len).unwrap_or(i64::MAX))
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    put_varint(out, i64::try_from(len).unwrap_or(i64::MAX));
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_len(out, bytes.len());
            out.extend_from_slice(bytes);
        }
    }
}

/// The records of a batch, in order. Ends after the first error. Keys and values share the decompressed buffer.
#[derive(Clone, Debug)]
pub struct Records {
    batch: RecordBatch,
    buffer: Bytes,
    cursor: Cursor,
}

/// The records of a batch, in order, as [`Records`] gives them, without a share in the buffer for each key and value.
#[derive(Clone, Debug)]
pub struct BorrowedRecords<'a> {
    batch: &'a RecordBatch,
    buffer: &'a [u8],
    cursor: Cursor,
}

impl RecordBatch {
    /// Its records, decompressed to at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`RecordError::Compression`]; the iterator's items are the other errors.
    pub fn decode(&self, bytes_max: usize) -> Result<Records, RecordError> {
        let buffer = self.compression().decompress(&self.records(), bytes_max)?;
        Ok(Records { batch: self.clone(), buffer, cursor: Cursor::default() })
    }
}

impl Records {
    /// The records that are left, for as long as this is kept.
    #[must_use]
    pub fn borrowed(&self) -> BorrowedRecords<'_> {
        BorrowedRecords { batch: &self.batch, buffer: &self.buffer, cursor: self.cursor }
    }
}

impl Iterator for Records {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.cursor.next(&self.batch, &self.buffer)?;
        Some(record.map(|record| record.shared(&self.buffer)))
    }
}

impl<'a> Iterator for BorrowedRecords<'a> {
    type Item = Result<Record<&'a [u8]>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.next(self.batch, self.buffer)
    }
}

impl Record<&[u8]> {
    /// The same with a share in the buffer that it lies in.
    fn shared(self, buffer: &Bytes) -> Record {
        let share = |bytes| buffer.slice_ref(bytes);
        let headers = self.headers.into_iter();
        let headers = headers.map(|header| Header { key: share(header.key), value: header.value.map(share) });
        Record {
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.map(share),
            value: self.value.map(share),
            headers: headers.collect(),
        }
    }
}

/// How far the records of a batch are read.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    position: usize,
    index: i32,
    last_delta: i32,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { position: 0, index: 0, last_delta: -1 }
    }
}

impl Cursor {
    /// The next record of a batch that decompresses to `buffer`.
    fn next<'a>(
        &mut self,
        batch: &RecordBatch,
        buffer: &'a [u8],
    ) -> Option<Result<Record<&'a [u8]>, RecordError>> {
        if self.index < batch.record_count() {
            let record = self.read(batch, buffer);
            self.index = if record.is_ok() { self.index + 1 } else { i32::MAX };
            return Some(record);
        }
        let left = buffer.len() - self.position;
        if self.index == i32::MAX || left == 0 {
            return None;
        }
        self.index = i32::MAX;
        Some(Err(RecordError::TrailingBytes(left)))
    }

    fn read<'a>(&mut self, batch: &RecordBatch, buffer: &'a [u8]) -> Result<Record<&'a [u8]>, RecordError> {
        let index = self.index;
        let malformed = |reason| RecordError::Malformed { index, reason };
        let mut reader = Reader::new(buffer.get(self.position..).unwrap_or_default());
        let len = length(reader.varint().map_err(malformed)?).map_err(malformed)?;
        let mut body = Reader::new(reader.take(len).map_err(malformed)?);
        let (record, delta) = read_body(batch, &mut body).map_err(malformed)?;
        if body.left() > 0 {
            return Err(RecordError::Overlong { index, left: body.left() });
        }
        if delta <= self.last_delta || delta > batch.last_offset_delta() {
            return Err(RecordError::OffsetDelta { index, delta });
        }
        self.position = buffer.len() - reader.left();
        self.last_delta = delta;
        Ok(record)
    }
}

fn read_body<'a>(batch: &RecordBatch, reader: &mut Reader<'a>) -> Result<(Record<&'a [u8]>, i32), WireError> {
    reader.u8()?;
    let timestamp_delta = reader.varlong()?;
    let delta = reader.varint()?;
    let key = nullable(reader)?;
    let value = nullable(reader)?;
    let timestamp = match batch.timestamp_type() {
        TimestampType::CreateTime => Timestamp(batch.base_timestamp().0.saturating_add(timestamp_delta)),
        TimestampType::LogAppendTime => batch.max_timestamp(),
    };
    let mut headers = Vec::new();
    for _ in 0..length(reader.varint()?)? {
        let key = length(reader.varint()?)?;
        headers.push(Header { key: reader.take(key)?, value: nullable(reader)? });
    }
    let offset = batch.base_offset().plus(delta.into());
    Ok((Record { offset, timestamp, key, value, headers }, delta))
}

fn nullable<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, WireError> {
    match reader.varint()? {
        -1 => Ok(None),
        len => Ok(Some(reader.take(length(len)?)?)),
    }
}

fn length(len: i32) -> Result<usize, WireError> {
    usize::try_from(len).map_err(|_| WireError::NegativeLength(len.into()))
}
