//! Keeps watch over dead objects until their grace is over. Knows no store.
//!
//! The grace counts from when this process first saw the object dead, on tokio's clock: that is never too early,
//! whatever the wall clocks of agents do. A process that does not live that long would never delete anything, so an
//! object that by the wall clock has been dead for much longer than the grace needs no further watch.

use std::{collections::BTreeMap, time::Duration};

use ebb_metastore::{command::ObjectRef, state::State};
use ebb_protocol::ids::Timestamp;
use tokio::time::Instant;

use super::survey::before;

/// Dead objects that are watched at once; the others have their turn when these are gone.
const WATCHED_MAX: usize = 1 << 16;

/// A dead object under watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    /// Its size, as the state knows it.
    pub(super) bytes: u64,
    /// When it may be deleted.
    pub(super) due: Instant,
}

/// Dead objects and when they may be deleted.
#[derive(Debug)]
pub(super) struct DeadWatch {
    grace: Duration,
    /// What has been dead for this long by the wall clock is not watched any longer.
    long_grace: Duration,
    watched: BTreeMap<ObjectRef, Watched>,
}

impl DeadWatch {
    pub(super) fn new(grace: Duration, long_grace: Duration) -> Self {
        Self { grace, long_grace: long_grace.max(grace), watched: BTreeMap::new() }
    }

    /// Takes up what has died since the last look, and drops what has been forgotten.
    pub(super) fn look(&mut self, state: &State, wall: Timestamp, now: Instant) {
        let long_ago = before(wall, self.long_grace);
        let watch = |(object, dead): (ObjectRef, ebb_metastore::state::DeadObject)| {
            let fresh = || Watched {
                bytes: dead.bytes,
                due: if dead.since < long_ago { now } else { now + self.grace },
            };
            (object, self.watched.get(&object).copied().unwrap_or_else(fresh))
        };
        self.watched = state.dead_objects().take(WATCHED_MAX).map(watch).collect();
    }

    /// When the next object is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.watched.values().map(|watched| watched.due).min()
    }

    /// Up to `count` objects that are due, with their sizes.
    pub(super) fn due(&self, now: Instant, count: usize) -> Vec<(ObjectRef, u64)> {
        let due = self.watched.iter().filter(|(_, watched)| watched.due <= now);
        due.map(|(object, watched)| (*object, watched.bytes)).take(count).collect()
    }

    /// An object was deleted and is about to be forgotten.
    pub(super) fn done(&mut self, object: ObjectRef) {
        self.watched.remove(&object);
    }
}
