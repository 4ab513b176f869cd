//! The command line of `ebb bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Codec, Connection};

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Produce as fast as the cluster takes it
    Produce(LoadArgs),
    /// Consume a topic from its start
    Consume(ReadArgs),
    /// Produce at a steady rate and measure each record's time to its acknowledgement
    Latency(LatencyArgs),
    /// Start `ebb dev` on an empty directory and measure the time to the first acknowledged record
    Coldstart(ColdStartArgs),
}

/// `ebb bench produce`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The topic; created when it does not exist
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
    /// Partitions of a topic that is created
    #[arg(long, default_value_t = 6)]
    pub(crate) partitions: i32,
    /// Size of a record's value in bytes
    #[arg(long, default_value_t = 1024)]
    pub(crate) record_bytes: usize,
    /// Logical megabytes (10^6 bytes of values) to produce in each run
    #[arg(long, default_value_t = 2000)]
    pub(crate) megabytes: u64,
    /// The codec; values are made to compress about 2.5 times with lz4, or not at all with none
    #[arg(long, value_enum, default_value_t = Codec::Lz4)]
    pub(crate) compression: Codec,
    /// How many times to measure; the median is reported
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `ebb bench consume`.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// The topic
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
    /// Stop each run after this many logical megabytes
    #[arg(long)]
    pub(crate) megabytes: Option<u64>,
    /// How many times to measure; the median is reported
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `ebb bench latency`.
#[derive(Debug, Args)]
pub(crate) struct LatencyArgs {
    /// The topic; created when it does not exist
    #[arg(long, default_value = "bench-latency")]
    pub(crate) topic: String,
    /// Partitions of a topic that is created
    #[arg(long, default_value_t = 6)]
    pub(crate) partitions: i32,
    /// Size of a record's value in bytes
    #[arg(long, default_value_t = 1024)]
    pub(crate) record_bytes: usize,
    /// Logical megabytes a second
    #[arg(long, default_value_t = 10.0)]
    pub(crate) rate: f64,
    /// Length of a run in seconds
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// How many times to measure; the median is reported
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Also measure the median of one fdatasync of 10 kB in this directory, in the same run, as the baseline
    #[arg(long, value_name = "DIR")]
    pub(crate) sync_baseline: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `ebb bench coldstart`.
#[derive(Debug, Args)]
pub(crate) struct ColdStartArgs {
    /// How many times to measure; the median is reported
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
