//! The client: settings, and the connections and metadata that producers, consumers and admins share.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ebb_protocol::{
    clock::{SharedClock, SystemClock},
    messages::StrBytes,
    random::Random,
};

use crate::{
    Admin, Error, ServerAddress, Transport,
    cluster::{Cluster, ClusterSettings},
    consumer::ConsumerBuilder,
    producer::ProducerBuilder,
    rpc::{NodeSettings, Retry},
    transport::{Dialer, QUIC_IDLE_TIMEOUT, QuicDialer, TcpDialer, Trust},
};

/// Where a development server listens.
const DEFAULT_SERVER: &str = "quic://127.0.0.1:9093";

/// A handle on a cluster. Clones share connections and metadata.
#[derive(Debug, Clone)]
pub struct Client {
    cluster: Arc<Cluster>,
}

impl Client {
    /// A builder with the defaults: `quic://127.0.0.1:9093`, trusting this machine's development server.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            servers: Vec::new(),
            trust: Trust { ca_files: Vec::new(), dev: true },
            client_id: "ebbtide".to_owned(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_secs(60),
            metadata_age_max: Duration::from_secs(300),
            clock: None,
            random: None,
            dialer: None,
        }
    }

    /// A builder for a producer.
    pub fn producer(&self) -> ProducerBuilder {
        ProducerBuilder::new(self.cluster.clone())
    }

    /// A builder for a consumer.
    pub fn consumer(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(self.cluster.clone())
    }

    /// The administrative calls.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self.cluster.clone())
    }

    /// Ends the connections of this client and its clones, so that agents do not keep them until they look idle.
    /// Flush or close producers first.
    pub async fn close(self) {
        self.cluster.close().await;
    }
}

/// Settings of a [`Client`].
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    servers: Vec<String>,
    trust: Trust,
    client_id: String,
    connect_timeout: Duration,
    request_timeout: Duration,
    call_timeout: Duration,
    metadata_age_max: Duration,
    clock: Option<SharedClock>,
    random: Option<Random>,
    dialer: Option<Arc<dyn Dialer>>,
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// A server to start from: `quic://HOST:PORT` or `kafka://HOST:PORT`. May be given several times, with one
    /// transport; the first that answers is used, and the others of the cluster are learned from it.
    pub fn server(mut self, server: &str) -> Self {
        self.servers.push(server.to_owned());
        self
    }

    /// A PEM file with certificates of authorities to trust, instead of the operating system's. May be repeated.
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.trust.ca_files.push(file.into());
        self
    }

    /// Whether to trust the certificate that `ebb dev` on this machine left for its own address. On by default;
    /// it has no effect for addresses of other machines.
    pub fn trust_dev(mut self, trust: bool) -> Self {
        self.trust.dev = trust;
        self
    }

    /// The name that servers see in their logs. Default: `ebbtide`.
    pub fn client_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.client_id);
        self
    }

    /// How long opening a connection may take. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one request may go unanswered before its stream is given up. Default: 30 s, at most 40 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long a call may take in all, with retries. Default: 60 s.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// How old cached metadata may grow before it is read again. Default: 5 min.
    pub fn metadata_age_max(mut self, age: Duration) -> Self {
        self.metadata_age_max = age;
        self
    }

    /// Takes the wall clock from here, for tests.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Takes randomness from here, for tests.
    pub fn random(mut self, random: Random) -> Self {
        self.random = Some(random);
        self
    }

    /// Connects through this dialer, for tests and simulations.
    pub fn dialer(mut self, dialer: Arc<dyn Dialer>) -> Self {
        self.dialer = Some(dialer);
        self
    }

    /// Connects to the first server that answers.
    ///
    /// # Errors
    /// [`Error::Usage`] for a wrong setting, [`Error::Unreachable`] when no server answers, [`Error::Denied`] when
    /// the server's certificate is not trusted.
    pub async fn connect(self) -> Result<Client, Error> {
        let (transport, seeds) = self.seeds()?;
        // A fetch waits a little longer than its own time, and the connection must outlast both.
        if self.request_timeout.is_zero()
            || self.request_timeout > QUIC_IDLE_TIMEOUT - Duration::from_secs(20)
        {
            return Err(Error::Usage("request timeout must be above 0 and at most 40 s".into()));
        }
        let dialer = self.dialer.unwrap_or_else(|| match transport {
            Transport::Quic => Arc::new(QuicDialer::new(self.trust)),
            Transport::Tcp => Arc::new(TcpDialer),
        });
        let random = self.random.unwrap_or_else(Random::from_os);
        let cluster = Cluster::new(ClusterSettings {
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
            retry: Retry::new(random.fork(), self.call_timeout),
            metadata_age_max: self.metadata_age_max,
            node: NodeSettings {
                dialer,
                random,
                client_id: StrBytes::from_string(self.client_id),
                connect_timeout: self.connect_timeout,
                request_timeout: self.request_timeout,
            },
            transport,
            seeds,
        });
        cluster.refresh_brokers().await?;
        Ok(Client { cluster: Arc::new(cluster) })
    }

    fn seeds(&self) -> Result<(Transport, Vec<ServerAddress>), Error> {
        let given = self.servers.iter().map(String::as_str);
        let or_default = self.servers.is_empty().then_some(DEFAULT_SERVER);
        let seeds: Result<Vec<ServerAddress>, _> = given.chain(or_default).map(str::parse).collect();
        let seeds = seeds.map_err(|error| Error::Usage(error.to_string().into()))?;
        let first = seeds.first().map_or(Transport::Quic, |server| server.transport);
        if seeds.iter().any(|server| server.transport != first) {
            return Err(Error::Usage("servers must be all quic:// or all kafka://".into()));
        }
        Ok((first, seeds))
    }
}
