//! A hash over the records of a partition in their order: what went into a file and what can be read out of it must
//! give the same. Knows nothing of columns and files.

use ebb_protocol::batch::{Record, RecordBatch, TimestampType};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Marks a record's fields in the chain, so that no two records are hashed from the same bytes.
const RECORD: u8 = 1;
/// Marks a batch that is kept as it is.
const RAW: u8 = 2;

/// A chained hash (XXH3, 64 bits) of all that a consumer sees: offset, timestamp and its type, key, value, headers;
/// of a batch that is kept whole, its bytes behind the place.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    hash: u64,
    records: u64,
    buffer: Vec<u8>,
}

impl Chain {
    /// The hash of what was added so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many records were added; a batch that is kept whole counts as many as it states.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Adds a record.
    pub fn add_record(&mut self, timestamps: TimestampType, record: &Record) {
        self.buffer.clear();
        self.buffer.push(RECORD);
        self.buffer.push((timestamps == TimestampType::LogAppendTime).into());
        self.buffer.extend_from_slice(&record.offset.0.to_be_bytes());
        self.buffer.extend_from_slice(&record.timestamp.0.to_be_bytes());
        self.put(record.key.as_deref());
        self.put(record.value.as_deref());
        for header in &record.headers {
            self.put(Some(&header.key));
            self.put(header.value.as_deref());
        }
        self.link();
        self.records += 1;
    }

    /// Adds a batch that is kept whole. Its first bytes, which say where it lies, count with the rest.
    pub fn add_raw(&mut self, batch: &RecordBatch) {
        self.buffer.clear();
        self.buffer.push(RAW);
        self.put(Some(batch.bytes()));
        self.link();
        self.records += u64::try_from(batch.record_count()).unwrap_or(0);
    }

    fn put(&mut self, bytes: Option<&[u8]>) {
        let len = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        self.buffer.extend_from_slice(&len.to_be_bytes());
        self.buffer.extend_from_slice(bytes.unwrap_or_default());
    }

    fn link(&mut self) {
        self.hash = xxh3_64_with_seed(&self.buffer, self.hash);
    }
}
