//! What survives of a consumer group, and the changes by which its coordinator records it. Heartbeats, waiting
//! requests and timers are not here: they live in the coordinator's memory.

use std::collections::BTreeMap;

use ebb_protocol::ids::{GroupId, MemberId, Offset, PartitionIndex, TopicId};
use serde::{Deserialize, Serialize};

/// Partitions by topic; no topic has an empty list, and lists are sorted.
pub type Partitions = BTreeMap<TopicId, Vec<PartitionIndex>>;

/// Changes to one group, all or nothing. Only the group's coordinator may record them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateGroup {
    /// The group; created by its first update.
    pub group: GroupId,
    /// The group's version when the changes were computed, 0 for a group that does not exist. Refused when it has
    /// another, so that a coordinator that lost the group and got it back cannot write from old memory. The version
    /// after the update is in its outcome ([`crate::outcome::Outcome::GroupUpdated`]).
    pub version: u64,
    /// The changes, in order. A group that they create must get a protocol by them.
    pub changes: Vec<GroupChange>,
}

/// One change to a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupChange {
    /// Sets what all members of a classic group share. Members of the other protocol are dropped.
    Classic(ClassicGroup),
    /// Adds or replaces a member of a classic group.
    PutClassicMember(MemberId, Box<ClassicMember>),
    /// Sets what all members of a consumer group (KIP-848) share. Members of the other protocol are dropped.
    Consumer(ConsumerGroup),
    /// Adds or replaces a member of a consumer group.
    PutConsumerMember(MemberId, Box<ConsumerMember>),
    /// Removes a member.
    RemoveMember(MemberId),
}

/// What the members of a classic group share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassicGroup {
    /// `consumer`, `connect`, or what else the members say.
    pub protocol_type: String,
    /// The generation; rises with each rebalance.
    pub generation: i32,
    /// The protocol (assignor) that all members speak.
    pub protocol: Option<String>,
    /// The member that assigns.
    pub leader: Option<MemberId>,
}

/// A member of a classic group, as of the last generation that was synchronised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassicMember {
    /// `group.instance.id` of a static member (KIP-345).
    pub instance: Option<String>,
    /// The client's own name.
    pub client_id: String,
    /// The address it came from.
    pub client_host: String,
    /// Its session time-out in milliseconds.
    pub session_timeout_ms: i32,
    /// Its rebalance time-out in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// The protocols it speaks, most wanted first, each with its opaque metadata.
    pub protocols: Vec<(String, Vec<u8>)>,
    /// What the leader assigned to it, opaque.
    pub assignment: Vec<u8>,
}

/// What the members of a consumer group share (KIP-848).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerGroup {
    /// Rises when a member or a subscribed topic changes.
    pub epoch: i32,
    /// The group epoch of which the members' targets were computed.
    pub assignment_epoch: i32,
}

/// A member of a consumer group (KIP-848).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerMember {
    /// `group.instance.id` of a static member.
    pub instance: Option<String>,
    /// The rack it says it is in.
    pub rack: Option<String>,
    /// The client's own name.
    pub client_id: String,
    /// The address it came from.
    pub client_host: String,
    /// Its rebalance time-out in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// The topics it subscribes to by name, sorted; they need not exist.
    pub topics: Vec<String>,
    /// The regular expression it subscribes by, if any.
    pub regex: Option<String>,
    /// The server-side assignor that it wants.
    pub assignor: Option<String>,
    /// Its epoch; -2 for a static member that has left for a while.
    pub epoch: i32,
    /// The epoch before, which is still accepted in one heartbeat (its answer may have been lost).
    pub previous_epoch: i32,
    /// What it owns now.
    pub assigned: Partitions,
    /// What it must give up and has not confirmed yet.
    pub revoking: Partitions,
    /// What it is to own.
    pub target: Partitions,
    /// What it said as a classic member, when it speaks that protocol in a consumer group (online migration).
    pub classic: Option<ClassicPart>,
}

/// The classic side of a member that speaks the classic protocol in a consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassicPart {
    /// Its session time-out in milliseconds.
    pub session_timeout_ms: i32,
    /// The protocols it speaks, most wanted first, each with its opaque metadata.
    pub protocols: Vec<(String, Vec<u8>)>,
}

/// Offsets to commit, all or nothing. Only the group's coordinator may record them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitOffsets {
    /// The group; a simple group is created by its first commit, and vanishes with its last offset.
    pub group: GroupId,
    /// On whose behalf: checked against the group as it stands when the command is applied.
    pub fence: CommitFence,
    /// The offsets. Those of partitions that do not exist (any more) are passed over. They count as committed at the
    /// state's time.
    pub offsets: Vec<(TopicId, PartitionIndex, CommittedOffset)>,
}

/// Who commits, and as of when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommitFence {
    /// Somebody outside the group (generation -1, no member id): allowed while the group has no members.
    Simple,
    /// A member at a generation of the classic protocol. It may be one of a consumer group that speaks the classic
    /// protocol; then the generation is its epoch.
    Classic(MemberId, i32),
    /// A member at a member epoch (KIP-848).
    Consumer(MemberId, i32),
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedOffset {
    /// The offset of the next record to read.
    pub offset: Offset,
    /// The leader epoch of the last record read, -1 when the client did not say (KIP-320).
    pub leader_epoch: i32,
    /// The client's own words.
    pub metadata: String,
}

/// Committed offsets to remove. Only the group's coordinator may record it. The coordinator has checked that no
/// member subscribes to the topics (OffsetDelete, KIP-496).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteOffsets {
    /// The group.
    pub group: GroupId,
    /// Which.
    pub partitions: Vec<(TopicId, PartitionIndex)>,
}
