//! Committing segments: offsets, coordinates, and segments that are not taken.

use ebb_metastore::{
    command::{BatchFacts, BodyPlace, Command, CommitSegment, ObjectRef, Run},
    limits::{BATCHES_PER_SEGMENT_MAX, COORDINATES_BYTES_MAX},
    outcome::{BatchOutcome, BatchRefusal, Outcome, Refusal},
    state::BatchCoordinates,
};
use ebb_protocol::ids::{AgentId, ByteRange, LogPosition, Offset, PartitionIndex, ProducerId, Timestamp};

use crate::support::{
    HEAD_BYTES, World, appended, batch, commit, commit_inline, create_topic, duplicate, entry, numbered,
    refused, run, segment, topic,
};

/// Object, first byte, length, first and last offset of a partition of topic 1.
fn rows(world: &World, partition: i32) -> Vec<(ObjectRef, u64, u64, i64, i64)> {
    let all = world.state.find(topic(1), PartitionIndex(partition), Offset(0), u64::MAX, usize::MAX);
    let row = |row: &BatchCoordinates| (row.object, row.range.start, row.range.len, row.base.0, row.last.0);
    all.iter().map(row).collect()
}

#[test]
fn batches_get_dense_offsets_and_neighbours_share_a_row() {
    let mut world = World::with_topic();
    let (a, b) = (segment(1), segment(2));
    let runs = vec![run(1, 0, 50, vec![batch(10), batch(5)]), run(1, 2, 250, vec![batch(1)])];
    assert_eq!(
        world.run(commit(a, runs)),
        Outcome::Committed { runs: vec![vec![appended(0), appended(10)], vec![appended(0)]] }
    );
    let runs = vec![run(1, 0, 0, vec![batch(2)])];
    assert_eq!(world.run(commit(b, runs)), Outcome::Committed { runs: vec![vec![appended(15)]] });
    let (a, b) = (ObjectRef::Segment(a), ObjectRef::Segment(b));
    assert_eq!(rows(&world, 0), [(a, 50, 200, 0, 14), (b, 0, 100, 15, 16)]);
    assert_eq!(rows(&world, 1), []);
    assert_eq!(rows(&world, 2), [(a, 250, 100, 0, 0)]);
}

#[test]
fn inline_batches_lie_behind_the_head_of_their_entry() {
    let mut world = World::with_topic();
    let position = world.state.position();
    let runs = vec![run(1, 0, 50, vec![batch(10)]), run(1, 1, 150, vec![batch(10)])];
    let outcome = world.run_with_body(commit_inline(segment(1), runs), 250);
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    let object = ObjectRef::Entry(position);
    assert_eq!(rows(&world, 0), [(object, HEAD_BYTES + 50, 100, 0, 9)]);
    assert_eq!(rows(&world, 1), [(object, HEAD_BYTES + 150, 100, 0, 9)]);
    assert_eq!(world.state.kept_entries(LogPosition(99)), [position]);
}

#[test]
fn an_entry_has_one_body() {
    let mut world = World::with_topic();
    let runs = || vec![run(1, 0, 0, vec![batch(1)])];
    let commands = vec![commit_inline(segment(1), runs()), commit_inline(segment(2), runs())];
    let number = world.state.next_number(AgentId(1)).expect("agent 1 is live");
    let outcomes = world.apply(entry(1, world.epoch.0, number, commands), 100);
    assert_eq!(outcomes, [Outcome::Committed { runs: vec![vec![appended(0)]] }, refused(Refusal::Malformed)]);
}

#[test]
fn rows_end_where_a_batch_is_not_taken() {
    let mut world = World::with_topic();
    let id = ProducerId(0);
    world.run(Command::InitProducer { current: None });
    assert_eq!(world.commit(0, vec![numbered(id, 0, 0, 10)]), [appended(0)]);
    let batches = vec![
        batch(1),
        batch(2),
        numbered(id, 0, 0, 10),
        numbered(id, 0, 10, 10),
        numbered(id, 0, 30, 1),
        batch(3),
    ];
    let object = ObjectRef::Segment(segment((1 << 40) + world.state.position().0));
    let expect = [
        appended(10),
        appended(11),
        duplicate(0),
        appended(13),
        BatchOutcome::Refused(BatchRefusal::OutOfOrderSequence),
        appended(23),
    ];
    assert_eq!(world.commit(0, batches), expect);
    assert_eq!(
        rows(&world, 0)[1..],
        [(object, 0, 200, 10, 12), (object, 300, 100, 13, 22), (object, 500, 100, 23, 25)]
    );
}

#[test]
fn rows_span_a_limited_number_of_bytes() {
    let mut world = World::with_topic();
    let sized = |bytes: u64| BatchFacts { bytes: u32::try_from(bytes).expect("it is small"), ..batch(1) };
    let max = COORDINATES_BYTES_MAX;
    world.commit(0, vec![sized(max - 1), sized(1), sized(1), sized(max + 5), sized(max), sized(1)]);
    let lengths: Vec<_> = rows(&world, 0).iter().map(|row| row.2).collect();
    assert_eq!(lengths, [max, 1, max + 5, max, 1]);
}

#[test]
fn the_timestamp_of_a_row_is_the_largest_of_its_batches() {
    let mut world = World::with_topic();
    let at = |timestamp| BatchFacts { max_timestamp: Timestamp(timestamp), ..batch(1) };
    world.commit(0, vec![at(5), at(9), at(7)]);
    world.commit(0, vec![at(8), at(12)]);
    world.commit(0, vec![at(3)]);
    let base = |row: Option<BatchCoordinates>| row.map(|row| row.base.0);
    let find = |time| base(world.state.find_time(topic(1), PartitionIndex(0), Timestamp(time)));
    assert_eq!([find(0), find(9), find(10), find(13)], [Some(0), Some(0), Some(3), None]);
    assert_eq!(base(world.state.find_max_time(topic(1), PartitionIndex(0))), Some(3));
    assert_eq!(base(world.state.find_max_time(topic(1), PartitionIndex(1))), None);
}

#[test]
fn a_partition_that_does_not_exist_fails_alone() {
    let mut world = World::with_topic();
    world.run(create_topic(2, "two", 1));
    world.run(Command::DeleteTopic { topic: topic(2) });
    let runs = vec![
        run(1, -1, 0, vec![batch(1)]),
        run(1, 1, 100, vec![batch(1)]),
        run(1, 3, 200, vec![batch(1), batch(1)]),
        run(2, 0, 400, vec![batch(1)]),
    ];
    let unknown = BatchOutcome::Refused(BatchRefusal::UnknownPartition);
    assert_eq!(
        world.run(commit(segment(1), runs)),
        Outcome::Committed {
            runs: vec![vec![unknown], vec![appended(0)], vec![unknown, unknown], vec![unknown]]
        }
    );
}

#[test]
fn a_segment_that_contradicts_itself_changes_nothing() {
    let sound = || run(1, 0, 0, vec![batch(1), batch(1)]);
    let with = |change: fn(&mut Run)| {
        let mut changed = sound();
        change(&mut changed);
        changed
    };
    let check = |what: &str, bytes: u64, second: Run| {
        for body in [BodyPlace::Object { bytes }, BodyPlace::Inline] {
            let mut world = World::with_topic();
            let runs = vec![sound(), second.clone()];
            let command = Command::CommitSegment(CommitSegment { segment: segment(1), body, runs });
            assert_eq!(world.run_with_body(command, bytes), refused(Refusal::Malformed), "{what}");
            assert_eq!(rows(&world, 0), [], "{what}");
            assert_eq!(world.state.references().objects.len(), 0, "{what}");
        }
    };
    check("it ends behind its object", 199, sound());
    check("its range is longer than its batches", 999, with(|run| run.range.len = 201));
    check("its range is shorter than its batches", 999, with(|run| run.range.len = 199));
    check("its range wraps", u64::MAX, with(|run| run.range.start = u64::MAX - 100));
    check("a batch has no records", 999, with(|run| run.batches[1].records = 0));
    check("a batch has too many records", 999, with(|run| run.batches[1].records = 1 << 31));
    let empty = BatchFacts { bytes: 0, ..batch(1) };
    check("a batch has no bytes", 999, run(1, 0, 0, vec![empty]));
    check("it has too many batches", u64::MAX, run(1, 0, 0, vec![batch(1); BATCHES_PER_SEGMENT_MAX]));
    let mut world = World::with_topic();
    let command = commit_inline(segment(1), vec![sound()]);
    assert_eq!(world.run_with_body(command, u64::MAX), refused(Refusal::Malformed), "its body wraps");
    let wrong = ByteRange { start: 0, len: 0 };
    let nothing = Run { range: wrong, ..run(1, 0, 0, vec![]) };
    assert_eq!(
        world.run(commit(segment(2), vec![nothing])),
        Outcome::Committed { runs: vec![vec![]] },
        "nothing is well formed"
    );
}

#[test]
fn a_segment_is_committed_once_and_not_after_the_sweep() {
    let mut world = World::with_topic();
    let runs = || vec![run(1, 0, 0, vec![batch(1)])];
    let mut check = |command: Command, expect: Outcome| assert_eq!(world.run(command), expect);
    let committed = |base| Outcome::Committed { runs: vec![vec![appended(base)]] };
    let raise = |to| Command::RaiseSweepBoundary { minted_before: Timestamp(to) };
    check(commit(segment(500), runs()), committed(0));
    check(commit(segment(500), runs()), refused(Refusal::SegmentCommitted));
    check(raise(500), Outcome::Done);
    check(commit(segment(499), runs()), refused(Refusal::SegmentTooOld));
    check(commit(segment(500), runs()), refused(Refusal::SegmentCommitted));
    check(commit(segment(501), runs()), committed(1));
    check(raise(400), Outcome::Done);
    check(commit(segment(499), runs()), refused(Refusal::SegmentTooOld));
    check(raise(1_001), refused(Refusal::Malformed));
    check(raise(1_000), Outcome::Done);
    check(commit(segment(999), runs()), refused(Refusal::SegmentTooOld));
    assert_eq!(world.state.sweep_boundary(), Timestamp(1_000));
    let inline = world.run_with_body(commit_inline(segment(1), runs()), 100);
    assert_eq!(inline, committed(2), "what rides inside the entry cannot be swept");
}
