//! Where the fields of a record batch lie: Kafka's record batch version 2 (KIP-98), all integers big-endian.
//!
//! ```text
//!  0 base offset i64        not in the CRC    23 last offset delta i32   51 producer epoch i16
//!  8 batch length i32       bytes after it    27 base timestamp i64      53 base sequence i32
//! 12 leader epoch i32       not in the CRC    35 max timestamp i64       57 record count i32
//! 16 magic i8 = 2                             43 producer id i64         61 records
//! 17 CRC-32C u32            of 21 and on
//! 21 attributes i16         0-2 compression, 3 log append time, 4 transactional, 5 control, 6 delete horizon
//! ```

/// Bytes before a batch's records.
pub(super) const HEADER_BYTES: usize = 61;
/// Bytes before those that the batch length counts.
pub(super) const LENGTH_END: usize = 12;
/// The first byte that the checksum covers.
pub(super) const CHECKED_FROM: usize = 21;
/// A record is at least this long: seven fields of one byte.
pub(super) const RECORD_BYTES_MIN: usize = 7;

pub(super) const BASE_OFFSET: usize = 0;
pub(super) const BATCH_LENGTH: usize = 8;
pub(super) const LEADER_EPOCH: usize = 12;
pub(super) const MAGIC: usize = 16;
pub(super) const CRC: usize = 17;
pub(super) const ATTRIBUTES: usize = 21;
pub(super) const LAST_OFFSET_DELTA: usize = 23;
pub(super) const BASE_TIMESTAMP: usize = 27;
pub(super) const MAX_TIMESTAMP: usize = 35;
pub(super) const PRODUCER_ID: usize = 43;
pub(super) const PRODUCER_EPOCH: usize = 51;
pub(super) const BASE_SEQUENCE: usize = 53;
pub(super) const RECORD_COUNT: usize = 57;

pub(super) const COMPRESSION_MASK: i16 = 0b111;
pub(super) const LOG_APPEND_TIME: i16 = 1 << 3;
pub(super) const TRANSACTIONAL: i16 = 1 << 4;
pub(super) const CONTROL: i16 = 1 << 5;

/// Sums up a batch's bytes and writes the checksum into its header.
pub(super) fn put_checksum(batch: &mut [u8]) {
    let crc = crc32c::crc32c(batch.get(CHECKED_FROM..).unwrap_or_default());
    put(batch, CRC, crc.to_be_bytes());
}

/// `N` bytes from `at`, when they are there.
pub(super) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Writes a field of a whole batch.
///
/// # Panics
/// When the batch is shorter than its header: callers pass whole batches.
pub(super) fn put<const N: usize>(batch: &mut [u8], at: usize, value: [u8; N]) {
    let field = batch.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
    *field.expect("callers pass whole batches") = value;
}
