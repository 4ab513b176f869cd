//! A hash over the records of a partition in their order: what went into a file and what can be read out of it must
//! give the same. Knows nothing of columns and files.

use ebb_protocol::batch::{Record, RecordBatch, TimestampType};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Marks a record's fields in the chain, so that no two records are hashed from the same bytes.
const RECORD: u8 = 1;
/// Marks a batch that is kept as it is.
const RAW: u8 = 2;

/// What is added is hashed in blocks of about this many bytes: many small hashes take longer than one large.
const BLOCK_BYTES: usize = 16 << 10;

/// A chained hash (XXH3, 64 bits) of all that a consumer sees: offset, timestamp and its type, key, value, headers;
/// of a batch that is kept whole, its bytes behind the place.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// Of all blocks that are full.
    hash: u64,
    records: u64,
    /// The block that is not.
    block: Vec<u8>,
}

impl Chain {
    /// The hash of what was added so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        if self.block.is_empty() {
            return self.hash;
        }
        xxh3_64_with_seed(&self.block, self.hash)
    }

    /// How many records were added; a batch that is kept whole counts as many as it states.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Adds a record.
    pub fn add_record<B: AsRef<[u8]>>(&mut self, timestamps: TimestampType, record: &Record<B>) {
        self.block.push(RECORD);
        self.block.push((timestamps == TimestampType::LogAppendTime).into());
        self.block.extend_from_slice(&record.offset.0.to_be_bytes());
        self.block.extend_from_slice(&record.timestamp.0.to_be_bytes());
        self.put(record.key.as_ref().map(B::as_ref));
        self.put(record.value.as_ref().map(B::as_ref));
        for header in &record.headers {
            self.put(Some(header.key.as_ref()));
            self.put(header.value.as_ref().map(B::as_ref));
        }
        self.link();
        self.records += 1;
    }

    /// Adds a batch that is kept whole. Its first bytes, which say where it lies, count with the rest.
    pub fn add_raw(&mut self, batch: &RecordBatch) {
        self.block.push(RAW);
        self.put(Some(batch.bytes()));
        self.link();
        self.records += u64::try_from(batch.record_count()).unwrap_or(0);
    }

    /// Nothing is added any more: the hash is all that is kept.
    pub(crate) fn end(&mut self) {
        self.hash = self.hash();
        self.block = Vec::new();
    }

    fn put(&mut self, bytes: Option<&[u8]>) {
        let len = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        self.block.extend_from_slice(&len.to_be_bytes());
        self.block.extend_from_slice(bytes.unwrap_or_default());
    }

    /// Ends the block when it is full.
    fn link(&mut self) {
        if self.block.len() >= BLOCK_BYTES {
            self.hash = self.hash();
            self.block.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use ebb_protocol::ids::{Offset, Timestamp};

    use super::*;

    fn record(offset: i64, value: &[u8]) -> Record<&[u8]> {
        let (offset, timestamp) = (Offset(offset), Timestamp(7));
        Record { offset, timestamp, key: None, value: Some(value), headers: Vec::new() }
    }

    fn chain(values: &[Vec<u8>]) -> Chain {
        let mut chain = Chain::default();
        for (offset, value) in values.iter().enumerate() {
            let offset = i64::try_from(offset).expect("few values");
            chain.add_record(TimestampType::CreateTime, &record(offset, value));
        }
        chain
    }

    #[test]
    fn every_byte_counts_in_whichever_block_it_lies() {
        let values = vec![vec![1; BLOCK_BYTES / 3]; 8];
        let whole = chain(&values).hash();
        for index in 0..values.len() {
            let mut other = values.clone();
            *other[index].last_mut().expect("values are not empty") += 1;
            assert_ne!(chain(&other).hash(), whole, "record {index}");
            other.remove(index);
            assert_ne!(chain(&other).hash(), whole, "without record {index}");
        }
    }

    #[test]
    fn a_chain_that_has_ended_keeps_its_hash_and_nothing_else() {
        for count in 0..8 {
            let mut ended = chain(&vec![vec![1; BLOCK_BYTES / 3]; count]);
            let before = (ended.hash(), ended.records());
            ended.end();
            assert_eq!((ended.hash(), ended.records()), before, "{count} records");
            assert_eq!(ended.block.capacity(), 0);
        }
    }
}
