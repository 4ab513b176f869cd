//! The segment format, version 1: its layout and its types. `build` writes it, `parse` reads it. Knows nothing of
//! offsets and of where a segment is kept.
//!
//! ```text
//! header     0  magic       7  "EBB-SEG"
//!            7  version     1  1
//!            8  cluster    16  id of the cluster
//!           24  segment    16  id of the segment
//!           40  checksum    4  CRC-32C of the 40 bytes before it
//! batches   44  record batches as the producers sent them, run by run, without gaps
//! footer     F  one row of 44 bytes for each run, sorted by topic, partition, start:
//!               topic      16
//!               partition   4
//!               start       8  the run's first byte, counted from the segment's first
//!               length      8  the run's bytes
//!               checksum    4  CRC-32C of those bytes
//!               batches     4  how many batches the run holds
//! tail       T  magic       7  "EBB-END"
//!               version     1  1
//!               cluster    16  as in the header
//!               segment    16  as in the header
//!               footer      4  the footer's length in bytes
//!               checksum    4  CRC-32C of the footer and of the tail's 44 bytes before this field
//! ```
//!
//! Numbers are big-endian. The tail is the object's last 48 bytes, so two ranged reads, or one good guess, find what
//! an object holds. A batch's bytes are never changed: base offset and leader epoch are filled in when it is read.

mod build;
mod parse;

use bytes::Bytes;
use ebb_protocol::ids::{ByteRange, ClusterId, PartitionIndex, SegmentId, TopicId};

pub use build::{RUN_BYTES_MAX, build};
pub use parse::{FormatError, Tail, parse_footer, parse_header, parse_tail, verify};

/// The version of the format that this code writes, and the newest that it reads.
pub const VERSION: u8 = 1;
/// Size of the header in bytes; the first batch lies behind it.
pub const HEADER_BYTES: usize = 44;
/// Size of the tail in bytes.
pub const TAIL_BYTES: usize = 48;
/// Size of one row of the footer in bytes.
pub const FOOTER_ROW_BYTES: usize = 44;

const HEADER_MAGIC: &[u8; 7] = b"EBB-SEG";
const TAIL_MAGIC: &[u8; 7] = b"EBB-END";

/// A finished segment: its bytes in pieces that share memory with the batches, and its index.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The segment's id.
    pub id: SegmentId,
    /// Its bytes, in order: header, batches, footer, tail.
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

/// Whose bytes an object holds; stands in its header and again in its tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster that wrote the segment.
    pub cluster: ClusterId,
    /// The segment.
    pub segment: SegmentId,
}
