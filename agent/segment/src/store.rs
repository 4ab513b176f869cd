//! The store: puts segments and reads ranges, with deadlines and retries with jitter.
//! Knows nothing of what the bytes mean, nor of the commit log.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use ebb_protocol::{ids::ByteRange, random::Random};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, path::Path};
use parking_lot::Mutex;
use tokio::time::timeout;

pub use crate::error::StoreError;
use crate::{format::Segment, key, parts::PutInParts};

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

/// Segments in an object store. Clones share the store and the count of retries.
#[derive(Clone, Debug)]
pub struct SegmentStore {
    store: Arc<dyn ObjectStore>,
    random: Random,
    config: StoreConfig,
    retries: Arc<AtomicU64>,
}

impl SegmentStore {
    /// A store over an opened bucket or directory.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, random: Random, config: StoreConfig) -> Self {
        Self { store, random, config, retries: Arc::default() }
    }

    /// How many attempts were made again so far.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Puts a segment under its key. Its id is unique and its bytes never change, so putting it again is harmless.
    ///
    /// # Errors
    /// [`StoreError`]; the object may exist all the same.
    pub async fn put(&self, segment: &Segment) -> Result<(), StoreError> {
        self.put_object(&key::of(segment.id), segment.pieces.iter().cloned().collect()).await
    }

    /// Puts an object under a key that nobody else uses for other bytes.
    ///
    /// # Errors
    /// [`StoreError`]; the object may exist all the same.
    pub async fn put_object(&self, key: &Path, payload: PutPayload) -> Result<(), StoreError> {
        // Never a conditional put: after an ambiguous attempt, "exists already" would say nothing.
        self.with_retries(|| async {
            self.store.put(key, payload.clone()).await.map_err(|error| StoreError::from_store(&error))?;
            Ok(())
        })
        .await
    }

    /// Begins to put an object part by part, under a key that nobody else uses for other bytes. An attempt to put a part
    /// is not made again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_in_parts(&self, key: &Path) -> Result<PutInParts, StoreError> {
        let begun = self
            .with_retries(|| async {
                self.store.put_multipart(key).await.map_err(|error| StoreError::from_store(&error))
            })
            .await?;
        Ok(PutInParts::new(begun, self.config.attempt_deadline))
    }

    /// Reads a range of an object; exactly as many bytes as asked for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, key: &Path, range: ByteRange) -> Result<Bytes, StoreError> {
        let bytes = self.get_up_to(key, range).await?;
        if bytes.len() as u64 != range.len {
            let why = format!("it ends before byte {}", range.end());
            return Err(StoreError::Damaged(key.to_string(), why));
        }
        Ok(bytes)
    }

    /// Reads a range of an object that may reach past the object's end: fewer bytes than asked for mean that the
    /// object ends there, never that an answer was cut short.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get_up_to(&self, key: &Path, range: ByteRange) -> Result<Bytes, StoreError> {
        if range.len == 0 {
            return Ok(Bytes::new());
        }
        self.with_retries(|| self.get_once(key, range)).await
    }

    async fn get_once(&self, key: &Path, range: ByteRange) -> Result<Bytes, StoreError> {
        let options =
            GetOptions { range: Some(GetRange::Bounded(range.start..range.end())), ..GetOptions::default() };
        let failed = |error: object_store::Error| StoreError::from_store(&error);
        let answer = self.store.get_opts(key, options).await.map_err(failed)?;
        // What the answer must hold, by the size that the store states for the object.
        let end = range.end().min(answer.meta.size);
        let expected = end.saturating_sub(range.start);
        let bytes = answer.bytes().await.map_err(failed)?;
        if bytes.len() as u64 != expected {
            return Err(StoreError::Unavailable(format!(
                "it sent {} of {expected} bytes of {key}",
                bytes.len()
            )));
        }
        Ok(bytes)
    }

    /// Makes attempts until one succeeds, one fails for a reason that lasts, or the deadline has passed.
    async fn with_retries<T, F, A>(&self, attempt: A) -> Result<T, StoreError>
    where
        A: Fn() -> F,
        F: Future<Output = Result<T, StoreError>>,
    {
        let backoff = ExponentialBuilder::new()
            .with_min_delay(self.config.backoff_min)
            .with_max_delay(self.config.backoff_max)
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(self.random.next_u64());
        let last = Mutex::new(None);
        let limited = || async {
            timeout(self.config.attempt_deadline, attempt()).await.unwrap_or_else(|_| {
                let patience = self.config.attempt_deadline;
                Err(StoreError::Unavailable(format!("no answer within {patience:?}")))
            })
        };
        let retried = limited.retry(backoff).sleep(tokio::time::sleep).when(StoreError::is_retryable).notify(
            |error, pause| {
                self.retries.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, ?pause, "store request failed, trying again");
                *last.lock() = Some(error.clone());
            },
        );
        timeout(self.config.deadline, retried).await.unwrap_or_else(|_| {
            let patience = self.config.deadline;
            let unanswered = || StoreError::Unavailable(format!("no answer within {patience:?}"));
            Err(last.lock().take().unwrap_or_else(unanswered))
        })
    }
}
