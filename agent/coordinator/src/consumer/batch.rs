//! Requests in batches: all that wait while an update is in flight make one update together, and are answered when it
//! is recorded. Knows the order in which a batch is worked off, and of the single steps only that they exist.

use std::{collections::BTreeSet, mem};

use ebb_metastore::command::{ClassicGroup, ConsumerMember, GroupChange, Partitions};
use ebb_protocol::ids::{MemberId, Timestamp, TopicPartition};

use super::{
    ConsumerMachine, LEAVE_FOR_A_WHILE, Member,
    assignor::{Assignor, MemberSpec, Spec},
    later, reconciliation, request,
    subscription::Subscriptions,
    touch,
};
use crate::{
    ConsumerHeartbeat, Effects, Event, GroupError, HeartbeatAnswer, LeaveAnswer, Reply, StoreError, Ticket,
    Topics, group::refusal,
};

/// An answer that waits for the update on which it depends.
#[derive(Debug)]
pub(super) struct Answer {
    ticket: Ticket,
    /// The member that was heard of, if the request is granted.
    member: Option<MemberId>,
    reply: Reply,
}

impl Answer {
    /// What it says, and to whom.
    pub(super) fn of(&self) -> (Ticket, Reply) {
        (self.ticket, self.reply.clone())
    }
}

impl ConsumerMachine {
    /// Puts a request to those that wait, unless it must be refused whatever the group is.
    pub(super) fn take_in(&mut self, event: Event, effects: &mut Effects) {
        let room = if self.waiting.len() < self.config.requests_max {
            Ok(())
        } else {
            Err(GroupError::Unavailable("too many requests of the group wait".to_owned()))
        };
        let sound = match &event {
            Event::ConsumerHeartbeat(_, said) => request::check(said),
            _ => Ok(()),
        };
        match sound.and(room) {
            Ok(()) => {
                self.waiting_bytes += event.bytes();
                self.waiting.push(event);
            }
            Err(error) => effects.replies.extend(refusal(&event, error)),
        }
    }

    /// The update in flight is recorded: who waited for it is answered, and the time of waiting does not count.
    pub(super) fn stored(&mut self, now: Timestamp, effects: &mut Effects) {
        for Answer { ticket, member, reply } in self.in_flight.take().unwrap_or_default() {
            if let Some(member) = member.and_then(|member| self.members.get_mut(&member))
                && member.record.epoch != LEAVE_FOR_A_WHILE
            {
                member.session_until = self.config.session_end(now, &member.record).max(member.session_until);
            }
            effects.replies.push((ticket, reply));
        }
    }

    /// The update in flight is lost, and this machine with it: all who wait must come again.
    pub(super) fn send_away(&mut self, error: StoreError, effects: &mut Effects) {
        let error = GroupError::from(error);
        for Answer { ticket, reply, .. } in self.in_flight.take().unwrap_or_default() {
            effects.replies.push((ticket, reply.refused(error.clone())));
        }
        let refuse = |event: &Event| refusal(event, error.clone());
        effects.replies.extend(mem::take(&mut self.waiting).iter().filter_map(refuse));
        self.waiting_bytes = 0;
    }

    /// Takes all requests that wait, and makes at most one update of them.
    pub(super) fn run(&mut self, now: Timestamp, topics: &dyn Topics, effects: &mut Effects) {
        let mut answers = Vec::new();
        let mut admitted = Vec::new();
        self.waiting_bytes = 0;
        for event in mem::take(&mut self.waiting) {
            match self.change_members(now, &event) {
                Ok(Step::Answer(ticket, reply)) => answers.push(Answer { ticket, member: None, reply }),
                Ok(Step::Proceed(member)) => admitted.push((member, event)),
                Err(error) => {
                    let refused = refusal(&event, error);
                    answers.extend(refused.map(|(ticket, reply)| Answer { ticket, member: None, reply }));
                }
            }
        }
        self.expire(now, &admitted.iter().map(|(member, _)| member).collect());
        let mut too_many = BTreeSet::new();
        if self.must_assign || (self.topics_changed && !admitted.is_empty()) {
            too_many = self.assign(now, topics);
        }
        for (member, event) in admitted {
            if too_many.contains(&member) {
                let refused = refusal(&event, GroupError::GroupTooLarge);
                answers.extend(refused.map(|(ticket, reply)| Answer { ticket, member: None, reply }));
                continue;
            }
            let Some((ticket, reply)) = self.proceed(now, &member, event, topics) else { continue };
            let member = reply.is_granted().then_some(member);
            answers.push(Answer { ticket, member, reply });
        }
        let changes = self.changes();
        self.in_flight = Some(answers);
        if changes.is_empty() {
            self.stored(now, effects);
        } else {
            effects.store = Some(changes);
        }
    }

    /// First half of a request: what it changes of who is a member, and who subscribes to what.
    fn change_members(&mut self, now: Timestamp, event: &Event) -> Result<Step, GroupError> {
        match event {
            Event::ConsumerHeartbeat(ticket, said) if said.epoch < 0 => {
                let answer = HeartbeatAnswer {
                    member: self.leave(said)?.as_str().to_owned(),
                    epoch: said.epoch,
                    interval_ms: self.config.heartbeat_interval_ms,
                    assignment: None,
                };
                Ok(Step::Answer(*ticket, Reply::ConsumerHeartbeat(Ok(answer))))
            }
            Event::ConsumerHeartbeat(_, said) => self.admit(now, said).map(Step::Proceed),
            Event::Join(_, said) => self.admit_classic(now, said).map(Step::Proceed),
            Event::Sync(_, said) => Ok(Step::Proceed(said.member.clone())),
            Event::Heartbeat(_, said) => Ok(Step::Proceed(said.member.clone())),
            Event::Leave(ticket, said) => {
                let members = said.members.iter().map(|leaving| self.leave_classic(leaving)).collect();
                Ok(Step::Answer(*ticket, Reply::Leave(Ok(LeaveAnswer { members }))))
            }
            Event::Stored(_) | Event::TopicsChanged | Event::Tick => Err(GroupError::UnknownMember),
        }
    }

    /// Second half of a request: what the member is to do now.
    fn proceed(
        &mut self,
        now: Timestamp,
        member: &MemberId,
        event: Event,
        topics: &dyn Topics,
    ) -> Option<(Ticket, Reply)> {
        match event {
            Event::ConsumerHeartbeat(ticket, said) => {
                Some((ticket, Reply::ConsumerHeartbeat(self.reconcile(now, member, &said))))
            }
            Event::Join(ticket, said) => {
                Some((ticket, Reply::Join(self.join_classic(now, member, &said, topics))))
            }
            Event::Sync(ticket, said) => Some((ticket, Reply::Sync(self.sync_classic(now, &said, topics)))),
            Event::Heartbeat(ticket, said) => Some((ticket, Reply::Heartbeat(self.beat_classic(now, &said)))),
            Event::Leave(..) | Event::Stored(_) | Event::TopicsChanged | Event::Tick => None,
        }
    }

    /// Computes the members' targets, at a new group epoch, when members or their topics have changed. Gives the
    /// members that have just come and are removed again, because the group would have too many partitions.
    fn assign(&mut self, now: Timestamp, topics: &dyn Topics) -> BTreeSet<MemberId> {
        let mut must_assign = mem::take(&mut self.must_assign);
        self.topics_changed = false;
        let mut subscriptions = self.subscriptions(topics);
        let mut too_many = BTreeSet::new();
        if subscriptions.is_cut {
            too_many = self.newcomers();
            too_many.iter().for_each(|id| self.remove(id));
            let now = |id| self.members.get(id).map(|member| &member.record);
            must_assign &= self.touched.iter().any(|(id, before)| now(id) != before.as_ref());
            subscriptions = self.subscriptions(topics);
        }
        let records = || self.members.values().map(|member| &member.record);
        if !must_assign && subscriptions.are_covered_by(records()) {
            return too_many;
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
                self.moving_until = Some(later(now, self.config.heartbeat_interval_ms));
            }
        }
        self.shared.epoch = self.shared.epoch.saturating_add(1);
        self.shared.assignment_epoch = self.shared.epoch;
        too_many
    }

    fn subscriptions(&self, topics: &dyn Topics) -> Subscriptions {
        let records = self.members.values().map(|member| &member.record);
        Subscriptions::resolve(records, &self.expressions, topics)
    }

    /// The members that came with the present batch, and take no other's place.
    fn newcomers(&self) -> BTreeSet<MemberId> {
        let is_new = |id: &MemberId| self.members.get(id).is_some_and(|it| it.record.target.is_empty());
        let came = self.touched.iter().filter(|(id, before)| before.is_none() && is_new(id));
        came.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn assignor(&self) -> Assignor {
        Assignor::elect(self.members.values().filter_map(|member| member.record.assignor.as_deref()))
    }

    /// Lets a member make one step towards its target, and answers its heartbeat.
    fn reconcile(
        &mut self,
        now: Timestamp,
        id: &MemberId,
        said: &ConsumerHeartbeat,
    ) -> Result<HeartbeatAnswer, GroupError> {
        // Another request of the same batch may have removed it, or its time was up.
        let member = self.members.get(id).ok_or(GroupError::UnknownMember)?;
        let next = self.next_step(id, &member.record, said.owned.as_ref());
        let is_news = request::is_full(said) || next.assigned != member.record.assigned;
        let answer = HeartbeatAnswer {
            member: id.as_str().to_owned(),
            epoch: next.epoch,
            interval_ms: self.interval_ms(now),
            assignment: is_news.then(|| next.assigned.clone()),
        };
        if next != member.record {
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

    /// The member after one step towards its target.
    pub(super) fn next_step(
        &self,
        id: &MemberId,
        member: &ConsumerMember,
        owned: Option<&Partitions>,
    ) -> ConsumerMember {
        let is_free = |partition: &TopicPartition| self.owners.get(partition).is_none_or(|owner| owner == id);
        reconciliation::step(member, self.shared.assignment_epoch, owned, is_free)
    }

    /// What must be recorded of the present batch.
    fn changes(&mut self) -> Vec<GroupChange> {
        let mut changes = Vec::new();
        let touched = mem::take(&mut self.touched);
        let is_news = self.recorded.is_none() && !self.members.is_empty();
        if is_news || self.recorded.is_some_and(|recorded| recorded != self.shared) {
            self.recorded = Some(self.shared);
            if mem::take(&mut self.must_clear) {
                // Members of the other protocol are dropped when a group changes it.
                changes.push(GroupChange::Classic(ClassicGroup::default()));
            }
            changes.push(GroupChange::Consumer(self.shared));
        }
        let mut put = Vec::new();
        for (id, before) in touched {
            match self.members.get(&id) {
                Some(Member { record, .. }) if before.as_ref() != Some(record) => {
                    put.push(GroupChange::PutConsumerMember(id, Box::new(record.clone())));
                }
                None if before.is_some() => changes.push(GroupChange::RemoveMember(id)),
                _ => {}
            }
        }
        // Members go before others come, so that a full group stays within its limit.
        changes.extend(put);
        if !changes.is_empty() {
            let used = self.members.values().filter_map(|member| member.record.regex.as_deref()).collect();
            self.expressions.retain(&used);
        }
        changes
    }
}

/// What becomes of a request after its first half.
enum Step {
    /// It is answered.
    Answer(Ticket, Reply),
    /// It goes on, on behalf of this member.
    Proceed(MemberId),
}
