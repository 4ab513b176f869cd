//! The store: puts segments and reads ranges, with deadlines, retries with jitter, and request counters.
//! Knows nothing of what the bytes mean, nor of the commit log.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ebb_protocol::{ids::ByteRange, random::Random};
use object_store::{ObjectStore, path::Path};

use crate::format::Segment;

/// Settings of the store. Plain data.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// One attempt fails after this long and is made again.
    pub attempt_deadline: Duration,
    /// The whole operation fails after this long.
    pub deadline: Duration,
    /// The first pause between attempts; it doubles, with jitter.
    pub backoff_min: Duration,
    /// The longest pause between attempts.
    pub backoff_max: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            attempt_deadline: Duration::from_secs(10),
            deadline: Duration::from_secs(30),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(2),
        }
    }
}

/// Why the store could not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No attempt succeeded before the deadline.
    #[error("the object store does not answer: {0}")]
    Unavailable(String),
    /// The object is not there.
    #[error("object {0} is missing")]
    Missing(String),
    /// The store refuses us.
    #[error("the object store denies access: {0}; check the credentials and the bucket policy")]
    Denied(String),
    /// The disk below the store is full, or a quota is used up.
    #[error("the object store has no space left: {0}; free some space or raise the quota")]
    Full(String),
    /// The object is not what it should be.
    #[error("object {0} is damaged: {1}")]
    Damaged(String, String),
}

/// Segments in an object store.
#[derive(Clone, Debug)]
pub struct SegmentStore {
    store: Arc<dyn ObjectStore>,
    random: Random,
    config: StoreConfig,
}

impl SegmentStore {
    /// A store over an opened bucket or directory.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, random: Random, config: StoreConfig) -> Self {
        Self { store, random, config }
    }

    /// Puts a segment under its key. Its id is unique and its bytes never change, so putting it again is harmless.
    ///
    /// # Errors
    /// [`StoreError`]; the object may exist all the same.
    pub async fn put(&self, segment: &Segment) -> Result<(), StoreError> {
        todo!("{:?} {:?} {:?} {}", self.store, self.random, self.config, segment.id)
    }

    /// Reads a range of an object; exactly as many bytes as asked for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, key: &Path, range: ByteRange) -> Result<Bytes, StoreError> {
        todo!("{key} {range:?}")
    }

    /// Reads a range of an object that may reach past the object's end: fewer bytes than asked for mean that the
    /// object ends there, never that an answer was cut short.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get_up_to(&self, key: &Path, range: ByteRange) -> Result<Bytes, StoreError> {
        todo!("{key} {range:?}")
    }
}
