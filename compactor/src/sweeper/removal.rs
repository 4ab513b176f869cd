//! Deletes objects, each confirmed on its own. Knows nothing of why they may be deleted.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use object_store::{Error, ObjectStore, ObjectStoreExt, path::Path};
use tokio::time::timeout;

use super::counters::SweepCounters;

/// Deletions in flight at once.
const DELETES_IN_FLIGHT_MAX: usize = 8;

/// Deletes what `keys` name, and gives back those things whose object is certainly gone. A failure is counted and
/// left for another time.
pub(super) async fn delete<T: Send + 'static>(
    store: &Arc<dyn ObjectStore>,
    keys: Vec<(T, Path)>,
    deadline: Duration,
    counters: &SweepCounters,
) -> Vec<T> {
    let store = Arc::clone(store);
    let deletions = keys.into_iter().map(move |(thing, key)| {
        let store = Arc::clone(&store);
        async move { delete_one(&store, &key, deadline).await.then_some(thing) }
    });
    let mut deletions = stream::iter(deletions).buffer_unordered(DELETES_IN_FLIGHT_MAX);
    let mut gone = Vec::new();
    while let Some(done) = deletions.next().await {
        match done {
            Some(thing) => gone.push(thing),
            None => counters.deletion_failed(),
        }
    }
    gone
}

async fn delete_one(store: &Arc<dyn ObjectStore>, key: &Path, deadline: Duration) -> bool {
    let failure = match timeout(deadline, store.delete(key)).await {
        Ok(Ok(()) | Err(Error::NotFound { .. })) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {deadline:?}"),
    };
    tracing::debug!(%key, failure, "an object could not be deleted, it will be tried again");
    false
}
