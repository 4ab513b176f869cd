//! Reads record batches, or an offset by its time, out of a file of which the footer is known. Asks for ranges of bytes
//! and is given them: where they come from is not known here.

use std::{ops::Range, sync::Arc};

use arrow_array::{Array, RecordBatch as Columns, cast::AsArray, types};
use bytes::Bytes;
use ebb_protocol::ids::{Offset, PartitionIndex, Timestamp};
use parquet::{
    DecodeResult,
    arrow::{
        ProjectionMask,
        arrow_reader::{RowSelection, RowSelector},
        push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder},
    },
    errors::ParquetError,
};

use crate::{
    checksums::Checksums,
    footer::{Footer, RowGroup},
    rebuild::{Found, Rebuild, RebuildError},
    schema::{Column, MICROS},
};

/// Rows are decoded in pieces of at most this many ...
const DECODE_ROWS_MAX: usize = 1_024;
/// ... and of about this many bytes.
const DECODE_BYTES: u64 = 256 << 10;
/// The columns of which batches are made.
const BATCH_COLUMNS: [Column; 11] = [
    Column::Offset,
    Column::Timestamp,
    Column::Key,
    Column::Value,
    Column::Headers,
    Column::BatchBaseOffset,
    Column::LeaderEpoch,
    Column::Attributes,
    Column::ProducerId,
    Column::ProducerEpoch,
    Column::BaseSequence,
];

/// Why rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are not those that were written.
    #[error("the bytes from {} to {} are not those that were written", .0.start, .0.end)]
    Damaged(Range<u64>),
    /// The bytes are those that were written, and not what the footer says.
    #[error("{0}")]
    Parquet(#[from] ParquetError),
    /// The rows make no batch.
    #[error("{0}")]
    Rebuild(#[from] RebuildError),
}

/// What a reader does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// It needs these ranges of the file's bytes. Ranges that lie close together are best read as one.
    Needs(Vec<Range<u64>>),
    /// It has found something.
    Item(T),
    /// There is nothing more.
    End,
}

/// A reader that asks for bytes and is given them.
pub trait Steps {
    /// What it finds.
    type Item;

    /// Goes on as far as the bytes reach.
    ///
    /// # Errors
    /// Any [`ReadError`].
    fn step(&mut self) -> Result<Step<Self::Item>, ReadError>;

    /// Takes the bytes of ranges that were asked for.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] if they are not those that were written.
    fn push(&mut self, ranges: Vec<Range<u64>>, bytes: Vec<Bytes>) -> Result<(), ReadError>;
}

/// Reads the batches of a partition, in order. A batch that begins before the first offset wanted, or ends behind the
/// last, comes without the records outside, unless it is one that is kept whole.
#[derive(Debug)]
pub struct Scan {
    footer: Arc<Footer>,
    /// Row groups that may hold more, by their index.
    groups: Range<usize>,
    from: Offset,
    to: Offset,
    /// How many more bytes of rows are wanted, before compression.
    bytes_left: u64,
    /// The row at which the next piece of the first group begins.
    row: Option<usize>,
    decoder: Option<RowDecoder>,
    rebuild: Rebuild,
}

impl Scan {
    /// Reads the offsets from `from` to `to`, which is not wanted any more, and stops when the batches come to about
    /// `bytes_max` bytes; at least one batch is read if there is one.
    #[must_use]
    pub fn new(
        footer: Arc<Footer>,
        partition: PartitionIndex,
        from: Offset,
        to: Offset,
        bytes_max: u64,
    ) -> Self {
        let all = footer.groups_of(partition);
        // The last group that begins at or before the offset: a batch that is kept whole may reach past its last row.
        let groups = footer.groups().get(all.clone()).unwrap_or_default();
        let before = groups.partition_point(|group| group.first <= from);
        let start = all.start + before.saturating_sub(1);
        let rebuild = Rebuild::new(from, to);
        let groups = start..all.end;
        Self { footer, groups, from, to, bytes_left: bytes_max.max(1), row: None, decoder: None, rebuild }
    }

    /// Whether it has ended because there is nothing more, and not for its limit of bytes.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.bytes_left > 0
    }

    /// Begins to read the next rows that are wanted. False when there are none.
    fn begin_piece(&mut self) -> Result<bool, ReadError> {
        while let Some(group) =
            self.footer.groups().get(self.groups.start).filter(|_| !self.groups.is_empty())
        {
            if group.first >= self.to {
                return Ok(false);
            }
            let index = self.groups.start;
            let start = self.row.unwrap_or_else(|| self.start_row(index, group));
            let end = self.end_row(index, group, start);
            if start >= end {
                (self.groups.start, self.row) = (index + 1, None);
                continue;
            }
            self.row = Some(end);
            let columns = BATCH_COLUMNS.into_iter().chain(group.has_raw.then_some(Column::RawBatch));
            self.decoder = Some(RowDecoder::new(&self.footer, index, start..end, columns)?);
            return Ok(true);
        }
        Ok(false)
    }

    fn start_row(&self, index: usize, group: &RowGroup) -> usize {
        // Only a batch's first row tells that it is kept whole.
        if group.has_raw { 0 } else { self.footer.row_of(index, self.from) }
    }

    /// The row behind the last that is wanted of a group: enough for the bytes that are left, by the average row.
    fn end_row(&self, index: usize, group: &RowGroup, start: usize) -> usize {
        let wanted = if group.last < self.to || group.has_raw {
            group.rows
        } else {
            // Where offsets have gaps this is the beginning of a page, of which some rows may be wanted.
            (self.footer.row_of(index, self.to) + crate::writer::OFFSET_PAGE_ROWS_MAX).min(group.rows)
        };
        let rows = self.bytes_left / group.row_bytes();
        let rows = usize::try_from(rows).unwrap_or(usize::MAX).saturating_add(1);
        if group.has_raw { wanted } else { wanted.min(start.saturating_add(rows)) }
    }
}

impl Steps for Scan {
    type Item = Found;

    fn step(&mut self) -> Result<Step<Found>, ReadError> {
        loop {
            // Rows may be larger than the average of their row group: what is too much is not given.
            if self.bytes_left == 0 {
                return Ok(Step::End);
            }
            if let Some(found) = self.rebuild.pop() {
                self.bytes_left = self.bytes_left.saturating_sub(found.batch.bytes().len() as u64);
                return Ok(Step::Item(found));
            }
            let Some(decoder) = &mut self.decoder else {
                if !self.begin_piece()? {
                    return Ok(Step::End);
                }
                continue;
            };
            match decoder.step()? {
                Step::Needs(ranges) => return Ok(Step::Needs(ranges)),
                Step::Item(columns) => self.rebuild.push(&columns)?,
                Step::End => {
                    self.decoder = None;
                    self.rebuild.end()?;
                }
            }
        }
    }

    fn push(&mut self, ranges: Vec<Range<u64>>, bytes: Vec<Bytes>) -> Result<(), ReadError> {
        self.decoder.as_mut().map_or(Ok(()), |decoder| decoder.push(ranges, bytes))
    }
}

/// Decodes some rows of a row group, and believes no byte before its checksum was looked at.
#[derive(Debug)]
struct RowDecoder {
    checksums: Arc<Checksums>,
    decoder: ParquetPushDecoder,
}

impl RowDecoder {
    fn new(
        footer: &Footer,
        group: usize,
        rows: Range<usize>,
        columns: impl Iterator<Item = Column>,
    ) -> Result<Self, ParquetError> {
        let metadata = footer.metadata().clone();
        let row_bytes = footer.groups().get(group).map_or(1, RowGroup::row_bytes);
        let at_once = usize::try_from(DECODE_BYTES / row_bytes).unwrap_or(DECODE_ROWS_MAX);
        let mask = ProjectionMask::roots(metadata.parquet_schema(), columns.map(Column::root));
        let selection =
            RowSelection::from(vec![RowSelector::skip(rows.start), RowSelector::select(rows.len())]);
        let decoder = ParquetPushDecoderBuilder::new_with_metadata(metadata)
            .with_row_groups(vec![group])
            .with_row_selection(selection)
            .with_projection(mask)
            .with_batch_size(at_once.clamp(1, DECODE_ROWS_MAX))
            .build()?;
        Ok(Self { checksums: footer.checksums().clone(), decoder })
    }

    fn push(&mut self, ranges: Vec<Range<u64>>, bytes: Vec<Bytes>) -> Result<(), ReadError> {
        let damaged = ranges.iter().zip(&bytes).find(|(range, bytes)| !self.checksums.hold(range, bytes));
        if let Some((range, _)) = damaged {
            return Err(ReadError::Damaged(range.clone()));
        }
        Ok(self.decoder.push_ranges(ranges, bytes)?)
    }

    fn step(&mut self) -> Result<Step<Columns>, ReadError> {
        Ok(match self.decoder.try_decode()? {
            DecodeResult::NeedsData(ranges) => Step::Needs(self.checksums.widen(&ranges)),
            DecodeResult::Data(columns) => Step::Item(columns),
            DecodeResult::Finished => Step::End,
        })
    }
}

/// Looks for the record of a time, among those of a partition at some offsets.
#[derive(Debug)]
pub struct TimeScan {
    footer: Arc<Footer>,
    groups: Range<usize>,
    offsets: Range<Offset>,
    goal: Goal,
    decoder: Option<RowDecoder>,
}

/// Which record is looked for.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// The first whose timestamp is at least this one.
    Since(Timestamp),
    /// The first of those with the largest timestamp; the best so far.
    Latest(Option<(Offset, Timestamp)>),
}

impl TimeScan {
    /// Looks for the first record whose timestamp is at least `timestamp`.
    #[must_use]
    pub fn since(
        footer: Arc<Footer>,
        partition: PartitionIndex,
        offsets: Range<Offset>,
        timestamp: Timestamp,
    ) -> Self {
        Self::new(footer, partition, offsets, Goal::Since(timestamp))
    }

    /// Looks for the first of the records with the largest timestamp.
    #[must_use]
    pub fn latest(footer: Arc<Footer>, partition: PartitionIndex, offsets: Range<Offset>) -> Self {
        Self::new(footer, partition, offsets, Goal::Latest(None))
    }

    fn new(footer: Arc<Footer>, partition: PartitionIndex, offsets: Range<Offset>, goal: Goal) -> Self {
        let groups = footer.groups_of(partition);
        Self { footer, groups, offsets, goal, decoder: None }
    }

    fn begin_group(&mut self) -> Result<bool, ReadError> {
        for index in self.groups.by_ref() {
            let Some(group) = self.footer.groups().get(index) else { continue };
            let Some(at) = self.goal.at_least() else { continue };
            let is_inside = group.last >= self.offsets.start && group.first < self.offsets.end;
            if is_inside && group.max_timestamp.is_some_and(|max| max >= at) {
                let rows = self.footer.row_since(index, at)..group.rows;
                let columns = [Column::Offset, Column::Timestamp].into_iter();
                self.decoder = Some(RowDecoder::new(&self.footer, index, rows, columns)?);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Goal {
    /// The least timestamp that is of interest; `None` when no larger one can be.
    fn at_least(self) -> Option<Timestamp> {
        match self {
            Self::Since(timestamp) => Some(timestamp),
            Self::Latest(None) => Some(Timestamp(i64::MIN)),
            Self::Latest(Some((_, best))) => best.0.checked_add(1).map(Timestamp),
        }
    }

    /// Looks at rows. Gives the record when no other one can be it.
    fn look(&mut self, columns: &Columns, wanted: &Range<Offset>) -> Option<(Offset, Timestamp)> {
        let offsets = columns.column_by_name("offset")?.as_primitive_opt::<types::Int64Type>()?;
        let timestamps =
            columns.column_by_name("timestamp")?.as_primitive_opt::<types::TimestampMicrosecondType>()?;
        for row in (0..columns.num_rows()).filter(|row| timestamps.is_valid(*row)) {
            let offset = Offset(offsets.value(row));
            let timestamp = Timestamp(timestamps.value(row).div_euclid(MICROS));
            if !wanted.contains(&offset) || self.at_least().is_none_or(|at| timestamp < at) {
                continue;
            }
            match self {
                Self::Since(_) => return Some((offset, timestamp)),
                Self::Latest(best) => *best = Some((offset, timestamp)),
            }
        }
        None
    }
}

/// Finds a record's offset and timestamp; nothing is to be read behind it.
impl Steps for TimeScan {
    type Item = (Offset, Timestamp);

    fn step(&mut self) -> Result<Step<(Offset, Timestamp)>, ReadError> {
        loop {
            let Some(decoder) = &mut self.decoder else {
                if self.begin_group()? {
                    continue;
                }
                return Ok(match &mut self.goal {
                    Goal::Latest(best) => best.take().map_or(Step::End, Step::Item),
                    Goal::Since(_) => Step::End,
                });
            };
            match decoder.step()? {
                Step::Needs(ranges) => return Ok(Step::Needs(ranges)),
                Step::Item(columns) => {
                    if let Some(found) = self.goal.look(&columns, &self.offsets) {
                        return Ok(Step::Item(found));
                    }
                }
                Step::End => self.decoder = None,
            }
        }
    }

    fn push(&mut self, ranges: Vec<Range<u64>>, bytes: Vec<Bytes>) -> Result<(), ReadError> {
        self.decoder.as_mut().map_or(Ok(()), |decoder| decoder.push(ranges, bytes))
    }
}
