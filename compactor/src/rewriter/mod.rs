//! The rewriter turns segments into archive files. It takes what was committed, window by window in the order of the
//! log, reads each object once, writes one file a topic, reads it back, and has an entry swap it in.
//!
//! # Why nothing is lost and nothing comes back
//! A file is published only when what can be read out of it in the store is what went into it. The publishing command
//! states which coordinates it replaces, and `apply` refuses it unless they are there, all of them and no others. So
//! of two rewriters of one window one wins, and so does a deletion that came between. What lost leaves a file that
//! nothing refers to, which the sweeper deletes. Claims only keep rewriters from doing the same work.
//!
//! It may be killed at any point: nothing is visible before the entry, and everything after it.

mod claims;
mod config;
mod counters;
mod error;
mod keys;
mod merge;
mod pace;
mod place;
mod plan;
mod read;
mod shape;
mod shelf;
mod source;
mod task;
mod upload;
mod verify;
mod window;

pub use self::{
    config::RewriterConfig,
    counters::{RewriteCounters, RewriteCounts},
    error::RewriteError,
    keys::{KeyBacklog, KeyCompactionConfig, KeyCompactor, KeyCounters, KeyCounts, KeysDone},
    merge::{MergeConfig, MergeCounters, MergeCounts, MergeDone, Merger},
    task::{Done, Rewriter},
};
