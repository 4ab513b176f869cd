//! The life of objects: referenced, dead, forgotten; and what `fsck` asks about them.

use ebb_metastore::{
    command::{Command, ObjectRef},
    outcome::{Outcome, Refusal},
    state::ObjectUse,
};
use ebb_protocol::ids::{ByteRange, LogPosition, Offset, PartitionIndex, Timestamp};

use crate::support::{
    HEAD_BYTES, World, appended, batch, commit, commit_inline, refused, run, segment, topic,
};

fn dead(world: &World) -> Vec<(ObjectRef, i64)> {
    world.state.dead_objects().map(|(object, dead)| (object, dead.since.0)).collect()
}

fn delete_records(world: &mut World, partition: i32) {
    let (topic, partition) = (topic(1), PartitionIndex(partition));
    let outcome = world.run(Command::DeleteRecords { topic, partition, before: None });
    assert!(matches!(outcome, Outcome::RecordsDeleted { .. }), "{outcome:?}");
}

/// A segment with a batch for each of two partitions, and an entry with one for a third.
fn world() -> (World, ObjectRef, ObjectRef) {
    let mut world = World::with_topic();
    world.run(commit(segment(1), vec![run(1, 0, 50, vec![batch(1)]), run(1, 1, 150, vec![batch(1)])]));
    let entry = ObjectRef::Entry(world.state.position());
    world.run_with_body(commit_inline(segment(2), vec![run(1, 2, 0, vec![batch(1)])]), 100);
    (world, ObjectRef::Segment(segment(1)), entry)
}

#[test]
fn an_object_dies_with_its_last_row() {
    let (mut world, object, _) = world();
    world.time = 2_000;
    delete_records(&mut world, 0);
    assert_eq!(dead(&world), []);
    assert!(world.state.is_referenced(object));
    world.time = 3_000;
    delete_records(&mut world, 1);
    assert_eq!(dead(&world), [(object, 3_000)]);
    assert!(!world.state.is_referenced(object));
}

#[test]
fn a_deleted_topic_leaves_dead_objects() {
    let (mut world, object, entry) = world();
    assert_eq!(world.run(Command::DeleteTopic { topic: topic(1) }), Outcome::Done);
    assert_eq!(dead(&world), [(object, 1_000)], "the log still has the entry");
    world.run(Command::TruncateLog { below: world.state.position() });
    assert_eq!(dead(&world), [(object, 1_000), (entry, 1_000)]);
}

#[test]
fn a_segment_of_which_nothing_was_taken_is_dead_from_the_start() {
    let mut world = World::with_topic();
    world.run(commit(segment(1), vec![run(9, 0, 0, vec![batch(1)])]));
    assert_eq!(dead(&world), [(ObjectRef::Segment(segment(1)), 1_000)]);
    world.run_with_body(commit_inline(segment(2), vec![run(9, 0, 0, vec![batch(1)])]), 100);
    assert_eq!(world.state.kept_entries(LogPosition(99)), [], "an entry without rows goes with the log");
}

#[test]
fn only_dead_objects_are_forgotten() {
    let (mut world, object, entry) = world();
    let forget = |world: &mut World, objects: &[ObjectRef]| {
        world.run(Command::ForgetObjects { objects: objects.to_vec() })
    };
    assert_eq!(forget(&mut world, &[object]), refused(Refusal::Malformed), "it is referenced");
    world.run(Command::DeleteTopic { topic: topic(1) });
    assert_eq!(
        forget(&mut world, &[object, entry]),
        refused(Refusal::Malformed),
        "the log still has the entry"
    );
    assert_eq!(dead(&world).len(), 1);
    world.run(Command::TruncateLog { below: world.state.position() });
    assert_eq!(world.state.kept_entries(LogPosition(99)).len(), 1, "a dead entry waits for the sweeper");
    let unknown = ObjectRef::Segment(segment(77));
    assert_eq!(forget(&mut world, &[object, entry, unknown]), Outcome::Done);
    assert_eq!(forget(&mut world, &[object, entry]), Outcome::Done, "again is no harm");
    assert_eq!(dead(&world), []);
    assert_eq!(world.state.kept_entries(LogPosition(99)), []);
}

#[test]
fn a_forgotten_segment_is_not_committed_again() {
    let mut world = World::with_topic();
    let runs = || vec![run(1, 0, 0, vec![batch(1)])];
    world.run(commit(segment(500), runs()));
    delete_records(&mut world, 0);
    world.run(Command::ForgetObjects { objects: vec![ObjectRef::Segment(segment(500))] });
    assert_eq!(world.run(commit(segment(500), runs())), refused(Refusal::SegmentCommitted));
    world.run(Command::RaiseSweepBoundary { minted_before: Timestamp(501) });
    assert_eq!(world.run(commit(segment(500), runs())), refused(Refusal::SegmentTooOld));
}

#[test]
fn references_name_the_bytes_in_use() {
    let (mut world, object, entry) = world();
    let used = |bytes, ranges: &[(u64, u64)]| {
        let ranges = ranges.iter().map(|(start, len)| ByteRange { start: *start, len: *len }).collect();
        ObjectUse { bytes, topic: None, ranges }
    };
    let both = [(object, used(250, &[(50, 100), (150, 100)])), (entry, used(100, &[(HEAD_BYTES, 100)]))];
    assert_eq!(world.state.references().objects, both.into());
    delete_records(&mut world, 0);
    delete_records(&mut world, 2);
    assert_eq!(world.state.references().objects, [(object, used(250, &[(150, 100)]))].into());
    assert_eq!(
        world.commit(0, vec![batch(3)]),
        [ebb_metastore::outcome::BatchOutcome::Appended { base: Offset(1), log_start: Offset(1) }]
    );
    let summary = world.state.summary().to_string();
    let expect = "commit log position  7\n\
                  live agents          1\n\
                  topics               1 with 3 partitions\n\
                  records              4\n\
                  batch coordinates    2 over 200 bytes\n\
                  objects              2 referenced, 1 dead\n\
                  archive files        0 of those referenced";
    assert_eq!(summary, expect);
    assert_eq!(world.commit(1, vec![batch(1)]), [appended(1)]);
}
