//! Random commands about groups, with topics that come and go and time that passes: the state agrees with a naive
//! model after every entry, and so does one that goes through a snapshot before every entry.

use std::collections::{BTreeMap, BTreeSet};

use ebb_metastore::{
    command::{Command, CommitFence, CommitOffsets, DeleteOffsets, GroupChange},
    limits::{OFFSETS_CHECK_MS, OFFSETS_RETENTION_MS},
    outcome::{Outcome, Refusal},
    snapshot,
    state::{Group, GroupBody, State},
};
use ebb_protocol::ids::{GroupId, MemberId, PartitionIndex, TopicId};
use proptest::{collection::vec, prelude::*};

use crate::{
    groups::{classic, consumer, offset, put_classic, put_consumer, remove, update},
    support::{World, create_topic, refused, topic},
};

/// Partitions of every topic.
const PARTITIONS: i32 = 2;

#[derive(Clone, Debug)]
enum Op {
    Update { group: u8, stale: bool, changes: Vec<Change> },
    Commit { group: u8, fence: Fence, offsets: Vec<Place> },
    DeleteOffsets { group: u8, places: Vec<Place> },
    DeleteGroup { group: u8 },
    Configure { group: u8, key: u8, value: Option<u8> },
    ReplaceTopic { slot: usize },
    Wait { minutes: i64 },
}

/// A topic's slot and a partition, which need not exist.
type Place = (usize, i32);

#[derive(Clone, Copy, Debug)]
enum Change {
    Classic(i32),
    Consumer(i32),
    PutClassic(u8),
    PutConsumer(u8, i32),
    Remove(u8),
}

#[derive(Clone, Copy, Debug)]
enum Fence {
    Simple,
    Member(u8, i32),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Classic,
    Consumer,
}

#[derive(Clone, Debug, Default)]
struct ModelGroup {
    version: u64,
    protocol: Option<Protocol>,
    generation: i32,
    /// Members with their epochs.
    members: BTreeMap<u8, i32>,
    /// Offsets, each with the time of its commit.
    offsets: BTreeMap<(TopicId, i32), (i64, i64)>,
    /// When the last member left, or an offset was committed after that.
    idle_since: i64,
}

#[derive(Debug, Default)]
struct Model {
    groups: BTreeMap<u8, ModelGroup>,
    /// What is set of each group's configuration.
    configs: BTreeMap<(u8, u8), u8>,
    /// The highest version of any group that is gone.
    removed_version: u64,
    topics: [u128; 2],
    topics_made: u128,
    offsets_made: i64,
}

fn group_id(group: u8) -> GroupId {
    format!("g{group}").as_str().into()
}

fn member(id: u8) -> String {
    format!("m{id}")
}

impl Model {
    fn place(&self, (slot, partition): Place) -> (TopicId, PartitionIndex) {
        (topic(self.topics.get(slot).copied().unwrap_or(0)), PartitionIndex(partition))
    }

    fn update(&mut self, group: u8, stale: bool, changes: &[Change], now: i64) -> (Command, Outcome) {
        let mut next = self.groups.get(&group).cloned().unwrap_or_default();
        let version = next.version + u64::from(stale);
        let command =
            update(group_id(group).as_str(), version, changes.iter().map(Change::command).collect());
        if stale {
            return (command, refused(Refusal::StaleGroup));
        }
        let is_sound = changes.iter().all(|change| change.make(&mut next));
        if !is_sound || next.protocol.is_none() {
            return (command, refused(Refusal::Malformed));
        }
        next.version = 1 + if next.version == 0 { self.removed_version } else { next.version };
        next.idle_since = now;
        let version = next.version;
        self.groups.insert(group, next);
        (command, Outcome::GroupUpdated { version })
    }

    fn configure(&mut self, group: u8, key: u8, value: Option<u8>) -> (Command, Outcome) {
        match value {
            Some(value) => self.configs.insert((group, key), value),
            None => self.configs.remove(&(group, key)),
        };
        let changes = vec![(key.to_string(), value.map(|value| value.to_string()))];
        (Command::AlterGroupConfig { group: group_id(group), changes }, Outcome::Done)
    }

    fn commit(&mut self, group: u8, fence: Fence, places: &[Place], now: i64) -> (Command, Outcome) {
        let mut offsets = Vec::new();
        for place in places {
            let (topic, partition) = self.place(*place);
            self.offsets_made += 1;
            offsets.push((topic, partition, offset(self.offsets_made)));
        }
        let found = self.groups.get(&group);
        let protocol = found.and_then(|found| found.protocol);
        let (fence, verdict) = match fence {
            Fence::Simple if found.is_none_or(|found| found.members.is_empty()) => {
                (CommitFence::Simple, None)
            }
            Fence::Simple => (CommitFence::Simple, Some(Refusal::UnknownMember)),
            Fence::Member(id, epoch) => {
                let wanted = match found {
                    None => Err(Refusal::UnknownGroup),
                    Some(found) => match (protocol, found.members.get(&id)) {
                        (_, None) => Err(Refusal::UnknownMember),
                        (Some(Protocol::Consumer), Some(epoch)) => Ok(*epoch),
                        (_, Some(_)) => Ok(found.generation),
                    },
                };
                let verdict = match wanted {
                    Ok(wanted) => (wanted != epoch).then_some(Refusal::StaleMember),
                    Err(refusal) => Some(refusal),
                };
                let id = member(id).as_str().into();
                let is_classic = protocol == Some(Protocol::Classic);
                (
                    if is_classic {
                        CommitFence::Classic(id, epoch)
                    } else {
                        CommitFence::Consumer(id, epoch)
                    },
                    verdict,
                )
            }
        };
        let command =
            Command::CommitOffsets(CommitOffsets { group: group_id(group), fence, offsets: offsets.clone() });
        if let Some(refusal) = verdict {
            return (command, refused(refusal));
        }
        let exist = |topic: TopicId, partition: i32| {
            self.topics.iter().any(|id| super::support::topic(*id) == topic)
                && (0..PARTITIONS).contains(&partition)
        };
        let model = self.groups.entry(group).or_default();
        for (topic, partition, offset) in offsets {
            if exist(topic, partition.0) {
                model.offsets.insert((topic, partition.0), (offset.offset.0, now));
            }
        }
        model.idle_since = now;
        self.drop_void();
        (command, Outcome::Done)
    }

    fn delete_offsets(&mut self, group: u8, places: &[Place]) -> (Command, Outcome) {
        let partitions: Vec<_> = places.iter().map(|place| self.place(*place)).collect();
        let command =
            Command::DeleteOffsets(DeleteOffsets { group: group_id(group), partitions: partitions.clone() });
        let Some(model) = self.groups.get_mut(&group) else {
            return (command, refused(Refusal::UnknownGroup));
        };
        for (topic, partition) in partitions {
            model.offsets.remove(&(topic, partition.0));
        }
        self.drop_void();
        (command, Outcome::Done)
    }

    fn delete_group(&mut self, group: u8) -> (Command, Outcome) {
        let outcome = match self.groups.get(&group) {
            None => refused(Refusal::UnknownGroup),
            Some(model) if !model.members.is_empty() => refused(Refusal::GroupNotEmpty),
            Some(_) => {
                self.remove(group);
                Outcome::Done
            }
        };
        (Command::DeleteGroup { group: group_id(group) }, outcome)
    }

    fn remove(&mut self, group: u8) {
        let removed = self.groups.remove(&group).map_or(0, |model| model.version);
        self.removed_version = self.removed_version.max(removed);
    }

    /// A group that never had members is nothing but its offsets.
    fn drop_void(&mut self) {
        self.groups.retain(|_, model| model.protocol.is_some() || !model.offsets.is_empty());
    }

    /// Compares with the state at `now`. What has expired may have gone, and has gone when that was long ago.
    fn check(&mut self, state: &State, now: i64) {
        let groups: Vec<_> = self.groups.keys().copied().collect();
        for group in groups {
            let found = state.group(&group_id(group));
            let expired = self.groups.get(&group).and_then(ModelGroup::expires);
            match found {
                None => assert!(expired.is_some_and(|at| at <= now), "{group} is missing: {:?}", self.groups),
                Some(_) => {
                    assert!(expired.is_none_or(|at| at + OFFSETS_CHECK_MS > now), "{group} has expired")
                }
            }
            match (found, self.groups.get_mut(&group)) {
                (Some(found), Some(model)) => model.check(found, now),
                _ => self.remove(group),
            }
        }
        let ids: BTreeSet<_> = self.groups.keys().map(|group| group_id(*group)).collect();
        assert!(state.groups().map(|(id, _)| id).eq(&ids));
        let ids: BTreeSet<_> = self.configs.keys().map(|(group, _)| group_id(*group)).collect();
        assert!(state.configured_groups().eq(&ids));
        for ((group, key), value) in &self.configs {
            let config = state.group_config(&group_id(*group));
            assert_eq!(config.and_then(|config| config.get(&key.to_string())), Some(&value.to_string()));
        }
    }
}

impl ModelGroup {
    /// When the whole group expires; never while it has members.
    fn expires(&self) -> Option<i64> {
        let kept_for = if self.offsets.is_empty() { OFFSETS_CHECK_MS } else { OFFSETS_RETENTION_MS };
        match self.protocol {
            None => self.offsets.values().map(|(_, at)| at + OFFSETS_RETENTION_MS).max(),
            Some(_) => self.members.is_empty().then_some(self.idle_since + kept_for),
        }
    }

    fn check(&mut self, found: &Group, now: i64) {
        assert_eq!(found.version, self.version);
        let epochs: BTreeMap<MemberId, i32> = match &found.body {
            GroupBody::Simple => BTreeMap::new(),
            GroupBody::Classic(shared, members) => {
                assert_eq!((self.protocol, shared.generation), (Some(Protocol::Classic), self.generation));
                members.keys().map(|id| (id.clone(), 0)).collect()
            }
            GroupBody::Consumer(_, members) => {
                assert_eq!(self.protocol, Some(Protocol::Consumer));
                members.iter().map(|(id, member)| (id.clone(), member.epoch)).collect()
            }
        };
        let expect = self.members.iter().map(|(id, epoch)| (member(*id).as_str().into(), *epoch)).collect();
        assert_eq!(epochs, expect);
        let offsets: BTreeMap<_, _> =
            found.offsets().map(|(t, p, offset)| ((t, p.0), offset.offset.0)).collect();
        let is_simple = self.protocol.is_none();
        self.offsets.retain(|place, (offset, at)| {
            let end = *at + OFFSETS_RETENTION_MS;
            match offsets.get(place) {
                None => assert!(is_simple && end <= now, "{place:?} is missing"),
                Some(found) => {
                    assert_eq!(found, offset);
                    assert!(!is_simple || end + OFFSETS_CHECK_MS > now, "{place:?} has expired");
                }
            }
            offsets.contains_key(place)
        });
        assert_eq!(offsets.len(), self.offsets.len());
    }
}

impl Change {
    fn command(&self) -> GroupChange {
        match self {
            Self::Classic(generation) => classic(*generation),
            Self::Consumer(epoch) => consumer(*epoch),
            Self::PutClassic(id) => put_classic(&member(*id)),
            Self::PutConsumer(id, epoch) => put_consumer(&member(*id), *epoch),
            Self::Remove(id) => remove(&member(*id)),
        }
    }

    /// False when the change is one that no coordinator writes.
    fn make(&self, group: &mut ModelGroup) -> bool {
        let become_ = |group: &mut ModelGroup, protocol, generation| {
            if group.protocol != Some(protocol) {
                group.members.clear();
            }
            (group.protocol, group.generation) = (Some(protocol), generation);
        };
        match self {
            Self::Classic(generation) => become_(group, Protocol::Classic, *generation),
            Self::Consumer(epoch) => become_(group, Protocol::Consumer, *epoch),
            Self::PutClassic(id) if group.protocol == Some(Protocol::Classic) => {
                group.members.insert(*id, 0);
            }
            Self::PutConsumer(id, epoch) if group.protocol == Some(Protocol::Consumer) => {
                group.members.insert(*id, *epoch);
            }
            Self::Remove(id) if group.protocol.is_some() => {
                group.members.remove(id);
            }
            _ => return false,
        }
        true
    }
}

/// Two states side by side, one of which goes through a snapshot before every entry, and the model.
struct Run {
    world: World,
    restored: World,
    model: Model,
}

impl Run {
    fn new() -> Self {
        let mut run = Self { world: World::new(), restored: World::new(), model: Model::default() };
        run.step(&Op::ReplaceTopic { slot: 0 });
        run.step(&Op::ReplaceTopic { slot: 1 });
        run
    }

    fn apply(&mut self, command: &Command) -> Outcome {
        self.restored.state =
            snapshot::decode(&snapshot::encode(&self.restored.state)).expect("it was just encoded");
        self.restored.time = self.world.time;
        let outcome = self.world.run(command.clone());
        assert_eq!(self.restored.run(command.clone()), outcome);
        assert_eq!(self.restored.state, self.world.state);
        outcome
    }

    fn step(&mut self, op: &Op) {
        self.world.time += 1_000;
        let (model, now) = (&mut self.model, self.world.time);
        let (command, expect) = match op {
            Op::Update { group, stale, changes } => model.update(*group, *stale, changes, now),
            Op::Commit { group, fence, offsets } => model.commit(*group, *fence, offsets, now),
            Op::DeleteOffsets { group, places } => model.delete_offsets(*group, places),
            Op::DeleteGroup { group } => model.delete_group(*group),
            Op::Configure { group, key, value } => model.configure(*group, *key, *value),
            Op::ReplaceTopic { slot } => return self.replace_topic(*slot),
            Op::Wait { minutes } => {
                let end = now + minutes * 60_000;
                self.restored.time = now;
                self.world.wait_until(end);
                self.restored.wait_until(end);
                (Command::TruncateLog { below: Default::default() }, Outcome::Done)
            }
        };
        assert_eq!(self.apply(&command), expect, "{op:?}");
        self.model.check(&self.world.state, self.world.time);
    }

    fn replace_topic(&mut self, slot: usize) {
        self.model.topics_made += 1;
        let (old, new) = (self.model.topics[slot], self.model.topics_made);
        if old > 0 {
            assert_eq!(self.apply(&Command::DeleteTopic { topic: topic(old) }), Outcome::Done);
        }
        assert_eq!(self.apply(&create_topic(new, &format!("topic-{slot}"), PARTITIONS)), Outcome::Done);
        self.model.topics[slot] = new;
        for model in self.model.groups.values_mut() {
            model.offsets.retain(|(of, _), _| *of != topic(old));
        }
        self.model.drop_void();
        self.model.check(&self.world.state, self.world.time);
    }
}

fn ops() -> impl Strategy<Value = Op> {
    let change = prop_oneof![
        2 => (0..3).prop_map(Change::Classic),
        2 => (0..3).prop_map(Change::Consumer),
        3 => (0..3_u8).prop_map(Change::PutClassic),
        3 => (0..3_u8, 0..3).prop_map(|(id, epoch)| Change::PutConsumer(id, epoch)),
        3 => (0..3_u8).prop_map(Change::Remove),
    ];
    let fence =
        prop_oneof![Just(Fence::Simple), (0..3_u8, 0..3).prop_map(|(id, epoch)| Fence::Member(id, epoch)),];
    let places = || vec((0..3_usize, -1..PARTITIONS + 1), 0..4);
    let week = OFFSETS_RETENTION_MS / 60_000;
    let minutes = prop_oneof![2 => 0..30_i64, 1 => week - 60..week + 30, 1 => 0..week];
    prop_oneof![
        6 => (0..3_u8, prop::bool::weighted(0.1), vec(change, 0..5))
            .prop_map(|(group, stale, changes)| Op::Update { group, stale, changes }),
        8 => (0..3_u8, fence, places()).prop_map(|(group, fence, offsets)| Op::Commit { group, fence, offsets }),
        2 => (0..3_u8, places()).prop_map(|(group, places)| Op::DeleteOffsets { group, places }),
        1 => (0..3_u8).prop_map(|group| Op::DeleteGroup { group }),
        1 => (0..3_u8, 0..2_u8, prop::option::of(0..9_u8))
            .prop_map(|(group, key, value)| Op::Configure { group, key, value }),
        1 => (0..2_usize).prop_map(|slot| Op::ReplaceTopic { slot }),
        3 => minutes.prop_map(|minutes| Op::Wait { minutes }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn groups_agree_with_the_model(ops in vec(ops(), 1..60)) {
        let mut run = Run::new();
        for op in &ops {
            run.step(op);
        }
    }
}
