//! The segment format, version 1.

use bytes::Bytes;
use ebb_protocol::{
    batch::RecordBatch,
    ids::{ByteRange, ClusterId, PartitionIndex, SegmentId, TopicId},
};

/// A finished segment: its bytes in pieces that share memory with the batches, and its index.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The segment's id.
    pub id: SegmentId,
    /// Its bytes, in order: header, batches, footer.
    pub pieces: Vec<Bytes>,
    /// How many bytes that is.
    pub bytes: u64,
    /// Its runs, sorted by topic and partition.
    pub runs: Vec<SegmentRun>,
}

/// Batches of one partition that lie next to each other in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRun {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The run's bytes, counted from the segment's first byte.
    pub range: ByteRange,
    /// CRC-32C of those bytes.
    pub checksum: u32,
    /// How many batches it holds.
    pub batches: u32,
}

/// A run never grows past this, so that a fetch from its middle reads little in vain. One larger batch still makes
/// a run of its own.
pub const RUN_BYTES_MAX: u64 = 1 << 20;

/// Lays out a segment. Batches are `(topic, partition, batch)` in arrival order; they are grouped by partition, and
/// keep their order within it. `order` in the answer gives, run by run, the indices of the batches passed in.
#[must_use]
pub fn build(
    cluster: ClusterId,
    id: SegmentId,
    batches: &[(TopicId, PartitionIndex, RecordBatch)],
) -> (Segment, Vec<Vec<usize>>) {
    todo!("{cluster} {id} {}", batches.len())
}
