//! The batch builder: appends records into one buffer and finishes them into a compressed batch.
//! Knows the layout of batches and records, nothing of partitions and connections.

use bytes::Bytes;

use super::{
    Compression, CompressionError, Header, RecordBatch,
    layout::{
        ATTRIBUTES, BASE_OFFSET, BASE_SEQUENCE, BASE_TIMESTAMP, BATCH_LENGTH, HEADER_BYTES,
        LAST_OFFSET_DELTA, LEADER_EPOCH, LENGTH_END, MAGIC, MAX_TIMESTAMP, PRODUCER_EPOCH, PRODUCER_ID,
        RECORD_COUNT, put, put_checksum,
    },
    record::{Deltas, HEADER_OVERHEAD_BYTES_MAX, RECORD_OVERHEAD_BYTES_MAX, put_record},
};
use crate::{
    frame::FRAME_BYTES_MAX,
    ids::{ProducerEpoch, ProducerId, Sequence, Timestamp},
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
    /// The codec failed.
    #[error("{0}")]
    Compression(#[from] CompressionError),
}

/// Collects records into a batch.
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    /// The batch so far, uncompressed, with room for its header in front. Empty without records.
    buffer: Vec<u8>,
    count: i32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl BatchBuilder {
    /// A builder whose buffer holds `bytes` before it grows.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { buffer: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Appends a record.
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
        let bytes = self.bytes().saturating_add(Self::record_bytes_max(key, value, headers));
        if bytes > FRAME_BYTES_MAX {
            return Err(BuildError::TooLarge { bytes });
        }
        if self.count == 0 {
            self.buffer.resize(HEADER_BYTES, 0);
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let deltas =
            Deltas { timestamp: timestamp.0.saturating_sub(self.base_timestamp.0), offset: self.count };
        put_record(&mut self.buffer, deltas, key, value, headers);
        // A record takes seven bytes, so a batch that fits a frame cannot count past an i32.
        self.count += 1;
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
        let Some((header, records)) = self.buffer.split_at_checked(HEADER_BYTES) else {
            return Err(BuildError::Empty);
        };
        let mut batch = if compression == Compression::None {
            std::mem::take(&mut self.buffer)
        } else {
            let mut batch = Vec::with_capacity(HEADER_BYTES + records.len() / 2);
            batch.extend_from_slice(header);
            compression.compress(records, &mut batch)?;
            // The buffer is kept for the next batch, but not at the size of one that was out of the ordinary.
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_KEPT_BYTES_MAX);
            batch
        };
        self.put_header(&mut batch, compression, producer);
        self.count = 0;
        Ok(RecordBatch::from_sound(batch.into()))
    }

    fn put_header(
        &self,
        batch: &mut [u8],
        compression: Compression,
        producer: Option<(ProducerId, ProducerEpoch, Sequence)>,
    ) {
        let length = i32::try_from(batch.len() - LENGTH_END)
            .expect("a batch fits a frame, and codecs add little to what they cannot compress");
        let (id, epoch, sequence) = producer.unwrap_or((ProducerId(-1), ProducerEpoch(-1), Sequence(-1)));
        put(batch, BASE_OFFSET, 0_i64.to_be_bytes());
        put(batch, BATCH_LENGTH, length.to_be_bytes());
        put(batch, LEADER_EPOCH, (-1_i32).to_be_bytes());
        put(batch, MAGIC, [2]);
        put(batch, ATTRIBUTES, i16::from(compression.id()).to_be_bytes());
        put(batch, LAST_OFFSET_DELTA, (self.count - 1).to_be_bytes());
        put(batch, BASE_TIMESTAMP, self.base_timestamp.0.to_be_bytes());
        put(batch, MAX_TIMESTAMP, self.max_timestamp.0.to_be_bytes());
        put(batch, PRODUCER_ID, id.0.to_be_bytes());
        put(batch, PRODUCER_EPOCH, epoch.0.to_be_bytes());
        put(batch, BASE_SEQUENCE, sequence.0.to_be_bytes());
        put(batch, RECORD_COUNT, self.count.to_be_bytes());
        put_checksum(batch);
    }
}
