//! The records that clients send: each has a unique number and a checksum of its own, so that a reader can tell a
//! record that was altered from one that was not.

use bytes::Bytes;
use ebb_protocol::{
    batch::{BatchBuilder, Compression, RecordBatch},
    ids::{ProducerEpoch, ProducerId, Sequence, Timestamp},
    random::Random,
};
use xxhash_rust::xxh3::xxh3_64;

use super::plan::pick;

/// The longest padding of a record, in bytes.
const PADDING_BYTES_MAX: u64 = 1_500;

/// More than any batch here decompresses to.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 20;

/// A batch of records with these numbers.
pub(super) fn batch(
    random: &Random,
    values: &[u64],
    now: Timestamp,
    producer: Option<(ProducerId, ProducerEpoch, Sequence)>,
) -> RecordBatch {
    use Compression::{Gzip, Lz4, Snappy, Zstd};
    let plain = Compression::None;
    let mut builder = BatchBuilder::default();
    for value in values {
        let padding = if random.chance(0.1) { random.below(PADDING_BYTES_MAX) } else { random.below(40) };
        let bytes = encode(*value, padding);
        let at = Timestamp(now.0 - i64::try_from(random.below(50)).unwrap_or(0));
        builder.append(at, None, Some(&bytes), &[]).expect("small records fit");
    }
    let compression = pick(random, &[plain, plain, plain, Lz4, Gzip, Snappy, Zstd]);
    builder.finish(compression, producer).expect("small records can be compressed")
}

/// The records of an answer to a fetch: offsets and numbers; no number where the bytes are not those that were sent.
pub(super) fn decode(records: &Bytes) -> Vec<(i64, Option<u64>)> {
    let mut found = Vec::new();
    let mut next = 0;
    for batch in RecordBatch::batches(records.clone()) {
        let Ok(batch) = batch else {
            found.push((next, None));
            break;
        };
        match batch.decode(DECOMPRESSED_BYTES_MAX) {
            Ok(records) => found.extend(records.map(|record| match record {
                Ok(record) => (record.offset.0, record.value.and_then(|value| number(&value))),
                Err(_) => (batch.base_offset().0, None),
            })),
            Err(_) => found.push((batch.base_offset().0, None)),
        }
        next = batch.last_offset().0 + 1;
    }
    found
}

fn encode(value: u64, padding: u64) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    bytes.extend(value.to_be_bytes());
    bytes.extend((0..padding).map(|index| (value.wrapping_mul(31).wrapping_add(index / 7)) as u8));
    let sum = xxh3_64(bytes.get(8..).unwrap_or_default());
    bytes.splice(..8, sum.to_be_bytes());
    bytes
}

fn number(bytes: &[u8]) -> Option<u64> {
    let (sum, rest) = bytes.split_first_chunk::<8>()?;
    let value = rest.first_chunk::<8>()?;
    (xxh3_64(rest) == u64::from_be_bytes(*sum)).then_some(u64::from_be_bytes(*value))
}
