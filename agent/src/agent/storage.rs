//! Opens what agents of one cluster share: the object store and the commit log. Knows URLs and engines; nothing of
//! what is stored.

use std::sync::Arc;

use ebb_metastore::log::{
    CommitLog, RetryConfig,
    bucket::{BucketLog, ProbeError, probe},
    memory::MemoryLog,
};
use ebb_protocol::ids::IdSource;
use ebb_segment::{
    counted::{CountedStore, RequestCounters},
    open::{OpenStoreError, open},
};
use object_store::ObjectStore;

use super::Environment;
use crate::config::{AgentConfig, CommitLogConfig};

/// Where the bytes are: an opened object store and commit log, which agents of one cluster share.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Segments and snapshots.
    pub store: Arc<dyn ObjectStore>,
    /// Order.
    pub log: Arc<dyn CommitLog>,
    /// Counts the requests to the store, when it is wrapped in a [`CountedStore`].
    pub requests: Option<Arc<RequestCounters>>,
}

/// Why the storage could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStorageError {
    /// The object store cannot be opened.
    #[error("{0}")]
    Store(#[from] OpenStoreError),
    /// The object store cannot keep a commit log.
    #[error("{0}")]
    Probe(#[from] ProbeError),
}

impl Storage {
    /// Opens the storage that the settings name. A bucket is asked once whether it can keep a commit log.
    ///
    /// # Errors
    /// [`OpenStorageError`] names the store and the remedy.
    pub async fn open(config: &AgentConfig, environment: &Environment) -> Result<Self, OpenStorageError> {
        let counted = CountedStore::new(open(&config.store)?);
        let requests = Some(counted.counters());
        let store: Arc<dyn ObjectStore> = Arc::new(counted);
        let log: Arc<dyn CommitLog> = match config.commit_log {
            CommitLogConfig::Memory => Arc::new(MemoryLog::new()),
            CommitLogConfig::Bucket => {
                let ids = IdSource::new(environment.clock.clone(), environment.random.fork());
                if !creates_exclusively(&config.store) {
                    probe(&store, &ids, &environment.random.fork()).await?;
                }
                Arc::new(BucketLog::new(store.clone(), environment.random.fork(), RetryConfig::default()))
            }
        };
        Ok(Self { store, log, requests })
    }
}

/// Whether creating an object is known to have one winner: the kernel sees to it in a directory, a lock in memory.
fn creates_exclusively(url: &str) -> bool {
    url.starts_with("file:") || url.starts_with("memory:")
}
