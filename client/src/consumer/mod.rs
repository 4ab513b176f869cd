//! The consumer: reads assigned partitions ahead of its user, within a memory limit. `group` is for those
//! that share topics with others.

mod assignment;
mod fetch;
mod group;
mod lane;
mod reader;
mod record;
mod source;

use std::{sync::Arc, time::Duration};

use futures::Stream;
pub use group::{Assignor, GroupConsumer, GroupConsumerBuilder, Rebalance};
pub use record::{ConsumerRecord, FetchedBatch, Records};

use self::{
    assignment::{Item, Key},
    fetch::Limits,
    reader::{Reader, Settings},
};
use crate::{Error, Offset, PartitionIndex, Timestamp, cluster::Cluster};

/// The largest number that Kafka's fields for sizes can hold.
const KAFKA_BYTES_MAX: usize = i32::MAX as usize;
/// The longest time a fetch may wait: with the longest request time it must end before a connection counts as idle.
const FETCH_WAIT_MAX: Duration = Duration::from_secs(10);

/// Where to begin reading a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record that is still there.
    Earliest,
    /// After the last record there is now.
    Latest,
    /// At this offset.
    Offset(Offset),
    /// At the first record with this time or a later one; at the end when there is none.
    Timestamp(Timestamp),
}

/// Which records of transactions are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// All records up to the high watermark.
    #[default]
    ReadUncommitted,
    /// Only records of finished transactions, up to the last stable offset.
    ReadCommitted,
}

/// What to do when the position lies outside the log, say because retention passed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutOfRange {
    /// Stop with [`Error::OffsetOutOfRange`].
    #[default]
    Fail,
    /// Go on at the first record that is still there.
    Earliest,
    /// Go on at the end.
    Latest,
}

/// Reads assigned partitions. Fetching goes on in the background while there is room for prefetched bytes.
#[derive(Debug)]
pub struct Consumer {
    reader: Arc<Reader>,
    /// The batch that [`Consumer::next_record`] is in.
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    batch: FetchedBatch,
    generation: u64,
    records: Records,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.reader.close();
    }
}

impl Consumer {
    /// Starts reading a partition. Assigning it again is a seek.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown topic, [`Error::Usage`] for an unknown partition; what a request can fail
    /// with.
    pub async fn assign(&self, topic: &str, partition: PartitionIndex, start: Start) -> Result<(), Error> {
        self.reader.assign(topic, Some(&[partition]), start, None).await.map(|_| ())
    }

    /// Starts reading all partitions that a topic has now, and answers them.
    ///
    /// # Errors
    /// As [`Consumer::assign`].
    pub async fn assign_topic(&self, topic: &str, start: Start) -> Result<Vec<PartitionIndex>, Error> {
        self.reader.assign(topic, None, start, None).await
    }

    /// Stops reading a partition and drops what was prefetched of it. Nothing happens when it is not assigned.
    pub fn unassign(&self, topic: &str, partition: PartitionIndex) {
        self.reader.assignment.lock().unassign(&key(topic, partition));
        self.reader.wake_all();
    }

    /// Goes on reading an assigned partition elsewhere; what was prefetched of it is dropped.
    ///
    /// # Errors
    /// [`Error::Usage`] when the partition is not assigned; what a request can fail with.
    pub async fn seek(&self, topic: &str, partition: PartitionIndex, start: Start) -> Result<(), Error> {
        if self.position(topic, partition).is_none() {
            let text =
                format!("topic {topic:?} partition {partition} is not assigned: assign it before seeking");
            return Err(Error::Usage(text.into()));
        }
        self.assign(topic, partition, start).await
    }

    /// Holds a partition back: it is neither fetched nor returned until [`Consumer::resume`].
    pub fn pause(&self, topic: &str, partition: PartitionIndex) {
        self.set_paused(topic, partition, true);
    }

    /// Ends [`Consumer::pause`].
    pub fn resume(&self, topic: &str, partition: PartitionIndex) {
        self.set_paused(topic, partition, false);
    }

    fn set_paused(&self, topic: &str, partition: PartitionIndex, paused: bool) {
        self.reader.assignment.lock().pause(&key(topic, partition), paused);
        self.reader.wake_all();
        self.reader.arrived.notify_one();
    }

    /// The offset after the last record that was returned, where reading will go on. None when not assigned.
    #[must_use]
    pub fn position(&self, topic: &str, partition: PartitionIndex) -> Option<Offset> {
        let assignment = self.reader.assignment.lock();
        assignment.partitions.get(&key(topic, partition)).map(|assigned| assigned.position)
    }

    /// The high watermark that the last fetch of the partition saw. None before the first fetch.
    #[must_use]
    pub fn high_watermark(&self, topic: &str, partition: PartitionIndex) -> Option<Offset> {
        let assignment = self.reader.assignment.lock();
        assignment.partitions.get(&key(topic, partition)).and_then(|assigned| assigned.high_watermark)
    }

    /// Waits for the next batch of any assigned partition. Decoding is left to the caller: the fastest way to read.
    /// What [`Consumer::next_record`] has left of a batch comes first. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What fetching failed with. The consumer may be used again afterwards.
    pub async fn next_batch(&mut self) -> Result<FetchedBatch, Error> {
        if let Some(current) = self.current.take() {
            self.reader.assignment.lock().put_back(current.batch, current.generation);
        }
        let batch = self.wait_for_batch().await?;
        self.reader.assignment.lock().advance(&batch, batch.next_offset());
        Ok(batch)
    }

    async fn wait_for_batch(&self) -> Result<FetchedBatch, Error> {
        loop {
            match self.reader.pop() {
                Some(Item::Batch(batch)) => return Ok(batch),
                Some(Item::Error(_, error)) => return Err(error),
                None => self.reader.arrived.notified().await,
            }
        }
    }

    /// Waits for the next record of any assigned partition. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`Consumer::next_batch`], and [`Error::Corrupt`] for a record that cannot be decoded.
    pub async fn next_record(&mut self) -> Result<ConsumerRecord, Error> {
        loop {
            if let Some(record) = self.next_of_current() {
                return record;
            }
            let batch = self.wait_for_batch().await?;
            let key = (batch.topic.clone(), batch.partition);
            let generation =
                self.reader.assignment.lock().partitions.get(&key).map(|assigned| assigned.generation);
            let records = batch.records()?;
            self.current = generation.map(|generation| Current { batch, generation, records });
        }
    }

    /// The next record of the batch begun, unless it is used up or the user has left its place.
    fn next_of_current(&mut self) -> Option<Result<ConsumerRecord, Error>> {
        let current = self.current.as_mut()?;
        let mut assignment = self.reader.assignment.lock();
        let key = (current.batch.topic.clone(), current.batch.partition);
        let assigned = assignment.partitions.get(&key);
        if assigned.is_none_or(|assigned| assigned.generation != current.generation) {
            self.current = None;
            return None;
        }
        if assigned.is_some_and(|assigned| assigned.paused) {
            let current = self.current.take()?;
            assignment.put_back(current.batch, current.generation);
            return None;
        }
        let next = current.records.next();
        match &next {
            Some(Ok(record)) => assignment.advance(&current.batch, record.offset.plus(1)),
            // What follows a record that cannot be read cannot be read either.
            Some(Err(_)) => {}
            None => {
                assignment.advance(&current.batch, current.batch.next_offset());
                self.current = None;
            }
        }
        next
    }

    /// The batches as a stream that does not end.
    pub fn batches(&mut self) -> impl Stream<Item = Result<FetchedBatch, Error>> + '_ {
        source::stream(self)
    }

    /// The records as a stream that does not end.
    pub fn records(&mut self) -> impl Stream<Item = Result<ConsumerRecord, Error>> + '_ {
        source::stream(self)
    }
}

/// A partition's key in the assignment.
fn key(topic: &str, partition: PartitionIndex) -> Key {
    (topic.into(), partition)
}

/// Settings of a [`Consumer`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ConsumerBuilder {
    cluster: Arc<Cluster>,
    settings: Settings,
}

impl ConsumerBuilder {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        let limits = Limits {
            isolation: Isolation::ReadUncommitted,
            bytes_min: 1,
            wait_max: Duration::from_millis(500),
            partition_bytes_max: 4 << 20,
        };
        let settings = Settings {
            limits,
            fetch_bytes_max: 16 << 20,
            prefetch_bytes_max: 64 << 20,
            out_of_range: OutOfRange::Fail,
        };
        Self { cluster, settings }
    }

    /// Which records of transactions are read. Default: [`Isolation::ReadUncommitted`].
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.settings.limits.isolation = isolation;
        self
    }

    /// What to do when a position lies outside the log. Default: [`OutOfRange::Fail`].
    pub fn out_of_range(mut self, policy: OutOfRange) -> Self {
        self.settings.out_of_range = policy;
        self
    }

    /// How many bytes may be read ahead of the user. Default: 64 MiB.
    pub fn prefetch_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.prefetch_bytes_max = bytes;
        self
    }

    /// How many bytes one fetch may bring in all, and of one partition. Defaults: 16 MiB and 4 MiB.
    pub fn fetch_bytes_max(mut self, all: usize, partition: usize) -> Self {
        self.settings.fetch_bytes_max = all;
        self.settings.limits.partition_bytes_max = partition;
        self
    }

    /// How many bytes a fetch waits for, and how long at most, up to 10 s. Defaults: 1 byte and 500 ms.
    pub fn fetch_wait(mut self, bytes_min: usize, wait_max: Duration) -> Self {
        self.settings.limits.bytes_min = bytes_min;
        self.settings.limits.wait_max = wait_max;
        self
    }

    /// A consumer of this group instead, with these settings.
    pub fn group(self, group: &str) -> GroupConsumerBuilder {
        GroupConsumerBuilder::new(self, group)
    }

    /// Makes the consumer.
    ///
    /// # Errors
    /// [`Error::Usage`] when a limit is 0 or larger than Kafka's fields can say.
    pub fn build(self) -> Result<Consumer, Error> {
        let settings = self.settings;
        let sizes = [
            ("prefetch limit", settings.prefetch_bytes_max),
            ("fetch limit", settings.fetch_bytes_max),
            ("fetch limit of a partition", settings.limits.partition_bytes_max),
        ];
        for (name, bytes) in sizes {
            if !(1..=KAFKA_BYTES_MAX).contains(&bytes) {
                return Err(Error::Usage(
                    format!("{name} {bytes} must be 1 to {KAFKA_BYTES_MAX} bytes").into(),
                ));
            }
        }
        if settings.limits.wait_max > FETCH_WAIT_MAX {
            let text =
                format!("fetch wait {:?} must be at most {FETCH_WAIT_MAX:?}", settings.limits.wait_max);
            return Err(Error::Usage(text.into()));
        }
        Ok(Consumer { reader: Arc::new(Reader::new(self.cluster, settings)), current: None })
    }
}
