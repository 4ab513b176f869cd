//! Blocks of objects: from the cache, or from the store with one GET however many readers want a block at once.
//! Knows nothing of batches; what a block's bytes mean is its readers' affair.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use ebb_metastore::{BodySink, Metastore, command::ObjectRef};
use ebb_protocol::ids::{ByteRange, LogPosition};
use ebb_segment::{
    key,
    store::{SegmentStore, StoreError},
};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{BlockCache, BlockKey, ObjectSink, counters::ReadCounters};

/// Blocks that may be read ahead at once. When more are wanted, they are read when they are asked for.
const READ_AHEAD_MAX: usize = 8;

/// Which limit a GET counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Lane {
    /// Readers close to the tail.
    Tail,
    /// Readers far behind, and reading ahead.
    Replay,
}

/// Names the key of an object in the store; `None` for an object that this cluster can not have.
pub(in crate::broker) type Locate = Box<dyn Fn(ObjectRef) -> Option<Path> + Send + Sync>;

/// Finds segments by their ids and entries by the commit log.
pub(in crate::broker) fn locate(metastore: Metastore) -> Locate {
    Box::new(move |object| match object {
        ObjectRef::Segment(segment) => Some(key::of(segment)),
        ObjectRef::Entry(position) => metastore.entry_object(position),
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
    cache: Arc<dyn BlockCache>,
    store: SegmentStore,
    locate: Locate,
    block_bytes: u64,
    tail: Semaphore,
    replay: Semaphore,
    ahead: Arc<Semaphore>,
    in_flight: Mutex<BTreeMap<BlockKey, (u64, WeakFetch)>>,
    fetches: AtomicU64,
    counters: ReadCounters,
}

type FetchResult = Result<Bytes, StoreError>;
type Fetch = Shared<BoxFuture<'static, FetchResult>>;
type WeakFetch = WeakShared<BoxFuture<'static, FetchResult>>;

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("cache", &self.inner.cache).finish_non_exhaustive()
    }
}

impl Blocks {
    pub(in crate::broker) fn new(
        cache: Arc<dyn BlockCache>,
        store: SegmentStore,
        locate: Locate,
        limits: BlockLimits,
    ) -> Self {
        let inner = Inner {
            cache,
            store,
            locate,
            block_bytes: limits.block_bytes.max(1),
            tail: Semaphore::new(limits.tail_gets_max.max(1)),
            replay: Semaphore::new(limits.replay_gets_max.max(1)),
            ahead: Arc::new(Semaphore::new(READ_AHEAD_MAX)),
            in_flight: Mutex::default(),
            fetches: AtomicU64::new(0),
            counters: ReadCounters::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(in crate::broker) fn counters(&self) -> &ReadCounters {
        &self.inner.counters
    }

    pub(in crate::broker) fn block_bytes(&self) -> u64 {
        self.inner.block_bytes
    }

    /// The keys of the blocks that hold a range, in order.
    pub(in crate::broker) fn keys(
        &self,
        object: ObjectRef,
        range: ByteRange,
    ) -> impl Iterator<Item = BlockKey> + use<> {
        let first = index_of(range.start, self.inner.block_bytes);
        let after = range.end().div_ceil(self.inner.block_bytes);
        let after = u32::try_from(after).unwrap_or(u32::MAX);
        (first..after).map(move |index| BlockKey { object, index })
    }

    /// A block: from the cache, else from the store. It is short only where its object ends.
    pub(in crate::broker) async fn get(&self, key: BlockKey, lane: Lane) -> FetchResult {
        if let Some(block) = self.inner.cache.get(key).await {
            self.inner.counters.hit();
            return Ok(block);
        }
        self.fetch(key, lane, true).await
    }

    /// A block from the store, whatever the cache holds: its bytes were found to be damaged.
    pub(in crate::broker) async fn get_again(&self, key: BlockKey, lane: Lane) -> FetchResult {
        self.inner.cache.remove(key);
        self.fetch(key, lane, false).await
    }

    /// Reads a block into the cache in the background, unless too much of that is going on already.
    pub(in crate::broker) fn read_ahead(&self, key: BlockKey) {
        let Ok(permit) = Arc::clone(&self.inner.ahead).try_acquire_owned() else { return };
        let blocks = self.clone();
        tokio::spawn(async move {
            let _permit = permit;
            if blocks.inner.cache.get(key).await.is_none() {
                blocks.inner.counters.ahead();
                // Whoever needs the block will see the error when it asks for it.
                let _ = blocks.fetch(key, Lane::Replay, true).await;
            }
        });
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
            let pool = match lane {
                Lane::Tail => &self.tail,
                Lane::Replay => &self.replay,
            };
            let _permit = pool.acquire().await.expect("the pools are never closed");
            self.counters.miss();
            let block = self.read(key).await?;
            self.cache.insert(key, block.clone());
            Ok(block)
        }
        .boxed()
        .shared()
    }

    async fn read(&self, key: BlockKey) -> FetchResult {
        let object = key.object;
        let path = (self.locate)(object).ok_or_else(|| StoreError::Missing(format!("{object:?}")))?;
        let start = u64::from(key.index) * self.block_bytes;
        let range = ByteRange { start, len: self.block_bytes };
        self.store.get_up_to(&path, range).await
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

impl BodySink for Blocks {
    fn entry(&self, position: LogPosition, pieces: &[Bytes]) {
        self.written(ObjectRef::Entry(position), pieces);
    }
}

impl ObjectSink for Blocks {
    /// Copies the bytes: slices would keep the request buffers they point into alive, which the cache can not count.
    fn written(&self, object: ObjectRef, pieces: &[Bytes]) {
        let block_bytes = usize::try_from(self.inner.block_bytes).unwrap_or(usize::MAX);
        let mut left: usize = pieces.iter().map(Bytes::len).sum();
        let mut block = BytesMut::with_capacity(left.min(block_bytes));
        let mut index = 0;
        for piece in pieces {
            let mut piece = piece.as_ref();
            while let Some((part, rest)) = piece.split_at_checked(piece.len().min(block_bytes - block.len()))
                && !part.is_empty()
            {
                block.extend_from_slice(part);
                piece = rest;
                left -= part.len();
                if block.len() == block_bytes || left == 0 {
                    let full = std::mem::replace(&mut block, BytesMut::with_capacity(left.min(block_bytes)));
                    self.inner.cache.insert(BlockKey { object, index }, full.freeze());
                    index += 1;
                }
            }
        }
    }
}

fn index_of(position: u64, block_bytes: u64) -> u32 {
    u32::try_from(position / block_bytes).unwrap_or(u32::MAX)
}
