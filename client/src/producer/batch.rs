//! A batch from its first record to its outcome, and the deliveries that wait for it.
//! Knows how a batch is built and sealed; does not decide when it is sent.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use ebb_protocol::{
    batch::{BatchBuilder, BuildError, Compression, RecordBatch},
    ids::{Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Timestamp},
};
use futures::{FutureExt, future::Shared};
use tokio::{sync::oneshot, time::Instant};

use super::{Record, RecordMetadata};
use crate::Error;

/// A producer id and epoch, and the sequence of a batch's first record: what makes a repetition recognisable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) id: ProducerId,
    pub(super) epoch: ProducerEpoch,
    pub(super) sequence: Sequence,
}

/// What the cluster said about an acknowledged batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    /// The first record's offset, when it is known.
    pub(super) base: Option<Offset>,
    /// The records' time, when the log gave it.
    pub(super) append_time: Option<Timestamp>,
}

type Outcome = Result<Ack, Error>;

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Batch {
    /// Counts the batches of a partition.
    pub(super) serial: u64,
    /// When its first record came.
    pub(super) opened: Instant,
    /// Bytes of the producer's memory that its records hold.
    pub(super) charged: usize,
    /// Its place in the producer's sequence, once it has been sent.
    pub(super) stamp: Option<Stamp>,
    /// Whether an attempt ended without a clear answer, so that it may be in the log.
    pub(super) uncertain: bool,
    /// How often it has been sent.
    pub(super) attempts: u32,
    content: Content,
    resolve: oneshot::Sender<Outcome>,
    outcome: Shared<oneshot::Receiver<Outcome>>,
}

#[derive(Debug)]
enum Content {
    Open(BatchBuilder),
    Sealed(RecordBatch),
}

impl Batch {
    pub(super) fn new(serial: u64, opened: Instant, capacity: usize) -> Self {
        let (resolve, outcome) = oneshot::channel();
        Self {
            serial,
            opened,
            charged: 0,
            stamp: None,
            uncertain: false,
            attempts: 0,
            content: Content::Open(BatchBuilder::with_capacity(capacity)),
            resolve,
            outcome: outcome.shared(),
        }
    }

    /// Adds a record to a batch that is not sealed.
    pub(super) fn append(
        &mut self,
        partition: PartitionIndex,
        record: &Record,
        timestamp: Timestamp,
        charge: usize,
    ) -> Result<Delivery, BuildError> {
        let Content::Open(builder) = &mut self.content else { return Err(BuildError::Empty) };
        let index = builder.record_count();
        builder.append(timestamp, record.key.as_deref(), record.value.as_deref(), &record.headers)?;
        self.charged += charge;
        Ok(Delivery { outcome: self.outcome.clone(), partition, index, timestamp })
    }

    /// Its size in bytes: before compression while it is open.
    pub(super) fn bytes(&self) -> usize {
        match &self.content {
            Content::Open(builder) => builder.bytes(),
            Content::Sealed(batch) => batch.bytes().len(),
        }
    }

    /// How many records it holds.
    pub(super) fn records(&self) -> i32 {
        match &self.content {
            Content::Open(builder) => builder.record_count(),
            Content::Sealed(batch) => batch.record_count(),
        }
    }

    /// The bytes to send: compressed now if they have not been sent before, carrying the batch's stamp.
    pub(super) fn seal(&mut self, compression: Compression) -> Result<RecordBatch, BuildError> {
        let producer = self.stamp.map(|stamp| (stamp.id, stamp.epoch, stamp.sequence));
        let sealed = match &mut self.content {
            Content::Open(builder) => builder.finish(compression, producer)?,
            Content::Sealed(batch) if batch.producer() == producer => return Ok(batch.clone()),
            Content::Sealed(batch) => match producer {
                Some((id, epoch, sequence)) => batch.with_producer(id, epoch, sequence),
                None => batch.clone(),
            },
        };
        self.content = Content::Sealed(sealed.clone());
        Ok(sealed)
    }

    /// Tells all deliveries.
    pub(super) fn resolve(self, outcome: Outcome) {
        // Nobody may be waiting any more.
        let _ = self.resolve.send(outcome);
    }
}

/// The outcome of one record, resolved when the record is acknowledged or has failed for good.
#[derive(Debug)]
#[must_use = "a delivery says whether the record was written"]
pub struct Delivery {
    outcome: Shared<oneshot::Receiver<Outcome>>,
    partition: PartitionIndex,
    index: i32,
    timestamp: Timestamp,
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.outcome.poll_unpin(cx).map(|outcome| {
            let ack = outcome.unwrap_or(Err(Error::Closed("the producer")))?;
            Ok(RecordMetadata {
                partition: self.partition,
                offset: ack.base.map(|base| base.plus(self.index.into())),
                timestamp: ack.append_time.unwrap_or(self.timestamp),
            })
        })
    }
}
