//! The block cache over foyer: memory, and a directory on a fast disk when one is configured.
//! The only file that knows foyer.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use ebb_metastore::command::ObjectRef;
use ebb_protocol::ids::ClusterId;
use foyer::{
    BlockEngineConfig, Code, DeviceBuilder, Error, ErrorKind, FsDeviceBuilder, HybridCache,
    HybridCacheBuilder, RecoverMode, Result as FoyerResult,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{BlockCache, BlockKey};
use crate::broker::BrokerConfig;

/// Beyond its bytes, a block costs about this much memory for its key and its place in the cache's lists.
const BLOCK_OVERHEAD_BYTES: usize = 256;

/// foyer spreads its memory over at most this many parts, each with a lock of its own.
const SHARDS_MAX: usize = 8;

/// A part that holds fewer blocks than this would throw out what is still needed, as blocks fall on parts by chance.
const SHARD_BLOCKS_MIN: usize = 32;

/// foyer's disk tier frees its space in regions of this size; a region holds several of our blocks.
const DISK_REGION_BYTES_MIN: u64 = 16 << 20;

/// The names of our directories below the configured one begin with this; others are never touched.
const DIRECTORY_PREFIX: &str = "ebb-cache-";

/// The layout of what the disk tier keeps; a directory of another version is thrown away.
const DISK_VERSION: u8 = 1;

/// Blocks in foyer.
#[derive(Debug)]
pub struct FoyerCache {
    cache: HybridCache<StoredKey, StoredBlock>,
    failures: AtomicU64,
}

impl FoyerCache {
    /// Opens the cache. A disk tier that can not be used is left out, with a warning: the cache is never needed.
    pub async fn open(cluster: ClusterId, config: &BrokerConfig) -> Self {
        if let Some((directory, bytes)) = &config.cache_disk {
            let own = own_directory(directory, cluster, config.cache_block_bytes);
            match with_disk(directory, &own, *bytes, config).await {
                Ok(cache) => return Self { cache, failures: AtomicU64::new(0) },
                Err(reason) => tracing::warn!(
                    directory = %directory.display(),
                    reason,
                    "the cache directory cannot be used; blocks are cached in memory only"
                ),
            }
        }
        let cache =
            memory(config).storage().build().await.expect("a cache without a disk tier opens nothing");
        Self { cache, failures: AtomicU64::new(0) }
    }

    /// Blocks of the disk tier that could not be read or did not match their checksum.
    #[must_use]
    pub fn disk_failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

fn memory(
    config: &BrokerConfig,
) -> foyer::HybridCacheBuilderPhaseMemory<StoredKey, StoredBlock, foyer::DefaultHasher> {
    let block = usize::try_from(config.cache_block_bytes).unwrap_or(usize::MAX).max(1);
    HybridCacheBuilder::new()
        .with_name("blocks")
        .with_flush_on_close(false)
        .memory(config.cache_memory_bytes)
        .with_shards((config.cache_memory_bytes / block / SHARD_BLOCKS_MIN).clamp(1, SHARDS_MAX))
        .with_weighter(|_, block: &StoredBlock| block.0.len() + BLOCK_OVERHEAD_BYTES)
}

async fn with_disk(
    parent: &Path,
    own: &Path,
    bytes: u64,
    config: &BrokerConfig,
) -> Result<HybridCache<StoredKey, StoredBlock>, String> {
    remove_foreign(parent, own).map_err(|error| error.to_string())?;
    std::fs::create_dir_all(own).map_err(|error| error.to_string())?;
    let region = DISK_REGION_BYTES_MIN.max(config.cache_block_bytes.saturating_mul(4));
    let usize_of = |bytes: u64| usize::try_from(bytes).map_err(|error| error.to_string());
    let device =
        FsDeviceBuilder::new(own).with_capacity(usize_of(bytes)?).build().map_err(|e| e.to_string())?;
    memory(config)
        .storage()
        .with_engine_config(BlockEngineConfig::new(device).with_block_size(usize_of(region)?))
        .with_recover_mode(RecoverMode::Quiet)
        .build()
        .await
        .map_err(|error| error.to_string())
}

/// Cluster and block size are part of the name: a block of another cluster or size must never be taken for ours.
fn own_directory(parent: &Path, cluster: ClusterId, block_bytes: u64) -> PathBuf {
    parent.join(format!("{DIRECTORY_PREFIX}v{DISK_VERSION}-{cluster}-{block_bytes}"))
}

/// Removes what earlier configurations left behind, so that the directory keeps to its configured size.
fn remove_foreign(parent: &Path, own: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(parent)?;
    for entry in std::fs::read_dir(parent)? {
        let path = entry?.path();
        let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DIRECTORY_PREFIX));
        if ours && path != own {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

#[async_trait]
impl BlockCache for FoyerCache {
    async fn get(&self, key: BlockKey) -> Option<Bytes> {
        match self.cache.get(&StoredKey::from(key)).await {
            Ok(found) => found.map(|entry| entry.value().0.clone()),
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(?key, %error, "a cached block cannot be read from disk; it is read from the store");
                self.remove(key);
                None
            }
        }
    }

    fn may_hold(&self, key: BlockKey) -> bool {
        self.cache.contains(&StoredKey::from(key))
    }

    fn insert(&self, key: BlockKey, block: Bytes) {
        self.cache.insert(StoredKey::from(key), StoredBlock(block));
    }

    fn remove(&self, key: BlockKey) {
        self.cache.remove(&StoredKey::from(key));
    }

    async fn close(&self) {
        if let Err(error) = self.cache.close().await {
            tracing::warn!(%error, "the cache's disk tier did not close cleanly");
        }
    }
}

/// A block's key in bytes: kind (1), object id (16, big endian), index (4, big endian).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct StoredKey([u8; 21]);

impl From<BlockKey> for StoredKey {
    fn from(key: BlockKey) -> Self {
        let (kind, id) = match key.object {
            ObjectRef::Segment(segment) => (0, segment.0),
            ObjectRef::Entry(position) => (1, u128::from(position.0)),
            ObjectRef::Archive(archive) => (2, archive.0),
        };
        let mut bytes = [0; 21];
        bytes[0] = kind;
        bytes[1..17].copy_from_slice(&id.to_be_bytes());
        bytes[17..].copy_from_slice(&key.index.to_be_bytes());
        Self(bytes)
    }
}

impl Code for StoredKey {
    fn encode(&self, writer: &mut impl Write) -> FoyerResult<()> {
        writer.write_all(&self.0).map_err(Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> FoyerResult<Self> {
        let mut bytes = [0; 21];
        reader.read_exact(&mut bytes).map_err(Error::io_error)?;
        Ok(Self(bytes))
    }

    fn estimated_size(&self) -> usize {
        self.0.len()
    }
}

/// A block on disk: XXH3 of the bytes (8, little endian), then the bytes. foyer keeps a checksum too, but what is
/// wrong with a block must be noticed whatever foyer does.
#[derive(Clone, Debug)]
struct StoredBlock(Bytes);

impl Code for StoredBlock {
    fn encode(&self, writer: &mut impl Write) -> FoyerResult<()> {
        writer.write_all(&xxh3_64(&self.0).to_le_bytes()).map_err(Error::io_error)?;
        writer.write_all(&self.0).map_err(Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> FoyerResult<Self> {
        let mut checksum = [0; 8];
        reader.read_exact(&mut checksum).map_err(Error::io_error)?;
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(Error::io_error)?;
        if xxh3_64(&bytes).to_le_bytes() != checksum {
            return Err(Error::new(ErrorKind::ChecksumMismatch, "the block does not match its checksum"));
        }
        Ok(Self(bytes.into()))
    }

    fn estimated_size(&self) -> usize {
        8 + self.0.len()
    }
}
