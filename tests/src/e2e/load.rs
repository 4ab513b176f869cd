//! Producers and readers over the SDK that go on through an agent's crashes and record all that they see.
//!
//! Every record is unique and says itself what it must hold, so that a damaged one is noticed.

use std::{sync::Arc, time::Duration};

use ebb_protocol::random::Random;
use ebbtide::{
    Client, Consumer, ConsumerRecord, Delivery, Error, FetchedBatch, Isolation, Offset, PartitionIndex,
    Record, Start, admin::OffsetSpec,
};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::history::History;
use crate::check::{Action, Outcome, Read, Send};

/// A producer's number stands above these bits of a value, its count of records below.
const COUNT_BITS: u32 = 40;
/// Records that a producer has in flight.
const IN_FLIGHT_MAX: usize = 8;
/// Pause of a producer between two records, and of a reader that looks at a place chosen at random.
const PACE: Duration = Duration::from_millis(1);
const LOOK_PACE: Duration = Duration::from_millis(20);
/// What one look at the log may take; an agent that is down answers nobody.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// Pause after an error.
const RETRY: Duration = Duration::from_millis(10);
/// The complete read at the end must be done in this time.
const LAST_READ_MAX: Duration = Duration::from_secs(120);

/// What to do to a topic.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The topic.
    pub topic: &'static str,
    /// Its partitions.
    pub partitions: i32,
    /// For each producer the largest size of its records.
    pub producers: Vec<usize>,
    /// How long a record may be under way before its producer gives up.
    pub delivery_timeout: Duration,
    /// The seed of what is random in it.
    pub seed: u64,
}

/// Producers and readers at work.
#[derive(Debug)]
pub struct Load {
    plan: Plan,
    history: Arc<History>,
    stop: CancellationToken,
    producers: JoinSet<()>,
    readers: JoinSet<()>,
    processes: u32,
}

impl Load {
    /// Starts the producers, one reader of everything for each client, and for each client one that looks at places
    /// chosen at random. Producers take the clients in turn.
    #[must_use]
    pub fn start(plan: Plan, clients: &[Client]) -> Self {
        let mut load = Self {
            plan,
            history: Arc::new(History::default()),
            stop: CancellationToken::new(),
            producers: JoinSet::new(),
            readers: JoinSet::new(),
            processes: 0,
        };
        let sizes = load.plan.producers.clone();
        for (bytes_max, client) in sizes.into_iter().zip(clients.iter().cycle()) {
            let process = load.process(client);
            load.producers.spawn(process.produce(bytes_max));
        }
        for client in clients {
            let (reader, looker) = (load.process(client), load.process(client));
            load.readers.spawn(reader.read());
            load.readers.spawn(looker.look());
        }
        load
    }

    fn process(&mut self, client: &Client) -> Process {
        self.processes += 1;
        Process {
            number: self.processes,
            plan: self.plan.clone(),
            client: client.clone(),
            history: self.history.clone(),
            stop: self.stop.clone(),
            random: Random::from_seed(self.plan.seed ^ u64::from(self.processes)),
        }
    }

    /// What was seen so far.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Waits until this many more records have been acknowledged.
    ///
    /// # Panics
    /// When that takes longer than `max`: the log is not available.
    pub async fn progress(&self, records: usize, max: Duration) {
        let goal = self.history.counts().acknowledged + records;
        let reached = async {
            while self.history.counts().acknowledged < goal {
                sleep(PACE).await;
            }
        };
        let counts = timeout(max, reached).await.map_err(|_| self.history.counts());
        assert_eq!(counts, Ok(()), "no progress in {max:?}");
    }

    /// Stops the producers, waits for what they have in flight, reads everything once more, and answers the history.
    ///
    /// # Panics
    /// When a process failed, or the log cannot be read.
    pub async fn finish(mut self, client: &Client) -> Arc<History> {
        self.stop.cancel();
        for mut processes in [std::mem::take(&mut self.producers), std::mem::take(&mut self.readers)] {
            while let Some(ended) = processes.join_next().await {
                ended.expect("a process of the load does not panic");
            }
        }
        let last = self.process(client);
        timeout(LAST_READ_MAX, last.read_all()).await.expect("the log can be read in time");
        self.history
    }
}

/// One client process.
struct Process {
    number: u32,
    plan: Plan,
    client: Client,
    history: Arc<History>,
    stop: CancellationToken,
    random: Random,
}

impl Process {
    async fn produce(self, bytes_max: usize) {
        let builder = self.client.producer().delivery_timeout(self.plan.delivery_timeout);
        let producer = builder.build().expect("the settings are sensible");
        let mut orders = vec![0; usize::try_from(self.plan.partitions).expect("a topic has partitions")];
        let mut in_flight = FuturesUnordered::new();
        let mut count = 0;
        while !self.stop.is_cancelled() {
            let partition = usize::try_from(self.random.below(orders.len() as u64)).expect("an index");
            let value = (u64::from(self.number) << COUNT_BITS) | count;
            count += 1;
            let order = orders[partition];
            orders[partition] += 1;
            let partition = u32::try_from(partition).expect("an index is small");
            let size = usize::try_from(self.random.below(bytes_max as u64)).expect("a size is small");
            let record = Record::new(content(value, size)).partition(index(partition));
            let send = Send {
                partition,
                producer: Some((self.number.into(), order)),
                values: vec![value],
                base: None,
            };
            let invoked = self.history.now();
            match producer.send(self.plan.topic, record).await {
                Ok(delivery) => in_flight.push(self.deliver(send, invoked, delivery)),
                Err(error) => {
                    self.sent(send, invoked, Err(error));
                    sleep(RETRY).await;
                }
            }
            if in_flight.len() >= IN_FLIGHT_MAX {
                in_flight.next().await;
            }
            sleep(PACE).await;
        }
        while in_flight.next().await.is_some() {}
        drop(in_flight);
        // What failed is in the history.
        let _ = producer.close().await;
    }

    async fn deliver(&self, send: Send, invoked: u64, delivery: Delivery) {
        let delivered = delivery.await;
        self.sent(send, invoked, delivered.map(|metadata| metadata.offset));
    }

    fn sent(&self, mut send: Send, invoked: u64, result: Result<Option<Offset>, Error>) {
        let outcome = match result {
            Ok(offset) => {
                send.base = Some(offset.expect("with acks=all the agent says the offset").0);
                Outcome::Ok
            }
            Err(error) if error.has_no_side_effects() => Outcome::Failed,
            Err(_) => Outcome::Unknown,
        };
        self.history.add(self.number, invoked, outcome, Action::Send(send));
    }

    /// Reads everything from the start as it comes, as most consumers do.
    async fn read(self) {
        let mut consumer = self.consumer();
        while let Err(error) = consumer.assign_topic(self.plan.topic, Start::Earliest).await {
            assert!(error.is_retriable(), "the topic can be read: {error}");
            sleep(RETRY).await;
            if self.stop.is_cancelled() {
                return;
            }
        }
        let mut positions = vec![0; usize::try_from(self.plan.partitions).expect("a topic has partitions")];
        loop {
            let invoked = self.history.now();
            let batch = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                batch = consumer.next_batch() => batch,
            };
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => {
                    assert!(error.is_retriable(), "reading goes on: {error}");
                    sleep(RETRY).await;
                    continue;
                }
            };
            // It was fetched ahead, at a time that nobody knows, so its watermark says nothing about now.
            let from = &mut positions[usize::try_from(batch.partition().0).expect("an index")];
            let read = Read { high_watermark: None, ..records(&batch, *from) };
            *from = batch.next_offset().0;
            self.history.add(self.number, invoked, Outcome::Ok, Action::Read(read));
        }
    }

    /// Looks where the log ends, and reads from some place before it, each time with a consumer of its own, so that
    /// nothing was fetched before it was asked for.
    async fn look(self) {
        while !self.stop.is_cancelled() {
            // An agent that is down gives no answer, which is nothing seen.
            if let Ok(Err(error)) = timeout(LOOK_MAX, self.look_once()).await {
                assert!(error.is_retriable(), "the log can be looked at: {error}");
            }
            sleep(LOOK_PACE).await;
        }
    }

    async fn look_once(&self) -> Result<(), Error> {
        let partition = u32::try_from(self.random.below(u64::try_from(self.plan.partitions).unwrap_or(1)))
            .expect("an index is small");
        let end = self.end(partition).await?;
        if end == 0 {
            return Ok(());
        }
        let from = i64::try_from(self.random.below(u64::try_from(end).unwrap_or(1))).expect("an offset");
        let mut consumer = self.consumer();
        let invoked = self.history.now();
        consumer.assign(self.plan.topic, index(partition), Start::Offset(Offset(from))).await?;
        let batch = consumer.next_batch().await?;
        // Only the end of the log is looked up anew for every request; what lies before it cannot change.
        let read = Read { seek: true, high_watermark: None, ..records(&batch, from) };
        assert!(!read.records.is_empty(), "partition {partition} ends at {end}, and nothing is at {from}");
        self.history.add(self.number, invoked, Outcome::Ok, Action::Read(read));
        Ok(())
    }

    /// Where a partition ends now.
    async fn end(&self, partition: u32) -> Result<i64, Error> {
        let invoked = self.history.now();
        let (admin, isolation) = (self.client.admin(), Isolation::ReadUncommitted);
        let listed =
            admin.list_offsets(self.plan.topic, &[index(partition)], OffsetSpec::Latest, isolation).await?;
        let end = listed.first().and_then(|listed| listed.offset).expect("a partition has an end").0;
        let read = Read {
            partition,
            from: end,
            seek: true,
            records: Vec::new(),
            log_start: 0,
            high_watermark: Some(end),
            last: false,
        };
        self.history.add(self.number, invoked, Outcome::Ok, Action::Read(read));
        Ok(end)
    }

    /// The complete read of every partition after everything has come to rest.
    async fn read_all(self) {
        for partition in 0..u32::try_from(self.plan.partitions).expect("a topic has partitions") {
            let end = self.end(partition).await.expect("the agent serves");
            let mut consumer = self.consumer();
            let start = Start::Offset(Offset(0));
            consumer.assign(self.plan.topic, index(partition), start).await.expect("the agent serves");
            let mut from = 0;
            while from < end {
                let invoked = self.history.now();
                let batch = consumer.next_batch().await.expect("the agent serves");
                let read =
                    Read { seek: from == 0, last: true, high_watermark: Some(end), ..records(&batch, from) };
                from = batch.next_offset().0;
                self.history.add(self.number, invoked, Outcome::Ok, Action::Read(read));
            }
        }
    }

    fn consumer(&self) -> Consumer {
        self.client.consumer().build().expect("the settings are sensible")
    }
}

fn index(partition: u32) -> PartitionIndex {
    PartitionIndex(i32::try_from(partition).expect("an index is small"))
}

/// What a batch holds from `from` on, as a step of the history.
fn records(batch: &FetchedBatch, from: i64) -> Read {
    let records = batch.records().expect("a batch can be decompressed");
    let records = records.map(|record| record.map(|record| (record.offset.0, value(&record))));
    Read {
        partition: u32::try_from(batch.partition().0).expect("an index"),
        from,
        seek: false,
        records: records.collect::<Result<_, _>>().expect("a batch can be decoded"),
        log_start: 0,
        high_watermark: Some(batch.high_watermark().0),
        last: false,
    }
}

/// What a record with this value holds: the value, and bytes that follow from it.
fn content(value: u64, size: usize) -> Vec<u8> {
    let mut bytes = value.to_be_bytes().to_vec();
    let random = Random::from_seed(value);
    while bytes.len() < size {
        bytes.extend_from_slice(&random.next_u64().to_be_bytes());
    }
    bytes
}

/// The value of a record; `None` when it does not hold what it was sent with.
fn value(record: &ConsumerRecord) -> Option<u64> {
    let bytes = record.value.as_deref()?;
    let value = u64::from_be_bytes(*bytes.first_chunk()?);
    (content(value, bytes.len()) == bytes).then_some(value)
}
