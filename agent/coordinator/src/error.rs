//! Why a group refuses a request. The agent maps each to Kafka's code of the same name.

use ebb_protocol::ids::MemberId;

use crate::StoreError;

/// Why a group refuses a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// A member must join again with the id that the coordinator gave it (KIP-394).
    #[error("join again with the member id {0}")]
    MemberIdRequired(MemberId),
    /// The group has no such member.
    #[error("the group has no such member")]
    UnknownMember,
    /// The member's generation is not the group's.
    #[error("the member's generation is not the group's present one")]
    IllegalGeneration,
    /// The group rebalances: join again.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// The member's protocols have nothing in common with those of the others, or another type.
    #[error("the member's protocols do not fit those of the group")]
    InconsistentProtocol,
    /// The session time-out is out of bounds.
    #[error("the session time-out is out of bounds")]
    InvalidSessionTimeout,
    /// Another member has taken the instance id (KIP-345).
    #[error("another member has taken this group instance id")]
    FencedInstance,
    /// The group has as many members as it may have.
    #[error("the group is full")]
    GroupFull,
    /// There is no such group.
    #[error("the group does not exist")]
    UnknownGroup,
    /// The group has members.
    #[error("the group has members")]
    NotEmpty,
    /// The group id is empty, where a group needs one, or too long.
    #[error("the group id is empty or too long")]
    InvalidGroupId,
    /// The group's members, or one of them, would take more bytes than they may.
    #[error("the group's members would take more bytes than a group may have: ask for less")]
    GroupTooLarge,
    /// The group would have more offsets, or more bytes of them, than it may have.
    #[error("the group would hold more offsets than it may hold: delete some first")]
    OffsetsTooLarge,
    /// The metadata of a committed offset is too long.
    #[error("the metadata of the offset is too long")]
    OffsetMetadataTooLarge,
    /// There are as many groups, or bytes in groups, as there may be.
    #[error("there are as many groups as there may be: delete some first")]
    GroupsFull,
    /// The member's epoch is not the one the coordinator knows: it must give up everything and join again (KIP-848).
    #[error("the member's epoch has been fenced")]
    FencedMemberEpoch,
    /// The commit comes from an older epoch of the member (KIP-848).
    #[error("the member's epoch is stale")]
    StaleMemberEpoch,
    /// The instance id is still held by a live member (KIP-848).
    #[error("the group instance id is still in use")]
    UnreleasedInstance,
    /// There is no such server-side assignor.
    #[error("unknown assignor {0:?}: use uniform or range")]
    UnsupportedAssignor(String),
    /// The regular expression is not one of RE2.
    #[error("invalid regular expression: {0}")]
    InvalidRegularExpression(String),
    /// The request contradicts itself.
    #[error("invalid request: {0}")]
    InvalidRequest(&'static str),
    /// A member subscribes to the topic.
    #[error("a member of the group subscribes to the topic")]
    SubscribedToTopic,
    /// The group has moved to another agent, or this one's knowledge of it is old: find the coordinator again.
    #[error("this agent does not coordinate the group")]
    NotCoordinator,
    /// The update could not be recorded in time.
    #[error("the group's state could not be recorded: {0}")]
    Unavailable(String),
}

/// What those are told who waited for an update that did not take effect.
impl From<StoreError> for GroupError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Lost => Self::NotCoordinator,
            StoreError::Refused(error) => error,
            StoreError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}
