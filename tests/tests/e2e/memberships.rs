//! What members of the Rust SDK may rely on when names are taken, topics go, positions move and consumers are dropped,
//! against the real agent.

use std::{collections::BTreeSet, time::Duration};

use ebb_tests::e2e::ebb::Ebb;
use ebbtide::{
    Assignor, Client, Error, ErrorCode, GroupConsumer, Offset, PartitionIndex, Start, admin::GroupDescription,
};
use tokio::time::Instant;

use crate::members::{ALL_MAX, PARTITIONS, QUIET, RECORDS, client, member, next, write};

/// Pause between two looks.
const POLL: Duration = Duration::from_millis(100);
/// A member that leaves is missed sooner than one whose session ends, 45 s after it was last heard of.
const LEAVING_MAX: Duration = Duration::from_secs(20);

/// The group once it is as it should be.
async fn described(client: &Client, is_right: impl Fn(&GroupDescription) -> bool) -> GroupDescription {
    let look = async {
        loop {
            match client.admin().describe_group("crew").await {
                Ok(group) if is_right(&group) => return group,
                _ => tokio::time::sleep(POLL).await,
            }
        }
    };
    tokio::time::timeout(ALL_MAX, look).await.expect("the group comes to it")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_say_where_they_run_and_leave_when_they_are_dropped() {
    let Some(ebb) = Ebb::find("racks and assignors of the SDK") else { return };
    let server = ebb.dev(&[]).await;
    server.create("logbook", PARTITIONS);
    let client = client(&server).await;
    let builder = client.consumer().group("crew").rack("eu-central-1a").assignor(Assignor::Range);
    let mut consumer = builder.build().expect("sound settings");
    consumer.subscribe(&["logbook"]);
    write(&client, "logbook", 0).await;
    next(&mut consumer, ALL_MAX).await.expect("a record");
    let group = described(&client, |group| group.members.len() == 1).await;
    assert_eq!(group.assignor, "range");
    assert_eq!(group.members[0].rack.as_deref(), Some("eu-central-1a"));
    assert_eq!(group.members[0].id, consumer.member_id());
    let before = Instant::now();
    drop(consumer);
    described(&client, |group| group.members.is_empty()).await;
    assert!(before.elapsed() < LEAVING_MAX, "{:?}", before.elapsed());
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_has_one_consumer_at_a_time() {
    let Some(ebb) = Ebb::find("static members of the SDK") else { return };
    let server = ebb.dev(&[]).await;
    server.create("logbook", PARTITIONS);
    let client = client(&server).await;
    write(&client, "logbook", 0).await;
    let named = || {
        let mut consumer = client.consumer().group("crew").instance_id("bosun").build().expect("sound");
        consumer.subscribe(&["logbook"]);
        consumer
    };
    let mut first = named();
    next(&mut first, ALL_MAX).await.expect("a record");
    let mut second = named();
    let refused = tokio::time::timeout(ALL_MAX, second.next_record()).await.expect("an answer");
    let error = refused.expect_err("the first has the name");
    assert_eq!(error.code(), Some(ErrorCode::UnreleasedInstanceId), "{error}");
    drop(second);
    next(&mut first, ALL_MAX).await.expect("the first goes on");
    // Dropped, it leaves for a while, and whoever has the name next gets its partitions.
    drop(first);
    let read = async {
        loop {
            let mut third = named();
            match third.next_record().await {
                Ok(_) => return third.assignment(),
                Err(Error::Rejected { code: ErrorCode::UnreleasedInstanceId, .. }) => {
                    tokio::time::sleep(POLL).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    let assigned = tokio::time::timeout(LEAVING_MAX, read).await.expect("the name is free");
    assert_eq!(assigned.len(), PARTITIONS);
    client.close().await;
}

/// Reads until there are `count` different numbers.
async fn collect(consumer: &mut GroupConsumer, count: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let read = async {
        while seen.len() < count {
            seen.extend(next(consumer, ALL_MAX).await);
        }
    };
    tokio::time::timeout(ALL_MAX, read).await.expect("everything comes");
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_goes_on_when_a_topic_is_deleted_and_comes_back() {
    let Some(ebb) = Ebb::find("topics that go under a group of the SDK") else { return };
    let server = ebb.dev(&[]).await;
    let client = client(&server).await;
    for topic in ["logbook", "logs"] {
        server.create(topic, PARTITIONS);
    }
    write(&client, "logbook", 0).await;
    let mut consumer = client.consumer().group("crew").build().expect("sound settings");
    consumer.subscribe(&["logbook", "logs"]);
    collect(&mut consumer, RECORDS).await;
    consumer.commit().await.expect("the agent serves");
    client.admin().delete_topic("logbook").await.expect("it is there");
    write(&client, "logs", RECORDS).await;
    let others = collect(&mut consumer, RECORDS).await;
    assert!(others.into_iter().eq(RECORDS..2 * RECORDS), "the other topic is read on");
    while consumer.assignment().iter().any(|(topic, _)| topic == "logbook") {
        assert_eq!(next(&mut consumer, POLL).await, None);
    }
    server.create("logbook", 1);
    write(&client, "logbook", 0).await;
    assert!(collect(&mut consumer, RECORDS).await.into_iter().eq(0..RECORDS), "it is read from its start");
    consumer.close().await.expect("the agent serves");
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_seeks_and_its_successor_goes_on_there() {
    let Some(ebb) = Ebb::find("seeking of the SDK") else { return };
    let server = ebb.dev(&[]).await;
    server.create("logbook", 1);
    let client = client(&server).await;
    write(&client, "logbook", 0).await;
    let mut first = member(&client, "logbook");
    assert_eq!(collect(&mut first, RECORDS).await.len(), RECORDS);
    let place = PartitionIndex(0);
    first.seek("logbook", place, Start::Latest).await.expect("it is assigned");
    assert_eq!(next(&mut first, QUIET).await, None);
    first.seek("logbook", place, Start::Earliest).await.expect("it is assigned");
    for number in 0..RECORDS / 2 {
        assert_eq!(next(&mut first, ALL_MAX).await, Some(number));
    }
    first.close().await.expect("the agent serves");
    let mut second = member(&client, "logbook");
    assert_eq!(next(&mut second, ALL_MAX).await, Some(RECORDS / 2));
    second.close().await.expect("the agent serves");

    // What was committed is deleted: reading fails until it is told where to go on.
    let start = Offset(RECORDS as i64 - 10);
    client.admin().delete_records("logbook", place, start).await.expect("the agent serves");
    let builder = client.consumer().group("crew").start(None);
    let mut third = builder.build().expect("sound settings");
    third.subscribe(&["logbook"]);
    let failed = tokio::time::timeout(ALL_MAX, third.next_record()).await.expect("an answer");
    assert!(matches!(failed, Err(Error::OffsetOutOfRange(_))), "{failed:?}");
    third.seek("logbook", place, Start::Earliest).await.expect("it is assigned");
    assert_eq!(next(&mut third, ALL_MAX).await, Some(RECORDS - 10));
    third.close().await.expect("the agent serves");

    let mut others = client.consumer().group("others").start(None).build().expect("sound settings");
    others.subscribe(&["logbook"]);
    let failed = tokio::time::timeout(ALL_MAX, others.next_record()).await.expect("an answer");
    assert!(matches!(failed, Err(Error::NoOffset(_))), "{failed:?}");
    others.close().await.expect("it has nothing to commit");
    client.close().await;
}
