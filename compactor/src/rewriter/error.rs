//! Why a window cannot be rewritten, by what becomes of it.

use ebb_archive::{FooterError, ReadError, WriteError};
use ebb_metastore::{MetastoreError, command::ObjectRef, outcome::Refusal};
use ebb_protocol::ids::{ByteRange, Offset, PartitionIndex, TopicId};
use ebb_segment::store::StoreError;

/// Why a window was not published. It is tried again later; the other windows go on.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// The store did not do what was asked.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// An object cannot be read.
    #[error("{error}; {object:?} cannot be archived")]
    Source {
        /// The object.
        object: ObjectRef,
        /// Why not.
        error: StoreError,
    },
    /// An object does not hold the record batches that it should.
    #[error("{object:?}, bytes {} to {}: {why}; it cannot be archived", range.start, range.end())]
    Damaged {
        /// The object.
        object: ObjectRef,
        /// The range of its bytes.
        range: ByteRange,
        /// What is wrong with them.
        why: String,
    },
    /// The file cannot be written.
    #[error("topic {topic}: {error}")]
    Write {
        /// The topic.
        topic: TopicId,
        /// What is wrong.
        error: WriteError,
    },
    /// What can be read out of a file in the store is not what went into it.
    #[error(
        "topic {topic}, partition {partition}, from offset {offset}: the file does not hold what it should: {why}"
    )]
    Verify {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
        /// The first offset.
        offset: Offset,
        /// What is wrong.
        why: String,
    },
    /// The file in the store has no sound footer.
    #[error("the file that was written cannot be read: {0}")]
    Footer(#[from] FooterError),
    /// The file in the store cannot be read.
    #[error("the file that was written cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The metastore has no answer.
    #[error("{0}")]
    Metastore(#[from] MetastoreError),
    /// The metastore refused a command.
    #[error("{0}")]
    Refused(Refusal),
}

impl RewriteError {
    /// Whether no later window of this process can succeed.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Metastore(error) => error.is_final(),
            Self::Refused(refusal) => *refusal == Refusal::StaleAgent,
            _ => false,
        }
    }

    /// The object whose records the metastore promises and that is missing or damaged: somebody has to look at it,
    /// unless it is not needed any more.
    pub(super) fn lost(&self) -> Option<ObjectRef> {
        match self {
            Self::Damaged { object, .. }
            | Self::Source { object, error: StoreError::Missing(_) | StoreError::Damaged(..) } => {
                Some(*object)
            }
            _ => None,
        }
    }

    /// Whether it says nothing of the other topics of the window.
    pub(super) fn spares_others(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Verify { .. } | Self::Footer(_) | Self::Read(_))
    }

    /// Whether the same may succeed when the bytes are read once more.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Footer(_) | Self::Read(_) | Self::Verify { .. })
    }
}
