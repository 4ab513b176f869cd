//! A member of a group: what it has subscribed to, what it was assigned, and the heartbeats that tell the coordinator
//! (KIP-848). What an assignment means for reading is the reconciler's part.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ebb_protocol::{
    ids::TopicId,
    messages::{
        ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, StrBytes, TopicName,
        consumer_group_heartbeat_request::TopicPartitions, consumer_group_heartbeat_response::Assignment,
    },
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{super::assignment::Key, GroupSettings, progress::Progress};
use crate::{
    Error, ErrorCode, Offset, PartitionIndex,
    cluster::Cluster,
    offsets::{self, Committer},
    rpc::{Channel, Effect, Link},
};

/// The epoch of a member that joins.
const JOINS: i32 = 0;
/// The epoch of a member that leaves for good.
const LEAVES: i32 = -1;
/// The epoch of a static member that leaves and may come back.
const LEAVES_FOR_A_WHILE: i32 = -2;
/// How often heartbeats are sent at most, whatever the coordinator says.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// The longest time between heartbeats, whatever the coordinator says.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The interval of heartbeats as long as the coordinator has not said one: KIP-848's default.
const INTERVAL_FIRST: Duration = Duration::from_secs(5);
/// How long a heartbeat may go unanswered at least. Otherwise that is as long as the interval; but a group's interval is
/// never below 1 s, and an agent that asks for the next one sooner does not answer sooner for it.
const ANSWER_MIN: Duration = Duration::from_secs(1);
/// How long leaving may take. The session time-out does it otherwise.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// How often a commit is made again because the member's epoch went on meanwhile.
const STALE_COMMITS_MAX: usize = 10;

/// A partition as heartbeats name it.
pub(super) type Owned = (TopicId, PartitionIndex);

/// What a member reads: topics by name, or all topics whose whole name matches an expression of RE2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subscription {
    Topics(Vec<String>),
    Pattern(String),
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) cluster: Arc<Cluster>,
    pub(super) settings: GroupSettings,
    pub(super) progress: Mutex<Progress>,
    /// Told when the assignment changes, or the user is done with something.
    pub(super) changed: Notify,
    /// Told when partitions that the user was told of are read.
    pub(super) begun: Notify,
    /// Told when the member has failed for good.
    pub(super) failed: Notify,
    id: String,
    state: Mutex<State>,
    /// Told when the coordinator should hear something before the next heartbeat is due.
    nudge: Notify,
    /// The stream of the heartbeats, and the connection that it belongs to.
    stream: Mutex<Option<(Arc<Link>, Arc<Channel>)>>,
    /// Held while offsets are committed: an older commit that is tried again must not undo a younger one.
    committing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    epoch: i32,
    /// Whether the coordinator may count the member, so that there is something to leave.
    may_be_member: bool,
    /// Counts how often the member lost its place in the group.
    life: u64,
    subscription: Option<Subscription>,
    /// None until the coordinator has assigned something.
    assigned: Option<BTreeSet<Owned>>,
    owned: BTreeSet<Owned>,
    /// Whether the coordinator has to be told of the subscription and of what is owned.
    tell_all: bool,
    tell_owned: bool,
    /// Whether a heartbeat says what is owned that was not answered, and may reach the coordinator yet: what it leaves
    /// out may become another's, so nothing is taken up meanwhile.
    reports: bool,
    failure: Option<Error>,
}

impl Member {
    pub(super) fn new(cluster: Arc<Cluster>, settings: GroupSettings) -> Self {
        let id = uuid::Uuid::from_u128(cluster.random.next_u128()).to_string();
        Self {
            cluster,
            settings,
            progress: Mutex::default(),
            changed: Notify::new(),
            begun: Notify::new(),
            failed: Notify::new(),
            id,
            state: Mutex::new(State { epoch: JOINS, ..State::default() }),
            nudge: Notify::new(),
            stream: Mutex::default(),
            committing: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The member's epoch; 0 while it has no place in the group.
    pub(super) fn epoch(&self) -> i32 {
        self.state.lock().epoch
    }

    /// Reads something else from now on. Answers whether it is the first subscription.
    pub(super) fn subscribe(&self, subscription: Subscription) -> bool {
        let mut state = self.state.lock();
        state.tell_all = true;
        let first = state.subscription.replace(subscription).is_none();
        drop(state);
        self.nudge.notify_one();
        first
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.state.lock().subscription.is_some()
    }

    pub(super) fn failure(&self) -> Option<Error> {
        self.state.lock().failure.clone()
    }

    /// Ends in an error that the user has to hear of.
    pub(super) fn fail(&self, error: Error) {
        self.state.lock().failure.get_or_insert(error);
        self.failed.notify_one();
    }

    /// What the member is to read, and which life of the member that is true of.
    pub(super) fn assigned(&self) -> (u64, Option<BTreeSet<Owned>>) {
        let state = self.state.lock();
        (state.life, state.assigned.clone())
    }

    /// Whether the member has not lost its place since.
    pub(super) fn lives(&self, life: u64) -> bool {
        self.state.lock().life == life
    }

    /// Owns partitions that it was assigned, before it reads them. False when it must not yet, or no more: it hears of it
    /// when that may have changed.
    pub(super) fn take(&self, life: u64, added: &[Owned]) -> bool {
        let mut state = self.state.lock();
        let may = state.life == life && !state.reports;
        if may {
            state.owned.extend(added);
            state.tell_owned = true;
        }
        may
    }

    /// Notes what the member reads now, and tells the coordinator soon.
    pub(super) fn own(&self, life: u64, owned: BTreeSet<Owned>) {
        let mut state = self.state.lock();
        if state.life != life || state.owned == owned {
            return;
        }
        state.owned = owned;
        state.tell_owned = true;
        drop(state);
        self.nudge.notify_one();
    }

    /// Sends heartbeats until it is aborted, or fails for good.
    pub(super) async fn beat_on(self: Arc<Self>) {
        let mut delays = None;
        let mut interval = INTERVAL_FIRST;
        loop {
            let pause = match self.beat(interval.max(ANSWER_MIN)).await {
                Ok(told) => {
                    delays = None;
                    interval = told;
                    interval
                }
                Err(error) => {
                    tracing::debug!(group = %self.settings.group, %error, "heartbeat failed");
                    if is_fenced(&error) {
                        self.lose();
                    } else if !error.is_retriable() {
                        return self.fail(error);
                    }
                    let delays = delays.get_or_insert_with(|| self.cluster.retry.delays());
                    delays.next().unwrap_or(INTERVAL_MAX)
                }
            };
            tokio::select! {
                biased;
                () = self.nudge.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One heartbeat, whose answer is awaited for so long. Answers when the next one is due.
    async fn beat(&self, answer_max: Duration) -> Result<Duration, Error> {
        let (request, was_member) = {
            let mut state = self.state.lock();
            let request = self.heartbeat(&state);
            let was_member = std::mem::replace(&mut state.may_be_member, true);
            state.tell_all = false;
            state.tell_owned = false;
            state.reports |= request.topic_partitions.is_some();
            (request, was_member)
        };
        let answer = self.call(&request, answer_max).await.inspect_err(|error| {
            let mut state = self.state.lock();
            // It may not have come through: the next one says everything.
            state.tell_all = true;
            state.may_be_member = was_member || error.may_have_happened();
        })?;
        let mut state = self.state.lock();
        state.epoch = answer.member_epoch;
        // One that came before it was not answered made this one a report.
        let reported = std::mem::take(&mut state.reports);
        if let Some(assignment) = &answer.assignment {
            state.assigned = Some(places(assignment));
        }
        drop(state);
        if reported || answer.assignment.is_some() {
            self.changed.notify_one();
        }
        let interval = u64::try_from(answer.heartbeat_interval_ms).unwrap_or(0);
        Ok(Duration::from_millis(interval).clamp(INTERVAL_MIN, INTERVAL_MAX))
    }

    /// Sends a heartbeat on a stream of its own: one that is not answered in time ends that stream and nothing else.
    async fn call(
        &self,
        request: &ConsumerGroupHeartbeatRequest,
        answer_max: Duration,
    ) -> Result<ConsumerGroupHeartbeatResponse, Error> {
        let group = &self.settings.group;
        let what = format!("membership in group {group:?}");
        let called = async {
            let link = self.cluster.coordinator_link(group, &what).await?;
            let version = link.version::<ConsumerGroupHeartbeatRequest>()?;
            let channel = self.channel(&link, &what, answer_max).await?;
            let called = channel.call(request, version, answer_max).await;
            let answer = called.map_err(|error| error.into_error(&what))?;
            match ErrorCode::try_from_code(answer.error_code) {
                Some(code) => Err(self.refused(code, &what, answer.error_message.as_deref())),
                None => Ok(answer),
            }
        };
        called.await.inspect_err(|error| self.cluster.doubt_coordinator(group, error))
    }

    fn refused(&self, code: ErrorCode, what: &str, reason: Option<&str>) -> Error {
        let instance = self.settings.instance.as_deref().unwrap_or_default();
        let remedy = format!(
            "another consumer has the instance id {instance:?}: close it, or wait for its session to end"
        );
        let reason = if code == ErrorCode::UnreleasedInstanceId { Some(remedy.as_str()) } else { reason };
        Error::from_code(code, what, reason)
    }

    /// The stream of the heartbeats to this coordinator.
    async fn channel(&self, link: &Arc<Link>, what: &str, open_max: Duration) -> Result<Arc<Channel>, Error> {
        let kept = self.stream.lock().clone();
        if let Some((_, channel)) = kept.filter(|(of, channel)| Arc::ptr_eq(of, link) && !channel.is_closed())
        {
            return Ok(channel);
        }
        let opened = tokio::time::timeout(open_max, link.open_channel()).await;
        let none = |_| Error::TimedOut(format!("{what}: no stream within {open_max:?}").into());
        let channel = Arc::new(opened.map_err(none)??);
        *self.stream.lock() = Some((link.clone(), channel.clone()));
        Ok(channel)
    }

    fn heartbeat(&self, state: &State) -> ConsumerGroupHeartbeatRequest {
        let text = |text: &String| StrBytes::from_string(text.clone());
        let joins = state.epoch == JOINS;
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&self.settings.group)))
            .with_member_id(text(&self.id))
            .with_instance_id(self.settings.instance.as_ref().map(text))
            .with_member_epoch(state.epoch)
            .with_rebalance_timeout_ms(-1)
            .with_subscribed_topic_names(None)
            .with_topic_partitions(None);
        if joins || state.tell_all {
            let (names, pattern) = match &state.subscription {
                Some(Subscription::Topics(topics)) => (topics.as_slice(), None),
                Some(Subscription::Pattern(pattern)) => (&[][..], Some(text(pattern))),
                None => (&[][..], None),
            };
            let names = names.iter().map(|name| TopicName(text(name))).collect();
            let timeout = i32::try_from(self.settings.rebalance_timeout.as_millis()).unwrap_or(i32::MAX);
            let assignor = self.settings.assignor.map(|assignor| StrBytes::from_static_str(assignor.name()));
            // An empty pattern ends the last one, and says nothing where there was none.
            let pattern = pattern.or_else(|| (!joins).then(StrBytes::default));
            request = request
                .with_rack_id(self.settings.rack.as_ref().map(text))
                .with_server_assignor(assignor)
                .with_rebalance_timeout_ms(timeout)
                .with_subscribed_topic_names(Some(names))
                .with_subscribed_topic_regex(pattern);
        }
        if joins || state.tell_all || state.tell_owned {
            request = request.with_topic_partitions(Some(by_topic(&state.owned)));
        }
        request
    }

    /// The coordinator no longer counts the member: its partitions are others'. It joins anew.
    fn lose(&self) {
        let mut state = self.state.lock();
        state.life += 1;
        state.epoch = JOINS;
        state.may_be_member = false;
        state.assigned = None;
        state.owned.clear();
        state.reports = false;
        drop(state);
        self.changed.notify_one();
    }

    /// Leaves the group. Heartbeats must have ended. That it does not come through is left to the session time-out.
    pub(super) async fn leave(&self) {
        if !std::mem::take(&mut self.state.lock().may_be_member) {
            return;
        }
        let epoch = if self.settings.instance.is_some() { LEAVES_FOR_A_WHILE } else { LEAVES };
        let text = |text: &String| StrBytes::from_string(text.clone());
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&self.settings.group)))
            .with_member_id(text(&self.id))
            .with_instance_id(self.settings.instance.as_ref().map(text))
            .with_member_epoch(epoch)
            .with_rebalance_timeout_ms(-1)
            .with_subscribed_topic_names(None)
            .with_topic_partitions(None);
        let leaving = self.cluster.retry.run(Effect::Reads, || self.call(&request, LEAVE_MAX));
        let left = tokio::time::timeout(LEAVE_MAX, leaving).await;
        self.state.lock().epoch = JOINS;
        if !matches!(left, Ok(Ok(_))) {
            tracing::debug!(group = %self.settings.group, "leaving the group did not come through");
        }
    }

    /// Commits what the user is done with, of all partitions or of these, after a commit that is under way.
    pub(super) async fn commit(&self, keys: Option<&[Key]>) -> Result<(), Error> {
        let _turn = self.committing.lock().await;
        let offsets: Vec<_> = {
            let progress = self.progress.lock();
            let offsets = progress.uncommitted(keys).into_iter();
            // Commits name topics: what is known to be another one by now must not get this one's offsets.
            offsets.filter(|(key, _)| !self.cluster.is_another(&key.0, progress.topic(key))).collect()
        };
        if offsets.is_empty() {
            return Ok(());
        }
        self.commit_offsets(&offsets).await?;
        self.progress.lock().committed(&offsets);
        Ok(())
    }

    async fn commit_offsets(&self, offsets: &[(Key, Offset)]) -> Result<(), Error> {
        let group = &self.settings.group;
        let wire: Vec<_> = offsets
            .iter()
            .map(|((topic, partition), offset)| (topic.to_string(), *partition, *offset))
            .collect();
        let mut delays = self.cluster.retry.delays();
        for _ in 0..STALE_COMMITS_MAX {
            let epoch = self.epoch();
            if epoch == JOINS {
                break;
            }
            let committer = Committer { member: self.id.clone(), epoch };
            match offsets::commit(&self.cluster, group, &committer, &wire).await {
                // The next heartbeat brings the epoch that the coordinator has by now.
                Err(error) if is_stale(&error) => {
                    self.nudge.notify_one();
                    tokio::time::sleep(delays.next().unwrap_or(INTERVAL_MIN)).await;
                }
                committed => return committed,
            }
        }
        let message =
            format!("committing offsets of group {group:?}: the member has no place in it just now");
        Err(Error::Unavailable { message: message.into(), code: ErrorCode::RebalanceInProgress })
    }
}

/// Whether the coordinator says that the member has lost its place.
fn is_fenced(error: &Error) -> bool {
    let fencing = [ErrorCode::UnknownMemberId, ErrorCode::FencedMemberEpoch, ErrorCode::GroupIdNotFound];
    error.code().is_some_and(|code| fencing.contains(&code))
}

/// Whether a commit carried an epoch that the coordinator has passed.
fn is_stale(error: &Error) -> bool {
    matches!(error.code(), Some(ErrorCode::StaleMemberEpoch | ErrorCode::IllegalGeneration))
}

fn places(assignment: &Assignment) -> BTreeSet<Owned> {
    let topics = assignment.topic_partitions.iter();
    let places = topics.flat_map(|topic| {
        topic.partitions.iter().map(|index| (TopicId(topic.topic_id), PartitionIndex(*index)))
    });
    places.collect()
}

fn by_topic(owned: &BTreeSet<Owned>) -> Vec<TopicPartitions> {
    let mut topics = BTreeMap::<TopicId, Vec<i32>>::new();
    for (topic, partition) in owned {
        topics.entry(*topic).or_default().push(partition.0);
    }
    let topic = |(id, partitions): (TopicId, _)| {
        TopicPartitions::default().with_topic_id(id.0).with_partitions(partitions)
    };
    topics.into_iter().map(topic).collect()
}
