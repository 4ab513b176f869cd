//! The bytes of requests that an agent holds, over all connections, and each frame's share of them. Knows nothing of
//! frames but their length.
//!
//! Slow uploads may hold the whole budget for a minute. An agent that answered nobody meanwhile would look dead, and the
//! others would put it out. So the smallest frames, among them the question of another agent, have a reserve.

use std::sync::Arc;

use ebb_protocol::frame::FrameError;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Frames up to this length may use the reserve. Another agent's question has ten bytes, an old client's ApiVersions
/// some thirty; requests that wait for others name a group or a topic, and most are longer.
pub(super) const SMALL_FRAME_BYTES_MAX: usize = 64;

/// The bytes of the reserve, beside the budget.
const RESERVE_BYTES: usize = 64 << 10;

/// The bytes of requests that may be held.
#[derive(Debug)]
pub(super) struct Budget {
    all: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
}

impl Budget {
    /// A budget of so many bytes, and the reserve.
    pub(super) fn new(bytes: usize) -> Self {
        let all = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        Self { all, reserve: Arc::new(Semaphore::new(RESERVE_BYTES)) }
    }

    /// The share of a frame of `len` bytes, once there is room for it.
    ///
    /// # Errors
    /// The frame is longer than any share.
    pub(super) async fn charge(&self, len: usize) -> Result<Charge, FrameError> {
        let permits = u32::try_from(len).map_err(|_| FrameError::TooLong { len, max: u32::MAX as usize })?;
        let share = self.all.clone().acquire_many_owned(permits);
        let share = if len > SMALL_FRAME_BYTES_MAX {
            share.await
        } else {
            tokio::select! {
                biased;
                share = share => share,
                share = self.reserve.clone().acquire_many_owned(permits) => share,
            }
        };
        Ok(Charge::new(share.expect("the semaphore is never closed")))
    }

    /// The bytes that are left beside the reserve.
    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.all.available_permits()
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
