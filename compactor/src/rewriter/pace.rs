//! Keeps the rewriter from taking more than its share: of requests to the store, and of a core.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

/// Work goes on for about this long between two pauses.
const STINT: Duration = Duration::from_millis(5);

/// Spreads requests evenly.
#[derive(Debug)]
pub(super) struct RequestPace {
    apart: Duration,
    next: Mutex<Instant>,
}

impl RequestPace {
    /// At most so many requests a second.
    pub(super) fn new(per_second: f64) -> Self {
        let apart = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::ZERO);
        Self { apart, next: Mutex::new(Instant::now()) }
    }

    /// Waits for the next request's turn.
    pub(super) async fn turn(&self) {
        let turn = {
            let mut next = self.next.lock();
            let turn = (*next).max(Instant::now());
            *next = turn + self.apart;
            turn
        };
        sleep_until(turn).await;
    }
}

/// Pauses between stints of computing, so that others on the same threads have their turn.
#[derive(Debug)]
pub(super) struct CpuPace {
    percent: u32,
    began: Instant,
}

impl CpuPace {
    /// At most so many percent of a core; 0 counts as 1.
    pub(super) fn new(percent: u32) -> Self {
        Self { percent: percent.clamp(1, 100), began: Instant::now() }
    }

    /// Computing begins, or goes on after something else.
    pub(super) fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// Called between two pieces of work.
    pub(super) async fn breathe(&mut self) {
        let worked = self.began.elapsed();
        if worked < STINT {
            return;
        }
        if self.percent == 100 {
            tokio::task::yield_now().await;
        } else {
            sleep(worked * (100 - self.percent) / self.percent).await;
        }
        self.begin();
    }
}
