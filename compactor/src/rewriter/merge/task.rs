//! The task of merging: whose turn it is, and what happens when it fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Bound, ControlFlow},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ebb_metastore::{
    Metastore, Submission,
    command::{Command, PublishArchive, Work},
    outcome::{Outcome, Refusal},
    state::State,
};
use ebb_protocol::{
    clock::SharedClock,
    ids::{AgentId, IdSource, TopicId},
    random::Random,
};
use ebb_segment::store::SegmentStore;
use object_store::ObjectStore;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::{
    plan::{Plan, Reach},
    write::Merging,
};
use crate::rewriter::{
    claims::ClaimWatch,
    config::RewriterConfig,
    error::RewriteError,
    pace::{CpuPace, RequestPace},
    shelf::Shelf,
    task::Rewriter,
};

/// Settings of merging. Plain data.
#[derive(Clone, Debug)]
pub struct MergeConfig {
    /// The layout of files, how requests and computing are paced, and how long claims and failures last.
    pub rewriter: RewriterConfig,
    /// The time between two looks at the topics.
    pub check_interval: Duration,
    /// Files are merged up to this size, in bytes; with 0 not at all. A topic's `segment.bytes` may be less. What a
    /// file takes in memory while it is written does not depend on it.
    pub file_bytes: u64,
}

impl Default for MergeConfig {
    fn default() -> Self {
        Self {
            rewriter: RewriterConfig::default(),
            check_interval: Duration::from_secs(15),
            file_bytes: 512 << 20,
        }
    }
}

/// What one pass has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeDone {
    /// Files became one; there may be more.
    Files,
    /// A topic had changed meanwhile, or another compactor works on it.
    InVain,
    /// Nothing is due.
    Nothing,
}

/// The counts of merging at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeCounts {
    /// Files that were published.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Files in whose place they came.
    pub files_replaced: u64,
    /// Files that were written and not published, because their topic had changed meanwhile.
    pub files_refused: u64,
    /// Merges that failed; each is tried again.
    pub failed: u64,
}

/// The counters of merging, shared with those who read them.
#[derive(Debug, Default)]
pub struct MergeCounters {
    files: AtomicU64,
    file_bytes: AtomicU64,
    files_replaced: AtomicU64,
    files_refused: AtomicU64,
    failed: AtomicU64,
}

impl MergeCounters {
    /// What they say now.
    #[must_use]
    pub fn counts(&self) -> MergeCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MergeCounts {
            files: read(&self.files),
            file_bytes: read(&self.file_bytes),
            files_replaced: read(&self.files_replaced),
            files_refused: read(&self.files_refused),
            failed: read(&self.failed),
        }
    }

    fn published(&self, bytes: u64, replaced: usize) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.file_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.files_replaced.fetch_add(replaced as u64, Ordering::Relaxed);
    }
}

/// Merging as one process does it. Any number may work on a cluster.
pub struct Merger {
    metastore: Metastore,
    store: SegmentStore,
    ids: IdSource,
    config: MergeConfig,
    counters: Arc<MergeCounters>,
    requests: Arc<RequestPace>,
    cpu: Arc<CpuPace>,
    claims: ClaimWatch,
    /// Topics that are left alone until then.
    waiting: BTreeMap<TopicId, Instant>,
    /// Topics of which nothing can be merged while they are in this snapshot and may be merged so far.
    settled: BTreeMap<TopicId, (u64, Reach)>,
    /// The topic that had its turn.
    last: Option<TopicId>,
}

impl Merger {
    /// On a replica whose agent `me` is registered. `store` is the cluster's object store.
    #[must_use]
    pub fn new(
        me: AgentId,
        metastore: Metastore,
        store: Arc<dyn ObjectStore>,
        clock: SharedClock,
        random: Random,
        config: MergeConfig,
    ) -> Self {
        let ids = IdSource::new(clock, random.fork());
        Self {
            metastore,
            store: SegmentStore::new(store, random, config.rewriter.store.clone()),
            ids,
            requests: Arc::new(RequestPace::new(config.rewriter.requests_per_second_max)),
            cpu: Arc::new(CpuPace::new(config.rewriter.cpu_percent_max)),
            claims: ClaimWatch::new(me, config.rewriter.claim_timeout),
            config,
            counters: Arc::default(),
            waiting: BTreeMap::new(),
            settled: BTreeMap::new(),
            last: None,
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
    pub fn counters(&self) -> Arc<MergeCounters> {
        Arc::clone(&self.counters)
    }

    /// Merges what is due, topic by topic. Makes no request and no entry while nothing is. Ends when this process can
    /// write no more entries. May be dropped anywhere.
    pub async fn run(mut self) {
        loop {
            match self.pass().await {
                Ok(MergeDone::Files) => continue,
                Ok(MergeDone::InVain | MergeDone::Nothing) => {}
                Err(error) if error.is_final() => return,
                Err(_) => {}
            }
            sleep(self.config.check_interval).await;
        }
    }

    /// Merges some files of the next topic of which some are due. A topic that fails is left alone for a while.
    ///
    /// # Errors
    /// Any [`RewriteError`], for that topic.
    pub async fn pass(&mut self) -> Result<MergeDone, RewriteError> {
        let Some(plan) = self.due() else { return Ok(MergeDone::Nothing) };
        let topic = plan.topic;
        let done = self.merge(&plan).await;
        if !matches!(done, Ok(MergeDone::Files)) {
            self.release(topic).await;
        }
        match &done {
            Ok(MergeDone::Files) => tracing::debug!(%topic, files = plan.files.len(), "files were merged"),
            Ok(_) => self.leave(topic, self.config.check_interval),
            Err(error) => {
                self.counters.failed.fetch_add(1, Ordering::Relaxed);
                self.leave(topic, self.config.rewriter.retry_after);
                let referenced = |object| self.metastore.read(|state: &State| state.is_referenced(object));
                if error.lost().is_some_and(referenced) {
                    tracing::error!(%error, %topic, "acknowledged records cannot be merged");
                } else {
                    tracing::warn!(%error, %topic, "files could not be merged, it is tried again");
                }
            }
        }
        done
    }

    fn leave(&mut self, topic: TopicId, pause: Duration) {
        self.waiting.insert(topic, Instant::now() + pause);
    }

    /// Gives a claim back for which nothing was published. Others wait for it in vain otherwise.
    async fn release(&self, topic: TopicId) {
        let commands = vec![Command::ReleaseWork { work: Work::Topic(topic) }];
        // Who cannot be told now is not believed for long.
        let _told = self.metastore.submit(Submission { commands, body: Vec::new() }).await;
    }

    /// The next topic, in the order of their ids, of which something is due.
    fn due(&mut self) -> Option<Plan> {
        let now = Instant::now();
        self.waiting.retain(|_, until| now < *until);
        let Self { metastore, claims, settled, .. } = self;
        let topics: BTreeSet<TopicId> = metastore.read(|state| {
            claims.look(state, now);
            state.topics().map(|topic| topic.id).collect()
        });
        settled.retain(|topic, _| topics.contains(topic));
        let behind = (self.last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let turns: Vec<_> = topics.range(behind).chain(&topics).take(topics.len()).copied().collect();
        for topic in turns {
            let is_free =
                !self.waiting.contains_key(&topic) && !self.claims.is_believed(Work::Topic(topic), now);
            if is_free && let Some(plan) = self.plan(topic) {
                self.last = Some(topic);
                return Some(plan);
            }
        }
        None
    }

    /// What is due of a topic. One topic under one lock.
    fn plan(&mut self, topic: TopicId) -> Option<Plan> {
        let (settled, file_bytes) = (&mut self.settled, self.config.file_bytes);
        self.metastore.read(|state| {
            let reach = Reach::new(state.settings(topic)?, file_bytes)?;
            let seen = (state.table(topic)?.current()?.sequence, reach);
            if settled.get(&topic) == Some(&seen) {
                return None;
            }
            let plan = Plan::new(state, topic, reach);
            if plan.is_none() {
                settled.insert(topic, seen);
            }
            plan
        })
    }

    async fn merge(&self, plan: &Plan) -> Result<MergeDone, RewriteError> {
        let work = Work::Topic(plan.topic);
        if self.claims.claim(&self.metastore, work).await?.is_break() {
            return Ok(MergeDone::InVain);
        }
        let claimed = Mutex::new(Instant::now());
        let renew = || async {
            let due = *claimed.lock() + self.config.rewriter.claim_timeout / 3 <= Instant::now();
            if !due {
                return Ok(ControlFlow::Continue(()));
            }
            *claimed.lock() = Instant::now();
            self.claims.claim(&self.metastore, work).await
        };
        let cluster = self.metastore.read(State::cluster).expect("a member of a cluster has one");
        let shelf = Shelf { store: &self.store, requests: &self.requests, cpu: &self.cpu };
        let config = &self.config.rewriter;
        let merging = Merging { plan, cluster, metastore: &self.metastore, shelf, config };
        let id = self.ids.archive_since(self.metastore.read(State::sweep_boundary));
        match merging.write(id, renew).await? {
            Some(publish) => self.publish(publish, plan.files.len()).await,
            None => Ok(MergeDone::InVain),
        }
    }

    /// Has one entry swap the file in, and give the claim back.
    async fn publish(&self, publish: PublishArchive, replaced: usize) -> Result<MergeDone, RewriteError> {
        let (bytes, work) = (publish.bytes, Work::Topic(publish.topic));
        let commands = vec![Command::PublishArchive(publish), Command::ReleaseWork { work }];
        let outcomes = self.metastore.submit(Submission { commands, body: Vec::new() }).await?;
        match outcomes.into_iter().next() {
            Some(Outcome::Refused(
                refusal @ (Refusal::StaleAgent | Refusal::OutOfTurn | Refusal::Malformed),
            )) => Err(RewriteError::Refused(refusal)),
            Some(Outcome::Refused(refusal)) => {
                tracing::info!(%refusal, "a merged file came too late, the sweeper deletes it");
                self.counters.files_refused.fetch_add(1, Ordering::Relaxed);
                Ok(MergeDone::InVain)
            }
            _ => {
                self.counters.published(bytes, replaced);
                Ok(MergeDone::Files)
            }
        }
    }
}
