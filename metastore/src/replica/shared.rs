//! What the handle and the task of a replica share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ebb_protocol::ids::LogPosition;
use parking_lot::{Mutex, RwLock};
use tokio::{sync::Notify, time::Instant};

use super::error::MetastoreError;
use crate::{state::State, watch};

/// Takes the bytes of entries that carry a segment body as they pass by, so that their readers need not ask the
/// store for them again.
pub trait BodySink: Send + Sync + std::fmt::Debug {
    /// The entry at `position`, whole: its head and its body, one after the other, as its object holds them. Called
    /// for every entry with a body, whoever wrote it, before it is applied. Must be quick.
    fn entry(&self, position: LogPosition, pieces: &[Bytes]);
}

/// The state, and the signals between the handle and the task.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: RwLock<State>,
    /// The state's position, for those who wait for it to change.
    pub(super) applied: watch::Sender<LogPosition>,
    pub(super) sink: RwLock<Option<Arc<dyn BodySink>>>,
    pub(super) closing: Notify,
    pub(super) closed: watch::Sender<bool>,
    /// Tail checks asked for so far.
    asked: AtomicU64,
    pub(super) asking: Notify,
    looked: watch::Sender<Looked>,
    /// All that was acknowledged before then is applied here.
    current: Mutex<Instant>,
}

/// The last look at the tail that ended: it answers all tail checks up to `asked`.
#[derive(Clone, Debug)]
struct Looked {
    asked: u64,
    tail: Result<LogPosition, MetastoreError>,
}

impl Shared {
    /// What is shared of a replica whose state was current at `current`.
    pub(super) fn new(state: State, current: Instant) -> Self {
        let applied = state.position();
        Self {
            state: RwLock::new(state),
            applied: watch::Sender::new(applied),
            sink: RwLock::new(None),
            closing: Notify::new(),
            closed: watch::Sender::new(false),
            asked: AtomicU64::new(0),
            asking: Notify::new(),
            looked: watch::Sender::new(Looked { asked: 0, tail: Ok(applied) }),
            current: Mutex::new(current),
        }
    }

    /// Asks for a look at the tail that begins after now, and waits for its end.
    pub(super) async fn look(&self) -> Result<LogPosition, MetastoreError> {
        let begun = Instant::now();
        let mut looked = self.looked.subscribe();
        let asked = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.asking.notify_one();
        let ended = looked.wait_for(|looked| looked.asked >= asked).await;
        let tail = ended.map_or(Err(MetastoreError::Closed), |looked| looked.tail)?;
        let mut current = self.current.lock();
        *current = begun.max(*current);
        Ok(tail)
    }

    /// How old the state may be: what was acknowledged longer ago is applied here.
    pub(super) fn age(&self) -> Duration {
        self.current.lock().elapsed()
    }

    /// The tail checks that a look which begins now answers.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    /// The tail checks that have been answered.
    pub(super) fn answered(&self) -> u64 {
        self.looked.get().asked
    }

    /// A look has ended.
    pub(super) fn looked(&self, asked: u64, tail: Result<LogPosition, MetastoreError>) {
        self.looked.send(Looked { asked, tail });
    }

    /// There will be no more looks.
    pub(super) fn close(&self) {
        // A replica that stopped for a reason goes on to name it.
        if self.looked.get().asked != u64::MAX {
            self.looked(u64::MAX, Err(MetastoreError::Closed));
        }
        self.closed.send(true);
    }
}
