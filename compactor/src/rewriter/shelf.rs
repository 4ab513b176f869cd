//! Puts a file that was written into the store, reads it back, and says what publishes it. Knows nothing of where its
//! rows come from.

use bytes::Bytes;
use ebb_archive::{Archive, Footer, Span};
use ebb_metastore::{
    command::{ArchiveSpan, FileColumns, PublishArchive},
    state::{BatchCoordinates, fingerprint},
};
use ebb_protocol::ids::{ArchiveId, ByteRange, PartitionIndex, TopicId};
use ebb_segment::{key, store::SegmentStore};
use object_store::PutPayload;

use super::{
    error::RewriteError,
    pace::{CpuPace, RequestPace},
    verify::{Written, verify},
};

/// Rows of a partition that lie next to each other, and become one span of a file.
pub(super) struct Piece {
    pub(super) partition: PartitionIndex,
    pub(super) rows: Vec<BatchCoordinates>,
}

/// What it takes to put a file and to read it back.
#[derive(Clone, Copy)]
pub(super) struct Shelf<'a> {
    pub(super) store: &'a SegmentStore,
    pub(super) requests: &'a RequestPace,
    pub(super) cpu: &'a CpuPace,
}

impl Shelf<'_> {
    /// Puts a file, whose spans hold `pieces`, one for one, and which has these typed columns, and reads it back. Gives
    /// the command that publishes it.
    ///
    /// # Errors
    /// Those of the store, and what is wrong with the file that can be read out of it.
    pub(super) async fn put(
        self,
        topic: TopicId,
        id: ArchiveId,
        mut archive: Archive,
        pieces: &[Piece],
        columns: FileColumns,
    ) -> Result<PublishArchive, RewriteError> {
        let key = key::archive_key(topic, id);
        let payload = PutPayload::from_bytes(Bytes::from(std::mem::take(&mut archive.bytes)));
        self.requests.turn().await;
        self.store.put_object(&key, payload).await?;
        self.publish(topic, id, &archive, pieces, columns).await
    }

    /// Reads a file back that is in the store, and gives the command that publishes it.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub(super) async fn publish(
        self,
        topic: TopicId,
        id: ArchiveId,
        archive: &Archive,
        pieces: &[Piece],
        columns: FileColumns,
    ) -> Result<PublishArchive, RewriteError> {
        let key = key::archive_key(topic, id);
        let bytes = archive.file_bytes;
        let written = Written { topic, key: &key, bytes, tail: archive.tail, spans: &archive.spans };
        let footer = match verify(&written, self.store, self.requests, self.cpu).await {
            Err(error) if error.is_damage() => verify(&written, self.store, self.requests, self.cpu).await?,
            verified => verified?,
        };
        let spans = pieces.iter().zip(&archive.spans);
        let spans = spans.filter_map(|(piece, span)| piece.published(span, &footer)).collect();
        let (tail_bytes, tail_checksum) = (archive.tail.bytes, archive.tail.checksum);
        Ok(PublishArchive { archive: id, topic, bytes, tail_bytes, tail_checksum, spans, columns })
    }
}

impl Piece {
    /// Whether a row lies behind its last one, and nothing between them.
    pub(super) fn goes_on(&self, partition: PartitionIndex, row: &BatchCoordinates) -> bool {
        let follows = |last: &BatchCoordinates| last.last.plus(1) == row.base;
        self.partition == partition && self.rows.last().is_some_and(follows)
    }

    /// What is published of it, when it was written as `span` into the file with this footer.
    fn published(&self, span: &Span, footer: &Footer) -> Option<ArchiveSpan> {
        let groups = footer.partition(self.partition).iter();
        let groups: Vec<_> = groups.filter(|group| (span.first..span.next).contains(&group.first)).collect();
        let (start, end) = (groups.first()?.range.start, groups.last()?.range.end());
        // A batch's header states a largest timestamp, which need not be that of its records.
        let max_timestamp = groups.iter().filter_map(|group| group.max_timestamp).max();
        let max_timestamp = max_timestamp.map_or(span.max_timestamp, |max| max.max(span.max_timestamp));
        let min_timestamp = groups.iter().filter_map(|group| group.min_timestamp).min();
        Some(ArchiveSpan {
            rows: span.chain.records(),
            range: ByteRange { start, len: end - start },
            min_timestamp: min_timestamp.unwrap_or(max_timestamp),
            max_timestamp,
            ..self.emptied()?
        })
    }

    /// What is published of it when nothing of it is left.
    pub(super) fn emptied(&self) -> Option<ArchiveSpan> {
        let (first, last) = (self.rows.first()?, self.rows.last()?);
        Some(ArchiveSpan {
            partition: self.partition,
            first: first.base,
            next: last.last.plus(1),
            replaces: fingerprint(self.rows.iter()),
            rows: 0,
            range: ByteRange { start: 0, len: 0 },
            min_timestamp: last.max_timestamp,
            max_timestamp: last.max_timestamp,
        })
    }
}
