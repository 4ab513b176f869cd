//! The task of key compaction: which topic is due, whose it is, and what happens when a pass fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ebb_metastore::{
    Metastore, Submission,
    command::{Command, Work},
    outcome::{Outcome, Refusal},
    state::{State, config::TopicSettings},
};
use ebb_protocol::{
    clock::SharedClock,
    ids::{AgentId, IdSource, Timestamp, TopicId},
    random::Random,
};
use ebb_segment::store::SegmentStore;
use object_store::ObjectStore;
use tokio::time::{Instant, sleep};

use super::{
    filter::Dropped,
    look::Look,
    pass::{Compacted, Pass},
    plan::Plan,
};
use crate::rewriter::{
    claims::ClaimWatch,
    config::RewriterConfig,
    error::RewriteError,
    pace::{CpuPace, RequestPace},
    shape::Wanted,
    shelf::Shelf,
    task::Rewriter,
};

/// How often a group of files is written once more because records of it were deleted meanwhile.
const GROUP_RETRIES_MAX: u32 = 3;

/// A topic is looked at again after this long, although no file of it has come or gone: deletions at the log's start
/// make a larger part of it dirty, and the state's clock may have been behind.
const LOOK_MAX: Duration = Duration::from_secs(60 * 60);

/// A topic of which a pass brought nothing on is left alone for this long: it would be read in vain, as long as it has
/// batches that cannot be thinned.
const HELD_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Settings of key compaction. Plain data.
#[derive(Clone, Debug)]
pub struct KeyCompactionConfig {
    /// The layout of files, how requests and computing are paced, and how long claims and failures last.
    pub rewriter: RewriterConfig,
    /// The time between two looks at the topics (Kafka's `log.cleaner.backoff.ms`).
    pub check_interval: Duration,
    /// What the table of keys takes in memory (Kafka's `log.cleaner.dedupe.buffer.size`), at about 48 bytes a key.
    pub table_bytes: u64,
    /// Files are merged up to this size. A file is in memory while it is written, and so are those that it is made of, up
    /// to 8 MiB of each. A file that is larger already is written anew as it is.
    pub file_bytes: u64,
}

impl Default for KeyCompactionConfig {
    fn default() -> Self {
        Self {
            rewriter: RewriterConfig::default(),
            check_interval: Duration::from_secs(15),
            table_bytes: 128 << 20,
            file_bytes: 64 << 20,
        }
    }
}

/// What one pass has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysDone {
    /// A topic was compacted; another one may be due.
    Topic,
    /// A topic had changed meanwhile, or another compactor works on it; what was published so far stays.
    InPart,
    /// A topic was gone through, and no more of it is clean than before: it has batches that nobody can read.
    Held,
    /// Nothing is due.
    Nothing,
}

/// The counts of key compaction at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// Passes over a topic that were recorded.
    pub passes: u64,
    /// Passes that failed; each is tried again.
    pub passes_failed: u64,
    /// Files that were published.
    pub files: u64,
    /// Records that were dropped.
    pub records_dropped: u64,
    /// Those of them that were tombstones whose time was over.
    pub tombstones_dropped: u64,
}

/// The counters of key compaction, shared with those who read them.
#[derive(Debug, Default)]
pub struct KeyCounters {
    passes: AtomicU64,
    passes_failed: AtomicU64,
    files: AtomicU64,
    records_dropped: AtomicU64,
    tombstones_dropped: AtomicU64,
}

impl KeyCounters {
    /// What they say now.
    #[must_use]
    pub fn counts(&self) -> KeyCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KeyCounts {
            passes: read(&self.passes),
            passes_failed: read(&self.passes_failed),
            files: read(&self.files),
            records_dropped: read(&self.records_dropped),
            tombstones_dropped: read(&self.tombstones_dropped),
        }
    }

    fn published(&self, is_file: bool, dropped: Dropped) {
        self.files.fetch_add(u64::from(is_file), Ordering::Relaxed);
        self.records_dropped.fetch_add(dropped.records, Ordering::Relaxed);
        self.tombstones_dropped.fetch_add(dropped.tombstones, Ordering::Relaxed);
    }
}

/// Key compaction as one process does it. Any number may work on a cluster.
pub struct KeyCompactor {
    metastore: Metastore,
    store: SegmentStore,
    clock: SharedClock,
    ids: IdSource,
    random: Random,
    config: KeyCompactionConfig,
    counters: Arc<KeyCounters>,
    requests: Arc<RequestPace>,
    cpu: Arc<CpuPace>,
    claims: ClaimWatch,
    /// Topics that are left alone until then.
    waiting: BTreeMap<TopicId, Instant>,
    /// Topics that were not due.
    settled: BTreeMap<TopicId, Settled>,
}

/// A topic that is not due for some time, if its files and settings stay as they were.
#[derive(Debug)]
struct Settled {
    /// Of the snapshot of its files.
    sequence: u64,
    settings: TopicSettings,
    until: Instant,
}

impl Settled {
    fn holds(&self, sequence: u64, settings: &TopicSettings, now: Instant) -> bool {
        now < self.until && self.sequence == sequence && self.settings == *settings
    }
}

impl KeyCompactor {
    /// On a replica whose agent `me` is registered. `store` is the cluster's object store.
    #[must_use]
    pub fn new(
        me: AgentId,
        metastore: Metastore,
        store: Arc<dyn ObjectStore>,
        clock: SharedClock,
        random: Random,
        config: KeyCompactionConfig,
    ) -> Self {
        Self {
            metastore,
            store: SegmentStore::new(store, random.fork(), config.rewriter.store.clone()),
            ids: IdSource::new(clock.clone(), random.fork()),
            clock,
            random,
            requests: Arc::new(RequestPace::new(config.rewriter.requests_per_second_max)),
            cpu: Arc::new(CpuPace::new(config.rewriter.cpu_percent_max)),
            claims: ClaimWatch::new(me, config.rewriter.claim_timeout),
            config,
            counters: Arc::default(),
            waiting: BTreeMap::new(),
            settled: BTreeMap::new(),
        }
    }

    /// With the requests and the computing of a rewriter: what both take together is what one may.
    #[must_use]
    pub fn sharing(mut self, rewriter: &Rewriter) -> Self {
        (self.requests, self.cpu) = rewriter.paces();
        self
    }

    /// The counters, for those who outlive it.
    #[must_use]
    pub fn counters(&self) -> Arc<KeyCounters> {
        Arc::clone(&self.counters)
    }

    /// Compacts one topic after the other, each when it is due. Makes no request and no entry while none is. Ends when
    /// this process can write no more entries. May be dropped anywhere.
    pub async fn run(mut self) {
        loop {
            match self.pass().await {
                Ok(KeysDone::Nothing) => sleep(self.config.check_interval).await,
                Err(error) if error.is_final() => return,
                // A topic that was not brought on is left alone, and another one may be due.
                Ok(KeysDone::Topic | KeysDone::InPart | KeysDone::Held) | Err(_) => {}
            }
        }
    }

    /// Compacts the topic that is due and of which most is dirty. One that fails is left alone for a while.
    ///
    /// # Errors
    /// Any [`RewriteError`], for that topic. What was published before stays.
    pub async fn pass(&mut self) -> Result<KeysDone, RewriteError> {
        self.next(false).await
    }

    /// As [`Self::pass`], for a topic of which anything at all is dirty.
    ///
    /// # Errors
    /// As those of [`Self::pass`].
    pub async fn pass_early(&mut self) -> Result<KeysDone, RewriteError> {
        self.next(true).await
    }

    async fn next(&mut self, early: bool) -> Result<KeysDone, RewriteError> {
        let Some(plan) = self.due(early) else { return Ok(KeysDone::Nothing) };
        let topic = plan.topic;
        let done = self.compact(&plan).await;
        self.settled.remove(&topic);
        match &done {
            Ok(KeysDone::Topic) => {
                self.counters.passes.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%topic, "a topic was compacted");
            }
            Ok(KeysDone::Held) => self.leave(topic, HELD_PAUSE),
            // The next topic's turn; and no work is repeated without a pause.
            Ok(_) => self.leave(topic, self.config.check_interval),
            Err(error) => {
                self.counters.passes_failed.fetch_add(1, Ordering::Relaxed);
                self.leave(topic, self.config.rewriter.retry_after);
                // Others wait for the claim in vain otherwise. Who cannot be told now does not believe it for long.
                let _told = self.submit(vec![Command::ReleaseWork { work: Work::Topic(topic) }]).await;
                let referenced = |object| self.metastore.read(|state: &State| state.is_referenced(object));
                if error.lost().is_some_and(referenced) {
                    tracing::error!(%error, %topic, "acknowledged records cannot be compacted");
                } else {
                    tracing::warn!(%error, %topic, "a topic could not be compacted, it is tried again");
                }
            }
        }
        done
    }

    fn leave(&mut self, topic: TopicId, pause: Duration) {
        self.waiting.insert(topic, Instant::now() + pause);
    }

    /// The plan of the topic that is due and of which most is dirty; with `early`, of any that is dirty.
    fn due(&mut self, early: bool) -> Option<Plan> {
        let (now, wall) = (Instant::now(), self.clock.now());
        self.waiting.retain(|_, until| now < *until);
        let claims = &mut self.claims;
        let topics: BTreeSet<TopicId> = self.metastore.read(|state| {
            claims.look(state, now);
            state.topics().map(|topic| topic.id).collect()
        });
        self.settled.retain(|topic, _| topics.contains(topic));
        let mut most: Option<(u64, TopicId)> = None;
        for topic in topics {
            let is_free =
                !self.waiting.contains_key(&topic) && !self.claims.is_believed(Work::Topic(topic), now);
            let found = is_free.then(|| self.look(topic, early, now, wall)).flatten();
            most = most.into_iter().chain(found.map(|bytes| (bytes, topic))).max();
        }
        self.metastore.read(|state| Plan::new(state, most?.1, wall))
    }

    /// How many bytes of a topic are dirty, if it is due. One topic under one lock.
    fn look(&mut self, topic: TopicId, early: bool, now: Instant, wall: Timestamp) -> Option<u64> {
        let settled = &mut self.settled;
        self.metastore.read(|state| {
            let settings = state.settings(topic).filter(|settings| settings.compact)?;
            let sequence = state.table(topic)?.current()?.sequence;
            if !early && settled.get(&topic).is_some_and(|known| known.holds(sequence, settings, now)) {
                return None;
            }
            let look = Look::at(state, topic, wall)?;
            if look.is_due || early && look.dirty_bytes > 0 {
                return Some(look.dirty_bytes);
            }
            let wait = |next: Timestamp| u64::try_from(next.0.saturating_sub(wall.0)).unwrap_or(0);
            let wait = look.next.map_or(LOOK_MAX, |next| LOOK_MAX.min(Duration::from_millis(wait(next))));
            settled.insert(topic, Settled { sequence, settings: settings.clone(), until: now + wait });
            None
        })
    }

    async fn compact(&self, plan: &Plan) -> Result<KeysDone, RewriteError> {
        let work = Work::Topic(plan.topic);
        let Some(claim) = self.claims.hold(&self.metastore, work).await? else { return Ok(KeysDone::InPart) };
        let cluster = self.metastore.read(State::cluster).expect("a member of a cluster has one");
        let shelf = Shelf { store: &self.store, requests: &self.requests, cpu: &self.cpu };
        let pass = Pass { plan, cluster, ids: &self.ids, shelf, config: &self.config, claim: &claim };
        let ControlFlow::Continue(keys) = pass.keys(&self.random).await? else { return Ok(KeysDone::InPart) };
        let (mut held, mut made, mut later) = (Vec::new(), BTreeSet::new(), None);
        for group in pass.groups(&keys) {
            let mut retries = 0;
            loop {
                let planned = Pass { plan: later.as_ref().unwrap_or(plan), ..pass };
                let plan_file = |state: &State| (state.sweep_boundary(), Wanted::of(state, plan.topic));
                let (boundary, wanted) = self.metastore.read(plan_file);
                let compacted = planned.compact(&group, &keys, boundary, wanted.for_files()).await?;
                let ControlFlow::Continue(compacted) = compacted else { return Ok(KeysDone::InPart) };
                let file = compacted.publish.as_ref().map(|publish| publish.archive);
                let group_held = compacted.held.clone();
                if self.publish(compacted).await?.is_continue() {
                    made.extend(file);
                    held.extend(group_held);
                    break;
                }
                // Retention may have deleted some of it, and would do so again: the table holds for what is left.
                later = self.metastore.read(|state| Plan::new(state, plan.topic, self.clock.now()));
                let goes_on = later.as_ref().is_some_and(|later| pass.covers(later, &keys, &made));
                if retries >= GROUP_RETRIES_MAX || !goes_on {
                    self.submit(vec![Command::ReleaseWork { work }]).await?;
                    return Ok(KeysDone::InPart);
                }
                retries += 1;
            }
        }
        let record = pass.record(&keys, &held);
        let went_on = plan.went_on(&record.clean) || !plan.is_dirty();
        let commands = vec![Command::RecordCompaction(record), Command::ReleaseWork { work }];
        let outcomes = self.submit(commands).await?;
        let is_recorded = outcomes.first().is_some_and(|outcome| *outcome == Outcome::Done);
        Ok(match (is_recorded, went_on) {
            (false, _) => KeysDone::InPart,
            (true, false) => KeysDone::Held,
            (true, true) => KeysDone::Topic,
        })
    }

    /// Break: what the file was made from has changed.
    async fn publish(&self, compacted: Compacted) -> Result<ControlFlow<()>, RewriteError> {
        let Compacted { publish, dropped, .. } = compacted;
        let Some(publish) = publish else { return Ok(ControlFlow::Continue(())) };
        let is_file = publish.bytes > 0;
        let outcomes = self.submit(vec![Command::PublishArchive(publish)]).await?;
        if let Some(Outcome::Refused(refusal)) = outcomes.first() {
            tracing::info!(%refusal, "a compacted file came too late, the sweeper deletes it");
            return Ok(ControlFlow::Break(()));
        }
        self.counters.published(is_file, dropped);
        Ok(ControlFlow::Continue(()))
    }

    /// # Errors
    /// [`RewriteError::Refused`] for what only this process can have got wrong.
    async fn submit(&self, commands: Vec<Command>) -> Result<Vec<Outcome>, RewriteError> {
        let outcomes = self.metastore.submit(Submission { commands, body: Vec::new() }).await?;
        let own = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Refused(refusal @ (Refusal::StaleAgent | Refusal::OutOfTurn | Refusal::Malformed)) => {
                Some(refusal.clone())
            }
            _ => None,
        });
        own.map_or(Ok(outcomes), |refusal| Err(RewriteError::Refused(refusal)))
    }
}
