//! The broker: what an agent does, without any wire. Joins offsets (from the metastore) to bytes (from the store).
//! Knows nothing of connections and Kafka's messages.

pub mod cache;
mod config;
mod reader;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod times;
mod topics;
pub mod writer;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use ebb_metastore::{Metastore, MetastoreError, outcome::BatchRefusal, state::PartitionHead};
use ebb_protocol::{
    batch::RecordBatch,
    clock::SharedClock,
    ids::{ClusterId, IdSource, Offset, PartitionIndex, TopicId},
};
use ebb_segment::store::{SegmentStore, StoreError};
use tokio_util::sync::CancellationToken;

use self::{
    cache::{BlockCache, BlockLimits, Blocks, ReadCounts, Warmer},
    reader::{Archives, Reader},
    writer::Writer,
};
pub use self::{
    config::BrokerConfig,
    times::{FoundOffset, OffsetQuery},
    topics::CreateTopicError,
    writer::PendingAppend,
};

/// The broker, shared by all connections.
pub struct Broker {
    metastore: Metastore,
    writer: Writer,
    reader: Reader,
    blocks: Blocks,
    archives: Arc<Archives>,
    cache: Arc<dyn BlockCache>,
    clock: SharedClock,
    ids: IdSource,
    config: BrokerConfig,
    closing: CancellationToken,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("config", &self.config).finish_non_exhaustive()
    }
}

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
    /// The partition's ends; records never reach beyond them. When the fetch gave no records at all, they are at
    /// least as new as the moment it was asked. Otherwise they are what this replica knows.
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
    /// Puts a broker together and starts its writer. The agent has been registered in the metastore. The cache is a
    /// [`cache::FoyerCache`], or a simulation's own.
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
        let limits = BlockLimits {
            block_bytes: config.cache_block_bytes,
            tail_gets_max: config.tail_gets_in_flight_max,
            replay_gets_max: config.replay_gets_in_flight_max,
        };
        let locate = cache::locate(metastore.clone());
        let blocks = Blocks::new(cluster, Arc::clone(&cache), store.clone(), locate, limits);
        let warmer = Arc::new(Warmer::new(Arc::clone(&cache), config.cache_block_bytes));
        metastore.on_body(warmer.clone());
        let writer = Writer::start(cluster, metastore.clone(), store, warmer, ids.clone(), &config);
        let closing = CancellationToken::new();
        let archives = Arc::new(Archives::new(metastore.clone(), blocks.clone()));
        let reader =
            Reader::new(metastore.clone(), blocks.clone(), archives.clone(), &config, closing.clone());
        Arc::new(Self { metastore, writer, reader, blocks, archives, cache, clock, ids, config, closing })
    }

    /// The metastore replica: topics, heads, agents; commands other than appends go through it.
    #[must_use]
    pub fn metastore(&self) -> &Metastore {
        &self.metastore
    }

    /// The clock that timestamps are judged by and taken from.
    #[must_use]
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Mints ids, of topics for instance.
    #[must_use]
    pub fn ids(&self) -> &IdSource {
        &self.ids
    }

    /// The settings it runs with.
    #[must_use]
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// What the read path has counted so far.
    #[must_use]
    pub fn read_counts(&self) -> ReadCounts {
        self.blocks.counters().counts()
    }

    /// Takes batches in. Waits for room (push back) and returns when their order is fixed.
    ///
    /// # Errors
    /// [`ProduceError::Closed`] when the broker is going down; [`ProduceError::Storage`] when there was no room
    /// before the deadline.
    pub async fn append(&self, appends: Vec<Append>) -> Result<PendingAppend, ProduceError> {
        self.writer.append(appends).await
    }

    /// Reads several partitions: waits up to `wait` until at least `bytes_min` bytes are there, gives at most about
    /// `bytes_max` in all, but always at least one batch when there is one. The answers are in the order of `reads`;
    /// the first partition that has something is the one that may exceed the limits with its first batch, so a
    /// client rotates their order, as Kafka's do.
    pub async fn fetch(
        &self,
        reads: &[Read],
        bytes_min: u64,
        bytes_max: u64,
        wait: Duration,
    ) -> Vec<Result<ReadBatches, FetchError>> {
        self.reader.fetch(reads, bytes_min, bytes_max, wait).await
    }

    /// Takes no more appends, flushes and commits what was taken in, and answers the fetches that wait. Commands can
    /// still be submitted to the metastore.
    pub async fn drain(&self) {
        self.writer.shutdown().await;
        self.closing.cancel();
    }

    /// Drains, and closes the metastore replica and the cache.
    pub async fn shutdown(&self) {
        self.drain().await;
        self.metastore.shutdown().await;
        self.cache.close().await;
    }
}
