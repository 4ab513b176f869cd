//! The producer: batches records by partition and delivers them, by default exactly once and in order.

mod record;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

pub use record::{Acks, Compression, Header, Record, RecordMetadata};

use crate::Error;

/// Sends records. Clones share the batches, the memory and the producer id.
#[derive(Debug, Clone)]
pub struct Producer {}

impl Producer {
    /// Takes a record in, and answers a future that resolves when the record is acknowledged.
    ///
    /// Awaiting `send` itself only waits for the topic's metadata (first use) and for room in the producer's memory;
    /// records of one task keep their order. The delivery happens whether or not the [`Delivery`] is awaited.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown topic or partition, [`Error::Usage`] for a record larger than the memory,
    /// [`Error::Closed`] after [`Producer::close`].
    #[expect(clippy::unused_async, reason = "the body follows")]
    pub async fn send(&self, topic: &str, record: Record) -> Result<Delivery, Error> {
        todo!("{topic} {record:?}")
    }

    /// Sends what is waiting at once, and returns when every record taken in before is acknowledged or has failed.
    ///
    /// # Errors
    /// The first error of a record that failed since the last flush.
    #[expect(clippy::unused_async, reason = "the body follows")]
    pub async fn flush(&self) -> Result<(), Error> {
        todo!()
    }

    /// Takes no more records, flushes and ends.
    ///
    /// # Errors
    /// As [`Producer::flush`].
    #[expect(clippy::unused_async, reason = "the body follows")]
    pub async fn close(&self) -> Result<(), Error> {
        todo!()
    }
}

/// The outcome of one record, resolved when the record is acknowledged or has failed for good.
#[derive(Debug)]
#[must_use = "a delivery says whether the record was written"]
pub struct Delivery {}

impl Future for Delivery {
    type Output = Result<RecordMetadata, Error>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}

/// Settings of a [`Producer`]. The defaults need no tuning.
#[derive(Debug, Clone)]
#[must_use]
pub struct ProducerBuilder {}

impl ProducerBuilder {
    /// When a record counts as written. Default: [`Acks::All`]. The others turn idempotence off.
    pub fn acks(self, acks: Acks) -> Self {
        todo!("{acks:?}")
    }

    /// How batches are compressed. Default: [`Compression::None`].
    pub fn compression(self, compression: Compression) -> Self {
        todo!("{compression:?}")
    }

    /// Whether the cluster recognises repeated batches, so that retries neither duplicate nor reorder. Default: on
    /// with [`Acks::All`].
    pub fn idempotent(self, idempotent: bool) -> Self {
        todo!("{idempotent}")
    }

    /// How long a batch may wait for more records while an earlier one is on its way; with nothing on its way a batch
    /// leaves at once. Default: 5 ms.
    pub fn linger(self, linger: Duration) -> Self {
        todo!("{linger:?}")
    }

    /// The size at which a batch is closed, in bytes before compression. Default: 1,000,000, which stays under
    /// Kafka's default `max.message.bytes` whatever the records hold.
    pub fn batch_bytes_max(self, bytes: usize) -> Self {
        todo!("{bytes}")
    }

    /// The memory for records not yet acknowledged, in bytes; [`Producer::send`] waits while it is full.
    /// Default: 64 MiB.
    pub fn memory_bytes_max(self, bytes: usize) -> Self {
        todo!("{bytes}")
    }

    /// How long a record may take from `send` to its acknowledgement, with retries, before it fails. Default: 2 min.
    pub fn delivery_timeout(self, timeout: Duration) -> Self {
        todo!("{timeout:?}")
    }

    /// Makes the producer. It connects when the first record is sent.
    ///
    /// # Errors
    /// [`Error::Usage`] when settings contradict each other.
    pub fn build(self) -> Result<Producer, Error> {
        todo!()
    }
}
