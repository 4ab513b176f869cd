//! Linger: when the open segment closes. Pure: time comes in as an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::super::BrokerConfig;

/// The rule by which an open segment closes.
///
/// With nothing in flight it closes at once: a lone producer waits for one PUT and one commit and for no timer, and
/// the next segment gathers meanwhile, as in group commit. While flushes are in flight, the next one starts when
/// `interval` has passed since the last one started, so that flushes keep to the rate that was configured, or when
/// the segment is full. None waits longer than `ceiling`: where the rate would ask for more, latency wins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linger {
    interval: Duration,
    ceiling: Duration,
}

/// What the rule looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenSegment {
    /// When its first batch came.
    pub(super) opened: Instant,
    /// Whether it has reached its size.
    pub(super) full: bool,
    /// Whether no flush is in flight.
    pub(super) idle: bool,
    /// When the last flush started.
    pub(super) last_flush: Option<Instant>,
}

impl Linger {
    pub(super) fn new(config: &BrokerConfig) -> Self {
        let ceiling = config.linger_max;
        // A rate of nothing, or one that is no number, leaves the ceiling alone.
        let interval = Duration::try_from_secs_f64(config.flushes_per_second_max.recip()).unwrap_or(ceiling);
        Self { interval, ceiling }
    }

    /// When the segment closes, unless something else happens before.
    pub(super) fn due(self, segment: OpenSegment) -> Instant {
        let OpenSegment { opened, full, idle, last_flush } = segment;
        if full || idle {
            return opened;
        }
        let paced = last_flush.map_or(opened, |at| at + self.interval);
        paced.clamp(opened, opened + self.ceiling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linger(flushes_per_second_max: f64, linger_max_ms: u64) -> Linger {
        let linger_max = Duration::from_millis(linger_max_ms);
        Linger::new(&BrokerConfig { flushes_per_second_max, linger_max, ..BrokerConfig::default() })
    }

    /// Milliseconds that the segment waits, opened `since_last` ms after the last flush started.
    fn waits(linger: Linger, since_last: Option<u64>, full: bool, idle: bool) -> u128 {
        let last = Instant::now();
        let opened = last + Duration::from_millis(since_last.unwrap_or(0));
        let last_flush = since_last.map(|_| last);
        (linger.due(OpenSegment { opened, full, idle, last_flush }) - opened).as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn a_segment_waits_as_long_as_the_rule_says() {
        let check = |since_last, full, idle, expect| {
            assert_eq!(
                waits(linger(100.0, 250), since_last, full, idle),
                expect,
                "{since_last:?} {full} {idle}"
            );
        };
        check(None, false, true, 0);
        check(Some(0), false, true, 0);
        check(Some(0), true, false, 0);
        check(Some(0), false, false, 10);
        check(Some(4), false, false, 6);
        check(Some(10), false, false, 0);
        check(Some(500), false, false, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_ceiling_beats_the_rate() {
        assert_eq!(waits(linger(4.0, 5), Some(0), false, false), 5);
        assert_eq!(waits(linger(4.0, 300), Some(0), false, false), 250);
        assert_eq!(waits(linger(0.0, 20), Some(0), false, false), 20);
        assert_eq!(waits(linger(f64::NAN, 20), Some(0), false, false), 20);
        assert_eq!(waits(linger(-1.0, 20), Some(0), false, false), 20);
    }
}
