//! The bucket engine: one object per entry, created with a conditional put; the embedded default, for a local
//! directory and for object stores alike. Must not know what an entry means beyond its id.
//!
//! An entry at position 42 is the object `log/00000000000000000042`: its head, and its body right behind.

use ebb_protocol::planted::{Bug, is_planted};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ebb_protocol::{
    ids::{EntryId, LogPosition},
    random::Random,
};
use object_store::{
    GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path,
};

use super::{
    AppendError, CommitLog, EntryBytes, ReadError,
    retry::{Failure, RetryConfig},
};
use crate::entry::Entry;

pub use super::probe::{ProbeError, probe};

const PREFIX: &str = "log";

/// Enough of an entry's beginning to know its id.
const ID_BYTES: u64 = 64;

/// Up to this many positions are probed one by one before the log is listed: a probe costs a tenth of a listing.
const PROBES_MAX: u64 = 3;

/// A commit log in an object store whose conditional create has exactly one winner (see [`probe`]).
#[derive(Clone, Debug)]
pub struct BucketLog {
    store: Arc<dyn ObjectStore>,
    random: Random,
    config: RetryConfig,
}

impl BucketLog {
    /// A log in an opened bucket or directory. The random source only spreads retries.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, random: Random, config: RetryConfig) -> Self {
        Self { store, random, config }
    }

    /// The id of the entry at `key`: `Ok(None)` when there is no object, `Ok(Some(None))` when there is one that is
    /// no entry.
    async fn id_at(&self, key: &Path) -> object_store::Result<Option<Option<EntryId>>> {
        let options = GetOptions { range: Some(GetRange::Bounded(0..ID_BYTES)), ..GetOptions::default() };
        match self.store.get_opts(key, options).await {
            Ok(found) => Ok(Some(Entry::peek_id(&whole(found).await?))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn stands(&self, position: LogPosition) -> Result<bool, ReadError> {
        let key = key(position);
        match self.config.run(&self.random, || self.store.head(&key)).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_missing() => Ok(false),
            Err(failure) => Err(unreadable(&failure)),
        }
    }

    /// The positions at and above `from` at which entries stand, sorted.
    async fn list(&self, from: LogPosition) -> Result<Vec<LogPosition>, ReadError> {
        let prefix = Path::from(PREFIX);
        let list = || match from.0.checked_sub(1) {
            Some(before) => self.store.list_with_offset(Some(&prefix), &key(LogPosition(before))),
            None => self.store.list(Some(&prefix)),
        };
        let objects = self.config.list(&self.random, list).await.map_err(|failure| unreadable(&failure))?;
        let mut positions: Vec<_> = objects.iter().filter_map(|object| position(&object.location)).collect();
        positions.sort_unstable();
        Ok(positions)
    }
}

#[async_trait]
impl CommitLog for BucketLog {
    /// `AlreadyExists` does not mean that somebody else was first: a lost answer makes our own entry stand there, and
    /// a store may say it of two requests that collided, of which none was carried out. So after any failure the
    /// position is read back and the entry ids are compared.
    async fn append(&self, position: LogPosition, entry: &EntryBytes) -> Result<(), AppendError> {
        let key = key(position);
        let payload: PutPayload = std::iter::once(&entry.head).chain(&entry.body).cloned().collect();
        let mut attempts = self.config.begin(&self.random);
        loop {
            let create = self.store.put_opts(&key, payload.clone(), PutMode::Create.into());
            let Err(doubt) = attempts.bound(create).await else {
                return Ok(());
            };
            if is_planted(Bug::TrustAlreadyExists) && doubt.exists() {
                return Ok(());
            }
            match attempts.bound(self.id_at(&key)).await {
                Ok(Some(Some(id))) if id == entry.id => return Ok(()),
                Ok(Some(_)) => return Err(AppendError::Taken(position)),
                Ok(None) | Err(_) => {}
            }
            if doubt.is_final() || !attempts.pause().await {
                return Err(AppendError::Unavailable(doubt.to_string()));
            }
        }
    }

    async fn read(&self, position: LogPosition) -> Result<Option<Bytes>, ReadError> {
        let key = key(position);
        let get = || async { whole(self.store.get(&key).await?).await };
        match self.config.run(&self.random, get).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(unreadable(&failure)),
        }
    }

    async fn tail(&self, from: LogPosition) -> Result<LogPosition, ReadError> {
        let mut tail = from;
        for _ in 0..PROBES_MAX {
            if !self.stands(tail).await? {
                return Ok(tail);
            }
            tail = tail.next();
        }
        for position in self.list(tail).await? {
            if position != tail {
                break;
            }
            tail = tail.next();
        }
        Ok(tail)
    }

    async fn truncate(&self, below: LogPosition, keep: &[LogPosition]) -> Result<(), ReadError> {
        let mut drop = self.list(LogPosition(0)).await?;
        drop.retain(|position| *position < below && keep.binary_search(position).is_err());
        let drop: Vec<_> = drop.into_iter().map(key).collect();
        self.config.delete(&self.random, &self.store, &drop).await.map_err(|failure| unreadable(&failure))
    }

    fn object(&self, position: LogPosition) -> Option<Path> {
        Some(key(position))
    }
}

/// The bytes of an answer; a connection that breaks off may leave fewer than were announced.
async fn whole(found: GetResult) -> object_store::Result<Bytes> {
    let announced = found.range.end - found.range.start;
    let bytes = found.bytes().await?;
    if bytes.len() as u64 == announced {
        return Ok(bytes);
    }
    let source = format!("{} of {announced} bytes arrived", bytes.len()).into();
    Err(object_store::Error::Generic { store: "commit log", source })
}

fn key(position: LogPosition) -> Path {
    Path::from(format!("{PREFIX}/{:020}", position.0))
}

fn position(key: &Path) -> Option<LogPosition> {
    let name = key.filename()?;
    (name.len() == 20).then(|| name.parse().ok().map(LogPosition))?
}

fn unreadable(failure: &Failure) -> ReadError {
    ReadError::Unavailable(failure.to_string())
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::log::{
        conformance,
        faulty::{Faults, FaultyStore},
    };

    fn log_with(seed: u64, faults: Faults) -> (Arc<FaultyStore<InMemory>>, BucketLog) {
        let store = Arc::new(FaultyStore::new(InMemory::new(), seed, faults));
        let log = BucketLog::new(store.clone(), Random::from_seed(seed), RetryConfig::default());
        (store, log)
    }

    #[tokio::test(start_paused = true)]
    async fn conforms() {
        conformance::run_all(async || Arc::new(log_with(1, Faults::default()).1) as Arc<dyn CommitLog>).await;
    }

    #[tokio::test(start_paused = true)]
    async fn conforms_on_a_store_that_fails_in_every_way() {
        for seed in 0..20 {
            // Bits that flip on the way are found by the entry's checksum, above this engine.
            let faults = Faults { corrupt: 0.0, ..Faults::chaos() };
            let fresh = async || Arc::new(log_with(seed, faults.clone()).1) as Arc<dyn CommitLog>;
            conformance::run_all(fresh).await;
        }
    }

    #[tokio::test]
    async fn conforms_on_a_directory() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let fresh = async || {
            let each = tempfile::tempdir_in(&directory).expect("a directory can be made").keep();
            let store = object_store::local::LocalFileSystem::new_with_prefix(each).expect("it exists");
            let log = BucketLog::new(Arc::new(store), Random::from_seed(1), RetryConfig::default());
            Arc::new(log) as Arc<dyn CommitLog>
        };
        conformance::run_all(fresh).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_append_whose_answer_is_lost_is_recognised() {
        let (store, log) = log_with(1, Faults { after: 1.0, ..Faults::default() });
        log.append(LogPosition(0), &conformance::entry(1, b"")).await.expect("it stands there");
        assert_eq!(store.puts(), 1, "it is recognised, not repeated");
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_not_taken_for_a_lost_race() {
        let (store, log) = log_with(1, Faults { conflict: 1.0, ..Faults::default() });
        let append = log.append(LogPosition(0), &conformance::entry(1, b"")).await;
        assert!(matches!(append, Err(AppendError::Unavailable(_))), "{append:?}");
        store.set(Faults::default());
        log.append(LogPosition(0), &conformance::entry(1, b"")).await.expect("the position is free");
    }

    #[tokio::test(start_paused = true)]
    async fn a_denied_append_fails_at_once() {
        let (_, log) = log_with(1, Faults { deny: 1.0, ..Faults::default() });
        let begin = tokio::time::Instant::now();
        let append = log.append(LogPosition(0), &conformance::entry(1, b"")).await;
        assert!(matches!(append, Err(AppendError::Unavailable(_))), "{append:?}");
        assert_eq!(begin.elapsed(), std::time::Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_read_is_read_again() {
        let (_, log) = log_with(5, Faults { short: 0.5, ..Faults::default() });
        let entry = conformance::entry(1, b"");
        log.append(LogPosition(0), &entry).await.expect("the position is free");
        for _ in 0..20 {
            assert_eq!(log.read(LogPosition(0)).await, Ok(Some(entry.head.clone())));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_gap_is_probed_and_a_long_one_listed() {
        let (store, log) = log_with(1, Faults::default());
        for position in 0..100 {
            log.append(LogPosition(position), &conformance::entry(position, b"")).await.expect("is free");
        }
        for (from, requests) in [(100, 1), (99, 2), (98, 3), (50, PROBES_MAX + 1)] {
            let before = store.requests();
            assert_eq!(log.tail(LogPosition(from)).await, Ok(LogPosition(100)));
            assert_eq!(store.requests() - before, requests, "from {from}");
        }
    }
}
