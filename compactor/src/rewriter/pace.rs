//! Keeps the rewriter from taking more than its share: of requests to the store, and of a core.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

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

/// Spreads computing, so that others on the same threads have their turn. What works at the same time shares it.
#[derive(Debug)]
pub(super) struct CpuPace {
    percent: u32,
    /// Until when what was computed so far is its whole share.
    paid_until: Mutex<Instant>,
}

impl CpuPace {
    /// At most so many percent of a core; 0 counts as 1.
    pub(super) fn new(percent: u32) -> Self {
        Self { percent: percent.clamp(1, 100), paid_until: Mutex::new(Instant::now()) }
    }

    /// Computing begins.
    pub(super) fn stint(&self) -> Stint<'_> {
        Stint { pace: self, began: Instant::now() }
    }
}

/// Computing between two pauses.
#[derive(Debug)]
pub(super) struct Stint<'a> {
    pace: &'a CpuPace,
    began: Instant,
}

impl Stint<'_> {
    /// Computing goes on after something else.
    pub(super) fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// Called between two pieces of work.
    pub(super) async fn breathe(&mut self) {
        let worked = self.began.elapsed();
        if worked < STINT {
            return;
        }
        let until = {
            let mut paid = self.pace.paid_until.lock();
            *paid = (*paid).max(self.began) + worked * 100 / self.pace.percent;
            *paid
        };
        if until <= Instant::now() {
            tokio::task::yield_now().await;
        } else {
            sleep_until(until).await;
        }
        self.begin();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// How long two take, side by side, that compute for 100 ms each.
    async fn two_at_once(percent: u32) -> Duration {
        let (began, pace) = (Instant::now(), CpuPace::new(percent));
        let work = async || {
            let mut stint = pace.stint();
            for _ in 0..10 {
                advance(2 * STINT).await;
                stint.breathe().await;
            }
        };
        tokio::join!(work(), work());
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_works_at_the_same_time_shares_the_pace() {
        for (percent, least) in [(100, 200), (50, 400), (10, 2_000)] {
            let took = two_at_once(percent).await;
            assert!(took >= Duration::from_millis(least), "{percent} %: {took:?}");
        }
    }
}
