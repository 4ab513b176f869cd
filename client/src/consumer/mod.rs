//! The consumer: reads assigned partitions ahead of its user, within a memory limit. Groups come later.

mod record;

use std::time::Duration;

use futures::Stream;
pub use record::{ConsumerRecord, FetchedBatch, Records};

use crate::{Error, Offset, PartitionIndex, Timestamp};

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
pub struct Consumer {}

impl Consumer {
    /// Starts reading a partition. Assigning it again is a seek.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown topic or partition; what a request can fail with.
    #[expect(clippy::unused_async, reason = "the body follows")]
    pub async fn assign(&self, topic: &str, partition: PartitionIndex, start: Start) -> Result<(), Error> {
        todo!("{topic} {partition} {start:?}")
    }

    /// Starts reading all partitions that a topic has now, and answers them.
    ///
    /// # Errors
    /// As [`Consumer::assign`].
    #[expect(clippy::unused_async, reason = "the body follows")]
    pub async fn assign_topic(&self, topic: &str, start: Start) -> Result<Vec<PartitionIndex>, Error> {
        todo!("{topic} {start:?}")
    }

    /// Stops reading a partition and drops what was prefetched of it. Nothing happens when it is not assigned.
    pub fn unassign(&self, topic: &str, partition: PartitionIndex) {
        todo!("{topic} {partition}")
    }

    /// Goes on reading an assigned partition elsewhere; what was prefetched of it is dropped.
    ///
    /// # Errors
    /// [`Error::Usage`] when the partition is not assigned; what a request can fail with.
    #[expect(clippy::unused_async, reason = "the body follows")]
    pub async fn seek(&self, topic: &str, partition: PartitionIndex, start: Start) -> Result<(), Error> {
        todo!("{topic} {partition} {start:?}")
    }

    /// Holds a partition back: it is neither fetched nor returned until [`Consumer::resume`].
    pub fn pause(&self, topic: &str, partition: PartitionIndex) {
        todo!("{topic} {partition}")
    }

    /// Ends [`Consumer::pause`].
    pub fn resume(&self, topic: &str, partition: PartitionIndex) {
        todo!("{topic} {partition}")
    }

    /// The offset after the last record that was returned, where reading will go on. None when not assigned.
    #[must_use]
    pub fn position(&self, topic: &str, partition: PartitionIndex) -> Option<Offset> {
        todo!("{topic} {partition}")
    }

    /// The high watermark that the last fetch of the partition saw. None before the first fetch.
    #[must_use]
    pub fn high_watermark(&self, topic: &str, partition: PartitionIndex) -> Option<Offset> {
        todo!("{topic} {partition}")
    }

    /// Waits for the next batch of any assigned partition. Decoding is left to the caller: the fastest way to read.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// What fetching failed with. The consumer may be used again afterwards.
    #[expect(clippy::unused_async, reason = "the body follows")]
    pub async fn next_batch(&mut self) -> Result<FetchedBatch, Error> {
        todo!()
    }

    /// Waits for the next record of any assigned partition. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`Consumer::next_batch`], and [`Error::Corrupt`] for a record that cannot be decoded.
    #[expect(clippy::unused_async, reason = "the body follows")]
    pub async fn next_record(&mut self) -> Result<ConsumerRecord, Error> {
        todo!()
    }

    /// The batches as a stream that does not end.
    pub fn batches(&mut self) -> impl Stream<Item = Result<FetchedBatch, Error>> + '_ {
        futures::stream::unfold(self, |consumer| async {
            let next = consumer.next_batch().await;
            Some((next, consumer))
        })
    }

    /// The records as a stream that does not end.
    pub fn records(&mut self) -> impl Stream<Item = Result<ConsumerRecord, Error>> + '_ {
        futures::stream::unfold(self, |consumer| async {
            let next = consumer.next_record().await;
            Some((next, consumer))
        })
    }
}

/// Settings of a [`Consumer`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ConsumerBuilder {}

impl ConsumerBuilder {
    /// Which records of transactions are read. Default: [`Isolation::ReadUncommitted`].
    pub fn isolation(self, isolation: Isolation) -> Self {
        todo!("{isolation:?}")
    }

    /// What to do when a position lies outside the log. Default: [`OutOfRange::Fail`].
    pub fn out_of_range(self, policy: OutOfRange) -> Self {
        todo!("{policy:?}")
    }

    /// How many bytes may be read ahead of the user. Default: 64 MiB.
    pub fn prefetch_bytes_max(self, bytes: usize) -> Self {
        todo!("{bytes}")
    }

    /// How many bytes one fetch may bring in all, and of one partition. Defaults: 16 MiB and 4 MiB.
    pub fn fetch_bytes_max(self, all: usize, partition: usize) -> Self {
        todo!("{all} {partition}")
    }

    /// How many bytes a fetch waits for, and how long at most. Defaults: 1 byte and 500 ms.
    pub fn fetch_wait(self, bytes_min: usize, wait_max: Duration) -> Self {
        todo!("{bytes_min} {wait_max:?}")
    }

    /// Makes the consumer.
    ///
    /// # Errors
    /// [`Error::Usage`] when a limit is 0 or larger than Kafka's fields can say.
    pub fn build(self) -> Result<Consumer, Error> {
        todo!()
    }
}
