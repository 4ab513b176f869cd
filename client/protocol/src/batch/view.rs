//! The record batch view: validates a batch's frame and header without decompressing its records.
//! Layout: Kafka's record batch version 2 (KIP-98).

use bytes::Bytes;

use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// A whole, validated record batch as the producer sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch {
    bytes: Bytes,
}

/// Why bytes are no record batch that may be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Shorter than its header or than the length it states.
    #[error("record batch is truncated: {have} bytes of {need}")]
    Truncated {
        /// Bytes that are there.
        have: usize,
        /// Bytes that are needed.
        need: usize,
    },
}

impl RecordBatch {
    /// Validates one batch that fills `bytes` exactly.
    ///
    /// # Errors
    /// [`BatchError`] names what is wrong.
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        todo!("{}", bytes.len())
    }

    /// The batch's bytes, header included.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many records the batch holds: last offset delta + 1.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        todo!()
    }

    /// The largest timestamp of its records.
    #[must_use]
    pub fn max_timestamp(&self) -> Timestamp {
        todo!()
    }

    /// Producer id, epoch and base sequence, when the producer is idempotent.
    #[must_use]
    pub fn producer(&self) -> Option<(ProducerId, ProducerEpoch, Sequence)> {
        todo!()
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        todo!()
    }

    /// Writes base offset and leader epoch into a batch's first bytes. Both lie outside the CRC.
    ///
    /// # Panics
    /// When `batch` is shorter than 16 bytes: callers pass whole batches.
    pub fn set_position(batch: &mut [u8], base: Offset, epoch: LeaderEpoch) {
        todo!("{} {base} {epoch}", batch.len())
    }
}
