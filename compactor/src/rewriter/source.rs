//! An archive file as a source of record batches. Knows nothing of what becomes of them.
//!
//! Bits flip on the way, too: what is damaged is read once more before the file counts as damaged.

use std::{
    ops::{ControlFlow, Range},
    sync::Arc,
};

use bytes::Bytes;
use ebb_archive::{Footer, FooterError, Found, ReadError, Scan, Step, Steps, Tail};
use ebb_metastore::{
    command::ObjectRef,
    state::{ArchiveFile, BatchCoordinates},
};
use ebb_protocol::ids::{ArchiveId, PartitionIndex, TopicId};
use ebb_segment::{
    key,
    store::{SegmentStore, StoreError},
};

use super::{
    error::RewriteError,
    pace::{CpuPace, RequestPace},
    verify::Reader,
};

/// What has to be known of a file to read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileFacts {
    pub(super) bytes: u64,
    pub(super) tail: Tail,
}

impl FileFacts {
    /// As the state has them.
    pub(super) fn of(file: &ArchiveFile) -> Self {
        let tail = Tail { bytes: file.tail_bytes, checksum: file.tail_checksum };
        Self { bytes: file.bytes, tail }
    }
}

/// A file that is being read.
pub(super) struct Source<'a> {
    id: ArchiveId,
    footer: Arc<Footer>,
    reader: Reader<'a>,
    cpu: &'a CpuPace,
}

impl<'a> Source<'a> {
    /// Reads a file's footer.
    ///
    /// # Errors
    /// [`RewriteError::Store`], and [`RewriteError::Source`] when the file is missing or damaged.
    pub(super) async fn open(
        topic: TopicId,
        id: ArchiveId,
        facts: FileFacts,
        store: &'a SegmentStore,
        requests: &'a RequestPace,
        cpu: &'a CpuPace,
    ) -> Result<Self, RewriteError> {
        let mut reader = Reader::new(key::archive_key(topic, id), facts.bytes, store, requests);
        let start = facts.bytes.saturating_sub(facts.tail.bytes.into());
        let mut read_before = false;
        let footer = loop {
            let tail = reader.get(start..facts.bytes).await.map_err(|error| lost(id, error))?;
            match Footer::decode(facts.bytes, facts.tail, tail) {
                Err(FooterError::Damaged) if !read_before => reader.forget(),
                footer => break footer.map_err(|error| damaged(id, &error.to_string()))?,
            }
            read_before = true;
        };
        let identity = footer.identity();
        if (identity.topic, identity.object) != (topic, id) {
            return Err(damaged(id, &format!("it says that it is {}", identity.object)));
        }
        Ok(Self { id, footer: Arc::new(footer), reader, cpu })
    }

    /// Shows the batches of a row, in order, until the visitor breaks off.
    ///
    /// # Errors
    /// As [`Self::open`], and those of the visitor.
    pub(super) async fn visit(
        &mut self,
        partition: PartitionIndex,
        row: &BatchCoordinates,
        mut visitor: impl FnMut(&Found) -> Result<ControlFlow<()>, RewriteError>,
    ) -> Result<ControlFlow<()>, RewriteError> {
        let id = self.id;
        let unreadable = |error: ReadError| damaged(id, &error.to_string());
        let mut scan = Scan::new(self.footer.clone(), partition, row.base, row.last.plus(1), u64::MAX);
        let mut stint = self.cpu.stint();
        loop {
            match scan.step().map_err(unreadable)? {
                Step::Needs(ranges) => {
                    let bytes = self.bytes(&ranges).await?;
                    stint.begin();
                    match scan.push(ranges.clone(), bytes) {
                        Err(ReadError::Damaged(_)) => {
                            self.reader.forget();
                            let bytes = self.bytes(&ranges).await?;
                            scan.push(ranges, bytes).map_err(unreadable)?;
                        }
                        pushed => pushed.map_err(unreadable)?,
                    }
                }
                Step::Item(found) => {
                    if visitor(&found)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    stint.breathe().await;
                }
                Step::End => return Ok(ControlFlow::Continue(())),
            }
        }
    }
}

impl Source<'_> {
    async fn bytes(&mut self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, RewriteError> {
        let mut bytes = Vec::with_capacity(ranges.len());
        for range in ranges {
            bytes.push(self.reader.get(range.clone()).await.map_err(|error| lost(self.id, error))?);
        }
        Ok(bytes)
    }
}

fn damaged(id: ArchiveId, why: &str) -> RewriteError {
    let error = StoreError::Damaged(format!("{:?}", ObjectRef::Archive(id)), why.to_owned());
    RewriteError::Source { object: ObjectRef::Archive(id), error }
}

/// An error of the store, with the file that it is about.
fn lost(id: ArchiveId, error: RewriteError) -> RewriteError {
    match error {
        RewriteError::Store(error) => RewriteError::Source { object: ObjectRef::Archive(id), error },
        other => other,
    }
}
