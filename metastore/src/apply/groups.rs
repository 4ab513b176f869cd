//! Commands about consumer groups. Only a group's coordinator may change it, and a commit must come from a current
//! member: both are judged here, against the state, so no agent that lives in the past can do harm.

use ebb_protocol::ids::GroupId;

use crate::{
    command::{CommitFence, CommitOffsets, DeleteOffsets, GroupChange, UpdateGroup},
    entry::Entry,
    outcome::{Outcome, Refusal},
    state::{GroupBody, State},
};

impl State {
    pub(super) fn update_group(&mut self, entry: &Entry, update: &UpdateGroup) -> Result<Outcome, Refusal> {
        self.check_coordinator(entry, &update.group)?;
        let now = self.time;
        let version = self.groups.get(&update.group).map_or(0, |group| group.version);
        if version != update.version {
            return Err(Refusal::StaleGroup);
        }
        let group = self.groups.entry(update.group.clone()).or_default();
        group.version = version.saturating_add(1);
        for change in &update.changes {
            group.body.change(change);
        }
        group.empty_since = match group.body.members() {
            0 => group.empty_since.or(Some(now)),
            _ => None,
        };
        Ok(Outcome::Done)
    }

    pub(super) fn delete_group(&mut self, entry: &Entry, group: &GroupId) -> Result<Outcome, Refusal> {
        self.check_coordinator(entry, group)?;
        let found = self.groups.get(group).ok_or(Refusal::UnknownGroup)?;
        if found.body.members() > 0 {
            return Err(Refusal::GroupNotEmpty);
        }
        self.groups.remove(group);
        Ok(Outcome::Done)
    }

    pub(super) fn commit_offsets(
        &mut self,
        entry: &Entry,
        commit: &CommitOffsets,
    ) -> Result<Outcome, Refusal> {
        self.check_coordinator(entry, &commit.group)?;
        let body = self.groups.get(&commit.group).map(|group| &group.body);
        check_fence(body.unwrap_or(&GroupBody::Simple), &commit.fence)?;
        let group = self.groups.entry(commit.group.clone()).or_default();
        if group.body.members() == 0 {
            group.empty_since = Some(self.time);
        }
        for (topic, partition, offset) in &commit.offsets {
            if self.topics.partition(*topic, *partition).is_some() {
                group.offsets.entry(*topic).or_default().insert(*partition, offset.clone());
            }
        }
        Ok(Outcome::Done)
    }

    pub(super) fn delete_offsets(
        &mut self,
        entry: &Entry,
        delete: &DeleteOffsets,
    ) -> Result<Outcome, Refusal> {
        self.check_coordinator(entry, &delete.group)?;
        let group = self.groups.get_mut(&delete.group).ok_or(Refusal::UnknownGroup)?;
        for (topic, partition) in &delete.partitions {
            if let Some(partitions) = group.offsets.get_mut(topic) {
                partitions.remove(partition);
                if partitions.is_empty() {
                    group.offsets.remove(topic);
                }
            }
        }
        Ok(Outcome::Done)
    }

    fn check_coordinator(&self, entry: &Entry, group: &GroupId) -> Result<(), Refusal> {
        let holds = self.coordinator(group).is_some_and(|agent| agent.id == entry.agent);
        if holds { Ok(()) } else { Err(Refusal::NotCoordinator) }
    }
}

fn check_fence(body: &GroupBody, fence: &CommitFence) -> Result<(), Refusal> {
    match (body, fence) {
        (body, CommitFence::Simple) if body.members() == 0 => Ok(()),
        (GroupBody::Classic(group, members), CommitFence::Classic(member, generation)) => {
            if !members.contains_key(member) {
                return Err(Refusal::UnknownMember);
            }
            if group.generation == *generation { Ok(()) } else { Err(Refusal::StaleMember) }
        }
        (GroupBody::Consumer(_, members), CommitFence::Consumer(member, epoch)) => {
            let found = members.get(member).ok_or(Refusal::UnknownMember)?;
            if found.epoch == *epoch { Ok(()) } else { Err(Refusal::StaleMember) }
        }
        _ => Err(Refusal::UnknownMember),
    }
}

impl GroupBody {
    fn change(&mut self, change: &GroupChange) {
        match (&mut *self, change) {
            (Self::Classic(shared, _), GroupChange::Classic(now)) => shared.clone_from(now),
            (_, GroupChange::Classic(now)) => *self = Self::Classic(now.clone(), Default::default()),
            (Self::Consumer(shared, _), GroupChange::Consumer(now)) => *shared = *now,
            (_, GroupChange::Consumer(now)) => *self = Self::Consumer(*now, Default::default()),
            (Self::Classic(_, members), GroupChange::PutClassicMember(id, member)) => {
                members.insert(id.clone(), member.as_ref().clone());
            }
            (Self::Consumer(_, members), GroupChange::PutConsumerMember(id, member)) => {
                members.insert(id.clone(), member.as_ref().clone());
            }
            (Self::Classic(_, members), GroupChange::RemoveMember(id)) => {
                members.remove(id);
            }
            (Self::Consumer(_, members), GroupChange::RemoveMember(id)) => {
                members.remove(id);
            }
            // A member of the other protocol, or of a group that has none: nothing a sound coordinator writes.
            _ => {}
        }
    }
}
