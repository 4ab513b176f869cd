//! Puts the objects of projections into the store, each once a day. Knows nothing of what they hold.

use std::collections::BTreeSet;

use bytes::Bytes;
use ebb_segment::{
    key::Day,
    store::{SegmentStore, StoreError},
};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use parking_lot::Mutex;

/// Objects of one table that are put at once.
const AT_ONCE: usize = 32;

/// Objects of which is remembered that they were put. Past it, all is forgotten, and put again when asked for.
const REMEMBERED_MAX: usize = 100_000;

/// What was put on a day, the last one on which anything was.
#[derive(Debug, Default)]
pub(super) struct Puts(Mutex<(Option<Day>, BTreeSet<Path>)>);

impl Puts {
    /// Puts what was not put today.
    ///
    /// # Errors
    /// [`StoreError`]; some of the objects may be there all the same.
    pub(super) async fn put(
        &self,
        store: &SegmentStore,
        today: Day,
        objects: Vec<(Path, Bytes)>,
    ) -> Result<(), StoreError> {
        let missing: Vec<_> = {
            let mut put = self.0.lock();
            if put.0 != Some(today) {
                *put = (Some(today), BTreeSet::new());
            }
            objects.into_iter().filter(|(path, _)| !put.1.contains(path)).collect()
        };
        let puts = stream::iter(missing).map(|(path, bytes)| async move {
            store.put_object(&path, bytes.into()).await?;
            Ok::<_, StoreError>(path)
        });
        let done: Vec<_> = puts.buffer_unordered(AT_ONCE).try_collect().await?;
        let mut put = self.0.lock();
        if put.1.len() + done.len() > REMEMBERED_MAX {
            put.1.clear();
        }
        if put.0 == Some(today) {
            put.1.extend(done);
        }
        Ok(())
    }
}
