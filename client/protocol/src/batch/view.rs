//! The record batch view: validates a batch's frame and header without decompressing its records.
//! Knows the header's fields, nothing of what the records say.

use crate::planted::{Bug, is_planted};
use bytes::Bytes;

use super::{
    BatchError, BatchHeader, Compression,
    layout::{
        ATTRIBUTES, BASE_OFFSET, BASE_SEQUENCE, BASE_TIMESTAMP, BATCH_LENGTH, CHECKED_FROM, COMPRESSION_MASK,
        CONTROL, CRC, HEADER_BYTES, LAST_OFFSET_DELTA, LEADER_EPOCH, LENGTH_END, LOG_APPEND_TIME, MAGIC,
        MAX_TIMESTAMP, PRODUCER_EPOCH, PRODUCER_ID, RECORD_BYTES_MIN, RECORD_COUNT, TRANSACTIONAL, chunk,
    },
};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Whose clock the timestamps of a batch come from (KIP-32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's: each record has its own.
    CreateTime,
    /// The broker's: every record has the batch's maximum timestamp.
    LogAppendTime,
}

/// A whole record batch, byte for byte as its producer sent it. Its length, magic, checksum, codec and counts hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch {
    bytes: Bytes,
}

impl RecordBatch {
    /// Validates one batch that fills `bytes` exactly and that a producer may send: at least one record, no gaps, no
    /// control batch, producer fields that go together.
    ///
    /// # Errors
    /// [`BatchError`] names what is wrong; [`BatchError::response_error`] is the producer's error code.
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let mut rest = bytes;
        let batch = Self::split_first(&mut rest)?;
        if !rest.is_empty() {
            return Err(BatchError::NotAlone(rest.len()));
        }
        batch.check_produced()?;
        Ok(batch)
    }

    /// Takes the first batch off `bytes`, which hold batches back to back. Accepts every sound batch, also one that
    /// compaction has thinned out or that a broker wrote. A fetch may end with a batch that is cut short: that is
    /// [`BatchError::Truncated`], and `bytes` stay as they are on every error.
    ///
    /// # Errors
    /// [`BatchError`] names what is wrong.
    pub fn split_first(bytes: &mut Bytes) -> Result<Self, BatchError> {
        let len = Self::len_of_first(bytes)?;
        if bytes.len() < len {
            return Err(BatchError::Truncated { have: bytes.len(), need: len });
        }
        let batch = Self { bytes: bytes.slice(..len) };
        batch.check_sound()?;
        *bytes = bytes.slice(len..);
        Ok(batch)
    }

    /// The whole length in bytes of the batch at the start of `bytes`, of which the first 17 must be there. Checks
    /// nothing but the length and the magic: for walking over batches whose checksum is known to hold.
    ///
    /// # Errors
    /// [`BatchError::Truncated`], [`BatchError::Length`] or the errors of the magic.
    pub fn len_of_first(bytes: &[u8]) -> Result<usize, BatchError> {
        let truncated = BatchError::Truncated { have: bytes.len(), need: HEADER_BYTES };
        let stated = i32::from_be_bytes(chunk(bytes, BATCH_LENGTH).ok_or(truncated.clone())?);
        let [magic] = chunk(bytes, MAGIC).ok_or(truncated)?;
        match magic.cast_signed() {
            2 => {}
            old @ 0..=1 => return Err(BatchError::OldMagic(old)),
            unknown => return Err(BatchError::UnknownMagic(unknown)),
        }
        usize::try_from(stated)
            .ok()
            .and_then(|len| len.checked_add(LENGTH_END))
            .filter(|len| *len >= HEADER_BYTES)
            .ok_or(BatchError::Length(stated))
    }

    /// The batches that lie back to back in `bytes`, as [`Self::split_first`] gives them.
    #[must_use]
    pub fn batches(bytes: Bytes) -> Batches {
        Batches { rest: bytes }
    }

    fn check_sound(&self) -> Result<(), BatchError> {
        let stated = u32::from_be_bytes(self.field(CRC));
        let computed = crc32c::crc32c(self.bytes.get(CHECKED_FROM..).unwrap_or_default());
        if stated != computed && !is_planted(Bug::SkipChecksum) {
            return Err(BatchError::Checksum { stated, computed });
        }
        let codec = (self.attributes() & COMPRESSION_MASK) as u8;
        Compression::from_id(codec).ok_or(BatchError::UnknownCompression(codec))?;
        let (count, last) = (self.record_count(), self.last_offset_delta());
        let dense_at_most = last.checked_add(1).is_some_and(|slots| (0..=slots).contains(&count));
        if last < 0 || !dense_at_most || !self.has_room_for(count) {
            return Err(BatchError::Count { count, last_offset_delta: last });
        }
        Ok(())
    }

    fn check_produced(&self) -> Result<(), BatchError> {
        let (count, last) = (self.record_count(), self.last_offset_delta());
        if count < 1 || last != count - 1 {
            return Err(BatchError::Count { count, last_offset_delta: last });
        }
        if self.is_control() {
            return Err(BatchError::Control);
        }
        let producer_id = i64::from_be_bytes(self.field(PRODUCER_ID));
        let epoch = i16::from_be_bytes(self.field(PRODUCER_EPOCH));
        let sequence = i32::from_be_bytes(self.field(BASE_SEQUENCE));
        let sound = if producer_id < 0 { !self.is_transactional() } else { epoch >= 0 && sequence >= 0 };
        if !sound {
            return Err(BatchError::Producer { producer_id, epoch, sequence });
        }
        Ok(())
    }

    /// Whether that many records can lie in the batch's bytes. Of compressed records nothing is known.
    fn has_room_for(&self, count: i32) -> bool {
        let room = (self.bytes.len() - HEADER_BYTES) / RECORD_BYTES_MIN;
        self.compression() != Compression::None || usize::try_from(count).is_ok_and(|count| count <= room)
    }

    /// The batch's bytes, header included.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes of its records, compressed as [`Self::compression`] says.
    #[must_use]
    pub fn records(&self) -> Bytes {
        self.bytes.slice(HEADER_BYTES..)
    }

    /// The offset of its first record. In a batch that a producer has just sent it means nothing.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        Offset(i64::from_be_bytes(self.field(BASE_OFFSET)))
    }

    /// The offset of its last record; if compaction took that record away, still the offset it had.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset().plus(self.last_offset_delta().into())
    }

    /// How far its last offset lies from its first.
    #[must_use]
    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(self.field(LAST_OFFSET_DELTA))
    }

    /// The leader epoch that was filled in last.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(i32::from_be_bytes(self.field(LEADER_EPOCH)))
    }

    /// How many records the batch holds. Of a batch that a producer may send this is the last offset delta + 1.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        i32::from_be_bytes(self.field(RECORD_COUNT))
    }

    /// How its records are compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        Compression::from_id((self.attributes() & COMPRESSION_MASK) as u8).unwrap_or_default()
    }

    /// Whose clock its timestamps come from.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes() & LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// The timestamp that its records' timestamp deltas count from.
    #[must_use]
    pub fn base_timestamp(&self) -> Timestamp {
        Timestamp(i64::from_be_bytes(self.field(BASE_TIMESTAMP)))
    }

    /// The largest timestamp of its records.
    #[must_use]
    pub fn max_timestamp(&self) -> Timestamp {
        Timestamp(i64::from_be_bytes(self.field(MAX_TIMESTAMP)))
    }

    /// Producer id, epoch and base sequence, when the producer is idempotent.
    #[must_use]
    pub fn producer(&self) -> Option<(ProducerId, ProducerEpoch, Sequence)> {
        let id = i64::from_be_bytes(self.field(PRODUCER_ID));
        let epoch = ProducerEpoch(i16::from_be_bytes(self.field(PRODUCER_EPOCH)));
        let sequence = Sequence(i32::from_be_bytes(self.field(BASE_SEQUENCE)));
        (id >= 0).then_some((ProducerId(id), epoch, sequence))
    }

    /// What it says beside its records.
    #[must_use]
    pub fn header(&self) -> BatchHeader {
        BatchHeader {
            base_offset: self.base_offset(),
            leader_epoch: self.leader_epoch(),
            attributes: self.attributes(),
            producer_id: ProducerId(i64::from_be_bytes(self.field(PRODUCER_ID))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(self.field(PRODUCER_EPOCH))),
            base_sequence: Sequence(i32::from_be_bytes(self.field(BASE_SEQUENCE))),
        }
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes() & TRANSACTIONAL != 0
    }

    /// Whether its record is a marker for brokers and consumers, not data.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes() & CONTROL != 0
    }

    /// A batch whose bytes this crate has just laid out.
    pub(super) fn from_sound(bytes: Bytes) -> Self {
        Self { bytes }
    }

    pub(super) fn attributes(&self) -> i16 {
        i16::from_be_bytes(self.field(ATTRIBUTES))
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        chunk(&self.bytes, at).expect("a validated batch holds its whole header")
    }
}

/// Batches that lie back to back; see [`RecordBatch::batches`]. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = RecordBatch::split_first(&mut self.rest);
        if batch.is_err() {
            self.rest.clear();
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests;
