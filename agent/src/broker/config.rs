//! Settings of the broker: plain data. Every queue, cache and buffer of the broker has its limit here.

use std::{path::PathBuf, time::Duration};

/// Settings of the broker. Plain data; every queue and buffer has its limit here.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// A segment closes at this size, in bytes.
    pub segment_bytes_max: u64,
    /// A segment closes at this age at the latest.
    pub linger_max: Duration,
    /// A flush of at most this many bytes rides inside the commit log's entry, where the log can carry it.
    pub inline_bytes_max: u64,
    /// Bytes of batches that may be taken in and not yet durable; more push back.
    pub unflushed_bytes_max: u64,
    /// Segment uploads that may be in flight, inline ones included. More than the commit log's appends in flight
    /// would make inline ones queue there.
    pub uploads_in_flight_max: usize,
    /// The sustained rate of flushes; linger grows under load to keep to it.
    pub flushes_per_second_max: f64,
    /// An append that is not durable after this long fails as retriable.
    pub append_deadline: Duration,
    /// Size of a cache block, in bytes: what one GET reads.
    pub cache_block_bytes: u64,
    /// Memory for cached blocks, in bytes.
    pub cache_memory_bytes: usize,
    /// Directory and size of the cache's disk tier, in bytes.
    pub cache_disk: Option<(PathBuf, u64)>,
    /// One fetch is answered with at most this many bytes (or one batch, when that is larger).
    pub fetch_bytes_max: u64,
    /// Bytes of answers to fetches that may be alive at once; more fetches wait for their turn.
    pub replies_bytes_max: u64,
    /// GETs that may be in flight for readers that are close to the tail.
    pub tail_gets_in_flight_max: usize,
    /// GETs that may be in flight for readers that are far behind, so that they do not slow the others.
    pub replay_gets_in_flight_max: usize,
}

/// Fit for a local directory.
impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            segment_bytes_max: 8 << 20,
            linger_max: Duration::from_millis(5),
            inline_bytes_max: 64 << 10,
            unflushed_bytes_max: 64 << 20,
            uploads_in_flight_max: 16,
            flushes_per_second_max: 200.0,
            append_deadline: Duration::from_secs(30),
            cache_block_bytes: 4 << 20,
            cache_memory_bytes: 256 << 20,
            cache_disk: None,
            fetch_bytes_max: 16 << 20,
            replies_bytes_max: 64 << 20,
            tail_gets_in_flight_max: 16,
            replay_gets_in_flight_max: 8,
        }
    }
}
