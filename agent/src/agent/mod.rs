//! An agent's life: start, run, ordered shutdown. Puts the parts together and knows nothing of what they do.

mod storage;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use ebb_metastore::{
    Metastore, OpenError, RegisterError,
    command::{Endpoint, RegisterAgent},
    entry::ENTRY_VERSION,
    state::State,
};
use ebb_protocol::{
    clock::SharedClock,
    ids::{AgentId, IdSource},
    random::Random,
};
use ebb_segment::{counted::RequestCounters, open, store::SegmentStore};
use object_store::ObjectStore;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

pub use self::storage::{OpenStorageError, Storage};
use crate::{
    broker::{Broker, cache::FoyerCache},
    config::{AgentConfig, ListenerConfig, TlsConfig},
    connection::{Peer, Shared, serve},
    groups::Groups,
    handlers::Handlers,
    http,
    iceberg::Catalog,
    listen::{
        ListenError, quic, tcp,
        tls::{self, TlsError},
    },
    metrics::{Figures, Metrics, Transport},
    peers::{Dial, Peers},
};

/// On shutdown, what was taken in must be durable within this time.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// On shutdown, leaving the cluster and closing the metastore may take this long each.
const CLOSE_MAX: Duration = Duration::from_secs(4);

/// What an agent takes from the world besides its settings.
#[derive(Clone)]
pub struct Environment {
    /// The wall clock.
    pub clock: SharedClock,
    /// Randomness.
    pub random: Random,
}

/// Where an agent listens: the addresses bound, ports filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Kafka over TCP.
    pub kafka: Option<SocketAddr>,
    /// QUIC.
    pub quic: Option<SocketAddr>,
    /// Health and metrics over HTTP.
    pub http: Option<SocketAddr>,
    /// The certificate in PEM that QUIC clients may trust, when it was made by the agent itself.
    pub development_certificate: Option<PathBuf>,
}

/// Why an agent did not start. Every message names the thing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The object store or the commit log cannot be opened.
    #[error("{0}")]
    Storage(#[from] OpenStorageError),
    /// The metastore cannot be opened.
    #[error("{0}")]
    Metastore(#[from] OpenError),
    /// The agent could not make itself known.
    #[error("the agent cannot register: {0}; check that the object store can be written")]
    Register(RegisterError),
    /// A port is in use, or an address may not be bound.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// The certificate or key cannot be used.
    #[error("{0}")]
    Tls(#[from] TlsError),
}

/// A running agent. Dropping it stops it at once, as in a crash; [`Agent::shutdown`] is the orderly way.
#[derive(Debug)]
pub struct Agent {
    id: AgentId,
    addresses: Addresses,
    broker: Arc<Broker>,
    store: Arc<dyn ObjectStore>,
    metrics: Arc<Metrics>,
    handlers: Arc<Handlers>,
    shared: Arc<Shared>,
    http_tasks: TaskTracker,
    http_stopped: CancellationToken,
    _abort_on_drop: [DropGuard; 2],
}

/// Bound sockets that nobody serves yet.
struct Listeners {
    kafka: Option<TcpListener>,
    quic: Option<quinn::Endpoint>,
    http: Option<TcpListener>,
}

impl Agent {
    /// Opens store and metastore, registers, and begins to listen.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(config: AgentConfig, environment: Environment) -> Result<Self, StartError> {
        // Sockets first: a port that is in use costs no request.
        let listeners = Listeners::bind(&config)?;
        let storage = Storage::open(&config, &environment).await?;
        Self::assemble(listeners, storage, config, environment).await
    }

    /// The same over storage that is open already, so that several agents in one process can share it.
    /// `config.commit_log` is not looked at, and `config.store` is only told to readers of Iceberg.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start_on(
        storage: Storage,
        config: AgentConfig,
        environment: Environment,
    ) -> Result<Self, StartError> {
        Self::assemble(Listeners::bind(&config)?, storage, config, environment).await
    }

    async fn assemble(
        listeners: Listeners,
        storage: Storage,
        config: AgentConfig,
        environment: Environment,
    ) -> Result<Self, StartError> {
        let Environment { clock, random } = environment;
        let addresses = listeners.addresses(&config)?;
        let ids = IdSource::new(clock.clone(), random.fork());
        let id = ids.agent();
        let registration = registration(id, &addresses, &config)?;
        let metastore = Metastore::open(
            id,
            storage.log,
            storage.store.clone(),
            clock.clone(),
            ids.clone(),
            random.fork(),
            config.metastore.clone(),
        )
        .await?;
        if let Err(error) = metastore.register(registration).await {
            metastore.shutdown().await;
            return Err(StartError::Register(error));
        }
        let cluster = metastore.read(State::cluster);
        let cluster = cluster.expect("opening the metastore founds the cluster");
        let segments = SegmentStore::new(storage.store.clone(), random.fork(), config.store_requests.clone());
        let cache = Arc::new(FoyerCache::open(cluster, &config.broker).await);
        let settings = open::reader_settings(&config.store);
        let catalog =
            Catalog::new(metastore.clone(), segments.clone(), &config.store, settings, clock.clone());
        let broker = Broker::new(cluster, metastore, segments, cache, clock, ids, config.broker.clone());
        let storage = (storage.store, storage.requests);
        Ok(Self::serve(id, listeners, addresses, (broker, catalog), storage, config))
    }

    fn serve(
        id: AgentId,
        listeners: Listeners,
        addresses: Addresses,
        (broker, catalog): (Arc<Broker>, Catalog),
        (store, requests): (Arc<dyn ObjectStore>, Option<Arc<RequestCounters>>),
        config: AgentConfig,
    ) -> Self {
        let (draining, metrics) = (CancellationToken::new(), Arc::new(Metrics::default()));
        let shared = Arc::new(Shared::new(config.limits, metrics.clone(), draining.clone()));
        let metastore = || broker.metastore().clone();
        let aborting = || shared.aborting.clone();
        let (ids, bytes_max) = (broker.ids().clone(), shared.limits.groups_bytes_max);
        let groups = Groups::new(id, metastore(), ids, config.groups, bytes_max, aborting());
        let peers = Peers::new(id, metastore(), Arc::new(Dial), aborting());
        metrics.add(groups.clone());
        shared.spawn(groups.clone().run(draining.clone()));
        let handlers = |transport| {
            Arc::new(Handlers {
                broker: broker.clone(),
                groups: groups.clone(),
                peers: peers.clone(),
                agent: id,
                transport,
                topics: config.topics.clone(),
                metrics: metrics.clone(),
                draining: draining.clone(),
            })
        };
        let kafka = handlers(Transport::Kafka);
        if let Some(listener) = listeners.kafka {
            shared.spawn(tcp::run(listener, Arc::new(kafka.clone()), shared.clone()));
        }
        if let Some(endpoint) = listeners.quic {
            let quic = Arc::new(handlers(Transport::Quic));
            shared.spawn(quic::run(endpoint, quic, shared.clone()));
        }
        let (http_tasks, http_stopped) = (TaskTracker::new(), CancellationToken::new());
        if let Some(listener) = listeners.http {
            let (broker, metrics) = (broker.clone(), metrics.clone());
            let pages = http::AgentPages { agent: id, broker, metrics, requests, draining, catalog };
            let run = http::run(listener, Arc::new(pages), http_tasks.clone(), http_stopped.clone());
            http_tasks.spawn(run);
        }
        let abort_on_drop = [shared.aborting.clone().drop_guard(), http_stopped.clone().drop_guard()];
        Self {
            id,
            addresses,
            broker,
            store,
            metrics,
            handlers: kafka,
            shared,
            http_tasks,
            http_stopped,
            _abort_on_drop: abort_on_drop,
        }
    }

    /// Serves one connection over a stream that the caller has opened, as if it had come over TCP: for tests, which
    /// need no socket. Returns when the peer has finished and is answered, breaks a rule, or the agent goes down.
    pub async fn serve_stream(&self, stream: impl AsyncRead + AsyncWrite + Send) {
        let (reader, writer) = tokio::io::split(stream);
        let peer = Peer { transport: Transport::Kafka, address: Ipv4Addr::LOCALHOST.into() };
        let served = async {
            tokio::select! {
                biased;
                () = self.shared.aborting.cancelled() => Ok(()),
                served = serve(reader, writer, peer, &self.handlers, &self.shared) => served,
            }
        };
        if let Err(error) = self.shared.tasks.track_future(served).await {
            tracing::info!(%error, "connection closed");
        }
    }

    /// The id of its run.
    #[must_use]
    pub fn id(&self) -> AgentId {
        self.id
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Its broker.
    #[must_use]
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// The object store that it works on, for its neighbours in this process; their requests are counted with its own.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Puts the figures of a neighbour on the metrics page.
    pub fn add_figures(&self, neighbour: Arc<dyn Figures>) {
        self.metrics.add(neighbour);
    }

    /// Resolves when this agent can serve no longer: another one has put it out of the cluster, or its replica has
    /// stopped. The process should then shut down, and may start again under a new id.
    pub async fn ousted(&self) {
        self.broker.metastore().ousted(self.id).await;
    }

    /// Stops accepting, answers what is in flight, flushes and commits, takes itself out of the cluster, and closes.
    /// Takes at most 30 seconds.
    pub async fn shutdown(self) {
        self.shared.draining.cancel();
        self.shared.tasks.close();
        if timeout(self.shared.limits.drain_max, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("requests were still in flight when the time to drain was over");
            self.shared.aborting.cancel();
        }
        let flushed = timeout(FLUSH_MAX, self.broker.drain()).await.is_ok();
        let left = timeout(CLOSE_MAX, self.broker.metastore().seal(self.id)).await;
        let left = left.is_ok_and(|sealed| sealed.is_ok());
        let closed = timeout(CLOSE_MAX, self.broker.shutdown()).await.is_ok();
        if !(flushed && left && closed) {
            tracing::warn!(flushed, left, closed, "the shutdown was cut short; nothing acknowledged is lost");
        }
        self.http_stopped.cancel();
        self.http_tasks.close();
        self.http_tasks.wait().await;
    }
}

impl Listeners {
    fn bind(config: &AgentConfig) -> Result<Self, StartError> {
        let kafka =
            config.kafka.as_ref().map(|kafka| tcp::bind(kafka, config.insecure_plaintext)).transpose()?;
        let quic = match &config.quic {
            Some(listener) => {
                let tls = tls::load(&config.tls)?;
                Some(quic::bind(listener, &tls, &config.limits)?)
            }
            None => None,
        };
        let http = config.http.map(http::bind).transpose()?;
        Ok(Self { kafka, quic, http })
    }

    fn addresses(&self, config: &AgentConfig) -> Result<Addresses, ListenError> {
        let tcp = |listener: &TcpListener| listener.local_addr().map_err(ListenError::Socket);
        let own = match &config.tls {
            TlsConfig::Development { directory } if self.quic.is_some() => {
                Some(directory.join(tls::DEV_CERTIFICATE))
            }
            _ => None,
        };
        Ok(Addresses {
            kafka: self.kafka.as_ref().map(tcp).transpose()?,
            quic: self
                .quic
                .as_ref()
                .map(|quic| quic.local_addr().map_err(ListenError::Socket))
                .transpose()?,
            http: self.http.as_ref().map(tcp).transpose()?,
            development_certificate: own,
        })
    }
}

/// What the agent says of itself.
fn registration(id: AgentId, bound: &Addresses, config: &AgentConfig) -> Result<RegisterAgent, ListenError> {
    Ok(RegisterAgent {
        agent: id,
        kafka: advertised(bound.kafka, config.kafka.as_ref())?,
        quic: advertised(bound.quic, config.quic.as_ref())?,
        zone: config.zone.clone(),
        understands: ENTRY_VERSION.into(),
        host: config.host,
    })
}

/// What clients are told to dial.
fn advertised(
    bound: Option<SocketAddr>,
    config: Option<&ListenerConfig>,
) -> Result<Option<Endpoint>, ListenError> {
    match (bound, config.and_then(|config| config.advertised.clone())) {
        (Some(_), Some(advertised)) => Ok(Some(advertised)),
        (Some(bound), None) if bound.ip().is_unspecified() => Err(ListenError::Unadvertised(bound)),
        (Some(bound), None) => Ok(Some(Endpoint { host: bound.ip().to_string(), port: bound.port() })),
        (None, _) => Ok(None),
    }
}
