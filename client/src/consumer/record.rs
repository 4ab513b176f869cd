//! What a consumer returns: batches that decode themselves when asked, and the records in them.

use std::sync::Arc;

use bytes::Bytes;
use ebb_protocol::batch::{self, DECOMPRESSED_BYTES_MAX, RecordBatch, RecordError};

use crate::{Error, Header, Offset, PartitionIndex, Timestamp};

/// A record that was read. Key, value and headers share the fetched bytes, or the batch's decompressed ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Its topic's name.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: PartitionIndex,
    /// Its offset.
    pub offset: Offset,
    /// Its time.
    pub timestamp: Timestamp,
    /// The key, if it is not null.
    pub key: Option<Bytes>,
    /// The value, if it is not null.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Vec<Header>,
}

/// A batch of one partition as it was fetched: validated, and still compressed.
#[derive(Debug, Clone)]
pub struct FetchedBatch {
    pub(super) topic: Arc<str>,
    pub(super) partition: PartitionIndex,
    /// Records before it were not asked for.
    pub(super) from: Offset,
    pub(super) high_watermark: Offset,
    pub(super) batch: RecordBatch,
}

impl FetchedBatch {
    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> PartitionIndex {
        self.partition
    }

    /// The offset after the batch's last record, where reading goes on.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.batch.last_offset().plus(1)
    }

    /// The partition's high watermark when the batch was fetched.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The batch's size as it was fetched, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.batch.bytes().len()
    }

    /// The batch itself, whole: it may hold records before the position.
    #[must_use]
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// The batch's records at or after the position, decompressed now and decoded one by one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the records cannot be decompressed; items are errors when a record is malformed.
    pub fn records(&self) -> Result<Records, Error> {
        let records = self.batch.decode(DECOMPRESSED_BYTES_MAX);
        let records = records
            .map_err(|error| corrupt(&self.topic, self.partition, self.batch.base_offset(), &error))?;
        Ok(Records { topic: self.topic.clone(), partition: self.partition, from: self.from, records })
    }
}

fn corrupt(topic: &str, partition: PartitionIndex, base: Offset, error: &RecordError) -> Error {
    Error::Corrupt(format!("topic {topic:?} partition {partition} batch at offset {base}: {error}").into())
}

/// The records of a batch, decoded one by one.
#[derive(Debug)]
pub struct Records {
    topic: Arc<str>,
    partition: PartitionIndex,
    from: Offset,
    records: batch::Records,
}

impl Iterator for Records {
    type Item = Result<ConsumerRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let record = match self.records.next()? {
                Ok(record) if record.offset < self.from => continue,
                Ok(record) => record,
                Err(error) => return Some(Err(corrupt(&self.topic, self.partition, self.from, &error))),
            };
            return Some(Ok(ConsumerRecord {
                topic: self.topic.clone(),
                partition: self.partition,
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key,
                value: record.value,
                headers: record.headers,
            }));
        }
    }
}
