//! A plain, deterministic cache in memory: least recently used goes first. For simulations, where foyer can not run,
//! because it reads a clock of its own and uses threads.

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{BlockCache, BlockKey, recent::Recent};

/// A cache bounded in bytes, whose every answer follows from the calls made to it.
#[derive(Debug)]
pub struct PlainCache {
    kept: Mutex<Recent<BlockKey, Bytes>>,
}

impl PlainCache {
    /// An empty cache that keeps at most `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { kept: Mutex::new(Recent::new(bytes_max)) }
    }
}

#[async_trait]
impl BlockCache for PlainCache {
    async fn get(&self, key: BlockKey) -> Option<Bytes> {
        self.kept.lock().get(key)
    }

    fn may_hold(&self, key: BlockKey) -> bool {
        self.kept.lock().holds(key)
    }

    fn insert(&self, key: BlockKey, block: Bytes) {
        let bytes = block.len();
        self.kept.lock().insert(key, block, bytes);
    }

    fn remove(&self, key: BlockKey) {
        self.kept.lock().forget(key);
    }

    async fn close(&self) {}
}
