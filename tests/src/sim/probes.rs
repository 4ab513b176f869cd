//! Probes: rare situations that a campaign must have met, or it has tested less than it seems.

/// A situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// An entry landed and its author was not told.
    CommitAnswerLost,
    /// An entry was refused because its position was taken.
    PositionTaken,
    /// Two agents offered entries for one position.
    AgentsRaced,
    /// A flush rode inside an entry.
    InlineFlush,
    /// A flush was a segment of its own.
    SegmentFlush,
    /// Several segments were committed by one entry.
    GroupCommit,
    /// A batch that came again was answered with its first offset.
    DuplicateAnswered,
    /// A batch came before its predecessor.
    SequenceOutOfOrder,
    /// An entry stood in the log twice, and counted once.
    GhostEntry,
    /// An entry of an agent that had been put out was refused.
    ZombieFenced,
    /// An agent died while a segment was being put.
    CrashMidUpload,
    /// An agent died while an entry was being appended.
    CrashMidAppend,
    /// A segment was put and never committed.
    OrphanSegment,
    /// The sweeper deleted a segment.
    SegmentSwept,
    /// The sweeper deleted a segment that was never committed.
    OrphanSwept,
    /// An archive file took the place of segments.
    ArchivePublished,
    /// An archive file took the place of others.
    ArchiveMerged,
    /// What an archive file was made from had changed, and it was refused.
    ArchiveRefused,
    /// Work on the archive was left to somebody else.
    WorkClaimed,
    /// The sweeper deleted an archive file.
    ArchiveSwept,
    /// A topic was compacted by key.
    KeysCompacted,
    /// A topic that had been compacted was read to its end amid faults.
    CompactedRead,
    /// Records of a topic that had been compacted were deleted.
    CompactedDeleted,
    /// Somebody looked for records that had been deleted.
    DeletedSought,
    /// Records were deleted because a topic keeps no more.
    RetentionDeleted,
    /// A commit was refused because the segment may have been swept.
    SegmentTooOld,
    /// A replica began with a snapshot.
    SnapshotColdStart,
    /// Entries were dropped from the log.
    LogTruncated,
    /// A replica that had slept too long went on from a snapshot.
    ReplicaJumped,
    /// A producer was given the next epoch of its id.
    EpochBumped,
    /// A batch of an old epoch was refused.
    OldEpochRefused,
    /// A reader's offset had been deleted.
    ReaderBelowLogStart,
    /// A reader went on with another agent.
    ReaderMoved,
    /// Records were deleted.
    RecordsDeleted,
    /// A topic was deleted, and its name created again.
    TopicRecreated,
    /// A batch for a deleted topic was refused.
    DeletedTopicRefused,
    /// An append was definitely refused for want of room or store.
    AppendRefused,
    /// An append was left open by its broker.
    AppendUnknown,
    /// Damaged bytes were found out.
    DamageFound,
    /// A client gave up on a batch.
    GaveUp,
    /// A member of a group crashed.
    MemberCrashed,
    /// A member of a group did nothing for long, and then went on with a commit.
    MemberSlept,
    /// A member was told that it is none any more.
    MemberFenced,
    /// A commit was refused because its member or generation is past.
    CommitFenced,
    /// A member had to look for its coordinator again.
    CoordinatorLost,
    /// Committed offsets were deleted.
    OffsetsDeleted,
}

impl Probe {
    /// Whether it takes more seeds than the gate's to be sure to meet it.
    #[must_use]
    pub fn is_rare(self) -> bool {
        matches!(self, Self::OldEpochRefused | Self::CrashMidUpload | Self::OrphanSwept | Self::ArchiveSwept)
    }

    /// All of them.
    pub const ALL: [Self; 46] = [
        Self::CommitAnswerLost,
        Self::PositionTaken,
        Self::AgentsRaced,
        Self::InlineFlush,
        Self::SegmentFlush,
        Self::GroupCommit,
        Self::DuplicateAnswered,
        Self::SequenceOutOfOrder,
        Self::GhostEntry,
        Self::ZombieFenced,
        Self::CrashMidUpload,
        Self::CrashMidAppend,
        Self::OrphanSegment,
        Self::SegmentSwept,
        Self::OrphanSwept,
        Self::ArchivePublished,
        Self::ArchiveMerged,
        Self::ArchiveRefused,
        Self::WorkClaimed,
        Self::ArchiveSwept,
        Self::KeysCompacted,
        Self::CompactedRead,
        Self::CompactedDeleted,
        Self::DeletedSought,
        Self::RetentionDeleted,
        Self::SegmentTooOld,
        Self::SnapshotColdStart,
        Self::LogTruncated,
        Self::ReplicaJumped,
        Self::EpochBumped,
        Self::OldEpochRefused,
        Self::ReaderBelowLogStart,
        Self::ReaderMoved,
        Self::RecordsDeleted,
        Self::TopicRecreated,
        Self::DeletedTopicRefused,
        Self::AppendRefused,
        Self::AppendUnknown,
        Self::DamageFound,
        Self::GaveUp,
        Self::MemberCrashed,
        Self::MemberSlept,
        Self::MemberFenced,
        Self::CommitFenced,
        Self::CoordinatorLost,
        Self::OffsetsDeleted,
    ];
}
