//! The state: everything the cluster knows, as a deterministic function of the entries applied. Readers look here;
//! only `apply` changes it.

mod agents;
mod archive;
mod claims;
mod compaction;
pub mod config;
mod config_table;
mod coordinates;
pub mod group_config;
mod groups;
mod history;
mod inspect;
mod objects;
mod partition;
mod producers;
mod references;
mod tables;
mod topics;

use std::collections::BTreeMap;

use ebb_protocol::ids::{
    AgentId, ClusterId, GroupId, LogPosition, Offset, PartitionIndex, Timestamp, TopicId, TopicName,
    TopicPartition,
};
use ebb_protocol::planted::{Bug, is_planted};
use serde::{Deserialize, Serialize};

pub use self::{
    agents::Agent,
    archive::{ArchiveStatus, RowsByPartition},
    claims::Claim,
    compaction::Compaction,
    coordinates::{BatchCoordinates, fingerprint},
    groups::{Group, GroupBody},
    history::Diverged,
    inspect::ActiveProducer,
    objects::{DeadObject, UnarchivedObject},
    partition::PartitionHead,
    references::{ObjectUse, References, Summary},
    tables::{ArchiveFile, FileSpan, Table, TableSnapshot},
    topics::TopicInfo,
};
pub(crate) use self::{
    agents::{Agents, Standing},
    claims::Claims,
    groups::{Groups, NewOffsets},
    history::History,
    objects::{ObjectFacts, Objects},
    partition::Partition,
    producers::{IdleList, NoEpoch, ProducerIds, ProducerInPartition, Verdict},
    topics::{Topic, Topics, numbered},
};
use crate::{command::ObjectRef, entry::StateHash};
use config::TopicSettings;

/// The state of the cluster at one position of the commit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(crate) history: History,
    /// See [`State::time`].
    pub(crate) time: Timestamp,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) agents: Agents,
    pub(crate) topics: Topics,
    pub(crate) producer_ids: ProducerIds,
    #[serde(skip)]
    pub(crate) idle: IdleList,
    pub(crate) objects: Objects,
    /// Entries below may be dropped after the grace.
    pub(crate) truncated_below: LogPosition,
    pub(crate) truncation_declared_at: Timestamp,
    /// Segments and archive files minted before are refused.
    pub(crate) sweep_boundary: Timestamp,
    pub(crate) groups: Groups,
    /// What is set of groups' configurations, unread; of a group where something is.
    pub(crate) group_configs: BTreeMap<GroupId, BTreeMap<String, String>>,
    /// Of each topic for which something was published.
    pub(crate) tables: BTreeMap<TopicId, Table>,
    pub(crate) claims: Claims,
    /// Of each topic that was compacted by key.
    pub(crate) compactions: BTreeMap<TopicId, Compaction>,
}

impl State {
    /// The position of the next entry to apply.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        self.history.position()
    }

    /// The state's clock, by which things expire. It begins where the first agent's clock stood when that registered,
    /// and goes on by the time that passes between the entries of each live agent, by that agent's clock, up to
    /// [`crate::limits::CLOCK_STEP_MAX_MS`] an entry. So it never goes back, a clock that is wrong does not move it, and
    /// one that leaps moves it little; it falls behind the clocks on the wall while nobody writes.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The fingerprint of the history so far.
    #[must_use]
    pub fn hash(&self) -> StateHash {
        self.history.hash()
    }

    /// Compares another replica's fingerprint with this one's history, as far back as that is kept
    /// ([`crate::limits::HISTORY_ENTRIES`]). What is ahead of this state cannot be told and passes.
    ///
    /// # Errors
    /// [`Diverged`] when they differ.
    pub fn check_hash(&self, theirs: StateHash) -> Result<(), Diverged> {
        self.history.check(theirs)
    }

    /// Entries below this position may be dropped after the grace: what `TruncateLog` declared last.
    #[must_use]
    pub fn truncated_below(&self) -> LogPosition {
        self.truncated_below
    }

    /// The state's time at which [`State::truncated_below`] moved last: the grace counts from then. 0 before the
    /// first declaration.
    #[must_use]
    pub fn truncation_declared_at(&self) -> Timestamp {
        self.truncation_declared_at
    }

    /// Commits of segments and archive files minted before this instant are refused: what `RaiseSweepBoundary` declared last.
    #[must_use]
    pub fn sweep_boundary(&self) -> Timestamp {
        self.sweep_boundary
    }

    /// The positions below `below` of entries whose bodies are referenced, or dead and not yet forgotten, in order:
    /// truncation keeps their objects, and drops those of the dead ones once the sweeper has had them forgotten.
    #[must_use]
    pub fn kept_entries(&self, below: LogPosition) -> Vec<LogPosition> {
        self.objects.entries(below)
    }

    /// Whether coordinates refer to the object.
    #[must_use]
    pub fn is_referenced(&self, object: ObjectRef) -> bool {
        self.objects.is_referenced(object)
    }

    /// Whether coordinates referred to the object once, and it has not been forgotten since.
    #[must_use]
    pub fn is_dead(&self, object: ObjectRef) -> bool {
        self.objects.is_dead(object)
    }

    /// Dead objects that may be deleted from the store once they have been dead for the grace. An entry that the
    /// log has not truncated is not among them.
    pub fn dead_objects(&self) -> impl Iterator<Item = (ObjectRef, DeadObject)> {
        self.objects.dead().filter(|(object, _)| self.may_be_deleted(*object))
    }

    /// Whether the log itself no longer needs the object.
    pub(crate) fn may_be_deleted(&self, object: ObjectRef) -> bool {
        match object {
            ObjectRef::Entry(position) => position < self.truncated_below,
            ObjectRef::Segment(_) | ObjectRef::Archive(_) => true,
        }
    }

    /// The number that the agent's next entry must have; `None` when the agent is not live.
    #[must_use]
    pub fn next_number(&self, agent: AgentId) -> Option<u64> {
        self.agents.get(agent).map(|agent| agent.next_number)
    }

    /// The cluster's id, once it is founded.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// The live agents, sorted by broker id.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.live()
    }

    /// The newest command version that every live agent understands; `None` without agents.
    #[must_use]
    pub fn understood(&self) -> Option<u16> {
        self.agents().map(|agent| agent.understands).min()
    }

    /// All topics, sorted by name.
    pub fn topics(&self) -> impl Iterator<Item = TopicInfo> {
        self.topics.infos()
    }

    /// A number that changes whenever a topic is created, deleted, or gets more partitions: a cheap way to see that
    /// one may have. It follows from the topics alone.
    #[must_use]
    pub fn topics_fingerprint(&self) -> u64 {
        self.topics.fingerprint()
    }

    /// A topic by its name.
    #[must_use]
    pub fn topic_by_name(&self, name: &TopicName) -> Option<TopicInfo> {
        self.topics.id(name).and_then(|id| self.topics.info(id))
    }

    /// A topic by its id.
    #[must_use]
    pub fn topic_by_id(&self, topic: TopicId) -> Option<TopicInfo> {
        self.topics.info(topic)
    }

    /// A topic's id by its name: cheaper than [`State::topic_by_name`].
    #[must_use]
    pub fn topic_id(&self, name: &TopicName) -> Option<TopicId> {
        self.topics.id(name)
    }

    /// A topic's name by its id: cheaper than [`State::topic_by_id`].
    #[must_use]
    pub fn topic_name(&self, topic: TopicId) -> Option<&TopicName> {
        self.topics.get(topic).map(|topic| &topic.name)
    }

    /// A topic's settings: its configuration, parsed, with defaults filled in.
    #[must_use]
    pub fn settings(&self, topic: TopicId) -> Option<&TopicSettings> {
        self.topics.get(topic).map(Topic::settings)
    }

    /// The ends of a partition; `None` when it does not exist.
    #[must_use]
    pub fn head(&self, topic: TopicId, partition: PartitionIndex) -> Option<PartitionHead> {
        self.topics.partition(topic, partition).map(Partition::head)
    }

    /// All partitions with their ends, sorted by topic id and index.
    pub fn heads(&self) -> impl Iterator<Item = (TopicPartition, PartitionHead)> {
        self.topics.partitions().map(|(at, partition)| (at, partition.head()))
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
        let partition = self.topics.partition(topic, partition);
        partition.map(|found| found.coordinates.find(from, bytes_max, count_max)).unwrap_or_default()
    }

    /// All coordinates of a partition, in the order of their offsets. There may be a million of them.
    pub fn rows(&self, topic: TopicId, partition: PartitionIndex) -> impl Iterator<Item = &BatchCoordinates> {
        self.topics.partition(topic, partition).into_iter().flat_map(|found| found.coordinates.iter())
    }

    /// The first coordinates whose largest timestamp is at or after `at`; time look-ups begin there. That timestamp
    /// may be one of a record below the log start; then the look-up goes on with the next coordinates.
    #[must_use]
    pub fn find_time(
        &self,
        topic: TopicId,
        partition: PartitionIndex,
        at: Timestamp,
    ) -> Option<BatchCoordinates> {
        self.topics.partition(topic, partition)?.coordinates.find_time(at)
    }

    /// The first coordinates with the partition's largest timestamp (ListOffsets -3).
    #[must_use]
    pub fn find_max_time(&self, topic: TopicId, partition: PartitionIndex) -> Option<BatchCoordinates> {
        self.topics.partition(topic, partition)?.coordinates.find_max_time()
    }

    /// Makes again what snapshots leave out because it follows from the rest.
    pub(crate) fn rebuild(&mut self) {
        self.topics.rebuild();
        if is_planted(Bug::SnapshotWithoutProducers) {
            let all: Vec<_> = self.topics.partitions().map(|(at, _)| at).collect();
            for at in all {
                if let Some(partition) = self.topics.partition_mut(at.topic, at.partition) {
                    partition.producers.clear();
                }
            }
        }
        self.producer_ids.rebuild();
        self.idle = IdleList::rebuild(&self.topics);
        self.groups.rebuild();
        self.objects.rebuild();
    }
}
