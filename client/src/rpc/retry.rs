//! When and how often a call is made again.
//! Knows errors and time; knows nothing of what is called.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use ebb_protocol::random::Random;
use tokio::time::Instant;

use crate::Error;

/// The first wait between two attempts.
const DELAY_MIN: Duration = Duration::from_millis(20);
/// The longest wait between two attempts.
const DELAY_MAX: Duration = Duration::from_secs(1);

/// What a call does at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it may be repeated at will.
    Reads,
    /// A change that must not be made twice: it is repeated only when it certainly had no effect.
    Changes,
}

/// Makes calls again until they succeed, cannot succeed, or the time is over.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    random: Random,
    total: Duration,
}

impl Retry {
    pub(crate) fn new(random: Random, total: Duration) -> Self {
        Self { random, total }
    }

    /// Growing waits with jitter, without end.
    pub(crate) fn delays(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        delays(&self.random)
    }

    /// Makes `call` until it succeeds. A failure that another attempt cannot mend, and the last one when time is up,
    /// is answered.
    pub(crate) async fn run<T, F>(&self, effect: Effect, mut call: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let deadline = Instant::now() + self.total;
        let mut delays = self.delays();
        loop {
            let error = match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let repeatable = error.is_retriable() && (effect == Effect::Reads || error.has_no_side_effects());
            let delay = delays.next().unwrap_or(DELAY_MAX);
            if !repeatable || Instant::now() + delay >= deadline {
                return Err(error);
            }
            tracing::debug!(%error, ?delay, "call failed, trying again");
            tokio::time::sleep(delay).await;
        }
    }
}

/// Growing waits with jitter, without end.
pub(crate) fn delays(random: &Random) -> impl Iterator<Item = Duration> + Send + use<> {
    ExponentialBuilder::default()
        .with_min_delay(DELAY_MIN)
        .with_max_delay(DELAY_MAX)
        .with_factor(2.0)
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(random.next_u64())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a call is made that always fails with `error`.
    async fn attempts(effect: Effect, error: Error) -> usize {
        let retry = Retry::new(Random::from_seed(1), Duration::from_secs(5));
        let mut made = 0;
        let result: Result<(), Error> = retry
            .run(effect, || {
                made += 1;
                let error = error.clone();
                async move { Err(error) }
            })
            .await;
        assert!(result.is_err());
        made
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_can_help_is_tried_again() {
        let unreachable = Error::Unreachable("gone".into());
        let uncertain = Error::Uncertain("lost".into());
        assert!(attempts(Effect::Reads, unreachable.clone()).await > 5);
        assert!(attempts(Effect::Changes, unreachable).await > 5);
        assert!(attempts(Effect::Reads, uncertain.clone()).await > 5);
        assert_eq!(attempts(Effect::Changes, uncertain).await, 1);
        assert_eq!(attempts(Effect::Reads, Error::Usage("wrong".into())).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_allowed_is_kept() {
        let before = Instant::now();
        attempts(Effect::Reads, Error::Unreachable("gone".into())).await;
        assert!(before.elapsed() <= Duration::from_secs(5));
        assert!(before.elapsed() >= Duration::from_secs(3));
    }
}
