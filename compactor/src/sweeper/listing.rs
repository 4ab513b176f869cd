//! Lists what is swept in one slice of the bucket, slowly. Knows nothing of the state.

use std::sync::Arc;

use ebb_segment::key;
use futures::StreamExt;
use object_store::{ObjectMeta, ObjectStore, path::Path};
use tokio::time::{sleep, timeout};

use super::{SweepError, SweeperConfig};

/// Segments lie under this many prefixes; each is a slice.
const SEGMENT_SLICES: u16 = 256;

/// The archive is one slice: its files are large, so they are few.
const ARCHIVE_SLICE: u16 = SEGMENT_SLICES;

/// All slices. The last one is what the catalog puts for readers of Iceberg, nothing where nobody asks it.
pub(super) const SLICES: u16 = SEGMENT_SLICES + 2;

/// Objects that stores send for one request of a listing.
const PAGE_OBJECTS: usize = 1_000;

/// Lists one slice and hands it over page by page.
pub(super) async fn list(
    store: &Arc<dyn ObjectStore>,
    slice: u16,
    config: &SweeperConfig,
    mut take: impl FnMut(Vec<ObjectMeta>) + Send,
) -> Result<(), SweepError> {
    let prefix = match slice {
        0..SEGMENT_SLICES => Path::from(format!("{}/{slice:02x}", key::PREFIX)),
        ARCHIVE_SLICE => Path::from(key::ARCHIVE_PREFIX),
        _ => Path::from(key::ICEBERG_PREFIX),
    };
    let mut listing = store.list(Some(&prefix));
    let mut page = Vec::new();
    loop {
        let next = timeout(config.request_deadline, listing.next()).await;
        match next.map_err(|_| SweepError::TimedOut(config.request_deadline))? {
            Some(object) => page.push(object?),
            None => break,
        }
        if page.len() == PAGE_OBJECTS {
            take(std::mem::take(&mut page));
            sleep(config.listing_pause).await;
        }
    }
    take(page);
    sleep(config.listing_pause).await;
    Ok(())
}
