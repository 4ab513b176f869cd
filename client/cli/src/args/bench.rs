//! The command line of `ebb bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
    /// Let the members of a group join at once and measure the time until each has its final assignment
    Rebalance(RebalanceArgs),
    /// Let many groups commit offsets at a steady rate and measure commits and appends to the commit log
    Commits(CommitsArgs),
    /// Start `ebb dev` on an empty directory and measure what many groups cost it
    Groups(GroupsArgs),
    /// Start two agents, kill the coordinator of a group and measure the time until the group is served again
    Failover(ReportArgs),
    /// Archive events and measure what that costs, what the files come to, and what reading them costs an agent
    Archive(ArchiveBenchArgs),
    /// Measure the time to the first record from an arbitrary offset of a topic
    Seek(SeekArgs),
    /// Start `ebb dev` on an empty directory and measure the time to the first acknowledged record
    Coldstart(ReportArgs),
    /// Start `ebb dev` on an empty directory and measure the time from producing records until they are rows of an
    /// Iceberg table, by way of `ebb archive run`
    Queryable(ReportArgs),
}

/// How often to measure, and how to tell the figures.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// How many times to measure; the median is reported
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
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
    #[command(flatten)]
    pub(crate) report: ReportArgs,
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
    #[command(flatten)]
    pub(crate) report: ReportArgs,
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
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    /// Also measure the median of one fdatasync of 10 kB in this directory, in the same run, as the baseline
    #[arg(long, value_name = "DIR")]
    pub(crate) sync_baseline: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `ebb bench rebalance`.
#[derive(Debug, Args)]
pub(crate) struct RebalanceArgs {
    /// The topic that the members subscribe to; created when it does not exist
    #[arg(long, default_value = "bench-rebalance")]
    pub(crate) topic: String,
    /// Its partitions
    #[arg(long, default_value_t = 600)]
    pub(crate) partitions: i32,
    /// The members of the group
    #[arg(long, default_value_t = 100)]
    pub(crate) members: usize,
    /// The protocol that they speak
    #[arg(long, value_enum, default_value_t = GroupProtocol::Consumer)]
    pub(crate) protocol: GroupProtocol,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// The protocols of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupProtocol {
    /// JoinGroup and SyncGroup.
    Classic,
    /// KIP-848.
    Consumer,
}

/// `ebb bench commits`.
#[derive(Debug, Args)]
pub(crate) struct CommitsArgs {
    /// The topic whose offsets are committed; created when it does not exist
    #[arg(long, default_value = "bench-commits")]
    pub(crate) topic: String,
    /// Its partitions; each commit has an offset for each of them
    #[arg(long, default_value_t = 20)]
    pub(crate) partitions: i32,
    /// The groups, of one member each
    #[arg(long, default_value_t = 1_000)]
    pub(crate) groups: usize,
    /// Offsets a second, of all groups
    #[arg(long, default_value_t = 20_000.0)]
    pub(crate) rate: f64,
    /// Length of a run in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=30))]
    pub(crate) seconds: u64,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `ebb bench groups`.
#[derive(Debug, Args)]
pub(crate) struct GroupsArgs {
    /// The groups
    #[arg(long, default_value_t = 10_000)]
    pub(crate) groups: usize,
    /// Members of each
    #[arg(long, default_value_t = 3)]
    pub(crate) members: usize,
    /// Partitions of the topic that all of them subscribe to
    #[arg(long, default_value_t = 6)]
    pub(crate) partitions: i32,
    /// Streams that the members share
    #[arg(long, default_value_t = 100)]
    pub(crate) streams: usize,
    /// Heartbeats of each member that are measured
    #[arg(long, default_value_t = 10)]
    pub(crate) rounds: usize,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// `ebb bench archive`.
#[derive(Debug, Args)]
pub(crate) struct ArchiveBenchArgs {
    /// Logical megabytes (10^6 bytes of keys and values) of events
    #[arg(long, default_value_t = 1000)]
    pub(crate) megabytes: u64,
    /// Topics among which the events are spread
    #[arg(long, default_value_t = 1)]
    pub(crate) topics: usize,
    /// Partitions of each
    #[arg(long, default_value_t = 6)]
    pub(crate) partitions: i32,
    /// Where the data is kept while it is measured; a temporary directory when absent
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// `ebb bench seek`.
#[derive(Debug, Args)]
pub(crate) struct SeekArgs {
    /// The topic
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
    /// Offsets that are looked up in each run
    #[arg(long, default_value_t = 200)]
    pub(crate) seeks: u64,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    #[command(flatten)]
    pub(crate) connection: Connection,
}
