//! Settings of the rewriter: plain data. Every limit it keeps to is here.

use std::time::Duration;

use ebb_archive::Settings;
use ebb_segment::store::StoreConfig;

/// Settings of the rewriter. Plain data.
#[derive(Clone, Debug)]
pub struct RewriterConfig {
    /// A window is rewritten when its objects come to this many bytes. About what it holds in memory at once, besides
    /// one file.
    pub window_bytes: u64,
    /// A window is rewritten when its first object is older than this, however small it is.
    pub window_age: Duration,
    /// How archive files are laid out.
    pub layout: Settings,
    /// Objects that are read at once.
    pub gets_in_flight_max: usize,
    /// Files that are put and read back at once, while the next one is written. What they hold in memory comes to no
    /// more than the files of a window do.
    pub files_in_flight_max: usize,
    /// The sustained rate of requests to the store, so that it never hurts producers.
    pub requests_per_second_max: f64,
    /// The share of one core that it takes, in percent, averaged over a window.
    pub cpu_percent_max: u32,
    /// Another rewriter's claim is believed for this long without a sign of life.
    pub claim_timeout: Duration,
    /// A window that could not be rewritten is tried again after this long.
    pub retry_after: Duration,
    /// How requests to the store are repeated, and when they are given up.
    pub store: StoreConfig,
}

impl Default for RewriterConfig {
    fn default() -> Self {
        Self {
            window_bytes: 128 << 20,
            window_age: Duration::from_secs(10 * 60),
            layout: Settings::default(),
            gets_in_flight_max: 4,
            files_in_flight_max: 8,
            requests_per_second_max: 100.0,
            cpu_percent_max: 50,
            claim_timeout: Duration::from_secs(60),
            retry_after: Duration::from_secs(60),
            store: StoreConfig {
                // A file may have hundreds of megabytes, and nobody waits for it.
                attempt_deadline: Duration::from_secs(120),
                deadline: Duration::from_secs(600),
                ..StoreConfig::default()
            },
        }
    }
}
