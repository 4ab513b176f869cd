//! Commands: the facts that agents record. They are persisted in entries, so their encoding is a format:
//! variants and fields are only ever added under a new entry version, and golden bytes hold it.

mod archive;
mod groups;

use std::net::IpAddr;

use ebb_protocol::ids::{
    AgentId, ArchiveId, ByteRange, ClusterId, GroupId, HostId, LogPosition, Offset, PartitionIndex,
    ProducerEpoch, ProducerId, SegmentId, Sequence, Timestamp, TopicId, TopicName,
};
use postcard::{ser_flavors, serialize_with_flavor};
use serde::{Deserialize, Serialize};

pub use self::archive::{ArchiveSpan, FileColumns, PublishArchive, RecordCompaction, Work};
pub use self::groups::{
    ClassicGroup, ClassicMember, ClassicPart, CommitFence, CommitOffsets, CommittedOffset, ConsumerGroup,
    ConsumerMember, DeleteOffsets, GroupChange, Partitions, UpdateGroup,
};

/// One fact to record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Founds the cluster. Only the first one takes effect.
    CreateCluster {
        /// The id that the cluster keeps for ever.
        cluster: ClusterId,
    },
    /// Makes an agent known. A live agent with the same advertised address is sealed by it; one at
    /// loopback on another host has another address.
    RegisterAgent(RegisterAgent),
    /// Puts an agent out: none of its later entries takes effect.
    SealAgent {
        /// The agent to put out; itself on an ordered shutdown.
        agent: AgentId,
    },
    /// Creates a topic.
    CreateTopic(CreateTopic),
    /// Raises a topic's partition count.
    CreatePartitions {
        /// The topic.
        topic: TopicId,
        /// The new total count.
        total: i32,
    },
    /// Deletes a topic with all its records.
    DeleteTopic {
        /// The topic.
        topic: TopicId,
    },
    /// Sets and unsets keys of a topic's configuration, all or nothing.
    AlterTopicConfig {
        /// The topic.
        topic: TopicId,
        /// The new value of each key; `None` takes the key back to its default.
        changes: Vec<(String, Option<String>)>,
    },
    /// Gives offsets to the batches of one segment.
    CommitSegment(CommitSegment),
    /// Moves a partition's log start offset forward.
    DeleteRecords {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
        /// The new log start offset; `None` means the high watermark.
        before: Option<Offset>,
    },
    /// Gives out a producer id, or the next epoch of one (InitProducerId; KIP-98, KIP-360).
    InitProducer {
        /// The id and epoch that the producer holds already; `None` asks for a fresh id.
        current: Option<(ProducerId, ProducerEpoch)>,
    },
    /// Declares that entries below a position may be dropped once the grace has passed.
    TruncateLog {
        /// The first position that stays.
        below: LogPosition,
    },
    /// Declares that segments and archive files minted before an instant and not committed by now never will be.
    RaiseSweepBoundary {
        /// The instant: a commit of an id minted before it is refused from now on.
        minted_before: Timestamp,
    },
    /// Forgets dead objects that have been deleted from the store.
    ForgetObjects {
        /// The deleted objects.
        objects: Vec<ObjectRef>,
    },
    /// Changes a consumer group.
    UpdateGroup(UpdateGroup),
    /// Deletes a group that has no members, with its offsets.
    DeleteGroup {
        /// The group.
        group: GroupId,
    },
    /// Records committed offsets.
    CommitOffsets(CommitOffsets),
    /// Removes committed offsets.
    DeleteOffsets(DeleteOffsets),
    /// Sets and unsets keys of a group's configuration, all or nothing. The group need not exist.
    AlterGroupConfig {
        /// The group.
        group: GroupId,
        /// The new value of each key; `None` takes the key back to its default.
        changes: Vec<(String, Option<String>)>,
    },
    /// Puts an archive file in the place of what it was made from.
    PublishArchive(PublishArchive),
    /// Tells other compactors to leave a piece of work to this one. It saves them the work; safety needs no claim,
    /// because whoever publishes second is refused.
    ClaimWork {
        /// The work.
        work: Work,
        /// The version of an overlapping claim that the claimant has watched unchanged for its time-out, by its own
        /// clock, and takes over.
        seen: Option<u64>,
    },
    /// Gives a claim back.
    ReleaseWork {
        /// The work, as it was claimed.
        work: Work,
    },
    /// Records how far a topic is compacted by key.
    RecordCompaction(RecordCompaction),
}

/// What an agent says of itself when it registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterAgent {
    /// The id of this run of the agent.
    pub agent: AgentId,
    /// `host:port` under which Kafka clients reach it over TCP, when it listens there. One that listens nowhere only
    /// writes entries: no client is sent to it, and it coordinates no group.
    pub kafka: Option<Endpoint>,
    /// `host:port` under which clients reach it over QUIC, when it listens there.
    pub quic: Option<Endpoint>,
    /// The zone it runs in; empty when there is one zone only.
    pub zone: String,
    /// The newest command version that it understands.
    pub understands: u16,
    /// The host that it runs on, when it knows.
    pub host: Option<HostId>,
}

/// A host and port as clients dial it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// Whether it leads everybody who dials it to their own host.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let named = || self.host.eq_ignore_ascii_case("localhost");
        self.host.parse::<IpAddr>().map_or_else(|_| named(), |address| address.is_loopback())
    }
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopic {
    /// The topic's id, minted by the agent.
    pub topic: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Its partition count, at least 1.
    pub partitions: i32,
    /// Its configuration, where it differs from the defaults.
    pub config: Vec<(String, String)>,
}

/// The batches of one segment, in the order in which they stand in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitSegment {
    /// Id of the segment. Minted in publish order by its agent, also for one that rides inside the entry.
    pub segment: SegmentId,
    /// Where its bytes are.
    pub body: BodyPlace,
    /// Runs of batches, sorted by topic and partition; each run belongs to one partition.
    pub runs: Vec<Run>,
}

/// Where a segment's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyPlace {
    /// In an object of its own, named after the segment id.
    Object {
        /// The object's size in bytes.
        bytes: u64,
    },
    /// Behind the commands of the entry that carries this command.
    Inline,
}

/// Batches of one partition that lie next to each other in a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The run's bytes, counted from the start of the segment.
    pub range: ByteRange,
    /// Its batches, in order; their lengths add up to the range's.
    pub batches: Vec<BatchFacts>,
}

/// What the metastore must know of a batch to place it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchFacts {
    /// The batch's length in bytes, header included.
    pub bytes: u32,
    /// How many offsets it takes: last offset delta + 1.
    pub records: u32,
    /// The largest timestamp of its records.
    pub max_timestamp: Timestamp,
    /// Its idempotent producer, if it has one.
    pub producer: Option<BatchProducer>,
}

/// The producer fields of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchProducer {
    /// Producer id.
    pub id: ProducerId,
    /// Producer epoch.
    pub epoch: ProducerEpoch,
    /// Sequence of the first record.
    pub sequence: Sequence,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
}

/// An object that holds records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObjectRef {
    /// A segment object.
    Segment(SegmentId),
    /// The entry at a position of the commit log, whose object carries a segment body.
    Entry(LogPosition),
    /// An archive file. Its key names the topic too, so that analysts find the files of a topic together.
    Archive(ArchiveId),
}

/// The bytes of a command, or of a part of one, in an entry. They are a format, so replicas agree on them.
pub(crate) fn encoded_bytes(value: &impl Serialize) -> usize {
    serialize_with_flavor(value, ser_flavors::Size::default()).expect("counting bytes does not fail")
}
