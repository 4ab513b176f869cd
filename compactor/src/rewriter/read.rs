//! Reads the objects of a window into memory, each once. Knows nothing of what is in them.

use std::collections::BTreeMap;

use bytes::Bytes;
use ebb_metastore::{Metastore, command::ObjectRef, state::BatchCoordinates};
use ebb_protocol::ids::ByteRange;
use ebb_segment::{
    key,
    store::{SegmentStore, StoreError},
};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use super::{error::RewriteError, pace::RequestPace};

/// The bytes of the objects of a window, as far as coordinates refer to them.
pub(super) struct Sources<'a> {
    metastore: &'a Metastore,
    store: &'a SegmentStore,
    requests: &'a RequestPace,
    objects: BTreeMap<ObjectRef, (ByteRange, Bytes)>,
}

impl<'a> Sources<'a> {
    /// Reads the objects to which rows refer, each with one request.
    pub(super) async fn read(
        rows: impl Iterator<Item = &BatchCoordinates>,
        metastore: &'a Metastore,
        store: &'a SegmentStore,
        requests: &'a RequestPace,
        in_flight_max: usize,
    ) -> Result<Self, RewriteError> {
        let mut wanted: BTreeMap<ObjectRef, ByteRange> = BTreeMap::new();
        for row in rows {
            wanted
                .entry(row.object)
                .and_modify(|range| *range = around(*range, row.range))
                .or_insert(row.range);
        }
        let mut sources = Self { metastore, store, requests, objects: BTreeMap::new() };
        let get = |(object, range)| sources.get(object, range);
        let gets: Vec<_> = wanted.into_iter().map(get).collect();
        let read = stream::iter(gets).buffer_unordered(in_flight_max.max(1)).try_collect().await?;
        sources.objects = read;
        Ok(sources)
    }

    /// Reads an object once more: its bytes were found to be damaged.
    pub(super) async fn read_again(&mut self, object: ObjectRef) -> Result<(), RewriteError> {
        let Some((range, _)) = self.objects.get(&object) else { return Ok(()) };
        let (object, found) = self.get(object, *range).await?;
        self.objects.insert(object, found);
        Ok(())
    }

    async fn get(
        &self,
        object: ObjectRef,
        range: ByteRange,
    ) -> Result<(ObjectRef, (ByteRange, Bytes)), RewriteError> {
        let failed = |error| RewriteError::Source { object, error };
        let key = locate(self.metastore, object).map_err(failed)?;
        self.requests.turn().await;
        let bytes = self.store.get(&key, range).await.map_err(failed)?;
        Ok((object, (range, bytes)))
    }

    /// The bytes of a row.
    pub(super) fn bytes(&self, row: &BatchCoordinates) -> Result<Bytes, RewriteError> {
        let bytes = self.objects.get(&row.object).and_then(|(range, bytes)| {
            let from = usize::try_from(row.range.start.checked_sub(range.start)?).ok()?;
            let to = from.checked_add(usize::try_from(row.range.len).ok()?)?;
            (to <= bytes.len()).then(|| bytes.slice(from..to))
        });
        bytes.ok_or_else(|| RewriteError::Damaged {
            object: row.object,
            range: row.range,
            why: "it ends before its records do".to_owned(),
        })
    }
}

fn locate(metastore: &Metastore, object: ObjectRef) -> Result<Path, StoreError> {
    let key = match object {
        ObjectRef::Segment(id) => Some(key::of(id)),
        ObjectRef::Entry(position) => metastore.entry_object(position),
        ObjectRef::Archive(_) => None,
    };
    key.ok_or_else(|| StoreError::Missing(format!("{object:?}")))
}

/// The smallest range that holds both.
fn around(a: ByteRange, b: ByteRange) -> ByteRange {
    let start = a.start.min(b.start);
    ByteRange { start, len: a.end().max(b.end()) - start }
}
