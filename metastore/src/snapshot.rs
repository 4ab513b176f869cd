//! Snapshots: the whole state as bytes, and back. Where they are kept is the replica's business.

use bytes::Bytes;

use crate::state::State;

/// The newest snapshot version that this code reads, and the one it writes.
pub const SNAPSHOT_VERSION: u8 = 1;

/// Why bytes are no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The snapshot was written by a newer version.
    #[error(
        "the snapshot has format version {found}, this version knows up to {SNAPSHOT_VERSION}: use a newer ebb"
    )]
    NewerVersion {
        /// Its version.
        found: u8,
    },
    /// The bytes are not those that were written.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
}

/// The state's bytes.
#[must_use]
pub fn encode(state: &State) -> Bytes {
    todo!("{state:?}")
}

/// Reads a state back.
///
/// # Errors
/// See [`SnapshotError`].
pub fn decode(bytes: &[u8]) -> Result<State, SnapshotError> {
    todo!("{}", bytes.len())
}
