//! The writer over a real metastore, in paused time.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use ebb_metastore::{
    command::{Command, ObjectRef},
    log::{AppendError, CommitLog, EntryBytes, ReadError, RetryConfig, bucket::BucketLog, memory::MemoryLog},
    outcome::{BatchRefusal, Outcome},
};
use ebb_protocol::{
    ids::{LogPosition, Offset, Sequence, Timestamp},
    random::Random,
};
use ebb_segment::{format, store::StoreError};
use object_store::{
    memory::InMemory,
    path::Path,
    throttle::{ThrottleConfig, ThrottledStore},
};
use tokio::time::{Instant, sleep};

use self::support::{NOW, Put, Rig, agent, batch, batch_from, metastore_config, submit};
use super::PendingAppend;
use crate::broker::{Appended, BrokerConfig, ProduceError};

const MS: Duration = Duration::from_millis(1);

/// Every append larger than 10 kB makes a segment of its own, and is put as an object.
fn small_segments() -> BrokerConfig {
    BrokerConfig { segment_bytes_max: 10_000, inline_bytes_max: 0, ..BrokerConfig::default() }
}

fn memory() -> Arc<dyn CommitLog> {
    Arc::new(MemoryLog::new())
}

/// A log in a bucket that takes 30 ms for each put.
fn slow_bucket() -> Arc<dyn CommitLog> {
    let throttle = ThrottleConfig { wait_put_per_call: 30 * MS, ..ThrottleConfig::default() };
    let bucket = Arc::new(ThrottledStore::new(InMemory::new(), throttle));
    Arc::new(BucketLog::new(bucket, Random::from_seed(1), RetryConfig::default()))
}

async fn append(rig: &Rig, partition: i32, bytes: usize) -> PendingAppend {
    rig.writer.append(vec![rig.to(partition, batch(bytes))]).await.expect("the writer takes appends")
}

async fn base(pending: PendingAppend) -> Offset {
    let answers = pending.done().await;
    let [Ok(Appended { base, .. })] = answers[..] else { panic!("not one success: {answers:?}") };
    base
}

async fn error(pending: PendingAppend) -> ProduceError {
    let [Err(error)] = &pending.done().await[..] else { panic!("not one error") };
    error.clone()
}

#[tokio::test(start_paused = true)]
async fn a_lone_append_waits_for_one_put_only() {
    let rig = Rig::new(memory(), small_segments()).await;
    rig.store.plan(&[Put::After(30 * MS), Put::After(30 * MS)]);
    for expect in 0..2 {
        let started = Instant::now();
        assert_eq!(base(append(&rig, 0, 100).await).await, Offset(expect));
        assert_eq!(started.elapsed(), 30 * MS);
    }
    assert_eq!(rig.store.uploads().all, 2);
}

#[tokio::test(start_paused = true)]
async fn a_small_append_rides_in_the_entry() {
    let rig = Rig::new(slow_bucket(), BrokerConfig::default()).await;
    let started = Instant::now();
    assert_eq!(base(append(&rig, 0, 100).await).await, Offset(0));
    assert_eq!(started.elapsed(), 30 * MS);
    assert_eq!(rig.store.uploads().all, 0);
    // A large one is put first, and its commit is a second put.
    let started = Instant::now();
    assert_eq!(base(append(&rig, 0, 100_000).await).await, Offset(1));
    assert_eq!(started.elapsed(), 30 * MS);
    assert_eq!(rig.store.uploads().all, 1);
}

#[tokio::test(start_paused = true)]
async fn order_survives_uploads_that_overtake_each_other() {
    let config = BrokerConfig { uploads_in_flight_max: 4, ..small_segments() };
    let rig = Rig::new(memory(), config).await;
    rig.store.plan(&[Put::After(100 * MS), Put::After(10 * MS), Put::After(50 * MS), Put::After(MS)]);
    let started = Instant::now();
    let mut pending = Vec::new();
    for _ in 0..8 {
        pending.push(append(&rig, 0, 20_000).await);
    }
    for (expect, pending) in (0..).zip(pending) {
        assert_eq!(base(pending).await, Offset(expect));
    }
    assert_eq!(rig.store.uploads().most, 4);
    assert_eq!(started.elapsed(), 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn appends_are_answered_in_their_own_order() {
    let rig = Rig::new(memory(), BrokerConfig::default()).await;
    let appends = [3, 1, 3, 0, 1, 3].map(|partition| rig.to(partition, batch(10))).to_vec();
    let first = rig.writer.append(appends.clone()).await.expect("taken");
    let second = rig.writer.append(appends).await.expect("taken");
    let bases = |answers: Vec<Result<Appended, ProduceError>>| -> Vec<i64> {
        answers.into_iter().map(|answer| answer.expect("appended").base.0).collect()
    };
    assert_eq!(bases(first.done().await), [0, 0, 1, 0, 1, 2]);
    assert_eq!(bases(second.done().await), [3, 2, 4, 1, 3, 5]);
    assert_eq!(rig.writer.append(Vec::new()).await.expect("nothing").done().await, []);
}

#[tokio::test(start_paused = true)]
async fn room_pushes_back_in_arrival_order() {
    let config = BrokerConfig { unflushed_bytes_max: 25_000, ..small_segments() };
    let rig = Rig::new(memory(), config).await;
    rig.store.plan(&[Put::After(100 * MS), Put::After(MS), Put::After(MS)]);
    let first = append(&rig, 0, 20_000).await;
    let started = Instant::now();
    // The large one came first, so the small one, for which there is room, waits behind it.
    let large = async { (append(&rig, 1, 20_000).await, started.elapsed()) };
    let small = async { (append(&rig, 2, 100).await, started.elapsed()) };
    let ((large, large_waited), (small, small_waited), first) = tokio::join!(large, small, base(first));
    assert_eq!((first, base(large).await, base(small).await), (Offset(0), Offset(0), Offset(0)));
    assert_eq!((large_waited, small_waited), (100 * MS, 100 * MS));
    // An append larger than all the room goes alone.
    assert_eq!(base(append(&rig, 0, 1_000_000).await).await, Offset(1));
}

#[tokio::test(start_paused = true)]
async fn without_room_an_append_is_refused_at_its_deadline() {
    let config = BrokerConfig { unflushed_bytes_max: 25_000, append_deadline: 500 * MS, ..small_segments() };
    let rig = Rig::new(memory(), config).await;
    rig.store.plan(&[Put::Never; 2]);
    let started = Instant::now();
    let stuck = append(&rig, 0, 20_000).await;
    sleep(MS).await;
    // The second one gets the first one's room when that fails; the third one's patience ends before the second's.
    let second = append(&rig, 0, 20_000);
    let third = async {
        sleep(MS).await;
        let answer = rig.writer.append(vec![rig.to(0, batch(20_000))]).await;
        (answer.expect_err("no room"), started.elapsed())
    };
    let (stuck, second, (third, waited)) = tokio::join!(error(stuck), second, third);
    assert!(matches!(stuck, ProduceError::Storage(StoreError::Unavailable(_))), "{stuck}");
    assert!(
        matches!(&third, ProduceError::Storage(StoreError::Unavailable(why)) if why.contains("25000 bytes"))
    );
    assert_eq!(waited, 502 * MS);
    assert!(matches!(error(second).await, ProduceError::Storage(_)));
    assert_eq!(rig.high_watermark(0), Offset(0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_put_fails_its_own_appends_only() {
    let rig = Rig::new(memory(), small_segments()).await;
    rig.store.plan(&[Put::After(10 * MS), Put::Denied, Put::After(5 * MS)]);
    let first = append(&rig, 0, 20_000).await;
    let second = append(&rig, 0, 20_000).await;
    let third = append(&rig, 0, 20_000).await;
    assert_eq!(base(first).await, Offset(0));
    let refused = error(second).await;
    assert!(matches!(refused, ProduceError::Storage(StoreError::Denied(_))), "{refused}");
    assert_eq!(base(third).await, Offset(1));
    assert_eq!(rig.high_watermark(0), Offset(2));
}

#[tokio::test(start_paused = true)]
async fn a_put_that_never_ends_fails_at_the_deadline_and_lets_others_pass() {
    let config = BrokerConfig { append_deadline: Duration::from_secs(2), ..small_segments() };
    let rig = Rig::new(memory(), config).await;
    rig.store.plan(&[Put::Never]);
    let started = Instant::now();
    let stuck = append(&rig, 0, 20_000).await;
    let next = append(&rig, 0, 20_000).await;
    let stuck = error(stuck).await;
    assert!(matches!(stuck, ProduceError::Storage(StoreError::Unavailable(_))), "{stuck}");
    assert_eq!(base(next).await, Offset(0));
    assert_eq!(started.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn segments_reach_the_sink_whole_and_before_the_answer() {
    let rig = Rig::new(memory(), small_segments()).await;
    assert_eq!(base(append(&rig, 2, 20_000).await).await, Offset(0));
    let seen = rig.sink.0.lock().clone();
    let [(ObjectRef::Segment(id), bytes)] = &seen[..] else { panic!("not one segment: {seen:?}") };
    let (identity, runs) = format::verify(bytes).expect("a sound segment");
    assert_eq!((identity.segment, runs.len()), (*id, 1));
}

#[tokio::test(start_paused = true)]
async fn duplicates_succeed_and_gaps_are_refused() {
    let rig = Rig::new(memory(), BrokerConfig::default()).await;
    let (id, epoch) = rig.producer().await;
    let at = |sequence| rig.to(1, batch_from(10, Some((id, epoch, Sequence(sequence)))));
    let send = async |sequence| rig.writer.append(vec![at(sequence)]).await.expect("taken");
    assert_eq!(base(send(0).await).await, Offset(0));
    assert_eq!(base(send(1).await).await, Offset(1));
    assert_eq!(base(send(0).await).await, Offset(0));
    let gap = error(send(7).await).await;
    assert_eq!(gap, ProduceError::Refused(BatchRefusal::OutOfOrderSequence));
    assert_eq!(rig.high_watermark(1), Offset(2));
}

#[tokio::test(start_paused = true)]
async fn a_clock_behind_the_sweep_boundary_costs_one_refusal() {
    let log = memory();
    let rig = Rig::new(log.clone(), small_segments()).await;
    let hour = 60 * 60 * 1_000;
    let (sweeping, _) = agent(log, Timestamp(NOW.0 + 2 * hour), &Random::from_seed(8)).await;
    let raise = Command::RaiseSweepBoundary { minted_before: Timestamp(NOW.0 + hour) };
    assert_eq!(submit(&sweeping, raise).await, Outcome::Done);
    let refused = error(append(&rig, 0, 20_000).await).await;
    assert!(matches!(refused, ProduceError::Storage(StoreError::Unavailable(_))), "{refused}");
    assert_eq!(base(append(&rig, 0, 20_000).await).await, Offset(0), "it knows the boundary now");
    assert_eq!(base(append(&rig, 0, 20_000).await).await, Offset(1));
}

#[tokio::test(start_paused = true)]
async fn shutdown_answers_everything_and_then_refuses() {
    let config =
        BrokerConfig { flushes_per_second_max: 1.0, linger_max: Duration::from_secs(1), ..small_segments() };
    let rig = Rig::new(memory(), config).await;
    rig.store.plan(&[Put::After(20 * MS); 8]);
    let mut pending = Vec::new();
    for _ in 0..4 {
        pending.push(append(&rig, 0, 100).await);
        sleep(MS).await;
    }
    let started = Instant::now();
    rig.writer.shutdown().await;
    // What had gathered went at once, without its linger.
    assert!(started.elapsed() <= 40 * MS, "{:?}", started.elapsed());
    for (expect, pending) in (0..).zip(pending) {
        assert_eq!(base(pending).await, Offset(expect));
    }
    let late = rig.writer.append(vec![rig.to(0, batch(10))]).await;
    assert_eq!(late.expect_err("closed"), ProduceError::Closed);
    rig.writer.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_writer_leaves_nobody_waiting() {
    let rig = Rig::new(memory(), small_segments()).await;
    rig.store.plan(&[Put::Never]);
    let pending = append(&rig, 0, 20_000).await;
    drop(rig.writer);
    assert!(matches!(error(pending).await, ProduceError::TimedOut(_)));
}

/// A log whose appends can be made to hang.
#[derive(Clone, Debug)]
struct StuckLog {
    inner: MemoryLog,
    stuck: Arc<AtomicBool>,
}

#[async_trait]
impl CommitLog for StuckLog {
    async fn append(&self, position: LogPosition, entry: &EntryBytes) -> Result<(), AppendError> {
        if self.stuck.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.inner.append(position, entry).await
    }

    async fn read(&self, position: LogPosition) -> Result<Option<Bytes>, ReadError> {
        self.inner.read(position).await
    }

    async fn tail(&self, from: LogPosition) -> Result<LogPosition, ReadError> {
        self.inner.tail(from).await
    }

    async fn truncate(&self, below: LogPosition, keep: &[LogPosition]) -> Result<(), ReadError> {
        self.inner.truncate(below, keep).await
    }

    fn object(&self, position: LogPosition) -> Option<Path> {
        self.inner.object(position)
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_without_an_answer_may_have_happened() {
    let stuck = Arc::new(AtomicBool::new(false));
    let log = StuckLog { inner: MemoryLog::new(), stuck: stuck.clone() };
    let rig = Rig::new(Arc::new(log), BrokerConfig::default()).await;
    stuck.store(true, Ordering::Relaxed);
    let started = Instant::now();
    let unsure = error(append(&rig, 0, 10).await).await;
    assert!(matches!(unsure, ProduceError::TimedOut(_)), "{unsure}");
    assert_eq!(started.elapsed(), metastore_config().append_deadline);
}

/// The median latency at 1 MB/s over a log that takes 30 ms for each put.
async fn median_of_a_stream(uploads_in_flight_max: usize, flushes_per_second_max: f64) -> Duration {
    let config = BrokerConfig {
        uploads_in_flight_max,
        flushes_per_second_max,
        linger_max: 250 * MS,
        ..BrokerConfig::default()
    };
    let rig = Arc::new(Rig::new(slow_bucket(), config).await);
    let mut waits = Vec::new();
    for _ in 0..1_000 {
        let pending = append(&rig, 0, 1_000).await;
        let started = Instant::now();
        waits.push(tokio::spawn(async move {
            base(pending).await;
            started.elapsed()
        }));
        sleep(MS).await;
    }
    let mut latencies = Vec::new();
    for wait in waits {
        latencies.push(wait.await.expect("no panic"));
    }
    assert_eq!(rig.high_watermark(0), Offset(1_000));
    latencies.sort_unstable();
    latencies[latencies.len() / 2]
}

/// The figure that the linger rule is made for: at 1 MB/s and 30 ms a PUT, the median stays within 1.15 PUTs.
#[tokio::test(start_paused = true)]
async fn a_stream_of_small_appends_waits_for_little_more_than_one_put() {
    let median = median_of_a_stream(16, 250.0).await;
    assert!(median <= Duration::from_micros(34_500), "{median:?}");
}

/// Flushes gather in the open segment when the log takes fewer than the rate allows, and do not queue up behind it.
#[tokio::test(start_paused = true)]
async fn a_log_slower_than_the_rate_makes_segments_larger_and_no_queue() {
    let median = median_of_a_stream(2, 1_000.0).await;
    assert!(median <= 45 * MS, "{median:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_offsets_are_dense_and_everybody_keeps_its_order() {
    const APPENDS: usize = 200;
    let config = BrokerConfig { unflushed_bytes_max: 200_000, ..small_segments() };
    let rig = Arc::new(Rig::new(memory(), config).await);
    let producers = (0..4).map(|_| {
        let rig = Arc::clone(&rig);
        tokio::spawn(async move {
            let mut pending = Vec::new();
            for at in 0..APPENDS {
                pending.push(append(&rig, 0, if at % 7 == 0 { 15_000 } else { 500 }).await);
            }
            futures::future::join_all(pending.into_iter().map(base)).await
        })
    });
    let mut all = Vec::new();
    for bases in futures::future::join_all(producers).await {
        let bases = bases.expect("no panic");
        assert!(bases.is_sorted(), "{bases:?}");
        all.extend(bases);
    }
    all.sort_unstable();
    let dense: Vec<Offset> = (0..).map(Offset).take(4 * APPENDS).collect();
    assert_eq!(all, dense);
}
