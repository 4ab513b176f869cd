//! The compactor looks after the objects in the bucket. So far it sweeps: it deletes the segments that nothing needs.
//!
//! This crate must not know the agent: it works from the metastore's state and the bucket alone.

pub mod sweeper;
