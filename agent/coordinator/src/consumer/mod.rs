//! Consumer groups of KIP-848 as a state machine, with the rules of Kafka 4.1's GroupMetadataManager. Owns the
//! members, their deadlines and the requests that wait; must not know connections or how an update is recorded.
//!
//! Requests that come while an update is in flight wait, and then all of them make one update: a hundred members that
//! join at once cost two or three updates, and the assignor runs as often. In one such batch, members are changed
//! first, then the targets are computed when something calls for it, then each member that asked makes one step
//! towards its target. What one member's request changes of another is its target alone.

mod assignor;
mod batch;
mod classic_members;
mod describe;
mod expression;
mod limits;
mod membership;
mod migration;
mod partitions;
mod reconciliation;
mod request;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, btree_map};

use ebb_metastore::{
    command::{CommitFence, ConsumerGroup, ConsumerMember},
    state::group_config::GroupSettings,
};
use ebb_protocol::ids::{MemberId, Timestamp, TopicPartition};

use self::{batch::Answer, expression::Expressions, partitions::each};
use crate::{Effects, Event, GroupError, Topics};

pub use self::describe::{ConsumerDescription, ConsumerState};
pub(crate) use self::request::check as check_request;

/// The epoch by which a member leaves.
const LEAVE: i32 = -1;

/// The epoch by which a static member leaves for a while.
const LEAVE_FOR_A_WHILE: i32 = -2;

/// About what a member takes in memory besides what it says of itself, and a partition with its owner, in bytes.
const MEMBER_MEMORY_BYTES: usize = 1_024;
const PARTITION_MEMORY_BYTES: usize = 256;

/// Settings of consumer groups (KIP-848): Kafka's `group.consumer.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// A member that is silent for so long is removed, in milliseconds.
    pub session_timeout_ms: i32,
    /// How often members are to send heartbeats, in milliseconds.
    pub heartbeat_interval_ms: i32,
    /// The same while partitions may be on their way from one member to another, if that is sooner.
    pub moving_interval_ms: i32,
    /// How many members a group may have.
    pub members_max: usize,
    /// How many requests of a group may wait for an update; more are refused.
    pub requests_max: usize,
    /// The shortest and the longest session time-out that a member of the classic protocol may have in a consumer
    /// group, in milliseconds.
    pub classic_session_timeout_ms: (i32, i32),
}

/// Kafka's defaults, but for the number of members, which Kafka does not limit, and for the sooner heartbeats while
/// partitions move, which Kafka does not ask for: a member that waits for partitions would learn only after a whole
/// interval that they are free.
impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            moving_interval_ms: 500,
            members_max: 1_000,
            requests_max: 4_000,
            classic_session_timeout_ms: (6_000, 1_800_000),
        }
    }
}

impl ConsumerConfig {
    /// These settings, with those of one group in their place.
    #[must_use]
    pub fn with(self, group: GroupSettings) -> Self {
        Self {
            session_timeout_ms: group.session_timeout_ms.unwrap_or(self.session_timeout_ms),
            heartbeat_interval_ms: group.heartbeat_interval_ms.unwrap_or(self.heartbeat_interval_ms),
            ..self
        }
    }

    /// When a member that is heard of now is taken for dead, unless it is heard of again. One of the classic protocol
    /// says so itself.
    fn session_end(&self, now: Timestamp, member: &ConsumerMember) -> Timestamp {
        let millis =
            member.classic.as_ref().map_or(self.session_timeout_ms, |classic| classic.session_timeout_ms);
        later(now, millis)
    }
}

/// A consumer group.
#[derive(Debug)]
pub struct ConsumerMachine {
    config: ConsumerConfig,
    shared: ConsumerGroup,
    /// What the members share, as it was last recorded; `None` when the group is not yet recorded as one of KIP-848.
    recorded: Option<ConsumerGroup>,
    /// Its first update must drop whatever is recorded of the group: it was another machine's.
    must_clear: bool,
    members: BTreeMap<MemberId, Member>,
    /// Who owns each partition, or has not given it up yet.
    owners: BTreeMap<TopicPartition, MemberId>,
    /// The members that the present batch touched, as they were recorded before.
    touched: BTreeMap<MemberId, Option<ConsumerMember>>,
    /// The targets must be computed anew.
    must_assign: bool,
    /// Topics may have changed since the targets were computed.
    topics_changed: bool,
    /// The regular expressions of the members.
    expressions: Expressions,
    /// Bytes of what the members say of themselves.
    said_bytes: usize,
    /// The targets have changed, and until then there may be members that have not heard of it.
    moving_until: Option<Timestamp>,
    /// Requests that wait for the update in flight to end, before they are looked at.
    waiting: Vec<Event>,
    /// Bytes of those.
    waiting_bytes: usize,
    /// The answers that are given when the update in flight is recorded; `None` when none is in flight.
    in_flight: Option<Vec<Answer>>,
}

/// A member, with what lives in memory alone.
#[derive(Clone, Debug)]
struct Member {
    record: ConsumerMember,
    /// It is removed then, unless it is heard of.
    session_until: Timestamp,
    /// It is removed then, unless it has given up what it must.
    revoke_by: Option<Timestamp>,
    /// It speaks the classic protocol, and is removed then unless it has joined again, or fetched its assignment.
    act_by: Option<Timestamp>,
    /// Bytes of what it says of itself; known once it is one of a group.
    said_bytes: usize,
}

impl Member {
    fn new(record: ConsumerMember, session_until: Timestamp) -> Self {
        Self { record, session_until, revoke_by: None, act_by: None, said_bytes: 0 }
    }

    fn deadline(&self) -> Timestamp {
        self.revoke_by.into_iter().chain(self.act_by).fold(self.session_until, Timestamp::min)
    }
}

impl ConsumerMachine {
    /// A group without members.
    #[must_use]
    pub fn new(config: ConsumerConfig) -> Self {
        Self {
            config,
            shared: ConsumerGroup::default(),
            recorded: None,
            must_clear: false,
            members: BTreeMap::new(),
            owners: BTreeMap::new(),
            touched: BTreeMap::new(),
            must_assign: false,
            topics_changed: false,
            expressions: Expressions::default(),
            said_bytes: 0,
            moving_until: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            in_flight: None,
        }
    }

    /// A group as it was recorded. Each member gets its whole time again, since nobody here knows when it was last
    /// heard of.
    #[must_use]
    pub fn load(
        shared: &ConsumerGroup,
        members: &BTreeMap<MemberId, ConsumerMember>,
        config: ConsumerConfig,
        now: Timestamp,
    ) -> Self {
        let mut machine = Self::new(config);
        machine.shared = *shared;
        machine.recorded = Some(*shared);
        machine.topics_changed = true;
        for (id, record) in members {
            let mut member = Member::new(record.clone(), config.session_end(now, record));
            member.revoke_by = (!record.revoking.is_empty()).then(|| later(now, record.rebalance_timeout_ms));
            machine.put(id, member);
            if let Some(pattern) = &record.regex {
                // It could be learned when it came. One that cannot be any more matches nothing.
                let _ = machine.expressions.learn(pattern);
            }
        }
        machine.touched.clear();
        machine
    }

    /// Goes on with other settings. Members learn of them by their next heartbeats, and are timed by them from then on.
    pub fn configure(&mut self, config: ConsumerConfig) {
        self.config = config;
    }

    /// Takes an event in.
    pub fn handle(&mut self, now: Timestamp, event: Event, topics: &dyn Topics) -> Effects {
        let mut effects = Effects::default();
        match event {
            Event::Stored(Ok(())) => self.stored(now, &mut effects),
            Event::Stored(Err(error)) => {
                self.send_away(error, &mut effects);
                return effects;
            }
            // Members learn of it by their heartbeats, so the next one is early enough to look.
            Event::TopicsChanged => self.topics_changed = true,
            Event::Tick => {}
            Event::ConsumerHeartbeat(..)
            | Event::Join(..)
            | Event::Sync(..)
            | Event::Heartbeat(..)
            | Event::Leave(..) => self.take_in(event, &mut effects),
        }
        if self.in_flight.is_none() {
            self.run(now, topics, &mut effects);
        }
        effects
    }

    /// When [`Event::Tick`] is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.in_flight.is_some() {
            return None;
        }
        self.members.values().map(Member::deadline).min()
    }

    /// On whose behalf an offset commit may be recorded. Nobody in particular (no member id, a negative epoch) may
    /// commit while the group has no members.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::StaleMemberEpoch`], and for members of the classic protocol
    /// [`GroupError::IllegalGeneration`].
    pub fn check_commit(&self, member: &MemberId, epoch: i32) -> Result<CommitFence, GroupError> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(CommitFence::Simple);
        }
        let Member { record, .. } = self.members.get(member).ok_or(GroupError::UnknownMember)?;
        if record.epoch == epoch {
            return Ok(CommitFence::Consumer(member.clone(), epoch));
        }
        let is_classic = record.classic.is_some();
        Err(if is_classic { GroupError::IllegalGeneration } else { GroupError::StaleMemberEpoch })
    }

    /// True when a member subscribes to the topic, so that its offsets must not be deleted (KIP-496).
    #[must_use]
    pub fn subscribes_to(&self, topic: &str) -> bool {
        self.members.values().any(|member| subscription::subscribes(&member.record, &self.expressions, topic))
    }

    /// True when the group has members.
    #[must_use]
    pub fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// True when nothing waits and there is no member: the machine may be dropped.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.members.is_empty() && self.in_flight.is_none() && self.waiting.is_empty()
    }

    /// About what it takes in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let members = self.said_bytes + self.members.len() * MEMBER_MEMORY_BYTES;
        let partitions = self.owners.len() * PARTITION_MEMORY_BYTES;
        members + partitions + self.expressions.bytes() + self.waiting_bytes
    }

    /// When a member that is heard of now is to come again. After a change of the targets all come sooner for a whole
    /// interval, since those who have not heard of it yet may hold what the others wait for.
    fn interval_ms(&self, now: Timestamp) -> i32 {
        let ConsumerConfig { heartbeat_interval_ms, moving_interval_ms, .. } = self.config;
        let is_moving = self.moving_until.is_some_and(|until| now < until);
        if is_moving { moving_interval_ms.min(heartbeat_interval_ms) } else { heartbeat_interval_ms }
    }

    /// Adds or replaces a member.
    fn put(&mut self, id: &MemberId, mut member: Member) {
        let before = self.members.get(id).map(|before| &before.record);
        touch(&mut self.touched, id, before);
        self.disown(id);
        member.said_bytes = limits::said_bytes(id, &member.record);
        self.said_bytes += member.said_bytes;
        let record = &member.record;
        for partition in each(&record.assigned).chain(each(&record.revoking)) {
            self.owners.insert(partition, id.clone());
        }
        if let Some(before) = self.members.insert(id.clone(), member) {
            self.said_bytes -= before.said_bytes;
        }
    }

    /// Changes a member, if there is one of that id.
    fn update(&mut self, id: &MemberId, change: impl FnOnce(&mut Member)) {
        if let Some(mut member) = self.members.get(id).cloned() {
            change(&mut member);
            self.put(id, member);
        }
    }

    fn remove(&mut self, id: &MemberId) {
        self.disown(id);
        if let Some(member) = self.members.remove(id) {
            self.said_bytes -= member.said_bytes;
            touch(&mut self.touched, id, Some(&member.record));
        }
    }

    /// Frees what a member owns.
    fn disown(&mut self, id: &MemberId) {
        let Some(member) = self.members.get(id) else { return };
        for partition in each(&member.record.assigned).chain(each(&member.record.revoking)) {
            if let btree_map::Entry::Occupied(owner) = self.owners.entry(partition)
                && owner.get() == id
            {
                owner.remove();
            }
        }
    }
}

/// Remembers a member as it is recorded, before the first change of a batch.
fn touch(
    touched: &mut BTreeMap<MemberId, Option<ConsumerMember>>,
    id: &MemberId,
    before: Option<&ConsumerMember>,
) {
    touched.entry(id.clone()).or_insert_with(|| before.cloned());
}

fn later(now: Timestamp, millis: i32) -> Timestamp {
    Timestamp(now.0.saturating_add(i64::from(millis)))
}
