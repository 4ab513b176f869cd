//! The settings of `ebb agent` and `ebb dev`: a flag, an environment variable and a key of the configuration file
//! each, all by the same name. A flag wins over the environment, the environment over the file.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::{Args, value_parser};
use ebb_metastore::limits::PARTITIONS_PER_TOPIC_MAX;
use serde::Deserialize;

use super::archive::{Mirroring, Rewriting};

/// How many partitions a topic may get when nobody says how many.
const DEFAULT_PARTITIONS_MAX: i64 = PARTITIONS_PER_TOPIC_MAX as i64;
/// Where `ebb dev` keeps its data when nothing else is said.
pub(super) const DATA_DIR_DEFAULT: &str = "./ebb-data";

/// `ebb dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Where the data is kept
    #[arg(long, env = "EBB_DATA_DIR", default_value = DATA_DIR_DEFAULT, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Keep the objects in this store instead of the data directory: s3://BUCKET/PREFIX, ...
    #[arg(long, env = "EBB_STORE", value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Where Kafka clients connect over TCP
    #[arg(long, env = "EBB_KAFKA", default_value = "127.0.0.1:9092", value_name = "ADDR")]
    pub(crate) kafka: SocketAddr,
    /// Where clients connect over QUIC
    #[arg(long, env = "EBB_QUIC", default_value = "127.0.0.1:9093", value_name = "ADDR")]
    pub(crate) quic: SocketAddr,
    /// Where health, readiness and metrics are served
    #[arg(long, env = "EBB_HTTP", default_value = "127.0.0.1:9094", value_name = "ADDR")]
    pub(crate) http: SocketAddr,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
    #[command(flatten)]
    pub(crate) rewriting: Rewriting,
    #[command(flatten)]
    pub(crate) mirroring: Mirroring,
}

/// `ebb agent`.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct AgentArgs {
    /// A TOML file with these same settings
    #[arg(long, env = "EBB_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    /// The object store: file:///PATH, s3://BUCKET/PREFIX, gs://..., az://..., memory:///
    #[arg(long, env = "EBB_STORE", value_name = "URL")]
    pub(crate) store: Option<String>,
    /// The commit log: bucket (inside the object store)
    #[arg(long, env = "EBB_COMMIT_LOG", value_name = "URL")]
    pub(crate) commit_log: Option<String>,
    /// Where Kafka clients connect over TCP; loopback only, unless --insecure-plaintext
    #[arg(long, env = "EBB_KAFKA", value_name = "ADDR")]
    pub(crate) kafka: Option<SocketAddr>,
    /// Where clients connect over QUIC
    #[arg(long, env = "EBB_QUIC", value_name = "ADDR")]
    pub(crate) quic: Option<SocketAddr>,
    /// Where health, readiness and metrics are served
    #[arg(long, env = "EBB_HTTP", value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,
    /// HOST:PORT that Kafka clients are told to dial, when it differs from where the agent listens
    #[arg(long, env = "EBB_ADVERTISE_KAFKA", value_name = "HOST:PORT")]
    pub(crate) advertise_kafka: Option<String>,
    /// HOST:PORT that QUIC clients are told to dial
    #[arg(long, env = "EBB_ADVERTISE_QUIC", value_name = "HOST:PORT")]
    pub(crate) advertise_quic: Option<String>,
    /// The availability zone
    #[arg(long, env = "EBB_ZONE")]
    pub(crate) zone: Option<String>,
    /// PEM file with the certificate chain for QUIC
    #[arg(long, env = "EBB_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file with its private key
    #[arg(long, env = "EBB_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Allow Kafka over TCP without TLS on addresses other than loopback
    #[arg(long, env = "EBB_INSECURE_PLAINTEXT")]
    pub(crate) insecure_plaintext: bool,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) tuning: Tuning,
}

/// What trades latency, cost and memory.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Tuning {
    /// A flush waits for more records at most this long [default: 5ms on a local directory, 250ms on a remote store]
    #[arg(long, env = "EBB_LINGER_MAX", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub(crate) linger_max: Option<Duration>,
    /// Flushes a second that are paid for under load [default: 1000 on a local directory, 20 on a remote store]
    #[arg(long, env = "EBB_FLUSHES_PER_SECOND_MAX", value_name = "RATE")]
    pub(crate) flushes_per_second_max: Option<f64>,
    /// A segment closes at this size [default: 8MiB]
    #[arg(long, env = "EBB_SEGMENT_BYTES_MAX", value_name = "SIZE")]
    pub(crate) segment_bytes_max: Option<ByteSize>,
    /// A flush up to this size rides inside the commit log's entry [default: 512KiB]
    #[arg(long, env = "EBB_INLINE_BYTES_MAX", value_name = "SIZE")]
    pub(crate) inline_bytes_max: Option<ByteSize>,
    /// Memory for the read cache [default: 256MiB]
    #[arg(long, env = "EBB_CACHE_MEMORY", value_name = "SIZE")]
    pub(crate) cache_memory: Option<ByteSize>,
    /// Directory for the read cache's disk tier; none when absent
    #[arg(long, env = "EBB_CACHE_DIR", value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Size of the read cache's disk tier [default: 16GiB]
    #[arg(long, env = "EBB_CACHE_DISK", value_name = "SIZE")]
    pub(crate) cache_disk: Option<ByteSize>,
    /// Partitions of a topic when nobody says how many [default: 1]
    #[arg(long, env = "EBB_DEFAULT_PARTITIONS", value_name = "COUNT",
        value_parser = value_parser!(i32).range(1..=DEFAULT_PARTITIONS_MAX))]
    pub(crate) default_partitions: Option<i32>,
    /// Whether a topic is created when a client asks for one that is not there [default: true]
    #[arg(long, env = "EBB_AUTO_CREATE_TOPICS", value_name = "BOOL")]
    pub(crate) auto_create_topics: Option<bool>,
}

impl Tuning {
    /// These settings where they are given, else those of `file`.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            linger_max: self.linger_max.or(file.linger_max),
            flushes_per_second_max: self.flushes_per_second_max.or(file.flushes_per_second_max),
            segment_bytes_max: self.segment_bytes_max.or(file.segment_bytes_max),
            inline_bytes_max: self.inline_bytes_max.or(file.inline_bytes_max),
            cache_memory: self.cache_memory.or(file.cache_memory),
            cache_dir: self.cache_dir.or(file.cache_dir),
            cache_disk: self.cache_disk.or(file.cache_disk),
            default_partitions: self.default_partitions.or(file.default_partitions),
            auto_create_topics: self.auto_create_topics.or(file.auto_create_topics),
        }
    }
}

impl AgentArgs {
    /// These settings where they are given, else those of `file`.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            config: self.config,
            store: self.store.or(file.store),
            commit_log: self.commit_log.or(file.commit_log),
            kafka: self.kafka.or(file.kafka),
            quic: self.quic.or(file.quic),
            http: self.http.or(file.http),
            advertise_kafka: self.advertise_kafka.or(file.advertise_kafka),
            advertise_quic: self.advertise_quic.or(file.advertise_quic),
            zone: self.zone.or(file.zone),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            insecure_plaintext: self.insecure_plaintext || file.insecure_plaintext,
            tuning: self.tuning.or(file.tuning),
        }
    }
}
