//! Topics: creating, growing, configuring and deleting them, and deleting records.

use ebb_metastore::{
    command::Command,
    limits::{CONFIG_BYTES_MAX, CONFIGS_PER_TOPIC_MAX, PARTITIONS_MAX, PARTITIONS_PER_TOPIC_MAX},
    outcome::{Outcome, Refusal},
};
use ebb_protocol::ids::{Offset, PartitionIndex};

use crate::support::{World, appended, batch, create_topic, name, refused, topic};

#[test]
fn topics_have_unique_names_and_ids() {
    let mut world = World::new();
    for (id, called, partitions, expect) in [
        (1, "b", 3, Outcome::Done),
        (2, "b", 3, refused(Refusal::TopicExists)),
        (1, "c", 3, refused(Refusal::TopicExists)),
        (2, "a", 0, refused(Refusal::InvalidPartitionCount)),
        (2, "a", -1, refused(Refusal::InvalidPartitionCount)),
        (2, "a", PARTITIONS_PER_TOPIC_MAX + 1, refused(Refusal::InvalidPartitionCount)),
        (2, "a", 1, Outcome::Done),
    ] {
        assert_eq!(world.run(create_topic(id, called, partitions)), expect, "topic {id} called {called}");
    }
    let names: Vec<_> = world.state.topics().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
    let info = world.state.topic_by_name(&name("b")).expect("topic b exists");
    assert_eq!((info.id, info.partitions), (topic(1), 3));
    assert_eq!(world.state.topic_by_id(topic(1)), Some(info));
    assert_eq!(world.state.topic_id(&name("c")), None);
    assert_eq!(world.state.topic_name(topic(2)), Some(&name("a")));
}

#[test]
fn a_name_can_be_used_again_with_a_new_id() {
    let mut world = World::with_topic();
    assert_eq!(world.commit(0, vec![batch(5)]), [appended(0)]);
    assert_eq!(world.run(Command::DeleteTopic { topic: topic(1) }), Outcome::Done);
    assert_eq!(world.run(Command::DeleteTopic { topic: topic(1) }), refused(Refusal::UnknownTopic(topic(1))));
    assert_eq!(world.state.head(topic(1), PartitionIndex(0)), None);
    assert_eq!(world.run(create_topic(2, "one", 1)), Outcome::Done);
    let head = world.state.head(topic(2), PartitionIndex(0)).expect("the new topic has a partition");
    assert_eq!(head.high_watermark, Offset(0));
    assert_eq!(world.state.heads().count(), 1);
}

#[test]
fn partitions_are_added_and_keep_what_they_hold() {
    let mut world = World::with_topic();
    world.commit(2, vec![batch(5)]);
    let mut check = |id, total, expect: Outcome| {
        let outcome = world.run(Command::CreatePartitions { topic: topic(id), total });
        assert_eq!(outcome, expect, "topic {id} to {total}");
    };
    check(1, 3, refused(Refusal::InvalidPartitionCount));
    check(1, -4, refused(Refusal::InvalidPartitionCount));
    check(2, 4, refused(Refusal::UnknownTopic(topic(2))));
    check(1, 4, Outcome::Done);
    let high: Vec<_> = world.state.heads().map(|(_, head)| head.high_watermark.0).collect();
    assert_eq!(high, [0, 0, 5, 0]);
}

#[test]
fn the_cluster_has_room_for_so_many_partitions() {
    let mut world = World::new();
    let full = PARTITIONS_MAX / PARTITIONS_PER_TOPIC_MAX as usize;
    for id in 1..full {
        let outcome = world.run(create_topic(id as u128, &format!("t{id}"), PARTITIONS_PER_TOPIC_MAX));
        assert_eq!(outcome, Outcome::Done);
    }
    assert_eq!(world.run(create_topic(1_000, "last", PARTITIONS_PER_TOPIC_MAX - 1)), Outcome::Done);
    assert_eq!(world.run(create_topic(1_001, "two", 2)), refused(Refusal::ClusterFull));
    assert_eq!(world.run(create_topic(1_001, "one", 1)), Outcome::Done);
    let grow = Command::CreatePartitions { topic: topic(1_000), total: PARTITIONS_PER_TOPIC_MAX };
    assert_eq!(world.run(grow), refused(Refusal::ClusterFull));
}

#[test]
fn configuration_changes_all_or_nothing() {
    let mut world = World::with_topic();
    let set = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
    let mut check = |changes: Vec<(String, Option<String>)>, expect: Outcome, config: &[(&str, &str)]| {
        assert_eq!(world.run(Command::AlterTopicConfig { topic: topic(1), changes }), expect);
        let info = world.state.topic_by_id(topic(1)).expect("topic 1 exists");
        let config: Vec<_> = config.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        assert_eq!(info.config, config);
        let retention = world.state.settings(topic(1)).expect("topic 1 exists").retention_ms;
        let expect = config.iter().any(|(key, _): &(String, String)| key == "retention.ms");
        assert_eq!(retention == Some(5), expect, "settings follow the overrides");
    };
    check(vec![set("z", "1"), set("retention.ms", "5")], Outcome::Done, &[("retention.ms", "5"), ("z", "1")]);
    check(vec![("z".to_owned(), None), ("y".to_owned(), None)], Outcome::Done, &[("retention.ms", "5")]);
    let long = "x".repeat(CONFIG_BYTES_MAX + 1);
    check(vec![set("a", "1"), set("b", &long)], refused(Refusal::Malformed), &[("retention.ms", "5")]);
    let many = (0..CONFIGS_PER_TOPIC_MAX).map(|key| set(&key.to_string(), "1")).collect();
    check(many, refused(Refusal::Malformed), &[("retention.ms", "5")]);
    check(vec![("retention.ms".to_owned(), None)], Outcome::Done, &[]);
}

#[test]
fn records_are_deleted_up_to_the_high_watermark() {
    let mut world = World::with_topic();
    world.commit(0, vec![batch(10)]);
    world.commit(0, vec![batch(10)]);
    let mut check = |partition, before: Option<i64>, expect: Outcome, rows: usize| {
        let (id, index, before) = (topic(1), PartitionIndex(partition), before.map(Offset));
        let outcome = world.run(Command::DeleteRecords { topic: id, partition: index, before });
        assert_eq!(outcome, expect, "partition {partition} before {before:?}");
        assert_eq!(world.state.find(id, PartitionIndex(0), Offset(0), u64::MAX, 9).len(), rows);
    };
    let deleted = |log_start| Outcome::RecordsDeleted { log_start: Offset(log_start) };
    check(3, None, refused(Refusal::UnknownPartition), 2);
    check(0, Some(-1), refused(Refusal::OffsetOutOfRange), 2);
    check(0, Some(21), refused(Refusal::OffsetOutOfRange), 2);
    check(0, Some(9), deleted(9), 2);
    check(0, Some(10), deleted(10), 1);
    check(0, Some(5), deleted(10), 1);
    check(0, None, deleted(20), 0);
    let head = world.state.head(topic(1), PartitionIndex(0)).expect("the partition exists");
    assert_eq!((head.log_start, head.high_watermark, head.last_stable), (Offset(20), Offset(20), Offset(20)));
    assert_eq!(world.commit(0, vec![batch(1)]).len(), 1);
    let head = world.state.head(topic(1), PartitionIndex(0)).expect("the partition exists");
    assert_eq!((head.log_start, head.high_watermark), (Offset(20), Offset(21)));
}
