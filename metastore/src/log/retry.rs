//! Deadlines and retries around requests to an object store. Knows nothing of what a request is for.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use ebb_protocol::random::Random;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use object_store::{ObjectMeta, ObjectStore, path::Path};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// The longest text of a store's error that is passed on, in characters.
const TEXT_CHARS_MAX: usize = 300;

/// Objects deleted in one go: what S3 takes in one request.
const DELETE_BATCH: usize = 1000;

/// How patient to be with an object store. Plain data.
#[derive(Clone, Debug)]
pub struct RetryConfig {
    /// One attempt fails after this long and is made again.
    pub attempt_deadline: Duration,
    /// The whole operation fails after this long.
    pub deadline: Duration,
    /// The first pause between attempts; it doubles, with jitter.
    pub backoff_min: Duration,
    /// The longest pause between attempts, before jitter.
    pub backoff_max: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempt_deadline: Duration::from_secs(5),
            deadline: Duration::from_secs(30),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(2),
        }
    }
}

impl RetryConfig {
    /// The pauses between attempts, without end.
    pub(crate) fn pauses(&self, random: &Random) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(self.backoff_min)
            .with_max_delay(self.backoff_max)
            .with_jitter()
            .with_jitter_seed(random.next_u64())
            .without_max_times()
            .build()
    }

    /// Begins an operation: its deadline counts from now.
    pub(crate) fn begin(&self, random: &Random) -> Attempts {
        Attempts {
            attempt_deadline: self.attempt_deadline,
            deadline: Instant::now() + self.deadline,
            pauses: self.pauses(random),
        }
    }

    /// Runs a request that may be repeated freely until it succeeds, fails for good, or the deadline passes.
    pub(crate) async fn run<T, F, Fut>(&self, random: &Random, request: F) -> Result<T, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = object_store::Result<T>>,
    {
        let mut attempts = self.begin(random);
        loop {
            match attempts.bound(request()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if failure.is_final() => return Err(failure),
                Err(failure) => {
                    if !attempts.pause().await {
                        return Err(failure);
                    }
                }
            }
        }
    }

    /// Lists objects, in the order in which the store names them. A listing may be long, so its time is limited from
    /// page to page; one that breaks off begins again.
    pub(crate) async fn list<'s>(
        &self,
        random: &Random,
        list: impl Fn() -> BoxStream<'s, object_store::Result<ObjectMeta>>,
    ) -> Result<Vec<ObjectMeta>, Failure> {
        let mut attempts = self.begin(random);
        'again: loop {
            let mut listing = list();
            let mut found = Vec::new();
            loop {
                let next = timeout(self.attempt_deadline, listing.next()).await;
                let failure = match next {
                    Ok(Some(Ok(object))) => {
                        found.push(object);
                        continue;
                    }
                    Ok(None) => return Ok(found),
                    Ok(Some(Err(error))) => Failure::Store(error),
                    Err(_) => Failure::TimedOut,
                };
                if failure.is_final() || !attempts.pause().await {
                    return Err(failure);
                }
                continue 'again;
            }
        }
    }

    /// Deletes objects, a batch at a time; one that is gone already is no failure.
    pub(crate) async fn delete(
        &self,
        random: &Random,
        store: &Arc<dyn ObjectStore>,
        keys: &[Path],
    ) -> Result<(), Failure> {
        for batch in keys.chunks(DELETE_BATCH) {
            // Deleting twice is harmless, so a batch that fails is simply deleted again.
            let delete = || async {
                let batch: Vec<_> = batch.iter().cloned().map(Ok).collect();
                let mut deleted = store.delete_stream(stream::iter(batch).boxed());
                while let Some(answer) = deleted.next().await {
                    match answer {
                        Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            };
            self.run(random, delete).await?;
        }
        Ok(())
    }
}

/// One operation's attempts.
pub(crate) struct Attempts {
    attempt_deadline: Duration,
    deadline: Instant,
    pauses: ExponentialBackoff,
}

impl Attempts {
    /// Runs one request under both deadlines.
    pub(crate) async fn bound<T>(
        &self,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Failure> {
        let until = self.deadline.min(Instant::now() + self.attempt_deadline);
        match timeout_at(until, request).await {
            Ok(answer) => answer.map_err(Failure::Store),
            Err(_) => Err(Failure::TimedOut),
        }
    }

    /// Waits before the next attempt; false when the deadline leaves no room for one.
    pub(crate) async fn pause(&mut self) -> bool {
        let pause = self.pauses.next().unwrap_or(self.attempt_deadline);
        if Instant::now() + pause >= self.deadline {
            return false;
        }
        sleep(pause).await;
        true
    }
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store answered with an error.
    Store(object_store::Error),
    /// The store did not answer in time.
    TimedOut,
}

impl Failure {
    /// Whether the object is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Store(object_store::Error::NotFound { .. }))
    }

    /// Whether the store says that the object exists already.
    pub(crate) fn exists(&self) -> bool {
        matches!(self, Self::Store(object_store::Error::AlreadyExists { .. }))
    }

    /// Whether asking again cannot help.
    pub(crate) fn is_final(&self) -> bool {
        use object_store::Error as E;
        match self {
            Self::TimedOut => false,
            Self::Store(error) => matches!(
                error,
                E::NotFound { .. }
                    | E::PermissionDenied { .. }
                    | E::Unauthenticated { .. }
                    | E::NotSupported { .. }
                    | E::NotImplemented { .. }
                    | E::InvalidPath { .. }
                    | E::UnknownConfigurationKey { .. }
            ),
        }
    }
}

/// A store's error in one line of bounded length: stores put whole XML documents into theirs.
pub(super) fn one_line(error: &object_store::Error) -> String {
    let text = error.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(TEXT_CHARS_MAX).collect()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => f.write_str(&one_line(error)),
            Self::TimedOut => f.write_str("the object store did not answer in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_failure_is_a_short_line() {
        let source = format!("404\n<Error>\n  {}</Error>", "x".repeat(1000)).into();
        let failure = Failure::Store(object_store::Error::Generic { store: "S3", source }).to_string();
        assert!(failure.contains("404 <Error> xxx"), "{failure}");
        assert_eq!(failure.len(), TEXT_CHARS_MAX);
    }

    fn error() -> object_store::Error {
        object_store::Error::Generic { store: "test", source: "slow down".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_until_it_succeeds() {
        let calls = AtomicU32::new(0);
        let config = RetryConfig::default();
        let answer = config
            .run(&Random::from_seed(1), || async {
                if calls.fetch_add(1, Ordering::Relaxed) < 3 { Err(error()) } else { Ok(7) }
            })
            .await;
        assert_eq!(answer.expect("the fourth attempt succeeds"), 7);
        assert_eq!(calls.load(Ordering::Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_at_the_deadline_also_when_requests_hang() {
        let config = RetryConfig::default();
        let begin = Instant::now();
        let answer: Result<(), _> = config.run(&Random::from_seed(1), std::future::pending).await;
        assert!(matches!(answer, Err(Failure::TimedOut)));
        assert!(begin.elapsed() <= config.deadline);
        assert!(begin.elapsed() > config.deadline / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_repeat_what_cannot_help() {
        let calls = AtomicU32::new(0);
        let answer: Result<(), _> = RetryConfig::default()
            .run(&Random::from_seed(1), || async {
                calls.fetch_add(1, Ordering::Relaxed);
                Err(object_store::Error::PermissionDenied { path: "log".into(), source: "no".into() })
            })
            .await;
        assert!(answer.is_err_and(|failure| failure.is_final()));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
