//! An agent's life: start, run, ordered shutdown. Puts the parts together and knows nothing of what they do.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use ebb_metastore::{OpenError, log::CommitLog};
use ebb_protocol::{clock::SharedClock, random::Random};
use object_store::ObjectStore;

use crate::{broker::Broker, config::AgentConfig};

/// What an agent takes from the world besides its settings.
#[derive(Clone)]
pub struct Environment {
    /// The wall clock.
    pub clock: SharedClock,
    /// Randomness.
    pub random: Random,
}

/// Where the bytes are: an opened object store and commit log, which agents of one cluster share.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Segments and snapshots.
    pub store: Arc<dyn ObjectStore>,
    /// Order.
    pub log: Arc<dyn CommitLog>,
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
    /// The object store cannot be opened.
    #[error("{0}")]
    Store(String),
    /// The metastore cannot be opened.
    #[error("{0}")]
    Metastore(#[from] OpenError),
    /// The agent could not make itself known.
    #[error("the agent cannot register: {0}")]
    Register(String),
    /// A port is in use, or an address may not be bound.
    #[error("{0}")]
    Listen(String),
    /// The certificate or key cannot be used.
    #[error("{0}")]
    Tls(String),
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {}

impl Agent {
    /// Opens store and metastore, registers, and begins to listen.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(config: AgentConfig, environment: Environment) -> Result<Self, StartError> {
        todo!("{config:?} {}", environment.clock.now())
    }

    /// The same over storage that is open already, so that several agents in one process can share it.
    /// `config.store` and `config.commit_log` are not looked at.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start_on(
        storage: Storage,
        config: AgentConfig,
        environment: Environment,
    ) -> Result<Self, StartError> {
        todo!("{storage:?} {config:?} {}", environment.clock.now())
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        todo!()
    }

    /// Its broker.
    #[must_use]
    pub fn broker(&self) -> &Arc<Broker> {
        todo!()
    }

    /// Stops accepting, answers what is in flight, flushes and commits, takes itself out of the cluster, and closes.
    /// Takes at most 30 seconds.
    pub async fn shutdown(self) {
        todo!()
    }
}
