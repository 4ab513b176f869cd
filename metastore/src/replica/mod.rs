//! The replica: a copy of the state that follows the commit log, and the way by which this process's own commands
//! get into it (group commit). Knows nothing of what a command means.

mod entries;
mod error;
mod flight;
mod housekeeping;
mod membership;
mod open;
mod shared;
mod snapshots;
mod submission;
mod task;
#[cfg(test)]
mod tests;
mod vigil;
mod waiting;

use ebb_protocol::planted::{Bug, is_planted};
use std::{sync::Arc, time::Duration};

use ebb_protocol::{
    clock::SharedClock,
    ids::{AgentId, IdSource, LogPosition},
    random::Random,
};
use object_store::{ObjectStore, path::Path};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

pub use self::{
    error::{MetastoreError, OpenError},
    membership::RegisterError,
    open::load,
    shared::BodySink,
    submission::{Pending, Submission},
};
use self::{
    shared::Shared,
    snapshots::Snapshots,
    submission::{Queued, pair},
    task::{Parts, Task},
};
use crate::{command::Command, log::CommitLog, outcome::Outcome, state::State, watch};

/// Settings of a metastore replica. Plain data.
#[derive(Clone, Debug)]
pub struct MetastoreConfig {
    /// How many of this process's entries may be in flight at once.
    pub appends_in_flight_max: usize,
    /// How many submissions may wait, besides those that the next entry will hold; more push back.
    pub submissions_waiting_max: usize,
    /// Patient submissions that no other entry takes along get one of their own at most this often.
    pub patience: Duration,
    /// A submission that is not durable after this long fails.
    pub append_deadline: Duration,
    /// A snapshot is written after this many entries.
    pub snapshot_every_entries: u64,
    /// Entries below the last snapshot but one are dropped after this long.
    pub truncation_grace: Duration,
}

impl Default for MetastoreConfig {
    fn default() -> Self {
        Self {
            appends_in_flight_max: 16,
            submissions_waiting_max: 1024,
            patience: Duration::from_millis(100),
            append_deadline: Duration::from_secs(30),
            snapshot_every_entries: 2048,
            truncation_grace: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// A cheap handle on this process's replica. When the last one is dropped the replica stops at once, as in a crash.
#[derive(Clone, Debug)]
pub struct Metastore {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Queued>,
    log: Arc<dyn CommitLog>,
    append_deadline: Duration,
    task: Arc<AbortOnDropHandle<()>>,
}

impl Metastore {
    /// Loads the newest snapshot, replays the rest of the log, founds the cluster if there is none, and starts the
    /// task that tails and appends. The agent `agent` writes the entries; it calls
    /// [`Metastore::register`] first.
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
        let snapshots = Snapshots::new(snapshots, random.fork());
        let opened = open::open(agent, &log, &snapshots, &clock, &ids, config.truncation_grace).await?;
        let (sender, queue) = mpsc::channel(config.submissions_waiting_max.max(1));
        let append_deadline = config.append_deadline;
        let parts = Parts { agent, log: log.clone(), snapshots, clock, ids, random, config, queue };
        let (task, shared) = Task::new(parts, opened);
        let task = Arc::new(AbortOnDropHandle::new(tokio::spawn(task.run())));
        Ok(Self { shared, queue: sender, log, append_deadline, task })
    }

    /// Reads the state. The closure must be short: it holds a lock that `apply` waits for.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.shared.state.read())
    }

    /// Hands commands over for the next entry and waits until it is durable and applied. Submissions of one process
    /// are applied in the order of these calls: the order is fixed before the first await.
    ///
    /// # Errors
    /// See [`MetastoreError`].
    pub async fn submit(&self, submission: Submission) -> Result<Vec<Outcome>, MetastoreError> {
        self.enqueue(submission).await?.outcomes().await
    }

    /// As [`Metastore::submit`], for commands of which many come and none is urgent. They go along with the next
    /// entry that is written for others; failing that they get one of their own, at once if there was none lately
    /// and else when [`MetastoreConfig::patience`] has passed since. Nothing that is urgent waits for them.
    ///
    /// # Errors
    /// See [`MetastoreError`].
    pub async fn submit_patiently(&self, commands: Vec<Command>) -> Result<Vec<Outcome>, MetastoreError> {
        self.enqueue_patiently(commands).await?.outcomes().await
    }

    /// Hands commands over for the next entry: waits for room, and returns when their place among this process's
    /// submissions is fixed. The commands go on their way whether or not anybody waits for the answer.
    ///
    /// # Errors
    /// [`MetastoreError::Unavailable`] when there is no room before the append deadline, and
    /// [`MetastoreError::Closed`] when nothing will be taken any more.
    pub async fn enqueue(&self, submission: Submission) -> Result<Pending, MetastoreError> {
        self.place(submission, true).await
    }

    /// As [`Metastore::enqueue`], for commands that have the patience of [`Metastore::submit_patiently`].
    ///
    /// # Errors
    /// As [`Metastore::enqueue`].
    pub async fn enqueue_patiently(&self, commands: Vec<Command>) -> Result<Pending, MetastoreError> {
        self.place(Submission { commands, body: Vec::new() }, false).await
    }

    async fn place(&self, submission: Submission, hurried: bool) -> Result<Pending, MetastoreError> {
        let deadline = Instant::now() + self.append_deadline;
        match timeout_at(deadline, self.queue.reserve()).await {
            Ok(Ok(place)) => {
                let (queued, pending) = pair(submission, hurried, deadline);
                place.send(queued);
                Ok(pending)
            }
            Ok(Err(_)) => Err(MetastoreError::Closed),
            Err(_) => Err(MetastoreError::Unavailable("too many submissions are waiting".to_owned())),
        }
    }

    /// Makes sure that everything acknowledged anywhere before this call is applied here. Concurrent calls share one
    /// look at the log.
    ///
    /// # Errors
    /// [`MetastoreError::Unavailable`] when the log cannot be asked, [`MetastoreError::Diverged`] and
    /// [`MetastoreError::Unreadable`] when the replica had to stop, [`MetastoreError::Closed`] when it was closed.
    pub async fn tail_check(&self) -> Result<LogPosition, MetastoreError> {
        if is_planted(Bug::StaleTail) {
            return Ok(self.read(State::position));
        }
        self.shared.look().await
    }

    /// Makes sure that everything acknowledged anywhere `age_max` before this call is applied here, for reads that need
    /// not be linearizable. Asks the log only when the last tail check is longer ago. False when the log does not
    /// answer within `wait_max`: the state is then as old as it was, and can be read all the same.
    pub async fn catch_up(&self, age_max: Duration, wait_max: Duration) -> bool {
        self.shared.age() <= age_max || matches!(timeout(wait_max, self.tail_check()).await, Ok(Ok(_)))
    }

    /// Changes whenever an entry has been applied: the position of the next entry.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<LogPosition> {
        self.shared.applied.subscribe()
    }

    /// The commit log that it follows, for those who look for its objects and must not keep the replica alive.
    #[must_use]
    pub fn commit_log(&self) -> Arc<dyn CommitLog> {
        Arc::clone(&self.log)
    }

    /// The object that holds an inline body's entry.
    #[must_use]
    pub fn entry_object(&self, position: LogPosition) -> Option<Path> {
        self.log.object(position)
    }

    /// From now on hands entries with a body to `sink` before it applies them.
    pub fn on_body(&self, sink: Arc<dyn BodySink>) {
        *self.shared.sink.write() = Some(sink);
    }

    /// Stops taking submissions, finishes those in flight, and writes a snapshot if much has happened since the last.
    /// Gives up after the append deadline.
    pub async fn shutdown(&self) {
        self.shared.closing.notify_one();
        let mut closed = self.shared.closed.subscribe();
        if timeout(self.append_deadline, closed.wait_for(|closed| *closed)).await.is_err() {
            tracing::warn!("the metastore did not close in time, submissions remain without an answer");
            self.task.abort();
        }
    }
}
