//! The commit log: the small shared log of metadata entries, behind a narrow trait. Knows nothing of what an
//! entry means.

pub mod bucket;
pub mod conformance;
#[cfg(test)]
pub(crate) mod faulty;
pub mod memory;
mod probe;
pub(crate) mod retry;
pub mod store_clock;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use ebb_protocol::ids::{EntryId, LogPosition};
use object_store::path::Path;

pub use retry::RetryConfig;

/// The bytes of one entry: a head that replicas read and an optional segment body behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryBytes {
    /// The entry's id, repeated in the head; an engine compares it after an ambiguous append.
    pub id: EntryId,
    /// Header and commands.
    pub head: Bytes,
    /// A segment body in pieces, empty when there is none. Its first byte follows the head's last.
    pub body: Vec<Bytes>,
}

/// A commit log.
///
/// ```text
///   dropped        start                                  tail
///      |             |                                      |
///   x  x  x  x  x  [ 5 ][ 6 ][ 7 ][ 8 ]  ...  [ 41 ][ 42 ] [ 43 ]
///                    ^ oldest entry kept                    ^ the next append goes here
/// ```
///
/// # Contract
/// - At most one entry ever stands at a position, and it never changes.
/// - `append` returns `Ok` only when the entry is durable at exactly the position asked for. When the engine's
///   answer was ambiguous it reads the position back and compares entry ids before it says anything.
/// - Appends to different positions may be in flight at the same time, by one agent; an entry counts as part of
///   the log only when all positions below it are filled.
/// - `read` of the tail position gives `None`; `read` sees every append that was acknowledged before it started.
/// - `truncate` drops entries, except those of `keep`, and never reaches the tail.
#[async_trait]
pub trait CommitLog: Send + Sync + fmt::Debug {
    /// Appends an entry at `position`.
    ///
    /// # Errors
    /// [`AppendError::Taken`] when another entry stands there; [`AppendError::Unavailable`] when the engine could
    /// not be asked in time, in which case the entry may or may not have been written.
    async fn append(&self, position: LogPosition, entry: &EntryBytes) -> Result<(), AppendError>;

    /// Reads the entry at `position`, head and body in one piece; `None` when nothing has been appended there.
    ///
    /// # Errors
    /// [`ReadError::Dropped`] below the start; [`ReadError::Unavailable`] when the engine could not be asked.
    async fn read(&self, position: LogPosition) -> Result<Option<Bytes>, ReadError>;

    /// The first position at or above `from` at which nothing stands, found faster than by reading.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] when the engine could not be asked.
    async fn tail(&self, from: LogPosition) -> Result<LogPosition, ReadError>;

    /// Drops the entries below `below`, save those at the positions of `keep`, which is sorted.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] when the engine could not be asked; dropping may have begun.
    async fn truncate(&self, below: LogPosition, keep: &[LogPosition]) -> Result<(), ReadError>;

    /// The object in which the entry at `position` lies, from its head's first byte on; `None` when the engine
    /// keeps entries elsewhere, and then no entry may carry a body.
    fn object(&self, position: LogPosition) -> Option<Path>;
}

/// Why an append did not happen, or may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another entry stands at the position.
    #[error("position {0} of the commit log is taken")]
    Taken(LogPosition),
    /// The engine could not be asked in time.
    #[error("the commit log cannot be written: {0}")]
    Unavailable(String),
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The entry was dropped long ago; a newer snapshot covers it.
    #[error("position {0} of the commit log was dropped")]
    Dropped(LogPosition),
    /// The engine could not be asked.
    #[error("the commit log cannot be read: {0}")]
    Unavailable(String),
}
