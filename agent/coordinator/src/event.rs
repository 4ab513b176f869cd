//! What happens to a group, and what follows: the requests, the answers, and the updates to record.

use ebb_metastore::command::{GroupChange, Partitions};
use ebb_protocol::ids::MemberId;

use crate::GroupError;

/// The longest member id, instance id and rack, in bytes: they are kept with every group.
pub(crate) const ID_BYTES_MAX: usize = 1_024;

/// The most that is kept of a client's name and of its address, in bytes.
const CLIENT_BYTES_MAX: usize = 255;

/// Names a request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The client's own name.
    pub id: String,
    /// Its address, as Kafka writes it: `/127.0.0.1`.
    pub host: String,
}

impl Client {
    /// Cuts what is too long: it is only there for people to read, and kept with every member.
    fn shorten(&mut self) {
        for text in [&mut self.id, &mut self.host] {
            text.truncate(text.floor_char_boundary(CLIENT_BYTES_MAX));
        }
    }
}

/// Something that happened to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member of the classic protocol joins (JoinGroup).
    Join(Ticket, JoinRequest),
    /// It asks for its assignment, and the leader brings all of them (SyncGroup).
    Sync(Ticket, SyncRequest),
    /// It is alive (Heartbeat).
    Heartbeat(Ticket, ClassicHeartbeat),
    /// Members leave, or are removed by an administrator (LeaveGroup).
    Leave(Ticket, LeaveRequest),
    /// A member of KIP-848 joins, is alive, acknowledges, or leaves (ConsumerGroupHeartbeat).
    ConsumerHeartbeat(Ticket, ConsumerHeartbeat),
    /// The update that was in flight is durable and applied, or is not.
    Stored(Result<(), StoreError>),
    /// Topics were created, deleted, or got more partitions.
    TopicsChanged,
    /// A deadline may have passed.
    Tick,
}

impl Event {
    /// Cuts what is only kept for people to read.
    pub(crate) fn shorten(&mut self) {
        match self {
            Self::Join(_, said) => said.client.shorten(),
            Self::ConsumerHeartbeat(_, said) => said.client.shorten(),
            _ => {}
        }
    }

    /// About what it takes in memory while it waits, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let said: usize = match self {
            Self::Join(_, said) => {
                said.protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum()
            }
            Self::Sync(_, said) => {
                said.assignments.iter().map(|(id, bytes)| id.as_str().len() + bytes.len()).sum()
            }
            Self::Leave(_, said) => said.members.len() * ID_BYTES_MAX,
            Self::ConsumerHeartbeat(_, said) => {
                let topics = said.topics.iter().flatten().map(|name| size_of::<String>() + name.len());
                let owned = said.owned.iter().flatten().map(|(_, indexes)| 64 + 4 * indexes.len());
                topics.chain(owned).sum()
            }
            Self::Heartbeat(..) | Self::Stored(_) | Self::TopicsChanged | Self::Tick => 0,
        };
        size_of::<Self>() + said
    }
}

/// Why an update did not take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The group has moved or changed: this machine must be dropped, and everybody who waits sent away.
    Lost,
    /// It does not fit, and never will: everybody who waits is told why, and the machine is dropped.
    Refused(GroupError),
    /// The metastore did not answer in time: it may or may not have taken effect. The machine is dropped too.
    Unavailable(String),
}

/// What follows of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Answers to requests, each exactly once.
    pub replies: Vec<(Ticket, Reply)>,
    /// An update to record; [`Event::Stored`] must follow.
    pub store: Option<Vec<GroupChange>>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To JoinGroup.
    Join(Result<JoinAnswer, GroupError>),
    /// To SyncGroup.
    Sync(Result<SyncAnswer, GroupError>),
    /// To Heartbeat.
    Heartbeat(Result<(), GroupError>),
    /// To LeaveGroup.
    Leave(Result<LeaveAnswer, GroupError>),
    /// To ConsumerGroupHeartbeat.
    ConsumerHeartbeat(Result<HeartbeatAnswer, GroupError>),
}

impl Reply {
    /// True when the request was granted.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        match self {
            Self::Join(result) => result.is_ok(),
            Self::Sync(result) => result.is_ok(),
            Self::Heartbeat(result) => result.is_ok(),
            Self::Leave(result) => result.is_ok(),
            Self::ConsumerHeartbeat(result) => result.is_ok(),
        }
    }

    /// The refusal of the same request.
    #[must_use]
    pub fn refused(&self, error: GroupError) -> Self {
        match self {
            Self::Join(_) => Self::Join(Err(error)),
            Self::Sync(_) => Self::Sync(Err(error)),
            Self::Heartbeat(_) => Self::Heartbeat(Err(error)),
            Self::Leave(_) => Self::Leave(Err(error)),
            Self::ConsumerHeartbeat(_) => Self::ConsumerHeartbeat(Err(error)),
        }
    }
}

/// JoinGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinRequest {
    /// The member's id; `None` when it has none yet.
    pub member: Option<MemberId>,
    /// The id that it gets when it has none: made by the caller, unique.
    pub fresh_member: String,
    /// Whether a dynamic member without an id is sent away with one first (KIP-394; from version 4 on).
    pub requires_known_member: bool,
    /// Whether the member may be told to skip the assignment (from version 9 on; KIP-814).
    pub supports_skipping_assignment: bool,
    /// `group.instance.id` of a static member.
    pub instance: Option<String>,
    /// Where it came from.
    pub client: Client,
    /// Its session time-out in milliseconds.
    pub session_timeout_ms: i32,
    /// Its rebalance time-out in milliseconds; version 0 has none and takes the session's.
    pub rebalance_timeout_ms: i32,
    /// `consumer`, `connect`, or what else it is.
    pub protocol_type: String,
    /// The protocols it speaks, most wanted first, each with its opaque metadata.
    pub protocols: Vec<(String, Vec<u8>)>,
}

/// The answer to JoinGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinAnswer {
    /// The member's id.
    pub member: String,
    /// The generation.
    pub generation: i32,
    /// The group's protocol type.
    pub protocol_type: String,
    /// The protocol that was chosen.
    pub protocol: String,
    /// The leader's id.
    pub leader: String,
    /// Whether the leader need not assign again (KIP-814).
    pub skip_assignment: bool,
    /// All members: for the leader only, empty for others.
    pub members: Vec<JoinedMember>,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member: String,
    /// Its `group.instance.id`.
    pub instance: Option<String>,
    /// Its metadata for the chosen protocol.
    pub metadata: Vec<u8>,
}

/// SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncRequest {
    /// The member.
    pub member: MemberId,
    /// Its `group.instance.id`.
    pub instance: Option<String>,
    /// Its generation.
    pub generation: i32,
    /// The protocol type that it believes in, when it says so (version 5).
    pub protocol_type: Option<String>,
    /// The protocol that it believes in, when it says so (version 5).
    pub protocol: Option<String>,
    /// The assignments, when it is the leader.
    pub assignments: Vec<(MemberId, Vec<u8>)>,
}

/// The answer to SyncGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncAnswer {
    /// The group's protocol type.
    pub protocol_type: String,
    /// The protocol.
    pub protocol: String,
    /// The member's assignment, opaque.
    pub assignment: Vec<u8>,
}

/// Heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicHeartbeat {
    /// The member.
    pub member: MemberId,
    /// Its `group.instance.id`.
    pub instance: Option<String>,
    /// Its generation.
    pub generation: i32,
}

/// LeaveGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveRequest {
    /// Who leaves.
    pub members: Vec<LeavingMember>,
}

/// A member that leaves, by its id, or by its instance id with an empty member id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    /// The member's id; empty when only the instance is known.
    pub member: String,
    /// Its `group.instance.id`.
    pub instance: Option<String>,
}

/// The answer to LeaveGroup: one result for each of its members, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaveAnswer {
    /// The results.
    pub members: Vec<Result<(), GroupError>>,
}

/// ConsumerGroupHeartbeat. `None` means "as before", as on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// The member's id; `None` (version 0) asks for one.
    pub member: Option<MemberId>,
    /// The id that it gets when it has none: made by the caller, unique.
    pub fresh_member: String,
    /// 0 to join, -1 to leave, -2 for a static member to leave for a while, else its epoch.
    pub epoch: i32,
    /// `group.instance.id`.
    pub instance: Option<String>,
    /// The member's rack.
    pub rack: Option<String>,
    /// Where it came from.
    pub client: Client,
    /// Its rebalance time-out in milliseconds; -1 when unchanged.
    pub rebalance_timeout_ms: i32,
    /// The topics subscribed to by name.
    pub topics: Option<Vec<String>>,
    /// The regular expression subscribed by; empty for none any more.
    pub regex: Option<String>,
    /// The assignor wanted.
    pub assignor: Option<String>,
    /// What the member owns.
    pub owned: Option<Partitions>,
}

/// The answer to ConsumerGroupHeartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    /// The member's id.
    pub member: String,
    /// The member's epoch.
    pub epoch: i32,
    /// When to send the next one, in milliseconds.
    pub interval_ms: i32,
    /// What the member is to own, when it changed or the member needs it.
    pub assignment: Option<Partitions>,
}
