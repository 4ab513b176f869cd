//! A file on its way into the store while it is still being written. Knows nothing of what is in it.

use bytes::Bytes;
use ebb_segment::{parts::PutInParts, store::SegmentStore};
use object_store::{PutPayload, path::Path};

use super::{error::RewriteError, pace::RequestPace, shelf::Shelf};

/// A file that is larger goes into the store in parts of this size, each as soon as it is there.
const PART_BYTES: usize = 16 << 20;

/// A file of which some is in the store. It is there when [`Self::finish`] has succeeded, and not before.
pub(super) struct Upload<'a> {
    key: Path,
    store: &'a SegmentStore,
    requests: &'a RequestPace,
    /// What is not in the store yet.
    pending: Vec<u8>,
    parts: Option<PutInParts>,
}

impl<'a> Upload<'a> {
    /// Of a file with this key. Makes no request.
    pub(super) fn new(key: Path, shelf: Shelf<'a>) -> Self {
        let Shelf { store, requests, .. } = shelf;
        Self { key, store, requests, pending: Vec::new(), parts: None }
    }

    /// Takes up the next bytes, and puts the parts that are whole.
    ///
    /// # Errors
    /// [`RewriteError::Store`]; the upload is of no use any more.
    pub(super) async fn push(&mut self, bytes: &[u8]) -> Result<(), RewriteError> {
        self.pending.extend_from_slice(bytes);
        // The last part is not empty: what is just as large as a part waits.
        while self.pending.len() > PART_BYTES {
            let rest = self.pending.split_off(PART_BYTES);
            let part = Bytes::from(std::mem::replace(&mut self.pending, rest));
            let mut parts = match self.parts.take() {
                Some(parts) => parts,
                None => {
                    self.requests.turn().await;
                    self.store.put_in_parts(&self.key).await?
                }
            };
            self.requests.turn().await;
            parts.put(part).await?;
            self.parts = Some(parts);
        }
        Ok(())
    }

    /// Deletes what is in the store so far.
    pub(super) async fn give_up(self) {
        if let Some(parts) = self.parts {
            parts.give_up().await;
        }
    }

    /// Takes up the last bytes, and makes the file of all.
    ///
    /// # Errors
    /// [`RewriteError::Store`]; the file may be there all the same.
    pub(super) async fn finish(mut self, bytes: &[u8]) -> Result<(), RewriteError> {
        self.push(bytes).await?;
        let last = Bytes::from(self.pending);
        self.requests.turn().await;
        let Some(mut parts) = self.parts else {
            return Ok(self.store.put_object(&self.key, PutPayload::from_bytes(last)).await?);
        };
        parts.put(last).await?;
        self.requests.turn().await;
        Ok(parts.complete().await?)
    }
}
