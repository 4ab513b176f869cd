//! What a consumer returns: batches that decode themselves when asked, and the records in them.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Error, Header, Offset, PartitionIndex, Timestamp};

/// A record that was read. Key, value and headers borrow the fetched bytes by reference count.
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
pub struct FetchedBatch {}

impl FetchedBatch {
    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        todo!()
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> PartitionIndex {
        todo!()
    }

    /// The offset after the batch's last record, where reading goes on.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        todo!()
    }

    /// The partition's high watermark when the batch was fetched.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        todo!()
    }

    /// The batch's size as it was fetched, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        todo!()
    }

    /// The batch's records at or after the position, decompressed now and decoded one by one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the records cannot be decompressed; items are errors when a record is malformed.
    pub fn records(&self) -> Result<Records, Error> {
        todo!()
    }
}

/// The records of a batch, decoded one by one.
#[derive(Debug)]
pub struct Records {}

impl Iterator for Records {
    type Item = Result<ConsumerRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
