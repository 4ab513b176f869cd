//! Consumers of a group (KIP-848): the group's coordinator decides which of them reads which partition.

mod member;
mod progress;
mod reconcile;

use std::{sync::Arc, time::Duration};

use futures::Stream;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use self::{
    member::{Member, Subscription},
    reconcile::Reconciler,
};
use super::{
    Consumer, ConsumerBuilder, ConsumerRecord, FetchedBatch, Start, key,
    source::{Fetched, Source, stream},
};
use crate::{Error, Offset, PartitionIndex};

/// A change of what a consumer of a group reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebalance {
    /// These partitions are read from now on.
    Assigned(Vec<(String, PartitionIndex)>),
    /// These partitions go to others. Nothing more of them is returned. What was returned is committed when the
    /// consumer commits by itself, as soon as its user asks for more.
    Revoked(Vec<(String, PartitionIndex)>),
    /// These partitions have gone to others: the coordinator had not heard of this consumer for too long. What was
    /// not committed is read again.
    Lost(Vec<(String, PartitionIndex)>),
}

/// How the coordinator shares the partitions out: the assignors that agents have, by Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Each member gets as many partitions as the others, and keeps those that it has.
    Uniform,
    /// The same partitions of all topics go to the same member, so that topics which share keys can be joined.
    Range,
}

impl Assignor {
    /// Kafka's name for it.
    fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }
}

/// What is told of rebalances.
type OnRebalance = Arc<dyn Fn(&Rebalance) + Send + Sync>;

/// A member's settings, checked.
#[derive(Clone)]
struct GroupSettings {
    group: String,
    instance: Option<String>,
    rack: Option<String>,
    assignor: Option<Assignor>,
    start: Option<Start>,
    commit_interval: Option<Duration>,
    rebalance_timeout: Duration,
    on_rebalance: Option<OnRebalance>,
}

impl std::fmt::Debug for GroupSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupSettings").field("group", &self.group).finish_non_exhaustive()
    }
}

impl GroupSettings {
    fn tell(&self, change: Rebalance) {
        tracing::debug!(group = %self.group, ?change, "rebalance");
        if let Some(tell) = &self.on_rebalance {
            tell(&change);
        }
    }
}

/// A consumer of a group: reads the partitions that the group's coordinator assigns to it, each from where the group
/// has committed.
///
/// **Every record is processed at least once.** Asking for the next record or batch says that its user is done with the
/// one before: only then may its offset be committed, and its partition go to another consumer. A record comes again
/// when its offset was not committed: after a crash, after the consumer lost its place ([`Rebalance::Lost`]), or when its
/// user took longer than the rebalance time-out.
///
/// **Offsets are committed** at intervals, when partitions go to others, and at [`GroupConsumer::close`], unless
/// [`GroupConsumerBuilder::auto_commit`] leaves all of it to [`GroupConsumer::commit`], whose promises are written there.
///
/// **The group goes on meanwhile.** Heartbeats and rebalances need nobody to ask for records. [`GroupConsumer::close`]
/// leaves the group. A consumer that is only dropped commits nothing, and leaves in the background, if a Tokio runtime
/// is there and goes on for long enough; otherwise it is missed when its session is over, 45 s by default.
#[derive(Debug)]
pub struct GroupConsumer {
    consumer: Consumer,
    member: Arc<Member>,
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl GroupConsumer {
    /// Reads these topics, instead of what was subscribed to before. Topics that do not exist are read once they do.
    pub fn subscribe(&mut self, topics: &[&str]) {
        self.start(Subscription::Topics(topics.iter().map(|&topic| topic.to_owned()).collect()));
    }

    /// Reads all topics whose whole name matches a regular expression (RE2), also those that come later, instead of
    /// what was subscribed to before.
    pub fn subscribe_pattern(&mut self, pattern: &str) {
        self.start(Subscription::Pattern(pattern.to_owned()));
    }

    fn start(&mut self, subscription: Subscription) {
        if self.member.subscribe(subscription) {
            let reconciler = Reconciler::new(self.member.clone(), self.consumer.reader.clone());
            self.tasks = vec![
                AbortOnDropHandle::new(tokio::spawn(self.member.clone().beat_on())),
                AbortOnDropHandle::new(tokio::spawn(reconciler.run())),
            ];
        }
    }

    /// Waits for the next batch of any partition. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::Usage`] without a subscription; what fetching failed with, after which the consumer may be used
    /// again; what membership failed with for good, from then on. That a topic is deleted is no error: the
    /// coordinator takes its partitions away.
    pub async fn next_batch(&mut self) -> Result<FetchedBatch, Error> {
        self.next().await
    }

    /// Waits for the next record of any partition. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`GroupConsumer::next_batch`], and [`Error::Corrupt`] for a record that cannot be decoded.
    pub async fn next_record(&mut self) -> Result<ConsumerRecord, Error> {
        self.next().await
    }

    /// The user is done with what was returned last.
    fn done(&self) -> Result<(), Error> {
        if !self.member.is_subscribed() {
            let text = format!("group {:?}: nothing is subscribed to", self.member.settings.group);
            return Err(Error::Usage(text.into()));
        }
        let awaited = self.member.progress.lock().done();
        if awaited {
            self.member.changed.notify_one();
        }
        Ok(())
    }

    /// The batches as a stream that does not end. Whoever asks for the next is done with the one before.
    pub fn batches(&mut self) -> impl Stream<Item = Result<FetchedBatch, Error>> + '_ {
        stream(self)
    }

    /// The records as a stream that does not end. Whoever asks for the next is done with the one before.
    pub fn records(&mut self) -> impl Stream<Item = Result<ConsumerRecord, Error>> + '_ {
        stream(self)
    }

    /// Commits everything that was returned so far, and waits until that is durable. It says that the user is done with
    /// what was returned last.
    ///
    /// - When it returns, the offsets are durable, and whoever begins one of the partitions begins there or later,
    ///   through any agent.
    /// - What one consumer commits only goes on: an older commit that is tried again, or the consumer's own at
    ///   intervals, never undoes a younger one. [`GroupConsumer::seek`] alone moves an offset back.
    /// - Nothing is ever committed that was not returned. After an error, and when the future is dropped, some of the
    ///   partitions may have been committed and others not; the next commit has them all.
    /// - A partition that has gone to others is not committed for any more: what was returned of it since the last
    ///   commit is read again there.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the consumer has lost its place in the group, so that others read its partitions;
    /// [`Error::Unavailable`] while it joins; [`Error::NotFound`] when the group or a topic was deleted; what a request
    /// can fail with.
    pub async fn commit(&self) -> Result<(), Error> {
        if self.member.is_subscribed() {
            self.done()?;
        }
        self.member.commit(None).await
    }

    /// Goes on reading a partition elsewhere; what was prefetched of it is dropped. Commits nothing, but whatever is
    /// committed next begins there, be it before what is committed now. A record of the partition that was returned
    /// stays in use until the next is asked for.
    ///
    /// A partition can be sought as soon as [`Rebalance::Assigned`] has named it. Who does so before asking for the next
    /// record gets none from before: so offsets may be kept outside of the group.
    ///
    /// # Errors
    /// [`Error::Usage`] when the partition is not this consumer's, or was lost before the offset was known, even if it
    /// has come back since: then nothing has changed. What looking the offset up can fail with.
    pub async fn seek(&self, topic: &str, partition: PartitionIndex, start: Start) -> Result<(), Error> {
        let key = key(topic, partition);
        loop {
            let begun = self.member.begun.notified();
            if !self.member.progress.lock().is_coming(&key) {
                break;
            }
            begun.await;
        }
        let place = self.member.progress.lock().number(&key);
        let not_read = || {
            let group = &self.member.settings.group;
            let text = format!(
                "group {group:?}: topic {topic:?} partition {partition} is not this consumer's to seek"
            );
            Err(Error::Usage(text.into()))
        };
        if place.is_none() {
            return not_read();
        }
        let found = self.consumer.reader.resolve(topic, &[partition], start).await?;
        let offset = found.first().copied().unwrap_or_default();
        // Under one lock, so that the partition is not given up in between.
        let mut progress = self.member.progress.lock();
        if progress.number(&key) != place || !self.consumer.reader.seek(&key, offset) {
            return not_read();
        }
        progress.seek(&key, offset);
        Ok(())
    }

    /// The partitions that are read now, sorted.
    #[must_use]
    pub fn assignment(&self) -> Vec<(String, PartitionIndex)> {
        let keys = self.member.progress.lock().keys();
        let reading = self.consumer.reader.assignment.lock();
        // One that is being begun is not read yet.
        let read = keys.into_iter().filter(|key| reading.partitions.contains_key(key));
        read.map(|(topic, partition)| (topic.to_string(), partition)).collect()
    }

    /// As [`Consumer::position`].
    #[must_use]
    pub fn position(&self, topic: &str, partition: PartitionIndex) -> Option<Offset> {
        self.consumer.position(topic, partition)
    }

    /// As [`Consumer::high_watermark`].
    #[must_use]
    pub fn high_watermark(&self, topic: &str, partition: PartitionIndex) -> Option<Offset> {
        self.consumer.high_watermark(topic, partition)
    }

    /// As [`Consumer::pause`], as long as the partition is this consumer's.
    pub fn pause(&self, topic: &str, partition: PartitionIndex) {
        self.consumer.pause(topic, partition);
    }

    /// Ends [`GroupConsumer::pause`].
    pub fn resume(&self, topic: &str, partition: PartitionIndex) {
        self.consumer.resume(topic, partition);
    }

    /// The id that the group knows this consumer by.
    #[must_use]
    pub fn member_id(&self) -> &str {
        self.member.id()
    }

    /// Commits everything that was returned, if the consumer commits by itself, and leaves the group, so that others
    /// take over at once. With [`GroupConsumerBuilder::auto_commit`] `None` nothing is committed: call
    /// [`GroupConsumer::commit`] before.
    ///
    /// # Errors
    /// What committing failed with; the group has been left nonetheless.
    pub async fn close(mut self) -> Result<(), Error> {
        // The reconciler ends first, and heartbeats go on until the commit is through.
        drop(self.tasks.pop());
        let has_place = self.member.epoch() > 0;
        let committed = if has_place && self.member.settings.commit_interval.is_some() {
            self.commit().await
        } else {
            Ok(())
        };
        leave(std::mem::take(&mut self.tasks), &self.member).await;
        committed
    }
}

/// Leaves the group, when the heartbeats have ended.
async fn leave(tasks: Vec<AbortOnDropHandle<()>>, member: &Member) {
    for task in tasks {
        task.abort();
        // It has ended by cancellation, or had ended before.
        let _ = task.await;
    }
    member.leave().await;
}

impl Drop for GroupConsumer {
    /// Leaves the group in the background, unless the consumer was closed.
    fn drop(&mut self) {
        let tasks = std::mem::take(&mut self.tasks);
        if let (Ok(runtime), false) = (Handle::try_current(), tasks.is_empty()) {
            let member = self.member.clone();
            runtime.spawn(async move { leave(tasks, &member).await });
        }
    }
}

impl Source for GroupConsumer {
    async fn next<T: Fetched>(&mut self) -> Result<T, Error> {
        self.done()?;
        loop {
            if let Some(error) = self.member.failure() {
                return Err(error);
            }
            tokio::select! {
                biased;
                () = self.member.failed.notified() => {}
                next = T::next(&mut self.consumer) => {
                    let next = match next {
                        // A topic is gone: the coordinator takes its partitions away.
                        Err(Error::NotFound { .. }) => continue,
                        next => next?,
                    };
                    let (key, offset) = next.place();
                    if self.member.progress.lock().give(key, offset) {
                        return Ok(next);
                    }
                }
            }
        }
    }
}

/// Settings of a [`GroupConsumer`].
#[derive(Debug, Clone)]
#[must_use]
pub struct GroupConsumerBuilder {
    reading: ConsumerBuilder,
    settings: GroupSettings,
}

impl GroupConsumerBuilder {
    pub(super) fn new(reading: ConsumerBuilder, group: &str) -> Self {
        let settings = GroupSettings {
            group: group.to_owned(),
            instance: None,
            rack: None,
            assignor: None,
            start: Some(Start::Earliest),
            commit_interval: Some(Duration::from_secs(5)),
            rebalance_timeout: Duration::from_secs(60),
            on_rebalance: None,
        };
        Self { reading, settings }
    }

    /// A name for this consumer that survives restarts: its partitions wait for it until its session is over, when it
    /// was closed too. While another consumer has the name, reading fails with [`UnreleasedInstanceId`](crate::ErrorCode::UnreleasedInstanceId);
    /// make a new consumer once that one has been closed, or its session is over. Default: none.
    pub fn instance_id(mut self, id: &str) -> Self {
        self.settings.instance = Some(id.to_owned());
        self
    }

    /// Where this consumer runs, say its availability zone: Kafka's `client.rack`, which the coordinator is told and
    /// tools show. Default: none.
    pub fn rack(mut self, rack: &str) -> Self {
        self.settings.rack = Some(rack.to_owned());
        self
    }

    /// How the partitions are to be shared out. The coordinator takes what most members ask for. Default: they leave
    /// it to the coordinator, which takes [`Assignor::Uniform`].
    pub fn assignor(mut self, assignor: Assignor) -> Self {
        self.settings.assignor = Some(assignor);
        self
    }

    /// Where to begin partitions that the group has committed nothing for; `None` is to fail with [`Error::NoOffset`].
    /// What to do about a committed offset that is no longer in the log, say because retention passed it, is for
    /// [`ConsumerBuilder::out_of_range`] to say. Default: [`Start::Earliest`].
    pub fn start(mut self, start: impl Into<Option<Start>>) -> Self {
        self.settings.start = start.into();
        self
    }

    /// How often the consumer commits by itself; it does so too when partitions go to others, and when it is closed.
    /// `None` leaves all of it to [`GroupConsumer::commit`]. Default: every 5 s.
    pub fn auto_commit(mut self, interval: Option<Duration>) -> Self {
        self.settings.commit_interval = interval;
        self
    }

    /// How long giving up partitions may take before the coordinator takes them. Default: 60 s.
    pub fn rebalance_timeout(mut self, timeout: Duration) -> Self {
        self.settings.rebalance_timeout = timeout;
        self
    }

    /// Is called with every change of what the consumer reads, before it takes effect. It must not block.
    pub fn on_rebalance(mut self, tell: impl Fn(&Rebalance) + Send + Sync + 'static) -> Self {
        self.settings.on_rebalance = Some(Arc::new(tell));
        self
    }

    /// Makes the consumer. It joins its group when it subscribes.
    ///
    /// # Errors
    /// [`Error::Usage`] when a name is empty or a time is 0, and as [`ConsumerBuilder::build`].
    pub fn build(self) -> Result<GroupConsumer, Error> {
        let settings = self.settings;
        let wrong = |text: &str| Err(Error::Usage(format!("group {:?}: {text}", settings.group).into()));
        if settings.group.is_empty() {
            return wrong("a group needs a name");
        }
        if settings.instance.as_deref() == Some("") || settings.rack.as_deref() == Some("") {
            return wrong("an instance id or a rack must not be empty");
        }
        if settings.commit_interval.is_some_and(|interval| interval.is_zero()) {
            return wrong("the commit interval must be above 0");
        }
        if settings.rebalance_timeout.as_millis() == 0 {
            return wrong("the rebalance time-out must be above 0");
        }
        let consumer = self.reading.build()?;
        let member = Member::new(consumer.reader.cluster.clone(), settings);
        Ok(GroupConsumer { consumer, member: Arc::new(member), tasks: Vec::new() })
    }
}
