//! The memory engine: a commit log inside the process, shared by its clones, for tests and simulations.
//! Nothing of it survives the process.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use ebb_protocol::ids::{EntryId, LogPosition};
use object_store::path::Path;
use parking_lot::Mutex;

use super::{AppendError, CommitLog, EntryBytes, ReadError};

/// A commit log in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    /// Entries below are dropped, save those that were kept.
    start: LogPosition,
    standing: BTreeMap<LogPosition, (EntryId, Bytes)>,
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl CommitLog for MemoryLog {
    async fn append(&self, position: LogPosition, entry: &EntryBytes) -> Result<(), AppendError> {
        let mut entries = self.entries.lock();
        if let Some((id, _)) = entries.standing.get(&position) {
            return if *id == entry.id { Ok(()) } else { Err(AppendError::Taken(position)) };
        }
        if position < entries.start {
            return Err(AppendError::Taken(position));
        }
        entries.standing.insert(position, (entry.id, joined(entry)));
        Ok(())
    }

    async fn read(&self, position: LogPosition) -> Result<Option<Bytes>, ReadError> {
        let entries = self.entries.lock();
        match entries.standing.get(&position) {
            Some((_, bytes)) => Ok(Some(bytes.clone())),
            None if position < entries.start => Err(ReadError::Dropped(position)),
            None => Ok(None),
        }
    }

    async fn tail(&self, from: LogPosition) -> Result<LogPosition, ReadError> {
        let entries = self.entries.lock();
        let mut tail = from.max(entries.start);
        while entries.standing.contains_key(&tail) {
            tail = tail.next();
        }
        Ok(tail)
    }

    async fn truncate(&self, below: LogPosition, keep: &[LogPosition]) -> Result<(), ReadError> {
        let mut entries = self.entries.lock();
        entries.start = entries.start.max(below);
        entries.standing.retain(|position, _| *position >= below || keep.binary_search(position).is_ok());
        Ok(())
    }

    fn object(&self, _position: LogPosition) -> Option<Path> {
        None
    }
}

fn joined(entry: &EntryBytes) -> Bytes {
    if entry.body.is_empty() {
        return entry.head.clone();
    }
    let mut bytes = BytesMut::from(entry.head.as_ref());
    entry.body.iter().for_each(|piece| bytes.extend_from_slice(piece));
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::conformance;

    #[tokio::test]
    async fn conforms() {
        conformance::run_all(async || Arc::new(MemoryLog::new()) as Arc<dyn CommitLog>).await;
    }

    #[tokio::test]
    async fn a_dropped_position_says_so_and_stays_taken() {
        let log = MemoryLog::new();
        for position in 0..4 {
            log.append(LogPosition(position), &conformance::entry(position, b"")).await.expect("is free");
        }
        log.truncate(LogPosition(3), &[]).await.expect("truncates");
        assert_eq!(log.read(LogPosition(1)).await, Err(ReadError::Dropped(LogPosition(1))));
        let late = log.append(LogPosition(1), &conformance::entry(9, b"")).await;
        assert_eq!(late, Err(AppendError::Taken(LogPosition(1))));
    }
}
