//! Deletes what was put for a foreign table that the table needs no more. Knows nothing of the catalog.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ebb_protocol::ids::TopicId;
use ebb_segment::key::{self, Day};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::time::timeout;

/// Objects that are deleted at once; what remains has time until the next day.
const DELETED_MAX: usize = 10_000;

/// How long the listing and the deletions may take.
const DEADLINE: Duration = Duration::from_secs(600);

/// Deletes what was put before yesterday, on none of the days that the table refers to; how many objects. Nothing of
/// today or yesterday: somebody may be about to commit it.
pub(super) async fn delete(
    store: &Arc<dyn ObjectStore>,
    topic: TopicId,
    needed: &BTreeSet<Day>,
    today: Day,
) -> object_store::Result<u64> {
    let work = async {
        let mut unneeded = Vec::new();
        let folder = key::mirror_folder(topic);
        let mut listing = store.list(Some(&folder));
        while let Some(object) = listing.try_next().await? {
            let put = key::mirror_day(object.location.as_ref(), topic);
            if put.is_some_and(|put| put.0.saturating_add(2) <= today.0 && !needed.contains(&put)) {
                unneeded.push(object.location);
            }
            if unneeded.len() == DELETED_MAX {
                break;
            }
        }
        for object in &unneeded {
            match store.delete(object).await {
                // Another process was quicker.
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(unneeded.len() as u64)
    };
    let late = |_| object_store::Error::Generic { store: "mirror", source: "it takes too long".into() };
    timeout(DEADLINE, work).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}
