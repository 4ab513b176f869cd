//! The replica's task: owns the append side, and is the only one that applies entries. It puts the submissions that
//! wait into an entry, keeps several entries in flight, applies what stands in the log position by position, looks
//! at the tail when asked to, and has snapshots written. It makes no request when nobody asks it for anything.

mod append;
mod apply;
mod chores;
mod look;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use ebb_protocol::{
    clock::SharedClock,
    ids::{AgentId, IdSource, LogPosition},
    random::Random,
};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use self::look::Look;
use super::{
    MetastoreConfig,
    error::MetastoreError,
    flight::{Flight, OwnEntry},
    housekeeping::Chore,
    open::Opened,
    shared::Shared,
    snapshots::Snapshots,
    submission::{Queued, Submission},
    vigil::{Moment, Vigil},
    waiting::Waiting,
};
use crate::log::{AppendError, CommitLog, ReadError};

/// What the task waited for.
enum Event {
    Appended { position: LogPosition, answer: Result<(), AppendError> },
    Read { position: LogPosition, answer: Result<Option<Bytes>, ReadError> },
    Looked { from: LogPosition, since: Moment, answers: Vec<Result<Option<Bytes>, ReadError>> },
    Chore(Chore),
}

/// What stands at a position that has yet to be applied.
enum Fact {
    Own(Arc<OwnEntry>),
    Read(Bytes),
}

pub(super) struct Task {
    agent: AgentId,
    log: Arc<dyn CommitLog>,
    snapshots: Snapshots,
    clock: SharedClock,
    ids: IdSource,
    random: Random,
    config: MetastoreConfig,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Queued>,
    /// Taken from the queue, and in no entry yet.
    waiting: Waiting,
    /// To be put into the next entry; nobody waits for it.
    own_submission: Option<Submission>,
    work: FuturesUnordered<BoxFuture<'static, Event>>,
    flight: Flight,
    facts: BTreeMap<LogPosition, Fact>,
    applied: LogPosition,
    number: u64,
    registered: bool,
    look: Look,
    /// The tail was looked up since an entry of ours was last offered.
    tail_known: bool,
    vigil: Vigil,
    damaged_reads: u32,
    last_snapshot: LogPosition,
    snapshot_due: bool,
    chore_runs: bool,
    /// The queue is closed and empty.
    drained: bool,
    /// Why nothing is appended any more.
    ended: Option<MetastoreError>,
}

/// The parts that a task is made of.
pub(super) struct Parts {
    pub(super) agent: AgentId,
    pub(super) log: Arc<dyn CommitLog>,
    pub(super) snapshots: Snapshots,
    pub(super) clock: SharedClock,
    pub(super) ids: IdSource,
    pub(super) random: Random,
    pub(super) config: MetastoreConfig,
    pub(super) queue: mpsc::Receiver<Queued>,
}

impl Task {
    /// Makes the task, and what it shares with its handles.
    pub(super) fn new(parts: Parts, opened: Opened) -> (Self, Arc<Shared>) {
        let Parts { agent, log, snapshots, clock, ids, random, config, queue } = parts;
        let applied = opened.state.position();
        let registered = opened.state.next_number(agent).is_some();
        let shared = Arc::new(Shared::new(opened.state, opened.since.tokio));
        let vigil = Vigil::new(clock.clone(), config.truncation_grace, opened.since);
        let task = Self {
            agent,
            log,
            snapshots,
            clock,
            ids,
            random,
            shared: shared.clone(),
            queue,
            waiting: Waiting::new(config.patience),
            own_submission: None,
            work: FuturesUnordered::new(),
            flight: Flight::new(config.appends_in_flight_max),
            facts: BTreeMap::new(),
            applied,
            number: opened.number,
            registered,
            look: Look::None,
            tail_known: false,
            vigil,
            damaged_reads: 0,
            last_snapshot: opened.snapshot,
            snapshot_due: false,
            chore_runs: false,
            drained: false,
            ended: None,
            config,
        };
        (task, shared)
    }

    /// Runs until the metastore is closed and everything taken in has been answered.
    pub(super) async fn run(mut self) {
        let shared = self.shared.clone();
        loop {
            self.apply_facts();
            self.finish_look();
            self.write_entries();
            self.start_look();
            self.start_snapshot();
            if self.drained && self.waiting.is_empty() && self.flight.is_empty() {
                break;
            }
            let takes = self.waiting.has_room() && !self.drained && self.takes_entries();
            let due = self.waiting.due(Instant::now()).filter(|_| self.takes_entries());
            tokio::select! {
                biased;
                Some(event) = self.work.next(), if !self.work.is_empty() => self.handle(event).await,
                queued = self.queue.recv(), if takes => match queued {
                    Some(queued) => self.waiting.push(queued),
                    None => self.drained = true,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                () = shared.asking.notified() => {}
                () = shared.closing.notified() => self.queue.close(),
            }
        }
        self.final_snapshot().await;
    }

    async fn handle(&mut self, event: Event) {
        if self.vigil.is_stale() {
            self.check_boundary().await;
        }
        match event {
            Event::Appended { position, answer } => self.appended(position, answer),
            Event::Read { position, answer } => self.read(position, answer).await,
            Event::Looked { from, since, answers } => self.looked(from, since, answers).await,
            Event::Chore(chore) => self.chore_done(chore),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Waits without a timer when there is nothing to wait for.
async fn pause_for(pause: Duration) {
    if !pause.is_zero() {
        sleep(pause).await;
    }
}
