//! Blocks of objects: from the cache, or from the store with one GET however many readers want a block at once.
//! Knows nothing of batches; what a block's bytes mean is its readers' affair.

use ebb_protocol::planted::{Bug, is_planted};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use ebb_metastore::{Metastore, command::ObjectRef};
use ebb_protocol::ids::{ByteRange, ClusterId, LogPosition};
use ebb_segment::{
    key,
    store::{SegmentStore, StoreError},
};
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{self, BoxFuture, Shared, WeakShared},
    stream,
};
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{BlockCache, BlockKey, counters::ReadCounters, header};

/// Blocks that may be read ahead at once. When more are wanted, they are read when they are asked for.
const READ_AHEAD_BLOCKS_MAX: usize = 16;

/// Blocks that lie next to each other and are read ahead by one GET.
const READ_AHEAD_GET_BLOCKS_MAX: usize = 4;

/// Blocks of one range that are asked for at once.
const BLOCKS_AT_ONCE: usize = 4;

/// Which limit a GET counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Lane {
    /// Readers close to the tail.
    Tail,
    /// Readers far behind, and reading ahead.
    Replay,
}

/// Where a reader's bytes come from.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Source {
    pub(in crate::broker) lane: Lane,
    /// From the store, whatever the cache says: its bytes were found to be damaged.
    pub(in crate::broker) again: bool,
}

/// Names the key of an object in the store; `None` for an object that this cluster can not have.
pub(in crate::broker) type Locate = Box<dyn Fn(ObjectRef) -> Option<Path> + Send + Sync>;

/// Finds segments by their ids, entries by the commit log, and archive files by the state, which knows their topics.
pub(in crate::broker) fn locate(metastore: Metastore) -> Locate {
    Box::new(move |object| match object {
        ObjectRef::Segment(segment) => Some(key::of(segment)),
        ObjectRef::Entry(position) => metastore.entry_object(position),
        ObjectRef::Archive(archive) => {
            let topic = metastore.read(|state| state.archive_file(archive).map(|(topic, _)| topic));
            topic.map(|topic| key::archive_key(topic, archive))
        }
    })
}

/// Sizes and limits of [`Blocks`].
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct BlockLimits {
    /// Bytes of a block; only an object's last one is shorter.
    pub(in crate::broker) block_bytes: u64,
    /// GETs in flight for [`Lane::Tail`].
    pub(in crate::broker) tail_gets_max: usize,
    /// GETs in flight for [`Lane::Replay`].
    pub(in crate::broker) replay_gets_max: usize,
}

/// A cheap handle on the blocks of all objects.
#[derive(Clone)]
pub(in crate::broker) struct Blocks {
    inner: Arc<Inner>,
}

struct Inner {
    cluster: ClusterId,
    cache: Arc<dyn BlockCache>,
    store: SegmentStore,
    locate: Locate,
    block_bytes: u64,
    tail: Semaphore,
    replay: Semaphore,
    ahead: Arc<Semaphore>,
    in_flight: Mutex<InFlightMap>,
    fetches: AtomicU64,
    counters: ReadCounters,
}

type FetchResult = Result<Bytes, StoreError>;
type Fetch = Shared<BoxFuture<'static, FetchResult>>;
type WeakFetch = WeakShared<BoxFuture<'static, FetchResult>>;
/// The reads that are under way, each with its number. No fetch may be dropped while this is locked.
type InFlightMap = BTreeMap<BlockKey, (u64, WeakFetch)>;

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("cache", &self.inner.cache).finish_non_exhaustive()
    }
}

impl Blocks {
    pub(in crate::broker) fn new(
        cluster: ClusterId,
        cache: Arc<dyn BlockCache>,
        store: SegmentStore,
        locate: Locate,
        limits: BlockLimits,
    ) -> Self {
        let inner = Inner {
            cluster,
            cache,
            store,
            locate,
            block_bytes: limits.block_bytes.max(1),
            tail: Semaphore::new(limits.tail_gets_max.max(1)),
            replay: Semaphore::new(limits.replay_gets_max.max(1)),
            ahead: Arc::new(Semaphore::new(READ_AHEAD_BLOCKS_MAX)),
            in_flight: Mutex::default(),
            fetches: AtomicU64::new(0),
            counters: ReadCounters::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(in crate::broker) fn counters(&self) -> &ReadCounters {
        &self.inner.counters
    }

    /// The bytes of a range, in order, as slices of the blocks that hold them.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Damaged`] when the object ends before the range does.
    pub(in crate::broker) async fn read(
        &self,
        object: ObjectRef,
        range: ByteRange,
        source: Source,
    ) -> Result<Vec<Bytes>, StoreError> {
        let block_bytes = self.inner.block_bytes;
        stream::iter(self.keys(object, range))
            .map(|key| async move {
                let block = if source.again {
                    self.get_again(key, source.lane).await?
                } else {
                    self.get(key, source.lane).await?
                };
                let start = u64::from(key.index) * block_bytes;
                let (from, to) = (range.start.saturating_sub(start), (range.end() - start).min(block_bytes));
                slice(&block, from, to).ok_or_else(|| ends_early(object, range))
            })
            .buffered(BLOCKS_AT_ONCE)
            .try_collect()
            .await
    }

    /// The keys of the blocks that hold a range, in order.
    fn keys(&self, object: ObjectRef, range: ByteRange) -> impl Iterator<Item = BlockKey> + use<> {
        let first = index_of(range.start, self.inner.block_bytes);
        let after = range.end().div_ceil(self.inner.block_bytes);
        let after = u32::try_from(after).unwrap_or(u32::MAX);
        (first..after).map(move |index| BlockKey { object, index })
    }

    /// A block: from the cache, else from the store. It is short only where its object ends.
    async fn get(&self, key: BlockKey, lane: Lane) -> FetchResult {
        if let Some(block) = self.inner.cache.get(cached(key)).await {
            self.inner.counters.hit();
            return Ok(block);
        }
        self.fetch(key, lane, true).await
    }

    /// A block from the store, whatever the cache holds: its bytes were found to be damaged.
    async fn get_again(&self, key: BlockKey, lane: Lane) -> FetchResult {
        self.inner.cache.remove(key);
        self.fetch(key, lane, false).await
    }

    /// Reads the blocks of a range into the cache in the background, as far as they are not there or on their way: those
    /// that lie next to each other by one GET. When too much of that is going on already, they are read when they are
    /// asked for.
    pub(in crate::broker) fn read_ahead(&self, object: ObjectRef, range: ByteRange) {
        let inner = &self.inner;
        let mut in_flight = inner.in_flight.lock();
        let missing = self.keys(object, range);
        let missing: Vec<_> = missing
            .filter(|key| !in_flight.contains_key(key) && !inner.cache.may_hold(cached(*key)))
            .collect();
        let neighbours = missing.chunk_by(|before, key| before.index + 1 == key.index);
        for keys in neighbours.flat_map(|keys| keys.chunks(READ_AHEAD_GET_BLOCKS_MAX)) {
            let permits = u32::try_from(keys.len()).expect("a GET has few blocks");
            let Ok(permit) = Arc::clone(&inner.ahead).try_acquire_many_owned(permits) else { return };
            let fetches = inner.get_together(keys, &mut in_flight);
            tokio::spawn(async move {
                let _permit = permit;
                // Whoever needs the blocks will see the error when it asks for them.
                future::join_all(fetches).await;
            });
        }
    }

    /// Joins the GET of a block that is under way, or starts one. When everybody who waits for it goes away, it is
    /// given up.
    async fn fetch(&self, key: BlockKey, lane: Lane, cached_will_do: bool) -> FetchResult {
        let fetch = {
            let mut in_flight = self.inner.in_flight.lock();
            match in_flight.get(&key).and_then(|(_, fetch)| fetch.upgrade()) {
                Some(fetch) => {
                    self.inner.counters.merge();
                    fetch
                }
                None => {
                    let number = self.inner.fetches.fetch_add(1, Ordering::Relaxed);
                    let fetch = Arc::clone(&self.inner).run(key, lane, cached_will_do, number);
                    if let Some(weak) = fetch.downgrade() {
                        in_flight.insert(key, (number, weak));
                    }
                    fetch
                }
            }
        };
        fetch.await
    }
}

impl Inner {
    fn run(self: Arc<Self>, key: BlockKey, lane: Lane, cached_will_do: bool, number: u64) -> Fetch {
        let entry = InFlight { inner: Arc::clone(&self), key, number };
        async move {
            let _entry = entry;
            // Between the first look and now, another reader's GET may have come to its end.
            if cached_will_do && let Some(block) = self.cache.get(key).await {
                return Ok(block);
            }
            let block = self.get_blocks(key, 1, lane).await?;
            self.cache.insert(cached(key), block.clone());
            Ok(block)
        }
        .boxed()
        .shared()
    }

    /// Starts one GET for blocks that lie next to each other and are not on their way.
    fn get_together(self: &Arc<Self>, keys: &[BlockKey], in_flight: &mut InFlightMap) -> Vec<Fetch> {
        let Some(first) = keys.first().copied() else { return Vec::new() };
        let (inner, count) = (Arc::clone(self), keys.len());
        let whole = async move { inner.get_blocks(first, count, Lane::Replay).await }.boxed().shared();
        let fetch = |(place, key): (usize, &BlockKey)| {
            self.counters.ahead();
            let number = self.fetches.fetch_add(1, Ordering::Relaxed);
            let fetch = Arc::clone(self).cut(whole.clone(), place, *key, number);
            if let Some(weak) = fetch.downgrade() {
                in_flight.insert(*key, (number, weak));
            }
            fetch
        };
        keys.iter().enumerate().map(fetch).collect()
    }

    /// A block of those that one GET reads.
    fn cut(self: Arc<Self>, whole: Fetch, place: usize, key: BlockKey, number: u64) -> Fetch {
        let entry = InFlight { inner: Arc::clone(&self), key, number };
        async move {
            let _entry = entry;
            let whole = whole.await?;
            let start = (place as u64 * self.block_bytes).min(whole.len() as u64);
            let end = (start + self.block_bytes).min(whole.len() as u64);
            // A copy: a slice that is kept would keep the others' bytes too.
            let block =
                slice(&whole, start, end).map(|block| Bytes::copy_from_slice(&block)).unwrap_or_default();
            self.cache.insert(cached(key), block.clone());
            Ok(block)
        }
        .boxed()
        .shared()
    }

    /// Reads a block and the next ones behind it from the store; fewer bytes only where the object ends.
    async fn get_blocks(&self, first: BlockKey, count: usize, lane: Lane) -> FetchResult {
        let pool = match lane {
            Lane::Tail => &self.tail,
            Lane::Replay => &self.replay,
        };
        let _permit = pool.acquire().await.expect("the pools are never closed");
        self.counters.miss(count);
        let object = first.object;
        let path = (self.locate)(object).ok_or_else(|| StoreError::Missing(format!("{object:?}")))?;
        let start = u64::from(first.index) * self.block_bytes;
        let range = ByteRange { start, len: self.block_bytes * count as u64 };
        let bytes = self.store.get_up_to(&path, range).await?;
        if first.index == 0 {
            header::check(self.cluster, object, &bytes)
                .map_err(|what| StoreError::Damaged(path.to_string(), what))?;
        }
        Ok(bytes)
    }
}

/// Takes a GET off the list when it ends or is given up.
struct InFlight {
    inner: Arc<Inner>,
    key: BlockKey,
    number: u64,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut in_flight = self.inner.in_flight.lock();
        // A GET that was given up may have been replaced by another one.
        if in_flight.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            in_flight.remove(&self.key);
        }
    }
}

/// The key under which a block is cached: its own.
fn cached(key: BlockKey) -> BlockKey {
    if is_planted(Bug::CacheKeyWithoutObject) {
        return BlockKey { object: ObjectRef::Entry(LogPosition(0)), ..key };
    }
    key
}

fn slice(block: &Bytes, from: u64, to: u64) -> Option<Bytes> {
    let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
    (from <= to && to <= block.len()).then(|| block.slice(from..to))
}

fn ends_early(object: ObjectRef, range: ByteRange) -> StoreError {
    StoreError::Damaged(
        format!("{object:?} at byte {}", range.start),
        "it ends before its records do".to_owned(),
    )
}

fn index_of(position: u64, block_bytes: u64) -> u32 {
    u32::try_from(position / block_bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ebb_protocol::ids::SegmentId;
    use tokio::time::Instant;

    use super::*;
    use crate::broker::{
        cache::ObjectSink,
        testing::{Bucket, GET_DELAY, segment},
    };

    fn blocks(bucket: &Bucket) -> Blocks {
        bucket.blocks().0
    }

    fn key_of(segment: u128, index: u32) -> BlockKey {
        BlockKey { object: ObjectRef::Segment(SegmentId(segment)), index }
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_misses_of_a_block_make_one_get() {
        let bucket = Bucket::new();
        let bytes = bucket.put(&segment(SegmentId(1), &[3000])).await;
        let blocks = blocks(&bucket);
        let reads = (0..10).map(|_| blocks.get(key_of(1, 1), Lane::Tail));
        for read in futures::future::join_all(reads).await {
            assert_eq!(read, Ok(bytes.slice(1024..2048)));
        }
        assert_eq!(bucket.gets(), 1);
        let counts = blocks.counters().counts();
        assert_eq!((counts.misses, counts.merged, counts.hits), (1, 9, 0));
        assert_eq!(blocks.get(key_of(1, 1), Lane::Tail).await, Ok(bytes.slice(1024..2048)));
        assert_eq!((bucket.gets(), blocks.counters().counts().hits), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_get_that_everybody_gave_up_is_made_again() {
        let bucket = Bucket::new();
        let bytes = bucket.put(&segment(SegmentId(1), &[100])).await;
        let blocks = blocks(&bucket);
        let given_up = tokio::time::timeout(GET_DELAY / 2, blocks.get(key_of(1, 0), Lane::Tail)).await;
        assert!(given_up.is_err(), "the GET takes longer");
        assert!(blocks.inner.in_flight.lock().is_empty(), "nobody waits for it any more");
        assert_eq!(blocks.get(key_of(1, 0), Lane::Tail).await, Ok(bytes));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_get_is_not_kept() {
        let bucket = Bucket::new();
        let blocks = blocks(&bucket);
        let missing = blocks.get(key_of(1, 0), Lane::Tail).await;
        assert!(matches!(missing, Err(StoreError::Missing(_))), "{missing:?}");
        let bytes = bucket.put(&segment(SegmentId(1), &[100])).await;
        assert_eq!(blocks.get(key_of(1, 0), Lane::Tail).await, Ok(bytes));
    }

    #[tokio::test(start_paused = true)]
    async fn own_writes_need_no_get() {
        let bucket = Bucket::new();
        let segment = segment(SegmentId(1), &[700, 3000, 20]);
        let bytes = bucket.put(&segment).await;
        let (blocks, cache) = bucket.blocks();
        bucket.warmer(cache).written(ObjectRef::Segment(segment.id), &segment.pieces);
        let range = ByteRange { start: 0, len: segment.bytes };
        let mut read = bytes::BytesMut::new();
        for key in blocks.keys(ObjectRef::Segment(segment.id), range) {
            read.extend_from_slice(&blocks.get(key, Lane::Tail).await.expect("a cached block"));
        }
        assert_eq!(read.freeze(), bytes);
        assert_eq!(bucket.gets(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn readers_far_behind_do_not_hold_up_those_at_the_tail() {
        let bucket = Bucket::new();
        bucket.put(&segment(SegmentId(1), &[8000])).await;
        let blocks = blocks(&bucket);
        let started = Instant::now();
        let behind =
            futures::future::join_all((0..4).map(|index| blocks.get(key_of(1, index), Lane::Replay)));
        let tail = async {
            tokio::time::sleep(Duration::from_micros(1)).await;
            blocks.get(key_of(1, 5), Lane::Tail).await.expect("a block");
            started.elapsed()
        };
        let (_, tail_took) = tokio::join!(behind, tail);
        assert!(tail_took < GET_DELAY * 2, "the tail waited for {tail_took:?}");
        assert!(started.elapsed() >= GET_DELAY * 4, "only one GET at a time for those behind");
    }

    #[tokio::test(start_paused = true)]
    async fn reading_ahead_is_bounded_and_fills_the_cache() {
        let bucket = Bucket::new();
        let bytes = bucket.put(&segment(SegmentId(1), &[40_000])).await;
        let blocks = blocks(&bucket);
        blocks.read_ahead(ObjectRef::Segment(SegmentId(1)), ByteRange { start: 0, len: 20 << 10 });
        tokio::time::sleep(GET_DELAY * 30).await;
        let ahead = READ_AHEAD_BLOCKS_MAX as u64;
        let gets = ahead / READ_AHEAD_GET_BLOCKS_MAX as u64;
        assert_eq!((bucket.gets(), blocks.counters().counts().read_ahead), (gets, ahead));
        for index in 0..u32::try_from(ahead).expect("few") {
            let block = blocks.get(key_of(1, index), Lane::Tail).await.expect("a block");
            let start = index as usize * 1024;
            assert_eq!(block, bytes.slice(start..start + 1024), "block {index}");
        }
        assert_eq!(bucket.gets(), gets, "they were in the cache");
    }

    #[tokio::test(start_paused = true)]
    async fn reading_ahead_leaves_out_what_is_there_and_ends_with_the_object() {
        let bucket = Bucket::new();
        let bytes = bucket.put(&segment(SegmentId(1), &[5_500])).await;
        let blocks = blocks(&bucket);
        let object = ObjectRef::Segment(SegmentId(1));
        blocks.get(key_of(1, 2), Lane::Tail).await.expect("a block");
        assert_eq!(bucket.gets(), 1);
        blocks.read_ahead(object, ByteRange { start: 0, len: 7 << 10 });
        // Whoever wants a block that is being read ahead waits for that.
        let wanted = blocks.get(key_of(1, 4), Lane::Tail);
        assert_eq!(wanted.await, Ok(bytes.slice(4096..5120)));
        tokio::time::sleep(GET_DELAY * 4).await;
        assert_eq!(bucket.gets(), 3, "blocks 0 and 1, and those behind 2");
        let last = blocks.get(key_of(1, 5), Lane::Tail).await;
        assert_eq!(last, Ok(bytes.slice(5120..)), "it is short");
        blocks.read_ahead(object, ByteRange { start: 0, len: 6 << 10 });
        tokio::time::sleep(GET_DELAY * 4).await;
        assert_eq!(bucket.gets(), 3, "all is there");
    }

    #[tokio::test(start_paused = true)]
    async fn reading_ahead_that_fails_is_forgotten() {
        let bucket = Bucket::new();
        let blocks = blocks(&bucket);
        blocks.read_ahead(ObjectRef::Segment(SegmentId(1)), ByteRange { start: 0, len: 4 << 10 });
        tokio::time::sleep(GET_DELAY * 4).await;
        assert!(blocks.inner.in_flight.lock().is_empty(), "nothing is under way any more");
        let bytes = bucket.put(&segment(SegmentId(1), &[100])).await;
        assert_eq!(blocks.get(key_of(1, 0), Lane::Tail).await, Ok(bytes));
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_of_another_name_or_cluster_is_not_believed() {
        let bucket = Bucket::new();
        let segment = segment(SegmentId(1), &[100]);
        bucket.put_at(&key::of(SegmentId(2)), &segment).await;
        let wrong = blocks(&bucket).get(key_of(2, 0), Lane::Tail).await;
        assert!(matches!(wrong, Err(StoreError::Damaged(..))), "{wrong:?}");

        bucket.put(&segment).await;
        let mut blocks = blocks(&bucket);
        let inner = Arc::get_mut(&mut blocks.inner).expect("no other handle");
        inner.cluster = ClusterId(99);
        let foreign = blocks.get(key_of(1, 0), Lane::Tail).await;
        assert!(matches!(foreign, Err(StoreError::Damaged(..))), "{foreign:?}");
    }
}
