//! Why a table is not mirrored. Knows nothing of how it would be.

use ebb_metastore::MetastoreError;
use ebb_segment::store::StoreError;

/// Why a table is not mirrored now. It is tried again in any case.
#[derive(Debug, thiserror::Error)]
pub(super) enum MirrorError {
    /// The catalog does not work, for any table.
    #[error("the catalog cannot be reached: {0}")]
    Down(String),
    /// The catalog refused a request for one table.
    #[error("the catalog refused it with status {status}: {message}")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// What the catalog said.
        message: String,
    },
    /// The catalog's table has changed meanwhile.
    #[error("somebody else has changed the table in the catalog")]
    Conflict,
    /// The catalog's table is none of ours, and is left alone.
    #[error("{0}; drop that table in the catalog, without purging its files, and it is registered anew")]
    NotOurs(String),
    /// The metadata cannot be put.
    #[error("the metadata cannot be put: {0}")]
    Store(#[from] StoreError),
    /// The state may be old.
    #[error("the metastore does not answer: {0}")]
    Metastore(#[from] MetastoreError),
    /// This process goes down.
    #[error("the process goes down")]
    Closing,
}

impl MirrorError {
    /// Whether other tables would fail as well.
    pub(super) fn is_general(&self) -> bool {
        match self {
            Self::Down(_) | Self::Store(_) | Self::Metastore(_) | Self::Closing => true,
            Self::Refused { .. } | Self::Conflict | Self::NotOurs(_) => false,
        }
    }
}
