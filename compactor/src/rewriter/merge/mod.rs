//! Merging: the small files of a quiet topic become fewer and larger ones, with the same rows. A reader of many small
//! files makes many requests, and decodes row groups that hardly fill a page.
//!
//! Files go together that follow each other in every partition that they share, and only into one that is several times
//! as large as each of them. So a record is written again a few times at most, however small its first file was, and a
//! file that has come near its target is left alone.
//!
//! What is compacted by key is merged on that way, and not here.

mod plan;
mod task;
mod write;

pub use self::task::{MergeConfig, MergeCounters, MergeCounts, MergeDone, Merger};
