//! Outcomes: what `apply` answers to each command. Deterministic, never persisted as such, but hashed into the
//! state's chain, so that replicas that diverge are found. Agents of different versions share one chain, therefore
//! variants and fields keep their order and new ones go to the end.

use ebb_protocol::ids::{AgentEpoch, BrokerId, Offset, ProducerEpoch, ProducerId, TopicId};
use serde::Serialize;

/// The answer to one command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// The command took effect and there is nothing to add.
    Done,
    /// An agent was registered.
    AgentRegistered {
        /// Its number as Kafka clients see it.
        broker: BrokerId,
        /// The epoch under which it may write entries.
        epoch: AgentEpoch,
    },
    /// A segment's batches were placed, batch by batch: one list a run, one outcome a batch.
    Committed {
        /// Outcomes in the order of the command's runs and batches.
        runs: Vec<Vec<BatchOutcome>>,
    },
    /// A partition's log start moved.
    RecordsDeleted {
        /// The partition's log start offset now.
        log_start: Offset,
    },
    /// A producer id was given out.
    ProducerReady {
        /// The id.
        id: ProducerId,
        /// Its epoch.
        epoch: ProducerEpoch,
    },
    /// The command did not hold and changed nothing.
    Refused(Refusal),
    /// A group was updated.
    GroupUpdated {
        /// The group's version now, which its next update must name.
        version: u64,
    },
    /// Work was claimed.
    WorkClaimed {
        /// The claim's version: another one may take it over that has seen it unchanged for long.
        version: u64,
    },
}

/// What became of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum BatchOutcome {
    /// Appended at this base offset.
    Appended {
        /// Offset of its first record.
        base: Offset,
        /// The partition's log start offset.
        log_start: Offset,
    },
    /// Appended before, at this base offset; nothing was done.
    Duplicate {
        /// Offset of its first record.
        base: Offset,
        /// The partition's log start offset.
        log_start: Offset,
    },
    /// Not appended.
    Refused(BatchRefusal),
}

/// Why a batch was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub enum BatchRefusal {
    /// The topic or partition does not exist (any more).
    #[error("the partition does not exist")]
    UnknownPartition,
    /// The sequence was appended before, but too long ago to tell its offset.
    #[error("the sequence number was appended before")]
    DuplicateSequence,
    /// The sequence is ahead of the partition's last one.
    #[error("the sequence number does not follow the partition's last one")]
    OutOfOrderSequence,
    /// A newer epoch of the producer id exists.
    #[error("a newer epoch of the producer exists")]
    StaleProducerEpoch,
    /// The producer id was never given out, or the partition has not seen it (lately) and the sequence is not 0.
    #[error("the producer id is unknown to the partition")]
    UnknownProducer,
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub enum Refusal {
    /// The entry's agent is not registered, sealed, or wrote under another epoch than its own.
    #[error("the agent has been put out of the cluster")]
    StaleAgent,
    /// The cluster was founded before.
    #[error("the cluster exists already")]
    ClusterExists,
    /// No topic has this id.
    #[error("topic {0} does not exist")]
    UnknownTopic(TopicId),
    /// The topic has no such partition.
    #[error("the partition does not exist")]
    UnknownPartition,
    /// A topic of this name exists.
    #[error("a topic of this name exists already")]
    TopicExists,
    /// The partition count is below 1, above the limit, or not above the present one.
    #[error("the partition count is out of range")]
    InvalidPartitionCount,
    /// The offset lies outside the log.
    #[error("the offset lies outside the log")]
    OffsetOutOfRange,
    /// The producer holds an id or epoch that is not current.
    #[error("the producer's epoch is not current")]
    StaleProducerEpoch,
    /// The producer id was never given out.
    #[error("the producer id is unknown")]
    UnknownProducer,
    /// The segment was minted before the sweep boundary, so its object may be gone.
    #[error("the segment is older than the sweep boundary")]
    SegmentTooOld,
    /// The segment was committed before.
    #[error("the segment was committed before")]
    SegmentCommitted,
    /// The command contradicts itself or a limit; a bug or a forged entry.
    #[error("the command is malformed")]
    Malformed,
    /// The entry's number is not its agent's next: a ghost of an entry that was applied elsewhere, or one that
    /// came before its predecessor and will be appended again. The agent itself is in good standing.
    #[error("the entry is out of turn")]
    OutOfTurn,
    /// No live agent has this id.
    #[error("the agent is not live")]
    UnknownAgent,
    /// The cluster has as many topics or partitions as it can hold.
    #[error("the cluster is at its limit of topics or partitions: delete some first")]
    ClusterFull,
    /// The agent does not coordinate the group (any more).
    #[error("the agent does not coordinate the group")]
    NotCoordinator,
    /// The group was changed since the update was computed.
    #[error("the group has changed meanwhile")]
    StaleGroup,
    /// There is no such group.
    #[error("the group does not exist")]
    UnknownGroup,
    /// The group has members.
    #[error("the group has members")]
    GroupNotEmpty,
    /// The group has no such member.
    #[error("the group has no such member")]
    UnknownMember,
    /// The member's generation or epoch is not the group's present one.
    #[error("the member's generation or epoch is not current")]
    StaleMember,
    /// The group would have more members than it may have.
    #[error("the group has as many members as it may have")]
    GroupFull,
    /// The group's offsets or the bytes of its members would exceed their limits, or those of one member would.
    #[error("the group would hold more than it may hold")]
    GroupTooLarge,
    /// The metadata of a committed offset is too long.
    #[error("the metadata of the offset is too long")]
    OffsetMetadataTooLarge,
    /// The cluster has as many groups, or bytes in groups, as it can hold.
    #[error("the cluster is at its limit of groups: delete some first")]
    GroupsFull,
    /// As many groups have a configuration of their own as may have one.
    #[error("too many groups have a configuration of their own: take some back to the defaults first")]
    GroupConfigsFull,
    /// What the archive file was made from is not there (any more).
    #[error("what the archive file replaces has changed meanwhile")]
    StaleArchive,
    /// The archive file would take over some of another one's rows and leave others. A table has whole files only, so
    /// its readers would see records twice.
    #[error("an archive file would be replaced in part: replace all of its rows")]
    ArchiveInPart,
    /// The archive file was minted before the sweep boundary, so its object may be gone.
    #[error("the archive file is older than the sweep boundary")]
    ArchiveTooOld,
    /// The archive file was published before.
    #[error("the archive file was published before")]
    ArchivePublished,
    /// Another agent has claimed the work, or some that overlaps it.
    #[error("the work is claimed by another agent")]
    WorkClaimed,
    /// There are as many claims as there may be.
    #[error("too much work is claimed at once")]
    ClaimsFull,
}
