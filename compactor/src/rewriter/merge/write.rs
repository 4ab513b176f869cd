//! Writes some files of a topic as one, with the same rows. Knows nothing of why these.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use ebb_archive::{ArchiveWriter, Found, Identity};
use ebb_metastore::{
    Metastore,
    command::{ObjectRef, PublishArchive},
    state::BatchCoordinates,
};
use ebb_protocol::ids::{ArchiveId, ClusterId, Offset, PartitionIndex};
use ebb_segment::key;
use futures::{StreamExt, TryStreamExt, stream};

use super::plan::Plan;
use crate::rewriter::{
    config::RewriterConfig,
    error::RewriteError,
    shape::Wanted,
    shelf::{Piece, Shelf},
    source::{FileFacts, Source},
    upload::Upload,
};

/// What it takes to merge files.
pub(super) struct Merging<'a> {
    pub(super) plan: &'a Plan,
    pub(super) cluster: ClusterId,
    pub(super) metastore: &'a Metastore,
    pub(super) shelf: Shelf<'a>,
    pub(super) config: &'a RewriterConfig,
}

impl Merging<'_> {
    /// Writes all rows that are in the files into a new one, and puts it into the store. `renew` is called between
    /// rows. `None` when it breaks off, or nothing is there any more.
    ///
    /// # Errors
    /// When a file cannot be read, written, or read back, or does not have the rows that it should.
    pub(super) async fn write<F>(
        &self,
        id: ArchiveId,
        renew: impl FnMut() -> F,
    ) -> Result<Option<PublishArchive>, RewriteError>
    where
        F: Future<Output = Result<ControlFlow<()>, RewriteError>>,
    {
        let topic = self.plan.topic;
        let failed = |error| RewriteError::Write { topic, error };
        let pieces = self.pieces();
        if pieces.is_empty() {
            return Ok(None);
        }
        let identity = Identity { cluster: self.cluster, topic, object: id };
        let shape = self.metastore.read(|state| Wanted::of(state, topic)).for_files();
        let layout = shape.layout(self.config.layout);
        let (typed, columns) = shape.settle(pieces.len());
        let mut writer = ArchiveWriter::typed(identity, layout, typed).map_err(failed)?;
        let mut upload = Upload::new(key::archive_key(topic, id), self.shelf);
        let filled = self.fill(&pieces, &mut writer, &mut upload, renew).await;
        if !matches!(filled, Ok(ControlFlow::Continue(()))) {
            upload.give_up().await;
            return filled.map(|_| None);
        }
        let archive = writer.finish().map_err(failed)?;
        upload.finish(&archive.bytes).await?;
        self.shelf.publish(topic, id, &archive, &pieces, columns).await.map(Some)
    }

    /// Copies all rows, and puts what is finished of the new file.
    async fn fill<F>(
        &self,
        pieces: &[Piece],
        writer: &mut ArchiveWriter,
        upload: &mut Upload<'_>,
        mut renew: impl FnMut() -> F,
    ) -> Result<ControlFlow<()>, RewriteError>
    where
        F: Future<Output = Result<ControlFlow<()>, RewriteError>>,
    {
        let topic = self.plan.topic;
        let mut sources = self.open(pieces).await?;
        for piece in pieces {
            writer.end_span();
            for row in &piece.rows {
                if renew().await?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                self.copy(piece.partition, row, &mut sources, writer).await?;
                let finished = writer.take().map_err(|error| RewriteError::Write { topic, error })?;
                upload.push(&finished).await?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The rows of the files as they are now, those next to each other together.
    fn pieces(&self) -> Vec<Piece> {
        // Where each partition's rows begin, and how many there are.
        let mut places: BTreeMap<PartitionIndex, (Offset, usize)> = BTreeMap::new();
        for span in self.plan.files.values().flat_map(|file| &file.spans) {
            let place = places.entry(span.partition).or_insert((span.first, 0));
            *place = (place.0.min(span.first), place.1 + 1);
        }
        let mut pieces: Vec<Piece> = Vec::new();
        for (partition, (first, count)) in places {
            // One partition under one lock. What changes meanwhile is refused when it is published.
            let topic = self.plan.topic;
            let rows = self.metastore.read(|state| state.find(topic, partition, first, u64::MAX, count));
            for row in rows.into_iter().filter(|row| self.file(row).is_some()) {
                match pieces.last_mut().filter(|piece| piece.goes_on(partition, &row)) {
                    Some(piece) => piece.rows.push(row),
                    None => pieces.push(Piece { partition, rows: vec![row] }),
                }
            }
        }
        pieces
    }

    /// The file in which a row lies, if it is one of those.
    fn file(&self, row: &BatchCoordinates) -> Option<ArchiveId> {
        match row.object {
            ObjectRef::Archive(id) => Some(id).filter(|id| self.plan.files.contains_key(id)),
            _ => None,
        }
    }

    /// Opens the files of which something is left.
    async fn open(&self, pieces: &[Piece]) -> Result<BTreeMap<ArchiveId, Source<'_>>, RewriteError> {
        let rows = pieces.iter().flat_map(|piece| &piece.rows);
        let ids: BTreeSet<_> = rows.filter_map(|row| self.file(row)).collect();
        let files = self.plan.files.iter().filter(|(id, _)| ids.contains(*id));
        let opened: Vec<_> = files.map(|(id, file)| self.source(*id, FileFacts::of(file))).collect();
        stream::iter(opened).buffered(self.config.gets_in_flight_max.max(1)).try_collect().await
    }

    async fn source(&self, id: ArchiveId, facts: FileFacts) -> Result<(ArchiveId, Source<'_>), RewriteError> {
        let Shelf { store, requests, cpu } = self.shelf;
        Ok((id, Source::open(self.plan.topic, id, facts, store, requests, cpu).await?))
    }

    /// Copies a row's records, and sees that they are as many as were published.
    async fn copy(
        &self,
        partition: PartitionIndex,
        row: &BatchCoordinates,
        sources: &mut BTreeMap<ArchiveId, Source<'_>>,
        writer: &mut ArchiveWriter,
    ) -> Result<(), RewriteError> {
        let topic = self.plan.topic;
        let Some((id, source)) = self.file(row).and_then(|id| Some((id, sources.get_mut(&id)?))) else {
            return Ok(());
        };
        let mut copied = 0;
        let visitor = |found: &Found| {
            copied += u64::try_from(found.batch.record_count()).unwrap_or(0);
            writer.append(partition, &found.batch).map_err(|error| RewriteError::Write { topic, error })?;
            Ok(ControlFlow::Continue(()))
        };
        let _: ControlFlow<()> = source.visit(partition, row, visitor).await?;
        let mut spans = self.plan.files.get(&id).into_iter().flat_map(|file| &file.spans);
        let published = spans.find(|span| (span.partition, span.first) == (partition, row.base));
        let expected = published.map_or(0, |span| span.rows);
        if copied == expected {
            return Ok(());
        }
        let why = format!("{id} has {copied} of {expected} records");
        Err(RewriteError::Verify { topic, partition, offset: row.base, why })
    }
}
