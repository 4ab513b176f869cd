//! The watch over this process's own sleep. A laptop's lid, a stopped container or a long swap may let a process
//! sleep past the truncation grace, and then what it learns of a position may be wrong: the position may have been
//! filled and dropped, so that it reads as empty, and a conditional put succeeds where an entry has stood.
//!
//! # Why the watch suffices
//! Let it be known that nothing stood at position `p` at an instant `T`. An entry at or above `p` was written after
//! `T`, and is dropped only a grace after an entry that was written later still declared it. So whatever is learnt
//! of positions at or above `p` before `T` + grace is true. `T` is the beginning of the newest request that showed an
//! empty position: a read of the tail, an append that landed, or a listing that showed no newer snapshot than the
//! replica's own position (nothing above the newest snapshot is ever dropped). When more than a part of the grace
//! has passed since, by the wall clock or by tokio's, or when the two disagree, what was learnt is believed only
//! after the snapshots have been listed again. Tokio's clock stands still while a machine is suspended and the wall
//! clock can be set, so neither is trusted alone.

use ebb_protocol::planted::{Bug, is_planted};
use std::time::Duration;

use ebb_protocol::{clock::SharedClock, ids::Timestamp};
use tokio::time::Instant;

/// The part of the grace after which knowledge is stale: leaves room for clocks of other processes that are off.
const GRACE_PARTS: u32 = 4;

/// An instant by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    wall: Timestamp,
    pub(super) tokio: Instant,
}

impl Moment {
    pub(super) fn now(clock: &SharedClock) -> Self {
        Self { wall: clock.now(), tokio: Instant::now() }
    }
}

/// Knows since when the replica may believe what it learns.
pub(super) struct Vigil {
    clock: SharedClock,
    patience: Duration,
    since: Moment,
}

impl Vigil {
    /// A watch that begins with a request which showed an empty position, at the moment when that request began.
    pub(super) fn new(clock: SharedClock, grace: Duration, since: Moment) -> Self {
        Self { clock, patience: grace / GRACE_PARTS, since }
    }

    pub(super) fn now(&self) -> Moment {
        Moment::now(&self.clock)
    }

    /// Notes that a request which began at `since` showed an empty position.
    pub(super) fn confirm(&mut self, since: Moment) {
        if since.tokio > self.since.tokio {
            self.since = since;
        }
    }

    /// Whether what is learnt now may be wrong.
    pub(super) fn is_stale(&self) -> bool {
        if is_planted(Bug::BelieveAfterSleep) {
            return false;
        }
        let now = self.now();
        let tokio = now.tokio.duration_since(self.since.tokio);
        let wall = u64::try_from(now.wall.0.saturating_sub(self.since.wall.0)).map(Duration::from_millis);
        // A wall clock that went back tells nothing of how long we slept.
        tokio > self.patience || wall.is_ok_and(|wall| wall > self.patience) || wall.is_err()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    use ebb_protocol::clock::Clock;
    use tokio::time::advance;

    use super::*;

    #[derive(Default)]
    struct Wall(AtomicI64);

    impl Clock for Wall {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::Relaxed))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn either_clock_makes_it_stale() {
        let wall = Arc::new(Wall::default());
        let clock: SharedClock = wall.clone();
        let mut vigil = Vigil::new(clock.clone(), Duration::from_secs(400), Moment::now(&clock));
        assert!(!vigil.is_stale());
        advance(Duration::from_secs(101)).await;
        assert!(vigil.is_stale(), "tokio's clock alone");
        vigil.confirm(vigil.now());
        assert!(!vigil.is_stale());
        wall.0.store(101_000, Ordering::Relaxed);
        assert!(vigil.is_stale(), "the wall clock alone, as after a suspend");
        vigil.confirm(vigil.now());
        advance(Duration::from_secs(1)).await;
        vigil.confirm(vigil.now());
        wall.0.store(50_000, Ordering::Relaxed);
        assert!(vigil.is_stale(), "a wall clock that went back");
    }
}
