//! Publishing archive files: each reason for a refusal, what becomes of what they replace, and the table.

use std::collections::BTreeSet;

use ebb_metastore::{
    command::{ArchiveSpan, Command, FileColumns, ObjectRef, PublishArchive, RecordCompaction},
    limits::SNAPSHOTS_PER_TOPIC_MAX,
    outcome::{Outcome, Refusal},
    state::{BatchCoordinates, State, Table, fingerprint},
};
use ebb_protocol::{
    columns::{ColumnKind, TYPED_ROOT, TypedColumn},
    ids::{ArchiveId, ByteRange, Offset, PartitionIndex, Timestamp, TopicPartition},
};

use crate::support::{ARCHIVE_BYTES, World, archive, batch, publish, refused, topic};

/// Three segments of two records each in partition 0, and one of one record in partition 1.
fn world() -> World {
    let mut world = World::with_topic();
    for _ in 0..3 {
        world.commit(0, vec![batch(2)]);
    }
    world.commit(1, vec![batch(1)]);
    world
}

fn rows(state: &State, partition: i32) -> Vec<BatchCoordinates> {
    state.find(topic(1), PartitionIndex(partition), Offset(0), u64::MAX, usize::MAX)
}

fn delete_records(world: &mut World, partition: i32, before: i64) {
    let (topic, partition) = (topic(1), PartitionIndex(partition));
    let outcome = world.run(Command::DeleteRecords { topic, partition, before: Some(Offset(before)) });
    assert_eq!(outcome, Outcome::RecordsDeleted { log_start: Offset(before) });
}

fn table(world: &World) -> &Table {
    world.state.table(topic(1)).expect("it has had files")
}

/// Sequence, files that came and files that went of each snapshot.
fn history(table: &Table) -> Vec<(u64, Vec<ArchiveId>, Vec<ArchiveId>)> {
    let all = table.snapshots();
    all.map(|snapshot| (snapshot.sequence, snapshot.added.clone(), snapshot.removed.clone())).collect()
}

fn files_at(table: &Table, sequence: u64) -> Vec<ArchiveId> {
    table.files_at(sequence).map(|(id, _)| id).collect()
}

#[test]
fn a_file_takes_the_place_of_what_it_was_made_from() {
    let mut world = world();
    let before: Vec<_> = rows(&world.state, 0);
    let spans = vec![world.span(0, 0, 4, 3), world.span(1, 0, 1, 1)];
    let file = archive(500);
    assert_eq!(world.publish(file, spans.clone()), Outcome::Done);
    let after = rows(&world.state, 0);
    assert_eq!(after.len(), 2);
    let expect = BatchCoordinates {
        object: ObjectRef::Archive(file),
        range: spans[0].range,
        base: Offset(0),
        last: Offset(3),
        max_timestamp: Timestamp(0),
    };
    assert_eq!(after[0], expect);
    assert_eq!(after[1], before[2], "what was not replaced stays");
    assert!(world.state.is_dead(before[0].object) && world.state.is_dead(before[1].object));
    assert_eq!(world.state.object_bytes(ObjectRef::Archive(file)), Some(ARCHIVE_BYTES));
    let (of, facts) = world.state.archive_file(file).expect("it was published");
    assert_eq!((of, facts.bytes, facts.rows, facts.spans.len()), (topic(1), ARCHIVE_BYTES, 4, 2));
    assert_eq!((facts.tail_bytes, facts.tail_checksum), (100, 7));
    assert_eq!(world.state.references().objects[&ObjectRef::Archive(file)].topic, Some(topic(1)));
    assert_eq!(world.state.summary().archives_referenced, 1);
    let head = world.state.head(topic(1), PartitionIndex(0)).expect("it is there");
    assert_eq!((head.log_start, head.high_watermark), (Offset(0), Offset(6)), "offsets do not change");
}

#[test]
fn what_was_planned_on_another_state_is_refused() {
    let mut world = world();
    let stale = world.span(0, 0, 4, 4);
    delete_records(&mut world, 0, 2);
    assert_eq!(world.publish(archive(500), vec![stale]), refused(Refusal::StaleArchive), "retention");
    let first = world.span(0, 2, 6, 4);
    assert_eq!(world.publish(archive(501), vec![first]), Outcome::Done);
    assert_eq!(world.publish(archive(502), vec![first]), refused(Refusal::StaleArchive), "a race");
    let check = |world: &mut World, span: ArchiveSpan, why: Refusal| {
        let before = world.state.clone();
        assert_eq!(world.publish(archive(503), vec![span]), refused(why), "{span:?}");
        assert_eq!(rows(&before, 0), rows(&world.state, 0), "nothing has changed");
        assert_eq!(before.table(topic(1)), world.state.table(topic(1)));
    };
    let current = world.span(0, 2, 6, 4);
    check(&mut world, ArchiveSpan { first: Offset(3), rows: 3, ..current }, Refusal::StaleArchive);
    check(&mut world, ArchiveSpan { next: Offset(5), rows: 3, ..current }, Refusal::StaleArchive);
    check(&mut world, ArchiveSpan { next: Offset(7), ..current }, Refusal::OffsetOutOfRange);
    check(&mut world, ArchiveSpan { partition: PartitionIndex(3), ..current }, Refusal::UnknownPartition);
    check(&mut world, ArchiveSpan { partition: PartitionIndex(-1), ..current }, Refusal::UnknownPartition);
    check(&mut world, ArchiveSpan { partition: PartitionIndex(2), ..current }, Refusal::OffsetOutOfRange);
    let other = PublishArchive {
        archive: archive(503),
        topic: topic(9),
        bytes: ARCHIVE_BYTES,
        tail_bytes: 100,
        tail_checksum: 0,
        spans: vec![current],
        columns: FileColumns::default(),
    };
    let outcome = world.run(Command::PublishArchive(other));
    assert_eq!(outcome, refused(Refusal::UnknownTopic(topic(9))));
}

/// Publishes a file of some rows of partition 0 with typed columns.
fn publish_with(world: &mut World, id: u64, rows: (i64, i64), known: u32, added: &[TypedColumn]) -> Outcome {
    let span = world.span(0, rows.0, rows.1, 2);
    let Command::PublishArchive(file) = publish(archive(id), vec![span]) else {
        unreachable!("it publishes")
    };
    let columns = FileColumns { known, added: added.to_vec() };
    world.run(Command::PublishArchive(PublishArchive { columns, ..file }))
}

#[test]
fn typed_columns_are_added_and_stay() {
    let column = |name: &str| TypedColumn {
        parent: TYPED_ROOT,
        key: name.to_owned(),
        name: name.to_owned(),
        kind: ColumnKind::Long,
    };
    let (a, b) = (column("a"), column("b"));
    let stale = refused(Refusal::StaleArchive);
    let mut world = world();
    assert_eq!(publish_with(&mut world, 500, (0, 2), 0, &[a.clone(), a.clone()]), stale, "one name twice");
    assert_eq!(publish_with(&mut world, 500, (0, 2), 1, &[]), stale, "there is none to know");
    assert!(world.state.table(topic(1)).is_none(), "nothing has changed");
    assert_eq!(publish_with(&mut world, 500, (0, 2), 0, std::slice::from_ref(&a)), Outcome::Done);
    assert_eq!(
        publish_with(&mut world, 501, (2, 4), 0, std::slice::from_ref(&b)),
        stale,
        "another one was faster"
    );
    assert_eq!(publish_with(&mut world, 501, (2, 4), 0, &[]), Outcome::Done, "a file without any");
    assert_eq!(publish_with(&mut world, 502, (4, 6), 1, std::slice::from_ref(&b)), Outcome::Done);
    let columns: Vec<_> = table(&world).columns().iter().map(|(id, column)| (id.0, column.clone())).collect();
    assert_eq!(columns, [(19, a), (20, b)]);
    let counts: Vec<_> = table(&world).snapshots().map(|snapshot| snapshot.columns).collect();
    assert_eq!(counts, [1, 1, 2]);
}

#[test]
fn all_spans_are_published_or_none() {
    let mut world = world();
    let (good, stale) = (world.span(0, 0, 6, 6), world.span(1, 0, 1, 1));
    let stale = ArchiveSpan { replaces: !stale.replaces, ..stale };
    assert_eq!(world.publish(archive(500), vec![good, stale]), refused(Refusal::StaleArchive));
    assert_eq!(rows(&world.state, 0).len(), 3);
    assert!(world.state.table(topic(1)).is_none());
    assert_eq!(world.publish(archive(500), vec![good]), Outcome::Done, "the id is free still");
}

#[test]
fn a_file_whose_parts_do_not_fit_is_malformed() {
    let mut world = world();
    let (a, b) = (world.span(0, 0, 2, 2), world.span(0, 2, 6, 4));
    let with = |change: &dyn Fn(&mut PublishArchive)| {
        let Command::PublishArchive(mut file) = publish(archive(500), vec![a, b]) else {
            unreachable!("it publishes")
        };
        change(&mut file);
        Command::PublishArchive(file)
    };
    let changes: [&dyn Fn(&mut PublishArchive); 13] = [
        &|file| file.spans.clear(),
        &|file| file.spans.reverse(),
        &|file| file.spans[1].first = Offset(1),
        &|file| file.spans[0].next = Offset(0),
        &|file| file.spans[0].first = Offset(-1),
        &|file| file.spans[0].first = Offset(i64::MIN),
        &|file| file.spans[0].rows = 3,
        &|file| file.spans[0].rows = 0,
        &|file| file.spans[0].range.len = 0,
        &|file| file.spans[0].range = ByteRange { start: u64::MAX, len: 2 },
        &|file| file.spans[0].max_timestamp = Timestamp(-1),
        &|file| file.bytes = 0,
        &|file| file.tail_bytes = 1_001,
    ];
    for (index, change) in changes.iter().enumerate() {
        assert_eq!(world.run(with(change)), refused(Refusal::Malformed), "change {index}");
    }
    assert_eq!(world.run(with(&|_| {})), Outcome::Done);
}

#[test]
fn an_id_is_published_once_and_not_below_the_sweep_boundary() {
    let mut world = world();
    let file = archive(500);
    let span = world.span(0, 0, 6, 6);
    assert_eq!(world.publish(file, vec![span]), Outcome::Done);
    let span = world.span(0, 0, 6, 6);
    assert_eq!(world.publish(file, vec![span]), refused(Refusal::ArchivePublished), "it is referenced");
    assert_eq!(world.publish(archive(501), vec![span]), Outcome::Done);
    let span = world.span(0, 0, 6, 6);
    assert_eq!(world.publish(file, vec![span]), refused(Refusal::ArchivePublished), "it is dead");
    let forget = Command::ForgetObjects { objects: vec![ObjectRef::Archive(file)] };
    assert_eq!(world.run(forget), Outcome::Done);
    assert_eq!(world.publish(file, vec![span]), refused(Refusal::ArchivePublished), "it is forgotten");
    world.run(Command::RaiseSweepBoundary { minted_before: Timestamp(502) });
    assert_eq!(world.publish(file, vec![span]), refused(Refusal::ArchiveTooOld));
    assert_eq!(world.publish(archive(501), vec![span]), refused(Refusal::ArchiveTooOld));
    assert_eq!(world.publish(archive(502), vec![span]), Outcome::Done);
}

#[test]
fn nothing_is_left_where_compaction_left_nothing() {
    let mut world = world();
    let (gone, kept) = (world.span(0, 0, 4, 0), world.span(0, 4, 6, 1));
    assert_eq!(world.publish(archive(500), vec![gone, kept]), Outcome::Done);
    let bases: Vec<_> = rows(&world.state, 0).iter().map(|row| row.base.0).collect();
    assert_eq!(bases, [4], "a fetch below goes on with what is there");
    let (_, facts) = world.state.archive_file(archive(500)).expect("it was published");
    assert_eq!((facts.rows, facts.spans.len()), (1, 1), "an empty span is no part of the file");
    // Without any record there is no file.
    let nothing = world.span(1, 0, 1, 0);
    assert_eq!(world.publish(archive(501), vec![nothing]), Outcome::Done);
    assert_eq!(rows(&world.state, 1), []);
    let object = ObjectRef::Archive(archive(501));
    assert!(!world.state.is_referenced(object) && !world.state.is_dead(object));
    assert_eq!(history(table(&world)), [(1, vec![archive(500)], vec![])]);
    let last = world.span(0, 4, 6, 0);
    assert_eq!(world.publish(archive(502), vec![last]), Outcome::Done);
    assert_eq!(history(table(&world))[1..], [(2, vec![], vec![archive(500)])]);
    assert_eq!(world.commit(0, vec![batch(1)])[0], crate::support::appended(6), "offsets go on");
}

#[test]
fn a_file_is_replaced_whole() {
    let mut world = world();
    let spans = vec![world.span(0, 0, 6, 6), world.span(1, 0, 1, 1)];
    assert_eq!(world.publish(archive(500), spans), Outcome::Done);
    let part = world.span(0, 0, 6, 6);
    assert_eq!(world.publish(archive(501), vec![part]), refused(Refusal::ArchiveInPart));
    // What retention has taken need not be replaced any more.
    delete_records(&mut world, 1, 1);
    assert_eq!(world.publish(archive(501), vec![part]), Outcome::Done);
    assert_eq!(files_at(table(&world), 2), [archive(501)]);
}

#[test]
fn a_table_has_a_snapshot_for_every_change() {
    let mut world = world();
    let span = world.span(0, 0, 2, 2);
    world.publish(archive(500), vec![span]);
    let span = world.span(0, 2, 6, 4);
    world.time = 2_000;
    world.publish(archive(501), vec![span]);
    delete_records(&mut world, 0, 1);
    assert_eq!(history(table(&world)).len(), 2, "the file has a record still");
    world.time = 1_500;
    delete_records(&mut world, 0, 2);
    let merged = world.span(0, 2, 6, 4);
    world.publish(archive(502), vec![merged]);
    let [a, b, c] = [500, 501, 502].map(archive);
    let expect = [(1, vec![a], vec![]), (2, vec![b], vec![]), (3, vec![], vec![a]), (4, vec![c], vec![b])];
    assert_eq!(history(table(&world)), expect);
    let times: Vec<_> = table(&world).snapshots().map(|snapshot| snapshot.at.0).collect();
    assert_eq!(times, [1_000, 2_000, 2_000, 2_000], "time does not go back");
    let contents = [1, 2, 3, 4].map(|sequence| files_at(table(&world), sequence));
    assert_eq!(contents, [vec![a], vec![a, b], vec![b], vec![c]]);
    assert_eq!(table(&world).current().map(|snapshot| snapshot.sequence), Some(4));
    assert!(table(&world).files().map(|(id, _)| id).eq([c]));
    // The first file is deleted from the store: the snapshots that have it are of no use.
    let forget = |id| Command::ForgetObjects { objects: vec![ObjectRef::Archive(id)] };
    assert_eq!(world.run(forget(a)), Outcome::Done);
    assert_eq!(history(table(&world))[0].0, 3);
    assert!(table(&world).file(a).is_none() && table(&world).file(b).is_some());
    assert_eq!(files_at(table(&world), 3), [b]);
    assert_eq!(world.run(forget(b)), Outcome::Done);
    assert_eq!(history(table(&world)), [(4, vec![c], vec![b])]);
    assert!(world.state.archive_file(b).is_none());
    assert_eq!(world.run(Command::DeleteTopic { topic: topic(1) }), Outcome::Done);
    assert!(world.state.table(topic(1)).is_none() && world.state.archive_file(c).is_none());
    let dead: BTreeSet<_> = world.state.dead_objects().map(|(object, dead)| (object, dead.topic)).collect();
    assert!(dead.contains(&(ObjectRef::Archive(c), Some(topic(1)))), "the sweeper can name its key");
}

#[test]
fn the_oldest_snapshots_of_a_table_go() {
    let mut world = world();
    for file in 0..=SNAPSHOTS_PER_TOPIC_MAX as u64 + 1 {
        let span = world.span(0, 0, 6, 6);
        assert_eq!(world.publish(archive(500 + file), vec![span]), Outcome::Done);
    }
    let history = history(table(&world));
    assert_eq!((history.len(), history[0].0), (SNAPSHOTS_PER_TOPIC_MAX, 3));
    assert!(table(&world).file(archive(501)).is_none(), "no snapshot has it");
    assert_eq!(files_at(table(&world), 3), [archive(502)]);
    let forget = Command::ForgetObjects { objects: vec![ObjectRef::Archive(archive(500))] };
    assert_eq!(world.run(forget), Outcome::Done);
    assert_eq!(table(&world).snapshots().len(), SNAPSHOTS_PER_TOPIC_MAX, "it was not in any of them");
}

#[test]
fn what_is_to_be_archived_is_told_in_commit_order() {
    let mut world = World::with_topic();
    // The later commit has the older id.
    let commit = |world: &mut World, minted_at| {
        let id = crate::support::segment(minted_at);
        let runs = vec![crate::support::run(1, 0, 0, vec![batch(1)])];
        assert!(matches!(world.run(crate::support::commit(id, runs)), Outcome::Committed { .. }));
        ObjectRef::Segment(id)
    };
    let first = commit(&mut world, 900);
    let position = world.state.position();
    world.time = 2_000;
    let second = commit(&mut world, 100);
    let told: Vec<_> =
        world.state.unarchived().map(|found| (found.object, found.bytes, found.at.0)).collect();
    assert_eq!(told, [(first, 100, 1_000), (second, 100, 2_000)]);
    assert!(world.state.unarchived_from(position).map(|found| found.object).eq([second]));
    let status = world.state.archive_status(topic(1)).expect("the topic is there");
    assert_eq!((status.waiting_records, status.waiting_bytes), (2, 200));
    assert_eq!((status.waiting_since, status.files), (Some(Timestamp(1_000)), 0));
    let span = world.span(0, 0, 1, 1);
    world.publish(archive(500), vec![span]);
    assert!(world.state.unarchived().map(|found| found.object).eq([second]));
    let status = world.state.archive_status(topic(1)).expect("the topic is there");
    assert_eq!((status.waiting_records, status.waiting_since), (1, Some(Timestamp(2_000))));
    assert_eq!((status.files, status.file_rows, status.file_bytes), (1, 1, ARCHIVE_BYTES));
    assert!(world.state.archive_status(topic(9)).is_none());
}

#[test]
fn rows_of_objects_are_found_in_slices() {
    let mut world = world();
    world.commit(2, vec![batch(1)]);
    let objects: BTreeSet<_> = world.state.unarchived().map(|found| found.object).skip(1).collect();
    let (all, none) = world.state.rows_of_objects(None, &objects, usize::MAX);
    assert!(none.is_none());
    let counts: Vec<_> = all.iter().map(|(at, rows)| (at.partition.0, rows.len())).collect();
    assert_eq!(counts, [(0, 2), (1, 1), (2, 1)]);
    let (mut sliced, mut cursor, mut slices) = (Vec::new(), None, 0);
    loop {
        let (found, next) = world.state.rows_of_objects(cursor, &objects, 3);
        sliced.extend(found);
        slices += 1;
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(sliced, all);
    assert_eq!(slices, 2, "four of partition 0, then two of each of the others");
    let beyond = TopicPartition { topic: topic(1), partition: PartitionIndex(3) };
    assert_eq!(world.state.rows_of_objects(Some(beyond), &objects, 9), (Vec::new(), None));
    let (at, rows) = &all[0];
    let current = world.state.fingerprint(at.topic, at.partition, Offset(2), Offset(6));
    assert_eq!(current, Some(fingerprint(rows)), "a planner takes it of what it has read");
}

#[cfg(feature = "planted-bugs")]
#[test]
fn planted_a_publish_of_what_was_not_planned_is_found() {
    use ebb_protocol::planted::{Bug, plant};
    // A planner reads three rows, another one replaces them, and the first one publishes after all.
    let replaces_what_it_has_not_read = || {
        let mut world = world();
        let span = world.span(0, 0, 6, 6);
        let compacted = world.span(0, 0, 6, 1);
        world.publish(archive(500), vec![compacted]);
        world.publish(archive(501), vec![span]);
        world.state.is_referenced(ObjectRef::Archive(archive(501)))
    };
    assert!(!replaces_what_it_has_not_read());
    plant(Some(Bug::PublishUnchecked));
    let found = replaces_what_it_has_not_read();
    plant(None);
    assert!(found);
}

#[test]
fn how_far_a_topic_is_compacted_never_goes_back() {
    let mut world = world();
    let mut record = |clean: &[(i32, i64)], mark| {
        let clean = clean.iter().map(|(at, clean)| (PartitionIndex(*at), Offset(*clean))).collect();
        world.run(Command::RecordCompaction(RecordCompaction { topic: topic(1), clean, mark }))
    };
    assert_eq!(record(&[(0, 4), (1, 1)], true), Outcome::Done);
    assert_eq!(record(&[(0, 6)], false), Outcome::Done);
    assert_eq!(record(&[(0, 2), (1, 0)], false), Outcome::Done, "it comes late, and is true all the same");
    assert_eq!(record(&[(1, 0), (0, 2)], false), refused(Refusal::Malformed));
    assert_eq!(record(&[(0, 2), (0, 3)], false), refused(Refusal::Malformed));
    assert_eq!(record(&[(0, 7)], false), refused(Refusal::OffsetOutOfRange), "beyond the high watermark");
    assert_eq!(record(&[(9, 1)], false), refused(Refusal::UnknownPartition));
    let at = |index| {
        let found = world.state.compaction(topic(1)).expect("it was recorded");
        (found.clean(PartitionIndex(index)).0, found.marked(PartitionIndex(index)).0)
    };
    assert_eq!((at(0), at(1), at(2)), ((6, 4), (1, 1), (0, 0)));
    let found = world.state.compaction(topic(1)).expect("it was recorded");
    let later = |ms| Timestamp(found.marked_at().0 + ms);
    assert!(!found.is_ripe(later(99), 100) && found.is_ripe(later(100), 100));
    assert!(found.is_ripe(later(0), 0) && !found.is_ripe(later(1), i64::MAX));
    assert!(found.waits());
    let mut marked = || {
        let (clean, mark) = (Vec::new(), true);
        let mark = RecordCompaction { topic: topic(1), clean, mark };
        assert_eq!(world.run(Command::RecordCompaction(mark)), Outcome::Done);
        let found = world.state.compaction(topic(1)).expect("it was recorded");
        (found.waits(), found.marked(PartitionIndex(0)).0)
    };
    // Nothing is left to be marked when all that is clean was, and had its time.
    assert_eq!([marked(), marked(), marked()], [(true, 6), (false, 0), (true, 6)]);
    world.run(Command::DeleteTopic { topic: topic(1) });
    assert_eq!(world.state.compaction(topic(1)), None);
}
