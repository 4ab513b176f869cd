//! Plain values that administrative calls about groups answer.

use crate::{Offset, PartitionIndex};

/// Which protocol a group's members speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupProtocol {
    /// The protocol of JoinGroup and SyncGroup: members assign partitions to each other.
    Classic,
    /// The protocol of KIP-848: the coordinator assigns.
    Consumer,
}

/// A group in a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedGroup {
    /// The group's id.
    pub id: String,
    /// Which protocol its members speak, when the server says so.
    pub protocol: Option<GroupProtocol>,
    /// Kafka's name for its state, such as `Stable` or `Empty`; empty from old servers.
    pub state: String,
}

/// A group as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// The group's id.
    pub id: String,
    /// Which protocol its members speak.
    pub protocol: GroupProtocol,
    /// Kafka's name for its state.
    pub state: String,
    /// What assigns partitions to members, if anything does.
    pub assignor: String,
    /// Counts the changes of members and subscriptions. None for classic groups, which do not tell.
    pub epoch: Option<i32>,
    /// Its members, sorted by id.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// The id that it has until it leaves.
    pub id: String,
    /// Its name that outlives restarts, if it is a static member (KIP-345).
    pub instance_id: Option<String>,
    /// Where it runs, if it says so; groups of the classic protocol do not tell.
    pub rack: Option<String>,
    /// The name of its client.
    pub client_id: String,
    /// The host that it connected from.
    pub client_host: String,
    /// The topics and partitions that it has, sorted.
    pub assignment: Vec<(String, PartitionIndex)>,
}

/// An offset that a group has committed: where it will go on reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset after the last record that was processed.
    pub offset: Offset,
    /// What the member noted with it.
    pub metadata: String,
}
