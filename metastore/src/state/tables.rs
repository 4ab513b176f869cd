//! The table of a topic as analysts see it: its archive files, and a snapshot for every change of their set. The Iceberg
//! catalog is a projection of it. Knows no Parquet and no Iceberg.
//!
//! A snapshot names what it added and removed; its content follows from when each file came and went. A file's facts
//! stay until no snapshot that is kept has the file.

use std::collections::{BTreeMap, VecDeque};

use ebb_protocol::{
    columns::TypedColumns,
    ids::{ArchiveId, Offset, PartitionIndex, Timestamp},
};
use serde::{Deserialize, Serialize};

use crate::{
    command::{FileColumns, PublishArchive},
    limits::SNAPSHOTS_PER_TOPIC_MAX,
};

/// The archive files of a topic and the history of their set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    files: BTreeMap<ArchiveId, ArchiveFile>,
    /// Oldest first. Sequence numbers rise.
    snapshots: VecDeque<TableSnapshot>,
    /// The sequence number of the last snapshot; they count from 1, as Iceberg's do.
    last_sequence: u64,
    /// The typed columns of its files.
    columns: TypedColumns,
}

/// An archive file as the table knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFile {
    /// Its size in bytes.
    pub bytes: u64,
    /// How many of its last bytes are its page index and footer.
    pub tail_bytes: u32,
    /// CRC-32C of those bytes.
    pub tail_checksum: u32,
    /// How many records it holds.
    pub rows: u64,
    /// What it holds, by partition and offset; never empty, and each span has records. Deletions that leave rows of
    /// other partitions do not change it.
    pub spans: Vec<FileSpan>,
    /// The sequence number of the snapshot that added it.
    pub added: u64,
    /// That of the snapshot that removed it, if one has.
    pub removed: Option<u64>,
}

/// The records of one partition in an archive file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpan {
    /// The partition.
    pub partition: PartitionIndex,
    /// No record has an offset below.
    pub first: Offset,
    /// No record has this offset or one above.
    pub next: Offset,
    /// How many records there are.
    pub rows: u64,
    /// Their smallest timestamp.
    pub min_timestamp: Timestamp,
    /// Their largest timestamp.
    pub max_timestamp: Timestamp,
}

/// One change of a table's set of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSnapshot {
    /// Its number, which rises from snapshot to snapshot.
    pub sequence: u64,
    /// When it was made: the state's time, or that of the entry if that was later. It never goes back.
    pub at: Timestamp,
    /// The files that came with it, sorted.
    pub added: Vec<ArchiveId>,
    /// The files that went with it, sorted. The oldest snapshot may name some whose facts are gone.
    pub removed: Vec<ArchiveId>,
    /// How many typed columns the table had then: the first so many of those that it has.
    pub columns: usize,
}

impl ArchiveFile {
    fn new(publish: &PublishArchive, added: u64) -> Self {
        let held = publish.spans.iter().filter(|span| span.rows > 0);
        let spans: Vec<_> = held
            .map(|span| FileSpan {
                partition: span.partition,
                first: span.first,
                next: span.next,
                rows: span.rows,
                min_timestamp: span.min_timestamp,
                max_timestamp: span.max_timestamp,
            })
            .collect();
        let rows = spans.iter().map(|span| span.rows).sum();
        Self {
            bytes: publish.bytes,
            tail_bytes: publish.tail_bytes,
            tail_checksum: publish.tail_checksum,
            rows,
            spans,
            added,
            removed: None,
        }
    }

    /// Whether a snapshot of this sequence number has the file.
    #[must_use]
    pub fn is_in(&self, sequence: u64) -> bool {
        self.added <= sequence && self.removed.is_none_or(|removed| sequence < removed)
    }
}

impl Table {
    /// The typed columns that its files may have.
    #[must_use]
    pub fn columns(&self) -> &TypedColumns {
        &self.columns
    }

    /// The typed columns with those that a file brings; `None` when they do not follow what is there.
    pub(crate) fn columns_with(&self, file: &FileColumns) -> Option<TypedColumns> {
        let known = usize::try_from(file.known).ok()?;
        let follows =
            if file.added.is_empty() { known <= self.columns.len() } else { known == self.columns.len() };
        let mut columns = Some(self.columns.clone()).filter(|_| follows)?;
        file.added.iter().cloned().try_for_each(|column| columns.add(column).map(drop)).ok()?;
        Some(columns)
    }

    /// Puts what [`Self::columns_with`] gave in place.
    pub(crate) fn set_columns(&mut self, columns: TypedColumns) {
        self.columns = columns;
    }

    /// The snapshots that are kept, oldest first, at most [`SNAPSHOTS_PER_TOPIC_MAX`].
    pub fn snapshots(&self) -> impl DoubleEndedIterator<Item = &TableSnapshot> + ExactSizeIterator {
        self.snapshots.iter()
    }

    /// The present snapshot.
    #[must_use]
    pub fn current(&self) -> Option<&TableSnapshot> {
        self.snapshots.back()
    }

    /// The files of the snapshot of this sequence number, sorted by id; of one that is not kept, some may be missing.
    pub fn files_at(&self, sequence: u64) -> impl Iterator<Item = (ArchiveId, &ArchiveFile)> {
        let files = self.files.iter().map(|(id, file)| (*id, file));
        files.filter(move |(_, file)| file.is_in(sequence))
    }

    /// The files of the present snapshot, sorted by id.
    pub fn files(&self) -> impl Iterator<Item = (ArchiveId, &ArchiveFile)> {
        self.files_at(self.last_sequence)
    }

    /// A file of any snapshot that is kept.
    #[must_use]
    pub fn file(&self, id: ArchiveId) -> Option<&ArchiveFile> {
        self.files.get(&id)
    }

    /// Makes a snapshot with what a command has published, if it has, and without the files that have died by it.
    /// Makes none when the set of files stays as it is.
    pub(crate) fn change(
        &mut self,
        published: Option<&PublishArchive>,
        mut removed: Vec<ArchiveId>,
        now: Timestamp,
    ) {
        if published.is_none() && removed.is_empty() {
            return;
        }
        let sequence = self.last_sequence + 1;
        let added: Vec<_> = published.iter().map(|publish| publish.archive).collect();
        self.files.extend(published.map(|publish| (publish.archive, ArchiveFile::new(publish, sequence))));
        removed.sort_unstable();
        for id in &removed {
            if let Some(file) = self.files.get_mut(id) {
                file.removed = Some(sequence);
            }
        }
        let at = self.current().map_or(now, |last| last.at.max(now));
        self.last_sequence = sequence;
        let columns = self.columns.len();
        self.snapshots.push_back(TableSnapshot { sequence, at, added, removed, columns });
        if self.snapshots.len() > SNAPSHOTS_PER_TOPIC_MAX {
            self.drop_oldest();
        }
    }

    /// A file has been deleted from the store: no snapshot that has it is of use any more, nor one before.
    pub(crate) fn forget(&mut self, id: ArchiveId) {
        let Some(removed) = self.files.get(&id).and_then(|file| file.removed) else { return };
        while self.snapshots.front().is_some_and(|oldest| oldest.sequence < removed) {
            self.drop_oldest();
        }
    }

    /// Drops the oldest snapshot, and the facts of files that no snapshot has any more.
    fn drop_oldest(&mut self) {
        self.snapshots.pop_front();
        if let Some(oldest) = self.snapshots.front() {
            for gone in &oldest.removed {
                self.files.remove(gone);
            }
        }
    }
}
