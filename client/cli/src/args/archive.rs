//! What may be typed after `ebb archive` and `ebb compactor`.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::{Args, Subcommand, value_parser};
use url::Url;

use super::agent::DATA_DIR_DEFAULT;

/// `ebb archive`.
#[derive(Debug, Args)]
pub(crate) struct ArchiveArgs {
    #[command(subcommand)]
    pub(crate) command: ArchiveCommand,
}

/// What `ebb archive` can do. It works on the bucket itself, whether or not an agent runs.
#[derive(Debug, Subcommand)]
pub(crate) enum ArchiveCommand {
    /// Says how far the archive is behind, how large it is, and how much of it is to be compacted by key
    Status(ArchiveStatusArgs),
    /// Archives now what there is, without waiting for size or age, and compacts what is to be compacted by key
    Run(ArchiveRunArgs),
    /// Lists the files of a topic
    Ls(ArchiveLsArgs),
    /// Copies the files of a topic into a directory
    Export(ArchiveExportArgs),
}

/// Where the bucket is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Bucket {
    /// The object store: file:///PATH, s3://BUCKET/PREFIX, gs://..., az://...
    #[arg(long, env = "EBB_STORE", value_name = "URL", conflicts_with = "data_dir")]
    pub(crate) store: Option<String>,
    /// The data directory of `ebb dev`
    #[arg(long, env = "EBB_DATA_DIR", default_value = DATA_DIR_DEFAULT, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
}

/// `ebb archive status`.
#[derive(Debug, Args)]
pub(crate) struct ArchiveStatusArgs {
    /// Only this topic
    pub(crate) topic: Option<String>,
    #[command(flatten)]
    pub(crate) bucket: Bucket,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `ebb archive run`.
#[derive(Debug, Args)]
pub(crate) struct ArchiveRunArgs {
    #[command(flatten)]
    pub(crate) bucket: Bucket,
    #[command(flatten)]
    pub(crate) rewriting: Rewriting,
}

/// `ebb archive ls`.
#[derive(Debug, Args)]
pub(crate) struct ArchiveLsArgs {
    /// The topic
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) bucket: Bucket,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `ebb archive export`.
#[derive(Debug, Args)]
pub(crate) struct ArchiveExportArgs {
    /// The topic
    pub(crate) topic: String,
    /// Where the files go; made when it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) bucket: Bucket,
}

/// `ebb compactor`.
#[derive(Debug, Args)]
pub(crate) struct CompactorArgs {
    /// The object store: file:///PATH, s3://BUCKET/PREFIX, gs://..., az://...
    #[arg(long, env = "EBB_STORE", value_name = "URL")]
    pub(crate) store: String,
    /// Where health, readiness and metrics are served
    #[arg(long, env = "EBB_HTTP", value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) rewriting: Rewriting,
    #[command(flatten)]
    pub(crate) mirroring: Mirroring,
}

/// Which foreign Iceberg catalog shows the archive too.
#[derive(Default, Clone, Args)]
pub(crate) struct Mirroring {
    /// Show the archive's tables in this Iceberg REST catalog too: http://HOST:PORT/PATH, in front of /v1
    #[arg(long, env = "EBB_ARCHIVE_ICEBERG_CATALOG", value_name = "URL")]
    pub(crate) archive_iceberg_catalog: Option<Url>,
    /// The warehouse in that catalog, where it has several
    #[arg(long, env = "EBB_ARCHIVE_ICEBERG_WAREHOUSE", value_name = "NAME")]
    pub(crate) archive_iceberg_warehouse: Option<String>,
    /// The namespace in that catalog
    #[arg(long, env = "EBB_ARCHIVE_ICEBERG_NAMESPACE", value_name = "NAME", default_value = "kafka")]
    pub(crate) archive_iceberg_namespace: String,
    /// A bearer token for that catalog
    #[arg(long, env = "EBB_ARCHIVE_ICEBERG_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) archive_iceberg_token: Option<String>,
}

impl fmt::Debug for Mirroring {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.archive_iceberg_catalog, self.archive_iceberg_namespace)
    }
}

/// When and how segments are rewritten.
#[derive(Debug, Default, Clone, Args)]
pub(crate) struct Rewriting {
    /// Records are archived when they come to this size [default: 128MiB]
    #[arg(long, env = "EBB_ARCHIVE_WINDOW_BYTES", value_name = "SIZE")]
    pub(crate) archive_window_bytes: Option<ByteSize>,
    /// Records are archived when they are this old [default: 10m]
    #[arg(long, env = "EBB_ARCHIVE_WINDOW_AGE", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) archive_window_age: Option<Duration>,
    /// The share of a core that archiving may take, in percent [default: 50; 100 for `ebb archive run`]
    #[arg(long, env = "EBB_ARCHIVE_CPU_PERCENT", value_name = "PERCENT", value_parser = value_parser!(u32).range(1..=100))]
    pub(crate) archive_cpu_percent: Option<u32>,
    /// Requests a second that archiving may make [default: 100; 5000 for a store in a directory and for `ebb archive run`]
    #[arg(long, env = "EBB_ARCHIVE_REQUESTS_PER_SECOND", value_name = "RATE")]
    pub(crate) archive_requests_per_second: Option<f64>,
    /// Small files of a topic are merged up to this size, 0 for not at all [default: 512MiB]
    #[arg(long, env = "EBB_ARCHIVE_FILE_BYTES", value_name = "SIZE")]
    pub(crate) archive_file_bytes: Option<ByteSize>,
    /// Memory for the keys of a topic that is compacted; more keys take several passes [default: 128MiB]
    #[arg(long, env = "EBB_COMPACTION_TABLE_BYTES", value_name = "SIZE")]
    pub(crate) compaction_table_bytes: Option<ByteSize>,
}
