//! Record batches, Kafka's magic 2: a validated view that never decompresses, the builder that makes batches, and
//! the record codec. Knows nothing of topics, offsets that are still to be given, and connections.

mod builder;
mod compression;
mod error;
mod layout;
mod record;
mod rewrite;
mod view;

pub use builder::{BatchBuilder, BatchHeader, BuildError};
pub use compression::{Compression, CompressionError, DECOMPRESSED_BYTES_MAX, UnknownCompression};
pub use error::BatchError;
pub use record::{
    BorrowedRecords, HEADER_OVERHEAD_BYTES_MAX, Header, RECORD_OVERHEAD_BYTES_MAX, Record, RecordError,
    Records,
};
pub use view::{Batches, RecordBatch, TimestampType};
