//! Arbitrary commands, applied entry by entry: every command is answered, offsets stay dense but for the gaps of an
//! archive and never go back, what is referenced is not dead, tables name files that are there, committed offsets belong to partitions that exist, and a state that went through a
//! snapshot goes on as if it had not.
#![no_main]

use std::collections::BTreeMap;

use ebb_fuzz::{Step, within};
use ebb_metastore::{
    command::{Command, ObjectRef},
    entry::Entry,
    snapshot,
    state::{GroupBody, PartitionHead, State},
};
use ebb_protocol::ids::{
    AgentEpoch, AgentId, ByteRange, EntryId, LogPosition, Offset, Timestamp, TopicPartition,
};
use libfuzzer_sys::fuzz_target;

/// More partitions than this cost time and tell nothing new.
const PARTITIONS_MAX: i32 = 1_000;
/// Two states, their snapshots, and what is looked up in them.
const BYTES_MAX: usize = 64 << 20;

fuzz_target!(|input: &[u8]| {
    within(BYTES_MAX, || {
        if let Ok((steps, _)) = postcard::take_from_bytes::<Vec<Step>>(input)
            && steps.iter().all(is_small)
        {
            run(&steps);
        }
    });
});

fn is_small(step: &Step) -> bool {
    step.commands.iter().all(|command| match command {
        Command::CreateTopic(topic) => topic.partitions <= PARTITIONS_MAX,
        Command::CreatePartitions { total, .. } => *total <= PARTITIONS_MAX,
        _ => true,
    })
}

fn run(steps: &[Step]) {
    let mut state = State::default();
    let mut restored = State::default();
    for (index, step) in steps.iter().enumerate() {
        let before: BTreeMap<TopicPartition, PartitionHead> = state.heads().collect();
        let outcomes = apply(&mut state, step);
        assert_eq!(outcomes, apply(&mut restored, step), "replicas agree");
        assert_eq!(outcomes.len(), step.commands.len(), "every command is answered");
        if index == steps.len() / 2 {
            restored = snapshot::decode(&snapshot::encode(&state)).expect("it was just encoded");
        }
        // A topic that is deleted and created again under the same id begins anew.
        if !step.commands.iter().any(|command| matches!(command, Command::DeleteTopic { .. })) {
            nothing_went_back(&before, &state);
        }
    }
    assert_eq!(state.hash(), restored.hash());
    assert!(state == restored, "a state goes on after a snapshot as it would have without");
    offsets_are_dense(&state);
    references_are_sound(&state);
    groups_are_sound(&state);
    tables_are_sound(&state);
}

/// Applies a step as the next entry of its agent.
fn apply(state: &mut State, step: &Step) -> Vec<ebb_metastore::outcome::Outcome> {
    let agent = AgentId(step.agent.into());
    let known = state.agents().find(|known| known.id == agent);
    let (epoch, number) = known.map_or((AgentEpoch(0), 0), |known| (known.epoch, known.next_number));
    let position = state.position();
    let entry = Entry {
        id: EntryId(position.0.into()),
        agent,
        epoch,
        number,
        time: Timestamp(state.time().0.wrapping_add(step.elapsed_ms)),
        hash: None,
        commands: step.commands.clone(),
    };
    let body = ByteRange { start: entry.encode(step.body_len).len() as u64, len: step.body_len };
    state.apply(position, &entry, body)
}

fn nothing_went_back(before: &BTreeMap<TopicPartition, PartitionHead>, state: &State) {
    for (at, now) in state.heads() {
        assert!(now.log_start >= Offset(0) && now.log_start <= now.high_watermark, "{at:?} {now:?}");
        if let Some(then) = before.get(&at) {
            assert!(now.log_start >= then.log_start, "{at:?}: {then:?} became {now:?}");
            assert!(now.high_watermark >= then.high_watermark, "{at:?}: {then:?} became {now:?}");
        }
    }
}

/// Every offset from the log start to the high watermark lies in exactly one row of coordinates, and in none at most
/// where a topic has an archive.
fn offsets_are_dense(state: &State) {
    for (at, head) in state.heads() {
        let rows = state.find(at.topic, at.partition, head.log_start, u64::MAX, usize::MAX);
        let may_have_gaps = state.table(at.topic).is_some();
        let mut next = rows.first().map_or(head.high_watermark, |row| row.base.min(head.log_start));
        for row in &rows {
            let is_gap = may_have_gaps && row.base > next;
            assert!(row.base == next || row.base < head.log_start || is_gap, "{at:?}: {rows:?}");
            assert!(row.last >= row.base && row.last >= head.log_start, "{at:?}: {rows:?}");
            next = row.last.plus(1);
        }
        let is_gap = may_have_gaps && next < head.high_watermark;
        assert!(next == head.high_watermark || is_gap, "{at:?}: {rows:?}");
        let _ = state.find_time(at.topic, at.partition, Timestamp(0));
        let _ = state.find_max_time(at.topic, at.partition);
    }
}

fn references_are_sound(state: &State) {
    let references = state.references();
    for (object, used) in &references.objects {
        assert!(state.is_referenced(*object), "{object:?}");
        assert!(!used.ranges.is_empty(), "{object:?} is referenced by nothing");
    }
    for (object, dead) in state.dead_objects() {
        assert!(!references.objects.contains_key(&object), "{object:?} is dead and in use: {dead:?}");
    }
    let summary = state.summary();
    assert_eq!(summary.objects_referenced, references.objects.len());
    let _ = (state.kept_entries(LogPosition(u64::MAX)), state.understood());
}

/// The files of the present snapshot are referenced, those of all are known, and snapshots are in order.
fn tables_are_sound(state: &State) {
    for topic in state.topics() {
        let Some(table) = state.table(topic.id) else { continue };
        for (id, file) in table.files() {
            assert!(state.is_referenced(ObjectRef::Archive(id)), "{id:?}: {file:?}");
            assert_eq!(state.archive_file(id), Some((topic.id, file)));
        }
        assert!(table.snapshots().is_sorted_by(|a, b| a.sequence < b.sequence && a.at <= b.at));
        for snapshot in table.snapshots() {
            assert!(snapshot.added.iter().all(|id| table.file(*id).is_some()), "{snapshot:?}");
        }
        let _ = state.archive_status(topic.id);
    }
    let claims: Vec<_> = state.claims().collect();
    for (index, (work, _)) in claims.iter().enumerate() {
        assert!(claims[..index].iter().all(|(other, _)| !work.overlaps(*other)), "{claims:?}");
    }
}

/// Committed offsets are found and belong to partitions that exist, and a simple group has some.
fn groups_are_sound(state: &State) {
    for (id, group) in state.groups() {
        for (topic, partition, offset) in group.offsets() {
            assert!(state.head(topic, partition).is_some(), "{id}: {topic:?} {partition:?} does not exist");
            assert_eq!(state.committed(id, topic, partition), Some(offset));
        }
        let is_simple = matches!(group.body, GroupBody::Simple);
        assert!(!is_simple || group.offsets().next().is_some(), "{id} is nothing");
        assert_eq!(is_simple, group.version == 0, "{id} has a version as soon as it has a protocol");
    }
}
