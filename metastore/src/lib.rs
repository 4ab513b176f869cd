//! Order and offsets. The state is a pure function of the commit log: commands go into entries, entries are
//! appended to the log, and `apply` is the only code that assigns an offset.
//!
//! This crate opens no segment and no archive file and must not know Kafka's wire structs.

mod apply;
pub mod command;
pub mod entry;
pub mod limits;
pub mod log;
pub mod outcome;
mod replica;
pub mod snapshot;
pub mod state;
pub mod watch;

pub use replica::{
    BodySink, Metastore, MetastoreConfig, MetastoreError, OpenError, Pending, RegisterError, Submission, load,
};
