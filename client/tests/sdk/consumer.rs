//! The consumer against a cluster in memory, under paused time: positions, limits, pauses and failures.

use std::{collections::BTreeMap, time::Duration};

use crate::fake::{Fake, TOPIC};
use ebb_protocol::{
    batch::{BatchBuilder, Compression},
    ids::Timestamp,
};
use ebbtide::{Consumer, ConsumerRecord, Error, ErrorCode, Offset, OutOfRange, PartitionIndex, Start};

const RTT: Duration = Duration::from_millis(10);
const P0: PartitionIndex = PartitionIndex(0);
const P1: PartitionIndex = PartitionIndex(1);

/// Writes `batches` batches of `records` numbered records of `bytes` bytes to every partition.
pub(crate) fn fill(fake: &Fake, batches: usize, records: usize, bytes: usize) {
    let mut state = fake.state.lock();
    for log in &mut state.logs {
        for batch in 0..batches {
            let mut builder = BatchBuilder::default();
            for record in 0..records {
                let number = batch * records + record;
                let value = format!("{number:<bytes$}");
                builder.append(Timestamp(number as i64), None, Some(value.as_bytes()), &[]).expect("it fits");
            }
            let batch = builder.finish(Compression::Lz4, None).expect("records");
            log.append(&batch, 0).expect("no sequences");
        }
    }
}

async fn take(consumer: &mut Consumer, count: usize) -> Vec<ConsumerRecord> {
    let mut records = Vec::new();
    for _ in 0..count {
        records.push(consumer.next_record().await.expect("a record"));
    }
    records
}

fn offsets(records: &[ConsumerRecord]) -> Vec<i64> {
    records.iter().map(|record| record.offset.0).collect()
}

#[tokio::test(start_paused = true)]
async fn every_record_comes_once_and_in_order() {
    let fake = Fake::new(6, RTT);
    fill(&fake, 20, 10, 50);
    let mut consumer =
        fake.client().await.consumer().fetch_bytes_max(4000, 2000).build().expect("sound settings");
    let partitions = consumer.assign_topic(TOPIC, Start::Earliest).await.expect("the topic is there");
    assert_eq!(partitions.len(), 6);
    let mut seen: BTreeMap<PartitionIndex, Vec<i64>> = BTreeMap::new();
    for record in take(&mut consumer, 6 * 200).await {
        let text = String::from_utf8(record.value.expect("a value").to_vec()).expect("utf-8");
        assert_eq!(text.trim_end(), record.offset.to_string());
        seen.entry(record.partition).or_default().push(record.offset.0);
    }
    for partition in partitions {
        assert_eq!(seen.get(&partition), Some(&(0..200).collect()));
        assert_eq!(consumer.position(TOPIC, partition), Some(Offset(200)));
        assert_eq!(consumer.high_watermark(TOPIC, partition), Some(Offset(200)));
    }
    let more = tokio::time::timeout(Duration::from_secs(5), consumer.next_record()).await;
    assert!(more.is_err(), "{more:?}");
    fill(&fake, 1, 1, 5);
    let (before, next) = (tokio::time::Instant::now(), take(&mut consumer, 1).await);
    assert_eq!(offsets(&next), [200]);
    assert!(before.elapsed() <= RTT * 3, "the fetch waits at the cluster");
}

#[tokio::test(start_paused = true)]
async fn reading_starts_where_it_is_told() {
    let fake = Fake::new(1, RTT);
    fill(&fake, 10, 10, 10);
    let client = fake.client().await;
    let mut consumer = client.consumer().build().expect("sound settings");
    for (start, first) in [
        (Start::Earliest, 0),
        (Start::Offset(Offset(57)), 57),
        (Start::Timestamp(Timestamp(35)), 30),
        (Start::Earliest, 0),
    ] {
        consumer.assign(TOPIC, P0, start).await.expect("the topic is there");
        assert_eq!(consumer.position(TOPIC, P0), Some(Offset(first)), "{start:?}");
        assert_eq!(
            offsets(&take(&mut consumer, 13).await),
            (first..first + 13).collect::<Vec<_>>(),
            "{start:?}"
        );
        assert_eq!(consumer.position(TOPIC, P0), Some(Offset(first + 13)), "{start:?}");
    }
    for end in [Start::Latest, Start::Timestamp(Timestamp(1_000_000))] {
        consumer.seek(TOPIC, P0, end).await.expect("it is assigned");
        assert_eq!(consumer.position(TOPIC, P0), Some(Offset(100)), "{end:?}");
    }
    assert!(consumer.seek(TOPIC, P1, Start::Latest).await.is_err(), "it is not assigned");
    assert!(matches!(consumer.assign(TOPIC, P1, Start::Latest).await, Err(Error::Usage(_))));
    let unknown = consumer.assign("nothing", P0, Start::Latest).await.expect_err("no such topic");
    assert_eq!(unknown.code(), Some(ErrorCode::UnknownTopicOrPartition));
}

#[tokio::test(start_paused = true)]
async fn reading_ahead_stops_at_the_limit() {
    let fake = Fake::new(2, RTT);
    fill(&fake, 400, 1, 2000);
    let client = fake.client().await;
    let limits = client.consumer().prefetch_bytes_max(20_000).fetch_bytes_max(4000, 2000);
    let mut consumer = limits.build().expect("sound settings");
    consumer.assign_topic(TOPIC, Start::Earliest).await.expect("the topic is there");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let fetched = fake.state.lock().fetch_requests;
    assert!(fetched > 2);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(fake.state.lock().fetch_requests, fetched, "nothing is fetched while nobody reads");
    take(&mut consumer, 800).await;
    assert!(fake.state.lock().fetch_requests > fetched);
}

#[tokio::test(start_paused = true)]
async fn all_partitions_have_their_turn() {
    const PARTITIONS: usize = 40;
    let fake = Fake::new(PARTITIONS, RTT);
    fill(&fake, 40, 1, 1000);
    let client = fake.client().await;
    // An answer holds what two partitions may give.
    let mut consumer = client.consumer().fetch_bytes_max(2000, 1000).build().expect("sound settings");
    consumer.assign_topic(TOPIC, Start::Earliest).await.expect("the topic is there");
    let mut seen: BTreeMap<PartitionIndex, usize> = BTreeMap::new();
    for record in take(&mut consumer, PARTITIONS * 10).await {
        *seen.entry(record.partition).or_default() += 1;
    }
    let (least, most) = (seen.values().min(), seen.values().max());
    assert_eq!(seen.len(), PARTITIONS);
    assert!(least >= Some(&5) && most <= Some(&20), "{least:?} to {most:?} of each");
}

#[tokio::test(start_paused = true)]
async fn partitions_that_come_one_by_one_do_not_end_each_fetch() {
    const PARTITIONS: usize = 400;
    let fake = Fake::new(PARTITIONS, RTT);
    let client = fake.client().await;
    let mut consumer =
        client.consumer().fetch_wait(1, Duration::from_secs(5)).build().expect("sound settings");
    for partition in 0..PARTITIONS as i32 {
        let start = Start::Offset(Offset(0));
        consumer.assign(TOPIC, PartitionIndex(partition), start).await.expect("the topic is there");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Four lanes, for 400 ms, each fetch 50 ms at least.
    assert!(fake.state.lock().fetches_begun < 60, "{} fetches", fake.state.lock().fetches_begun);
    let assigned = tokio::time::Instant::now();
    fill(&fake, 1, 1, 10);
    take(&mut consumer, PARTITIONS).await;
    assert!(assigned.elapsed() < Duration::from_secs(1), "none waits until another fetch is over");
}

#[tokio::test(start_paused = true)]
async fn a_paused_partition_is_held_back() {
    let fake = Fake::new(2, RTT);
    fill(&fake, 10, 10, 10);
    let mut consumer = fake.client().await.consumer().build().expect("sound settings");
    consumer.assign_topic(TOPIC, Start::Earliest).await.expect("the topic is there");
    tokio::time::sleep(RTT * 5).await;
    consumer.pause(TOPIC, P0);
    let others = take(&mut consumer, 100).await;
    assert!(others.iter().all(|record| record.partition == P1));
    assert!(tokio::time::timeout(RTT * 100, consumer.next_record()).await.is_err());
    assert_eq!(consumer.position(TOPIC, P0), Some(Offset(0)));
    consumer.resume(TOPIC, P0);
    assert_eq!(offsets(&take(&mut consumer, 100).await), (0..100).collect::<Vec<_>>());
    consumer.unassign(TOPIC, P0);
    assert_eq!(consumer.position(TOPIC, P0), None);
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_held_back_in_the_middle_of_a_batch_too() {
    let fake = Fake::new(2, RTT);
    fill(&fake, 1, 10, 10);
    let mut consumer = fake.client().await.consumer().build().expect("sound settings");
    consumer.assign_topic(TOPIC, Start::Earliest).await.expect("the topic is there");
    let begun = take(&mut consumer, 4).await[0].partition;
    consumer.pause(TOPIC, begun);
    let others = take(&mut consumer, 10).await;
    assert!(others.iter().all(|record| record.partition != begun), "{others:?}");
    assert!(tokio::time::timeout(RTT * 100, consumer.next_record()).await.is_err());
    assert_eq!(consumer.position(TOPIC, begun), Some(Offset(4)));
    consumer.resume(TOPIC, begun);
    assert_eq!(offsets(&take(&mut consumer, 6).await), (4..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_batch_comes_as_a_batch() {
    let fake = Fake::new(1, RTT);
    fill(&fake, 2, 10, 10);
    let mut consumer = fake.client().await.consumer().build().expect("sound settings");
    consumer.assign(TOPIC, P0, Start::Earliest).await.expect("the topic is there");
    take(&mut consumer, 4).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let batch = consumer.next_batch().await.expect("a batch");
        let records: Result<Vec<_>, _> = batch.records().expect("it is sound").collect();
        seen.extend(offsets(&records.expect("they are sound")));
    }
    assert_eq!(seen, (4..20).collect::<Vec<_>>());
    consumer.seek(TOPIC, P0, Start::Offset(Offset(9))).await.expect("it is assigned");
    take(&mut consumer, 1).await;
    let batch = consumer.next_batch().await.expect("a batch");
    assert_eq!(batch.batch().base_offset(), Offset(10), "a batch that is used up does not come again");
}

#[tokio::test(start_paused = true)]
async fn the_policy_decides_when_the_position_is_gone() {
    let fake = Fake::new(1, RTT);
    fill(&fake, 10, 10, 10);
    fake.state.lock().log_start = 40;
    let client = fake.client().await;
    let mut consumer = client.consumer().build().expect("sound settings");
    consumer.assign(TOPIC, P0, Start::Offset(Offset(5))).await.expect("the topic is there");
    assert!(matches!(consumer.next_record().await, Err(Error::OffsetOutOfRange(_))));
    consumer.seek(TOPIC, P0, Start::Offset(Offset(55))).await.expect("it is assigned");
    assert_eq!(offsets(&take(&mut consumer, 1).await), [55]);

    let earliest = client.consumer().out_of_range(OutOfRange::Earliest);
    let mut consumer = earliest.build().expect("sound settings");
    consumer.assign(TOPIC, P0, Start::Offset(Offset(5))).await.expect("the topic is there");
    assert_eq!(offsets(&take(&mut consumer, 1).await), [40]);

    let latest = client.consumer().out_of_range(OutOfRange::Latest);
    let mut consumer = latest.build().expect("sound settings");
    consumer.assign(TOPIC, P0, Start::Offset(Offset(500))).await.expect("the topic is there");
    tokio::time::sleep(RTT * 10).await;
    fill(&fake, 1, 1, 10);
    assert_eq!(offsets(&take(&mut consumer, 1).await), [100]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_gone_is_told_and_read_again_once_it_is_back() {
    let fake = Fake::new(1, RTT);
    fill(&fake, 1, 10, 10);
    let mut consumer = fake.client().await.consumer().build().expect("sound settings");
    consumer.assign(TOPIC, P0, Start::Earliest).await.expect("the topic is there");
    take(&mut consumer, 10).await;
    fake.state.lock().delete();
    let error = consumer.next_record().await.expect_err("the topic is gone");
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    fake.state.lock().is_gone = false;
    fill(&fake, 1, 15, 10);
    let seen = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            // What was told before the topic was back may come still.
            if let Ok(record) = consumer.next_record().await {
                return record.offset;
            }
        }
    });
    assert_eq!(seen.await, Ok(Offset(10)), "a position is kept");
}

#[tokio::test(start_paused = true)]
async fn reading_goes_on_after_the_cluster_was_away() {
    let fake = Fake::new(2, RTT);
    fill(&fake, 10, 10, 10);
    let mut consumer = fake.client().await.consumer().build().expect("sound settings");
    consumer.assign_topic(TOPIC, Start::Earliest).await.expect("the topic is there");
    take(&mut consumer, 200).await;
    fake.state.lock().down = true;
    assert!(tokio::time::timeout(Duration::from_secs(30), consumer.next_record()).await.is_err());
    fake.state.lock().down = false;
    fill(&fake, 1, 10, 10);
    let after = take(&mut consumer, 20).await;
    assert!(after.iter().all(|record| (100..110).contains(&record.offset.0)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_when_nothing_is_assigned() {
    let fake = Fake::new(1, RTT);
    let consumer = fake.client().await.consumer().build().expect("sound settings");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(fake.state.lock().fetch_requests, 0);
    drop(consumer);
}
