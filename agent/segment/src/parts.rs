//! Puts a large object part by part, so that nobody holds all of it in memory. Knows nothing of what the bytes mean.

use std::time::Duration;

use bytes::Bytes;
use object_store::MultipartUpload;
use tokio::time::timeout;

use crate::error::StoreError;

/// An object of which some parts are in the store. It is there when [`Self::complete`] has succeeded, and not before.
///
/// Dropped before, it leaves parts behind that no listing shows, unless it is on a disk. Stores can be told to delete
/// such parts after a while (`AbortIncompleteMultipartUpload` in the rules of a bucket).
#[derive(Debug)]
pub struct PutInParts {
    upload: Box<dyn MultipartUpload>,
    deadline: Duration,
}

impl PutInParts {
    pub(crate) fn new(upload: Box<dyn MultipartUpload>, deadline: Duration) -> Self {
        Self { upload, deadline }
    }

    /// Puts the next part. All but the last have the same size, of 5 MiB at least: some stores want that.
    ///
    /// # Errors
    /// [`StoreError`]; what was put so far is deleted, and the object is given up.
    pub async fn put(&mut self, part: Bytes) -> Result<(), StoreError> {
        let sent = self.upload.put_part(part.into());
        let sent = timeout(self.deadline, sent).await;
        self.checked(sent.map(|sent| sent.map_err(|error| StoreError::from_store(&error)))).await
    }

    /// Makes one object of the parts.
    ///
    /// # Errors
    /// [`StoreError`]; the object may exist all the same.
    pub async fn complete(mut self) -> Result<(), StoreError> {
        let done = timeout(self.deadline, self.upload.complete()).await;
        let done = done.map(|done| done.map(drop).map_err(|error| StoreError::from_store(&error)));
        self.checked(done).await
    }

    /// Deletes the parts, as far as the store can be reached; else that is left to the rules of the bucket.
    pub async fn give_up(mut self) {
        self.abort().await;
    }

    async fn abort(&mut self) {
        let _deleted = timeout(self.deadline, self.upload.abort()).await;
    }

    async fn checked<E>(&mut self, done: Result<Result<(), StoreError>, E>) -> Result<(), StoreError> {
        let late = |_| StoreError::Unavailable(format!("no answer within {:?}", self.deadline));
        let done = done.map_err(late).flatten();
        if done.is_err() {
            self.abort().await;
        }
        done
    }
}
