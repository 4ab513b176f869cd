//! Why a metastore cannot be opened, and why a submission has no outcomes.

use ebb_protocol::ids::LogPosition;

/// Why a metastore could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log or a snapshot cannot be read.
    #[error("the metastore cannot be opened: {0}")]
    Unavailable(String),
    /// A snapshot or entry has a newer format than this version knows.
    #[error("{object} has format version {found}, this version knows up to {known}: use a newer ebb")]
    NewerFormat {
        /// The object.
        object: String,
        /// Its version.
        found: u8,
        /// The newest version known.
        known: u8,
    },
    /// A snapshot or entry is damaged.
    #[error("{0} is damaged: {1}")]
    Damaged(String, String),
}

/// Why a submission has no outcomes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetastoreError {
    /// This agent was put out of the cluster; it must register again under a new id.
    #[error("this agent has been put out of the cluster")]
    Fenced,
    /// The commands may or may not have taken effect, or may yet.
    #[error("the commit log did not answer in time: {0}")]
    Indeterminate(String),
    /// The commands did not take effect.
    #[error("the commit log cannot be reached: {0}")]
    Unavailable(String),
    /// The replica found that its state differs from another replica's and stopped.
    #[error("this replica's state differs from the log's at position {0}")]
    Diverged(LogPosition),
    /// An entry is damaged or newer than this version, and the replica stopped in front of it.
    #[error("position {0} of the commit log cannot be read: {1}")]
    Unreadable(LogPosition, String),
    /// The metastore is shutting down.
    #[error("the metastore is closed")]
    Closed,
}

impl MetastoreError {
    /// Whether nothing that this process submits later can succeed.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Fenced | Self::Closed | Self::Diverged(_) | Self::Unreadable(..))
    }
}
