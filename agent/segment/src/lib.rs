//! The segment object: its format, its keys, and the store that keeps it.
//!
//! Segment bytes contain no offsets: a segment does not know where in a partition its batches will stand. This
//! crate must not know the metastore.

pub mod counted;
mod error;
pub mod format;
pub mod key;
pub mod open;
pub mod parts;
pub mod store;
