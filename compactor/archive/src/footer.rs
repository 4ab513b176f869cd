//! The footer of an archive file, read without any I/O: where the rows of which partition lie. Knows nothing of rows.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use ebb_protocol::ids::{ByteRange, Offset, PartitionIndex, Timestamp};
use parquet::{
    DecodeResult,
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    errors::ParquetError,
    file::{
        metadata::{
            ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder,
            RowGroupMetaData,
        },
        page_index::column_index::ColumnIndexMetaData,
        statistics::Statistics,
    },
    schema::printer::print_schema,
};

use crate::{
    checksums::{Checksums, Tail},
    schema::{self, Column, Identity, KEY_CHECKSUMS, LEAVES, MICROS, VERSION},
};

/// Why a footer cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FooterError {
    /// The bytes are no Parquet footer.
    #[error("{0}")]
    Parquet(#[from] ParquetError),
    /// The bytes are not those that were written.
    #[error("the bytes at its end are not those that were written")]
    Damaged,
    /// It is Parquet, and no archive file.
    #[error("not an archive file: {0}")]
    Foreign(&'static str),
    /// A newer program wrote it.
    #[error("archive version {0} is newer than {VERSION}; upgrade this program")]
    Version(u8),
}

/// A row group: rows of one partition that are read together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowGroup {
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset of its first row.
    pub first: Offset,
    /// The offset of its last row.
    pub last: Offset,
    /// The smallest timestamp of its rows; none if no row has one.
    pub min_timestamp: Option<Timestamp>,
    /// The largest timestamp of its rows; none if no row has one.
    pub max_timestamp: Option<Timestamp>,
    /// Where its pages lie in the file, without those of typed columns, which lie behind.
    pub range: ByteRange,
    /// How many rows it has.
    pub rows: usize,
    /// What its rows take before compression, in bytes; without typed columns.
    pub logical_bytes: u64,
    /// Whether a batch is kept whole beside its rows.
    pub has_raw: bool,
}

impl RowGroup {
    /// What a row takes before compression, on average, in bytes; at least 1.
    pub(crate) fn row_bytes(&self) -> u64 {
        (self.logical_bytes / self.rows.max(1) as u64).max(1)
    }
}

/// What a file says of itself.
#[derive(Clone, Debug)]
pub struct Footer {
    identity: Identity,
    metadata: ArrowReaderMetadata,
    checksums: Arc<Checksums>,
    groups: Vec<RowGroup>,
}

impl Footer {
    /// Reads the footer of a file of `file_bytes` bytes from its last bytes, which `tail` says of it.
    ///
    /// # Errors
    /// Any [`FooterError`].
    pub fn decode(file_bytes: u64, tail: Tail, bytes: Bytes) -> Result<Self, FooterError> {
        if bytes.len() as u64 != u64::from(tail.bytes) || crc32c::crc32c(&bytes) != tail.checksum {
            return Err(FooterError::Damaged);
        }
        let start = file_bytes.checked_sub(tail.bytes.into()).ok_or(FooterError::Damaged)?;
        let mut decoder = ParquetMetaDataPushDecoder::try_new(file_bytes)?
            .with_page_index_policy(PageIndexPolicy::Required);
        decoder.push_range(start..file_bytes, bytes)?;
        match decoder.try_decode()? {
            DecodeResult::Data(metadata) => read(file_bytes, tail, metadata),
            DecodeResult::NeedsData(_) | DecodeResult::Finished => {
                Err(FooterError::Foreign("its tail does not hold its footer"))
            }
        }
    }

    /// Where the file belongs.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Its columns, as a text: names, types and field ids.
    #[must_use]
    pub fn schema(&self) -> String {
        let mut text = Vec::new();
        print_schema(&mut text, self.metadata.metadata().file_metadata().schema());
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Its row groups, in the order of the file: by partition, then offset.
    #[must_use]
    pub fn groups(&self) -> &[RowGroup] {
        &self.groups
    }

    /// Whether the bytes of the whole file, as far as the tail, are those that were written.
    #[must_use]
    pub fn holds(&self, file: &Bytes) -> bool {
        let data_bytes = self.checksums.data_bytes();
        let end = usize::try_from(data_bytes).ok().filter(|end| *end <= file.len());
        end.is_some_and(|end| self.checksums.hold(&(0..data_bytes), &file.slice(..end)))
    }

    /// What it takes in memory, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.metadata.metadata().memory_size()
            + self.checksums.memory_bytes()
            + self.groups.len() * size_of::<RowGroup>()
    }

    pub(crate) fn metadata(&self) -> &ArrowReaderMetadata {
        &self.metadata
    }

    pub(crate) fn checksums(&self) -> &Arc<Checksums> {
        &self.checksums
    }

    /// The row groups of a partition. Their pages lie next to each other in the file.
    #[must_use]
    pub fn partition(&self, partition: PartitionIndex) -> &[RowGroup] {
        self.groups.get(self.groups_of(partition)).unwrap_or_default()
    }

    /// The row groups of a partition, by their index in the file.
    pub(crate) fn groups_of(&self, partition: PartitionIndex) -> Range<usize> {
        let start = self.groups.partition_point(|group| group.partition < partition);
        let end = self.groups.partition_point(|group| group.partition <= partition);
        start..end
    }

    /// Where the row of an offset can lie in a row group: a row at or before the first one whose offset is at least
    /// `offset`. Exact where offsets have no gaps.
    pub(crate) fn row_of(&self, group: usize, offset: Offset) -> usize {
        let Some(first) = self.groups.get(group).map(|group| group.first) else { return 0 };
        if offset <= first {
            return 0;
        }
        let pages = self.pages(group);
        let Some(page) = pages.iter().rev().find(|page| page.min <= offset.0) else { return 0 };
        let into = usize::try_from(offset.0 - page.min).unwrap_or(usize::MAX);
        let dense = usize::try_from(page.max - page.min).is_ok_and(|span| span + 1 == page.rows.len());
        if dense { page.rows.start.saturating_add(into).min(page.rows.end) } else { page.rows.start }
    }

    /// The row at which a search for the first timestamp of at least `timestamp` has to begin.
    pub(crate) fn row_since(&self, group: usize, timestamp: Timestamp) -> usize {
        let index = self.metadata.metadata().page_index_for_row_group(group);
        let micros = timestamp.0.saturating_mul(MICROS);
        let column = Column::Timestamp.leaf();
        let (Some(ColumnIndexMetaData::INT64(values)), Some(places)) =
            (index.column_index(column), index.page_locations(column))
        else {
            return 0;
        };
        let page = values.max_values_iter().position(|max| max.is_some_and(|max| *max >= micros));
        page.and_then(|page| places.get(page))
            .and_then(|place| place.first_row_index.try_into().ok())
            .unwrap_or(0)
    }

    /// The pages of a row group's offsets; none if the file has no page index.
    fn pages(&self, group: usize) -> Vec<OffsetPage> {
        let index = self.metadata.metadata().page_index_for_row_group(group);
        let column = Column::Offset.leaf();
        let (Some(ColumnIndexMetaData::INT64(values)), Some(places)) =
            (index.column_index(column), index.page_locations(column))
        else {
            return Vec::new();
        };
        let rows = self.groups.get(group).map_or(0, |group| group.rows);
        let starts: Vec<usize> =
            places.iter().map(|place| usize::try_from(place.first_row_index).unwrap_or(rows)).collect();
        let ends = starts.iter().skip(1).copied().chain([rows]);
        let bounds = values.min_values_iter().zip(values.max_values_iter());
        starts
            .iter()
            .zip(ends)
            .zip(bounds)
            .filter_map(|((start, end), (min, max))| {
                Some(OffsetPage { rows: *start..end.max(*start), min: *min?, max: *max? })
            })
            .collect()
    }
}

/// A page of the column `offset`.
#[derive(Clone, Debug)]
struct OffsetPage {
    rows: Range<usize>,
    min: i64,
    max: i64,
}

fn read(file_bytes: u64, tail: Tail, metadata: ParquetMetaData) -> Result<Footer, FooterError> {
    let pairs = metadata.file_metadata().key_value_metadata().ok_or(FooterError::Foreign("no keys"))?;
    let (version, identity) = Identity::read(pairs).ok_or(FooterError::Foreign("no identity"))?;
    if version > VERSION {
        return Err(FooterError::Version(version));
    }
    let data_bytes = file_bytes.saturating_sub(tail.bytes.into());
    let checksums = schema::find(pairs, KEY_CHECKSUMS).and_then(|text| Checksums::decode(text, data_bytes));
    let checksums = Arc::new(checksums.ok_or(FooterError::Foreign("no checksums"))?);
    let groups = metadata.row_groups().iter().map(group).collect::<Option<Vec<_>>>();
    let groups = groups.ok_or(FooterError::Foreign("a row group without bounds"))?;
    if !groups.is_sorted_by_key(|group| (group.partition, group.first)) {
        return Err(FooterError::Foreign("row groups that are not sorted"));
    }
    let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new())?;
    Ok(Footer { identity, metadata, checksums, groups })
}

/// The columns that consumers read.
fn chunks(metadata: &RowGroupMetaData) -> impl Iterator<Item = &ColumnChunkMetaData> {
    metadata.columns().iter().take(LEAVES)
}

/// From the first byte of a row group's first page to the last of its last.
fn range_of(metadata: &RowGroupMetaData) -> ByteRange {
    let ranges = chunks(metadata).map(ColumnChunkMetaData::byte_range);
    let (start, end) =
        ranges.fold((u64::MAX, 0), |(start, end), (at, len)| (start.min(at), end.max(at + len)));
    ByteRange { start: start.min(end), len: end.saturating_sub(start) }
}

fn group(metadata: &RowGroupMetaData) -> Option<RowGroup> {
    let statistics = |column: Column| metadata.columns().get(column.leaf())?.statistics();
    let Statistics::Int32(partition) = statistics(Column::Partition)? else { return None };
    let Statistics::Int64(offset) = statistics(Column::Offset)? else { return None };
    let Statistics::Int64(timestamp) = statistics(Column::Timestamp)? else { return None };
    let rows = usize::try_from(metadata.num_rows()).ok()?;
    let nulls = statistics(Column::RawBatch)?.null_count_opt()?;
    let logical_bytes: i64 = chunks(metadata).map(ColumnChunkMetaData::uncompressed_size).sum();
    (partition.min_opt() == partition.max_opt()).then_some(())?;
    Some(RowGroup {
        partition: PartitionIndex(*partition.min_opt()?),
        first: Offset(*offset.min_opt()?),
        last: Offset(*offset.max_opt()?),
        min_timestamp: timestamp.min_opt().map(|micros| Timestamp(micros.div_euclid(MICROS))),
        max_timestamp: timestamp.max_opt().map(|micros| Timestamp(micros.div_euclid(MICROS))),
        range: range_of(metadata),
        rows,
        logical_bytes: logical_bytes.try_into().unwrap_or(0),
        has_raw: usize::try_from(nulls).is_ok_and(|nulls| nulls < rows),
    })
}
