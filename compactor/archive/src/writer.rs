//! The writer of archive files: record batches of one topic come in, sorted by partition and offset, and a Parquet
//! file goes out. Knows nothing of where the file is kept and of when one is due.

use arrow_schema::ArrowError;
use ebb_protocol::{
    batch::RecordBatch,
    ids::{Offset, PartitionIndex, Timestamp},
};
use parquet::{
    arrow::{ArrowSchemaConverter, ArrowWriter},
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties, WriterVersion},
    },
    schema::types::ColumnPath,
};

use crate::{
    checksums::{Checksums, Tail},
    hash::Chain,
    rows::Rows,
    schema::{Identity, KEY_CHECKSUMS, ValueType},
    typed::{TYPED_COLUMN, Typed},
};

/// Rows are handed to the encoders when they come to this many bytes, or to [`CHUNK_ROWS_MAX`]: few enough that they are
/// still in the processor's cache.
const CHUNK_BYTES_MAX: usize = 256 << 10;
const CHUNK_ROWS_MAX: usize = 8_192;
/// A row group ends at this many rows, however small they are.
const ROW_GROUP_ROWS_MAX: usize = 1 << 20;
/// And when its rows take this many times its size before compression: readers may hold a large part of them.
const ROW_GROUP_RATIO_MAX: usize = 16;
/// Rows of a page of offsets: where offsets have gaps, a fetch reads at most this many rows too many.
pub(crate) const OFFSET_PAGE_ROWS_MAX: usize = 1_024;
/// How many values the encoders take before they look at the size of a page: few, so that pages come to what is asked.
const WRITE_BATCH_ROWS: usize = 32;

/// How the pages of a file are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    None,
    /// LZ4 blocks.
    Lz4,
    /// Zstandard at a level from 1 to 22.
    Zstd(u8),
}

/// How a file is laid out. Sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// As what values are shown.
    pub value_type: ValueType,
    /// The codec of the pages.
    pub codec: Codec,
    /// A row group ends when its pages come to this much.
    pub row_group_bytes: usize,
    /// A page of keys or values ends when it comes to this much before compression.
    pub page_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            value_type: ValueType::default(),
            codec: Codec::Zstd(1),
            row_group_bytes: 8 << 20,
            // Of a page of at most 128 KiB zstd keeps tables that fit the processor's first cache, and a page ends behind
            // the value that makes it too large.
            page_bytes: 112 << 10,
        }
    }
}

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Batches did not come in the order of their partitions and offsets.
    #[error(
        "batch at offset {offset} of partition {partition} does not follow {last}; sort batches by place"
    )]
    Order {
        /// The batch's partition.
        partition: PartitionIndex,
        /// Its base offset.
        offset: Offset,
        /// The end of what was written before: partition and next offset.
        last: String,
    },
    /// A setting is none that the format has.
    #[error("zstd level {0} is not known; use 1 to 22")]
    Level(u8),
    /// The footer would be larger than a reader takes.
    #[error("a footer of {bytes} bytes is too large; write smaller files or larger row groups")]
    Tail {
        /// Its size.
        bytes: usize,
    },
    /// The columns do not fit together.
    #[error("columns: {0}")]
    Columns(#[from] ArrowError),
    /// The encoders failed.
    #[error("{0}")]
    Parquet(#[from] ParquetError),
}

/// What a file holds of one partition, all of it unless [`ArchiveWriter::end_span`] divided it.
#[derive(Clone, Debug)]
pub struct Span {
    /// The partition.
    pub partition: PartitionIndex,
    /// The base offset of its first batch.
    pub first: Offset,
    /// The offset behind its last batch.
    pub next: Offset,
    /// The largest timestamp of its batches.
    pub max_timestamp: Timestamp,
    /// What a reader has to find of it.
    pub chain: Chain,
}

/// A file that was written.
#[derive(Debug)]
pub struct Archive {
    /// Its bytes, from the first that [`ArchiveWriter::take`] has not taken.
    pub bytes: Vec<u8>,
    /// How many bytes it has in all.
    pub file_bytes: u64,
    /// What it holds, by partition, in order.
    pub spans: Vec<Span>,
    /// How many rows it has.
    pub rows: u64,
    /// How many of its values have no typed columns because they do not fit; 0 in a file without such columns.
    pub unfit: u64,
    /// What its readers read first.
    pub tail: Tail,
}

/// Writes one archive file into memory, from which it can be taken piece by piece.
#[derive(Debug)]
pub struct ArchiveWriter {
    writer: ArrowWriter<Vec<u8>>,
    rows: Rows,
    row_group_bytes: usize,
    /// What the rows of the open row group take before compression, roughly, in bytes.
    uncompressed_bytes: usize,
    spans: Vec<Span>,
    /// The bytes that were taken out.
    taken: u64,
    checksums: Checksums,
    /// What comes next begins a span, whatever its partition.
    span_ended: bool,
    rows_written: u64,
}

impl ArchiveWriter {
    /// Begins a file.
    ///
    /// # Errors
    /// [`WriteError::Level`].
    pub fn new(identity: Identity, settings: Settings) -> Result<Self, WriteError> {
        Self::typed(identity, settings, Typed::default())
    }

    /// Begins a file with typed columns beside the raw values, which have ids; like [`Self::new`] if there are none.
    ///
    /// # Errors
    /// [`WriteError::Level`].
    pub fn typed(identity: Identity, settings: Settings, typed: Typed) -> Result<Self, WriteError> {
        let rows = Rows::new(settings.value_type, typed);
        let schema = ArrowSchemaConverter::new().convert(&rows.schema())?;
        let typed = schema.columns().iter().map(|column| column.path().clone());
        let typed: Vec<_> =
            typed.filter(|path| path.parts().first().is_some_and(|root| root == TYPED_COLUMN)).collect();
        let properties = properties(identity, settings, typed)?;
        let writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties))?;
        Ok(Self {
            writer,
            rows,
            row_group_bytes: settings.row_group_bytes,
            uncompressed_bytes: 0,
            spans: Vec::new(),
            taken: 0,
            checksums: Checksums::default(),
            span_ended: false,
            rows_written: 0,
        })
    }

    /// Makes room for a file of about so many bytes, which then is not moved while it grows.
    pub fn reserve(&mut self, bytes: usize) {
        self.writer.inner_mut().reserve(bytes);
    }

    /// Appends a batch, whose base offset is its place in the partition. Batches come sorted by partition, then offset.
    ///
    /// # Errors
    /// [`WriteError::Order`], and the encoders' errors. After one the file is of no use.
    pub fn append(&mut self, partition: PartitionIndex, batch: &RecordBatch) -> Result<(), WriteError> {
        self.begin_span(partition, batch)?;
        let span = self.spans.last_mut().expect("a span was just begun or found");
        span.next = batch.last_offset().plus(1);
        span.max_timestamp = span.max_timestamp.max(batch.max_timestamp());
        self.rows.push(partition, batch, &mut span.chain);
        if self.rows.bytes() >= CHUNK_BYTES_MAX || self.rows.len() >= CHUNK_ROWS_MAX {
            self.write_rows()?;
            // Only here, behind a whole batch: none spans two row groups.
            if self.writer.in_progress_size() >= self.row_group_bytes
                || self.writer.in_progress_rows() >= ROW_GROUP_ROWS_MAX
                || self.uncompressed_bytes >= self.row_group_bytes.saturating_mul(ROW_GROUP_RATIO_MAX)
            {
                self.end_row_group()?;
            }
        }
        Ok(())
    }

    /// Has the next batch begin a new span, with row groups of its own, even if it is of the same partition.
    pub fn end_span(&mut self) {
        self.span_ended = true;
    }

    /// What the file takes so far, in bytes: what is written, and what the open row group will come to.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// Takes out the row groups that are finished, so that nobody has to hold a large file in memory: the next bytes of
    /// the file.
    ///
    /// # Errors
    /// The encoders' errors.
    pub fn take(&mut self) -> Result<Vec<u8>, WriteError> {
        self.writer.sync().map_err(ParquetError::from)?;
        let bytes = std::mem::take(self.writer.inner_mut());
        self.checksums.add(&bytes);
        self.taken += bytes.len() as u64;
        Ok(bytes)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// The encoders' errors.
    pub fn finish(mut self) -> Result<Archive, WriteError> {
        self.end_row_group()?;
        self.writer.sync().map_err(ParquetError::from)?;
        let data = self.writer.inner();
        self.checksums.add(data);
        let (data_bytes, checksums) = (data.len(), self.checksums.encode());
        self.writer.append_key_value_metadata(KeyValue::new(KEY_CHECKSUMS.to_owned(), checksums));
        let bytes = self.writer.into_inner()?;
        let tail = bytes.get(data_bytes..).unwrap_or_default();
        let tail_bytes = u32::try_from(tail.len()).map_err(|_| WriteError::Tail { bytes: tail.len() })?;
        let tail = Tail { bytes: tail_bytes, checksum: crc32c::crc32c(tail) };
        let file_bytes = self.taken + bytes.len() as u64;
        let (rows, unfit) = (self.rows_written, self.rows.unfit());
        Ok(Archive { bytes, file_bytes, spans: self.spans, rows, unfit, tail })
    }

    fn begin_span(&mut self, partition: PartitionIndex, batch: &RecordBatch) -> Result<(), WriteError> {
        let offset = batch.base_offset();
        if let Some(last) = self.spans.last() {
            let goes_on = last.partition == partition && offset >= last.next;
            if goes_on && !self.span_ended {
                return Ok(());
            }
            if !goes_on && partition <= last.partition {
                let last = format!("partition {}, offset {}", last.partition, last.next);
                return Err(WriteError::Order { partition, offset, last });
            }
            self.end_row_group()?;
        }
        self.span_ended = false;
        if let Some(last) = self.spans.last_mut() {
            last.chain.end();
        }
        self.spans.push(Span {
            partition,
            first: offset,
            next: offset,
            max_timestamp: batch.max_timestamp(),
            chain: Chain::default(),
        });
        Ok(())
    }

    fn end_row_group(&mut self) -> Result<(), WriteError> {
        self.write_rows()?;
        self.writer.flush()?;
        self.uncompressed_bytes = 0;
        Ok(())
    }

    fn write_rows(&mut self) -> Result<(), WriteError> {
        self.uncompressed_bytes += self.rows.bytes();
        self.rows_written += self.rows.len() as u64;
        self.writer.write(&self.rows.take()?)?;
        Ok(())
    }
}

fn properties(
    identity: Identity,
    settings: Settings,
    typed: Vec<ColumnPath>,
) -> Result<WriterProperties, WriteError> {
    let column = |name: &str| ColumnPath::from(name);
    let nested =
        |name: &str| ColumnPath::new(vec!["headers".into(), "list".into(), "element".into(), name.into()]);
    let codec = match settings.codec {
        Codec::None => Compression::UNCOMPRESSED,
        Codec::Lz4 => Compression::LZ4_RAW,
        Codec::Zstd(level) => {
            let known = ZstdLevel::try_new(level.into()).map_err(|_| WriteError::Level(level))?;
            Compression::ZSTD(known)
        }
    };
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_key_value_metadata(Some(identity.key_values()))
        .set_compression(codec)
        // Row groups end where a batch ends, which only the writer knows.
        .set_max_row_group_bytes(None)
        .set_max_row_group_row_count(None)
        .set_data_page_size_limit(settings.page_bytes)
        .set_write_batch_size(WRITE_BATCH_ROWS)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_data_page_row_count_limit(column("offset"), OFFSET_PAGE_ROWS_MAX)
        .set_column_data_page_row_count_limit(column("timestamp"), OFFSET_PAGE_ROWS_MAX)
        .set_column_statistics_enabled(column("partition"), EnabledStatistics::Chunk)
        .set_column_statistics_enabled(column("raw_batch"), EnabledStatistics::Chunk);
    for name in ["offset", "timestamp"] {
        properties = properties
            .set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED)
            .set_column_statistics_enabled(column(name), EnabledStatistics::Page);
    }
    for name in ["key", "value"] {
        properties = properties.set_column_encoding(column(name), Encoding::DELTA_LENGTH_BYTE_ARRAY);
    }
    let repeated = [
        "partition",
        "batch_base_offset",
        "leader_epoch",
        "attributes",
        "producer_id",
        "producer_epoch",
        "base_sequence",
    ];
    for path in repeated.map(column).into_iter().chain([nested("key"), nested("value")]) {
        properties = properties.set_column_dictionary_enabled(path, true);
    }
    for path in typed {
        // Chunks of few values become small, and readers leave out row groups by the bounds of a column.
        properties = properties
            .set_column_dictionary_enabled(path.clone(), true)
            .set_column_statistics_enabled(path, EnabledStatistics::Chunk);
    }
    Ok(properties.build())
}
