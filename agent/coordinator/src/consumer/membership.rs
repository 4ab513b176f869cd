//! Who is a member of a consumer group: joining, leaving, static members that come back, and members that are
//! removed because they were silent or did not give up in time (KIP-848). Marks that the group must be assigned anew;
//! how is not known here.

use std::collections::BTreeSet;

use ebb_metastore::command::{ConsumerMember, Partitions};
use ebb_protocol::ids::{MemberId, Timestamp};

use super::{
    ConsumerMachine, LEAVE_FOR_A_WHILE, Member,
    limits::{GROUP_SAID_BYTES_MAX, SAID_BYTES_MAX, said_bytes},
    request,
};
use crate::{ConsumerHeartbeat, GroupError};

impl ConsumerMachine {
    /// Takes a member's heartbeat in: the member is created or changed as the request says.
    pub(super) fn admit(&mut self, now: Timestamp, said: &ConsumerHeartbeat) -> Result<MemberId, GroupError> {
        let id = request::member_id(said);
        let (before, replaced) = match &said.instance {
            Some(instance) => self.find_static(&id, instance, said)?,
            None => (self.find_dynamic(&id, said)?, None),
        };
        let is_new = before.is_none();
        if is_new && self.members.len() >= self.config.members_max {
            return Err(GroupError::GroupFull);
        }
        let before = before.unwrap_or_default();
        let next = updated(&before, said);
        self.check_size(&id, replaced.as_ref(), &next)?;
        if next.regex != before.regex {
            next.regex.as_deref().map_or(Ok(()), |pattern| self.expressions.learn(pattern))?;
        }
        self.must_assign |= is_new || next.topics != before.topics || next.regex != before.regex;
        if let Some(replaced) = replaced {
            self.remove(&replaced);
        }
        let revoke_by = self.members.get(&id).and_then(|member| member.revoke_by);
        let session_until = self.config.session_end(now, &next);
        self.put(&id, Member { revoke_by, ..Member::new(next, session_until) });
        Ok(id)
    }

    /// Refuses a member that is too large to be recorded, or too large for the group. One that does not grow fits.
    pub(super) fn check_size(
        &self,
        id: &MemberId,
        replaced: Option<&MemberId>,
        next: &ConsumerMember,
    ) -> Result<(), GroupError> {
        let bytes = said_bytes(id, next);
        let before = self.members.get(replaced.unwrap_or(id)).map_or(0, |member| member.said_bytes);
        if bytes <= before {
            return Ok(());
        }
        if bytes > SAID_BYTES_MAX {
            return Err(GroupError::InvalidRequest("The member says more of itself than can be recorded."));
        }
        let is_full = self.said_bytes - before + bytes > GROUP_SAID_BYTES_MAX;
        if is_full { Err(GroupError::GroupTooLarge) } else { Ok(()) }
    }

    /// The member that a request without an instance id speaks of; `None` for one that joins.
    fn find_dynamic(
        &self,
        id: &MemberId,
        said: &ConsumerHeartbeat,
    ) -> Result<Option<ConsumerMember>, GroupError> {
        match self.members.get(id) {
            None if said.epoch == 0 => Ok(None),
            None => Err(GroupError::UnknownMember),
            Some(member) => check_epoch(&member.record, said).map(|()| Some(member.record.clone())),
        }
    }

    /// The member that a request with an instance id speaks of, and the one that it replaces.
    fn find_static(
        &self,
        id: &MemberId,
        instance: &str,
        said: &ConsumerHeartbeat,
    ) -> Result<(Option<ConsumerMember>, Option<MemberId>), GroupError> {
        let Some((holder, member)) = self.by_instance(instance) else {
            // A dynamic member that takes an instance id by joining again stays the same member.
            return if said.epoch == 0 {
                Ok((self.members.get(id).map(|member| member.record.clone()), None))
            } else {
                Err(GroupError::UnknownMember)
            };
        };
        if holder == id {
            check_epoch(&member.record, said)?;
            return Ok((Some(member.record.clone()), None));
        }
        if said.epoch != 0 {
            return Err(GroupError::FencedInstance);
        }
        // One of the classic protocol cannot say that it leaves for a while.
        if member.record.epoch != LEAVE_FOR_A_WHILE && member.record.classic.is_none() {
            return Err(GroupError::UnreleasedInstance);
        }
        Ok((Some(heir_of(&member.record)), Some(holder.clone())))
    }

    pub(super) fn by_instance(&self, instance: &str) -> Option<(&MemberId, &Member)> {
        self.members.iter().find(|(_, member)| member.record.instance.as_deref() == Some(instance))
    }

    /// Lets a member go, for good or, when it is static and says so, until its session ends.
    pub(super) fn leave(&mut self, said: &ConsumerHeartbeat) -> Result<MemberId, GroupError> {
        let id = request::member_id(said);
        match &said.instance {
            Some(instance) => {
                let (holder, _) = self.by_instance(instance).ok_or(GroupError::UnknownMember)?;
                if *holder != id {
                    return Err(GroupError::FencedInstance);
                }
            }
            None => {
                self.members.get(&id).ok_or(GroupError::UnknownMember)?;
            }
        }
        if said.epoch == LEAVE_FOR_A_WHILE {
            self.update(&id, |member| {
                member.record.epoch = LEAVE_FOR_A_WHILE;
                // It has closed its consumer, so it holds nothing; what it had is kept for it.
                member.record.revoking.clear();
                member.revoke_by = None;
            });
        } else {
            self.remove(&id);
            self.must_assign = true;
        }
        Ok(id)
    }

    /// Removes the members whose time is up. Those that are `heard` of have a say first: their requests may have
    /// waited for an update. When they say nothing that helps, the next tick removes them.
    pub(super) fn expire(&mut self, now: Timestamp, heard: &BTreeSet<&MemberId>) {
        let is_late = |id: &MemberId, member: &Member| member.deadline() <= now && !heard.contains(id);
        let late: Vec<MemberId> =
            self.members.iter().filter(|(id, it)| is_late(id, it)).map(|(id, _)| id.clone()).collect();
        for id in late {
            self.remove(&id);
            self.must_assign = true;
        }
    }
}

/// The member that takes a static member's place: it has not been told anything yet, and holds nothing.
pub(super) fn heir_of(member: &ConsumerMember) -> ConsumerMember {
    ConsumerMember { epoch: 0, previous_epoch: 0, revoking: Partitions::new(), ..member.clone() }
}

/// A heartbeat must come from the member's present epoch, or from the one before when the answer that raised it may
/// have been lost: then the member owns nothing that it was not to keep. Epoch 0 joins again.
fn check_epoch(member: &ConsumerMember, said: &ConsumerHeartbeat) -> Result<(), GroupError> {
    let owns_no_more = || {
        let is_assigned = |topic, partition| {
            member.assigned.get(topic).is_some_and(|assigned| assigned.binary_search(partition).is_ok())
        };
        said.owned.as_ref().is_some_and(|owned| {
            owned.iter().all(|(topic, owned)| owned.iter().all(|partition| is_assigned(topic, partition)))
        })
    };
    let is_present = said.epoch == 0 || said.epoch == member.epoch;
    let is_previous = member.epoch > 0 && said.epoch == member.previous_epoch;
    if is_present || (is_previous && owns_no_more()) { Ok(()) } else { Err(GroupError::FencedMemberEpoch) }
}

/// The member with what the request says of it; what the request passes over stays.
fn updated(member: &ConsumerMember, said: &ConsumerHeartbeat) -> ConsumerMember {
    let mut next = member.clone();
    let set = |field: &mut Option<String>, value: &Option<String>| {
        if value.is_some() {
            field.clone_from(value);
        }
    };
    set(&mut next.instance, &said.instance);
    set(&mut next.rack, &said.rack);
    set(&mut next.assignor, &said.assignor);
    set(&mut next.regex, &said.regex);
    next.regex.take_if(|regex| regex.is_empty());
    next.client_id.clone_from(&said.client.id);
    next.client_host.clone_from(&said.client.host);
    if said.rebalance_timeout_ms != -1 {
        next.rebalance_timeout_ms = said.rebalance_timeout_ms;
    }
    if let Some(topics) = &said.topics {
        next.topics.clone_from(topics);
        next.topics.sort_unstable();
        next.topics.dedup();
    }
    next.classic = None;
    next
}
