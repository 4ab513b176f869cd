//! The state: everything the cluster knows, as a deterministic function of the entries applied.

use ebb_protocol::ids::{
    AgentEpoch, AgentId, BrokerId, ByteRange, ClusterId, LeaderEpoch, LogPosition, Offset, PartitionIndex,
    Timestamp, TopicId, TopicName,
};

use crate::{
    command::{Endpoint, ObjectRef},
    entry::StateHash,
};

/// The state of the cluster at one position of the commit log.
#[derive(Clone, Debug, Default)]
pub struct State {}

/// This replica's history differs from another's: one of them is wrong, and must not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state's hash at position {position} is {ours:016x} here and {theirs:016x} elsewhere")]
pub struct Diverged {
    /// The position up to which the histories were compared.
    pub position: LogPosition,
    /// The chain here.
    pub ours: u64,
    /// The chain there.
    pub theirs: u64,
}

/// Where the batches of an offset range lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchCoordinates {
    /// The object.
    pub object: ObjectRef,
    /// The bytes in the object, counted from its first byte; whole batches, back to back.
    pub range: ByteRange,
    /// Offset of the first record.
    pub base: Offset,
    /// Offset of the last record.
    pub last: Offset,
    /// The largest timestamp of its records.
    pub max_timestamp: Timestamp,
}

/// The ends of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionHead {
    /// Offset of the first record that can be read.
    pub log_start: Offset,
    /// Offset after the last record.
    pub high_watermark: Offset,
    /// Offset below which every transaction has ended.
    pub last_stable: Offset,
    /// Leader epoch that clients see.
    pub epoch: LeaderEpoch,
}

/// A live agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The id of its run.
    pub id: AgentId,
    /// Its epoch.
    pub epoch: AgentEpoch,
    /// Its number as Kafka clients see it.
    pub broker: BrokerId,
    /// Where Kafka clients reach it over TCP.
    pub kafka: Option<Endpoint>,
    /// Where clients reach it over QUIC.
    pub quic: Option<Endpoint>,
    /// Its zone.
    pub zone: String,
}

/// A topic as readers of the state see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Its partition count.
    pub partitions: i32,
    /// Its configuration, where it differs from the defaults; sorted by key.
    pub config: Vec<(String, String)>,
}

impl State {
    /// The position of the next entry to apply.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        todo!()
    }

    /// The fingerprint of the history so far.
    #[must_use]
    pub fn hash(&self) -> StateHash {
        todo!()
    }

    /// Compares another replica's fingerprint with this one's history, as far back as that is kept.
    ///
    /// # Errors
    /// [`Diverged`] when they differ.
    pub fn check_hash(&self, theirs: StateHash) -> Result<(), Diverged> {
        todo!("{theirs:?}")
    }

    /// Entries below this position may be dropped after the grace: what `TruncateLog` declared last.
    #[must_use]
    pub fn truncated_below(&self) -> LogPosition {
        todo!()
    }

    /// The time of the entry that declared [`State::truncated_below`]: the grace counts from then. Undefined before
    /// the first declaration.
    #[must_use]
    pub fn truncation_declared_at(&self) -> Timestamp {
        todo!()
    }

    /// The positions below `below` of entries whose bodies are referenced or not yet deleted by the sweeper, in
    /// order: truncation keeps their objects.
    #[must_use]
    pub fn kept_entries(&self, below: LogPosition) -> Vec<LogPosition> {
        todo!("{below}")
    }

    /// The number that the agent's next entry must have; `None` when the agent is not live.
    #[must_use]
    pub fn next_number(&self, agent: AgentId) -> Option<u64> {
        todo!("{agent}")
    }

    /// The cluster's id, once it is founded.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        todo!()
    }

    /// The live agents, sorted by broker id.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        std::iter::empty()
    }

    /// All topics, sorted by name.
    pub fn topics(&self) -> impl Iterator<Item = TopicInfo> {
        std::iter::empty()
    }

    /// A topic by its name.
    #[must_use]
    pub fn topic_by_name(&self, name: &TopicName) -> Option<TopicInfo> {
        todo!("{name}")
    }

    /// A topic by its id.
    #[must_use]
    pub fn topic_by_id(&self, topic: TopicId) -> Option<TopicInfo> {
        todo!("{topic}")
    }

    /// The ends of a partition; `None` when it does not exist.
    #[must_use]
    pub fn head(&self, topic: TopicId, partition: PartitionIndex) -> Option<PartitionHead> {
        todo!("{topic} {partition}")
    }

    /// Coordinates in offset order, beginning with those that hold `from` (or the next that exist), until their
    /// bytes reach `bytes_max` or their number `count_max`; always at least one when there is one.
    #[must_use]
    pub fn find(
        &self,
        topic: TopicId,
        partition: PartitionIndex,
        from: Offset,
        bytes_max: u64,
        count_max: usize,
    ) -> Vec<BatchCoordinates> {
        todo!("{topic} {partition} {from} {bytes_max} {count_max}")
    }

    /// The first coordinates whose largest timestamp is at or after `at`; time look-ups begin there.
    #[must_use]
    pub fn find_time(
        &self,
        topic: TopicId,
        partition: PartitionIndex,
        at: Timestamp,
    ) -> Option<BatchCoordinates> {
        todo!("{topic} {partition} {at}")
    }

    /// The coordinates with the partition's largest timestamp (ListOffsets -3).
    #[must_use]
    pub fn find_max_time(&self, topic: TopicId, partition: PartitionIndex) -> Option<BatchCoordinates> {
        todo!("{topic} {partition}")
    }
}
