//! Consumers of a group against a cluster in memory, under paused time: what becomes of topics, groups, names and
//! offsets that are not there, or are somebody else's.

use std::{collections::BTreeMap, time::Duration};

use ebbtide::{Client, Error, ErrorCode, GroupConsumer, Offset, OutOfRange, PartitionIndex, Start};

use crate::{
    consumer::fill,
    fake::{Fake, TOPIC},
    group::{RTT, drain, member, take},
};

/// Longer than the members of the fake cluster are silent.
const SOON: Duration = Duration::from_secs(3);

fn subscribed(client: &Client, start: Option<Start>, policy: OutOfRange) -> GroupConsumer {
    let builder = client.consumer().out_of_range(policy).group("readers").start(start);
    let mut consumer = builder.build().expect("sound settings");
    consumer.subscribe(&[TOPIC]);
    consumer
}

#[tokio::test(start_paused = true)]
async fn a_second_consumer_of_an_instance_is_refused_until_the_first_is_closed() {
    let fake = Fake::new(1, RTT);
    fill(&fake, 1, 10, 20);
    let client = fake.client().await;
    let named = || {
        let mut consumer = client.consumer().group("readers").instance_id("one").build().expect("sound");
        consumer.subscribe(&[TOPIC]);
        consumer
    };
    let mut first = named();
    assert_eq!(take(&mut first, 4).await.len(), 4);
    let mut second = named();
    for _ in 0..2 {
        let error = second.next_record().await.expect_err("the first has the name");
        assert_eq!(error.code(), Some(ErrorCode::UnreleasedInstanceId));
        assert!(!error.is_retriable() && error.to_string().contains("instance id \"one\""), "{error}");
    }
    second.close().await.expect("there is nothing to commit");
    assert_eq!(take(&mut first, 2).await, [(0, 4), (0, 5)], "the first has not noticed");
    first.close().await.expect("the cluster answers");
    assert_eq!(take(&mut named(), 1).await, [(0, 6)]);
}

#[tokio::test(start_paused = true)]
async fn members_of_a_group_that_is_not_there_join_it_anew() {
    let fake = Fake::new(1, RTT);
    fill(&fake, 1, 10, 20);
    let mut consumer = member(&fake.client().await);
    take(&mut consumer, 4).await;
    consumer.commit().await.expect("the cluster answers");
    take(&mut consumer, 2).await;
    fake.state.lock().group.refuse_commits.push_back(ErrorCode::GroupIdNotFound);
    let error = consumer.commit().await.expect_err("the group is gone");
    assert!(matches!(error, Error::NotFound { code: ErrorCode::GroupIdNotFound, .. }), "{error}");
    let joins = fake.state.lock().group.joins.len();
    fake.state.lock().group.refuse.push_back(ErrorCode::GroupIdNotFound);
    tokio::time::sleep(SOON).await;
    assert_eq!(fake.state.lock().group.joins.len(), joins + 1);
    let rest: Vec<_> = (4..10).map(|offset| (0, offset)).collect();
    assert_eq!(drain(&mut consumer).await, rest, "it goes on where it had committed");
    consumer.close().await.expect("the cluster answers");
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_deleted_is_given_up_and_read_from_its_start_when_it_is_back() {
    let fake = Fake::new(2, RTT);
    fill(&fake, 1, 10, 20);
    let mut consumer = member(&fake.client().await);
    take(&mut consumer, 20).await;
    fake.state.lock().delete();
    assert_eq!(drain(&mut consumer).await, [], "nothing comes, and nothing fails");
    assert_eq!(consumer.assignment(), []);
    fake.state.lock().is_gone = false;
    fill(&fake, 1, 5, 20);
    let mut again = drain(&mut consumer).await;
    again.sort_unstable();
    assert_eq!(again, (0..10).map(|i| (i / 5, i64::from(i % 5))).collect::<Vec<_>>());
    consumer.close().await.expect("the cluster answers");
    assert_eq!(fake.state.lock().group.committed, BTreeMap::from([(0, 5), (1, 5)]));
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_another_at_once_is_read_from_its_start() {
    for auto_commit in [None, Some(Duration::from_millis(700))] {
        let fake = Fake::new(2, RTT);
        fill(&fake, 1, 10, 20);
        let builder = fake.client().await.consumer().group("readers").auto_commit(auto_commit);
        let mut consumer = builder.build().expect("sound settings");
        consumer.subscribe(&[TOPIC]);
        take(&mut consumer, 20).await;
        // Before any heartbeat there is another topic of that name, and it is longer.
        fake.state.lock().delete();
        fake.state.lock().is_gone = false;
        fill(&fake, 1, 15, 20);
        let mut again = drain(&mut consumer).await;
        again.sort_unstable();
        assert_eq!(again, (0..30).map(|i| (i / 15, i64::from(i % 15))).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_comes_later_is_read_when_an_expression_matches() {
    let fake = Fake::new(2, RTT);
    fake.state.lock().is_gone = true;
    let client = fake.client().await;
    let mut consumer = client.consumer().group("readers").build().expect("sound settings");
    consumer.subscribe_pattern("fl.*");
    assert_eq!(drain(&mut consumer).await, []);
    let joined = fake.state.lock().group.joins.last().cloned().expect("it has joined");
    assert_eq!(joined.subscribed_topic_regex.as_deref(), Some("fl.*"));
    fake.state.lock().is_gone = false;
    fill(&fake, 1, 10, 20);
    assert_eq!(take(&mut consumer, 20).await.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn reading_begins_as_told_where_nothing_is_committed() {
    let fake = Fake::new(1, RTT);
    fill(&fake, 1, 10, 20);
    let client = fake.client().await;
    let begin = |start| subscribed(&client, start, OutOfRange::Fail);
    assert_eq!(take(&mut begin(Some(Start::Earliest)), 1).await, [(0, 0)]);
    tokio::time::sleep(SOON).await;
    assert_eq!(take(&mut begin(Some(Start::Offset(Offset(7)))), 1).await, [(0, 7)]);
    tokio::time::sleep(SOON).await;
    let mut late = begin(Some(Start::Latest));
    assert_eq!(drain(&mut late).await, []);
    fill(&fake, 1, 1, 20);
    assert_eq!(take(&mut late, 1).await, [(0, 10)]);
    drop(late);
    tokio::time::sleep(SOON).await;
    fake.state.lock().group.committed.clear();
    let mut strict = begin(None);
    for _ in 0..2 {
        let error = strict.next_record().await.expect_err("nothing is committed");
        assert!(
            matches!(&error, Error::NoOffset(text) if text.contains("\"flights\" partition 0")),
            "{error}"
        );
    }
    strict.close().await.expect("it has nothing to commit");
    fake.state.lock().group.committed.insert(0, 3);
    assert_eq!(take(&mut begin(None), 1).await, [(0, 3)], "what is committed counts");
}

#[tokio::test(start_paused = true)]
async fn the_policy_decides_when_what_is_committed_is_no_longer_in_the_log() {
    let fake = Fake::new(1, RTT);
    fill(&fake, 10, 10, 20);
    fake.state.lock().log_start = 40;
    fake.state.lock().group.committed.insert(0, 5);
    let client = fake.client().await;
    let begin = |policy| subscribed(&client, Some(Start::Latest), policy);

    let mut earliest = begin(OutOfRange::Earliest);
    assert_eq!(take(&mut earliest, 1).await, [(0, 40)]);
    drop(earliest);
    tokio::time::sleep(SOON).await;

    let mut latest = begin(OutOfRange::Latest);
    assert_eq!(drain(&mut latest).await, []);
    assert_eq!(latest.position(TOPIC, PartitionIndex(0)), Some(Offset(100)));
    drop(latest);
    tokio::time::sleep(SOON).await;

    let mut strict = begin(OutOfRange::Fail);
    assert!(matches!(strict.next_record().await, Err(Error::OffsetOutOfRange(_))));
    assert_eq!(fake.state.lock().group.committed.get(&0), Some(&5), "nobody has passed what was lost over");
    strict.seek(TOPIC, PartitionIndex(0), Start::Earliest).await.expect("it is assigned");
    assert_eq!(take(&mut strict, 2).await, [(0, 40), (0, 41)]);
    strict.close().await.expect("the cluster answers");
    assert_eq!(fake.state.lock().group.committed.get(&0), Some(&42));
}
