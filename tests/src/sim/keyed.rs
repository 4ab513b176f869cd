//! A topic that is compacted by key: a producer of few keys and many tombstones, readers that read it from its beginning
//! to its end again and again, and somebody who deletes records at its beginning. What readers see is judged by itself
//! ([`super::book`]): the history's checker knows only logs without gaps. Owns its random numbers, so that runs without
//! such a topic stay as they are.

use std::{sync::Arc, time::Duration};

use ebb_agent::broker::{Append, Appended, Broker, FetchError, OffsetQuery, ProduceError, Read, ReadBatches};
use ebb_metastore::{
    command::{Command, ObjectRef},
    outcome::Outcome,
    state::State,
};
use ebb_protocol::{
    batch::{BatchBuilder, Compression, RecordBatch},
    ids::{Offset, PartitionIndex, Timestamp, TopicId},
    random::Random,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    admin,
    book::{Book, Reading, Said},
    cluster::Cluster,
    network::{Client, Lost},
    plan::{millis, pick},
    probes::Probe,
    producers::Closing,
    readers,
};

/// The topic's name.
const NAME: &str = "seats";

/// Its only partition.
const PARTITION: PartitionIndex = PartitionIndex(0);

/// Different keys of its records.
const KEYS: u64 = 5;

/// What a read in a hurry asks for, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// More than any batch here decompresses to.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 20;

/// Reading the topic at rest may take this long.
const READ_MAX: Duration = Duration::from_secs(300);

/// The topic, and what was sent to it.
#[derive(Debug)]
pub(super) struct Seats {
    topic: TopicId,
    book: Mutex<Book>,
}

/// How a reader reads.
#[derive(Clone, Copy, Debug)]
struct Manner {
    bytes_max: u64,
    /// The longest pause between two fetches, in milliseconds.
    pause_ms_max: u64,
    /// Has the agent look at the log's tail before each fetch.
    is_current: bool,
}

/// At rest.
const HASTY: Manner = Manner { bytes_max: BYTES_MAX, pause_ms_max: 1, is_current: true };

/// Creates the topic, and lets clients use it until told to end.
pub(super) async fn live(cluster: Arc<Cluster>, random: Random, closing: Arc<Closing>) -> Arc<Seats> {
    let client = || Client::new(cluster.clone(), random.fork());
    let retention = pick(&random, &["0", "5000", "86400000"]);
    let deletes = random.chance(0.6);
    let config = [
        ("cleanup.policy", if deletes { "compact,delete" } else { "compact" }),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", retention),
    ];
    let topic = admin::create_with(&client(), NAME, &config).await;
    let seats = Arc::new(Seats { topic, book: Mutex::new(Book::new(retention != "86400000")) });
    let mut tasks = JoinSet::new();
    tasks.spawn(write(client(), seats.clone(), closing.clone()));
    for _ in 0..pick(&random, &[1, 2]) {
        tasks.spawn(read_again_and_again(client(), seats.clone(), closing.clone()));
    }
    if deletes {
        tasks.spawn(trim(client(), seats.clone(), closing));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("clients of the compacted topic do not panic");
    }
    seats
}

async fn write(client: Arc<Client>, seats: Arc<Seats>, closing: Arc<Closing>) {
    let random = client.random.clone();
    let mut number = 0;
    while !closing.is_set() {
        let records: Vec<Said> = (0..=random.below(4))
            .map(|_| {
                number += 1;
                let key = u8::try_from(random.below(KEYS)).unwrap_or(0);
                (key, (!random.chance(0.2)).then_some(number))
            })
            .collect();
        let append = Append { topic: seats.topic, partition: PARTITION, batch: batch(&client, &records) };
        let sent = seats.book.lock().send(records);
        let (_, answer) = client.append(vec![append]).await;
        match answer.map(|mut answers| answers.pop()) {
            Ok(Some(Ok(Appended { base, .. }))) => seats.book.lock().acknowledge(sent, base.0),
            Ok(Some(Err(ProduceError::Storage(_) | ProduceError::Closed | ProduceError::Refused(_))))
            | Err(Lost { sent: false }) => {
                seats.book.lock().fail(sent);
                client.leave();
            }
            _ => {}
        }
        sleep(millis(&random, 0, 800)).await;
    }
}

fn batch(client: &Client, records: &[Said]) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for (key, number) in records {
        let value = number.map(u64::to_be_bytes);
        let value = value.as_ref().map(<[u8; 8]>::as_slice);
        builder.append(Timestamp(1_760_000_000_000), Some(&[*key]), value, &[]).expect("small records fit");
    }
    let compression = pick(&client.random, &[Compression::None, Compression::Lz4]);
    builder.finish(compression, None).expect("small records can be compressed")
}

/// Deletes records at the beginning now and then, seldom all of them.
async fn trim(client: Arc<Client>, seats: Arc<Seats>, closing: Arc<Closing>) {
    let (random, world, topic) = (client.random.clone(), client.cluster.world.clone(), seats.topic);
    while !closing.is_set() {
        sleep(millis(&random, 500, 8_000)).await;
        let Some(end) = readers::ask(&client, topic, PARTITION, OffsetQuery::Latest).await else { continue };
        let part = if random.chance(0.1) { 1 } else { 2 };
        let before = i64::try_from(random.below(end.0.unsigned_abs() / part + 1)).unwrap_or(0);
        seats.book.lock().ask(before);
        let delete = Command::DeleteRecords { topic, partition: PARTITION, before: Some(Offset(before)) };
        // When it was not answered it may have been done.
        if let Ok(Ok(Some(Outcome::RecordsDeleted { log_start }))) = client.submit(delete).await {
            if log_start.0 < before {
                world.violation(format!(
                    "records below {before} were deleted, and the log begins at {log_start}"
                ));
            }
            seats.book.lock().delete(log_start.0);
            if clean(&client.cluster, topic) > 0 {
                world.probe(Probe::CompactedDeleted);
            }
        }
        if random.chance(0.3) {
            client.leave();
        }
    }
}

/// Reads the topic from its beginning to its end, and judges what is there, until told to end.
async fn read_again_and_again(client: Arc<Client>, seats: Arc<Seats>, closing: Arc<Closing>) {
    let (random, world) = (client.random.clone(), client.cluster.world.clone());
    while !closing.is_set() {
        let manner = Manner {
            bytes_max: pick(&random, &[1, 3_000, BYTES_MAX]),
            pause_ms_max: pick(&random, &[1, 30, 300]),
            is_current: random.chance(0.6),
        };
        let reading = seats.read(&client, manner).await;
        if reading.clean > 0 {
            world.probe(Probe::CompactedRead);
        }
        for wrong in seats.book.lock().wrong(&reading) {
            world.violation(format!("compacted topic, read amid faults: {wrong}"));
        }
        client.leave();
        sleep(millis(&random, 0, 1_000)).await;
    }
}

/// Reads the topic through every agent, and judges what is there. At the end nothing is compacted any more.
pub(super) async fn judge(
    cluster: &Arc<Cluster>,
    client: impl Fn() -> Arc<Client>,
    seats: &Seats,
    is_settled: bool,
) {
    let world = &cluster.world;
    for slot in 0..world.plan.agents {
        let client = client();
        client.talk_to(slot);
        let Ok(reading) = timeout(READ_MAX, seats.read(&client, HASTY)).await else {
            world.violation(format!("slot {slot} cannot read the compacted topic to its end"));
            continue;
        };
        if reading.clean > 0 {
            world.probe(Probe::KeysCompacted);
        }
        for wrong in seats.book.lock().wrong(&Reading { is_settled, ..reading }) {
            world.violation(format!("compacted topic at slot {slot}: {wrong}"));
        }
    }
}

/// How far the topic is compacted.
fn clean(cluster: &Cluster, topic: TopicId) -> i64 {
    cluster.witness.read(|state| state.compaction(topic).map_or(0, |at| at.clean(PARTITION).0))
}

/// Up to where all of it is in the archive, and may have been compacted.
fn archived(cluster: &Cluster, topic: TopicId) -> i64 {
    let end_of = |state: &State| {
        let mut rows = state.rows(topic, PARTITION);
        let other = rows.find(|row| !matches!(row.object, ObjectRef::Archive(_))).map(|row| row.base);
        other.or_else(|| state.head(topic, PARTITION).map(|head| head.high_watermark))
    };
    cluster.witness.read(end_of).map_or(0, |end| end.0)
}

impl Seats {
    /// Everything in the topic from its beginning. Deletions move a reader on.
    async fn read(&self, client: &Client, manner: Manner) -> Reading {
        let mut reading = Reading {
            deleted: self.book.lock().deleted(),
            clean: clean(&client.cluster, self.topic),
            is_current: manner.is_current,
            ..Reading::default()
        };
        let mut next = 0;
        loop {
            reading.until = self.book.lock().until();
            match self.fetch(client, next, manner).await {
                Some(Ok(read)) => {
                    reading.begins(read.head.log_start);
                    if read.records.is_empty() && read.head.high_watermark.0 <= next {
                        reading.archived = archived(&client.cluster, self.topic);
                        return reading;
                    }
                    next = take(&mut reading.found, read, next);
                }
                Some(Err(FetchError::OffsetOutOfRange(head))) if next < head.log_start.0 => {
                    reading.begins(head.log_start);
                    next = head.log_start.0;
                }
                _ => client.leave(),
            }
            if manner.pause_ms_max > 1 && client.random.chance(0.05) {
                client.leave();
            }
            sleep(millis(&client.random, 1, manner.pause_ms_max)).await;
        }
    }

    async fn fetch(
        &self,
        client: &Client,
        next: i64,
        manner: Manner,
    ) -> Option<Result<ReadBatches, FetchError>> {
        let Manner { bytes_max, is_current, .. } = manner;
        let topic = self.topic;
        let want = [Read { topic, partition: PARTITION, from: Offset(next), bytes_max }];
        let ask = move |broker: Arc<Broker>| -> BoxFuture<'static, _> {
            Box::pin(async move {
                if is_current {
                    let earliest = [(topic, PARTITION, OffsetQuery::Earliest)];
                    if let Some(Err(error)) = broker.find_offsets(&earliest).await.pop() {
                        return Some(Err(error));
                    }
                }
                broker.fetch(&want, 1, bytes_max, Duration::ZERO).await.pop()
            })
        };
        client.call(ask).await.ok().flatten()
    }
}

impl Reading {
    /// Takes note of where the log is said to begin.
    fn begins(&mut self, at: Offset) {
        let (low, high) = self.starts.unwrap_or((at.0, at.0));
        self.starts = Some((low.min(at.0), high.max(at.0)));
    }
}

/// Takes what was read. Gives where to read on.
fn take(found: &mut Vec<(i64, Option<Said>)>, read: ReadBatches, from: i64) -> i64 {
    let mut next = from;
    for batch in RecordBatch::batches(read.records) {
        let Ok(batch) = batch else {
            found.push((next, None));
            return next + 1;
        };
        let records = batch.decode(DECOMPRESSED_BYTES_MAX).into_iter().flatten();
        let records = records.map(|record| match record {
            Ok(record) => (record.offset.0, said(record.key.as_deref(), record.value.as_deref())),
            Err(_) => (batch.base_offset().0, None),
        });
        found.extend(records.filter(|(offset, _)| *offset >= next));
        next = next.max(batch.last_offset().0 + 1);
    }
    next
}

/// What a record says; `None` when its bytes are not such as were sent.
fn said(key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Said> {
    let [key] = key? else { return None };
    let number = value.map(|value| value.try_into().map(u64::from_be_bytes)).transpose().ok()?;
    Some((*key, number))
}
