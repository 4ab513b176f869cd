//! Reads a file back from the store and compares what consumers will get with what went in.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use ebb_archive::{Chain, Footer, Scan, Span, Step, Steps, Tail};
use ebb_protocol::{
    batch::DECOMPRESSED_BYTES_MAX,
    ids::{ByteRange, TopicId},
};
use ebb_segment::store::SegmentStore;
use object_store::path::Path;

use super::{
    error::RewriteError,
    pace::{CpuPace, RequestPace},
};

/// The file is read in pieces of this many bytes.
pub(super) const PIECE_BYTES: u64 = 8 << 20;

/// A file in the store that is to be verified.
pub(super) struct Written<'a> {
    pub(super) topic: TopicId,
    pub(super) key: &'a Path,
    pub(super) bytes: u64,
    pub(super) tail: Tail,
    pub(super) spans: &'a [Span],
}

/// Reads a file and compares each partition's records with the chain of those that went in. Gives its footer.
///
/// # Errors
/// [`RewriteError::Verify`] names the first difference.
pub(super) async fn verify(
    file: &Written<'_>,
    store: &SegmentStore,
    requests: &RequestPace,
    cpu: &CpuPace,
) -> Result<Arc<Footer>, RewriteError> {
    let mut reader = Reader::new(file.key.clone(), file.bytes, store, requests);
    if file.bytes <= PIECE_BYTES {
        // One request has all of it.
        reader.get(0..file.bytes).await?;
    }
    let tail = reader.get(file.bytes.saturating_sub(file.tail.bytes.into())..file.bytes).await?;
    let footer = Arc::new(Footer::decode(file.bytes, file.tail, tail)?);
    for span in file.spans {
        let failed = |why: String| RewriteError::Verify {
            topic: file.topic,
            partition: span.partition,
            offset: span.first,
            why,
        };
        let mut scan = Scan::new(footer.clone(), span.partition, span.first, span.next, u64::MAX);
        let mut chain = Chain::default();
        let mut stint = cpu.stint();
        loop {
            match scan.step()? {
                Step::Needs(ranges) => {
                    let mut bytes = Vec::with_capacity(ranges.len());
                    for range in &ranges {
                        bytes.push(reader.get(range.clone()).await?);
                    }
                    stint.begin();
                    scan.push(ranges, bytes)?;
                }
                Step::Item(found) => {
                    if found.kept_whole {
                        chain.add_raw(&found.batch);
                    } else {
                        let timestamps = found.batch.timestamp_type();
                        let records = found.batch.decode(DECOMPRESSED_BYTES_MAX);
                        for record in records.map_err(|error| failed(error.to_string()))?.borrowed() {
                            chain.add_record(timestamps, &record.map_err(|error| failed(error.to_string()))?);
                        }
                    }
                    stint.breathe().await;
                }
                Step::End => break,
            }
        }
        let (expected, read) = (&span.chain, &chain);
        if (expected.hash(), expected.records()) != (read.hash(), read.records()) {
            return Err(failed(format!("{} of {} records", read.records(), expected.records())));
        }
    }
    Ok(footer)
}

/// Reads a file in large pieces, the last of which it keeps: a scan goes forward.
pub(super) struct Reader<'a> {
    key: Path,
    file_bytes: u64,
    store: &'a SegmentStore,
    requests: &'a RequestPace,
    piece: Option<(Range<u64>, Bytes)>,
}

impl<'a> Reader<'a> {
    /// Of the file with this key and size. Makes no request.
    pub(super) fn new(
        key: Path,
        file_bytes: u64,
        store: &'a SegmentStore,
        requests: &'a RequestPace,
    ) -> Self {
        Self { key, file_bytes, store, requests, piece: None }
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// [`RewriteError::Store`].
    pub(super) async fn get(&mut self, range: Range<u64>) -> Result<Bytes, RewriteError> {
        if let Some(found) = self.kept(&range) {
            return Ok(found);
        }
        let end = (range.start + PIECE_BYTES).min(self.file_bytes).max(range.end);
        self.requests.turn().await;
        let whole = ByteRange { start: range.start, len: end - range.start };
        let bytes = self.store.get(&self.key, whole).await?;
        self.piece = Some((range.start..end, bytes.clone()));
        let len = usize::try_from(range.end - range.start).unwrap_or(bytes.len());
        Ok(bytes.slice(..len.min(bytes.len())))
    }

    /// Has the next bytes read anew.
    pub(super) fn forget(&mut self) {
        self.piece = None;
    }

    fn kept(&self, range: &Range<u64>) -> Option<Bytes> {
        let (held, bytes) = self.piece.as_ref()?;
        let from = usize::try_from(range.start.checked_sub(held.start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(held.start)?).ok()?;
        (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
    }
}
