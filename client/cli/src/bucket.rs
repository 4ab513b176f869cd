//! A bucket as the tools open it that look at the store itself, whether or not an agent runs. Changes nothing in it.

use std::sync::Arc;

use ebb_metastore::{
    load,
    log::{CommitLog, RetryConfig, bucket::BucketLog},
    state::State,
};
use ebb_protocol::random::Random;
use object_store::ObjectStore;

use crate::{agent::existing_store, args::Bucket, output::Failure};

impl Bucket {
    /// The store's URL. A data directory has to be there.
    pub(crate) fn url(&self) -> Result<String, Failure> {
        self.store.clone().map_or_else(|| existing_store(&self.data_dir), Ok)
    }
}

/// A bucket, its commit log, and the metastore's state in it as it is now.
pub(crate) struct Opened {
    pub(crate) url: String,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) log: Arc<dyn CommitLog>,
    pub(crate) state: State,
}

impl Opened {
    pub(crate) async fn open(bucket: &Bucket) -> Result<Self, Failure> {
        let url = bucket.url()?;
        let store = ebb_segment::open::open(&url).map_err(Failure::new)?;
        let random = Random::from_os();
        let log: Arc<dyn CommitLog> =
            Arc::new(BucketLog::new(store.clone(), random.clone(), RetryConfig::default()));
        let state = load(&log, store.clone(), random).await.map_err(Failure::with(&url))?;
        let state = state.ok_or_else(|| Failure::new(format!("{url}: no cluster is there")))?;
        Ok(Self { url, store, log, state })
    }
}
