//! Where snapshots are kept: objects `snapshots/POSITION-ULID`, written once. Knows nothing of what is in a state.
//!
//! A snapshot at position 42 covers all entries below 42. Two snapshots of one position, by two agents, are equal.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ebb_protocol::{
    ids::{EntryId, LogPosition},
    random::Random,
};
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path};
use tokio::time::timeout;

use super::error::OpenError;
use crate::{
    log::{CommitLog, RetryConfig, retry::Failure},
    snapshot::{self, SnapshotError},
    state::State,
};

const PREFIX: &str = "snapshots";

/// Snapshots that are kept, newest first. The second is there in case that the first is damaged.
const KEPT: usize = 2;

/// A snapshot can be large, so one attempt may take this long ...
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(120);
/// ... and all attempts this long.
const DEADLINE: Duration = Duration::from_secs(600);

/// The name of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SnapshotName {
    /// Entries below are covered.
    pub(super) position: LogPosition,
    /// Makes the key unique, so that no object is ever overwritten.
    pub(super) id: EntryId,
}

impl SnapshotName {
    fn key(self) -> Path {
        Path::from(format!("{PREFIX}/{:020}-{}", self.position.0, self.id))
    }

    fn parse(key: &Path) -> Option<Self> {
        let (position, id) = key.filename()?.split_once('-')?;
        Some(Self { position: LogPosition(position.parse().ok()?), id: id.parse().ok()? })
    }
}

/// The snapshots of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Snapshots {
    store: Arc<dyn ObjectStore>,
    random: Random,
    retry: RetryConfig,
}

impl Snapshots {
    pub(super) fn new(store: Arc<dyn ObjectStore>, random: Random) -> Self {
        let retry =
            RetryConfig { attempt_deadline: ATTEMPT_DEADLINE, deadline: DEADLINE, ..RetryConfig::default() };
        Self { store, random, retry }
    }

    /// All snapshots, newest first.
    pub(super) async fn list(&self) -> Result<Vec<SnapshotName>, Failure> {
        let prefix = Path::from(PREFIX);
        let patience = RetryConfig::default();
        let objects = patience.list(&self.random, || self.store.list(Some(&prefix))).await?;
        let mut names: Vec<_> =
            objects.iter().filter_map(|object| SnapshotName::parse(&object.location)).collect();
        names.sort_unstable_by_key(|name| Reverse(*name));
        Ok(names)
    }

    /// The newest snapshot that can be read; `None` when there is none at all. A damaged one is passed over.
    pub(super) async fn newest(&self) -> Result<Option<(LogPosition, State)>, OpenError> {
        let mut damaged = None;
        // A snapshot that vanishes between the listing and the read was deleted because of newer ones.
        'listing: for _ in 0..KEPT {
            let names = self.list().await.map_err(unavailable)?;
            for name in names {
                match self.load(name).await {
                    Ok(Some(state)) => return Ok(Some((name.position, state))),
                    Ok(None) => continue 'listing,
                    Err(OpenError::Damaged(object, why)) => {
                        tracing::error!(%object, %why, "a snapshot is damaged, trying an older one");
                        damaged.get_or_insert(OpenError::Damaged(object, why));
                    }
                    Err(error) => return Err(error),
                }
            }
            return damaged.map_or(Ok(None), Err);
        }
        // Whatever was listed is gone, which does not mean that there is none: the listing may be behind.
        Err(OpenError::Unavailable("its snapshots are deleted as fast as they are listed".to_owned()))
    }

    /// Gets an object. It may take long, but not stand still for long: the replica waits for it.
    async fn get(&self, key: &Path) -> object_store::Result<Bytes> {
        let patience = RetryConfig::default().attempt_deadline;
        let stalled = |_| object_store::Error::Generic {
            store: "snapshots",
            source: format!("nothing arrived for {patience:?}").into(),
        };
        let mut chunks = timeout(patience, self.store.get(key)).await.map_err(stalled)??.into_stream();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = timeout(patience, chunks.next()).await.map_err(stalled)? {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes.freeze())
    }

    /// Reads a snapshot; `None` when it is gone.
    async fn load(&self, name: SnapshotName) -> Result<Option<State>, OpenError> {
        let key = name.key();
        let mut why = SnapshotError::Damaged("it was never read");
        // Bits can also flip on the way, so bytes that look damaged are read once more.
        for _ in 0..2 {
            let bytes = match self.retry.run(&self.random, || self.get(&key)).await {
                Ok(bytes) => bytes,
                Err(failure) if failure.is_missing() => return Ok(None),
                Err(failure) => return Err(unavailable(failure)),
            };
            match snapshot::decode(&bytes) {
                Ok(state) => return Ok(Some(state)),
                Err(error) => why = error,
            }
        }
        let object = key.to_string();
        Err(match why {
            SnapshotError::NewerVersion { found } => {
                OpenError::NewerFormat { object, found, known: snapshot::SNAPSHOT_VERSION }
            }
            SnapshotError::Damaged(why) => OpenError::Damaged(object, why.to_owned()),
        })
    }

    /// Whether a commit log that lies in this store, beside the snapshots, has any entry.
    pub(super) async fn log_stands(&self, log: &Arc<dyn CommitLog>) -> Result<bool, OpenError> {
        let Some(first) = log.object(LogPosition(0)) else { return Ok(false) };
        let folder = first.parent();
        let list = || async { self.store.list(folder.as_ref()).next().await.transpose() };
        let any = RetryConfig::default().run(&self.random, list).await.map_err(unavailable)?;
        Ok(any.is_some())
    }

    /// Writes a snapshot.
    pub(super) async fn save(&self, name: SnapshotName, bytes: Bytes) -> Result<(), Failure> {
        let (key, payload) = (name.key(), PutPayload::from(bytes));
        self.retry.run(&self.random, || self.store.put(&key, payload.clone())).await.map(drop)
    }

    /// Deletes all but the newest, and names those that stay, newest first.
    pub(super) async fn prune(&self) -> Result<Vec<SnapshotName>, Failure> {
        let mut names = self.list().await?;
        let old: Vec<_> = names.drain(KEPT.min(names.len())..).map(SnapshotName::key).collect();
        self.retry.delete(&self.random, &self.store, &old).await?;
        Ok(names)
    }
}

fn unavailable(failure: Failure) -> OpenError {
    OpenError::Unavailable(failure.to_string())
}
