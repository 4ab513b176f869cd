//! Record batches, Kafka's magic 2: a validated view that never decompresses, and the record codec.

mod compression;
mod error;
mod layout;
mod view;

pub use compression::Compression;
pub use error::BatchError;
pub use view::{Batches, RecordBatch, TimestampType};
