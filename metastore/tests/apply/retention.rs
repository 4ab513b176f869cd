//! Where a log should begin by `retention.ms` and `retention.bytes`.

use ebb_metastore::{
    command::{BatchFacts, Command},
    outcome::Outcome,
    state::config::TopicSettings,
};
use ebb_protocol::ids::{Offset, PartitionIndex, Timestamp};

use crate::support::{World, archive, batch, topic};

/// Five rows of one record and 100 bytes each in partition 0, with these timestamps, committed at 1,000.
fn world(timestamps: [i64; 5]) -> World {
    let mut world = World::with_topic();
    for at in timestamps {
        world.commit(0, vec![BatchFacts { max_timestamp: Timestamp(at), ..batch(1) }]);
    }
    world
}

fn settings(config: &[(&str, &str)]) -> TopicSettings {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    TopicSettings::new(&config.collect())
}

fn point(world: &World, now: i64, settings: &TopicSettings) -> Option<i64> {
    let point = world.state.retention_point(topic(1), PartitionIndex(0), Timestamp(now), settings);
    point.map(|point| point.0)
}

#[test]
fn rows_go_whose_records_are_too_old() {
    let world = world([10, 30, 20, 90, 40]);
    let kept = settings(&[("retention.ms", "50")]);
    let check = |now, expect| assert_eq!(point(&world, now, &kept), expect, "at {now}");
    check(60, None);
    check(61, Some(1));
    check(80, Some(1));
    check(81, Some(3));
    check(140, Some(3));
    // An old row behind a young one waits for it; no segment is active, so the last one goes too.
    check(141, Some(5));
    check(i64::MAX, Some(5));
    assert_eq!(point(&world, i64::MAX, &settings(&[("retention.ms", "-1")])), None);
    assert_eq!(point(&world, 41, &settings(&[("retention.ms", "0")])), Some(3));
}

#[test]
fn records_without_timestamps_age_from_their_commit() {
    let world = world([-1, -1, 2_000, -1, -1]);
    let kept = settings(&[("retention.ms", "50")]);
    assert_eq!(point(&world, 1_050, &kept), None);
    assert_eq!(point(&world, 1_051, &kept), Some(2));
    assert_eq!(point(&world, 2_051, &kept), Some(5));
}

#[test]
fn rows_go_while_enough_bytes_are_behind_them() {
    let world = world([0; 5]);
    let check = |bytes: &str, expect| {
        let kept = settings(&[("retention.ms", "-1"), ("retention.bytes", bytes)]);
        assert_eq!(point(&world, 0, &kept), expect, "{bytes} bytes");
    };
    check("-1", None);
    check("501", None);
    check("500", None);
    check("401", None);
    check("400", Some(1));
    check("101", Some(3));
    check("0", Some(5));
}

#[test]
fn whichever_limit_is_reached_counts() {
    let world = world([10, 20, 90, 90, 90]);
    let kept = settings(&[("retention.ms", "50"), ("retention.bytes", "400")]);
    assert_eq!(point(&world, 0, &kept), Some(1), "by bytes");
    assert_eq!(point(&world, 75, &kept), Some(2), "the second by time");
}

#[test]
fn only_a_policy_with_delete_deletes() {
    let world = world([0; 5]);
    let with = |policy| settings(&[("cleanup.policy", policy), ("retention.ms", "0")]);
    assert_eq!(point(&world, 100, &with("compact")), None);
    assert_eq!(point(&world, 100, &with("compact,delete")), Some(5));
    assert_eq!(point(&world, 100, &with("delete")), Some(5));
}

#[test]
fn the_log_start_does_not_go_back_and_archive_files_count_as_rows() {
    let mut world = world([10, 20, 30, 40, 50]);
    let span = world.span(0, 0, 3, 3);
    assert_eq!(world.publish(archive(500), vec![span]), Outcome::Done);
    let kept = settings(&[("retention.ms", "1")]);
    assert_eq!(point(&world, 25, &kept), Some(3), "the span's largest timestamp is 0");
    let before = Some(Offset(4));
    world.run(Command::DeleteRecords { topic: topic(1), partition: PartitionIndex(0), before });
    assert_eq!(point(&world, 42, &kept), None, "the log begins there already");
    assert_eq!(point(&world, 52, &kept), Some(5));
    let unknown = world.state.retention_point(topic(1), PartitionIndex(9), Timestamp(0), &kept);
    assert_eq!(unknown, None);
}
