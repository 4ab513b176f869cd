//! The bytes of answers to fetches: bounded over the whole agent, and given back when the last slice is dropped.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The budget is counted in units of this many bytes.
const UNIT_BYTES: u64 = 1 << 10;

/// A budget of bytes for answers that are alive.
#[derive(Clone, Debug)]
pub(super) struct ReplyBudget {
    units: Arc<Semaphore>,
    units_max: u32,
}

/// A share of the budget. It is given back when this and all bytes made with it are gone.
#[derive(Clone, Debug)]
pub(super) struct ReplyShare(#[expect(dead_code, reason = "held for its drop")] Arc<OwnedSemaphorePermit>);

impl ReplyBudget {
    pub(super) fn new(bytes_max: u64) -> Self {
        let units_max = u32::try_from(bytes_max.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX >> 3).max(1);
        Self { units: Arc::new(Semaphore::new(units_max as usize)), units_max }
    }

    /// Waits for room for that many bytes. More than the whole budget counts as the whole budget: one batch may be
    /// larger, and must be readable.
    pub(super) async fn take(&self, bytes: u64) -> ReplyShare {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).min(self.units_max);
        let permit = Arc::clone(&self.units).acquire_many_owned(units).await;
        ReplyShare(Arc::new(permit.expect("the budget is never closed")))
    }
}

impl ReplyShare {
    /// Bytes that keep this share taken as long as any slice of them lives.
    pub(super) fn keep(&self, bytes: BytesMut) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        Bytes::from_owner(Reply { bytes, _share: self.clone() })
    }
}

struct Reply {
    bytes: BytesMut,
    _share: ReplyShare,
}

impl AsRef<[u8]> for Reply {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
