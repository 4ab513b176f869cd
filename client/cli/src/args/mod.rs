//! The command line as data: what may be typed, with its help. Knows nothing of how a command is carried out.

mod agent;
mod archive;
mod bench;
mod group;
mod tunnel;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use agent::{AgentArgs, DevArgs, Tuning};
pub(crate) use archive::{
    ArchiveArgs, ArchiveCommand, ArchiveExportArgs, ArchiveLsArgs, ArchiveRunArgs, ArchiveStatusArgs, Bucket,
    CompactorArgs, Mirroring, Rewriting,
};
pub(crate) use bench::{
    ArchiveBenchArgs, BenchCommand, CommitsArgs, GroupProtocol, GroupsArgs, LatencyArgs, LoadArgs, ReadArgs,
    RebalanceArgs, ReportArgs, SeekArgs,
};
pub(crate) use group::{GroupArgs, GroupCommand};
pub(crate) use tunnel::TunnelArgs;

/// Where the tools look for an agent when nothing else is said.
const SERVER_DEFAULT: &str = "quic://127.0.0.1:9093";

/// A Kafka-compatible log broker whose only disk is a bucket.
#[derive(Debug, Parser)]
#[command(name = "ebb", version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// What to log to standard error: a level, or levels by module, as in `info` or `warn,ebb_agent=debug`
    #[arg(long, global = true, env = "EBB_LOG", default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process on a local directory, for development
    Dev(Box<DevArgs>),
    /// Run an agent: serve Kafka clients from a bucket
    Agent(Box<AgentArgs>),
    /// Run a compactor: turn segments into archive files, and delete what nothing needs
    Compactor(CompactorArgs),
    /// Create, list, describe, alter and delete topics
    Topic(TopicArgs),
    /// List, describe and delete groups, and set where they go on reading
    Group(GroupArgs),
    /// Say how far the archive has come, list and copy its files, and archive now
    Archive(ArchiveArgs),
    /// Write records from a file or standard input, one a line
    Produce(ProduceArgs),
    /// Read records to standard output
    Consume(ConsumeArgs),
    /// Give Kafka clients of this machine the transport QUIC: carry their TCP connections to an agent
    Tunnel(TunnelArgs),
    /// Measure a running cluster, or a cold start
    Bench {
        #[command(subcommand)]
        command: BenchCommand,
    },
    /// Check that the bucket and the metastore agree, and say what does not
    Fsck(FsckArgs),
}

/// How to reach an agent.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connection {
    /// The agent to talk to: quic://HOST:PORT or kafka://HOST:PORT
    #[arg(long, env = "EBB_SERVER", default_value = SERVER_DEFAULT, value_name = "URL")]
    pub(crate) server: String,
    /// PEM file with the certificates to trust; a loopback agent's development certificate is trusted by itself
    #[arg(long, env = "EBB_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

/// `ebb topic`.
#[derive(Debug, Args)]
pub(crate) struct TopicArgs {
    #[command(subcommand)]
    pub(crate) command: TopicCommand,
}

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Create a topic
    Create {
        /// Its name: 1 to 249 of a-z A-Z 0-9 . _ -
        name: String,
        /// How many partitions it has
        #[arg(long, short, default_value_t = 1)]
        partitions: i32,
        /// A configuration entry; may be repeated
        #[arg(long = "config", short, value_name = "KEY=VALUE", value_parser = key_value)]
        configs: Vec<(String, String)>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the topics
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show a topic's partitions, offsets and configuration
    Describe {
        /// Its name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Change a topic's configuration or raise its partition count
    Alter {
        /// Its name
        name: String,
        /// A configuration entry; an empty value takes the key back to its default; may be repeated
        #[arg(long = "config", short, value_name = "KEY=VALUE", value_parser = key_value)]
        configs: Vec<(String, String)>,
        /// The new partition count
        #[arg(long, short)]
        partitions: Option<i32>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Delete a topic with all its records
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
}

impl TopicCommand {
    /// How to reach the agent.
    pub(crate) fn connection(&self) -> &Connection {
        match self {
            Self::Create { connection, .. }
            | Self::List { connection, .. }
            | Self::Describe { connection, .. }
            | Self::Alter { connection, .. }
            | Self::Delete { connection, .. } => connection,
        }
    }
}

/// `ebb produce`.
#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    /// The topic
    pub(crate) topic: String,
    /// Splits each line into key and value at the first occurrence
    #[arg(long, short = 'K', value_name = "SEPARATOR")]
    pub(crate) key_separator: Option<String>,
    /// How records are read: a line is a value, or a line is JSON {"key", "value", "headers", "partition", "timestamp"}
    #[arg(long, value_enum, default_value_t = InputFormat::Lines)]
    pub(crate) format: InputFormat,
    /// The file to read; standard input when absent
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// When a record counts as written: 0, 1 or all
    #[arg(long, default_value = "all", value_parser = ["0", "1", "all"])]
    pub(crate) acks: String,
    /// The codec that batches are compressed with
    #[arg(long, value_enum, default_value_t = Codec::Lz4)]
    pub(crate) compression: Codec,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `ebb consume`.
#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    /// The topic
    pub(crate) topic: String,
    /// Where to begin: beginning, end, an offset, or a time as 2026-01-31T12:00:00Z
    #[arg(long, default_value = "end", value_name = "POSITION")]
    pub(crate) from: String,
    /// Read only this partition; may be repeated
    #[arg(long, short)]
    pub(crate) partition: Vec<i32>,
    /// Share the topic with the group's other members and go on where the group has left off; --from is for
    /// partitions that it has no offset of
    #[arg(long, short, conflicts_with_all = ["partition", "exit_at_end"])]
    pub(crate) group: Option<String>,
    /// Stop after this many records
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub(crate) max: Option<u64>,
    /// Stop when every partition has been read up to the end it had at the start
    #[arg(long)]
    pub(crate) exit_at_end: bool,
    /// How records are printed
    #[arg(long, value_enum, default_value_t = OutputFormat::Value)]
    pub(crate) format: OutputFormat,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// `ebb fsck`.
#[derive(Debug, Args)]
pub(crate) struct FsckArgs {
    #[command(flatten)]
    pub(crate) bucket: Bucket,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How `ebb produce` reads its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// One record a line.
    Lines,
    /// One JSON object a line.
    Jsonl,
}

/// How `ebb consume` prints records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// The value and a newline.
    Value,
    /// Key, tab, value and a newline.
    Kv,
    /// One JSON object a line.
    Json,
}

/// Compression codecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Codec {
    /// No compression.
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} is no KEY=VALUE"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_config_entry_keeps_what_follows_the_first_equals_sign() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key_value("a").is_err());
    }
}
