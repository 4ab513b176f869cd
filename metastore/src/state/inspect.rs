//! What administrators ask of one partition: how large it is, and who produces to it. Nothing on the data path needs
//! it.

use ebb_protocol::ids::{PartitionIndex, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId};

use super::State;

/// An idempotent producer that a partition remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The sequence number of its last record.
    pub last_sequence: Sequence,
    /// The state's time at its last batch.
    pub last_used: Timestamp,
}

impl State {
    /// How many bytes the partition's batches have in the store, compressed as they are; `None` when it does not
    /// exist. Batches that are partly below the log start count whole. A walk over the partition's coordinates.
    #[must_use]
    pub fn partition_bytes(&self, topic: TopicId, partition: PartitionIndex) -> Option<u64> {
        let found = self.topics.partition(topic, partition)?;
        Some(found.coordinates.iter().map(|row| row.range.len).sum())
    }

    /// The producers that the partition remembers, sorted by id; `None` when it does not exist.
    #[must_use]
    pub fn active_producers(&self, topic: TopicId, partition: PartitionIndex) -> Option<Vec<ActiveProducer>> {
        let found = self.topics.partition(topic, partition)?;
        Some(found.producers.iter().map(|(id, producer)| producer.describe(*id)).collect())
    }
}
