//! Reads entries of the log ahead of applying them. Knows no state.

use std::sync::Arc;

use bytes::Bytes;
use ebb_protocol::ids::{ByteRange, LogPosition};
use futures::future::join_all;

use crate::{
    entry::{ENTRY_VERSION, Entry, EntryError},
    log::{CommitLog, ReadError},
};

use super::error::OpenError;

/// Reads in flight while a replica catches up. Each may bring an inline body.
pub(super) const READS_MAX: u64 = 32;

/// Bytes that look damaged may have been damaged on the way, so they are read again this often.
pub(super) const READS_OF_DAMAGED: u32 = 3;

/// The entry in the bytes at a position, and where its body lies in them.
pub(super) fn decode(bytes: &[u8]) -> Result<(Entry, ByteRange), EntryError> {
    let (entry, body) = Entry::decode(bytes)?;
    if bytes.len() as u64 != body.end() {
        return Err(EntryError::Damaged("its body is not as long as its head says"));
    }
    Ok((entry, body))
}

/// What stands at `count` neighbouring positions from `from` on.
pub(super) async fn read_ahead(
    log: Arc<dyn CommitLog>,
    from: LogPosition,
    count: u64,
) -> Vec<Result<Option<Bytes>, ReadError>> {
    join_all((from.0..from.0 + count).map(LogPosition).map(|position| log.read(position))).await
}

/// Reads the entry at a position again after it looked damaged the first time.
pub(super) async fn read_sound(
    log: &Arc<dyn CommitLog>,
    position: LogPosition,
    mut bytes: Bytes,
) -> Result<(Entry, ByteRange, Bytes), OpenError> {
    let name = || match log.object(position) {
        Some(key) => key.to_string(),
        None => format!("position {position} of the commit log"),
    };
    for _ in 1..READS_OF_DAMAGED {
        if let Ok((entry, body)) = decode(&bytes) {
            return Ok((entry, body, bytes));
        }
        match log.read(position).await {
            Ok(Some(again)) => bytes = again,
            Ok(None) => {}
            Err(error) => return Err(OpenError::Unavailable(error.to_string())),
        }
    }
    match decode(&bytes) {
        Ok((entry, body)) => Ok((entry, body, bytes)),
        Err(EntryError::NewerVersion { found }) => {
            Err(OpenError::NewerFormat { object: name(), found, known: ENTRY_VERSION })
        }
        Err(error) => Err(OpenError::Damaged(name(), error.to_string())),
    }
}
