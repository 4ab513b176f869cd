//! The producer against a cluster in memory, under paused time: batching, order, memory, and retries that neither
//! lose nor repeat a record.

use std::time::Duration;

use crate::fake::{Fake, Fault, TOPIC, all_numbers};
use ebb_protocol::random::Random;
use ebbtide::{Acks, Client, Compression, Delivery, Error, ErrorCode, Offset, PartitionIndex, Record};

const RTT: Duration = Duration::from_millis(10);

/// A record that holds a number, for a partition.
fn numbered(number: u64, partition: i32) -> Record {
    Record::new(number.to_string()).partition(PartitionIndex(partition))
}

/// Sends `count` numbered records to partition 0, `batch` at a time with a round trip between, so that several
/// requests are on their way.
async fn send_in_batches(client: &Client, count: u64, batch: u64) -> Vec<Delivery> {
    // Streams that hang are given up after 30 s; some scripts hold several.
    let patient = client.producer().delivery_timeout(Duration::from_secs(3600));
    let producer = patient.build().expect("sound settings");
    let mut deliveries = Vec::new();
    for number in 0..count {
        deliveries.push(producer.send(TOPIC, numbered(number, 0)).await.expect("room"));
        if number % batch == batch - 1 {
            tokio::time::sleep(Duration::from_millis(6)).await;
        }
    }
    // The last clone goes; the records must arrive all the same.
    drop(producer);
    deliveries
}

#[tokio::test(start_paused = true)]
async fn records_get_the_offsets_that_they_have_in_the_log() {
    let fake = Fake::new(3, RTT);
    let client = fake.client().await;
    for compression in Compression::ALL {
        let producer = client.producer().compression(compression).build().expect("sound settings");
        let mut deliveries = Vec::new();
        for number in 0..300 {
            let record = numbered(number, (number % 3) as i32).key(b"k".as_slice()).header("h", "v");
            deliveries.push(producer.send(TOPIC, record).await.expect("room"));
        }
        producer.flush().await.expect("no failure");
        for (number, delivery) in deliveries.into_iter().enumerate() {
            let metadata = delivery.await.expect("delivered");
            let records = fake.records(metadata.partition.0 as usize);
            let found =
                records.iter().find(|record| Some(record.offset) == metadata.offset).expect("it is there");
            assert_eq!(found.value.as_deref(), Some(number.to_string().as_bytes()));
            assert_eq!(found.headers.len(), 1);
            assert_eq!(found.timestamp, metadata.timestamp);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn records_leave_at_once_until_two_requests_are_unanswered_and_then_share_batches() {
    let fake = Fake::new(1, RTT);
    let client = fake.client().await;
    let producer = client.producer().linger(Duration::from_secs(1)).build().expect("sound settings");
    producer.send(TOPIC, numbered(0, 0)).await.expect("room").await.expect("delivered");
    let before = tokio::time::Instant::now();
    producer.send(TOPIC, numbered(1, 0)).await.expect("room").await.expect("delivered");
    assert_eq!(before.elapsed(), RTT, "one round trip and no timer");

    let first = producer.send(TOPIC, numbered(2, 0)).await.expect("room");
    tokio::time::sleep(RTT / 2).await;
    let mut rest = Vec::new();
    for number in 3..100 {
        rest.push(producer.send(TOPIC, numbered(number, 0)).await.expect("room"));
    }
    first.await.expect("delivered");
    for delivery in rest {
        delivery.await.expect("delivered");
    }
    // Two alone, the third, the fourth beside it (which shares with what is sent in the same moment), and the rest.
    let requests = fake.state.lock().produce_requests;
    assert!((4..=5).contains(&requests), "{requests}");
    assert_eq!(fake.numbers(0), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn batches_keep_their_limit_and_larger_records_are_alone() {
    let fake = Fake::new(1, RTT);
    let client = fake.client().await;
    let producer = client.producer().batch_bytes_max(1000).build().expect("sound settings");
    for number in 0..200 {
        let value = format!("{number:<100}");
        let record = Record::new(value).partition(PartitionIndex(0));
        drop(producer.send(TOPIC, record).await.expect("room"));
    }
    producer.flush().await.expect("no failure");
    assert!(fake.state.lock().batch_bytes <= 1000, "{}", fake.state.lock().batch_bytes);
    drop(producer.send(TOPIC, Record::new(format!("{:<5000}", 200))).await.expect("room"));
    producer.close().await.expect("no failure");
    assert_eq!(fake.numbers(0), (0..=200).collect::<Vec<_>>());
    assert_eq!(fake.state.lock().logs[0].batches.last().map(|batch| batch.record_count()), Some(1));
}

#[tokio::test(start_paused = true)]
async fn sending_waits_while_the_memory_is_full() {
    let fake = Fake::new(1, RTT);
    let client = fake.client().await;
    let producer = client.producer().memory_bytes_max(10_000).build().expect("sound settings");
    drop(producer.send(TOPIC, numbered(0, 0)).await.expect("room"));
    fake.script([Fault::Hang]);
    producer.flush().await.expect("no failure");
    let mut taken = 0;
    let filling = async {
        loop {
            drop(producer.send(TOPIC, Record::new(vec![b'1'; 1000])).await.expect("room"));
            taken += 1;
        }
    };
    assert!(tokio::time::timeout(RTT, filling).await.is_err());
    assert!((5..10).contains(&taken), "{taken}");

    let huge = producer.send(TOPIC, Record::new(vec![0; 20_000])).await;
    assert!(matches!(huge, Err(Error::Usage(_))), "{huge:?}");
    producer.close().await.expect("the stream is given up and the records are sent again");
    let closed = producer.send(TOPIC, numbered(0, 0)).await;
    assert!(matches!(closed, Err(Error::Closed(_))), "{closed:?}");
}

/// Sends 60 records under a script of faults and expects each of them once and in order.
async fn check_exactly_once(faults: impl IntoIterator<Item = Fault>) {
    let faults: Vec<_> = faults.into_iter().collect();
    let fake = Fake::new(1, RTT);
    let client = fake.client().await;
    fake.script(faults.clone());
    for (number, delivery) in send_in_batches(&client, 60, 5).await.into_iter().enumerate() {
        let metadata = delivery.await.unwrap_or_else(|error| panic!("{faults:?}: record {number}: {error}"));
        assert_eq!(metadata.offset, Some(Offset(number as i64)), "{faults:?}");
    }
    assert_eq!(fake.numbers(0), (0..60).collect::<Vec<_>>(), "{faults:?}");
}

#[tokio::test(start_paused = true)]
async fn faults_neither_lose_nor_repeat_nor_reorder() {
    use Fault as F;
    check_exactly_once([]).await;
    check_exactly_once([F::BreakBefore]).await;
    check_exactly_once([F::BreakAfter]).await;
    check_exactly_once([F::None, F::BreakAfter, F::BreakBefore, F::None, F::BreakAfter]).await;
    check_exactly_once([F::None, F::None, F::Hang]).await;
    check_exactly_once([F::Refuse(ErrorCode::NotLeaderOrFollower)]).await;
    check_exactly_once([F::None, F::Refuse(ErrorCode::KafkaStorageError), F::None]).await;
    check_exactly_once([F::None, F::WriteThenSay(ErrorCode::RequestTimedOut)]).await;
    check_exactly_once([F::WriteThenSay(ErrorCode::UnknownServerError), F::BreakBefore]).await;
    check_exactly_once([F::Refuse(ErrorCode::UnknownTopicOrPartition), F::None]).await;
    check_exactly_once([F::None, F::None, F::Forget]).await;
    check_exactly_once([F::None, F::Refuse(ErrorCode::OutOfOrderSequenceNumber), F::None]).await;
}

#[tokio::test(start_paused = true)]
async fn random_faults_neither_lose_nor_repeat_nor_reorder() {
    let codes = [
        ErrorCode::RequestTimedOut,
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::KafkaStorageError,
        ErrorCode::NotEnoughReplicasAfterAppend,
    ];
    for seed in 0..200 {
        let random = Random::from_seed(seed);
        let fault = |_| match random.below(10) {
            0 => Fault::BreakBefore,
            1 => Fault::BreakAfter,
            2 => Fault::Refuse(codes[random.below(4) as usize]),
            3 => Fault::WriteThenSay(codes[random.below(4) as usize]),
            4 => Fault::Hang,
            _ => Fault::None,
        };
        check_exactly_once((0..20).map(fault)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_fails_alone() {
    let fake = Fake::new(1, RTT);
    let client = fake.client().await;
    fake.script([Fault::None, Fault::Refuse(ErrorCode::MessageTooLarge)]);
    let mut failed = Vec::new();
    for (number, delivery) in send_in_batches(&client, 60, 5).await.into_iter().enumerate() {
        if let Err(error) = delivery.await {
            assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge));
            assert!(!error.is_retriable() && error.has_no_side_effects());
            failed.push(number as u64);
        }
    }
    assert!(!failed.is_empty() && failed.len() < 60);
    let expect: Vec<_> = (0..60).filter(|number| !failed.contains(number)).collect();
    assert_eq!(fake.numbers(0), expect);
    assert_eq!(fake.state.lock().epoch, 1, "the sequences were used again without a new epoch");
}

#[tokio::test(start_paused = true)]
async fn what_may_be_written_is_not_sent_again_when_the_producer_is_forgotten() {
    let fake = Fake::new(1, RTT);
    let client = fake.client().await;
    let producer = client.producer().build().expect("sound settings");
    producer.send(TOPIC, numbered(0, 0)).await.expect("room").await.expect("delivered");
    fake.script([Fault::BreakAfter, Fault::Forget]);
    let lost = producer.send(TOPIC, numbered(1, 0)).await.expect("room").await.expect_err("uncertain");
    assert!(matches!(lost, Error::Uncertain(_)) && lost.may_have_happened(), "{lost}");
    producer.send(TOPIC, numbered(2, 0)).await.expect("room").await.expect("delivered under a new epoch");
    assert_eq!(fake.numbers(0), [0, 1, 2]);
    assert_eq!(fake.state.lock().epoch, 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_partition_holds_no_other_up() {
    let fake = Fake::new(2, RTT);
    let client = fake.client().await;
    let producer = client.producer().build().expect("sound settings");
    fake.script([Fault::Hang]);
    let slow = producer.send(TOPIC, numbered(0, 0)).await.expect("room");
    tokio::time::sleep(RTT / 2).await;
    let before = tokio::time::Instant::now();
    producer.send(TOPIC, numbered(1, 1)).await.expect("room").await.expect("delivered");
    assert!(before.elapsed() <= RTT * 2);
    slow.await.expect("delivered over a new stream");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_comes_back_gets_what_waited() {
    let fake = Fake::new(6, RTT);
    let client = fake.client().await;
    let producer = client.producer().build().expect("sound settings");
    drop(producer.send(TOPIC, numbered(0, 0)).await.expect("room"));
    producer.flush().await.expect("no failure");
    fake.state.lock().down = true;
    for number in 1..600 {
        drop(producer.send(TOPIC, numbered(number, (number % 6) as i32)).await.expect("room"));
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    fake.state.lock().down = false;
    producer.close().await.expect("no failure");
    for (partition, numbers) in all_numbers(&fake) {
        let expect: Vec<_> = (0..600).filter(|number| number % 6 == partition.0 as u64).collect();
        assert_eq!(numbers, expect);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_stays_away_fails_the_records_in_time() {
    let fake = Fake::new(1, RTT);
    let client = fake.client().await;
    let producer =
        client.producer().delivery_timeout(Duration::from_secs(9)).build().expect("sound settings");
    drop(producer.send(TOPIC, numbered(0, 0)).await.expect("room"));
    producer.flush().await.expect("no failure");
    fake.state.lock().down = true;
    let before = tokio::time::Instant::now();
    let error = producer.send(TOPIC, numbered(1, 0)).await.expect("room").await.expect_err("nobody is there");
    assert!(error.is_retriable(), "{error}");
    assert!((9..15).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
    assert!(producer.flush().await.is_err(), "a flush tells of it");
    producer.flush().await.expect("and tells once");
}

#[tokio::test(start_paused = true)]
async fn unknown_places_are_refused() {
    let fake = Fake::new(1, RTT);
    let client = fake.client().await;
    let producer = client.producer().build().expect("sound settings");
    let error = producer.send("nothing", Record::new("x")).await.expect_err("no such topic");
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
    let error = producer.send(TOPIC, numbered(0, 5)).await.expect_err("no such partition");
    assert!(matches!(error, Error::Usage(_)), "{error}");
    assert!(client.producer().acks(Acks::Leader).idempotent(true).build().is_err());
}

#[tokio::test(start_paused = true)]
async fn records_without_keys_fill_one_batch_after_another() {
    let fake = Fake::new(4, RTT);
    let client = fake.client().await;
    let producer = client.producer().batch_bytes_max(2000).build().expect("sound settings");
    for number in 0..2000_u64 {
        drop(producer.send(TOPIC, Record::new(number.to_string())).await.expect("room"));
    }
    producer.close().await.expect("no failure");
    let numbers = all_numbers(&fake);
    assert!(numbers.values().all(|numbers| numbers.len() > 100), "{numbers:?}");
    let batches: usize = fake.state.lock().logs.iter().map(|log| log.batches.len()).sum();
    assert!(batches < 100, "{batches} batches for 2,000 records");
}
