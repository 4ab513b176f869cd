//! Consumer groups of KIP-848 as a state machine, with the rules of Kafka 4.1's GroupMetadataManager. Owns the
//! members, their deadlines and the requests that wait; must not know connections or how an update is recorded.
//!
//! Requests that come while an update is in flight wait, and then all of them make one update: a hundred members that
//! join at once cost two or three updates, and the assignor runs as often. In one such batch, members are changed
//! first, then the targets are computed when something calls for it, then each member that asked makes one step
//! towards its target. What one member's request changes of another is its target alone.

mod assignor;
mod membership;
mod partitions;
mod reconciliation;
mod request;
mod subscription;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, btree_map},
    mem,
};

use ebb_metastore::command::{CommitFence, ConsumerGroup, ConsumerMember, GroupChange};
use ebb_protocol::ids::{MemberId, Timestamp, TopicPartition};

use self::{
    assignor::{Assignor, MemberSpec, Spec},
    partitions::each,
    subscription::Subscriptions,
};
use crate::{
    ConsumerHeartbeat, Effects, Event, GroupError, HeartbeatAnswer, Reply, StoreError, Ticket, Topics,
    group::refusal,
};

pub(crate) use self::request::check as check_request;

/// The epoch by which a member leaves.
const LEAVE: i32 = -1;

/// The epoch by which a static member leaves for a while.
const LEAVE_FOR_A_WHILE: i32 = -2;

/// Settings of consumer groups (KIP-848): Kafka's `group.consumer.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// A member that is silent for so long is removed, in milliseconds.
    pub session_timeout_ms: i32,
    /// How often members are to send heartbeats, in milliseconds.
    pub heartbeat_interval_ms: i32,
    /// How many members a group may have.
    pub members_max: usize,
    /// How many requests of a group may wait for an update; more are refused.
    pub requests_max: usize,
}

/// Kafka's defaults, but for the number of members, which Kafka does not limit.
impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            members_max: 1_000,
            requests_max: 4_000,
        }
    }
}

/// A consumer group.
#[derive(Debug)]
pub struct ConsumerMachine {
    config: ConsumerConfig,
    shared: ConsumerGroup,
    /// What the members share, as it was last recorded; `None` when the group is not yet recorded as one of KIP-848.
    recorded: Option<ConsumerGroup>,
    members: BTreeMap<MemberId, Member>,
    /// Who owns each partition, or has not given it up yet.
    owners: BTreeMap<TopicPartition, MemberId>,
    /// The members that the present batch touched, as they were recorded before.
    touched: BTreeMap<MemberId, Option<ConsumerMember>>,
    /// The targets must be computed anew.
    must_assign: bool,
    /// Topics may have changed since the targets were computed.
    topics_changed: bool,
    /// Requests that wait for the update in flight to end, before they are looked at.
    waiting: Vec<(Ticket, ConsumerHeartbeat)>,
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
}

impl Member {
    fn deadline(&self) -> Timestamp {
        self.revoke_by.map_or(self.session_until, |revoke_by| revoke_by.min(self.session_until))
    }
}

/// An answer to a member's request.
#[derive(Debug)]
struct Answer {
    ticket: Ticket,
    member: MemberId,
    result: Result<HeartbeatAnswer, GroupError>,
}

/// What a consumer group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerState {
    /// It has no members.
    Empty,
    /// Targets are being computed.
    Assigning,
    /// Members are on their way to their targets.
    Reconciling,
    /// All members are where they are to be.
    Stable,
}

/// A consumer group as ConsumerGroupDescribe shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerDescription {
    /// What it is doing.
    pub state: ConsumerState,
    /// The group epoch.
    pub epoch: i32,
    /// The group epoch of which the targets are.
    pub assignment_epoch: i32,
    /// The assignor that most members want.
    pub assignor: &'static str,
    /// The members, by id.
    pub members: Vec<(MemberId, ConsumerMember)>,
}

impl ConsumerMachine {
    /// A group without members.
    #[must_use]
    pub fn new(config: ConsumerConfig) -> Self {
        Self {
            config,
            shared: ConsumerGroup::default(),
            recorded: None,
            members: BTreeMap::new(),
            owners: BTreeMap::new(),
            touched: BTreeMap::new(),
            must_assign: false,
            topics_changed: false,
            waiting: Vec::new(),
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
            let revoke_by = (!record.revoking.is_empty()).then(|| later(now, record.rebalance_timeout_ms));
            let session_until = machine.session_end(now);
            machine.put(id, Member { record: record.clone(), session_until, revoke_by });
        }
        machine.touched.clear();
        machine
    }

    /// Takes an event in. Events of the classic protocol are refused.
    pub fn handle(&mut self, now: Timestamp, event: Event, topics: &dyn Topics) -> Effects {
        let mut effects = Effects::default();
        match event {
            Event::ConsumerHeartbeat(ticket, said) => self.take_in(ticket, said, &mut effects),
            event @ Event::Join(..) => {
                effects.replies.extend(refusal(&event, GroupError::InconsistentProtocol));
            }
            event @ (Event::Sync(..) | Event::Heartbeat(..) | Event::Leave(..)) => {
                effects.replies.extend(refusal(&event, GroupError::UnknownMember));
            }
            Event::Stored(Ok(())) => self.stored(now, &mut effects),
            Event::Stored(Err(error)) => {
                self.send_away(error, &mut effects);
                return effects;
            }
            // Members learn of it by their heartbeats, so the next one is early enough to look.
            Event::TopicsChanged => self.topics_changed = true,
            Event::Tick => {}
        }
        if self.in_flight.is_none() {
            self.run(now, topics, &mut effects);
        }
        effects
    }

    fn take_in(&mut self, ticket: Ticket, said: ConsumerHeartbeat, effects: &mut Effects) {
        let full = GroupError::Unavailable("too many requests of the group wait".to_owned());
        let room = if self.waiting.len() < self.config.requests_max { Ok(()) } else { Err(full) };
        match request::check(&said).and(room) {
            Ok(()) => self.waiting.push((ticket, said)),
            Err(error) => effects.replies.push((ticket, Reply::ConsumerHeartbeat(Err(error)))),
        }
    }

    /// The update in flight is recorded: who waited for it is answered, and the time of waiting does not count.
    fn stored(&mut self, now: Timestamp, effects: &mut Effects) {
        let answers = self.in_flight.take().unwrap_or_default();
        let session_until = self.session_end(now);
        for answer in answers {
            if let Some(member) = self.members.get_mut(&answer.member)
                && answer.result.is_ok()
                && member.record.epoch != LEAVE_FOR_A_WHILE
            {
                member.session_until = member.session_until.max(session_until);
            }
            effects.replies.push((answer.ticket, Reply::ConsumerHeartbeat(answer.result)));
        }
    }

    /// The update in flight is lost, and this machine with it: all who wait must come again.
    fn send_away(&mut self, error: StoreError, effects: &mut Effects) {
        let reason = GroupError::from(error);
        let held = self.in_flight.take().unwrap_or_default().into_iter().map(|answer| answer.ticket);
        let waiting = mem::take(&mut self.waiting).into_iter().map(|(ticket, _)| ticket);
        for ticket in held.chain(waiting) {
            effects.replies.push((ticket, Reply::ConsumerHeartbeat(Err(reason.clone()))));
        }
    }

    /// Takes all requests that wait, and makes at most one update of them.
    fn run(&mut self, now: Timestamp, topics: &dyn Topics, effects: &mut Effects) {
        let mut answers = Vec::new();
        let mut admitted = Vec::new();
        for (ticket, said) in mem::take(&mut self.waiting) {
            let is_leaving = said.epoch < 0;
            let result = if is_leaving { self.leave(&said) } else { self.admit(now, &said) };
            match result {
                Ok(member) if !is_leaving => admitted.push((ticket, member, said)),
                result => {
                    let result = result.map(|member| HeartbeatAnswer {
                        member: member.as_str().to_owned(),
                        epoch: said.epoch,
                        interval_ms: self.config.heartbeat_interval_ms,
                        assignment: None,
                    });
                    answers.push(Answer { ticket, member: request::member_id(&said), result });
                }
            }
        }
        self.expire(now);
        if self.must_assign || (self.topics_changed && !admitted.is_empty()) {
            self.assign(topics);
        }
        for (ticket, member, said) in admitted {
            let result = self.reconcile(now, &member, &said);
            answers.push(Answer { ticket, member, result });
        }
        let changes = self.changes();
        self.in_flight = Some(answers);
        if changes.is_empty() {
            self.stored(now, effects);
        } else {
            effects.store = Some(changes);
        }
    }

    /// Computes the members' targets, at a new group epoch, when members or their topics have changed.
    fn assign(&mut self, topics: &dyn Topics) {
        let must_assign = mem::take(&mut self.must_assign);
        self.topics_changed = false;
        let records = || self.members.values().map(|member| &member.record);
        let subscriptions = Subscriptions::resolve(records(), topics);
        if !must_assign && subscriptions.are_covered_by(records()) {
            return;
        }
        let spec = Spec {
            members: records()
                .zip(subscriptions.members)
                .map(|(record, subscribed)| MemberSpec { subscribed, current: &record.target })
                .collect(),
            topics: subscriptions.counts.into_iter().collect(),
        };
        let targets = self.assignor().assign(&spec);
        for ((id, member), target) in self.members.iter_mut().zip(targets) {
            if member.record.target != target {
                touch(&mut self.touched, id, Some(&member.record));
                member.record.target = target;
            }
        }
        self.shared.epoch = self.shared.epoch.saturating_add(1);
        self.shared.assignment_epoch = self.shared.epoch;
    }

    fn assignor(&self) -> Assignor {
        Assignor::elect(self.members.values().filter_map(|member| member.record.assignor.as_deref()))
    }

    /// Lets a member make one step towards its target, and answers it.
    fn reconcile(
        &mut self,
        now: Timestamp,
        id: &MemberId,
        said: &ConsumerHeartbeat,
    ) -> Result<HeartbeatAnswer, GroupError> {
        // Another request of the same batch may have removed it, or its time was up.
        let member = self.members.get(id).ok_or(GroupError::UnknownMember)?;
        let is_free = |partition: &TopicPartition| self.owners.get(partition).is_none_or(|owner| owner == id);
        let before = &member.record;
        let next = reconciliation::step(before, self.shared.assignment_epoch, said.owned.as_ref(), is_free);
        let is_news = request::is_full(said) || next.assigned != before.assigned;
        let answer = HeartbeatAnswer {
            member: id.as_str().to_owned(),
            epoch: next.epoch,
            interval_ms: self.config.heartbeat_interval_ms,
            assignment: is_news.then(|| next.assigned.clone()),
        };
        if next != *before {
            self.update(id, |member| {
                if next.revoking != member.record.revoking {
                    let revoke_by = later(now, next.rebalance_timeout_ms);
                    member.revoke_by = (!next.revoking.is_empty()).then_some(revoke_by);
                }
                member.record = next;
            });
        }
        Ok(answer)
    }

    /// What must be recorded of the present batch.
    fn changes(&mut self) -> Vec<GroupChange> {
        let mut changes = Vec::new();
        let touched = mem::take(&mut self.touched);
        let is_news = self.recorded.is_none() && !self.members.is_empty();
        if is_news || self.recorded.is_some_and(|recorded| recorded != self.shared) {
            self.recorded = Some(self.shared);
            changes.push(GroupChange::Consumer(self.shared));
        }
        let mut put = Vec::new();
        for (id, before) in touched {
            match self.members.get(&id) {
                Some(now) if before.as_ref() != Some(&now.record) => {
                    put.push(GroupChange::PutConsumerMember(id, Box::new(now.record.clone())));
                }
                None if before.is_some() => changes.push(GroupChange::RemoveMember(id)),
                _ => {}
            }
        }
        // Members go before others come, so that a full group stays within its limit.
        changes.extend(put);
        changes
    }

    /// When [`Event::Tick`] is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.in_flight.is_some() {
            return None;
        }
        self.members.values().map(Member::deadline).min()
    }

    /// The group as ConsumerGroupDescribe shows it.
    #[must_use]
    pub fn describe(&self) -> ConsumerDescription {
        let epoch = self.shared.assignment_epoch;
        let is_done = |member: &Member| reconciliation::is_done(&member.record, epoch);
        let state = if self.members.is_empty() {
            ConsumerState::Empty
        } else if self.shared.epoch > epoch {
            ConsumerState::Assigning
        } else if self.members.values().all(is_done) {
            ConsumerState::Stable
        } else {
            ConsumerState::Reconciling
        };
        ConsumerDescription {
            state,
            epoch: self.shared.epoch,
            assignment_epoch: epoch,
            assignor: self.assignor().name(),
            members: self.members.iter().map(|(id, member)| (id.clone(), member.record.clone())).collect(),
        }
    }

    /// On whose behalf an offset commit may be recorded. Nobody in particular (no member id, a negative epoch) may
    /// commit while the group has no members.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`] and [`GroupError::StaleMemberEpoch`].
    pub fn check_commit(&self, member: &MemberId, epoch: i32) -> Result<CommitFence, GroupError> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(CommitFence::Simple);
        }
        let found = self.members.get(member).ok_or(GroupError::UnknownMember)?;
        if found.record.epoch == epoch {
            return Ok(CommitFence::Consumer(member.clone(), epoch));
        }
        Err(GroupError::StaleMemberEpoch)
    }

    /// True when a member subscribes to the topic, so that its offsets must not be deleted (KIP-496).
    #[must_use]
    pub fn subscribes_to(&self, topic: &str) -> bool {
        self.members.values().any(|member| subscription::subscribes(&member.record, topic))
    }

    /// True when nothing waits and there is no member: the machine may be dropped.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.members.is_empty() && self.in_flight.is_none() && self.waiting.is_empty()
    }

    fn session_end(&self, now: Timestamp) -> Timestamp {
        later(now, self.config.session_timeout_ms)
    }

    /// Adds or replaces a member.
    fn put(&mut self, id: &MemberId, member: Member) {
        let before = self.members.get(id).map(|before| &before.record);
        touch(&mut self.touched, id, before);
        self.disown(id);
        let record = &member.record;
        for partition in each(&record.assigned).chain(each(&record.revoking)) {
            self.owners.insert(partition, id.clone());
        }
        self.members.insert(id.clone(), member);
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
