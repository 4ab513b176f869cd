//! Reads the objects of a window into memory, each once. Knows nothing of what is in them.

use std::collections::{BTreeMap, BTreeSet};

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
    objects: BTreeMap<ObjectRef, Source>,
    /// Objects that were read twice.
    again: BTreeSet<ObjectRef>,
}

/// The bytes of an object, as far as they are needed; or why the store does not have them.
type Source = Result<(ByteRange, Bytes), StoreError>;

impl<'a> Sources<'a> {
    /// Reads the objects to which rows refer, each with one request. One that is missing or damaged costs its own rows.
    ///
    /// # Errors
    /// [`RewriteError::Source`] when the store does not answer.
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
        let (objects, again) = (BTreeMap::new(), BTreeSet::new());
        let mut sources = Self { metastore, store, requests, objects, again };
        let get = |(object, range)| sources.get(object, range);
        let gets: Vec<_> = wanted.into_iter().map(get).collect();
        let read = stream::iter(gets).buffer_unordered(in_flight_max.max(1)).try_collect().await?;
        sources.objects = read;
        Ok(sources)
    }

    /// Reads an object once more, but not a third time: its bytes were found to be damaged.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) async fn read_again(&mut self, object: ObjectRef) -> Result<(), RewriteError> {
        let Some(Ok((range, _))) = self.objects.get(&object) else { return Ok(()) };
        let range = *range;
        if self.again.insert(object) {
            let (object, found) = self.get(object, range).await?;
            self.objects.insert(object, found);
        }
        Ok(())
    }

    async fn get(&self, object: ObjectRef, range: ByteRange) -> Result<(ObjectRef, Source), RewriteError> {
        let found = match locate(self.metastore, object) {
            Ok(key) => {
                self.requests.turn().await;
                self.store.get(&key, range).await
            }
            Err(error) => Err(error),
        };
        match found {
            Err(error) if !matches!(error, StoreError::Missing(_) | StoreError::Damaged(..)) => {
                Err(RewriteError::Source { object, error })
            }
            found => Ok((object, found.map(|bytes| (range, bytes)))),
        }
    }

    /// The bytes of a row.
    ///
    /// # Errors
    /// [`RewriteError::Source`] and [`RewriteError::Damaged`].
    pub(super) fn bytes(&self, row: &BatchCoordinates) -> Result<Bytes, RewriteError> {
        let bytes = match self.objects.get(&row.object) {
            Some(Ok((range, bytes))) => cut(*range, bytes, row.range),
            Some(Err(error)) => {
                return Err(RewriteError::Source { object: row.object, error: error.clone() });
            }
            None => None,
        };
        bytes.ok_or_else(|| RewriteError::Damaged {
            object: row.object,
            range: row.range,
            why: "it ends before its records do".to_owned(),
        })
    }
}

/// The part of some bytes, which begin at `held.start` of an object, that lies at `wanted` of it.
fn cut(held: ByteRange, bytes: &Bytes, wanted: ByteRange) -> Option<Bytes> {
    let from = usize::try_from(wanted.start.checked_sub(held.start)?).ok()?;
    let to = from.checked_add(usize::try_from(wanted.len).ok()?)?;
    (to <= bytes.len()).then(|| bytes.slice(from..to))
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
