//! What the broker's unit tests share: batches, segments, and a slow bucket that counts.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ebb_metastore::command::ObjectRef;
use ebb_protocol::{
    batch::{BatchBuilder, Compression, RecordBatch},
    ids::{ClusterId, PartitionIndex, SegmentId, Timestamp, TopicId},
    random::Random,
};
use ebb_segment::{
    counted::CountedStore,
    format::{self, Segment},
    key,
    store::{SegmentStore, StoreConfig},
};
use object_store::{
    ObjectStore, ObjectStoreExt, PutPayload,
    memory::InMemory,
    path::Path,
    throttle::{ThrottleConfig, ThrottledStore},
};
use uuid::Uuid;

use super::cache::{BlockLimits, Blocks, PlainCache, Warmer};

pub(super) const CLUSTER: ClusterId = ClusterId(1);
pub(super) const TOPIC: TopicId = TopicId(Uuid::from_u128(5));
pub(super) const PARTITION: PartitionIndex = PartitionIndex(0);

/// Blocks are small, so that most batches of a test lie in several.
pub(super) const BLOCK_BYTES: u64 = 1024;

/// How long the bucket takes to answer a GET.
pub(super) const GET_DELAY: Duration = Duration::from_millis(10);

/// A batch of records with these timestamps; each record's value is `value_bytes` long.
pub(super) fn batch(timestamps: &[i64], value_bytes: usize) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for timestamp in timestamps {
        let value = vec![b'v'; value_bytes];
        builder.append(Timestamp(*timestamp), None, Some(&value), &[]).expect("a small record");
    }
    builder.finish(Compression::None, None).expect("a batch")
}

/// A segment of one partition with a batch of one record for each value length.
pub(super) fn segment(id: SegmentId, value_bytes: &[usize]) -> Segment {
    let batches: Vec<_> =
        value_bytes.iter().map(|bytes| (TOPIC, PARTITION, batch(&[1_000], *bytes))).collect();
    format::build(CLUSTER, id, &batches).0
}

/// A bucket in memory whose GETs take [`GET_DELAY`] of the paused clock.
#[derive(Debug)]
pub(super) struct Bucket {
    inner: Arc<CountedStore>,
}

impl Bucket {
    pub(super) fn new() -> Self {
        let config = ThrottleConfig { wait_get_per_call: GET_DELAY, ..ThrottleConfig::default() };
        let throttled = ThrottledStore::new(InMemory::new(), config);
        Self { inner: Arc::new(CountedStore::new(Arc::new(throttled))) }
    }

    pub(super) fn objects(&self) -> Arc<dyn ObjectStore> {
        self.inner.clone()
    }

    pub(super) fn store(&self) -> SegmentStore {
        SegmentStore::new(self.objects(), Random::from_seed(1), StoreConfig::default())
    }

    /// Puts a segment and gives its bytes.
    pub(super) async fn put(&self, segment: &Segment) -> Bytes {
        self.put_at(&key::of(segment.id), segment).await
    }

    pub(super) async fn put_at(&self, path: &Path, segment: &Segment) -> Bytes {
        let bytes: BytesMut = segment.pieces.iter().flatten().copied().collect();
        let bytes = bytes.freeze();
        self.inner.put(path, PutPayload::from_bytes(bytes.clone())).await.expect("a put in memory");
        bytes
    }

    /// Blocks over the bucket, and the cache they are kept in.
    pub(super) fn blocks(&self) -> (Blocks, Arc<PlainCache>) {
        let limits = BlockLimits { block_bytes: BLOCK_BYTES, tail_gets_max: 4, replay_gets_max: 1 };
        let locate = Box::new(|object: ObjectRef| match object {
            ObjectRef::Segment(segment) => Some(key::of(segment)),
            ObjectRef::Entry(_) => None,
        });
        let cache = Arc::new(PlainCache::new(1 << 20));
        (Blocks::new(CLUSTER, cache.clone(), self.store(), locate, limits), cache)
    }

    pub(super) fn warmer(&self, cache: Arc<PlainCache>) -> Warmer {
        Warmer::new(cache, BLOCK_BYTES)
    }

    pub(super) fn gets(&self) -> u64 {
        self.inner.counters().counts().gets
    }
}
