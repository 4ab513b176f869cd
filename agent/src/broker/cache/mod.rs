//! The block cache: blocks of objects, kept near, so that each object is read from the store about once.
//! Knows nothing of batches and offsets; losing everything in it loses nothing.

mod blocks;
mod counters;
mod foyer;
mod header;
mod plain;
mod recent;
mod warm;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use ebb_metastore::command::ObjectRef;

pub use self::{
    counters::{ReadCounters, ReadCounts},
    foyer::FoyerCache,
    plain::PlainCache,
};
pub(in crate::broker) use blocks::{BlockLimits, Blocks, Lane, Source, locate};
pub(in crate::broker) use recent::Recent;
pub(in crate::broker) use warm::Warmer;

/// Names one block of an object: bytes `index * block size` up to the next block, or up to the object's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockKey {
    /// The object. Objects never change, and their ids are never used again, so a block can not grow stale.
    pub object: ObjectRef,
    /// The block's number in it, counted from 0.
    pub index: u32,
}

/// A cache of blocks.
///
/// # Contract
/// - `get` gives the bytes last inserted under exactly this key, or `None`. It may forget any block at any time.
/// - Bytes that may have changed while they were kept outside memory are given as `None`, never as a block and
///   never as an error: an implementation checks its own checksum.
/// - After `remove` returns, `get` does not give the block until it is inserted again.
/// - Its size is bounded in bytes. `insert` never waits; under pressure it forgets.
#[async_trait]
pub trait BlockCache: Send + Sync + fmt::Debug {
    /// The block, when it is here.
    async fn get(&self, key: BlockKey) -> Option<Bytes>;

    /// Whether the block seems to be here. What is kept outside memory may turn out to be another one, or damaged.
    fn may_hold(&self, key: BlockKey) -> bool;

    /// Keeps a block.
    fn insert(&self, key: BlockKey, block: Bytes);

    /// Forgets a block, because its bytes turned out to be damaged.
    fn remove(&self, key: BlockKey);

    /// Writes down what a later start may use, and stops background work.
    async fn close(&self);
}

/// Takes an object that this agent has written, so that its first readers need no GET.
pub trait ObjectSink: Send + Sync + fmt::Debug {
    /// The object exists in the store and its whole bytes are `pieces`, one after the other. Called before anybody
    /// can learn of the object's batches.
    fn written(&self, object: ObjectRef, pieces: &[Bytes]);
}

#[cfg(test)]
mod tests {
    //! What every cache must do, and what the disk tier must survive.

    use std::path::Path;

    use ebb_protocol::ids::{ClusterId, LogPosition, SegmentId};

    use super::*;
    use crate::broker::BrokerConfig;

    const BLOCK: usize = 64 << 10;

    fn key(index: u32) -> BlockKey {
        BlockKey { object: ObjectRef::Segment(SegmentId(7)), index }
    }

    fn block(index: u32) -> Bytes {
        let byte = u8::try_from(index % 251).expect("below 251");
        Bytes::from(vec![byte; BLOCK])
    }

    async fn honours_the_contract(cache: &dyn BlockCache) {
        let entry = BlockKey { object: ObjectRef::Entry(LogPosition(7)), index: 0 };
        assert_eq!(cache.get(key(0)).await, None);
        assert!(!cache.may_hold(key(0)), "an empty cache");
        cache.insert(key(0), block(0));
        assert!(cache.may_hold(key(0)), "just inserted");
        cache.insert(entry, block(1));
        assert_eq!(cache.get(key(0)).await, Some(block(0)));
        assert_eq!(cache.get(entry).await, Some(block(1)), "an entry and a segment of one number differ");
        cache.insert(key(0), block(2));
        assert_eq!(cache.get(key(0)).await, Some(block(2)), "the last insert counts");
        cache.remove(key(0));
        assert_eq!(cache.get(key(0)).await, None);
        cache.insert(key(0), block(3));
        assert_eq!(cache.get(key(0)).await, Some(block(3)), "a removed block can come back");
        cache.close().await;
    }

    fn config(directory: Option<&Path>) -> BrokerConfig {
        BrokerConfig {
            cache_block_bytes: BLOCK as u64,
            cache_memory_bytes: 16 * BLOCK,
            cache_disk: directory.map(|directory| (directory.to_owned(), 128 << 20)),
            ..BrokerConfig::default()
        }
    }

    const CLUSTER: ClusterId = ClusterId(1);

    #[tokio::test]
    async fn all_caches_honour_the_contract() {
        honours_the_contract(&PlainCache::new(16 * BLOCK)).await;
        honours_the_contract(&FoyerCache::open(CLUSTER, &config(None)).await).await;
        let directory = tempfile::tempdir().expect("a temporary directory");
        honours_the_contract(&FoyerCache::open(CLUSTER, &config(Some(directory.path()))).await).await;
    }

    /// Fills a cache far beyond its memory, so that most blocks go to disk, and closes it.
    async fn fill(directory: &Path) {
        let cache = FoyerCache::open(CLUSTER, &config(Some(directory))).await;
        for index in 0..128 {
            cache.insert(key(index), block(index));
            // Disk writes run beside us; blocks that come faster than they are written are dropped.
            tokio::task::yield_now().await;
        }
        cache.close().await;
    }

    /// How many blocks a freshly opened cache still has. Every one it has must be right.
    async fn sound_blocks(cluster: ClusterId, directory: &Path) -> usize {
        let cache = FoyerCache::open(cluster, &config(Some(directory))).await;
        let mut sound = 0;
        for index in 0..128 {
            if let Some(found) = cache.get(key(index)).await {
                assert!(found == block(index), "block {index} came back altered");
                sound += 1;
            }
        }
        cache.close().await;
        sound
    }

    fn files(directory: &Path) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory).expect("the directory can be listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                found.extend(files(&path));
            } else {
                found.push(path);
            }
        }
        found
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_disk_tier_outlives_a_restart_but_not_bad_bytes() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fill(directory.path()).await;
        assert!(sound_blocks(CLUSTER, directory.path()).await > 0, "nothing was kept on disk");
        for file in files(directory.path()) {
            let mut bytes = std::fs::read(&file).expect("a cache file can be read");
            for byte in bytes.iter_mut().skip(10_000).step_by(5_000) {
                *byte ^= 1;
            }
            std::fs::write(&file, bytes).expect("a cache file can be written");
        }
        assert_eq!(sound_blocks(CLUSTER, directory.path()).await, 0, "every block has a flipped bit");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_disk_tier_of_another_cluster_is_thrown_away() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let foreign = directory.path().join("not-ours");
        std::fs::write(&foreign, "kept").expect("a file can be written");
        fill(directory.path()).await;
        assert_eq!(sound_blocks(ClusterId(2), directory.path()).await, 0);
        assert_eq!(sound_blocks(CLUSTER, directory.path()).await, 0, "it was removed");
        assert!(foreign.exists(), "files that are not ours are left alone");
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_used_costs_the_disk_tier_only() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("file");
        std::fs::write(&file, "").expect("a file can be written");
        honours_the_contract(&FoyerCache::open(CLUSTER, &config(Some(&file))).await).await;
    }
}
