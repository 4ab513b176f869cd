//! The writer: takes batches in, packs them into segments, makes those durable and has them committed.
//! Knows nothing of Kafka's messages and of reading.
//!
//! ```text
//! append --bytes permits--> [open segment] --closes--> flush: PUT --turn--> commit --> answers
//!                            one task owns it           flush: PUT ........ --turn--> commit --> answers
//! ```
//!
//! One task owns the open segment and decides when it closes ([`linger`]). Each closed segment is a flush, a task of
//! its own ([`flush`]): several upload at once, and they commit strictly in the order in which their ids were minted.

mod flush;
mod linger;
mod outcome;
mod task;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use ebb_metastore::Metastore;
use ebb_protocol::ids::{ClusterId, IdSource};
use ebb_segment::store::{SegmentStore, StoreError};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    flush::FlushContext,
    task::{Request, WriterTask},
};
use super::{Append, Appended, BrokerConfig, ProduceError, cache::ObjectSink};

/// What an append is answered with, in its order.
type Answers = Vec<Result<Appended, ProduceError>>;

/// The agent's writer. Dropping it without [`Writer::shutdown`] abandons what is on its way, as a crash would.
#[derive(Debug)]
pub struct Writer {
    /// One permit a byte of [`BrokerConfig::unflushed_bytes_max`]; given in arrival order.
    room: Arc<Semaphore>,
    room_bytes: u32,
    patience: Duration,
    /// Bounded by the permits: every request in it holds the permits of its bytes.
    requests: mpsc::UnboundedSender<Request>,
    closing: CancellationToken,
    closed: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

/// Appends that were taken in, in order, and are not yet durable. Dropping it abandons the answer, not the appends.
#[derive(Debug)]
pub struct PendingAppend {
    count: usize,
    answers: oneshot::Receiver<Answers>,
}

impl PendingAppend {
    /// Waits until every append is durable or refused; answers in the order of the appends.
    pub async fn done(self) -> Vec<Result<Appended, ProduceError>> {
        self.answers.await.unwrap_or_else(|_| {
            let lost = ProduceError::TimedOut("the writer stopped on the way".to_owned());
            vec![Err(lost); self.count]
        })
    }
}

impl Writer {
    /// Starts the writer's task. Segments that were put go to `sink` before they are committed.
    #[must_use]
    pub fn start(
        cluster: ClusterId,
        metastore: Metastore,
        store: SegmentStore,
        sink: Arc<dyn ObjectSink>,
        ids: IdSource,
        config: &BrokerConfig,
    ) -> Self {
        let room_bytes = u32::try_from(config.unflushed_bytes_max).unwrap_or(u32::MAX);
        let (requests, receiver) = mpsc::unbounded_channel();
        let closing = CancellationToken::new();
        let closed = CancellationToken::new();
        let context = FlushContext { cluster, metastore, store, sink };
        let task = WriterTask::new(context, ids, receiver, config);
        let (closing_seen, ended) = (closing.clone(), closed.clone().drop_guard());
        let run = async move {
            task.run(closing_seen).await;
            drop(ended);
        };
        Self {
            room: Arc::new(Semaphore::new(room_bytes as usize)),
            room_bytes,
            patience: config.append_deadline,
            requests,
            closing,
            closed,
            _task: AbortOnDropHandle::new(tokio::spawn(run)),
        }
    }

    /// Takes batches in. Waits for room, in arrival order, and returns when their order is fixed.
    ///
    /// # Errors
    /// [`ProduceError::Closed`] when the writer is going down; [`ProduceError::Storage`] when there was no room
    /// before the deadline. Nothing was taken in then.
    pub async fn append(&self, appends: Vec<Append>) -> Result<PendingAppend, ProduceError> {
        let (answer, answers) = oneshot::channel();
        let pending = PendingAppend { count: appends.len(), answers };
        if appends.is_empty() {
            drop(answer.send(Vec::new()));
            return Ok(pending);
        }
        let bytes: u64 = appends.iter().map(|append| append.batch.bytes().len() as u64).sum();
        // An append larger than all the room takes all of it, and goes alone.
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.room_bytes);
        let room = timeout(self.patience, Arc::clone(&self.room).acquire_many_owned(wanted))
            .await
            .map_err(|_| self.no_room())?
            .map_err(|_| ProduceError::Closed)?;
        // This fixes the order: the task takes requests as they were sent, and segments commit as they were closed.
        self.requests.send(Request { appends, bytes, room, answer }).map_err(|_| ProduceError::Closed)?;
        Ok(pending)
    }

    /// Takes no more appends and waits until those taken in are answered.
    pub async fn shutdown(&self) {
        self.room.close();
        self.closing.cancel();
        self.closed.cancelled().await;
    }

    fn no_room(&self) -> ProduceError {
        let (bytes, patience) = (self.room_bytes, self.patience);
        let why = format!("{bytes} bytes of appends have been waiting for it for {patience:?}");
        ProduceError::Storage(StoreError::Unavailable(why))
    }
}
