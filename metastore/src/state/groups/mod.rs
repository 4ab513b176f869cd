//! Consumer groups as far as they must survive: members, assignments, committed offsets; and when they are forgotten.
//! Which agent coordinates a group is not kept: see `State::coordinator`. Knows nothing of who may change a group.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ebb_protocol::{
    ids::{GroupId, PartitionIndex, Timestamp, TopicId},
    planted::{Bug, is_planted},
};
use serde::{Deserialize, Serialize};

use super::State;
use crate::{
    command::CommittedOffset,
    limits::{OFFSET_BYTES, OFFSETS_CHECK_MS, OFFSETS_RETENTION_MS},
};

mod body;
mod coordinator;

pub use body::GroupBody;
use body::Tally;

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Rises with every update and is never used again, not even by a later group of the same name. 0 when it was
    /// never updated.
    pub version: u64,
    /// Its members.
    pub body: GroupBody,
    offsets: BTreeMap<TopicId, BTreeMap<PartitionIndex, Kept>>,
    /// `None` while it has members. For a simple group a time before which none of its offsets was committed, else
    /// when the last member left or the last offset was committed after that.
    idle_since: Option<Timestamp>,
    /// What its members count in the limits. Made again from the body, as are those of the offsets.
    #[serde(skip)]
    pub(crate) members: Tally,
    #[serde(skip)]
    kept: KeptTally,
}

/// A committed offset and the state's time at its commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    offset: CommittedOffset,
    at: Timestamp,
}

/// Offsets to commit, each partition once.
pub(crate) type NewOffsets<'a> = BTreeMap<(TopicId, PartitionIndex), &'a CommittedOffset>;

/// What a group's offsets count in the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct KeptTally {
    count: usize,
    bytes: usize,
}

impl KeptTally {
    fn add(&mut self, offset: &CommittedOffset) {
        self.count += 1;
        self.bytes += offset_bytes(offset);
    }

    fn remove(&mut self, offset: &CommittedOffset) {
        self.count -= 1;
        self.bytes -= offset_bytes(offset);
    }
}

fn offset_bytes(offset: &CommittedOffset) -> usize {
    OFFSET_BYTES + offset.metadata.len()
}

impl Group {
    /// A committed offset.
    #[must_use]
    pub fn offset(&self, topic: TopicId, partition: PartitionIndex) -> Option<&CommittedOffset> {
        self.offsets.get(&topic)?.get(&partition).map(|kept| &kept.offset)
    }

    /// All committed offsets, sorted by topic and partition.
    pub fn offsets(&self) -> impl Iterator<Item = (TopicId, PartitionIndex, &CommittedOffset)> {
        self.offsets.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(|(partition, kept)| (*topic, *partition, &kept.offset))
        })
    }

    /// How many offsets it would have, and with how many bytes, were these committed.
    pub(crate) fn with_offsets(&self, offsets: &NewOffsets<'_>) -> (usize, usize) {
        let mut tally = self.kept;
        for ((topic, partition), offset) in offsets {
            if let Some(old) = self.offset(*topic, *partition) {
                tally.remove(old);
            }
            tally.add(offset);
        }
        (tally.count, tally.bytes)
    }

    /// What its offsets count in the limits on bytes.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept.bytes
    }

    /// What it counts in the limits on bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.members.bytes + self.kept.bytes
    }

    /// Whether it is as if it had never been.
    fn is_void(&self) -> bool {
        matches!(self.body, GroupBody::Simple) && self.offsets.is_empty()
    }

    fn put(&mut self, topic: TopicId, partition: PartitionIndex, kept: Kept) {
        self.kept.add(&kept.offset);
        if let Some(old) = self.offsets.entry(topic).or_default().insert(partition, kept) {
            self.kept.remove(&old.offset);
        }
    }

    /// Removes an offset; true when none of its topic is left.
    fn take(&mut self, topic: TopicId, partition: PartitionIndex) -> bool {
        let Some(partitions) = self.offsets.get_mut(&topic) else { return false };
        if let Some(old) = partitions.remove(&partition) {
            self.kept.remove(&old.offset);
        }
        self.forget_if_empty(topic)
    }

    fn forget_if_empty(&mut self, topic: TopicId) -> bool {
        let is_empty = self.offsets.get(&topic).is_some_and(BTreeMap::is_empty);
        if is_empty {
            self.offsets.remove(&topic);
        }
        is_empty
    }

    /// Removes the offsets of a topic that are not to stay; true when none of them is left.
    fn retain(&mut self, topic: TopicId, mut stays: impl FnMut(&Kept) -> bool) -> bool {
        let Some(partitions) = self.offsets.get_mut(&topic) else { return false };
        partitions.retain(|_, kept| {
            let stays = stays(kept);
            if !stays {
                self.kept.remove(&kept.offset);
            }
            stays
        });
        self.forget_if_empty(topic)
    }

    /// When something of it may have expired; `None` while it has members.
    fn due(&self) -> Option<Timestamp> {
        let kept_for = if self.offsets.is_empty() { OFFSETS_CHECK_MS } else { OFFSETS_RETENTION_MS };
        let end = self.idle_since?.0.saturating_add(kept_for);
        // Rounded up, so that a group is not looked at again and again for one offset after the other.
        let up = end.saturating_add(OFFSETS_CHECK_MS - 1);
        Some(Timestamp(end.max(up.saturating_sub(up.rem_euclid(OFFSETS_CHECK_MS)))))
    }

    fn rebuild(&mut self) {
        if is_planted(Bug::SnapshotWithoutOffsets) {
            self.offsets.clear();
        }
        self.members = Tally::of(&self.body);
        self.kept = KeptTally::default();
        for kept in self.offsets.values().flat_map(BTreeMap::values) {
            self.kept.add(&kept.offset);
        }
    }
}

/// All groups, and those in them that topics and time take offsets from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Groups {
    /// Copies of the state share them until they are changed: a snapshot is encoded from a copy, and many members
    /// are not to be in memory twice for it.
    by_id: BTreeMap<GroupId, Arc<Group>>,
    /// The highest version of the groups that were removed: new ones begin above it.
    removed_version: u64,
    /// The groups with offsets of each topic. Made again from `by_id`, as is the rest.
    #[serde(skip)]
    by_topic: BTreeSet<(TopicId, GroupId)>,
    #[serde(skip)]
    by_due: BTreeSet<(Timestamp, GroupId)>,
    #[serde(skip)]
    bytes: usize,
}

impl Groups {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// What all of them count in the limits.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, id: &GroupId) -> Option<&Group> {
        self.by_id.get(id).map(Arc::as_ref)
    }

    /// Changes a group's members by an update that was judged, which gives their tally. Gives the new version.
    pub(crate) fn update(
        &mut self,
        id: &GroupId,
        now: Timestamp,
        members: Tally,
        change: impl FnOnce(&mut GroupBody),
    ) -> u64 {
        let fresh = self.removed_version;
        let mut version = 0;
        self.edit(id, |group, _| {
            group.version = if group.version == 0 { fresh } else { group.version }.saturating_add(1);
            version = group.version;
            change(&mut group.body);
            group.members = members;
            group.idle_since = (group.body.members() == 0).then_some(now);
        });
        version
    }

    /// Sets offsets; a group that does not exist is made.
    pub(crate) fn commit(&mut self, id: &GroupId, now: Timestamp, offsets: &NewOffsets<'_>) {
        self.edit(id, |group, by_topic| {
            for ((topic, partition), offset) in offsets {
                if !group.offsets.contains_key(topic) {
                    by_topic.insert((*topic, id.clone()));
                }
                group.put(*topic, *partition, Kept { offset: (*offset).clone(), at: now });
            }
            group.idle_since = match group.body {
                GroupBody::Simple => group.idle_since.or(Some(now)),
                _ if group.body.members() == 0 => Some(now),
                _ => None,
            };
        });
    }

    /// Removes offsets. A simple group goes with the last of them.
    pub(crate) fn delete_offsets(&mut self, id: &GroupId, partitions: &[(TopicId, PartitionIndex)]) {
        self.edit(id, |group, by_topic| {
            for (topic, partition) in partitions {
                if group.take(*topic, *partition) {
                    by_topic.remove(&(*topic, id.clone()));
                }
            }
        });
    }

    /// Removes a group with all its offsets.
    pub(crate) fn remove(&mut self, id: &GroupId) {
        let Some(group) = self.by_id.remove(id) else { return };
        self.removed_version = self.removed_version.max(group.version);
        self.bytes -= group.bytes();
        for topic in group.offsets.keys() {
            self.by_topic.remove(&(*topic, id.clone()));
        }
        if let Some(due) = group.due() {
            self.by_due.remove(&(due, id.clone()));
        }
    }

    /// Removes the offsets of a topic that was deleted.
    pub(crate) fn forget_topic(&mut self, topic: TopicId) {
        let from = (topic, GroupId::from(""));
        let affected = self.by_topic.range(from..).take_while(|(of, _)| *of == topic);
        let affected: Vec<_> = affected.map(|(_, id)| id.clone()).collect();
        for id in affected {
            self.by_topic.remove(&(topic, id.clone()));
            self.edit(&id, |group, _| {
                group.retain(topic, |_| false);
            });
        }
    }

    /// Forgets what has expired, as Kafka does (KIP-211): a group that has been without members for long goes with
    /// all its offsets, and those of a simple group go one by one. Looks at `work` offsets; the last group is
    /// finished.
    pub(crate) fn expire(&mut self, now: Timestamp, work: usize) {
        let mut left = work;
        while left > 0
            && let Some((due, id)) = self.by_due.first()
            && *due <= now
        {
            let id = id.clone();
            let Some(group) = self.by_id.get(&id) else { return };
            left = left.saturating_sub(1 + group.kept.count);
            match group.body {
                GroupBody::Simple => self.expire_offsets(&id, now),
                _ => self.remove(&id),
            }
        }
    }

    /// Forgets the offsets of a simple group that were committed too long ago.
    fn expire_offsets(&mut self, id: &GroupId, now: Timestamp) {
        self.edit(id, |group, by_topic| {
            let topics: Vec<_> = group.offsets.keys().copied().collect();
            let mut oldest: Option<Timestamp> = None;
            for topic in topics {
                let none_left = group.retain(topic, |kept| {
                    let stays = kept.at.0.saturating_add(OFFSETS_RETENTION_MS) > now.0;
                    if stays {
                        oldest = Some(oldest.map_or(kept.at, |oldest| oldest.min(kept.at)));
                    }
                    stays
                });
                if none_left {
                    by_topic.remove(&(topic, id.clone()));
                }
            }
            group.idle_since = oldest;
        });
    }

    /// Changes a group, made if there is none, and removed if nothing is left of it. What `edit` does to the topics
    /// of its offsets, it does to `by_topic`; the other indices follow.
    fn edit(&mut self, id: &GroupId, edit: impl FnOnce(&mut Group, &mut BTreeSet<(TopicId, GroupId)>)) {
        if !self.by_id.contains_key(id) {
            self.by_id.insert(id.clone(), Arc::default());
        }
        let Some(group) = self.by_id.get_mut(id) else { return };
        let group = Arc::make_mut(group);
        let (due, bytes) = (group.due(), group.bytes());
        edit(group, &mut self.by_topic);
        self.bytes = self.bytes - bytes + group.bytes();
        let now_due = group.due();
        let is_void = group.is_void();
        if due != now_due {
            if let Some(due) = due {
                self.by_due.remove(&(due, id.clone()));
            }
            self.by_due.extend(now_due.map(|due| (due, id.clone())));
        }
        if is_void {
            self.remove(id);
        }
    }

    pub(super) fn rebuild(&mut self) {
        self.by_id.values_mut().for_each(|group| Arc::make_mut(group).rebuild());
        self.bytes = self.by_id.values().map(|group| group.bytes()).sum();
        let due = |(id, group): (&GroupId, &Arc<Group>)| group.due().map(|due| (due, id.clone()));
        self.by_due = self.by_id.iter().filter_map(due).collect();
        let topics = |(id, group): (&GroupId, &Arc<Group>)| {
            group.offsets.keys().map(|topic| (*topic, id.clone())).collect::<Vec<_>>()
        };
        self.by_topic = self.by_id.iter().flat_map(topics).collect();
    }
}

impl State {
    /// A group.
    #[must_use]
    pub fn group(&self, group: &GroupId) -> Option<&Group> {
        self.groups.get(group)
    }

    /// All groups, sorted by name.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupId, &Group)> {
        self.groups.by_id.iter().map(|(id, group)| (id, group.as_ref()))
    }

    /// The offset that a group has committed for a partition, if any.
    #[must_use]
    pub fn committed(
        &self,
        group: &GroupId,
        topic: TopicId,
        partition: PartitionIndex,
    ) -> Option<&CommittedOffset> {
        self.group(group)?.offset(topic, partition)
    }
}
