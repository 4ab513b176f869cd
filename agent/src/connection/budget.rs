//! The bytes of requests that an agent holds, over all connections, and each frame's share of them. Knows nothing of
//! frames but their length.

use std::sync::Arc;

use ebb_protocol::frame::FrameError;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes of requests that may be held.
#[derive(Debug)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    /// A budget of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// The share of a frame of `len` bytes, once there is room for it.
    ///
    /// # Errors
    /// The frame is longer than any share.
    pub(super) async fn charge(&self, len: usize) -> Result<Charge, FrameError> {
        let permits = u32::try_from(len).map_err(|_| FrameError::TooLong { len, max: u32::MAX as usize })?;
        let bytes = self.0.clone().acquire_many_owned(permits).await;
        Ok(Charge::new(bytes.expect("the semaphore is never closed")))
    }

    /// The bytes that are left.
    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.0.available_permits()
    }
}

/// A frame's share of the byte budget. Given back when its last clone is dropped, or before by [`Charge::release`].
#[derive(Clone, Debug)]
pub(crate) struct Charge(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Charge {
    fn new(bytes: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(Some(bytes))))
    }

    /// Gives the share back before the reply has left. Only for who holds nothing of the frame any more.
    pub(crate) fn release(&self) {
        self.0.lock().take();
    }
}
