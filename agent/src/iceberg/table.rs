//! What the catalog takes from the state of a topic's table, and how its files are grouped in manifests. Must not know
//! how they are encoded.

use std::collections::BTreeMap;

use ebb_metastore::state::{ArchiveFile, State, TableSnapshot};
use ebb_protocol::{
    columns::TypedColumns,
    ids::{ArchiveId, TopicId, TopicName},
};

/// Snapshots that a table shows, the newest. More would make the first load of a table slow.
pub(super) const SNAPSHOTS_SHOWN_MAX: usize = 200;

/// The files that came with so many snapshots share a manifest. A snapshot writes those manifests anew whose files it
/// changed: the last one, and those of the files that went. So a large table is not described anew by each snapshot.
const SNAPSHOTS_PER_MANIFEST: u64 = 100;

/// Microseconds in one of Kafka's milliseconds.
const MICROS: i64 = 1_000;

/// A topic's table: its newest snapshots, and each file that one of them has or has removed.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) topic: TopicId,
    pub(super) name: TopicName,
    /// Oldest first.
    pub(super) snapshots: Vec<TableSnapshot>,
    pub(super) files: BTreeMap<ArchiveId, DataFile>,
    /// Each snapshot has the first of them.
    pub(super) columns: TypedColumns,
}

/// An archive file, with the smallest and the largest value of the columns by which readers prune.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataFile {
    pub(super) id: ArchiveId,
    pub(super) bytes: u64,
    pub(super) rows: u64,
    pub(super) partition: (i32, i32),
    pub(super) offset: (i64, i64),
    /// In microseconds; `None` where they do not fit, since such rows have no timestamp.
    pub(super) timestamp: Option<(i64, i64)>,
    pub(super) added: u64,
    pub(super) removed: Option<u64>,
}

/// What an entry of a manifest says of its file, as Iceberg numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub(super) enum Status {
    Existing = 0,
    Added = 1,
    Deleted = 2,
}

/// A file in a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) status: Status,
    pub(super) file: &'a DataFile,
}

/// A manifest: what group of files it describes, and the snapshot that changed these last. In one table those two tell
/// its entries.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Manifest<'a> {
    pub(super) group: u64,
    pub(super) made_by: u64,
    pub(super) entries: Vec<Entry<'a>>,
}

impl DataFile {
    fn new(id: ArchiveId, file: &ArchiveFile) -> Self {
        let mut spans = file.spans.iter();
        let first = spans.next().expect("an archive file has spans");
        let mut partition = (first.partition.0, first.partition.0);
        let mut offset = (first.first.0, first.next.0 - 1);
        let mut time = (first.min_timestamp.0, first.max_timestamp.0);
        for span in spans {
            partition = (partition.0.min(span.partition.0), partition.1.max(span.partition.0));
            offset = (offset.0.min(span.first.0), offset.1.max(span.next.0 - 1));
            time = (time.0.min(span.min_timestamp.0), time.1.max(span.max_timestamp.0));
        }
        let micros = |millis: i64| millis.checked_mul(MICROS);
        let timestamp = micros(time.0).zip(micros(time.1));
        let (bytes, rows, added, removed) = (file.bytes, file.rows, file.added, file.removed);
        Self { id, bytes, rows, partition, offset, timestamp, added, removed }
    }

    /// Whether a snapshot of this number has the file.
    pub(super) fn is_in(&self, sequence: u64) -> bool {
        self.added <= sequence && self.removed.is_none_or(|removed| sequence < removed)
    }

    /// The last snapshot up to this one that added or removed it.
    fn changed(&self, sequence: u64) -> u64 {
        self.removed.filter(|removed| *removed <= sequence).unwrap_or(self.added)
    }
}

impl Facts {
    /// Copies the facts of a topic's table; one for which nothing was published is empty. `None` without such a topic.
    pub(super) fn copy(state: &State, name: &TopicName, snapshots_max: usize) -> Option<Self> {
        let topic = state.topic_id(name)?;
        let mut facts = Self {
            topic,
            name: name.clone(),
            snapshots: Vec::new(),
            files: BTreeMap::new(),
            columns: TypedColumns::default(),
        };
        let Some(table) = state.table(topic) else { return Some(facts) };
        facts.columns = table.columns().clone();
        let hidden = table.snapshots().len().saturating_sub(snapshots_max);
        facts.snapshots = table.snapshots().skip(hidden).cloned().collect();
        let Some(oldest) = facts.snapshots.first() else { return Some(facts) };
        let changed =
            facts.snapshots.iter().flat_map(|snapshot| snapshot.added.iter().chain(&snapshot.removed));
        let changed = changed.filter_map(|id| Some((*id, table.file(*id)?)));
        let files = table.files_at(oldest.sequence).chain(changed);
        facts.files = files.map(|(id, file)| (id, DataFile::new(id, file))).collect();
        Some(facts)
    }

    /// How many typed columns the table had when a snapshot was made; that of one that is not shown has none.
    pub(super) fn columns_at(&self, sequence: u64) -> usize {
        let at = self.snapshots.binary_search_by_key(&sequence, |snapshot| snapshot.sequence);
        at.ok().and_then(|at| self.snapshots.get(at)).map_or(0, |snapshot| snapshot.columns)
    }

    /// The manifests of a snapshot, those of the oldest files first.
    pub(super) fn manifests_at(&self, sequence: u64) -> Vec<Manifest<'_>> {
        let mut groups: BTreeMap<u64, Vec<&DataFile>> = BTreeMap::new();
        for file in self.files.values().filter(|file| file.added <= sequence) {
            groups.entry(file.added / SNAPSHOTS_PER_MANIFEST).or_default().push(file);
        }
        let manifests = groups.into_iter().filter_map(|(group, files)| {
            let made_by = files.iter().map(|file| file.changed(sequence)).max()?;
            let entries = files.into_iter().filter_map(|file| {
                let status = match file.is_in(sequence) {
                    true if file.added == made_by => Status::Added,
                    true => Status::Existing,
                    // Whoever removed it says so once; later manifests leave it out.
                    false if file.removed == Some(made_by) => Status::Deleted,
                    false => return None,
                };
                Some(Entry { status, file })
            });
            let manifest = Manifest { group, made_by, entries: entries.collect() };
            // One without files is of interest to the snapshot that removed the last of them alone.
            (made_by == sequence || manifest.has_files()).then_some(manifest)
        });
        manifests.collect()
    }
}

impl Manifest<'_> {
    fn has_files(&self) -> bool {
        self.entries.iter().any(|entry| entry.status != Status::Deleted)
    }

    /// Files and rows of the entries with this status.
    pub(super) fn count(&self, status: Status) -> (u64, u64) {
        let entries = self.entries.iter().filter(|entry| entry.status == status);
        entries.fold((0, 0), |(files, rows), entry| (files + 1, rows + entry.file.rows))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ebb_protocol::ids::Timestamp;
    use uuid::Uuid;

    use super::*;

    pub(in crate::iceberg) fn file(id: u128, added: u64, removed: Option<u64>) -> DataFile {
        DataFile {
            id: ArchiveId(id),
            bytes: 1_000,
            rows: 10,
            partition: (0, 2),
            offset: (100, 199),
            timestamp: Some((-1_000, 5_000)),
            added,
            removed,
        }
    }

    /// A table whose snapshots changed what the files say.
    pub(in crate::iceberg) fn facts(files: &[DataFile], sequences: std::ops::Range<u64>) -> Facts {
        let changed = |at: &dyn Fn(&DataFile) -> bool| {
            files.iter().filter(|file| at(file)).map(|file| file.id).collect::<Vec<_>>()
        };
        let snapshot = |sequence: u64| TableSnapshot {
            sequence,
            at: Timestamp(1_000 * sequence.cast_signed()),
            added: changed(&|file| file.added == sequence),
            removed: changed(&|file| file.removed == Some(sequence)),
            columns: 0,
        };
        Facts {
            topic: TopicId(Uuid::from_u128(7)),
            name: TopicName::new("events").expect("a topic's name"),
            snapshots: sequences.map(snapshot).collect(),
            files: files.iter().map(|file| (file.id, file.clone())).collect(),
            columns: TypedColumns::default(),
        }
    }

    fn shape(manifests: &[Manifest<'_>]) -> Vec<(u64, Vec<(u128, Status)>)> {
        let entries = |manifest: &Manifest<'_>| {
            manifest.entries.iter().map(|entry| (entry.file.id.0, entry.status)).collect()
        };
        manifests.iter().map(|manifest| (manifest.made_by, entries(manifest))).collect()
    }

    #[test]
    fn a_manifest_lasts_until_its_files_change() {
        use Status::{Added, Deleted, Existing};
        let all = [file(1, 1, Some(102)), file(2, 2, Some(104)), file(3, 101, None), file(4, 102, None)];
        let facts = facts(&all, 1..106);
        let check = |sequence: u64, expect: &[(u64, Vec<(u128, Status)>)]| {
            assert_eq!(shape(&facts.manifests_at(sequence)), expect, "snapshot {sequence}");
        };
        check(1, &[(1, vec![(1, Added)])]);
        check(2, &[(2, vec![(1, Existing), (2, Added)])]);
        check(101, &[(2, vec![(1, Existing), (2, Added)]), (101, vec![(3, Added)])]);
        check(102, &[(102, vec![(1, Deleted), (2, Existing)]), (102, vec![(3, Existing), (4, Added)])]);
        check(103, &[(102, vec![(1, Deleted), (2, Existing)]), (102, vec![(3, Existing), (4, Added)])]);
        check(104, &[(104, vec![(2, Deleted)]), (102, vec![(3, Existing), (4, Added)])]);
        check(105, &[(102, vec![(3, Existing), (4, Added)])]);
    }
}
