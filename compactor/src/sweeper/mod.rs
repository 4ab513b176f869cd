//! The sweeper deletes the segments and archive files that nothing needs: those that are dead (no coordinates refer to
//! them any more), and orphans (uploaded, never committed). Must not know what is in them.
//!
//! # Why nothing is deleted that is needed
//! A dead object stays dead: `apply` never takes its commit again. An orphan could still be committed by an agent that
//! sleeps. So before it deletes orphans the sweeper has an entry raise the sweep boundary: from that entry on `apply`
//! refuses to commit what was minted before it. What is unknown to the state *after* that entry and older than the
//! boundary is never going to be known. No clock takes part in this. Clocks only say how long to wait, so one that is
//! wrong costs an agent a refusal, after which it mints ids at or above the boundary, and never a record.
//!
//! Any number of sweepers may run: deleting twice is harmless. Dead bodies inside the commit log are only forgotten
//! here; the log's truncation, which decides what the log itself still needs, then drops them with their entries.

mod counters;
mod dead;
mod listing;
mod orphans;
mod removal;
mod survey;
mod swept;
mod task;

use std::{sync::Arc, time::Duration};

use ebb_metastore::{Metastore, MetastoreError};
use ebb_protocol::{clock::SharedClock, random::Random};
use object_store::ObjectStore;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::task::Task;
pub use self::{
    counters::{SweepCounters, SweepCounts},
    survey::{Standings, Survey, Tally, survey},
};

/// The shortest grace for orphans: longer than any upload and its commit may take.
pub const ORPHAN_GRACE_MIN: Duration = Duration::from_secs(60 * 60);

/// Settings of the sweeper. Plain data.
#[derive(Clone, Debug)]
pub struct SweeperConfig {
    /// A dead segment is deleted after this long: longer than any fetch or cached plan may still refer to it.
    pub dead_grace: Duration,
    /// The same for an archive file: analysts may read an old snapshot of a table for this long.
    pub archive_grace: Duration,
    /// An uncommitted object is deleted when it is older than this; at least [`ORPHAN_GRACE_MIN`].
    pub orphan_grace: Duration,
    /// The shortest time between two passes, on average.
    pub pass_interval: Duration,
    /// The shortest time between two listings by all agents together, on average.
    pub listing_interval: Duration,
    /// The pause between two requests of a listing.
    pub listing_pause: Duration,
    /// A request to the store fails after this long; it is made again in the next pass.
    pub request_deadline: Duration,
    /// The share of the listed objects, in percent, that one pass may delete as orphans: the breaker.
    pub orphans_per_pass_percent_max: u64,
    /// So many orphans may always be deleted by one pass, whatever their share.
    pub orphans_per_pass_min: u64,
}

impl Default for SweeperConfig {
    fn default() -> Self {
        Self {
            dead_grace: Duration::from_secs(60 * 60),
            archive_grace: Duration::from_secs(24 * 60 * 60),
            orphan_grace: Duration::from_secs(24 * 60 * 60),
            pass_interval: Duration::from_secs(10 * 60),
            listing_interval: Duration::from_secs(6 * 60 * 60),
            listing_pause: Duration::from_millis(200),
            request_deadline: Duration::from_secs(30),
            orphans_per_pass_percent_max: 5,
            orphans_per_pass_min: 100,
        }
    }
}

/// A running sweeper. Dropping it stops it at once, which is harmless at any point.
#[derive(Debug)]
pub struct Sweeper {
    closing: CancellationToken,
    counters: Arc<SweepCounters>,
    task: AbortOnDropHandle<()>,
}

impl Sweeper {
    /// Starts the background task. `store` is the cluster's object store, `metastore` the process's replica, whose
    /// agent is registered.
    #[must_use]
    pub fn start(
        metastore: Metastore,
        store: Arc<dyn ObjectStore>,
        clock: SharedClock,
        random: Random,
        config: SweeperConfig,
    ) -> Self {
        let (closing, counters) = (CancellationToken::new(), Arc::new(SweepCounters::default()));
        let task = Task::new(metastore, store, clock, random, config, counters.clone());
        let stop = closing.clone();
        let run = async move {
            // A pass may be dropped anywhere: whatever it has not confirmed is done again by the next one.
            stop.run_until_cancelled(task.run()).await;
        };
        Self { closing, counters, task: AbortOnDropHandle::new(tokio::spawn(run)) }
    }

    /// What it has found and deleted so far.
    #[must_use]
    pub fn counts(&self) -> SweepCounts {
        self.counters.counts()
    }

    /// The counters themselves, for those who outlive it.
    #[must_use]
    pub fn counters(&self) -> Arc<SweepCounters> {
        Arc::clone(&self.counters)
    }

    /// Stops, and waits until no request of its own is in flight. Comes before the metastore's shutdown.
    pub async fn shutdown(self) {
        self.closing.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the sweeper ended badly");
        }
    }
}

/// Why a pass was cut short. The next one goes on.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    /// The store did not do what was asked.
    #[error("the object store cannot be swept: {0}")]
    Store(#[from] object_store::Error),
    /// The store did not answer.
    #[error("the object store cannot be swept: no answer within {0:?}")]
    TimedOut(Duration),
    /// The metastore has no answer.
    #[error("the sweep cannot be recorded: {0}")]
    Metastore(#[from] MetastoreError),
    /// The metastore refused a command.
    #[error("the sweep was refused: {0}")]
    Refused(String),
}

impl SweepError {
    /// Whether no later pass of this process can succeed.
    fn is_final(&self) -> bool {
        matches!(self, Self::Metastore(error) if error.is_final())
    }
}
