//! A plain, deterministic cache in memory: least recently used goes first. For simulations, where foyer can not run,
//! because it reads a clock of its own and uses threads.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{BlockCache, BlockKey};

/// A cache bounded in bytes, whose every answer follows from the calls made to it.
#[derive(Debug)]
pub struct PlainCache {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    blocks: BTreeMap<BlockKey, (Bytes, u64)>,
    /// The blocks by their last use, counted in calls.
    uses: BTreeMap<u64, BlockKey>,
    calls: u64,
    bytes: usize,
}

impl PlainCache {
    /// An empty cache that keeps at most `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }
}

#[async_trait]
impl BlockCache for PlainCache {
    async fn get(&self, key: BlockKey) -> Option<Bytes> {
        let mut kept = self.kept.lock();
        let block = kept.take(key)?;
        kept.put(key, block.clone());
        Some(block)
    }

    fn insert(&self, key: BlockKey, block: Bytes) {
        let mut kept = self.kept.lock();
        kept.take(key);
        kept.put(key, block);
        while kept.bytes > self.bytes_max {
            let Some(oldest) = kept.uses.values().next().copied() else { break };
            kept.take(oldest);
        }
    }

    fn remove(&self, key: BlockKey) {
        self.kept.lock().take(key);
    }

    async fn close(&self) {}
}

impl Kept {
    fn put(&mut self, key: BlockKey, block: Bytes) {
        self.calls += 1;
        self.bytes += block.len();
        self.uses.insert(self.calls, key);
        self.blocks.insert(key, (block, self.calls));
    }

    fn take(&mut self, key: BlockKey) -> Option<Bytes> {
        let (block, used) = self.blocks.remove(&key)?;
        self.uses.remove(&used);
        self.bytes -= block.len();
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use ebb_metastore::command::ObjectRef;
    use ebb_protocol::ids::SegmentId;

    use super::*;

    fn key(index: u32) -> BlockKey {
        BlockKey { object: ObjectRef::Segment(SegmentId(1)), index }
    }

    #[tokio::test]
    async fn the_least_recently_used_block_goes_first() {
        let cache = PlainCache::new(30);
        for index in 0..3 {
            cache.insert(key(index), Bytes::from(vec![0; 10]));
        }
        assert!(cache.get(key(0)).await.is_some());
        cache.insert(key(3), Bytes::from(vec![0; 10]));
        assert!(cache.get(key(1)).await.is_none(), "block 1 was used longest ago");
        for index in [0, 2, 3] {
            assert!(cache.get(key(index)).await.is_some(), "block {index}");
        }
    }

    #[tokio::test]
    async fn bytes_stay_within_the_limit() {
        let cache = PlainCache::new(30);
        cache.insert(key(0), Bytes::from(vec![0; 31]));
        assert_eq!(cache.get(key(0)).await, None);
        cache.insert(key(1), Bytes::from(vec![1; 20]));
        cache.insert(key(1), Bytes::from(vec![2; 20]));
        assert_eq!(cache.get(key(1)).await, Some(Bytes::from(vec![2; 20])));
        cache.remove(key(1));
        assert_eq!(cache.get(key(1)).await, None);
        assert_eq!(cache.kept.lock().bytes, 0);
    }
}
