//! Consumers of a group against a cluster in memory, under paused time: sharing, handing over, committing, fencing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ebb_protocol::messages::ConsumerGroupHeartbeatRequest;
use ebbtide::{Assignor, Client, Error, ErrorCode, GroupConsumer, Offset, PartitionIndex, Rebalance, Start};
use futures::StreamExt;
use parking_lot::Mutex;

use crate::{
    consumer::fill,
    fake::{Fake, TOPIC},
    fake_group::INTERVAL_MS,
};

pub(crate) const RTT: Duration = Duration::from_millis(10);

/// A member that has subscribed.
pub(crate) fn member(client: &Client) -> GroupConsumer {
    let mut consumer = client.consumer().group("readers").build().expect("sound settings");
    consumer.subscribe(&[TOPIC]);
    consumer
}

/// Reads `count` records and answers where they were.
pub(crate) async fn take(consumer: &mut GroupConsumer, count: usize) -> Vec<(i32, i64)> {
    let mut places = Vec::new();
    for _ in 0..count {
        let record = consumer.next_record().await.expect("a record");
        places.push((record.partition.0, record.offset.0));
    }
    places
}

/// Reads until nothing comes for a while.
pub(crate) async fn drain(consumer: &mut GroupConsumer) -> Vec<(i32, i64)> {
    let mut places = Vec::new();
    while let Ok(record) = tokio::time::timeout(Duration::from_secs(10), consumer.next_record()).await {
        let record = record.expect("a record");
        places.push((record.partition.0, record.offset.0));
    }
    places
}

#[tokio::test(start_paused = true)]
async fn a_lone_member_reads_everything_and_the_next_goes_on_there() {
    let fake = Fake::new(4, RTT);
    fill(&fake, 5, 10, 20);
    let client = fake.client().await;
    let mut consumer = member(&client);
    let seen = take(&mut consumer, 200).await;
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 200);
    assert_eq!(consumer.assignment().len(), 4);
    consumer.close().await.expect("the cluster answers");
    {
        let state = fake.state.lock();
        assert!(state.group.members.is_empty(), "it has left");
        assert_eq!(state.group.committed, (0..4).map(|index| (index, 50)).collect::<BTreeMap<_, _>>());
    }
    fill(&fake, 1, 1, 20);
    let mut next = member(&client);
    let places: BTreeSet<_> = take(&mut next, 4).await.into_iter().collect();
    assert_eq!(places, (0..4).map(|index| (index, 50)).collect());
    assert_eq!(drain(&mut next).await, []);
}

#[tokio::test(start_paused = true)]
async fn records_and_batches_come_as_streams_too() {
    fn sendable<T: Send>(stream: T) -> T {
        stream
    }
    let fake = Fake::new(1, RTT);
    fill(&fake, 3, 10, 20);
    let client = fake.client().await;
    let mut consumer = member(&client);
    let records: Vec<_> = sendable(consumer.records())
        .take(15)
        .map(|record| record.expect("a record").offset.0)
        .collect()
        .await;
    assert_eq!(records, (0..15).collect::<Vec<_>>());
    consumer.commit().await.expect("the cluster answers");
    let mut batches = std::pin::pin!(sendable(consumer.batches()));
    let batch = batches.next().await.expect("it does not end").expect("a batch");
    assert_eq!((batch.batch().base_offset().0, batch.next_offset().0), (10, 20), "the rest of it");
    assert_eq!(fake.state.lock().group.committed.get(&0), Some(&15));
}

#[tokio::test(start_paused = true)]
async fn partitions_are_handed_over_without_repetition() {
    let fake = Fake::new(6, RTT);
    fill(&fake, 10, 10, 20);
    let client = fake.client().await;
    let changes = Arc::new(Mutex::new(Vec::new()));
    let told = changes.clone();
    let builder = client.consumer().group("readers");
    let mut first =
        builder.on_rebalance(move |change| told.lock().push(change.clone())).build().expect("sound");
    first.subscribe(&[TOPIC]);
    let mut seen = take(&mut first, 150).await;
    let mut second = member(&client);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (one, two) = tokio::join!(drain(&mut first), drain(&mut second));
    assert_eq!(second.assignment().len(), 3);
    assert_eq!(first.assignment().len(), 3);
    seen.extend(one);
    assert!(!two.is_empty(), "the second has its share");
    seen.extend(two);
    assert_eq!(seen.len(), 600, "nothing comes twice");
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 600);
    let changes = changes.lock();
    assert!(matches!(&changes[0], Rebalance::Assigned(all) if all.len() == 6), "{changes:?}");
    assert!(matches!(&changes[1], Rebalance::Revoked(given) if given.len() == 3), "{changes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_partition_in_use_is_kept_until_its_user_asks_for_more() {
    let fake = Fake::new(2, RTT);
    fill(&fake, 1, 10, 20);
    let client = fake.client().await;
    let mut first = member(&client);
    // The next member gets partition 0.
    let mut seen = take(&mut first, 1).await;
    while seen.last().is_none_or(|(partition, _)| *partition != 0) {
        seen.extend(take(&mut first, 1).await);
    }
    let mut second = member(&client);
    assert!(tokio::time::timeout(Duration::from_secs(20), second.next_record()).await.is_err(), "it waits");
    assert_eq!(second.assignment(), []);
    assert_eq!(first.assignment(), [(TOPIC.to_owned(), PartitionIndex(1))]);
    let (one, two) = tokio::join!(drain(&mut first), drain(&mut second));
    assert!(one.iter().all(|(partition, _)| *partition == 1), "{one:?}");
    assert!(two.iter().all(|(partition, _)| *partition == 0), "{two:?}");
    seen.extend(one);
    seen.extend(two);
    seen.sort_unstable();
    assert_eq!(seen, (0..20).map(|i| (i / 10, i64::from(i % 10))).collect::<Vec<_>>(), "each comes once");
}

#[tokio::test(start_paused = true)]
async fn a_user_that_is_stuck_does_not_hold_the_group_up_for_long() {
    let fake = Fake::new(2, RTT);
    fill(&fake, 1, 10, 20);
    let client = fake.client().await;
    let builder = client.consumer().group("readers").rebalance_timeout(Duration::from_secs(8));
    let mut first = builder.build().expect("sound settings");
    first.subscribe(&[TOPIC]);
    while take(&mut first, 1).await[0].0 != 0 {}
    let before = tokio::time::Instant::now();
    let mut second = member(&client);
    let used = take(&mut second, 1).await;
    assert!(used[0].0 == 0 && before.elapsed() < Duration::from_secs(10), "{used:?} {:?}", before.elapsed());
    assert_eq!(used, [(0, 0)], "what was in use comes again");
}

#[tokio::test(start_paused = true)]
async fn only_what_its_user_is_done_with_is_committed() {
    let fake = Fake::new(1, RTT);
    fill(&fake, 1, 10, 20);
    let mut consumer = member(&fake.client().await);
    take(&mut consumer, 3).await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(fake.state.lock().group.committed.get(&0), Some(&2), "the third is in use");
    consumer.commit().await.expect("the cluster answers");
    assert_eq!(fake.state.lock().group.committed.get(&0), Some(&3));
    let commits = fake.state.lock().group.commits;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(fake.state.lock().group.commits, commits, "there is nothing new to commit");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_late_does_not_undo_a_younger_one() {
    let fake = Fake::new(1, RTT);
    fill(&fake, 1, 10, 20);
    let mut consumer = member(&fake.client().await);
    take(&mut consumer, 3).await;
    // The consumer's own commit of 2 is refused until it waits long before it tries again.
    fake.state.lock().group.refuse_commits.extend([ErrorCode::CoordinatorLoadInProgress; 6]);
    while !fake.state.lock().group.refuse_commits.is_empty() {
        tokio::time::sleep(RTT).await;
    }
    take(&mut consumer, 5).await;
    consumer.commit().await.expect("the cluster answers");
    let committed = || fake.state.lock().group.committed.get(&0).copied();
    assert_eq!(committed(), Some(8));
    // Longer than the wait between two attempts, shorter than the time to the consumer's next commit.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(committed(), Some(8), "the older commit has not come after it");
}

#[tokio::test(start_paused = true)]
async fn whoever_commits_himself_is_left_alone() {
    let fake = Fake::new(1, RTT);
    fill(&fake, 1, 10, 20);
    let client = fake.client().await;
    let builder = client.consumer().group("readers").auto_commit(None);
    let mut consumer = builder.build().expect("sound settings");
    consumer.subscribe(&[TOPIC]);
    take(&mut consumer, 5).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    consumer.close().await.expect("the cluster answers");
    assert_eq!(fake.state.lock().group.commits, 0);
    assert_eq!(take(&mut member(&client), 1).await, [(0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_fenced_member_joins_again_and_goes_on_where_it_had_committed() {
    for code in [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId] {
        let fake = Fake::new(1, RTT);
        fill(&fake, 1, 10, 20);
        let changes = Arc::new(Mutex::new(Vec::new()));
        let told = changes.clone();
        let client = fake.client().await;
        let builder = client.consumer().group("readers");
        let mut consumer =
            builder.on_rebalance(move |change| told.lock().push(change.clone())).build().expect("sound");
        consumer.subscribe(&[TOPIC]);
        take(&mut consumer, 4).await;
        consumer.commit().await.expect("the cluster answers");
        take(&mut consumer, 3).await;
        fake.state.lock().group.refuse.push_back(code);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(
            drain(&mut consumer).await,
            (4..10).map(|offset| (0, offset)).collect::<Vec<_>>(),
            "{code}"
        );
        let place = vec![(TOPIC.to_owned(), PartitionIndex(0))];
        let expect = [
            Rebalance::Assigned(place.clone()),
            Rebalance::Lost(place.clone()),
            Rebalance::Assigned(place.clone()),
        ];
        assert_eq!(*changes.lock(), expect);
    }
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_moves_is_looked_up_anew() {
    let fake = Fake::new(2, RTT);
    fill(&fake, 1, 10, 20);
    let mut consumer = member(&fake.client().await);
    take(&mut consumer, 5).await;
    let lookups = fake.state.lock().group.lookups;
    let codes = [ErrorCode::NotCoordinator, ErrorCode::CoordinatorLoadInProgress];
    fake.state.lock().group.refuse.extend(codes);
    fake.state.lock().group.refuse_commits.extend([ErrorCode::NotCoordinator, ErrorCode::StaleMemberEpoch]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    consumer.commit().await.expect("the group has a coordinator again");
    assert!(fake.state.lock().group.lookups > lookups);
    assert_eq!(take(&mut consumer, 15).await.len(), 15, "it has kept its partitions");
    // The whole cluster is away for a while.
    fake.state.lock().down = true;
    tokio::time::sleep(Duration::from_secs(5)).await;
    fake.state.lock().down = false;
    fill(&fake, 1, 1, 20);
    assert_eq!(take(&mut consumer, 2).await.len(), 2);
    consumer.close().await.expect("the cluster answers");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_hangs_does_not_outlive_its_interval() {
    let fake = Fake::new(2, RTT);
    fill(&fake, 1, 10, 20);
    let mut consumer = member(&fake.client().await);
    take(&mut consumer, 5).await;
    let interval = Duration::from_millis(INTERVAL_MS as u64);
    for hanging in [1, 3] {
        fake.state.lock().group.hang = hanging;
        while fake.state.lock().group.hang == hanging {
            tokio::time::sleep(RTT).await;
        }
        let before = tokio::time::Instant::now();
        consumer.commit().await.expect("the agent answers everything else");
        assert!(before.elapsed() < RTT * 4, "a commit does not wait behind it: {:?}", before.elapsed());
        let answered = fake.state.lock().group.heartbeats;
        while fake.state.lock().group.heartbeats == answered {
            tokio::time::sleep(RTT).await;
        }
        // A member that is not answered tries again soon.
        let most = (interval + Duration::from_millis(200)) * hanging as u32;
        assert!(before.elapsed() < most, "{:?} after {hanging}", before.elapsed());
        take(&mut consumer, 5).await;
    }
    assert_eq!(fake.state.lock().group.members.len(), 1, "it has stayed the same member");
}

#[tokio::test(start_paused = true)]
async fn seeking_moves_the_position_and_commits_nothing() {
    let fake = Fake::new(2, RTT);
    fill(&fake, 2, 10, 20);
    let client = fake.client().await;
    let mut consumer = member(&client);
    let unknown = consumer.seek(TOPIC, PartitionIndex(0), Start::Earliest).await;
    assert!(matches!(unknown, Err(Error::Usage(_))), "{unknown:?}");
    take(&mut consumer, 40).await;
    consumer.commit().await.expect("the cluster answers");
    let committed = || fake.state.lock().group.committed.clone();
    assert_eq!(committed(), BTreeMap::from([(0, 20), (1, 20)]));
    let commits = fake.state.lock().group.commits;

    let place = PartitionIndex(1);
    consumer.seek(TOPIC, place, Start::Offset(Offset(13))).await.expect("it is assigned");
    assert_eq!(consumer.position(TOPIC, place), Some(Offset(13)));
    assert_eq!(take(&mut consumer, 2).await, [(1, 13), (1, 14)]);
    assert_eq!(fake.state.lock().group.commits, commits, "nothing is committed by it");
    // The record in use is done with, and the next member begins where the seek leads.
    consumer.seek(TOPIC, place, Start::Earliest).await.expect("it is assigned");
    consumer.close().await.expect("the cluster answers");
    assert_eq!(committed(), BTreeMap::from([(0, 20), (1, 0)]));
    assert_eq!(take(&mut member(&client), 3).await, [(1, 0), (1, 1), (1, 2)]);
}

#[tokio::test(start_paused = true)]
async fn whoever_seeks_when_partitions_come_gets_nothing_from_before() {
    let fake = Fake::new(4, RTT);
    fill(&fake, 2, 10, 20);
    let client = fake.client().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let tell = move |change: &Rebalance| tell.send(change.clone()).expect("the test waits for it");
    let mut consumer = client.consumer().group("readers").on_rebalance(tell).build().expect("sound settings");
    consumer.subscribe(&[TOPIC]);
    let mut seen = Vec::new();
    while seen.len() < 4 * 5 {
        tokio::select! {
            biased;
            Some(change) = told.recv() => {
                let Rebalance::Assigned(partitions) = change else { panic!("{change:?}") };
                for (topic, partition) in partitions {
                    consumer.seek(&topic, partition, Start::Offset(Offset(15))).await.expect("it has come");
                }
            }
            record = consumer.next_record() => seen.push(record.expect("a record").offset.0),
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..20).map(|i| 15 + i / 4).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn seeking_is_refused_when_the_partition_is_lost_meanwhile() {
    // Looking the offset up takes longer than losing the partition.
    for code in [None, Some(ErrorCode::UnknownMemberId)] {
        let fake = Fake::new(1, RTT);
        fill(&fake, 2, 10, 20);
        let client = fake.client().await;
        let changes = Arc::new(Mutex::new(Vec::new()));
        let told = changes.clone();
        let builder = client.consumer().group("readers");
        let mut consumer =
            builder.on_rebalance(move |change| told.lock().push(change.clone())).build().expect("sound");
        consumer.subscribe(&[TOPIC]);
        take(&mut consumer, 4).await;
        consumer.commit().await.expect("the cluster answers");
        fake.state.lock().look_ups_take = Duration::from_secs(10);
        fake.state.lock().group.refuse.extend(code);
        let sought = consumer.seek(TOPIC, PartitionIndex(0), Start::Latest).await;
        let is_lost = changes.lock().iter().any(|change| matches!(change, Rebalance::Lost(_)));
        assert_eq!(is_lost, code.is_some());
        assert_eq!(matches!(sought, Err(Error::Usage(_))), is_lost, "{sought:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(consumer.assignment().len(), 1, "it has the partition, or has it again");
        let expect = if is_lost { Offset(4) } else { Offset(20) };
        assert_eq!(consumer.position(TOPIC, PartitionIndex(0)), Some(expect));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_dropped_leaves_and_commits_nothing() {
    for (instance, epoch) in [(None, -1), (Some("one"), -2)] {
        let fake = Fake::new(1, RTT);
        fill(&fake, 1, 10, 20);
        let client = fake.client().await;
        let builder = client.consumer().group("readers");
        let builder = match instance {
            Some(id) => builder.instance_id(id),
            None => builder,
        };
        let mut consumer = builder.build().expect("sound settings");
        consumer.subscribe(&[TOPIC]);
        take(&mut consumer, 4).await;
        drop(consumer);
        tokio::time::sleep(RTT * 3).await;
        let state = fake.state.lock();
        assert!(state.group.members.is_empty(), "its partitions are free");
        assert_eq!(state.group.last.as_ref().map(|last| last.member_epoch), Some(epoch));
        assert_eq!(state.group.commits, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_dropped_while_it_joins_leaves_too() {
    let fake = Fake::new(1, RTT * 10);
    let client = fake.client().await;
    let consumer = member(&client);
    // The first heartbeat is on its way: the coordinator will count a member that knows nothing of it.
    tokio::time::sleep(RTT * 25).await;
    assert_eq!(fake.state.lock().group.heartbeats, 0);
    drop(consumer);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let state = fake.state.lock();
    assert_eq!((state.group.heartbeats, state.group.members.len()), (2, 0));
}

#[test]
fn a_consumer_may_be_dropped_where_there_is_no_runtime() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    let fake = Fake::new(1, RTT);
    let consumer = runtime.block_on(async {
        let mut consumer = member(&fake.client().await);
        fill(&fake, 1, 1, 20);
        take(&mut consumer, 1).await;
        consumer
    });
    let heartbeats = fake.state.lock().group.heartbeats;
    drop(consumer);
    runtime.block_on(async { tokio::time::sleep(Duration::from_secs(5)).await });
    let state = fake.state.lock();
    assert_eq!(state.group.members.len(), 1, "its session will end");
    assert_eq!(state.group.heartbeats, heartbeats, "and it is heard of no more");
}

#[tokio::test(start_paused = true)]
async fn a_member_says_where_it_runs_and_how_to_share_when_it_joins() {
    let fake = Fake::new(1, RTT);
    fill(&fake, 1, 1, 20);
    let client = fake.client().await;
    let told = |request: &ConsumerGroupHeartbeatRequest| {
        let text = |text: &Option<_>| text.as_deref().map(str::to_owned);
        (text(&request.rack_id), text(&request.server_assignor))
    };
    let last = || fake.state.lock().group.last.clone().expect("a heartbeat");
    for (assignor, name) in [(Assignor::Uniform, "uniform"), (Assignor::Range, "range")] {
        let builder = client.consumer().group("readers").rack("eu-central-1a").assignor(assignor);
        let mut consumer = builder.build().expect("sound settings");
        consumer.subscribe(&[TOPIC]);
        tokio::time::sleep(RTT * 4).await;
        let first = fake.state.lock().group.joins.last().cloned().expect("it has joined");
        assert_eq!(told(&first), (Some("eu-central-1a".to_owned()), Some(name.to_owned())));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(told(&last()), (None, None), "what does not change is not said again");
        consumer.close().await.expect("the cluster answers");
    }
    let mut consumer = member(&client);
    take(&mut consumer, 1).await;
    let first = fake.state.lock().group.joins.last().cloned().expect("it has joined");
    assert_eq!(told(&first), (None, None), "it is left to the coordinator");
    let empty = [
        client.consumer().group("readers").rack("").build(),
        client.consumer().group("readers").instance_id("").build(),
    ];
    assert!(empty.iter().all(|wrong| matches!(wrong, Err(Error::Usage(_)))), "{empty:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_mended_is_told() {
    let fake = Fake::new(1, RTT);
    let client = fake.client().await;
    let wrong = client.consumer().group("").build();
    assert!(matches!(wrong, Err(Error::Usage(_))));
    let mut consumer = client.consumer().group("readers").build().expect("sound settings");
    assert!(matches!(consumer.next_record().await, Err(Error::Usage(_))), "nothing is subscribed to");
    fake.state.lock().group.refuse.push_back(ErrorCode::InvalidRegularExpression);
    consumer.subscribe_pattern("(");
    for _ in 0..2 {
        let error = consumer.next_batch().await.expect_err("the expression is malformed");
        assert_eq!(error.code(), Some(ErrorCode::InvalidRegularExpression), "{error}");
    }
    consumer.close().await.expect("there is nothing to leave");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_told_once_and_can_change() {
    let fake = Fake::new(1, RTT);
    fill(&fake, 1, 1, 20);
    let client = fake.client().await;
    let builder = client.consumer().group("readers").instance_id("one").start(Start::Latest);
    let mut consumer = builder.build().expect("sound settings");
    consumer.subscribe_pattern("fl.*");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let last = || fake.state.lock().group.last.clone().expect("a heartbeat");
    assert_eq!(last().subscribed_topic_names, None);
    assert_eq!(last().subscribed_topic_regex, None);
    assert_eq!(last().instance_id.as_deref(), Some("one"));
    assert_eq!(drain(&mut consumer).await, [], "it begins at the end");
    let before = fake.state.lock().group.heartbeats;
    consumer.subscribe(&[TOPIC]);
    tokio::time::sleep(RTT * 2).await;
    assert_eq!(fake.state.lock().group.heartbeats, before + 1, "it is told at once");
    assert_eq!(last().subscribed_topic_names.map(|names| names.len()), Some(1));
    assert_eq!(last().subscribed_topic_regex.as_deref(), Some(""));
    consumer.close().await.expect("the cluster answers");
    assert_eq!(last().member_epoch, -2, "a static member may come back");
}
