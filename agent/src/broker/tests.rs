//! Fetches and look-ups through whole brokers on a paused clock, one or two agents on one bucket.

use std::time::Duration;

use ebb_metastore::command::Command;
use ebb_protocol::{
    batch::RecordBatch,
    ids::{LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId, TopicName},
};
use ebb_segment::store::StoreError;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{
    Broker, BrokerConfig, FetchError, FoundOffset, OffsetQuery, Read, ReadBatches,
    testing::{Cluster, GET_DELAY, PARTITION, TOPIC, append, batch, submit},
};

const MS: Duration = Duration::from_millis(1);

fn read(partition: i32, from: i64, bytes_max: u64) -> Read {
    Read { topic: TOPIC, partition: PartitionIndex(partition), from: Offset(from), bytes_max }
}

/// Fetches what is there now from partition 0.
async fn fetch(broker: &Broker, from: i64) -> Result<ReadBatches, FetchError> {
    let mut answers = broker.fetch(&[read(0, from, 1 << 20)], 1, 1 << 20, Duration::ZERO).await;
    assert_eq!(answers.len(), 1);
    answers.pop().expect("one answer")
}

/// First and last offset of the batches in an answer, each of which must be sound.
fn offsets(answer: &Result<ReadBatches, FetchError>) -> Vec<(i64, i64)> {
    let answer = answer.as_ref().expect("a readable partition");
    RecordBatch::batches(answer.records.clone())
        .map(|batch| batch.expect("a sound batch"))
        .map(|batch| (batch.base_offset().0, batch.last_offset().0))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn an_agent_reads_its_own_writes() {
    let cluster = Cluster::with_segments();
    let broker = cluster.agent_with_topic().await;
    let sent = [batch(&[1, 2], 700), batch(&[3], 10), batch(&[4, 5, 6], 900)];
    assert_eq!(append(&broker, 0, &sent).await, [0, 2, 3]);
    append(&broker, 1, &[batch(&[7], 10)]).await;
    let answer = fetch(&broker, 0).await;
    assert_eq!(offsets(&answer), [(0, 1), (2, 2), (3, 5)]);
    let answer = answer.expect("readable");
    assert_eq!(answer.head.high_watermark, Offset(6));
    for (got, sent) in RecordBatch::batches(answer.records).zip(&sent) {
        let got = got.expect("a sound batch");
        assert_eq!(got.leader_epoch(), answer.head.epoch);
        assert_eq!(got.records(), sent.records());
    }
    assert_eq!(cluster.bucket.gets(), 0, "own writes are in the cache");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_may_begin_anywhere_in_a_run() {
    let broker = Cluster::with_segments().agent_with_topic().await;
    append(&broker, 0, &[batch(&[1, 2, 3], 10), batch(&[4, 5, 6], 10)]).await;
    append(&broker, 0, &[batch(&[7], 10)]).await;
    for (from, expect) in [
        (0, &[(0, 2), (3, 5), (6, 6)][..]),
        (2, &[(0, 2), (3, 5), (6, 6)]),
        (3, &[(3, 5), (6, 6)]),
        (5, &[(3, 5), (6, 6)]),
        (6, &[(6, 6)]),
        (7, &[]),
    ] {
        assert_eq!(offsets(&fetch(&broker, from).await), expect, "from {from}");
    }
}

#[tokio::test(start_paused = true)]
async fn limits_end_an_answer_after_a_whole_batch() {
    let broker = Cluster::with_segments().agent_with_topic().await;
    let one = batch(&[1], 500);
    let len = one.bytes().len() as u64;
    for _ in 0..2 {
        append(&broker, 0, &[one.clone(), one.clone()]).await;
    }
    append(&broker, 1, &[one.clone(), one]).await;
    // (limit of each partition, limit of all) -> batches from partitions 1 (empty), 0 and 1.
    let check = async |partition_max: u64, bytes_max: u64, expect: [usize; 3]| {
        let reads = [(2, 0), (0, 0), (1, 0)].map(|(partition, from)| read(partition, from, partition_max));
        let answers = broker.fetch(&reads, 1, bytes_max, Duration::ZERO).await;
        let counts: Vec<_> = answers.iter().map(|answer| offsets(answer).len()).collect();
        assert_eq!(counts, expect, "limits of {partition_max} and {bytes_max} bytes, batches of {len}");
    };
    check(1 << 20, 1 << 20, [0, 4, 2]).await;
    check(len, 1 << 20, [0, 1, 1]).await;
    check(len * 3 - 1, 1 << 20, [0, 2, 2]).await;
    check(1 << 20, len * 5, [0, 4, 1]).await;
    check(1 << 20, len * 2 + 1, [0, 2, 0]).await;
    check(1 << 20, 1, [0, 1, 0]).await;
    check(0, 0, [0, 1, 0]).await;
}

#[tokio::test(start_paused = true)]
async fn batches_from_files_that_compress_well_keep_the_limit_of_an_answer() {
    let cluster = Cluster::with_segments();
    let broker = cluster.agent_with_topic().await;
    let large = batch(&[1; 20], 20_000);
    for partition in 0..3 {
        append(&broker, partition, std::slice::from_ref(&large)).await;
        cluster.archive_partition(&broker, PartitionIndex(partition), &large).await;
    }
    let check = async |bytes_max: u64, expect: [usize; 3]| {
        let reads = [0, 1, 2].map(|partition| read(partition, 0, 1 << 20));
        let answers = broker.fetch(&reads, 1, bytes_max, Duration::ZERO).await;
        let counts: Vec<_> = answers.iter().map(|answer| offsets(answer).len()).collect();
        assert_eq!(counts, expect, "{bytes_max} bytes, batches of about 400,000");
    };
    check(500_000, [1, 0, 0]).await;
    check(900_000, [1, 1, 0]).await;
    check(2_000_000, [1, 1, 1]).await;
    // One batch comes whatever the limit.
    check(1_000, [1, 0, 0]).await;
}

#[tokio::test(start_paused = true)]
async fn partitions_with_much_share_an_answer() {
    let broker = Cluster::with_segments().agent_with_topic().await;
    let one = batch(&[1], 20_000);
    let len = one.bytes().len() as u64;
    for partition in [0, 1] {
        append(&broker, partition, &vec![one.clone(); 40]).await;
    }
    append(&broker, 2, std::slice::from_ref(&one)).await;
    let check = async |order: [i32; 3], partition_max: u64, bytes_max: u64, expect: [usize; 3]| {
        let reads = order.map(|partition| read(partition, 0, partition_max));
        let answers = broker.fetch(&reads, 1, bytes_max, Duration::ZERO).await;
        let counts: Vec<_> = answers.iter().map(|answer| offsets(answer).len()).collect();
        assert_eq!(counts, expect, "{order:?}, limits of {partition_max} and {bytes_max} bytes");
    };
    // What the third leaves over goes to the first.
    check([0, 1, 2], 1 << 20, 30 * len, [19, 10, 1]).await;
    check([2, 1, 0], 1 << 20, 30 * len, [1, 19, 10]).await;
    // Nobody gets more than it may, or less because of others.
    check([0, 1, 2], 12 * len, 30 * len, [12, 12, 1]).await;
    check([0, 1, 2], 1 << 20, 100 * len, [40, 40, 1]).await;
}

#[tokio::test(start_paused = true)]
async fn limits_hold_behind_a_gap() {
    let cluster = Cluster::with_segments();
    let broker = cluster.agent_with_topic().await;
    append(&broker, 0, &[batch(&[1, 2, 3], 10)]).await;
    // Of three records the first is left, so from the second on there is nothing but what follows. The file is larger than
    // the limits, so that this is read only when nothing was found in the file.
    cluster.archive(&broker, &batch(&[1], 10)).await;
    let next = batch(&[4], 30);
    append(&broker, 0, std::slice::from_ref(&next)).await;
    append(&broker, 1, &[batch(&[1], 10)]).await;
    let check = async |order: [(i32, i64); 2], partition_max: u64, expect: [usize; 2]| {
        let reads = order.map(|(partition, from)| read(partition, from, partition_max));
        let answers = broker.fetch(&reads, 1, 1 << 20, Duration::ZERO).await;
        let counts: Vec<_> = answers.iter().map(|answer| offsets(answer).len()).collect();
        assert_eq!(counts, expect, "{order:?}, at most {partition_max} bytes each");
    };
    let bytes = next.bytes().len() as u64;
    for gap in [1, 2] {
        check([(0, gap), (1, 0)], bytes, [1, 1]).await;
        check([(1, 0), (0, gap)], bytes, [1, 1]).await;
        check([(0, gap), (1, 0)], bytes - 1, [1, 1]).await;
        check([(1, 0), (0, gap)], bytes - 1, [1, 0]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_fetch_waits_and_wakes() {
    let broker = Cluster::with_segments().agent_with_topic().await;
    let started = Instant::now();
    let answers = broker.fetch(&[read(0, 0, 1 << 20)], 1, 1 << 20, 500 * MS).await;
    assert!(offsets(answers.first().expect("one answer")).is_empty());
    assert_eq!(started.elapsed(), 500 * MS);

    let started = Instant::now();
    let reads = [read(1, 0, 1 << 20), read(0, 0, 1 << 20)];
    let waiting = broker.fetch(&reads, 1, 1 << 20, 500 * MS);
    let appending = async {
        sleep(100 * MS).await;
        append(&broker, 2, &[batch(&[1], 10)]).await; // nobody reads this partition
        sleep(100 * MS).await;
        append(&broker, 0, &[batch(&[1], 10)]).await;
    };
    let (answers, ()) = tokio::join!(waiting, appending);
    assert_eq!(answers.iter().map(|answer| offsets(answer).len()).collect::<Vec<_>>(), [0, 1]);
    assert!((200 * MS..250 * MS).contains(&started.elapsed()), "it took {:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_slow_look_at_the_tail_delays_no_record() {
    let broker = Cluster::with_inline_bodies().agent_with_topic().await;
    let started = Instant::now();
    assert!(offsets(&fetch(&broker, 0).await).is_empty());
    let look = started.elapsed();
    assert!(look >= GET_DELAY, "what is not there costs a look: {look:?}");

    let started = Instant::now();
    let waiting = async { (fetch(&broker, 0).await, started.elapsed()) };
    let appending = async {
        sleep(look / 4).await;
        append(&broker, 0, &[batch(&[1], 10)]).await;
    };
    let ((answer, took), ()) = tokio::join!(waiting, appending);
    assert_eq!(offsets(&answer), [(0, 0)]);
    assert!(took < look, "the record was there before the look ended: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_waits_for_its_least_bytes() {
    let broker = Cluster::with_segments().agent_with_topic().await;
    let started = Instant::now();
    let reads = [read(0, 0, 1 << 20)];
    let waiting = broker.fetch(&reads, 2_500, 1 << 20, 10_000 * MS);
    let appending = async {
        for _ in 0..4 {
            sleep(100 * MS).await;
            append(&broker, 0, &[batch(&[1], 1_000)]).await;
        }
    };
    let (answers, ()) = tokio::join!(async { (waiting.await, started.elapsed()) }, appending);
    assert_eq!(offsets(answers.0.first().expect("one answer")).len(), 3);
    assert!((300 * MS..350 * MS).contains(&answers.1), "it took {:?}", answers.1);
}

#[tokio::test(start_paused = true)]
async fn another_agent_sees_what_was_acknowledged() {
    for cluster in [Cluster::with_segments(), Cluster::with_inline_bodies()] {
        let writer = cluster.agent_with_topic().await;
        let reader = cluster.agent().await;
        for number in 0..3 {
            append(&writer, 0, &[batch(&[1], 2_000)]).await;
            assert_eq!(offsets(&fetch(&reader, number).await), [(number, number)]);
        }
        let latest = reader.find_offsets(&[(TOPIC, PARTITION, OffsetQuery::Latest)]).await;
        let latest = latest.first().expect("one answer").clone().expect("readable");
        assert_eq!(latest.expect("an end").offset, Offset(3));
        assert_eq!(writer.read_counts().misses, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_in_entries_are_in_the_cache_before_anybody_asks() {
    let cluster = Cluster::with_inline_bodies();
    let writer = cluster.agent_with_topic().await;
    let reader = cluster.agent().await;
    append(&writer, 0, &[batch(&[1], 100)]).await;
    for broker in [&writer, &reader] {
        assert_eq!(offsets(&fetch(broker, 0).await), [(0, 0)]);
        assert_eq!(broker.read_counts().misses, 0);
    }
    // An agent that starts later has not seen the entry pass by.
    let late = cluster.agent().await;
    assert_eq!(offsets(&fetch(&late, 0).await), [(0, 0)]);
    assert_eq!(late.read_counts().misses, 1);
}

#[tokio::test(start_paused = true)]
async fn offsets_out_of_range_and_unknown_partitions_are_named() {
    let broker = Cluster::with_segments().agent_with_topic().await;
    append(&broker, 0, &[batch(&[1, 2, 3], 10)]).await;
    let before = Some(Offset(2));
    submit(&broker, Command::DeleteRecords { topic: TOPIC, partition: PARTITION, before }).await;
    for from in [-1, 0, 1, 4] {
        match fetch(&broker, from).await {
            Err(FetchError::OffsetOutOfRange(head)) => {
                assert_eq!((head.log_start, head.high_watermark), (Offset(2), Offset(3)));
            }
            other => panic!("offset {from}: {other:?}"),
        }
    }
    assert_eq!(offsets(&fetch(&broker, 2).await), [(0, 2)], "a batch is never cut");
    let unknown = Read { topic: TopicId(Uuid::from_u128(77)), ..read(0, 0, 1) };
    let started = Instant::now();
    let answers = broker.fetch(&[read(9, 0, 1), unknown], 1, 1, 500 * MS).await;
    assert!(matches!(answers[..], [Err(FetchError::UnknownPartition), Err(FetchError::UnknownPartition)]));
    assert_eq!(started.elapsed(), Duration::ZERO, "an error does not wait");
}

#[tokio::test(start_paused = true)]
async fn a_missing_or_damaged_object_is_an_error_and_is_counted() {
    let cluster = Cluster::with_segments();
    let writer = cluster.agent_with_topic().await;
    append(&writer, 0, &[batch(&[1], 2_000)]).await;
    append(&writer, 0, &[batch(&[1], 2_000)]).await;
    let keys = cluster.bucket.keys("segments").await;
    cluster.bucket.flip_bit(&keys[1], 1_500).await;
    let reader = cluster.agent().await;
    // What comes before the damage is given out; then it is named.
    assert_eq!(offsets(&fetch(&reader, 0).await), [(0, 0)]);
    let damaged = fetch(&reader, 1).await;
    assert!(matches!(damaged, Err(FetchError::Storage(StoreError::Damaged(..)))), "{damaged:?}");

    cluster.bucket.delete(&keys[0]).await;
    let reader = cluster.agent().await;
    let missing = fetch(&reader, 0).await;
    assert!(matches!(missing, Err(FetchError::Storage(StoreError::Missing(_)))), "{missing:?}");
    assert_eq!(reader.read_counts().unreadable, 1);
}

#[tokio::test(start_paused = true)]
async fn fetches_that_miss_the_same_block_share_a_get() {
    let cluster = Cluster::with_segments();
    let writer = cluster.agent_with_topic().await;
    append(&writer, 0, &[batch(&[1], 300)]).await;
    let reader = cluster.agent().await;
    let gets = cluster.bucket.gets();
    let fetches = (0..20).map(|_| fetch(&reader, 0));
    for answer in futures::future::join_all(fetches).await {
        assert_eq!(offsets(&answer), [(0, 0)]);
    }
    assert_eq!(cluster.bucket.gets() - gets, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_far_behind_reads_ahead_and_one_at_the_tail_does_not() {
    let cluster = Cluster::with_segments();
    let writer = cluster.agent_with_topic().await;
    for _ in 0..6 {
        append(&writer, 0, &[batch(&[1], 1 << 20)]).await;
    }
    let reader = cluster.agent().await;
    assert_eq!(offsets(&fetch(&reader, 5).await), [(5, 5)]);
    assert_eq!(reader.read_counts().read_ahead, 0);
    assert_eq!(offsets(&fetch(&reader, 0).await), [(0, 0)]);
    sleep(Duration::from_secs(1)).await;
    assert!(reader.read_counts().read_ahead > 0);
}

#[tokio::test(start_paused = true)]
async fn answers_alive_are_bounded_and_their_room_comes_back() {
    let config = BrokerConfig { replies_bytes_max: 4_000, ..BrokerConfig::default() };
    let broker = Cluster::with_segments().with_config(config).agent_with_topic().await;
    append(&broker, 0, &[batch(&[1], 3_000)]).await;
    let first = fetch(&broker, 0).await.expect("readable");
    let slice = first.records.slice(10..20);
    drop(first);
    let second = timeout(1_000 * MS, fetch(&broker, 0)).await;
    assert!(second.is_err(), "a slice of the first answer is alive");
    drop(slice);
    assert_eq!(offsets(&timeout(1_000 * MS, fetch(&broker, 0)).await.expect("there is room")), [(0, 0)]);
    append(&broker, 1, &[batch(&[1], 9_000)]).await;
    let reads = [read(1, 0, 1 << 20)];
    let large = broker.fetch(&reads, 1, 1 << 20, Duration::ZERO).await;
    assert_eq!(
        offsets(large.first().expect("one answer")),
        [(0, 0)],
        "one batch may be larger than the budget"
    );
}

#[tokio::test(start_paused = true)]
async fn records_are_found_by_their_time() {
    let cluster = Cluster::with_segments();
    let broker = cluster.agent_with_topic().await;
    append(&broker, 0, &[batch(&[100, 300, 200], 10), batch(&[250, 400], 10)]).await;
    append(&broker, 0, &[batch(&[50], 10), batch(&[400, 350], 10)]).await;
    let check = async |query: OffsetQuery, expect: Option<(i64, i64)>| {
        let found = broker.find_offsets(&[(TOPIC, PARTITION, query)]).await.pop().expect("one answer");
        let found =
            found.expect("readable").map(|FoundOffset { offset, timestamp, .. }| (offset.0, timestamp.0));
        assert_eq!(found, expect, "{query:?}");
    };
    check(OffsetQuery::Earliest, Some((0, -1))).await;
    check(OffsetQuery::Latest, Some((8, -1))).await;
    check(OffsetQuery::LastStable, Some((8, -1))).await;
    check(OffsetQuery::At(Timestamp(0)), Some((0, 100))).await;
    check(OffsetQuery::At(Timestamp(101)), Some((1, 300))).await;
    check(OffsetQuery::At(Timestamp(301)), Some((4, 400))).await;
    check(OffsetQuery::At(Timestamp(401)), None).await;
    check(OffsetQuery::MaxTimestamp, Some((4, 400))).await;
    // From here on the records at 0 to 4 are gone.
    let before = Some(Offset(5));
    submit(&broker, Command::DeleteRecords { topic: TOPIC, partition: PARTITION, before }).await;
    check(OffsetQuery::Earliest, Some((5, -1))).await;
    check(OffsetQuery::At(Timestamp(0)), Some((5, 50))).await;
    check(OffsetQuery::At(Timestamp(100)), Some((6, 400))).await;
    check(OffsetQuery::MaxTimestamp, Some((6, 400))).await;
    // And here the latest record itself.
    let before = Some(Offset(7));
    submit(&broker, Command::DeleteRecords { topic: TOPIC, partition: PARTITION, before }).await;
    check(OffsetQuery::At(Timestamp(360)), None).await;
    check(OffsetQuery::MaxTimestamp, Some((7, 350))).await;
    append(&broker, 0, &[batch(&[360], 10)]).await;
    check(OffsetQuery::At(Timestamp(360)), Some((8, 360))).await;
    check(OffsetQuery::MaxTimestamp, Some((8, 360))).await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_partition_has_ends_and_no_times() {
    let broker = Cluster::with_segments().agent_with_topic().await;
    let queries = [
        OffsetQuery::Earliest,
        OffsetQuery::Latest,
        OffsetQuery::At(Timestamp(0)),
        OffsetQuery::MaxTimestamp,
    ]
    .map(|query| (TOPIC, PARTITION, query));
    let found = broker.find_offsets(&queries).await;
    let found: Vec<_> = found.into_iter().map(|f| f.expect("readable").map(|found| found.offset.0)).collect();
    assert_eq!(found, [Some(0), Some(0), None, None]);
}

#[tokio::test(start_paused = true)]
async fn every_past_epoch_ends_at_the_high_watermark() {
    let broker = Cluster::with_segments().agent_with_topic().await;
    append(&broker, 0, &[batch(&[1, 2], 10)]).await;
    let now = fetch(&broker, 0).await.expect("readable").head.epoch;
    let end = broker.end_of_epoch(TOPIC, PARTITION, now).await;
    assert_eq!(end, Ok(Some((now, Offset(2)))));
    assert_eq!(broker.end_of_epoch(TOPIC, PARTITION, LeaderEpoch(now.0 + 1)).await, Ok(None));
    let unknown = broker.end_of_epoch(TOPIC, PartitionIndex(9), now).await;
    assert_eq!(unknown, Err(FetchError::UnknownPartition));
}

#[tokio::test(start_paused = true)]
async fn agents_that_create_a_topic_at_once_get_the_same_one() {
    let cluster = Cluster::with_segments();
    let (first, second) = (cluster.agent().await, cluster.agent().await);
    let name = TopicName::new("new").expect("a valid name");
    let (one, other) = tokio::join!(first.topic_or_create(&name, 4), second.topic_or_create(&name, 4));
    let topic = one.expect("a topic");
    assert_eq!(Ok(&topic), other.as_ref());
    assert_eq!((topic.partitions, &topic.name), (4, &name));
    assert_eq!(first.topic_by_id(topic.id).await, Ok(Some(topic)));
    assert_eq!(first.topic_by_name(&TopicName::new("old").expect("a valid name")).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn shutdown_answers_fetches_that_wait() {
    let broker = Cluster::with_segments().agent_with_topic().await;
    let reads = [read(0, 0, 1 << 20)];
    let waiting = broker.fetch(&reads, 1, 1 << 20, Duration::from_secs(3600));
    let started = Instant::now();
    let (answers, ()) = tokio::join!(waiting, async {
        sleep(100 * MS).await;
        broker.shutdown().await;
    });
    assert!(offsets(answers.first().expect("one answer")).is_empty());
    assert!(started.elapsed() < Duration::from_secs(60));
}
