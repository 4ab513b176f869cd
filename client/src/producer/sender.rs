//! What a producer's handles and lanes share: topics, memory, the producer's id and epoch, and what becomes of
//! batches. Everything that must be seen by all partitions at once is here.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ebb_protocol::batch::Compression;
use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

use super::{
    Acks, Delivery, Record,
    batch::Batch,
    identity::Identity,
    lane::{Lane, Runner},
    queue::{self, Finished, Next, Queue, Verdict},
    topic::{Partition, State, Topic},
};
use crate::{Error, ErrorCode, ServerAddress, cluster::Cluster};

/// Streams that one producer opens to one agent. Partitions are spread over them.
const LANES_PER_NODE: u32 = 8;
/// The first pause before batches are sent again. It doubles with every attempt.
const REST_MIN: Duration = Duration::from_millis(20);
/// The longest pause before batches are sent again.
const REST_MAX: Duration = Duration::from_secs(1);

/// A producer's settings, checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) acks: Acks,
    pub(super) compression: Compression,
    pub(super) idempotent: bool,
    pub(super) linger: Duration,
    pub(super) batch_bytes_max: usize,
    pub(super) memory_bytes_max: usize,
    pub(super) delivery_timeout: Duration,
    pub(super) request_timeout: Duration,
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) settings: Settings,
    pub(super) cluster: Arc<Cluster>,
    pub(super) identity: Identity,
    topics: RwLock<BTreeMap<Arc<str>, Arc<Topic>>>,
    lanes: Mutex<BTreeMap<(ServerAddress, u32), Arc<Lane>>>,
    memory: Semaphore,
    /// Set while a new epoch is being fetched: only batches that were sent before may leave.
    epoch_wanted: AtomicBool,
    closed: AtomicBool,
    done: watch::Sender<bool>,
    /// Changes whenever a batch is over or comes back.
    progress: watch::Sender<()>,
    first_error: Mutex<Option<Error>>,
}

impl Sender {
    pub(super) fn new(settings: Settings, cluster: Arc<Cluster>) -> Self {
        Self {
            memory: Semaphore::new(settings.memory_bytes_max),
            identity: Identity::new(settings.idempotent),
            settings,
            cluster,
            topics: RwLock::default(),
            lanes: Mutex::default(),
            epoch_wanted: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            done: watch::Sender::new(false),
            progress: watch::Sender::new(()),
            first_error: Mutex::default(),
        }
    }

    /// Takes a record in.
    pub(super) async fn send(self: &Arc<Self>, topic: &str, record: &Record) -> Result<Delivery, Error> {
        let topic = match self.known_topic(topic) {
            Some(topic) => topic,
            None => self.learn_topic(topic).await?,
        };
        let charge = queue::charge(record);
        self.reserve(charge).await?;
        let added = self.append(&topic, record, charge);
        if added.is_err() {
            self.memory.add_permits(charge);
        }
        // A task that only sends would otherwise never let the lanes run.
        tokio::task::consume_budget().await;
        added
    }

    fn known_topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().get(name).cloned()
    }

    async fn learn_topic(self: &Arc<Self>, name: &str) -> Result<Arc<Topic>, Error> {
        self.identity.ready(&self.cluster).await?;
        let metadata = self.cluster.topic(name).await?;
        let random = || self.cluster.random.fork();
        let topic = {
            let mut topics = self.topics.write();
            let make = || Arc::new(Topic::new(metadata.clone(), random()));
            topics.entry(metadata.name.clone()).or_insert_with(make).clone()
        };
        self.learn(&topic, metadata);
        Ok(topic)
    }

    fn learn(&self, topic: &Arc<Topic>, metadata: Arc<crate::cluster::TopicMetadata>) {
        let settings = &self.settings;
        topic.learn(metadata, |index| Queue::new(index, settings.batch_bytes_max, settings.idempotent));
    }

    /// Waits for room in the producer's memory.
    async fn reserve(&self, charge: usize) -> Result<(), Error> {
        let limit = self.settings.memory_bytes_max;
        let permits = u32::try_from(charge).ok().filter(|_| charge <= limit).ok_or_else(|| {
            let text =
                format!("a record of {charge} bytes does not fit the producer's memory of {limit}: raise it");
            Error::Usage(text.into())
        })?;
        match self.memory.acquire_many(permits).await {
            Ok(room) => {
                room.forget();
                Ok(())
            }
            Err(_) => Err(Error::Closed("the producer")),
        }
    }

    fn append(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        record: &Record,
        charge: usize,
    ) -> Result<Delivery, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed("the producer"));
        }
        let partition = topic.choose(record, charge, self.settings.batch_bytes_max)?;
        let timestamp = record.timestamp.unwrap_or_else(|| self.cluster.clock.0.now());
        let now = Instant::now();
        let mut state = partition.state.lock();
        let added = state
            .queue
            .append(record, timestamp, charge, now)
            .map_err(|error| Error::Usage(error.to_string().into()))?;
        if added.opened && self.cluster.is_old(&topic.metadata()) {
            self.refresh(topic);
        }
        if added.opened || added.closed {
            let lane = self.lane(&partition, &mut state);
            if added.closed {
                lane.schedule(&partition, &mut state);
            }
            if added.opened {
                lane.linger(&partition, &mut state, now);
            }
        }
        Ok(added.delivery)
    }

    /// The lane of a partition. It is chosen anew only while no batch is on its way and the old one does not work,
    /// or leads to another agent than the partition prefers.
    fn lane(self: &Arc<Self>, partition: &Partition, state: &mut State) -> Arc<Lane> {
        if let Some(lane) =
            state.lane.as_ref().filter(|_| !state.queue.is_idle() || state.scheduled || state.lingering)
        {
            return lane.clone();
        }
        let index = usize::try_from(partition.index.0).unwrap_or(0);
        let leader = partition.topic.metadata().partitions.get(index).and_then(|partition| partition.leader);
        let node = self.cluster.route(leader);
        if let Some(lane) = state.lane.as_ref().filter(|lane| Arc::ptr_eq(&lane.node, &node)) {
            return lane.clone();
        }
        let key = (node.server().clone(), partition.index.0.cast_unsigned() % LANES_PER_NODE);
        let mut lanes = self.lanes.lock();
        let lane = lanes.entry(key).or_insert_with(|| {
            let lane = Arc::new(Lane::new(node.clone()));
            tokio::spawn(Runner::new(self.clone(), lane.clone()).run());
            lane
        });
        state.lane = Some(lane.clone());
        lane.clone()
    }

    /// Takes the next batch of a partition for its lane, and keeps the partition in line while it has more.
    pub(super) fn take(
        self: &Arc<Self>,
        lane: &Lane,
        partition: &Arc<Partition>,
        now: Instant,
        linger: Duration,
    ) -> Option<Batch> {
        let fresh = !self.epoch_wanted.load(Ordering::Acquire);
        let mut state = partition.state.lock();
        state.scheduled = false;
        if let Some(other) = state.lane.clone().filter(|other| !std::ptr::eq(Arc::as_ptr(other), lane)) {
            // The partition has moved since it was put in line here.
            other.schedule(partition, &mut state);
            return None;
        }
        let over = state.queue.expire(now, self.settings.delivery_timeout);
        let due = state.queue.opened_at().is_some_and(|opened| now >= opened + linger);
        if due && fresh && state.queue.is_settled() && state.queue.is_drained() {
            state.queue.close_open();
        }
        let batch = state.queue.take(self.identity.current(), fresh);
        if state.queue.is_due(fresh) {
            lane.schedule(partition, &mut state);
        } else if fresh && state.queue.is_settled() && state.queue.is_drained() {
            // Behind a batch that may not leave yet, the open one waits for that one, not for time.
            if let Some(opened) = state.queue.opened_at() {
                lane.linger(partition, &mut state, opened);
            }
        }
        let blocked = state.queue.is_blocked();
        drop(state);
        self.resolve(over);
        if blocked {
            self.want_epoch();
        }
        batch
    }

    /// Takes a batch back, and decides what its partition does next.
    pub(super) fn settle(self: &Arc<Self>, partition: &Arc<Partition>, batch: Batch, verdict: Verdict) {
        let attempts = batch.attempts;
        if let Verdict::Again { error, .. } | Verdict::Gap(error) | Verdict::Forgotten(error) = &verdict {
            tracing::debug!(topic = %partition.topic.name, partition = %partition.index, attempts, %error, "batch comes back");
            self.refresh_after(&partition.topic, error);
        }
        if let Verdict::Refused(error @ Error::Fenced(_)) = &verdict {
            self.identity.fail(error.clone());
        }
        let mut state = partition.state.lock();
        let mut over: Vec<_> = state.queue.settle(batch, verdict).into_iter().collect();
        let next = state.queue.regroup();
        if let Some(error) = self.identity.failure() {
            over.extend(state.queue.fail_all(&error));
        } else if next == Next::Again {
            let lane = self.lane(partition, &mut state);
            lane.rest(partition, Instant::now() + rest(attempts));
        } else if state.queue.is_due(!self.epoch_wanted.load(Ordering::Acquire)) {
            let lane = self.lane(partition, &mut state);
            lane.schedule(partition, &mut state);
        }
        drop(state);
        self.resolve(over);
        if next == Next::NewEpoch {
            self.want_epoch();
        }
        self.progress.send_replace(());
    }

    /// Reads a topic's metadata anew when an error says that what is known of it is wrong.
    fn refresh_after(self: &Arc<Self>, topic: &Arc<Topic>, error: &Error) {
        use ErrorCode as C;
        let stale = matches!(error, Error::Unreachable(_) | Error::NotFound { .. } | Error::Uncertain(_))
            || matches!(
                error.code(),
                Some(C::NotLeaderOrFollower | C::LeaderNotAvailable | C::FencedLeaderEpoch)
            );
        if stale {
            self.refresh(topic);
        }
    }

    /// Reads a topic's metadata anew in the background, unless that is under way.
    fn refresh(self: &Arc<Self>, topic: &Arc<Topic>) {
        if !topic.refreshing.swap(true, Ordering::AcqRel) {
            let (sender, topic) = (self.clone(), topic.clone());
            tokio::spawn(async move {
                if let Ok(metadata) = sender.cluster.refresh(&topic.name).await {
                    sender.learn(&topic, metadata);
                }
                topic.refreshing.store(false, Ordering::Release);
            });
        }
    }

    /// Tells the deliveries of batches that are over, and gives their memory back.
    fn resolve(&self, over: Vec<Finished>) {
        if over.is_empty() {
            return;
        }
        for (batch, outcome) in over {
            if let Err(error) = &outcome {
                self.first_error.lock().get_or_insert_with(|| error.clone());
            }
            self.memory.add_permits(batch.charged);
            batch.resolve(outcome);
        }
        self.progress.send_replace(());
    }

    fn partitions(&self) -> Vec<Arc<Partition>> {
        self.topics.read().values().flat_map(|topic| topic.partitions().to_vec()).collect()
    }

    /// Gets the producer a new epoch, in the background, once.
    fn want_epoch(self: &Arc<Self>) {
        if !self.epoch_wanted.swap(true, Ordering::AcqRel) {
            let sender = self.clone();
            tokio::spawn(async move { sender.renew_epoch().await });
        }
    }

    /// Lets batches that were sent before come to an end, then takes a new epoch and starts every partition's
    /// sequence again. A partition that lost its place keeps back what may be in the log.
    async fn renew_epoch(self: Arc<Self>) {
        let mut progress = self.progress.subscribe();
        let partitions = loop {
            progress.mark_unchanged();
            // Topics may be added meanwhile.
            let partitions = self.partitions();
            if !partitions.iter().any(|partition| partition.state.lock().queue.has_stamped()) {
                break partitions;
            }
            if progress.changed().await.is_err() {
                return;
            }
        };
        let renewed = self.identity.renew(&self.cluster).await;
        for partition in &partitions {
            let mut state = partition.state.lock();
            let over = match &renewed {
                Ok(()) => state.queue.begin_epoch(),
                // The others may go on under the old epoch, unless it is gone for good.
                Err(error @ Error::Fenced(_)) => state.queue.fail_all(error),
                Err(error) if state.queue.is_blocked() => state.queue.fail_all(error),
                Err(_) => Vec::new(),
            };
            drop(state);
            self.resolve(over);
        }
        self.epoch_wanted.store(false, Ordering::Release);
        for partition in partitions {
            self.prod(&partition);
        }
        self.progress.send_replace(());
    }

    /// Closes a partition's open batch and puts it in line.
    fn prod(self: &Arc<Self>, partition: &Arc<Partition>) {
        let mut state = partition.state.lock();
        state.queue.close_open();
        if state.queue.is_due(true) {
            let lane = self.lane(partition, &mut state);
            lane.schedule(partition, &mut state);
        }
    }

    /// Sends all that is there, and waits until every batch taken in before is over.
    pub(super) async fn flush(self: &Arc<Self>) -> Result<(), Error> {
        let mut progress = self.progress.subscribe();
        let mut waiting = Vec::new();
        for partition in self.partitions() {
            let serial = partition.state.lock().queue.next_serial();
            self.prod(&partition);
            waiting.push((partition, serial));
        }
        loop {
            progress.mark_unchanged();
            waiting.retain(|(partition, serial)| !partition.state.lock().queue.is_resolved_before(*serial));
            if waiting.is_empty() || progress.changed().await.is_err() {
                break;
            }
        }
        self.first_error.lock().take().map_or(Ok(()), Err)
    }

    /// Takes no more records.
    pub(super) fn shut(&self) {
        self.closed.store(true, Ordering::Release);
        self.memory.close();
    }

    /// Ends the lanes: nothing is left to send.
    pub(super) fn end(&self) {
        self.done.send_replace(true);
        self.lanes.lock().clear();
    }

    /// Turns true when the lanes are to end.
    pub(super) fn done(&self) -> watch::Receiver<bool> {
        self.done.subscribe()
    }
}

/// The pause after so many attempts. Lanes of one producer need no jitter: each has its own partitions.
fn rest(attempts: u32) -> Duration {
    REST_MIN.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(REST_MAX)
}
