//! Readers: some read on from where they are and change agents, some ask where partitions end.

use std::{sync::Arc, time::Duration};

use ebb_agent::broker::{Broker, FetchError, OffsetQuery, Read as Want};
use ebb_protocol::ids::{Offset, PartitionIndex, Timestamp, TopicId};
use futures::future::BoxFuture;
use tokio::time::sleep;

use super::{network::Client, plan::millis, plan::pick, probes::Probe, producers::Closing, values};
use crate::check::{Action, Outcome, Read};

/// A reader's place in a partition.
#[derive(Clone, Copy, Debug)]
struct Place {
    index: PartitionIndex,
    next: i64,
    /// The next read is from an offset that was chosen anew.
    seek: bool,
}

/// What a fetch of one partition gave a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It read on.
    Records,
    /// It is at the end, as of a moment after it asked.
    End,
    /// It does not know.
    Nothing,
}

/// A reader of all partitions of a topic.
#[derive(Debug)]
pub(super) struct Reader {
    client: Arc<Client>,
    process: u32,
    topic: TopicId,
    places: Vec<Place>,
    last: bool,
    /// It wants to come to the end and does not dawdle.
    ending: bool,
}

/// What a reader in a hurry asks for at once, in bytes.
const BYTES_MAX: u64 = 1 << 20;

impl Reader {
    /// A reader at the beginning. With `last`, its reads count as the complete read of the partitions.
    pub(super) fn new(client: Arc<Client>, topic: TopicId, partitions: i32, last: bool) -> Self {
        let process = client.cluster.world.process();
        let place = |index| Place { index: PartitionIndex(index), next: 0, seek: true };
        Self { client, process, topic, places: (0..partitions).map(place).collect(), last, ending: false }
    }

    /// Fetches some partitions once. Says of each what came of it.
    pub(super) async fn fetch(&mut self, which: &[usize], wait: Duration) -> Vec<Step> {
        let random = &self.client.random;
        let bytes_min = pick(random, &[1, 1, 2_000]);
        let bytes_max = if self.ending { BYTES_MAX } else { pick(random, &[1, 4_000, BYTES_MAX]) };
        let places = which.iter().filter_map(|place| self.places.get(*place));
        let wants: Vec<_> = places.map(|place| self.want(place)).collect();
        let invoked = self.client.cluster.world.moment();
        let asked = wants.clone();
        let ask = move |broker: Arc<Broker>| -> BoxFuture<'static, _> {
            Box::pin(async move { broker.fetch(&asked, bytes_min, bytes_max, wait).await })
        };
        let Ok(answers) = self.client.call(ask).await else { return vec![Step::Nothing; which.len()] };
        // Only a fetch that finds nothing at all has asked for the tail of the log.
        let current =
            answers.iter().flatten().all(|read| read.records.is_empty()) && answers.iter().all(Result::is_ok);
        let mut steps = Vec::with_capacity(which.len());
        for (place, answer) in which.iter().zip(answers) {
            steps.push(self.take(*place, invoked, answer, current));
        }
        steps
    }

    fn want(&self, place: &Place) -> Want {
        let bytes_max =
            if self.ending { BYTES_MAX } else { pick(&self.client.random, &[1, 3_000, BYTES_MAX]) };
        Want { topic: self.topic, partition: place.index, from: Offset(place.next), bytes_max }
    }

    fn take(
        &mut self,
        at: usize,
        invoked: u64,
        answer: Result<ebb_agent::broker::ReadBatches, FetchError>,
        current: bool,
    ) -> Step {
        let Some(place) = self.places.get(at).copied() else { return Step::Nothing };
        let world = self.client.cluster.world.clone();
        let mut out_of_range = false;
        let (head, records, step) = match answer {
            Ok(read) if read.records.is_empty() => {
                let at_end = read.head.high_watermark.0 <= place.next;
                (read.head, Vec::new(), if at_end { Step::End } else { Step::Nothing })
            }
            Ok(read) => {
                let records = values::decode(&read.records);
                (read.head, records, Step::Records)
            }
            Err(FetchError::OffsetOutOfRange(head)) if place.next < head.log_start.0 => {
                world.probe(Probe::ReaderBelowLogStart);
                if let Some(place) = self.places.get_mut(at) {
                    (place.next, place.seek) = (head.log_start.0, true);
                }
                return Step::Nothing;
            }
            // Beyond the end: the history will say that the end went back.
            Err(FetchError::OffsetOutOfRange(head)) => {
                out_of_range = true;
                (head, Vec::new(), Step::Nothing)
            }
            Err(FetchError::Storage(_)) => {
                world.probe(Probe::DamageFound);
                self.client.leave();
                return Step::Nothing;
            }
            Err(FetchError::UnknownPartition | FetchError::Metastore(_)) => {
                self.client.leave();
                return Step::Nothing;
            }
        };
        let read = Read {
            partition: world.partition(self.topic, place.index),
            from: place.next,
            seek: place.seek,
            // Batches are given whole: records before the offset asked for are left out, as every client does.
            records: records.into_iter().filter(|record| record.0 >= place.next).collect(),
            log_start: head.log_start.0,
            high_watermark: (current || out_of_range).then_some(head.high_watermark.0),
            last: self.last,
        };
        if let (Some(place), Some(last)) = (self.places.get_mut(at), read.records.last()) {
            place.next = last.0 + 1;
        }
        if let Some(place) = self.places.get_mut(at) {
            place.seek = false;
        }
        world.record(self.process, invoked, Outcome::Ok, Action::Read(read));
        step
    }

    /// Reads every partition to its end. Whoever cannot be read keeps it waiting for ever.
    pub(super) async fn read_to_end(&mut self) {
        self.ending = true;
        for place in 0..self.places.len() {
            while self.fetch(&[place], Duration::ZERO).await != [Step::End] {
                sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Where it is in each partition.
    pub(super) fn offsets(&self) -> Vec<i64> {
        self.places.iter().map(|place| place.next).collect()
    }

    /// Reads on until it is told to end, and then to the end.
    pub(super) async fn run(mut self, closing: Arc<Closing>) {
        let random = self.client.random.clone();
        while !closing.is_set() {
            let partitions = self.places.len() as u64;
            let count = 1 + random.below(partitions.min(3));
            let which: Vec<_> =
                (0..count).map(|_| usize::try_from(random.below(partitions)).unwrap_or(0)).collect();
            let mut which = which;
            which.sort_unstable();
            which.dedup();
            let wait = millis(&random, 0, 800);
            if self.fetch(&which, wait).await.iter().all(|step| *step == Step::Nothing) {
                sleep(millis(&random, 5, 100)).await;
            }
            if random.chance(0.1) {
                self.client.leave();
                self.client.cluster.world.probe(Probe::ReaderMoved);
            }
            if random.chance(0.01)
                && let Some(place) =
                    self.places.get_mut(usize::try_from(random.below(partitions)).unwrap_or(0))
            {
                // Now and then it begins anew.
                (place.next, place.seek) = (0, true);
            }
        }
        self.read_to_end().await;
    }
}

/// Asks where partitions end, and begin, and at which offset a time is, until it is told to end.
pub(super) async fn tail(client: Arc<Client>, topic: TopicId, partitions: i32, closing: Arc<Closing>) {
    let (world, random) = (client.cluster.world.clone(), client.random.clone());
    let process = world.process();
    while !closing.is_set() {
        let index =
            PartitionIndex(i32::try_from(random.below(partitions.unsigned_abs().into())).unwrap_or(0));
        let query = pick(
            &random,
            &[
                OffsetQuery::Latest,
                OffsetQuery::Latest,
                OffsetQuery::LastStable,
                OffsetQuery::MaxTimestamp,
                OffsetQuery::At(Timestamp(1_759_999_999_990)),
            ],
        );
        let invoked = world.moment();
        if let Some(end) = ask(&client, topic, index, query).await
            && matches!(query, OffsetQuery::Latest | OffsetQuery::LastStable)
        {
            let partition = world.partition(topic, index);
            let read = Read {
                partition,
                from: end.0,
                seek: true,
                records: Vec::new(),
                log_start: 0,
                high_watermark: Some(end.0),
                last: false,
            };
            world.record(process, invoked, Outcome::Ok, Action::Read(read));
        }
        sleep(millis(&random, 0, 500)).await;
        if random.chance(0.3) {
            client.leave();
        }
    }
}

/// Asks for an offset.
pub(super) async fn ask(
    client: &Client,
    topic: TopicId,
    index: PartitionIndex,
    query: OffsetQuery,
) -> Option<Offset> {
    let ask = move |broker: Arc<Broker>| -> BoxFuture<'static, _> {
        Box::pin(async move { broker.find_offsets(&[(topic, index, query)]).await.pop() })
    };
    let found = client.call(ask).await.ok().flatten()?;
    found.ok().flatten().map(|found| found.offset)
}
