//! The replica: tails the commit log, applies it, and appends this process's own commands (group commit).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ebb_protocol::{
    clock::SharedClock,
    ids::{AgentId, IdSource, LogPosition},
    random::Random,
};
use object_store::ObjectStore;
use tokio::sync::watch;

use crate::{command::Command, log::CommitLog, outcome::Outcome, state::State};

/// Settings of a metastore replica. Plain data.
#[derive(Clone, Debug)]
pub struct MetastoreConfig {
    /// How many of this process's entries may be in flight at once.
    pub appends_in_flight_max: usize,
    /// How many submissions may wait; more push back.
    pub submissions_waiting_max: usize,
    /// A submission that is not durable after this long fails as indeterminate.
    pub append_deadline: Duration,
    /// Write a snapshot after this many entries.
    pub snapshot_every_entries: u64,
    /// Entries below the last snapshot but one are dropped after this long.
    pub truncation_grace: Duration,
}

impl Default for MetastoreConfig {
    fn default() -> Self {
        Self {
            appends_in_flight_max: 4,
            submissions_waiting_max: 1_024,
            append_deadline: Duration::from_secs(30),
            snapshot_every_entries: 10_000,
            truncation_grace: Duration::from_secs(24 * 3_600),
        }
    }
}

/// Commands to put into one entry together, with the segment body that a `CommitSegment` with
/// [`crate::command::BodyPlace::Inline`] among them refers to.
#[derive(Debug, Default)]
pub struct Submission {
    /// The commands, applied in order.
    pub commands: Vec<Command>,
    /// The inline segment body in pieces; empty when there is none.
    pub body: Vec<Bytes>,
}

/// Why a metastore could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log or a snapshot cannot be read.
    #[error("the metastore cannot be opened: {0}")]
    Unavailable(String),
    /// A snapshot or entry has a newer format than this version knows.
    #[error("{object} has format version {found}, this version knows up to {known}: use a newer ebb")]
    NewerFormat {
        /// The object.
        object: String,
        /// Its version.
        found: u8,
        /// The newest version known.
        known: u8,
    },
    /// A snapshot or entry is damaged.
    #[error("{0} is damaged: {1}")]
    Damaged(String, String),
}

/// Why a submission has no outcomes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetastoreError {
    /// This agent was put out of the cluster; it must register again under a new id.
    #[error("this agent has been put out of the cluster")]
    Fenced,
    /// The commands may or may not have taken effect; they never will later than now unless they already have.
    #[error("the commit log did not answer in time: {0}")]
    Indeterminate(String),
    /// The commands did not take effect.
    #[error("the commit log cannot be reached: {0}")]
    Unavailable(String),
    /// The replica found that its state differs from another replica's and stopped.
    #[error("this replica's state differs from the log's at position {0}")]
    Diverged(LogPosition),
    /// The metastore is shutting down.
    #[error("the metastore is closed")]
    Closed,
}

/// Takes the bytes of entries that carry a segment body as they pass by, so that their readers need not ask the
/// store for them again.
pub trait BodySink: Send + Sync + std::fmt::Debug {
    /// The entry at `position`, whole: its head and its body, one after the other, as its object holds them. Called
    /// for every entry with a body, whoever wrote it, before it is applied. Must be quick.
    fn entry(&self, position: LogPosition, pieces: &[Bytes]);
}

/// A submission on its way. Dropping it loses the answer and nothing else.
#[derive(Debug)]
pub struct Pending {}

impl Pending {
    /// Waits until the submission is durable and applied, or fails.
    ///
    /// # Errors
    /// See [`MetastoreError`].
    pub async fn outcomes(self) -> Result<Vec<Outcome>, MetastoreError> {
        todo!()
    }
}

/// A cheap handle on this process's replica.
#[derive(Clone, Debug)]
pub struct Metastore {}

impl Metastore {
    /// Loads the newest snapshot, replays the rest of the log, founds the cluster if there is none, and starts the
    /// task that tails and appends. The agent `agent` writes the entries; it registers by submitting
    /// [`Command::RegisterAgent`] first.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        agent: AgentId,
        log: Arc<dyn CommitLog>,
        snapshots: Arc<dyn ObjectStore>,
        clock: SharedClock,
        ids: IdSource,
        random: Random,
        config: MetastoreConfig,
    ) -> Result<Self, OpenError> {
        todo!("{agent} {log:?} {snapshots} {} {ids:?} {random:?} {config:?}", clock.now())
    }

    /// Reads the state. The closure must be short: it holds a lock that `apply` waits for.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        let _ = look;
        todo!()
    }

    /// Hands commands over for the next entry and waits until it is durable and applied. Submissions of one process
    /// are applied in the order of these calls: the order is fixed before the first await.
    ///
    /// # Errors
    /// See [`MetastoreError`].
    pub async fn submit(&self, submission: Submission) -> Result<Vec<Outcome>, MetastoreError> {
        todo!("{submission:?}")
    }

    /// Hands commands over for the next entry: waits for room, and returns when their place among this process's
    /// submissions is fixed. The commands go on their way whether or not anybody waits for the answer.
    ///
    /// # Errors
    /// [`MetastoreError::Unavailable`] when there is no room before the append deadline, and [`MetastoreError::Fenced`],
    /// [`MetastoreError::Diverged`] or [`MetastoreError::Closed`] when nothing will be taken any more.
    pub async fn enqueue(&self, submission: Submission) -> Result<Pending, MetastoreError> {
        todo!("{submission:?}")
    }

    /// Makes sure that everything acknowledged anywhere before this call is applied here. Concurrent calls share one
    /// look at the log.
    ///
    /// # Errors
    /// [`MetastoreError::Unavailable`] when the log cannot be asked.
    pub async fn tail_check(&self) -> Result<LogPosition, MetastoreError> {
        todo!()
    }

    /// Changes whenever an entry has been applied: the position of the next entry.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<LogPosition> {
        todo!()
    }

    /// The object that holds an inline body's entry.
    #[must_use]
    pub fn entry_object(&self, position: LogPosition) -> Option<object_store::path::Path> {
        todo!("{position}")
    }

    /// From now on hands entries with a body to `sink` before it applies them.
    pub fn on_body(&self, sink: Arc<dyn BodySink>) {
        todo!("{sink:?}")
    }

    /// Stops taking submissions, finishes those in flight, and writes a snapshot if much has happened since the last.
    pub async fn shutdown(&self) {
        todo!()
    }
}
