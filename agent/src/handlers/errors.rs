//! What Kafka calls our errors: the one place that maps them to its codes. Codes that ask a client to retry are
//! given only where a retry can help.

use ebb_coordinator::GroupError;
use ebb_metastore::{
    MetastoreError,
    outcome::{BatchRefusal, Outcome, Refusal},
    state::config::ConfigError,
};
use ebb_protocol::{
    batch::{BatchError, CompressionError, RecordError},
    error::ResponseError,
    ids::InvalidTopicName,
    messages::StrBytes,
};
use ebb_segment::store::StoreError;

use crate::broker::{CreateTopicError, FetchError, ProduceError};

/// The longest message that a response carries, in characters.
const MESSAGE_CHARS_MAX: usize = 512;

/// A Kafka error code and what a human should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: ResponseError,
    pub(super) message: String,
    /// The records of a batch that are to blame, by their place in it; none where the whole batch is (KIP-467).
    pub(super) records: Vec<i32>,
}

impl Failure {
    pub(super) fn new(code: ResponseError, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), records: Vec::new() }
    }

    /// The message as a response carries it.
    pub(super) fn text(&self) -> StrBytes {
        StrBytes::from_string(self.message.chars().take(MESSAGE_CHARS_MAX).collect())
    }

    pub(super) fn unknown_topic() -> Self {
        Self::new(ResponseError::UnknownTopicOrPartition, "the topic does not exist")
    }

    pub(super) fn unknown_topic_id() -> Self {
        Self::new(ResponseError::UnknownTopicId, "no topic has this id")
    }

    pub(super) fn unknown_partition() -> Self {
        Self::new(ResponseError::UnknownTopicOrPartition, "the partition does not exist")
    }

    pub(super) fn no_leader() -> Self {
        Self::new(ResponseError::LeaderNotAvailable, "no agent is reached by this transport")
    }
}

impl From<MetastoreError> for Failure {
    fn from(error: MetastoreError) -> Self {
        let code = match error {
            // The effect is unknown, or was not had: the client may ask again.
            MetastoreError::Indeterminate(_) | MetastoreError::Unavailable(_) => {
                ResponseError::RequestTimedOut
            }
            // This agent can do nothing more; the client should look for another one.
            MetastoreError::Fenced
            | MetastoreError::Diverged(_)
            | MetastoreError::Unreadable(..)
            | MetastoreError::Closed => ResponseError::KafkaStorageError,
        };
        Self::new(code, error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Damaged(..) | StoreError::Missing(_) => ResponseError::CorruptMessage,
            StoreError::Unavailable(_) | StoreError::Denied(_) | StoreError::Full(_) => {
                ResponseError::KafkaStorageError
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::UnknownPartition => Self::unknown_partition(),
            FetchError::OffsetOutOfRange(_) => Self::new(ResponseError::OffsetOutOfRange, error.to_string()),
            FetchError::Storage(error) => error.into(),
            FetchError::Metastore(error) => error.into(),
        }
    }
}

impl From<ProduceError> for Failure {
    fn from(error: ProduceError) -> Self {
        let code = match &error {
            ProduceError::Refused(refusal) => return (*refusal).into(),
            // The append may yet have happened, and clients must know: this code says so to them.
            ProduceError::TimedOut(_) => ResponseError::RequestTimedOut,
            ProduceError::Storage(_) | ProduceError::Closed => ResponseError::KafkaStorageError,
        };
        Self::new(code, error.to_string())
    }
}

impl From<BatchRefusal> for Failure {
    fn from(refusal: BatchRefusal) -> Self {
        let code = match refusal {
            BatchRefusal::UnknownPartition => ResponseError::UnknownTopicOrPartition,
            BatchRefusal::DuplicateSequence => ResponseError::DuplicateSequenceNumber,
            BatchRefusal::OutOfOrderSequence => ResponseError::OutOfOrderSequenceNumber,
            BatchRefusal::StaleProducerEpoch => ResponseError::InvalidProducerEpoch,
            BatchRefusal::UnknownProducer => ResponseError::UnknownProducerId,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::StaleAgent => ResponseError::KafkaStorageError,
            Refusal::UnknownTopic(_) | Refusal::UnknownPartition => ResponseError::UnknownTopicOrPartition,
            Refusal::TopicExists => ResponseError::TopicAlreadyExists,
            Refusal::InvalidPartitionCount => ResponseError::InvalidPartitions,
            Refusal::OffsetOutOfRange => ResponseError::OffsetOutOfRange,
            Refusal::StaleProducerEpoch => ResponseError::InvalidProducerEpoch,
            Refusal::UnknownProducer => ResponseError::UnknownProducerId,
            Refusal::Malformed | Refusal::ClusterFull | Refusal::GroupsFull | Refusal::GroupConfigsFull => {
                ResponseError::PolicyViolation
            }
            Refusal::NotCoordinator | Refusal::StaleGroup => ResponseError::NotCoordinator,
            Refusal::UnknownGroup => ResponseError::GroupIdNotFound,
            Refusal::GroupNotEmpty => ResponseError::NonEmptyGroup,
            Refusal::UnknownMember => ResponseError::UnknownMemberId,
            Refusal::StaleMember => ResponseError::IllegalGeneration,
            Refusal::GroupFull => ResponseError::GroupMaxSizeReached,
            Refusal::GroupTooLarge => ResponseError::InvalidCommitOffsetSize,
            Refusal::OffsetMetadataTooLarge => ResponseError::OffsetMetadataTooLarge,
            Refusal::ClusterExists
            | Refusal::SegmentTooOld
            | Refusal::SegmentCommitted
            | Refusal::OutOfTurn
            | Refusal::UnknownAgent
            | Refusal::StaleArchive
            | Refusal::ArchiveInPart
            | Refusal::ArchiveTooOld
            | Refusal::ArchivePublished
            | Refusal::WorkClaimed
            | Refusal::ClaimsFull => ResponseError::UnknownServerError,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<GroupError> for Failure {
    fn from(error: GroupError) -> Self {
        let code = match error {
            GroupError::MemberIdRequired(_) => ResponseError::MemberIdRequired,
            GroupError::UnknownMember => ResponseError::UnknownMemberId,
            GroupError::IllegalGeneration => ResponseError::IllegalGeneration,
            GroupError::RebalanceInProgress => ResponseError::RebalanceInProgress,
            GroupError::InconsistentProtocol => ResponseError::InconsistentGroupProtocol,
            GroupError::InvalidSessionTimeout => ResponseError::InvalidSessionTimeout,
            GroupError::FencedInstance => ResponseError::FencedInstanceId,
            GroupError::GroupFull | GroupError::GroupTooLarge => ResponseError::GroupMaxSizeReached,
            GroupError::UnknownGroup => ResponseError::GroupIdNotFound,
            GroupError::NotEmpty => ResponseError::NonEmptyGroup,
            GroupError::InvalidGroupId => ResponseError::InvalidGroupId,
            GroupError::OffsetsTooLarge => ResponseError::InvalidCommitOffsetSize,
            GroupError::OffsetMetadataTooLarge => ResponseError::OffsetMetadataTooLarge,
            GroupError::GroupsFull => ResponseError::PolicyViolation,
            GroupError::FencedMemberEpoch => ResponseError::FencedMemberEpoch,
            GroupError::StaleMemberEpoch => ResponseError::StaleMemberEpoch,
            GroupError::UnreleasedInstance => ResponseError::UnreleasedInstanceId,
            GroupError::UnsupportedAssignor(_) => ResponseError::UnsupportedAssignor,
            GroupError::InvalidRegularExpression(_) => ResponseError::InvalidRegularExpression,
            GroupError::InvalidRequest(_) => ResponseError::InvalidRequest,
            GroupError::SubscribedToTopic => ResponseError::GroupSubscribedToTopic,
            GroupError::NotCoordinator => ResponseError::NotCoordinator,
            GroupError::Unavailable(_) => ResponseError::CoordinatorNotAvailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<CreateTopicError> for Failure {
    fn from(error: CreateTopicError) -> Self {
        match error {
            CreateTopicError::Refused(_, refusal) => refusal.into(),
            CreateTopicError::Metastore(error) => error.into(),
        }
    }
}

impl From<BatchError> for Failure {
    fn from(error: BatchError) -> Self {
        Self::new(error.response_error(), error.to_string())
    }
}

impl From<CompressionError> for Failure {
    fn from(error: CompressionError) -> Self {
        Self::new(ResponseError::CorruptMessage, error.to_string())
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        Self::new(ResponseError::InvalidRecord, error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(ResponseError::InvalidConfig, error.to_string())
    }
}

impl From<InvalidTopicName> for Failure {
    fn from(error: InvalidTopicName) -> Self {
        Self::new(ResponseError::InvalidTopicException, error.to_string())
    }
}

/// The outcome of one command: itself, or why it was refused.
pub(super) fn accepted(outcome: Outcome) -> Result<Outcome, Failure> {
    match outcome {
        Outcome::Refused(refusal) => Err(refusal.into()),
        outcome => Ok(outcome),
    }
}
