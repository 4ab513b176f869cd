//! Lays a segment out. Large batches are not copied: the segment's pieces share their memory.
//!
//! Run checksums hash every byte once more. Combining the batches' own checksums would save that, but was measured
//! slower for every batch below 1 MiB: hashing runs at 20 GB/s and more, one combination takes 20 to 40 us.

use bytes::{BufMut, Bytes, BytesMut};
use ebb_protocol::{
    batch::RecordBatch,
    ids::{ByteRange, ClusterId, PartitionIndex, SegmentId, TopicId},
};

use super::{
    FOOTER_ROW_BYTES, HEADER_BYTES, HEADER_MAGIC, Identity, Segment, SegmentRun, TAIL_BYTES, TAIL_MAGIC,
    VERSION,
};

/// A run never grows past this, so that a fetch from its middle reads little in vain. One larger batch still makes
/// a run of its own.
pub const RUN_BYTES_MAX: u64 = 1 << 20;

/// Batches below this size are copied together: a write call or an HTTP chunk for each costs more than the copy, and
/// a small batch that shared its memory would keep a whole request alive in the cache.
const COPY_BELOW_BYTES: usize = 16 << 10;

/// Lays out a segment. Batches are `(topic, partition, batch)` in arrival order; they are grouped by partition, and
/// keep their order within it. `order` in the answer gives, run by run, the indices of the batches passed in.
#[must_use]
pub fn build(
    cluster: ClusterId,
    id: SegmentId,
    batches: &[(TopicId, PartitionIndex, RecordBatch)],
) -> (Segment, Vec<Vec<usize>>) {
    let identity = Identity { cluster, segment: id };
    let mut pieces = Pieces::default();
    pieces.copy(&header(identity));
    let mut runs: Vec<SegmentRun> = Vec::new();
    let mut order: Vec<Vec<usize>> = Vec::new();

    let mut sorted: Vec<usize> = (0..batches.len()).collect();
    // The sort is stable, so batches of one partition stay in arrival order.
    sorted.sort_by_key(|&index| batches.get(index).map(|(topic, partition, _)| (*topic, *partition)));
    for index in sorted {
        let Some((topic, partition, batch)) = batches.get(index) else { continue };
        let bytes = batch.bytes();
        let len = bytes.len() as u64;
        match (runs.last_mut(), order.last_mut()) {
            (Some(run), Some(members)) if takes(run, *topic, *partition, len) => {
                run.range.len += len;
                run.checksum = crc32c::crc32c_append(run.checksum, bytes);
                run.batches += 1;
                members.push(index);
            }
            _ => {
                runs.push(SegmentRun {
                    topic: *topic,
                    partition: *partition,
                    range: ByteRange { start: pieces.bytes, len },
                    checksum: crc32c::crc32c(bytes),
                    batches: 1,
                });
                order.push(vec![index]);
            }
        }
        pieces.push(bytes);
    }
    pieces.copy(&footer_and_tail(identity, &runs));
    let (pieces, bytes) = pieces.finish();
    (Segment { id, pieces, bytes, runs }, order)
}

/// Whether a run takes one more batch.
fn takes(run: &SegmentRun, topic: TopicId, partition: PartitionIndex, len: u64) -> bool {
    run.topic == topic && run.partition == partition && run.range.len + len <= RUN_BYTES_MAX
}

fn header(identity: Identity) -> BytesMut {
    let mut out = BytesMut::with_capacity(HEADER_BYTES);
    out.put_slice(HEADER_MAGIC);
    put_identity(&mut out, identity);
    out.put_u32(crc32c::crc32c(&out));
    out
}

fn footer_and_tail(identity: Identity, runs: &[SegmentRun]) -> BytesMut {
    let footer_bytes = runs.len() * FOOTER_ROW_BYTES;
    let mut out = BytesMut::with_capacity(footer_bytes + TAIL_BYTES);
    for run in runs {
        out.put_u128(run.topic.0.as_u128());
        out.put_i32(run.partition.0);
        out.put_u64(run.range.start);
        out.put_u64(run.range.len);
        out.put_u32(run.checksum);
        out.put_u32(run.batches);
    }
    out.put_slice(TAIL_MAGIC);
    put_identity(&mut out, identity);
    out.put_u32(
        u32::try_from(footer_bytes).expect("byte permits bound a segment far below 2^32 footer bytes"),
    );
    out.put_u32(crc32c::crc32c(&out));
    out
}

fn put_identity(out: &mut BytesMut, identity: Identity) {
    out.put_u8(VERSION);
    out.put_u128(identity.cluster.0);
    out.put_u128(identity.segment.0);
}

/// Pieces of a segment, small ones copied together.
#[derive(Default)]
struct Pieces {
    done: Vec<Bytes>,
    small: BytesMut,
    bytes: u64,
}

impl Pieces {
    fn push(&mut self, piece: &Bytes) {
        if piece.len() < COPY_BELOW_BYTES {
            self.copy(piece);
            return;
        }
        self.seal_small();
        self.bytes += piece.len() as u64;
        self.done.push(piece.clone());
    }

    fn copy(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.small.extend_from_slice(piece);
    }

    fn seal_small(&mut self) {
        if !self.small.is_empty() {
            self.done.push(self.small.split().freeze());
        }
    }

    fn finish(mut self) -> (Vec<Bytes>, u64) {
        self.seal_small();
        (self.done, self.bytes)
    }
}
