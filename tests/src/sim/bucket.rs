//! The bucket: strongly consistent, in memory, shared by all agents. What it has done is done; faults are the wire's.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ebb_metastore::{command::ObjectRef, entry::Entry};
use ebb_protocol::ids::{LogPosition, SegmentId};
use ebb_segment::key;
use futures::TryStreamExt;
use object_store::{
    GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutOptions, PutPayload, PutResult,
    Result, memory::InMemory, path::Path,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::witness::Witness;

/// The bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    objects: InMemory,
    witness: Arc<Witness>,
    /// What was written and deleted lately, for listings that are behind.
    changes: Mutex<Vec<(Instant, Path, Option<ObjectMeta>)>>,
}

impl Bucket {
    pub(super) fn new(witness: Arc<Witness>) -> Self {
        Self { objects: InMemory::new(), witness, changes: Mutex::default() }
    }

    pub(super) async fn put(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let bytes = joined(&payload);
        let done = match self.objects.put_opts(at, payload, options).await {
            Ok(done) => done,
            Err(error) => {
                if position(at).is_some() {
                    self.raced(at, &bytes).await;
                }
                return Err(error);
            }
        };
        self.changes.lock().push((Instant::now(), at.clone(), None));
        if let Some(position) = position(at) {
            self.witness.entry(position, &bytes);
        }
        if let Some(segment) = key::parse(at) {
            self.witness.segment(segment, &bytes);
        }
        Ok(done)
    }

    /// A position was taken. Notes it when another agent has taken it.
    async fn raced(&self, at: &Path, bytes: &Bytes) {
        let Ok(standing) = self.objects.get(at).await else { return };
        let standing = standing.bytes().await.unwrap_or_default();
        let author = |bytes: &[u8]| Entry::decode(bytes).map(|(entry, _)| entry.agent).ok();
        if author(&standing) != author(bytes) {
            self.witness.raced();
        }
    }

    pub(super) async fn get(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.objects.get_opts(at, options).await
    }

    pub(super) async fn delete(&self, at: &Path) -> Result<()> {
        let meta = self.objects.head(at).await?;
        if let Some(position) = position(at) {
            self.witness.deleted(ObjectRef::Entry(position));
        }
        if let Some(segment) = key::parse(at) {
            self.witness.deleted(ObjectRef::Segment(segment));
        }
        if let Some((_, archive)) = key::parse_archive(at) {
            self.witness.deleted(ObjectRef::Archive(archive));
        }
        self.changes.lock().push((Instant::now(), at.clone(), Some(meta)));
        self.objects.delete(at).await
    }

    /// Lists what was there `behind` ago.
    pub(super) async fn list(&self, prefix: Option<&Path>, behind: Duration) -> Result<Vec<ObjectMeta>> {
        let mut found: Vec<_> = self.objects.list(prefix).try_collect().await?;
        let below = |at: &Path| prefix.is_none_or(|prefix| at.prefix_matches(prefix));
        let mut changes = self.changes.lock();
        let then = Instant::now().checked_sub(behind);
        for (_, at, deleted) in changes.iter().rev().take_while(|(when, ..)| Some(*when) > then) {
            match deleted {
                None => found.retain(|meta| meta.location != *at),
                Some(meta) if below(at) => found.push(meta.clone()),
                Some(_) => {}
            }
        }
        let keep = changes.len().saturating_sub(1_000);
        changes.drain(..keep);
        found.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }

    /// The segments that are there.
    pub(super) async fn segments(&self) -> Vec<SegmentId> {
        let prefix = Path::from(key::PREFIX);
        let found: Vec<_> = self.objects.list(Some(&prefix)).try_collect().await.unwrap_or_default();
        found.iter().filter_map(|meta| key::parse(&meta.location)).collect()
    }

    /// How large an object is, if it is there.
    pub(super) async fn size(&self, at: &Path) -> Option<u64> {
        self.objects.head(at).await.ok().map(|meta| meta.size)
    }
}

fn joined(payload: &PutPayload) -> Bytes {
    let mut bytes = BytesMut::with_capacity(payload.content_length());
    payload.iter().for_each(|piece| bytes.extend_from_slice(piece));
    bytes.freeze()
}

/// The position of the commit log that a key names.
pub(super) fn position(at: &Path) -> Option<LogPosition> {
    at.as_ref().strip_prefix("log/")?.parse().ok().map(LogPosition)
}
