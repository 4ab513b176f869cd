//! Key compaction: of the records of a key that are in archive files, only the latest stays (`cleanup.policy=compact`).
//! What is in segments is the active end of the log, and is not touched. Offsets never change: there are gaps.
//!
//! Like Kafka's cleaner, a pass builds a table of the latest offset of each key that is dirty, of bounded size, and
//! then writes all files of the topic anew without what is superseded. When the table is full, the pass covers only the
//! offsets before, and the next one goes on. Small files are merged on the way.
//!
//! A tombstone stays until readers have had `delete.retention.ms` to see it, counted from when what it hides was gone.
//! The state keeps that time for a topic: one mark at a time, so that no pass puts off what waits.

mod backlog;
mod filter;
mod look;
mod pass;
mod plan;
mod table;
mod task;

pub use self::{
    backlog::KeyBacklog,
    task::{KeyCompactionConfig, KeyCompactor, KeyCounters, KeyCounts, KeysDone},
};
