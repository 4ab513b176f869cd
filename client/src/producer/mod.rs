//! The producer: batches records by partition and delivers them, by default exactly once and in order.
//!
//! A record joins its partition's queue; lanes, one per stream, carry the queues' batches to the agents; the sender
//! is what they share.

mod batch;
mod identity;
mod lane;
mod partitioner;
mod queue;
mod record;
mod request;
mod sender;
mod topic;

use std::{sync::Arc, time::Duration};

pub use batch::Delivery;
pub use ebb_protocol::batch::{Compression, Header};
pub use record::{Acks, Record, RecordMetadata};

use self::sender::{Sender, Settings};
use crate::{Error, cluster::Cluster};

/// The largest limit on a producer's memory, in bytes.
const MEMORY_BYTES_MAX: usize = 1 << 31;
/// The largest limit on a batch, in bytes: a request must hold it.
const BATCH_BYTES_MAX: usize = 64 << 20;

/// Sends records. Clones share the batches, the memory and the producer id. When the last clone is dropped, what was
/// taken in is still sent in the background; [`Producer::close`] waits for it.
#[derive(Debug, Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    sender: Arc<Sender>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.sender.shut();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return self.sender.end() };
        let sender = self.sender.clone();
        runtime.spawn(async move {
            if let Err(error) = sender.flush().await {
                tracing::warn!(%error, "a dropped producer could not deliver all its records");
            }
            sender.end();
        });
    }
}

impl Producer {
    /// Takes a record in, and answers a future that resolves when the record is acknowledged.
    ///
    /// Awaiting `send` itself only waits for the topic's metadata (first use) and for room in the producer's memory;
    /// records of one task keep their order. The delivery happens whether or not the [`Delivery`] is awaited.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown topic, [`Error::Usage`] for an unknown partition and for a record larger
    /// than the memory, [`Error::Closed`] after [`Producer::close`].
    pub async fn send(&self, topic: &str, record: Record) -> Result<Delivery, Error> {
        self.handle.sender.send(topic, &record).await
    }

    /// Sends what is waiting at once, and returns when every record taken in before is acknowledged or has failed.
    ///
    /// # Errors
    /// The first error of a record that failed since the last flush.
    pub async fn flush(&self) -> Result<(), Error> {
        self.handle.sender.flush().await
    }

    /// Takes no more records, flushes and ends.
    ///
    /// # Errors
    /// As [`Producer::flush`].
    pub async fn close(&self) -> Result<(), Error> {
        self.handle.sender.shut();
        let flushed = self.handle.sender.flush().await;
        self.handle.sender.end();
        flushed
    }
}

/// Settings of a [`Producer`]. The defaults need no tuning.
#[derive(Debug, Clone)]
#[must_use]
pub struct ProducerBuilder {
    cluster: Arc<Cluster>,
    acks: Acks,
    compression: Compression,
    idempotent: Option<bool>,
    linger: Duration,
    batch_bytes_max: usize,
    memory_bytes_max: usize,
    delivery_timeout: Duration,
}

impl ProducerBuilder {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            cluster,
            acks: Acks::All,
            compression: Compression::None,
            idempotent: None,
            linger: Duration::from_millis(5),
            batch_bytes_max: 1_000_000,
            memory_bytes_max: 64 << 20,
            delivery_timeout: Duration::from_secs(120),
        }
    }

    /// When a record counts as written. Default: [`Acks::All`]. The others turn idempotence off.
    pub fn acks(mut self, acks: Acks) -> Self {
        self.acks = acks;
        self
    }

    /// How batches are compressed. Default: [`Compression::None`].
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Whether the cluster recognises repeated batches, so that retries neither duplicate nor reorder. Default: on
    /// with [`Acks::All`]. Without it a retry may do both.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = Some(idempotent);
        self
    }

    /// How long a batch may wait for more records. With one request at most on its lane's way a batch leaves at once;
    /// the more of them are unanswered, the longer it waits, up to this. Default: 5 ms.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// The size at which a batch is closed, in bytes before compression. Default: 1,000,000, which stays under
    /// Kafka's default `max.message.bytes` whatever the records hold. A larger record gets a batch of its own.
    pub fn batch_bytes_max(mut self, bytes: usize) -> Self {
        self.batch_bytes_max = bytes;
        self
    }

    /// The memory for records not yet acknowledged, in bytes; [`Producer::send`] waits while it is full.
    /// Default: 64 MiB.
    pub fn memory_bytes_max(mut self, bytes: usize) -> Self {
        self.memory_bytes_max = bytes;
        self
    }

    /// How long a record may take from `send` to its acknowledgement, with retries, before it fails. Default: 2 min.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// Makes the producer. It connects when the first record is sent.
    ///
    /// # Errors
    /// [`Error::Usage`] when a limit is out of range or settings contradict each other.
    pub fn build(self) -> Result<Producer, Error> {
        let usage = |text: String| Err(Error::Usage(text.into()));
        if self.idempotent == Some(true) && self.acks != Acks::All {
            return usage(
                "an idempotent producer needs acks=all: set it, or turn idempotence off".to_owned(),
            );
        }
        if !(1..=BATCH_BYTES_MAX).contains(&self.batch_bytes_max) {
            return usage(format!(
                "batch size {} must be 1 to {BATCH_BYTES_MAX} bytes",
                self.batch_bytes_max
            ));
        }
        if !(1..=MEMORY_BYTES_MAX).contains(&self.memory_bytes_max) {
            return usage(format!("memory {} must be 1 to {MEMORY_BYTES_MAX} bytes", self.memory_bytes_max));
        }
        let settings = Settings {
            acks: self.acks,
            compression: self.compression,
            idempotent: self.idempotent.unwrap_or(self.acks == Acks::All),
            linger: self.linger,
            batch_bytes_max: self.batch_bytes_max,
            memory_bytes_max: self.memory_bytes_max,
            delivery_timeout: self.delivery_timeout,
            request_timeout: self.cluster.request_timeout,
        };
        let sender = Arc::new(Sender::new(settings, self.cluster));
        Ok(Producer { handle: Arc::new(Handle { sender }) })
    }
}
