//! The rewriter's task: which window is due, whose it is, and what happens when it fails.

use std::{collections::BTreeMap, ops::ControlFlow, ops::Range, sync::Arc, time::Duration};

use ebb_metastore::{Metastore, command::Work, state::State};
use ebb_protocol::{
    clock::SharedClock,
    ids::{AgentId, IdSource, LogPosition},
    random::Random,
};
use ebb_segment::store::SegmentStore;
use object_store::ObjectStore;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    claims::ClaimWatch,
    config::RewriterConfig,
    counters::RewriteCounters,
    error::RewriteError,
    pace::{CpuPace, RequestPace},
    plan::{Window, windows},
    window::{Rewritten, Workshop},
};

/// The shortest time between two looks at the state.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What one pass has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// A window was rewritten; there may be more.
    Window,
    /// Nothing is due. It may be at this instant, if the state stays as it is.
    Nothing(Option<Instant>),
}

/// The rewriter of one process. Any number may work on a cluster.
pub struct Rewriter {
    metastore: Metastore,
    store: SegmentStore,
    clock: SharedClock,
    ids: IdSource,
    config: RewriterConfig,
    counters: Arc<RewriteCounters>,
    requests: Arc<RequestPace>,
    cpu: Arc<CpuPace>,
    claims: ClaimWatch,
    /// Windows that failed, by their first position: where they end, and when they are tried again.
    failed: BTreeMap<LogPosition, (LogPosition, Instant)>,
    /// Where the last window began, if nothing came of it because all of it had changed meanwhile.
    in_vain: Option<LogPosition>,
}

impl Rewriter {
    /// A rewriter on a replica whose agent `me` is registered. `store` is the cluster's object store.
    #[must_use]
    pub fn new(
        me: AgentId,
        metastore: Metastore,
        store: Arc<dyn ObjectStore>,
        clock: SharedClock,
        random: Random,
        config: RewriterConfig,
    ) -> Self {
        let ids = IdSource::new(clock.clone(), random.fork());
        Self {
            metastore,
            store: SegmentStore::new(store, random, config.store.clone()),
            clock,
            ids,
            requests: Arc::new(RequestPace::new(config.requests_per_second_max)),
            cpu: Arc::new(CpuPace::new(config.cpu_percent_max)),
            claims: ClaimWatch::new(me, config.claim_timeout),
            config,
            counters: Arc::default(),
            failed: BTreeMap::new(),
            in_vain: None,
        }
    }

    /// The counters, for those who outlive it.
    #[must_use]
    pub fn counters(&self) -> Arc<RewriteCounters> {
        Arc::clone(&self.counters)
    }

    /// What keeps its requests and its computing in bounds.
    pub(super) fn paces(&self) -> (Arc<RequestPace>, Arc<CpuPace>) {
        (Arc::clone(&self.requests), Arc::clone(&self.cpu))
    }

    /// Rewrites window after window, each when it is due. While nothing is committed and nothing waits, it does
    /// nothing. Ends when this process can write no more entries. May be dropped anywhere.
    pub async fn run(mut self) {
        let mut applied = self.metastore.applied();
        loop {
            applied.mark_unchanged();
            let due = match self.pass(false).await {
                Ok(Done::Window) => continue,
                Ok(Done::Nothing(due)) => due,
                Err(error) if error.is_final() => return,
                Err(_) => Some(Instant::now()),
            };
            tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                changed = applied.changed() => if changed.is_err() { return },
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Rewrites the first window that is due; with `early`, also one that is neither full nor old. A window that fails
    /// is left alone for a while, so that the next pass takes another one.
    ///
    /// # Errors
    /// Any [`RewriteError`], for that window.
    pub async fn pass(&mut self, early: bool) -> Result<Done, RewriteError> {
        let (windows, now) = self.plan();
        let wall = self.clock.now();
        let wait =
            |window: &Window| if early { Duration::ZERO } else { window.wait(wall, self.config.window_age) };
        let Some(window) = windows.iter().min_by_key(|window| (wait(window), window.from)) else {
            return Ok(Done::Nothing(self.waiting(now)));
        };
        if !wait(window).is_zero() {
            // The wall clock may be set meanwhile: what it says is asked again after a while.
            let due = now + wait(window).min(self.config.window_age);
            return Ok(Done::Nothing([Some(due), self.waiting(now)].into_iter().flatten().min()));
        }
        match self.rewrite(window).await {
            Ok(ControlFlow::Continue(done)) => {
                let again = done.is_in_vain() && self.in_vain == Some(window.from);
                self.in_vain = done.is_in_vain().then_some(window.from);
                if again {
                    // Whatever goes on there, it is left alone for a while: no work is repeated without a pause.
                    self.leave(window);
                }
                Ok(Done::Window)
            }
            // Somebody else was quicker: the next look shows what is left.
            Ok(ControlFlow::Break(())) => Ok(Done::Nothing(Some(now + LOOK_INTERVAL))),
            Err(error) => {
                self.fail(window, &error).await;
                Err(error)
            }
        }
    }

    /// The windows there are, and when that was.
    fn plan(&mut self) -> (Vec<Window>, Instant) {
        let now = Instant::now();
        self.failed.retain(|_, (_, again)| now < *again);
        let (claims, failed, bytes) = (&mut self.claims, &self.failed, self.config.window_bytes);
        let windows = self.metastore.read(|state| {
            let mut obstacles = claims.look(state, now);
            obstacles.taken.extend(failed.iter().map(|(from, (to, _))| Range { start: *from, end: *to }));
            windows(state.unarchived(), &obstacles, bytes)
        });
        (windows, now)
    }

    /// When something that is left alone now is not any more.
    fn waiting(&self, now: Instant) -> Option<Instant> {
        let failed = self.failed.values().map(|(_, again)| *again).min();
        [failed, self.claims.next_due(now)].into_iter().flatten().min()
    }

    /// Break: somebody else has the work.
    async fn rewrite(&self, window: &Window) -> Result<ControlFlow<(), Rewritten>, RewriteError> {
        let work = Work::Window { from: window.from, to: window.to };
        if self.claims.claim(&self.metastore, work).await?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let cluster = self.metastore.read(State::cluster).expect("a member of a cluster has one");
        let claimed = Mutex::new(Instant::now());
        let renew = || async {
            let due = *claimed.lock() + self.config.claim_timeout / 3 <= Instant::now();
            if !due {
                return Ok(ControlFlow::Continue(()));
            }
            *claimed.lock() = Instant::now();
            self.claims.claim(&self.metastore, work).await
        };
        let workshop = Workshop {
            metastore: &self.metastore,
            store: &self.store,
            ids: &self.ids,
            config: &self.config,
            requests: &self.requests,
            cpu: &self.cpu,
            counters: &self.counters,
            cluster,
        };
        let done = workshop.rewrite(window, renew).await?;
        tracing::debug!(
            files = done.files,
            refused = done.refused,
            bytes = window.bytes,
            "a window was archived"
        );
        Ok(ControlFlow::Continue(done))
    }

    fn leave(&mut self, window: &Window) {
        self.failed.insert(window.from, (window.to, Instant::now() + self.config.retry_after));
    }

    async fn fail(&mut self, window: &Window, error: &RewriteError) {
        self.counters.window_failed();
        self.leave(window);
        let (from, to) = (window.from.0, window.to.0);
        if let Some(object) = error.lost() {
            // Somebody else may have archived it, and the sweeper deleted it, since this was planned.
            let known = self.metastore.tail_check().await.is_ok();
            if known && self.metastore.read(|state| state.is_referenced(object)) {
                tracing::error!(%error, from, to, "acknowledged records cannot be archived");
                return;
            }
        }
        tracing::warn!(%error, from, to, "a window could not be archived, it is tried again");
    }
}
