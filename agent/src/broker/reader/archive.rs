//! Reads archive files: record batches from an offset on, and the place of a time. Joins the bytes in the cache's blocks
//! to a reader that asks for ranges. Bad bytes never leave this file. Knows nothing of fetch requests.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use ebb_archive::{Footer, FooterError, ReadError, Scan, Step, Steps, Tail, TimeScan};
use ebb_metastore::{
    Metastore,
    command::ObjectRef,
    state::{BatchCoordinates, State},
};
use ebb_protocol::ids::{ArchiveId, ByteRange, Offset, PartitionIndex, Timestamp, TopicId};
use ebb_segment::store::StoreError;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use super::run::PlacedBatch;
use crate::broker::cache::{Blocks, Lane, Recent, Source};

/// Memory for footers, in bytes: those of a few thousand files.
const FOOTERS_BYTES_MAX: usize = 64 << 20;

/// Ranges of one file that are asked for at once.
const RANGES_AT_ONCE: usize = 4;

/// A file is read ahead in parts of this many bytes, each when the one before is read by half: so that a reader in
/// order makes one GET a part.
const READ_AHEAD_BYTES: u64 = 16 << 20;

/// Archive files as record batches.
#[derive(Debug)]
pub(in crate::broker) struct Archives {
    metastore: Metastore,
    blocks: Blocks,
    footers: Mutex<Recent<ArchiveId, Arc<Footer>>>,
}

/// What was read of a span.
#[derive(Clone, Debug)]
pub(in crate::broker) struct ReadSpan {
    pub(in crate::broker) batches: Vec<PlacedBatch>,
    /// Whether nothing more is in the span.
    pub(in crate::broker) is_complete: bool,
}

/// Which records of a file are wanted.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Wanted {
    pub(in crate::broker) partition: PartitionIndex,
    /// The first offset.
    pub(in crate::broker) from: Offset,
    /// About how many bytes of batches; at least one batch if there is one.
    pub(in crate::broker) bytes_max: u64,
}

impl Archives {
    pub(in crate::broker) fn new(metastore: Metastore, blocks: Blocks) -> Self {
        Self { metastore, blocks, footers: Mutex::new(Recent::new(FOOTERS_BYTES_MAX)) }
    }

    /// Reads the batches of a span of a file. What does not hold is read from the store once more, whatever the cache
    /// says.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Damaged`] when the store itself holds bad bytes.
    pub(in crate::broker) async fn read(
        &self,
        run: &BatchCoordinates,
        wanted: Wanted,
        lane: Lane,
    ) -> Result<ReadSpan, StoreError> {
        let first = self.read_once(run, wanted, Source { lane, again: false }).await;
        let Err(StoreError::Damaged(object, what)) = first else { return first };
        self.again(&object, &what);
        self.read_once(run, wanted, Source { lane, again: true }).await
    }

    async fn read_once(
        &self,
        run: &BatchCoordinates,
        wanted: Wanted,
        source: Source,
    ) -> Result<ReadSpan, StoreError> {
        if source.lane == Lane::Replay && wanted.from <= run.base {
            // A reader at the start of a span most likely reads all of it.
            self.blocks.read_ahead(run.object, ahead(run.range.start, run.range.end()));
        }
        let footer = self.footer(run.object, source).await?;
        let (from, to) = (wanted.from.max(run.base), run.last.plus(1));
        let mut scan = Scan::new(footer, wanted.partition, from, to, wanted.bytes_max);
        let mut batches = Vec::new();
        let mut end = 0;
        while let Some(found) = self.advance(run.object, &mut scan, source, &mut end).await? {
            let (base, last) = (found.batch.base_offset(), found.batch.last_offset());
            if base < run.base || last > run.last {
                return Err(damaged(run.object, &format!("it holds records beyond offset {}", run.last)));
            }
            batches.push(PlacedBatch { base, last, batch: found.batch });
        }
        if source.lane == Lane::Replay && end > 0 {
            self.blocks.read_ahead(run.object, ahead(end, run.range.end()));
        }
        Ok(ReadSpan { batches, is_complete: scan.is_complete() })
    }

    /// The first record of a span, from an offset on, whose timestamp is at least `at`; with none, the first of those
    /// with the largest timestamp.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(in crate::broker) async fn find_time(
        &self,
        run: &BatchCoordinates,
        partition: PartitionIndex,
        from: Offset,
        at: Option<Timestamp>,
    ) -> Result<Option<(Offset, Timestamp)>, StoreError> {
        let again =
            |again| self.find_time_once(run, partition, from, at, Source { lane: Lane::Replay, again });
        let first = again(false).await;
        let Err(StoreError::Damaged(object, what)) = first else { return first };
        self.again(&object, &what);
        again(true).await
    }

    async fn find_time_once(
        &self,
        run: &BatchCoordinates,
        partition: PartitionIndex,
        from: Offset,
        at: Option<Timestamp>,
        source: Source,
    ) -> Result<Option<(Offset, Timestamp)>, StoreError> {
        let footer = self.footer(run.object, source).await?;
        let offsets = from.max(run.base)..run.last.plus(1);
        let mut scan = match at {
            Some(at) => TimeScan::since(footer, partition, offsets, at),
            None => TimeScan::latest(footer, partition, offsets),
        };
        self.advance(run.object, &mut scan, source, &mut 0).await
    }

    /// Takes note that bytes are damaged, and will be read from the store once more.
    fn again(&self, object: &str, what: &str) {
        self.blocks.counters().damage();
        tracing::warn!(object, what, "stored bytes are damaged; reading them from the store again");
    }

    /// Gives a reader the bytes that it asks for until it has found something; `None` at its end. `end` becomes the
    /// end of the last range that was read.
    async fn advance<S: Steps>(
        &self,
        object: ObjectRef,
        reader: &mut S,
        source: Source,
        end: &mut u64,
    ) -> Result<Option<S::Item>, StoreError> {
        loop {
            match reader.step().map_err(|error| unreadable(object, &error))? {
                Step::Item(item) => return Ok(Some(item)),
                Step::End => return Ok(None),
                Step::Needs(ranges) => {
                    *end = ranges.iter().map(|range| range.end).max().unwrap_or(*end);
                    // Futures in a list: a closure in the stream would keep callers' futures from being `Send`.
                    let reads: Vec<_> =
                        ranges.iter().map(|range| self.bytes(object, range.clone(), source)).collect();
                    let bytes = stream::iter(reads).buffered(RANGES_AT_ONCE).try_collect().await?;
                    reader.push(ranges, bytes).map_err(|error| unreadable(object, &error))?;
                }
            }
        }
    }

    /// The footer of a file, from memory or from its end.
    async fn footer(&self, object: ObjectRef, source: Source) -> Result<Arc<Footer>, StoreError> {
        let missing = || StoreError::Missing(format!("{object:?}"));
        let ObjectRef::Archive(archive) = object else { return Err(missing()) };
        if let Some(footer) = self.footers.lock().get(archive) {
            return Ok(footer);
        }
        let (topic, bytes, tail) = self.metastore.read(|state| facts(state, archive)).ok_or_else(missing)?;
        let range = bytes.saturating_sub(tail.bytes.into())..bytes;
        let tail_bytes = self.bytes(object, range, source).await?;
        let footer = Footer::decode(bytes, tail, tail_bytes).map_err(|error| bad_footer(object, &error))?;
        let identity = footer.identity();
        if (identity.topic, identity.object) != (topic, archive) {
            return Err(damaged(
                object,
                &format!("it says that it is {} of topic {}", identity.object, identity.topic),
            ));
        }
        let footer = Arc::new(footer);
        self.footers.lock().insert(archive, footer.clone(), footer.memory_bytes());
        Ok(footer)
    }

    /// A range of a file's bytes, copied only when it lies in more than one block.
    async fn bytes(&self, object: ObjectRef, range: Range<u64>, source: Source) -> Result<Bytes, StoreError> {
        let range = ByteRange { start: range.start, len: range.end - range.start };
        match <[Bytes; 1]>::try_from(self.blocks.read(object, range, source).await?) {
            Ok([part]) => Ok(part),
            Err(parts) => {
                let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
                parts.iter().for_each(|part| whole.extend_from_slice(part));
                Ok(whole.freeze())
            }
        }
    }
}

/// What is to be read ahead by a reader that has read up to `end`, of a span that goes up to `span_end`: up to the end of
/// the part that begins next, or of the one before while that is not read by half.
fn ahead(end: u64, span_end: u64) -> ByteRange {
    let part = (end + READ_AHEAD_BYTES / 2) / READ_AHEAD_BYTES;
    let until = ((part + 1) * READ_AHEAD_BYTES).min(span_end);
    ByteRange { start: end, len: until.saturating_sub(end) }
}

/// What the state knows of a file: its topic, its size, and its end.
fn facts(state: &State, archive: ArchiveId) -> Option<(TopicId, u64, Tail)> {
    let (topic, file) = state.archive_file(archive)?;
    Some((topic, file.bytes, Tail { bytes: file.tail_bytes, checksum: file.tail_checksum }))
}

fn damaged(object: ObjectRef, what: &str) -> StoreError {
    StoreError::Damaged(format!("{object:?}"), what.to_owned())
}

fn unreadable(object: ObjectRef, error: &ReadError) -> StoreError {
    damaged(object, &error.to_string())
}

fn bad_footer(object: ObjectRef, error: &FooterError) -> StoreError {
    damaged(object, &error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_reader_in_order_makes_few_gets() {
        const BLOCK: u64 = 4 << 20;
        let span_end = (64 << 20) + 12_345;
        for step in [10_000, 300_000, 5_000_000] {
            let (mut there, mut gets) = (BTreeSet::new(), 0);
            for start in (0..span_end).step_by(usize::try_from(step).expect("small")) {
                // What is read ahead, and what the reader needs now, as the blocks do it.
                let end = (start + step).min(span_end);
                let ahead = ahead(if start == 0 { 0 } else { end }, span_end);
                let missing =
                    (ahead.start / BLOCK..ahead.end().div_ceil(BLOCK)).filter(|at| there.insert(*at));
                gets += u64::from(missing.count() > 0);
                gets += (start / BLOCK..end.div_ceil(BLOCK)).filter(|at| there.insert(*at)).count() as u64;
            }
            assert!(gets <= 5, "{gets} GETs in steps of {step}");
            assert_eq!(there.len() as u64, span_end.div_ceil(BLOCK), "all is read");
        }
        assert_eq!(ahead(span_end, span_end).len, 0);
    }
}
