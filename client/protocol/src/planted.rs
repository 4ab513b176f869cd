//! Planted bugs: a build with the feature `planted-bugs` can switch one of them on in a thread, and the simulation
//! must find it. Without the feature [`is_planted`] is a constant, and nothing of them is left in the program.

/// A bug, named after what goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Own entries are applied, and acknowledged, before they are durable.
    AckBeforeDurable,
    /// A segment is committed although its upload failed.
    IgnoreFailedUpload,
    /// A producer's batch that comes again is appended again.
    NoDeduplication,
    /// The checksum of stored batches is not checked.
    SkipChecksum,
    /// The log's tail is not looked at.
    StaleTail,
    /// `AlreadyExists` is taken to mean that the own entry stands there.
    TrustAlreadyExists,
    /// Segments are committed in the order in which their uploads end.
    CommitOutOfOrder,
    /// Entries take effect whatever their number is.
    AnyEntryNumber,
    /// Entries of agents that were put out take effect.
    SealedAgentsCount,
    /// Blocks are cached under their number in the object alone.
    CacheKeyWithoutObject,
    /// Snapshots lack what partitions remember of producers.
    SnapshotWithoutProducers,
    /// Truncation drops entries whose bodies are referenced.
    TruncateReferenced,
    /// Behind a duplicate in a run, base offsets are one too high.
    OffsetAfterDuplicate,
    /// The bytes of a refused batch are counted to the batches around it.
    RefusedBatchInRow,
    /// Deleting records deletes one more.
    DeleteOneMore,
    /// A run that cannot be read is passed over.
    SkipUnreadable,
    /// The place of an inline body is not shifted by the entry's head.
    InlineBodyUnshifted,
    /// An append whose end is not known is said to have failed.
    UnknownIsFailed,
    /// A replica that slept too long believes what it learns.
    BelieveAfterSleep,
    /// Offsets are committed whoever the member is, and in whatever generation.
    CommitUnfenced,
    /// A commit of offsets is acknowledged before it is durable.
    CommitAckBeforeDurable,
    /// Commands about a group take effect whoever coordinates it.
    CoordinatorUnchecked,
    /// Updates of a group take effect whatever they were computed from.
    GroupVersionUnchecked,
    /// An agent goes on with a group that has moved to another one, and is believed.
    GroupKeptAfterMove,
    /// Members are answered before what they were told is recorded.
    GroupAnswerBeforeStored,
    /// Snapshots lack committed offsets.
    SnapshotWithoutOffsets,
    /// Committed offsets are read, as all of groups, without a look at the log's tail.
    CommittedFromReplica,
    /// A member of KIP-848 is given partitions that others have not given up yet.
    HandedOverTooSoon,
    /// An archive file takes the place of whatever is there, not only of what it was made from.
    PublishUnchecked,
    /// Dead archive files are deleted as soon as segments are.
    ArchiveGraceIgnored,
    /// Compaction drops the latest record of a key too.
    LatestRecordDropped,
    /// Compaction drops tombstones as soon as it meets them.
    TombstoneTooSoon,
    /// Retention deletes one batch too many.
    RetainedOneLess,
    /// A file that takes the place of rows brings back what was deleted of them.
    DeletedComeBack,
    /// Compaction drops the records of a key that came after what its table knows of that key.
    LaterThanTableDropped,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 35] = [
        Self::AckBeforeDurable,
        Self::IgnoreFailedUpload,
        Self::NoDeduplication,
        Self::SkipChecksum,
        Self::StaleTail,
        Self::TrustAlreadyExists,
        Self::CommitOutOfOrder,
        Self::AnyEntryNumber,
        Self::SealedAgentsCount,
        Self::CacheKeyWithoutObject,
        Self::SnapshotWithoutProducers,
        Self::TruncateReferenced,
        Self::OffsetAfterDuplicate,
        Self::RefusedBatchInRow,
        Self::DeleteOneMore,
        Self::SkipUnreadable,
        Self::InlineBodyUnshifted,
        Self::UnknownIsFailed,
        Self::BelieveAfterSleep,
        Self::CommitUnfenced,
        Self::CommitAckBeforeDurable,
        Self::CoordinatorUnchecked,
        Self::GroupVersionUnchecked,
        Self::GroupKeptAfterMove,
        Self::GroupAnswerBeforeStored,
        Self::SnapshotWithoutOffsets,
        Self::CommittedFromReplica,
        Self::HandedOverTooSoon,
        Self::PublishUnchecked,
        Self::ArchiveGraceIgnored,
        Self::LatestRecordDropped,
        Self::TombstoneTooSoon,
        Self::RetainedOneLess,
        Self::DeletedComeBack,
        Self::LaterThanTableDropped,
    ];
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Switches a bug on in this thread, and all others off.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is switched on.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this bug is switched on: never, in this build.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
#[inline(always)]
pub const fn is_planted(_: Bug) -> bool {
    false
}
