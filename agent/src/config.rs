//! Settings of an agent: plain data, filled in by the command line. Every limit on what a peer can make the agent
//! hold stands here. Knows nothing of how the settings are spelled or read.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ebb_coordinator::GroupConfig;
use ebb_metastore::{MetastoreConfig, command::Endpoint};
use ebb_protocol::{frame::FRAME_BYTES_MAX, ids::HostId};
use ebb_segment::store::StoreConfig;

use crate::broker::BrokerConfig;

/// Settings of an agent.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The object store's URL: `file:///path`, `s3://bucket/prefix`, `gs://`, `az://`, `memory:///`.
    pub store: String,
    /// Where the commit log is kept.
    pub commit_log: CommitLogConfig,
    /// Where Kafka clients connect over TCP.
    pub kafka: Option<ListenerConfig>,
    /// Where clients connect over QUIC.
    pub quic: Option<ListenerConfig>,
    /// Where health, readiness and metrics are served.
    pub http: Option<SocketAddr>,
    /// The certificate and key that QUIC needs.
    pub tls: TlsConfig,
    /// Allows TCP without TLS on addresses other than loopback.
    pub insecure_plaintext: bool,
    /// The availability zone; empty when there is one only.
    pub zone: String,
    /// The host that it runs on: whoever shares it may judge an agent at a loopback address.
    pub host: Option<HostId>,
    /// What a topic gets that nobody described.
    pub topics: TopicDefaults,
    /// Limits on peers.
    pub limits: Limits,
    /// Deadlines and retries of the object store.
    pub store_requests: StoreConfig,
    /// Settings of the metastore replica.
    pub metastore: MetastoreConfig,
    /// Settings of the broker.
    pub broker: BrokerConfig,
    /// Settings of groups: time-outs and sizes.
    pub groups: GroupConfig,
}

/// Where the commit log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitLogConfig {
    /// Inside the object store, under conditional puts.
    Bucket,
    /// In this process's memory: gone when it ends.
    Memory,
}

/// Why a text names no commit log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("commit log {0:?} is not known: use \"bucket\" or \"memory:\"")]
pub struct UnknownCommitLog(String);

impl std::str::FromStr for CommitLogConfig {
    type Err = UnknownCommitLog;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "bucket" => Ok(Self::Bucket),
            "memory:" => Ok(Self::Memory),
            _ => Err(UnknownCommitLog(text.to_owned())),
        }
    }
}

/// One listener.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// The address to bind; port 0 takes a free one.
    pub address: SocketAddr,
    /// What clients are told to dial, when it differs from the bound address.
    pub advertised: Option<Endpoint>,
}

impl ListenerConfig {
    /// A listener that advertises the address it binds.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, advertised: None }
    }
}

/// Where certificate and key come from.
#[derive(Clone, Debug)]
pub enum TlsConfig {
    /// PEM files: the certificate chain, own certificate first, and its private key.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// The key: PKCS #8, PKCS #1 or SEC 1.
        key: PathBuf,
    },
    /// A self-signed certificate for `localhost` and the loopback addresses, made at the first start and kept in
    /// this directory as [`crate::listen::tls::DEV_CERTIFICATE`] and [`crate::listen::tls::DEV_KEY`].
    Development {
        /// The directory.
        directory: PathBuf,
    },
}

/// What a topic gets that nobody described.
#[derive(Clone, Debug)]
pub struct TopicDefaults {
    /// Whether Metadata creates a topic that does not exist, when the client allows it too.
    pub auto_create: bool,
    /// The partition count when none is asked for.
    pub partitions: i32,
}

impl Default for TopicDefaults {
    fn default() -> Self {
        Self { auto_create: true, partitions: 1 }
    }
}

/// Limits on peers. Past a limit the agent pushes back or closes the connection; it never grows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest request frame, in bytes.
    pub frame_bytes_max: usize,
    /// Bytes of requests that may be held at once, over all connections; further frames wait unread.
    /// At least `frame_bytes_max`. The smallest frames have 64 KiB beside it.
    pub requests_bytes_max: usize,
    /// Bytes that the groups which the agent coordinates may take in memory, about; beyond that no member joins.
    pub groups_bytes_max: usize,
    /// Requests of one connection or stream that may be taken in and not yet answered.
    pub requests_in_flight_max: usize,
    /// TCP connections, and again QUIC connections, that may be open.
    pub connections_max: usize,
    /// Connections of each kind that one peer address may have open.
    pub connections_per_address_max: usize,
    /// Streams that one QUIC connection may have open.
    pub streams_per_connection_max: u32,
    /// Bytes that a QUIC peer may send on one stream before the agent has read them.
    pub stream_window_bytes: u32,
    /// The same for all streams of a QUIC connection, and for bytes sent and not yet acknowledged by the peer.
    pub connection_window_bytes: u32,
    /// A handshake that takes longer is dropped.
    pub handshake_max: Duration,
    /// A connection without a request for this long is closed.
    pub idle_max: Duration,
    /// A frame must come in, or leave, within this time plus its length over `transfer_bytes_per_second_min`.
    pub transfer_grace: Duration,
    /// The slowest transfer of a frame that is put up with once the grace is used up, in bytes per second.
    pub transfer_bytes_per_second_min: u64,
    /// On shutdown, requests in flight have this long to be answered.
    pub drain_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: FRAME_BYTES_MAX,
            requests_bytes_max: 192 << 20,
            groups_bytes_max: 512 << 20,
            requests_in_flight_max: 64,
            connections_max: 10_000,
            connections_per_address_max: 1_024,
            streams_per_connection_max: 128,
            stream_window_bytes: 4 << 20,
            connection_window_bytes: 16 << 20,
            handshake_max: Duration::from_secs(10),
            idle_max: Duration::from_secs(600),
            transfer_grace: Duration::from_secs(30),
            transfer_bytes_per_second_min: 256 << 10,
            drain_max: Duration::from_secs(10),
        }
    }
}

impl AgentConfig {
    /// Settings for the store at `store`, without listeners. `directory` is where a development certificate is kept.
    #[must_use]
    pub fn new(store: &str, directory: PathBuf) -> Self {
        Self {
            store: store.to_owned(),
            commit_log: CommitLogConfig::Bucket,
            kafka: None,
            quic: None,
            http: None,
            tls: TlsConfig::Development { directory },
            insecure_plaintext: false,
            zone: String::new(),
            host: None,
            topics: TopicDefaults::default(),
            limits: Limits::default(),
            store_requests: StoreConfig::default(),
            metastore: MetastoreConfig::default(),
            broker: BrokerConfig::default(),
            groups: GroupConfig::default(),
        }
    }
}
