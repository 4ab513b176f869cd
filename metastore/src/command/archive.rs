//! Commands of the archive: publishing a file, and claiming work so that compactors share it.

use ebb_protocol::{
    columns::TypedColumn,
    ids::{ArchiveId, ByteRange, LogPosition, Offset, PartitionIndex, Timestamp, TopicId},
};
use serde::{Deserialize, Serialize};

/// Puts an archive file in the place of the rows of coordinates that it was made from, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishArchive {
    /// The file's id. When nothing is left of what is replaced there is no file, and the id names nothing.
    pub archive: ArchiveId,
    /// The topic whose records it holds.
    pub topic: TopicId,
    /// The file's size in bytes; 0 when there is no file because no span has a row.
    pub bytes: u64,
    /// How many of its last bytes are its page index and footer: what a reader reads first.
    pub tail_bytes: u32,
    /// CRC-32C of those bytes. They hold the checksums of all others, so a reader believes nothing that changed.
    pub tail_checksum: u32,
    /// The offsets that it takes over, sorted by partition and first offset, none twice.
    pub spans: Vec<ArchiveSpan>,
    /// The typed columns that it was written with.
    pub columns: FileColumns,
}

/// The typed columns of an archive file: some that its topic had, and some that come with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileColumns {
    /// How many the topic had when the file was planned: its columns are among these and those that are added.
    pub known: u32,
    /// Those that it adds. Their ids follow from their order, so the topic must not have got others meanwhile.
    pub added: Vec<TypedColumn>,
}

/// Offsets of one partition that an archive file takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveSpan {
    /// The partition.
    pub partition: PartitionIndex,
    /// Its first offset.
    pub first: Offset,
    /// The offset after its last one.
    pub next: Offset,
    /// The fingerprint of the rows that it replaces, as [`crate::state::State::fingerprint`] told it to the planner.
    pub replaces: u64,
    /// How many records it holds. Where compaction has left gaps they are fewer than the offsets; 0 when nothing is
    /// left, and then the rows go and no row comes.
    pub rows: u64,
    /// Where its row groups lie in the file, counted from its first byte; empty without rows.
    pub range: ByteRange,
    /// The smallest timestamp of its records; without rows it means nothing.
    pub min_timestamp: Timestamp,
    /// The largest timestamp of its records; without rows it means nothing.
    pub max_timestamp: Timestamp,
}

/// Records how far a topic is compacted by key, once all the files of it are published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCompaction {
    /// The topic.
    pub topic: TopicId,
    /// For each partition an offset: of two records below with the same key, only the later one is there. Sorted by
    /// partition, none twice; a partition that is not named stays as far as it was.
    pub clean: Vec<(PartitionIndex, Offset)>,
    /// Whether the tombstones below begin to count their time now. Those of the time before must be gone.
    pub mark: bool,
}

/// A piece of work on the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Work {
    /// Rewriting the objects that were committed in a range of the commit log.
    Window {
        /// The first position.
        from: LogPosition,
        /// The position after the last one.
        to: LogPosition,
    },
    /// Merging the files of a topic, or compacting them by key.
    Topic(TopicId),
}

impl Work {
    /// Whether two compactors should not do both at the same time.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::Window { from, to }, Self::Window { from: other, to: end }) => from < end && other < to,
            (Self::Topic(topic), Self::Topic(other)) => topic == other,
            _ => false,
        }
    }
}
