//! A compactor's membership: a process that only looks after objects has a replica of its own and writes entries under an
//! agent's id, and no client is ever sent to it. Knows nothing of what work there is.

use std::{sync::Arc, time::Duration};

use ebb_metastore::{
    Metastore, MetastoreConfig, OpenError, RegisterError, command::RegisterAgent, entry::ENTRY_VERSION,
    log::CommitLog,
};
use ebb_protocol::{
    clock::SharedClock,
    ids::{AgentId, IdSource},
    random::Random,
};
use object_store::ObjectStore;
use tokio::time::{sleep, timeout};

/// On shutdown, leaving the cluster and closing the metastore may take this long each.
const CLOSE_MAX: Duration = Duration::from_secs(4);

/// Why a compactor did not start.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The metastore cannot be opened.
    #[error("{0}")]
    Metastore(#[from] OpenError),
    /// The compactor could not make itself known.
    #[error("the compactor cannot register: {0}; check that the object store can be written")]
    Register(RegisterError),
}

/// A process that has joined the cluster to look after its objects. Dropping it stops its replica, as in a crash.
#[derive(Debug)]
pub struct Member {
    id: AgentId,
    metastore: Metastore,
}

impl Member {
    /// Opens the metastore and registers.
    ///
    /// # Errors
    /// [`JoinError`]; nothing is left running.
    pub async fn join(
        store: Arc<dyn ObjectStore>,
        log: Arc<dyn CommitLog>,
        clock: SharedClock,
        random: &Random,
    ) -> Result<Self, JoinError> {
        let ids = IdSource::new(clock.clone(), random.fork());
        let id = ids.agent();
        let config = MetastoreConfig::default();
        let metastore = Metastore::open(id, log, store, clock, ids, random.fork(), config).await?;
        let member = Self { id, metastore };
        if let Err(error) = member.register().await {
            member.metastore.shutdown().await;
            return Err(error);
        }
        Ok(member)
    }

    async fn register(&self) -> Result<(), JoinError> {
        let said = RegisterAgent {
            agent: self.id,
            kafka: None,
            quic: None,
            zone: String::new(),
            understands: ENTRY_VERSION.into(),
            host: None,
        };
        self.metastore.register(said).await.map_err(JoinError::Register)
    }

    /// The id under which it writes.
    #[must_use]
    pub fn id(&self) -> AgentId {
        self.id
    }

    /// Its replica.
    #[must_use]
    pub fn metastore(&self) -> &Metastore {
        &self.metastore
    }

    /// Looks at the log so often, for ever. Agents see what others do when they write or are asked; nobody asks a
    /// compactor, and one that has nothing to write would not see that there is something to do.
    pub async fn follow(&self, every: Duration) {
        loop {
            if let Err(error) = self.metastore.tail_check().await {
                tracing::info!(%error, "the log's tail cannot be looked at");
            }
            sleep(every).await;
        }
    }

    /// Resolves when it can work no longer: it was put out of the cluster, or its replica has stopped.
    pub async fn ousted(&self) {
        self.metastore.ousted(self.id).await;
    }

    /// Takes itself out of the cluster, so that nobody waits for what it had claimed, and closes.
    pub async fn leave(self) {
        let left = timeout(CLOSE_MAX, self.metastore.seal(self.id)).await.is_ok_and(|sealed| sealed.is_ok());
        let closed = timeout(CLOSE_MAX, self.metastore.shutdown()).await.is_ok();
        if !(left && closed) {
            tracing::warn!(left, closed, "the shutdown was cut short; nothing is lost");
        }
    }
}
