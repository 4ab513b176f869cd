//! Batches made from batches: what a broker or a producer may change in a sound batch.
//! Everything but the position lies under the checksum, so those copy the batch and sum it up again.

use bytes::BytesMut;

use super::{
    Compression, CompressionError, RecordBatch,
    layout::{
        ATTRIBUTES, BASE_OFFSET, BASE_SEQUENCE, BATCH_LENGTH, COMPRESSION_MASK, HEADER_BYTES, LEADER_EPOCH,
        LENGTH_END, LOG_APPEND_TIME, MAX_TIMESTAMP, PRODUCER_EPOCH, PRODUCER_ID, put, put_checksum,
    },
};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

impl RecordBatch {
    /// The batch with the broker's time in place of its records' (`message.timestamp.type=LogAppendTime`). Both
    /// fields lie inside the checksum, so this copies the batch and sums it up again.
    #[must_use]
    pub fn with_log_append_time(&self, now: Timestamp) -> Self {
        let mut bytes = BytesMut::from(&**self.bytes());
        put(&mut bytes, ATTRIBUTES, (self.attributes() | LOG_APPEND_TIME).to_be_bytes());
        put(&mut bytes, MAX_TIMESTAMP, now.0.to_be_bytes());
        put_checksum(&mut bytes);
        Self::from_sound(bytes.freeze())
    }

    /// The batch at its place in a partition.
    #[must_use]
    pub fn at(&self, base: Offset, epoch: LeaderEpoch) -> Self {
        let mut bytes = BytesMut::from(&**self.bytes());
        Self::set_position(&mut bytes, base, epoch);
        Self::from_sound(bytes.freeze())
    }

    /// Writes base offset and leader epoch into a batch's first bytes. Both lie outside the CRC.
    ///
    /// # Panics
    /// When `batch` is shorter than 16 bytes: callers pass whole batches.
    pub fn set_position(batch: &mut [u8], base: Offset, epoch: LeaderEpoch) {
        put(batch, BASE_OFFSET, base.0.to_be_bytes());
        put(batch, LEADER_EPOCH, epoch.0.to_be_bytes());
    }

    /// The batch with other producer fields: what a producer does when it was given a new epoch before a retry.
    #[must_use]
    pub fn with_producer(&self, id: ProducerId, epoch: ProducerEpoch, base: Sequence) -> Self {
        let mut bytes = BytesMut::from(&**self.bytes());
        put(&mut bytes, PRODUCER_ID, id.0.to_be_bytes());
        put(&mut bytes, PRODUCER_EPOCH, epoch.0.to_be_bytes());
        put(&mut bytes, BASE_SEQUENCE, base.0.to_be_bytes());
        put_checksum(&mut bytes);
        Self::from_sound(bytes.freeze())
    }

    /// The batch with its records compressed by another codec (a topic's `compression.type`). They may decompress to
    /// at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`CompressionError`] when they do not decompress, or to more.
    pub fn with_compression(
        &self,
        compression: Compression,
        bytes_max: usize,
    ) -> Result<Self, CompressionError> {
        if compression == self.compression() {
            return Ok(self.clone());
        }
        let records = self.compression().decompress(&self.records(), bytes_max)?;
        let mut batch = Vec::with_capacity(HEADER_BYTES + records.len());
        batch.extend_from_slice(self.bytes().get(..HEADER_BYTES).unwrap_or_default());
        compression.compress(&records, &mut batch)?;
        let too_large = CompressionError::TooLarge { compression, limit: i32::MAX as usize };
        let length = i32::try_from(batch.len() - LENGTH_END).map_err(|_| too_large)?;
        let attributes = self.attributes() & !COMPRESSION_MASK | i16::from(compression.id());
        put(&mut batch, BATCH_LENGTH, length.to_be_bytes());
        put(&mut batch, ATTRIBUTES, attributes.to_be_bytes());
        put_checksum(&mut batch);
        Ok(Self::from_sound(batch.into()))
    }
}
