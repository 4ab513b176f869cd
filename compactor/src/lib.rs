//! The compactor looks after the objects in the bucket. It rewrites segments into archive files, and it sweeps: it
//! deletes the objects that nothing needs.
//!
//! This crate must not know the agent: it works from the metastore's state and the bucket alone.

mod member;
pub mod retention;
pub mod rewriter;
pub mod sweeper;

pub use member::{JoinError, Member};
