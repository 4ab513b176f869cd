//! Reads segments back, for fsck and the compactor. Never panics, whatever the bytes are.

use bytes::{Buf, Bytes};
use ebb_protocol::{
    batch::RecordBatch,
    ids::{ByteRange, ClusterId, PartitionIndex, SegmentId, TopicId},
};
use uuid::Uuid;

use super::{
    FOOTER_ROW_BYTES, HEADER_BYTES, HEADER_MAGIC, Identity, SegmentRun, TAIL_BYTES, TAIL_MAGIC, VERSION,
};

/// Why bytes are no sound segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Fewer bytes than the part needs.
    #[error("segment is truncated: its {part} needs {need} bytes, there are {have}")]
    Truncated {
        /// The part that was looked for.
        part: &'static str,
        /// Bytes that it needs.
        need: u64,
        /// Bytes that are there.
        have: u64,
    },
    /// The part does not begin as it should: these bytes are something else.
    #[error("not a segment: the {0} has the wrong magic")]
    WrongMagic(&'static str),
    /// A newer version wrote it.
    #[error(
        "segment format version {found} is newer than version {VERSION}, the newest known: use a newer ebb"
    )]
    NewerVersion {
        /// The version found.
        found: u8,
    },
    /// A checksum does not fit its bytes.
    #[error("the checksum of the segment's {0} is wrong")]
    WrongChecksum(String),
    /// Header and tail name different segments.
    #[error("the header names segment {header}, the tail segment {tail}")]
    MixedUp {
        /// The segment that the header names.
        header: SegmentId,
        /// The segment that the tail names.
        tail: SegmentId,
    },
    /// The footer contradicts itself or the object's size.
    #[error("the segment's footer is inconsistent: {0}")]
    Inconsistent(String),
}

/// What a segment's last bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Whose segment it is.
    pub identity: Identity,
    /// The footer's length in bytes; it ends where the tail begins.
    pub footer_bytes: u32,
    checksum: u32,
    fields_checksum: u32,
}

/// Reads the header from an object's first bytes; more may follow them.
///
/// # Errors
/// [`FormatError`].
pub fn parse_header(object: &[u8]) -> Result<Identity, FormatError> {
    let header = object.get(..HEADER_BYTES).ok_or_else(|| truncated("header", HEADER_BYTES, object))?;
    let (identity, mut rest) = identity(header, HEADER_MAGIC, "header")?;
    let covered = header.get(..HEADER_BYTES - 4).unwrap_or_default();
    if crc32c::crc32c(covered) != rest.get_u32() {
        return Err(FormatError::WrongChecksum("header".to_owned()));
    }
    Ok(identity)
}

/// Reads the tail from an object's last bytes; more may stand before them. Its checksum is checked with the footer.
///
/// # Errors
/// [`FormatError`].
pub fn parse_tail(object: &[u8]) -> Result<Tail, FormatError> {
    let tail = object.last_chunk::<TAIL_BYTES>().ok_or_else(|| truncated("tail", TAIL_BYTES, object))?;
    let (identity, mut rest) = identity(tail, TAIL_MAGIC, "tail")?;
    let footer_bytes = rest.get_u32();
    if !(footer_bytes as usize).is_multiple_of(FOOTER_ROW_BYTES) {
        return Err(FormatError::Inconsistent(format!("{footer_bytes} bytes are no whole number of rows")));
    }
    let fields = tail.get(..TAIL_BYTES - 4).unwrap_or_default();
    Ok(Tail { identity, footer_bytes, checksum: rest.get_u32(), fields_checksum: crc32c::crc32c(fields) })
}

/// Reads the footer that belongs to `tail` from exactly its bytes: the runs, sorted and without gaps.
///
/// # Errors
/// [`FormatError`].
pub fn parse_footer(tail: &Tail, footer: &[u8]) -> Result<Vec<SegmentRun>, FormatError> {
    if footer.len() != tail.footer_bytes as usize {
        return Err(truncated("footer", tail.footer_bytes as usize, footer));
    }
    let whole = crc32c::crc32c_combine(crc32c::crc32c(footer), tail.fields_checksum, TAIL_BYTES - 4);
    if whole != tail.checksum {
        return Err(FormatError::WrongChecksum("footer".to_owned()));
    }
    let runs: Vec<SegmentRun> = footer.chunks_exact(FOOTER_ROW_BYTES).map(row).collect();
    let mut end = HEADER_BYTES as u64;
    for run in &runs {
        if run.range.start != end {
            return Err(FormatError::Inconsistent(format!(
                "a run starts at {}, not at {end}",
                run.range.start
            )));
        }
        end = run.range.end();
    }
    if !runs.is_sorted_by_key(|run| (run.topic, run.partition)) {
        return Err(FormatError::Inconsistent("its runs are not sorted".to_owned()));
    }
    Ok(runs)
}

/// Checks a whole segment, byte by byte, and gives its identity and its runs.
///
/// # Errors
/// [`FormatError`] names the first thing that is wrong.
pub fn verify(object: &Bytes) -> Result<(Identity, Vec<SegmentRun>), FormatError> {
    let header = parse_header(object)?;
    let tail = parse_tail(object)?;
    if header != tail.identity {
        return Err(FormatError::MixedUp { header: header.segment, tail: tail.identity.segment });
    }
    let footer_end = object.len() - TAIL_BYTES;
    let footer = footer_end
        .checked_sub(tail.footer_bytes as usize)
        .filter(|start| *start >= HEADER_BYTES)
        .and_then(|start| object.get(start..footer_end))
        .ok_or_else(|| truncated("footer", tail.footer_bytes as usize, object))?;
    let runs = parse_footer(&tail, footer)?;
    let batches_end = (footer_end - footer.len()) as u64;
    let runs_end = runs.last().map_or(HEADER_BYTES as u64, |run| run.range.end());
    if runs_end != batches_end {
        return Err(FormatError::Inconsistent(format!(
            "the runs end at {runs_end}, the batches at {batches_end}"
        )));
    }
    for run in &runs {
        verify_run(object, run)?;
    }
    Ok((header, runs))
}

/// Checks a run's bytes against its checksum and its batch count.
fn verify_run(object: &[u8], run: &SegmentRun) -> Result<(), FormatError> {
    let name = || format!("run of partition {} of topic {}", run.partition, run.topic);
    let bytes = usize::try_from(run.range.start)
        .ok()
        .zip(usize::try_from(run.range.end()).ok())
        .and_then(|(start, end)| object.get(start..end))
        .ok_or_else(|| FormatError::Truncated {
            part: "run",
            need: run.range.end(),
            have: object.len() as u64,
        })?;
    if crc32c::crc32c(bytes) != run.checksum {
        return Err(FormatError::WrongChecksum(name()));
    }
    match count_batches(bytes) {
        Some(count) if count == run.batches => Ok(()),
        _ => Err(FormatError::Inconsistent(format!(
            "the {} does not hold {} whole batches",
            name(),
            run.batches
        ))),
    }
}

/// Counts batches by their length fields; `None` when they do not fill the bytes exactly.
fn count_batches(mut bytes: &[u8]) -> Option<u32> {
    let mut count = 0_u32;
    while !bytes.is_empty() {
        bytes = bytes.get(RecordBatch::len_of_first(bytes).ok()?..)?;
        count = count.checked_add(1)?;
    }
    Some(count)
}

/// Checks magic and version at the start of `bytes`, which is a whole header or tail, and gives what follows the ids.
fn identity<'a>(
    mut bytes: &'a [u8],
    magic: &[u8; 7],
    part: &'static str,
) -> Result<(Identity, &'a [u8]), FormatError> {
    if !bytes.starts_with(magic) {
        return Err(FormatError::WrongMagic(part));
    }
    bytes.advance(magic.len());
    let found = bytes.get_u8();
    if found > VERSION {
        return Err(FormatError::NewerVersion { found });
    }
    let cluster = ClusterId(bytes.get_u128());
    let segment = SegmentId(bytes.get_u128());
    Ok((Identity { cluster, segment }, bytes))
}

fn row(mut row: &[u8]) -> SegmentRun {
    SegmentRun {
        topic: TopicId(Uuid::from_u128(row.get_u128())),
        partition: PartitionIndex(row.get_i32()),
        range: ByteRange { start: row.get_u64(), len: row.get_u64() },
        checksum: row.get_u32(),
        batches: row.get_u32(),
    }
}

fn truncated(part: &'static str, need: usize, have: &[u8]) -> FormatError {
    FormatError::Truncated { part, need: need as u64, have: have.len() as u64 }
}
