//! The witness: sees every object at the moment when it is written or deleted, and every entry when it lands. Keeps
//! the true state, which no agent has, and says when something is done that must never be done.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::discriminant,
    sync::Arc,
};

use bytes::Bytes;
use ebb_metastore::{
    command::{BodyPlace, Command, ObjectRef},
    entry::Entry,
    outcome::{BatchOutcome, BatchRefusal, Outcome, Refusal},
    state::{GroupBody, State, Table},
};
use ebb_protocol::ids::{
    AgentId, ByteRange, GroupId, LogPosition, MemberId, Offset, PartitionIndex, SegmentId, TopicId,
};
use parking_lot::Mutex;

use super::{probes::Probe, world::World};

/// The witness of one run.
#[derive(Debug)]
pub(super) struct Witness {
    world: Arc<World>,
    truth: Mutex<Truth>,
}

#[derive(Debug, Default)]
struct Truth {
    /// After all entries that stand without a gap.
    state: State,
    /// Entries behind a gap.
    ahead: BTreeMap<LogPosition, Bytes>,
    /// Agents that are, or were, live.
    registered: BTreeSet<AgentId>,
    /// Checksums of entries and segments that have ever been there.
    entries: BTreeMap<LogPosition, u32>,
    segments: BTreeMap<SegmentId, u32>,
    lives: Lives,
}

/// A life of a group: when one without members is forgotten, or the next ones speak the other protocol, its generations
/// begin anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Era(i32);

impl Era {
    /// A generation as the history counts it: those of a later life are higher.
    pub(super) fn of(self, generation: i32) -> i32 {
        self.0 * 1_000_000 + generation
    }
}

/// In which life of its group somebody last became a member.
#[derive(Debug, Default)]
struct Lives {
    groups: BTreeMap<GroupId, Era>,
    members: BTreeMap<(GroupId, MemberId), Era>,
}

impl Lives {
    /// Notes what an update has made of a group.
    fn follow(&mut self, group: &GroupId, before: &GroupBody, after: &GroupBody) {
        let era = self.groups.entry(group.clone()).or_default();
        let begins_anew =
            discriminant(before) != discriminant(after) || generation(after) < generation(before);
        if before.members() == 0 && begins_anew {
            era.0 += 1;
        }
        let known = ids(before);
        for member in ids(after).into_iter().filter(|member| !known.contains(member)) {
            self.members.insert((group.clone(), member.clone()), *era);
        }
    }
}

fn ids(body: &GroupBody) -> BTreeSet<&MemberId> {
    match body {
        GroupBody::Simple => BTreeSet::new(),
        GroupBody::Classic(_, members) => members.keys().collect(),
        GroupBody::Consumer(_, members) => members.keys().collect(),
    }
}

fn generation(body: &GroupBody) -> i32 {
    match body {
        GroupBody::Simple => 0,
        GroupBody::Classic(shared, _) => shared.generation,
        GroupBody::Consumer(shared, _) => shared.epoch,
    }
}

impl Witness {
    pub(super) fn new(world: Arc<World>) -> Self {
        Self { world, truth: Mutex::default() }
    }

    /// Reads the true state.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.truth.lock().state)
    }

    /// The life of a group in which somebody is a member.
    pub(super) fn era(&self, group: &GroupId, member: &str) -> Era {
        let key = (group.clone(), MemberId::from(member));
        self.truth.lock().lives.members.get(&key).copied().unwrap_or_default()
    }

    /// An entry landed.
    pub(super) fn entry(&self, position: LogPosition, bytes: &Bytes) {
        let mut truth = self.truth.lock();
        let truth = &mut *truth;
        let sum = checksum(bytes);
        if *truth.entries.entry(position).or_insert(sum) != sum {
            // A late copy of an old request may fill a position that was dropped. Nobody may believe it; that is
            // seen in what is lost.
            return;
        }
        if position >= truth.state.position() {
            truth.ahead.insert(position, bytes.clone());
        }
        while let Some(bytes) = truth.ahead.remove(&truth.state.position()) {
            match Entry::decode(&bytes) {
                Ok((entry, body)) => self.apply(truth, &entry, body),
                Err(error) => {
                    return self.world.violation(format!("an entry was written that is none: {error}"));
                }
            }
        }
    }

    fn apply(&self, truth: &mut Truth, entry: &Entry, body: ByteRange) {
        let state = &mut truth.state;
        let out = truth.registered.contains(&entry.agent) && state.next_number(entry.agent).is_none();
        let mut updated = BTreeSet::new();
        let groups: Vec<_> =
            entry.commands.iter().map(|command| group_of(state, command, &mut updated)).collect();
        let outcomes = state.apply(state.position(), entry, body);
        if out && !outcomes.iter().all(|outcome| matches!(outcome, Outcome::Refused(_))) {
            let agent = entry.agent;
            self.world.violation(format!("an entry of {agent} took effect, which had been put out"));
        }
        for (command, outcome) in entry.commands.iter().zip(&outcomes) {
            if let (Command::UpdateGroup(update), Outcome::GroupUpdated { .. }) = (command, outcome) {
                self.world.note(format_args!("{} changes: {:?}", update.group.as_str(), update.changes));
            }
        }
        for (command, outcome) in groups.iter().zip(&outcomes) {
            let Some(group) = command else { continue };
            let body = state.group(&group.id).map(|found| found.body.clone()).unwrap_or_default();
            truth.lives.follow(&group.id, &group.body, &body);
            if matches!(outcome, Outcome::Refused(_)) {
                continue;
            }
            if group.coordinator != Some(entry.agent) {
                let agent = entry.agent;
                self.world.violation(format!("{agent} changed a group that it did not coordinate"));
            }
            if group.named.is_some_and(|named| named != group.version) {
                self.world
                    .violation(format!("an update of version {:?} changed {}", group.named, group.version));
            }
        }
        truth.registered.extend(state.agents().map(|agent| agent.id));
        let mut commits = 0;
        for (command, outcome) in entry.commands.iter().zip(&outcomes) {
            if let Command::CommitSegment(segment) = command {
                commits += 1;
                self.world.probe(match segment.body {
                    BodyPlace::Inline => Probe::InlineFlush,
                    BodyPlace::Object { .. } => Probe::SegmentFlush,
                });
            }
            if let (Command::PublishArchive(publish), Outcome::Done) = (command, outcome) {
                let last = state.table(publish.topic).and_then(Table::current);
                let is_merged = last.is_some_and(|last| last.removed.len() > 1);
                self.world.probe(if is_merged { Probe::ArchiveMerged } else { Probe::ArchivePublished });
            }
            self.note(outcome);
        }
        if commits > 1 {
            self.world.probe(Probe::GroupCommit);
        }
    }

    fn note(&self, outcome: &Outcome) {
        let batch = |batch: &BatchOutcome| match batch {
            BatchOutcome::Duplicate { .. } => Some(Probe::DuplicateAnswered),
            BatchOutcome::Refused(BatchRefusal::OutOfOrderSequence) => Some(Probe::SequenceOutOfOrder),
            BatchOutcome::Refused(BatchRefusal::StaleProducerEpoch) => Some(Probe::OldEpochRefused),
            BatchOutcome::Refused(BatchRefusal::UnknownPartition) => Some(Probe::DeletedTopicRefused),
            _ => None,
        };
        match outcome {
            Outcome::Committed { runs } => {
                runs.iter().flatten().filter_map(batch).for_each(|probe| self.world.probe(probe));
            }
            Outcome::Refused(Refusal::StaleAgent) => self.world.probe(Probe::ZombieFenced),
            Outcome::Refused(Refusal::SegmentTooOld) => self.world.probe(Probe::SegmentTooOld),
            Outcome::Refused(Refusal::OutOfTurn) => self.world.probe(Probe::GhostEntry),
            Outcome::Refused(Refusal::StaleArchive) => self.world.probe(Probe::ArchiveRefused),
            Outcome::Refused(Refusal::WorkClaimed) => self.world.probe(Probe::WorkClaimed),
            Outcome::RecordsDeleted { .. } => self.world.probe(Probe::RecordsDeleted),
            _ => {}
        }
    }

    /// Two agents wanted one position.
    pub(super) fn raced(&self) {
        self.world.probe(Probe::AgentsRaced);
    }

    /// A segment was put.
    pub(super) fn segment(&self, id: SegmentId, bytes: &Bytes) {
        let sum = checksum(bytes);
        if *self.truth.lock().segments.entry(id).or_insert(sum) != sum {
            self.world.violation(format!("segment {id} was overwritten with other bytes"));
        }
    }

    /// An object is deleted.
    pub(super) fn deleted(&self, object: ObjectRef) {
        if self.read(|state| state.is_referenced(object)) {
            self.world.violation(format!("{object:?} was deleted while the state refers to it"));
        }
        self.world.probe(match object {
            ObjectRef::Entry(_) => Probe::LogTruncated,
            ObjectRef::Archive(_) => Probe::ArchiveSwept,
            _ if self.read(|state| state.is_dead(object)) => Probe::SegmentSwept,
            ObjectRef::Segment(_) => Probe::OrphanSwept,
        });
    }

    /// An append was acknowledged: its place must be taken by now.
    pub(super) fn acknowledged(&self, topic: TopicId, partition: PartitionIndex, base: Offset, records: i64) {
        let head = self.read(|state| state.head(topic, partition));
        if head.is_some_and(|head| head.high_watermark < base.plus(records)) {
            self.world.violation(format!("offset {base} was acknowledged before it was durable"));
        }
    }
}

/// A group as it was before a command about it.
struct Before {
    id: GroupId,
    body: GroupBody,
    coordinator: Option<AgentId>,
    version: u64,
    /// The version that the command names, when it is the entry's first update of the group.
    named: Option<u64>,
}

fn group_of<'a>(state: &State, command: &'a Command, updated: &mut BTreeSet<&'a GroupId>) -> Option<Before> {
    let (group, named) = match command {
        Command::UpdateGroup(update) => {
            (&update.group, updated.insert(&update.group).then_some(update.version))
        }
        Command::CommitOffsets(commit) => (&commit.group, None),
        Command::DeleteOffsets(delete) => (&delete.group, None),
        Command::DeleteGroup { group } => (group, None),
        _ => return None,
    };
    let coordinator = state.coordinator(group).map(|agent| agent.id);
    let (version, body) =
        state.group(group).map(|found| (found.version, found.body.clone())).unwrap_or_default();
    Some(Before { id: group.clone(), body, coordinator, version, named })
}

fn checksum(bytes: &Bytes) -> u32 {
    xxhash_rust::xxh3::xxh3_64(bytes) as u32
}
