//! Snapshots: the whole state as bytes, and back. Where they are kept is the replica's business.
//!
//! # Bytes, version 1
//! Integers are big-endian.
//!
//! ```text
//!      0  4   magic "EbSn"        magic and version keep their places in every version
//!      4  1   version = 1
//!      5  3   reserved, 0
//!      8  8   position: all entries below are in the state
//!     16  8   chain at that position
//!     24  8   xxh3 of the state's bytes: the same in all snapshots of one position
//!     32  8   length n of the state's bytes
//!     40  n   the state: postcard of `State`
//!   40+n  4   CRC-32C of all before
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64;

use crate::state::State;

/// The newest snapshot version that this code reads, and the one it writes.
pub const SNAPSHOT_VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"EbSn";
const FIXED_BYTES: usize = 40;
const CRC_BYTES: usize = 4;

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
    let bytes = postcard::to_allocvec(state).expect("the state serialises into memory");
    let hash = state.hash();
    let mut out = BytesMut::with_capacity(FIXED_BYTES + bytes.len() + CRC_BYTES);
    out.put_slice(&MAGIC);
    out.put_u8(SNAPSHOT_VERSION);
    out.put_bytes(0, 3);
    out.put_u64(hash.position.0);
    out.put_u64(hash.chain);
    out.put_u64(xxh3_64(&bytes));
    out.put_u64(bytes.len() as u64);
    out.put_slice(&bytes);
    out.put_u32(crc32c::crc32c(&out));
    out.freeze()
}

/// Reads a state back.
///
/// # Errors
/// See [`SnapshotError`].
pub fn decode(bytes: &[u8]) -> Result<State, SnapshotError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(SnapshotError::Damaged("it does not begin as a snapshot does"));
    }
    match bytes.get(MAGIC.len()) {
        Some(&SNAPSHOT_VERSION) => {}
        Some(&found) if found > SNAPSHOT_VERSION => return Err(SnapshotError::NewerVersion { found }),
        _ => return Err(SnapshotError::Damaged("it has no version")),
    }
    let (covered, crc) =
        bytes.split_last_chunk::<CRC_BYTES>().ok_or(SnapshotError::Damaged("it is truncated"))?;
    let (fixed, body) =
        covered.split_at_checked(FIXED_BYTES).ok_or(SnapshotError::Damaged("it is truncated"))?;
    if u64_at(fixed, 32) != body.len() as u64 {
        return Err(SnapshotError::Damaged("it is truncated, or bytes follow it"));
    }
    if crc32c::crc32c(covered) != u32::from_be_bytes(*crc) {
        return Err(SnapshotError::Damaged("its checksum differs"));
    }
    if u64_at(fixed, 24) != xxh3_64(body) {
        return Err(SnapshotError::Damaged("its state hash differs"));
    }
    let (mut state, rest): (State, _) =
        postcard::take_from_bytes(body).map_err(|_| SnapshotError::Damaged("its state cannot be read"))?;
    let hash = state.hash();
    if !rest.is_empty() || hash.position.0 != u64_at(fixed, 8) || hash.chain != u64_at(fixed, 16) {
        return Err(SnapshotError::Damaged("its state contradicts its header"));
    }
    state.rebuild();
    Ok(state)
}

/// The caller has checked the length.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut array = [0; 8];
    array.copy_from_slice(&bytes[at..at + 8]);
    u64::from_be_bytes(array)
}
