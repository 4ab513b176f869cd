//! One pass over a topic: builds the table of keys from what is dirty, and writes files anew without what is superseded.
//! Knows nothing of which topic is due.
//!
//! Each group of files is published by itself. That is sound: a record goes only because a later one of its key is in the
//! archive, and that one goes only by another that is later still, or as a tombstone. A tombstone goes only when the
//! state says that for long nothing has been there before it that it hides; and the state says so only when all files of
//! a pass were published.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::ControlFlow,
};

use ebb_archive::{ArchiveWriter, Found, Identity};
use ebb_metastore::{
    command::{ArchiveSpan, FileColumns, ObjectRef, PublishArchive, RecordCompaction},
    limits::SPANS_PER_ARCHIVE_MAX,
    state::BatchCoordinates,
};
use ebb_protocol::{
    batch::Record,
    ids::{ArchiveId, ClusterId, IdSource, Offset, PartitionIndex, Timestamp},
    random::Random,
};

use ebb_segment::store::StoreError;

use super::{
    filter::{Dropped, Filter, keyed},
    plan::{Grain, Part, Plan},
    table::KeyTable,
    task::KeyCompactionConfig,
};
use crate::rewriter::{
    claims::HeldClaim,
    error::RewriteError,
    shape::Shape,
    shelf::{Piece, Shelf},
    source::Source,
};

/// Files that one new file is made of. Each holds a piece of at most 8 MiB in memory meanwhile.
const FILES_PER_GROUP_MAX: usize = 16;

/// What it takes to compact a topic.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) plan: &'a Plan,
    pub(super) cluster: ClusterId,
    pub(super) ids: &'a IdSource,
    pub(super) shelf: Shelf<'a>,
    pub(super) config: &'a KeyCompactionConfig,
    pub(super) claim: &'a HeldClaim<'a>,
}

/// The keys of a topic, and up to which offsets all of them are in the table.
#[derive(Debug)]
pub(super) struct Keys {
    table: KeyTable,
    limits: BTreeMap<PartitionIndex, Offset>,
}

/// What became of a group of files.
#[derive(Debug)]
pub(super) struct Compacted {
    /// Publishes the file that is in the store and takes their place, or says that nothing is left of them. `None` when
    /// it would be as the old one.
    pub(super) publish: Option<PublishArchive>,
    pub(super) dropped: Dropped,
    /// Offsets from which on a partition is not clean, because a batch could not be thinned.
    pub(super) held: Vec<(PartitionIndex, Offset)>,
}

/// A new file as it grows.
struct Draft {
    writer: ArchiveWriter,
    /// What its spans hold, one for one.
    kept: Vec<Piece>,
    emptied: Vec<ArchiveSpan>,
    dropped: Dropped,
    held: Vec<(PartitionIndex, Offset)>,
}

/// The dirty rows of a partition that the table does not have yet.
struct Ahead<'a> {
    part: &'a Part,
    rows: VecDeque<BatchCoordinates>,
}

impl<'a> Ahead<'a> {
    fn new(part: &'a Part) -> Self {
        Self { part, rows: part.dirty_rows().copied().collect() }
    }

    /// The next row, if it lies in this file.
    fn next_in(&self, file: ArchiveId) -> Option<BatchCoordinates> {
        self.rows.front().filter(|row| row.object == ObjectRef::Archive(file)).copied()
    }

    /// Up to which offset the table has everything.
    fn reached(&self) -> Offset {
        self.rows.front().map_or(self.part.dirty.end, |row| row.base.max(self.part.dirty.start))
    }

    /// Takes the next rows into the table as long as they lie in this file. Gives the offset for which there was no room.
    async fn note(
        &mut self,
        file: ArchiveId,
        source: &mut Source<'_>,
        table: &mut KeyTable,
    ) -> Result<Option<Offset>, RewriteError> {
        while let Some(row) = self.next_in(file) {
            let mut reached = None;
            let visitor = |found: &Found| {
                reached = note(table, self.part, found);
                Ok(if reached.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            };
            if source.visit(self.part.partition, &row, visitor).await?.is_break() {
                return Ok(reached);
            }
            self.rows.pop_front();
        }
        Ok(None)
    }
}

impl Pass<'_> {
    /// Builds the table from the dirty records, each partition's in the order of their offsets, until it is full. Files
    /// that were written anew are younger than those with later offsets, so one round over the files may not do; but
    /// each brings at least one partition on. Break: somebody else has taken over the work.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) async fn keys(&self, random: &Random) -> Result<ControlFlow<(), Keys>, RewriteError> {
        let mut table = KeyTable::new(self.config.table_bytes, random);
        let mut ahead: Vec<Ahead<'_>> = self.plan.parts.iter().map(Ahead::new).collect();
        let mut cut = None;
        'rounds: while cut.is_none() {
            let mut went_on = false;
            for id in self.plan.files.keys() {
                if !ahead.iter().any(|ahead| ahead.next_in(*id).is_some()) {
                    continue;
                }
                went_on = true;
                if self.claim.renew().await?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                let mut source = self.open(*id).await?;
                for (index, ahead) in ahead.iter_mut().enumerate() {
                    if let Some(reached) = ahead.note(*id, &mut source, &mut table).await? {
                        cut = Some((index, reached));
                        break 'rounds;
                    }
                }
            }
            if !went_on {
                break;
            }
        }
        let limit = |(index, ahead): (usize, &Ahead<'_>)| {
            let reached = cut.filter(|(at, _)| *at == index).map(|(_, reached)| reached);
            (ahead.part.partition, reached.unwrap_or_else(|| ahead.reached()))
        };
        let limits = ahead.iter().enumerate().map(limit).collect();
        Ok(ControlFlow::Continue(Keys { table, limits }))
    }

    /// The files that may lose records, in groups that become one file each.
    pub(super) fn groups(&self, keys: &Keys) -> Vec<BTreeSet<ArchiveId>> {
        let mut spans: BTreeMap<ArchiveId, usize> = BTreeMap::new();
        let mut touched = BTreeSet::new();
        for part in &self.plan.parts {
            for (_, row) in &part.rows {
                if let ObjectRef::Archive(id) = row.object {
                    *spans.entry(id).or_default() += 1;
                    if keys.limits.get(&part.partition).is_some_and(|limit| row.base < *limit) {
                        touched.insert(id);
                    }
                }
            }
        }
        let mut groups: Vec<BTreeSet<ArchiveId>> = Vec::new();
        let (mut bytes, mut count) = (0_u64, 0);
        for id in touched {
            let file_bytes = self.plan.files.get(&id).map_or(0, |file| file.bytes);
            let file_spans = spans.get(&id).copied().unwrap_or(0);
            let fits = |group: &&mut BTreeSet<ArchiveId>| {
                group.len() < FILES_PER_GROUP_MAX
                    && bytes + file_bytes <= self.config.file_bytes
                    && count + file_spans <= SPANS_PER_ARCHIVE_MAX
            };
            if let Some(group) = groups.last_mut().filter(fits) {
                group.insert(id);
                (bytes, count) = (bytes + file_bytes, count + file_spans);
            } else {
                groups.push(BTreeSet::from([id]));
                (bytes, count) = (file_bytes, file_spans);
            }
        }
        groups
    }

    /// Writes a group of files anew, and puts the new one into the store. Break: somebody else has taken over the work.
    ///
    /// # Errors
    /// When a file cannot be read, written, or read back.
    pub(super) async fn compact(
        &self,
        group: &BTreeSet<ArchiveId>,
        keys: &Keys,
        minted_since: Timestamp,
        shape: Shape,
    ) -> Result<ControlFlow<(), Compacted>, RewriteError> {
        let topic = self.plan.topic;
        let failed = |error| RewriteError::Write { topic, error };
        let id = self.ids.archive_since(minted_since);
        let identity = Identity { cluster: self.cluster, topic, object: id };
        let layout = shape.layout(self.config.rewriter.layout);
        let (typed, columns) = shape.settle(self.plan.parts.len());
        let writer = ArchiveWriter::typed(identity, layout, typed).map_err(failed)?;
        let (dropped, held) = (Dropped::default(), Vec::new());
        let mut draft = Draft { writer, kept: Vec::new(), emptied: Vec::new(), dropped, held };
        let mut sources = BTreeMap::new();
        // When this is a later plan than that of the group, the rows of some files may have been deleted meanwhile.
        for file in group.iter().filter(|file| self.plan.files.contains_key(file)) {
            if self.claim.renew().await?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            sources.insert(*file, self.open(*file).await?);
        }
        for part in &self.plan.parts {
            for piece in pieces(part, group, self.plan.grain) {
                if self.claim.renew().await?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                self.write(part, piece, keys, &mut sources, &mut draft).await?;
            }
        }
        let Draft { writer, kept, emptied, dropped, held } = draft;
        if dropped.records == 0 && sources.len() <= 1 {
            return Ok(ControlFlow::Continue(Compacted { publish: None, dropped, held }));
        }
        let mut publish = if kept.is_empty() {
            let (bytes, tail_bytes, tail_checksum) = (0, 0, 0);
            PublishArchive {
                archive: id,
                topic,
                bytes,
                tail_bytes,
                tail_checksum,
                spans: Vec::new(),
                columns: FileColumns::default(),
            }
        } else {
            self.shelf.put(topic, id, writer.finish().map_err(failed)?, &kept, columns).await?
        };
        publish.spans.extend(emptied);
        publish.spans.sort_by_key(|span| (span.partition, span.first));
        Ok(ControlFlow::Continue(Compacted { publish: Some(publish), dropped, held }))
    }

    /// Whether all that is compacted of a later plan lies in files that this one has, or that were made of them.
    pub(super) fn covers(&self, later: &Plan, keys: &Keys, made: &BTreeSet<ArchiveId>) -> bool {
        let is_known = |row: &BatchCoordinates| match row.object {
            ObjectRef::Archive(id) => self.plan.files.contains_key(&id) || made.contains(&id),
            _ => false,
        };
        later.parts.iter().all(|part| {
            let limit = keys.limits.get(&part.partition).copied().unwrap_or(Offset(0));
            part.rows.iter().all(|(_, row)| row.base >= limit || is_known(row))
        })
    }

    /// What the state is told once all files are published.
    pub(super) fn record(&self, keys: &Keys, held: &[(PartitionIndex, Offset)]) -> RecordCompaction {
        let clean = |(partition, limit): (&PartitionIndex, &Offset)| {
            let held = held.iter().filter(|(at, _)| at == partition).map(|(_, offset)| *offset).min();
            (*partition, held.map_or(*limit, |held| held.min(*limit)))
        };
        RecordCompaction {
            topic: self.plan.topic,
            clean: keys.limits.iter().map(clean).collect(),
            mark: self.plan.mark,
        }
    }

    async fn open(&self, id: ArchiveId) -> Result<Source<'_>, RewriteError> {
        let object = ObjectRef::Archive(id);
        let missing = || RewriteError::Source { object, error: StoreError::Missing(format!("{object:?}")) };
        let facts = self.plan.files.get(&id).copied().ok_or_else(missing)?;
        let Shelf { store, requests, cpu } = self.shelf;
        Source::open(self.plan.topic, id, facts, store, requests, cpu).await
    }

    /// Writes what is left of a piece.
    async fn write(
        &self,
        part: &Part,
        piece: Piece,
        keys: &Keys,
        sources: &mut BTreeMap<ArchiveId, Source<'_>>,
        draft: &mut Draft,
    ) -> Result<(), RewriteError> {
        let (topic, partition) = (self.plan.topic, part.partition);
        let limit = keys.limits.get(&partition).copied().unwrap_or(part.dirty.start);
        let (dropped, held) = (draft.dropped, None);
        let (ripe, end) = (part.ripe, part.end);
        let mut filter = Filter { table: &keys.table, partition, limit, ripe, end, dropped, held };
        let (mut has_rows, writer) = (false, &mut draft.writer);
        writer.end_span();
        for row in &piece.rows {
            let ObjectRef::Archive(id) = row.object else { continue };
            let Some(source) = sources.get_mut(&id) else { continue };
            let visitor = |found: &Found| {
                if let Some(batch) = filter.thin(found) {
                    has_rows = true;
                    let failed = |error| RewriteError::Write { topic, error };
                    writer.append(partition, &batch).map_err(failed)?;
                }
                Ok(ControlFlow::Continue(()))
            };
            let _: ControlFlow<()> = source.visit(partition, row, visitor).await?;
        }
        draft.dropped = filter.dropped;
        draft.held.extend(filter.held.map(|offset| (partition, offset)));
        if has_rows {
            draft.kept.push(piece);
        } else {
            draft.emptied.extend(piece.emptied());
        }
        Ok(())
    }
}

/// Takes note of the dirty records of a batch. Gives the first for which there is no room.
fn note(table: &mut KeyTable, part: &Part, found: &Found) -> Option<Offset> {
    let records = keyed(&found.batch).unwrap_or_default();
    let mut dirty = records.iter().filter(|record| part.dirty.contains(&record.offset));
    let has_no_room = |record: &&Record| {
        let key = record.key.as_ref();
        key.is_some_and(|key| !table.note(part.partition, key, record.offset))
    };
    dirty.find(has_no_room).map(|record| record.offset)
}

/// The rows of a partition that lie in a group of files, those next to each other together as far as the grain allows.
/// What is too young to be compacted stays by itself: it would make all of its row too young.
fn pieces(part: &Part, group: &BTreeSet<ArchiveId>, grain: Grain) -> Vec<Piece> {
    let in_group =
        |row: &BatchCoordinates| matches!(row.object, ObjectRef::Archive(id) if group.contains(&id));
    let mut pieces: Vec<Piece> = Vec::new();
    let mut last = None;
    for (place, row) in part.rows.iter().filter(|(_, row)| in_group(row)) {
        let follows = last.is_some_and(|last: usize| last + 1 == *place);
        let is_young = |row: &BatchCoordinates| row.base >= part.dirty.end;
        let goes_on = |piece: &&mut Piece| {
            let same_age = piece.rows.last().is_some_and(|last| is_young(last) == is_young(row));
            follows && same_age && grain.allows(&piece.rows, row)
        };
        match pieces.last_mut().filter(goes_on) {
            Some(piece) => piece.rows.push(*row),
            None => pieces.push(Piece { partition: part.partition, rows: vec![*row] }),
        }
        last = Some(*place);
    }
    pieces
}
