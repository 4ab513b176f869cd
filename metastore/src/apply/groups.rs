//! Commands about consumer groups. Only a group's coordinator may change it, and a commit must come from a current
//! member: both are judged here, against the state, so no agent that lives in the past can do harm.

use ebb_protocol::{
    ids::GroupId,
    planted::{Bug, is_planted},
};

use crate::{
    command::{CommitFence, CommitOffsets, DeleteOffsets, UpdateGroup},
    entry::Entry,
    limits::{
        CONFIGS_PER_GROUP_MAX, GROUP_BYTES_MAX, GROUP_CONFIG_BYTES_MAX, GROUP_CONFIGS_MAX,
        GROUP_ID_BYTES_MAX, GROUPS_BYTES_MAX, GROUPS_MAX, MEMBERS_PER_GROUP_MAX, OFFSET_METADATA_BYTES_MAX,
        OFFSETS_BYTES_PER_GROUP_MAX, OFFSETS_PER_GROUP_MAX,
    },
    outcome::{Outcome, Refusal},
    state::{Group, GroupBody, NewOffsets, State},
};

impl State {
    pub(super) fn update_group(&mut self, entry: &Entry, update: &UpdateGroup) -> Result<Outcome, Refusal> {
        self.check_coordinator(entry, &update.group)?;
        let none = Group::default();
        let group = self.groups.get(&update.group).unwrap_or(&none);
        if group.version != update.version && !is_planted(Bug::GroupVersionUnchecked) {
            return Err(Refusal::StaleGroup);
        }
        let members = group.members.after(&group.body, &update.changes)?;
        if members.members > MEMBERS_PER_GROUP_MAX {
            return Err(Refusal::GroupFull);
        }
        self.check_room(&update.group, group.bytes() - group.members.bytes + members.bytes)?;
        let version = self.groups.update(&update.group, self.time, members, |body| {
            update.changes.iter().for_each(|change| body.change(change));
        });
        Ok(Outcome::GroupUpdated { version })
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
        let found = self.groups.get(&commit.group);
        check_fence(found.map(|group| &group.body), &commit.fence)?;
        if commit.offsets.iter().any(|(.., offset)| offset.metadata.len() > OFFSET_METADATA_BYTES_MAX) {
            return Err(Refusal::OffsetMetadataTooLarge);
        }
        let exist = commit
            .offsets
            .iter()
            .filter(|(topic, partition, _)| self.topics.partition(*topic, *partition).is_some());
        // Of a partition that is named twice the last one counts, as in Kafka.
        let offsets: NewOffsets<'_> =
            exist.map(|(topic, partition, offset)| ((*topic, *partition), offset)).collect();
        let none = Group::default();
        let group = found.unwrap_or(&none);
        let (count, bytes) = group.with_offsets(&offsets);
        let is_too_large = bytes > OFFSETS_BYTES_PER_GROUP_MAX && bytes > group.kept_bytes();
        if count > OFFSETS_PER_GROUP_MAX || is_too_large {
            return Err(Refusal::GroupTooLarge);
        }
        self.check_room(&commit.group, group.members.bytes + bytes)?;
        self.groups.commit(&commit.group, self.time, &offsets);
        Ok(Outcome::Done)
    }

    pub(super) fn delete_offsets(
        &mut self,
        entry: &Entry,
        delete: &DeleteOffsets,
    ) -> Result<Outcome, Refusal> {
        self.check_coordinator(entry, &delete.group)?;
        if self.groups.get(&delete.group).is_none() {
            return Err(Refusal::UnknownGroup);
        }
        self.groups.delete_offsets(&delete.group, &delete.partitions);
        Ok(Outcome::Done)
    }

    /// Any agent may: the configuration of a group is no business of its members.
    pub(super) fn alter_group_config(
        &mut self,
        group: &GroupId,
        changes: &[(String, Option<String>)],
    ) -> Result<Outcome, Refusal> {
        let before = self.group_configs.get(group);
        let is_new = before.is_none();
        let mut config = before.cloned().unwrap_or_default();
        for (key, value) in changes {
            match value {
                Some(value) => config.insert(key.clone(), value.clone()),
                None => config.remove(key),
            };
        }
        let fits = |text: &String| text.len() <= GROUP_CONFIG_BYTES_MAX;
        let is_sound = config.len() <= CONFIGS_PER_GROUP_MAX
            && config.iter().all(|(key, value)| fits(key) && fits(value))
            && (1..=GROUP_ID_BYTES_MAX).contains(&group.as_str().len());
        if !is_sound {
            return Err(Refusal::Malformed);
        }
        if is_new && !config.is_empty() && self.group_configs.len() >= GROUP_CONFIGS_MAX {
            return Err(Refusal::GroupConfigsFull);
        }
        if config.is_empty() {
            self.group_configs.remove(group);
        } else {
            self.group_configs.insert(group.clone(), config);
        }
        Ok(Outcome::Done)
    }

    fn check_coordinator(&self, entry: &Entry, group: &GroupId) -> Result<(), Refusal> {
        let holds = self.coordinator(group).is_some_and(|agent| agent.id == entry.agent);
        let is_planted = is_planted(Bug::CoordinatorUnchecked) || is_planted(Bug::GroupKeptAfterMove);
        if holds || is_planted { Ok(()) } else { Err(Refusal::NotCoordinator) }
    }

    /// Checks that a group may come to count `bytes`. What does not grow always may.
    fn check_room(&self, id: &GroupId, bytes: usize) -> Result<(), Refusal> {
        let before = match self.groups.get(id) {
            Some(group) => group.bytes(),
            None if id.as_str().len() > GROUP_ID_BYTES_MAX => return Err(Refusal::Malformed),
            None if self.groups.len() >= GROUPS_MAX => return Err(Refusal::GroupsFull),
            None => 0,
        };
        let grows = bytes > before;
        if grows && bytes > GROUP_BYTES_MAX {
            return Err(Refusal::GroupTooLarge);
        }
        if grows && self.groups.bytes() - before + bytes > GROUPS_BYTES_MAX {
            return Err(Refusal::GroupsFull);
        }
        Ok(())
    }
}

/// Checks on whose behalf offsets are committed.
fn check_fence(body: Option<&GroupBody>, fence: &CommitFence) -> Result<(), Refusal> {
    if is_planted(Bug::CommitUnfenced) {
        return Ok(());
    }
    let (member, epoch) = match fence {
        CommitFence::Simple if body.is_none_or(|body| body.members() == 0) => return Ok(()),
        CommitFence::Simple => return Err(Refusal::UnknownMember),
        CommitFence::Classic(member, epoch) | CommitFence::Consumer(member, epoch) => (member, *epoch),
    };
    let current = match body.ok_or(Refusal::UnknownGroup)? {
        GroupBody::Simple => None,
        GroupBody::Classic(group, members) => members.get(member).map(|_| group.generation),
        GroupBody::Consumer(_, members) => members.get(member).map(|member| member.epoch),
    };
    match current {
        None => Err(Refusal::UnknownMember),
        Some(current) if current != epoch => Err(Refusal::StaleMember),
        Some(_) => Ok(()),
    }
}
