//! Opens what agents of one cluster share: the object store and the commit log. Knows URLs and engines; nothing of
//! what is stored.

use std::sync::Arc;

use ebb_metastore::log::{
    CommitLog, RetryConfig,
    bucket::{BucketLog, ProbeError, probe},
    memory::MemoryLog,
    store_clock::{self, ClockError},
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
    /// This machine's clock is wrong.
    #[error("{0}")]
    Clock(#[from] ClockError),
}

impl Storage {
    /// Opens the storage that the settings name. A bucket is asked once whether it can keep a commit log, and each
    /// time what time it is.
    ///
    /// # Errors
    /// [`OpenStorageError`] names the store and the remedy.
    pub async fn open(config: &AgentConfig, environment: &Environment) -> Result<Self, OpenStorageError> {
        let counted = CountedStore::new(open(&config.store)?);
        let requests = Some(counted.counters());
        let store: Arc<dyn ObjectStore> = Arc::new(counted);
        let is_local = is_local(&config.store);
        let log: Arc<dyn CommitLog> = match config.commit_log {
            CommitLogConfig::Memory => Arc::new(MemoryLog::new()),
            CommitLogConfig::Bucket => {
                let ids = IdSource::new(environment.clock.clone(), environment.random.fork());
                if !is_local {
                    probe(&store, &ids, &environment.random.fork()).await?;
                }
                Arc::new(BucketLog::new(store.clone(), environment.random.fork(), RetryConfig::default()))
            }
        };
        if !is_local {
            store_clock::check(&store, &environment.clock, &environment.random.fork()).await?;
        }
        Ok(Self { store, log, requests })
    }
}

/// Whether the store is this machine: creating an object has one winner, since the kernel sees to it in a directory and
/// a lock in memory, and its clock is the machine's.
fn is_local(url: &str) -> bool {
    url.starts_with("file:") || url.starts_with("memory:")
}
