//! The batch builder: appends records into one buffer and finishes them into a compressed batch.
//! Knows the layout of batches and records, nothing of partitions and connections.

use bytes::Bytes;

use super::{
    Compression, CompressionError, Header, RecordBatch, TimestampType,
    layout::{
        ATTRIBUTES, BASE_SEQUENCE, BASE_TIMESTAMP, BATCH_LENGTH, COMPRESSION_MASK, HEADER_BYTES,
        LAST_OFFSET_DELTA, LENGTH_END, LOG_APPEND_TIME, MAGIC, MAX_TIMESTAMP, PRODUCER_EPOCH, PRODUCER_ID,
        RECORD_COUNT, put, put_checksum,
    },
    record::{Deltas, HEADER_OVERHEAD_BYTES_MAX, RECORD_OVERHEAD_BYTES_MAX, put_record},
};
use crate::{
    frame::FRAME_BYTES_MAX,
    ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp},
};

/// A builder keeps at most this much of its buffer from one batch to the next, in bytes.
const BUFFER_KEPT_BYTES_MAX: usize = 4 << 20;

/// Why a record cannot join a batch, or a batch cannot be finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The batch would be larger than any frame.
    #[error("a batch of {bytes} bytes is larger than {FRAME_BYTES_MAX}; send smaller records")]
    TooLarge {
        /// What the batch might have come to, in bytes before compression.
        bytes: usize,
    },
    /// There is no record in it.
    #[error("a batch without records cannot be sent")]
    Empty,
    /// The record's offset does not lie behind that of the record before.
    #[error("a record at offset delta {delta} cannot follow in a batch whose next delta is {next}")]
    OffsetDelta {
        /// The record's offset delta.
        delta: i32,
        /// The least that it could have been.
        next: i32,
    },
    /// The codec failed.
    #[error("{0}")]
    Compression(#[from] CompressionError),
}

/// What a batch says beside its records: what has to be kept of it to make it anew ([`BatchBuilder::finish_as`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset from which its records' deltas count.
    pub base_offset: Offset,
    /// The leader epoch that was filled in last.
    pub leader_epoch: LeaderEpoch,
    /// The attributes as they are on the wire, the codec's bits with them.
    pub attributes: i16,
    /// The producer's id, or -1.
    pub producer_id: ProducerId,
    /// The producer's epoch, or -1.
    pub producer_epoch: ProducerEpoch,
    /// The sequence of the first record, or -1.
    pub base_sequence: Sequence,
}

impl BatchHeader {
    /// Whose clock the batch's timestamps come from.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }
}

/// Collects records into a batch.
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    /// The batch so far, uncompressed, with room for its header in front. Empty without records.
    buffer: Vec<u8>,
    /// What room the next batch is given at once, in bytes: that of the last one whose buffer went with it.
    room: usize,
    count: i32,
    /// The offset delta that the next record has at least.
    next_delta: i32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl BatchBuilder {
    /// A builder whose buffer holds `bytes` before it grows.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { buffer: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Appends a record behind the last one.
    ///
    /// # Errors
    /// [`BuildError::TooLarge`]; the batch stays as it was.
    pub fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<(), BuildError> {
        self.append_at(self.next_delta, timestamp, key, value, headers)
    }

    /// Appends a record whose offset lies `delta` behind the batch's base offset: records between it and the last one
    /// were taken away, by compaction for example.
    ///
    /// # Errors
    /// [`BuildError::TooLarge`] and [`BuildError::OffsetDelta`]; the batch stays as it was.
    pub fn append_at(
        &mut self,
        delta: i32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<(), BuildError> {
        let next_delta = delta.checked_add(1).filter(|_| delta >= self.next_delta);
        let next_delta = next_delta.ok_or(BuildError::OffsetDelta { delta, next: self.next_delta })?;
        let bytes = self.bytes().saturating_add(Self::record_bytes_max(key, value, headers));
        if bytes > FRAME_BYTES_MAX {
            return Err(BuildError::TooLarge { bytes });
        }
        if self.count == 0 {
            self.buffer.reserve(self.room);
            self.buffer.resize(HEADER_BYTES, 0);
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let deltas = Deltas { timestamp: timestamp.0.saturating_sub(self.base_timestamp.0), offset: delta };
        put_record(&mut self.buffer, deltas, key, value, headers);
        // A record takes seven bytes, so a batch that fits a frame cannot count past an i32.
        self.count += 1;
        self.next_delta = next_delta;
        Ok(())
    }

    /// What a record takes in a batch at most, in bytes before compression.
    #[must_use]
    pub fn record_bytes_max(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]) -> usize {
        let header_bytes = |header: &Header| {
            HEADER_OVERHEAD_BYTES_MAX + header.key.len() + header.value.as_ref().map_or(0, Bytes::len)
        };
        RECORD_OVERHEAD_BYTES_MAX
            + key.map_or(0, <[u8]>::len)
            + value.map_or(0, <[u8]>::len)
            + headers.iter().map(header_bytes).sum::<usize>()
    }

    /// The size of the batch so far, in bytes before compression.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len().max(HEADER_BYTES)
    }

    /// How many records it holds.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Ends the batch and begins an empty one. `producer` is there for idempotent producers: id, epoch and the
    /// sequence of the first record. After an error the records are still there.
    ///
    /// # Errors
    /// [`BuildError::Empty`], or [`BuildError::Compression`] if the codec fails.
    pub fn finish(
        &mut self,
        compression: Compression,
        producer: Option<(ProducerId, ProducerEpoch, Sequence)>,
    ) -> Result<RecordBatch, BuildError> {
        let (producer_id, producer_epoch, base_sequence) =
            producer.unwrap_or((ProducerId(-1), ProducerEpoch(-1), Sequence(-1)));
        self.end(
            compression,
            BatchHeader {
                base_offset: Offset(0),
                leader_epoch: LeaderEpoch(-1),
                attributes: 0,
                producer_id,
                producer_epoch,
                base_sequence,
            },
        )
    }

    /// Ends the batch as an uncompressed one with the fields of `header`, and begins an empty one: how a batch is made
    /// anew from its records. After an error the records are still there.
    ///
    /// # Errors
    /// [`BuildError::Empty`].
    pub fn finish_as(&mut self, header: BatchHeader) -> Result<RecordBatch, BuildError> {
        self.end(Compression::None, header)
    }

    fn end(&mut self, compression: Compression, header: BatchHeader) -> Result<RecordBatch, BuildError> {
        let Some((head, records)) = self.buffer.split_at_checked(HEADER_BYTES) else {
            return Err(BuildError::Empty);
        };
        let mut batch = if compression == Compression::None {
            self.room = self.buffer.len().min(BUFFER_KEPT_BYTES_MAX);
            std::mem::take(&mut self.buffer)
        } else {
            let mut batch = Vec::with_capacity(HEADER_BYTES + records.len() / 2);
            batch.extend_from_slice(head);
            compression.compress(records, &mut batch)?;
            // The buffer is kept for the next batch, but not at the size of one that was out of the ordinary.
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_KEPT_BYTES_MAX);
            batch
        };
        self.put_header(&mut batch, compression, header);
        self.count = 0;
        self.next_delta = 0;
        Ok(RecordBatch::from_sound(batch.into()))
    }

    fn put_header(&self, batch: &mut [u8], compression: Compression, header: BatchHeader) {
        let length = i32::try_from(batch.len() - LENGTH_END)
            .expect("a batch fits a frame, and codecs add little to what they cannot compress");
        let attributes = header.attributes & !COMPRESSION_MASK | i16::from(compression.id());
        put(batch, BATCH_LENGTH, length.to_be_bytes());
        put(batch, MAGIC, [2]);
        put(batch, ATTRIBUTES, attributes.to_be_bytes());
        put(batch, LAST_OFFSET_DELTA, (self.next_delta - 1).to_be_bytes());
        put(batch, BASE_TIMESTAMP, self.base_timestamp.0.to_be_bytes());
        put(batch, MAX_TIMESTAMP, self.max_timestamp.0.to_be_bytes());
        put(batch, PRODUCER_ID, header.producer_id.0.to_be_bytes());
        put(batch, PRODUCER_EPOCH, header.producer_epoch.0.to_be_bytes());
        put(batch, BASE_SEQUENCE, header.base_sequence.0.to_be_bytes());
        put(batch, RECORD_COUNT, self.count.to_be_bytes());
        RecordBatch::set_position(batch, header.base_offset, header.leader_epoch);
        put_checksum(batch);
    }
}
