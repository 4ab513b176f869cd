//! The broker: what an agent does, without any wire. Joins offsets (from the metastore) to bytes (from the store).
//! Knows nothing of connections and Kafka's messages.

pub mod cache;
mod config;
pub mod writer;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ebb_metastore::{Metastore, MetastoreError, outcome::BatchRefusal, state::PartitionHead};
use ebb_protocol::{
    batch::RecordBatch,
    clock::SharedClock,
    ids::{ClusterId, IdSource, Offset, PartitionIndex, TopicId},
};
use ebb_segment::store::{SegmentStore, StoreError};

use cache::BlockCache;

pub use config::BrokerConfig;
pub use writer::PendingAppend;

/// The broker, shared by all connections.
#[derive(Debug)]
pub struct Broker {}

/// A batch for a partition. The batch has been validated against the topic's configuration.
#[derive(Clone, Debug)]
pub struct Append {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The batch.
    pub batch: RecordBatch,
}

/// A batch's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base: Offset,
    /// The partition's log start offset.
    pub log_start: Offset,
}

/// Why a batch was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// The metastore refused the batch; it has not been appended now.
    #[error("{0}")]
    Refused(BatchRefusal),
    /// The store or the commit log did not answer in time. The batch may yet have been appended.
    #[error("the append did not become durable in time: {0}")]
    TimedOut(String),
    /// The batch could not be stored. It has not been appended and never will be, unless it is sent again.
    #[error("the append could not be stored: {0}")]
    Storage(StoreError),
    /// This agent was put out of the cluster or is going down. The batch has not been appended.
    #[error("this agent takes no more appends")]
    Closed,
}

/// Up to where a read goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The first offset wanted.
    pub from: Offset,
    /// A soft limit for this partition's bytes.
    pub bytes_max: u64,
}

/// What a read of one partition gave.
#[derive(Clone, Debug)]
pub struct ReadBatches {
    /// The partition's ends. When there are no records they are at least as new as the moment the fetch was asked;
    /// records never reach beyond them.
    pub head: PartitionHead,
    /// Whole batches, offsets filled in, back to back; the first one holds the offset asked for or the next that exists.
    pub records: Bytes,
}

/// Why a partition could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// There is no such topic id or partition.
    #[error("the partition does not exist")]
    UnknownPartition,
    /// The offset lies below the log start or above the high watermark.
    #[error("the offset is out of range")]
    OffsetOutOfRange(PartitionHead),
    /// Stored bytes are missing or damaged, even when read again.
    #[error("stored records cannot be read: {0}")]
    Storage(StoreError),
    /// The metastore cannot be asked for its tail.
    #[error("{0}")]
    Metastore(MetastoreError),
}

impl Broker {
    /// Puts a broker together. The agent has been registered in the metastore. The cache comes from
    /// `cache::open`, or is a simulation's own.
    #[must_use]
    pub fn new(
        cluster: ClusterId,
        metastore: Metastore,
        store: SegmentStore,
        cache: Arc<dyn BlockCache>,
        clock: SharedClock,
        ids: IdSource,
        config: BrokerConfig,
    ) -> Arc<Self> {
        todo!("{cluster} {metastore:?} {store:?} {cache:?} {} {ids:?} {config:?}", clock.now())
    }

    /// The metastore replica: topics, heads, agents; commands other than appends go through it.
    #[must_use]
    pub fn metastore(&self) -> &Metastore {
        todo!()
    }

    /// Takes batches in. Waits for room (push back) and returns when their order is fixed.
    ///
    /// # Errors
    /// [`ProduceError::Closed`] when the broker is going down.
    pub async fn append(&self, appends: Vec<Append>) -> Result<PendingAppend, ProduceError> {
        todo!("{}", appends.len())
    }

    /// Reads several partitions: waits up to `wait` until at least `bytes_min` bytes are there, gives at most about
    /// `bytes_max` in all, but always at least one batch when there is one.
    pub async fn fetch(
        &self,
        reads: &[Read],
        bytes_min: u64,
        bytes_max: u64,
        wait: Duration,
    ) -> Vec<Result<ReadBatches, FetchError>> {
        todo!("{reads:?} {bytes_min} {bytes_max} {wait:?}")
    }

    /// Takes no more appends, flushes and commits what was taken in, and closes the metastore replica.
    pub async fn shutdown(&self) {
        todo!()
    }
}
