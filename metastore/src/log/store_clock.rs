//! Checks this machine's clock against the store's, before an agent joins a cluster. Timestamps and ids come from the
//! machine's clock, and one that is far off spoils both for everybody. Knows nothing of what else is in the store.

use std::{sync::Arc, time::Duration};

use ebb_protocol::{clock::SharedClock, ids::Timestamp, random::Random};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path};

use super::RetryConfig;

/// How far this machine's clock may be from the store's. S3 itself refuses requests that are off by 15 minutes.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// An object that says when it was written. Every start writes it anew.
const PROBE: &str = "probe/clock";

/// Why an agent may not join with this clock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// The clocks disagree.
    #[error(
        "this machine's clock is {0} seconds {1} the object store's: set it (is NTP running?) and start again"
    )]
    Skewed(u64, &'static str),
    /// The store could not be asked.
    #[error(
        "the object store cannot be written: {0}; check its address, the credentials and the bucket policy"
    )]
    Unavailable(String),
}

/// Compares the two clocks by an object that is written for it: two requests.
///
/// # Errors
/// [`ClockError`]
pub async fn check(
    store: &Arc<dyn ObjectStore>,
    clock: &SharedClock,
    random: &Random,
) -> Result<(), ClockError> {
    let (retry, probe) = (RetryConfig::default(), Path::from(PROBE));
    let unavailable = |why: String| ClockError::Unavailable(why);
    let before = clock.now();
    let put = || store.put(&probe, PutPayload::from_static(b"now\n"));
    retry.run(random, put).await.map_err(|failure| unavailable(failure.to_string()))?;
    let found = retry.run(random, || store.head(&probe)).await;
    let found = found.map_err(|failure| unavailable(failure.to_string()))?;
    judge(before, Timestamp(found.last_modified.timestamp_millis()), clock.now())
}

/// The store's clock showed `store` some time between `before` and `after`.
fn judge(before: Timestamp, store: Timestamp, after: Timestamp) -> Result<(), ClockError> {
    let ahead = Duration::from_millis(u64::try_from(before.0.saturating_sub(store.0)).unwrap_or(0));
    let behind = Duration::from_millis(u64::try_from(store.0.saturating_sub(after.0)).unwrap_or(0));
    if ahead > CLOCK_SKEW_MAX {
        return Err(ClockError::Skewed(ahead.as_secs(), "ahead of"));
    }
    if behind > CLOCK_SKEW_MAX {
        return Err(ClockError::Skewed(behind.as_secs(), "behind"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ebb_protocol::clock::{Clock, SystemClock};
    use object_store::memory::InMemory;

    use super::*;

    /// A clock that is off by so many milliseconds.
    struct Off(i64);

    impl Clock for Off {
        fn now(&self) -> Timestamp {
            Timestamp(SystemClock.now().0 + self.0)
        }
    }

    #[test]
    fn a_clock_may_be_off_by_a_few_minutes() {
        let (begin, end) = (1_000_000_000, 1_000_002_000);
        let max = 5 * 60 * 1_000;
        let skewed = |seconds, way| Err(ClockError::Skewed(seconds, way));
        for (store, expect) in [
            (begin, Ok(())),
            (end, Ok(())),
            (begin - max, Ok(())),
            (end + max, Ok(())),
            (begin - max - 1_000, skewed(301, "ahead of")),
            (end + max + 1_000, skewed(301, "behind")),
            (i64::MIN, skewed(i64::MAX.unsigned_abs() / 1_000, "ahead of")),
        ] {
            assert_eq!(judge(Timestamp(begin), Timestamp(store), Timestamp(end)), expect, "{store}");
        }
    }

    #[tokio::test]
    async fn the_store_is_asked_what_time_it_is() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let week = 7 * 24 * 60 * 60 * 1_000;
        for (off, is_fine) in [(0, true), (60_000, true), (-60_000, true), (week, false), (-week, false)] {
            let clock: SharedClock = Arc::new(Off(off));
            let checked = check(&store, &clock, &Random::from_seed(1)).await;
            assert_eq!(checked.is_ok(), is_fine, "off by {off} ms: {checked:?}");
        }
    }
}
