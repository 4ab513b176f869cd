//! Record batches, Kafka's magic 2: a validated view that never decompresses, and the record codec.

mod view;

pub use view::{BatchError, RecordBatch};
