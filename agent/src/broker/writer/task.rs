//! The writer's task: owns the open segment, closes it when it is due, and starts its flush.

use std::sync::Arc;

use ebb_metastore::state::State;
use ebb_protocol::{
    batch::RecordBatch,
    ids::{IdSource, PartitionIndex, TopicId},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Answers,
    flush::{self, Flush, FlushContext, Turn},
    linger::{Linger, OpenSegment},
};
use crate::broker::{Append, BrokerConfig};

/// Flushes that may be on their way at once, inline ones included; more push back.
const FLUSHES_IN_FLIGHT_MAX: usize = 128;

/// Appends that wait to be written.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) appends: Vec<Append>,
    pub(super) bytes: u64,
    /// Room for the bytes, given back when the appends are answered.
    pub(super) room: OwnedSemaphorePermit,
    pub(super) answer: oneshot::Sender<Answers>,
}

/// Who waits for some of a segment's batches.
#[derive(Debug)]
pub(super) struct Waiter {
    /// How many batches are its own; they lie next to each other in arrival order.
    pub(super) count: usize,
    pub(super) answer: oneshot::Sender<Answers>,
    pub(super) room: OwnedSemaphorePermit,
}

/// Batches in arrival order, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) batches: Vec<(TopicId, PartitionIndex, RecordBatch)>,
    pub(super) waiters: Vec<Waiter>,
    pub(super) bytes: u64,
}

impl Gathered {
    fn add(&mut self, request: Request) {
        let Request { appends, bytes, room, answer } = request;
        self.waiters.push(Waiter { count: appends.len(), answer, room });
        self.bytes += bytes;
        self.batches.extend(appends.into_iter().map(|append| (append.topic, append.partition, append.batch)));
    }
}

/// The task's state.
pub(super) struct WriterTask {
    context: Arc<FlushContext>,
    ids: IdSource,
    requests: mpsc::UnboundedReceiver<Request>,
    config: BrokerConfig,
    linger: Linger,
    /// Permits of `uploads_in_flight_max`. An inline flush holds one too: submitted faster than the commit log takes
    /// bodies, they would queue there, each on its own, instead of gathering here.
    uploads: Arc<Semaphore>,
    open: Gathered,
    opened: Instant,
    last_flush: Option<Instant>,
    /// Ends when the last flush has handed its commit over.
    last_turn: Turn,
    flushes: JoinSet<()>,
}

impl WriterTask {
    pub(super) fn new(
        context: FlushContext,
        ids: IdSource,
        requests: mpsc::UnboundedReceiver<Request>,
        config: &BrokerConfig,
    ) -> Self {
        Self {
            context: Arc::new(context),
            ids,
            requests,
            config: config.clone(),
            linger: Linger::new(config),
            uploads: Arc::new(Semaphore::new(config.uploads_in_flight_max.max(1))),
            open: Gathered::default(),
            opened: Instant::now(),
            last_flush: None,
            last_turn: Turn::first(),
            flushes: JoinSet::new(),
        }
    }

    /// Runs until `closing` is cancelled and everything taken in is answered.
    pub(super) async fn run(mut self, closing: CancellationToken) {
        let mut accepting = true;
        loop {
            let full = self.open.bytes >= self.config.segment_bytes_max;
            let gathering = !self.open.batches.is_empty();
            if !accepting && !gathering && self.flushes.is_empty() {
                return;
            }
            let may_flush = gathering && self.flushes.len() < FLUSHES_IN_FLIGHT_MAX;
            let ready = self.ready(full || !accepting);
            tokio::select! {
                biased;
                () = closing.cancelled(), if !self.requests.is_closed() => self.requests.close(),
                Some(ended) = self.flushes.join_next() => log_failure(ended),
                // All that has arrived goes in before the segment closes, up to its size.
                request = self.requests.recv(), if accepting && !full => match request {
                    Some(request) => self.gather(request),
                    None => accepting = false,
                },
                upload = ready, if may_flush => self.flush(upload),
            }
        }
    }

    fn gather(&mut self, request: Request) {
        if self.open.batches.is_empty() {
            self.opened = Instant::now();
        }
        self.open.add(request);
    }

    /// Waits until the open segment is due and may go; gives its upload's permit.
    fn ready(&self, full: bool) -> impl Future<Output = OwnedSemaphorePermit> + use<> {
        let idle = self.flushes.is_empty();
        let due =
            self.linger.due(OpenSegment { opened: self.opened, full, idle, last_flush: self.last_flush });
        let uploads = Arc::clone(&self.uploads);
        async move {
            if due > Instant::now() {
                sleep_until(due).await;
            }
            uploads.acquire_owned().await.expect("nobody closes this semaphore")
        }
    }

    fn flush(&mut self, upload: OwnedSemaphorePermit) {
        let now = Instant::now();
        self.last_flush = Some(now);
        let (turn, next) = self.last_turn.follow();
        // Minted here and nowhere else, so that ids increase in the order of the turns; and never below the sweep
        // boundary, which a clock that is behind would else take for long ago.
        let id = self.ids.segment_since(self.context.metastore.read(State::sweep_boundary));
        let flush = Flush {
            id,
            inline: self.open.bytes <= self.config.inline_bytes_max && self.context.carries_bodies(),
            gathered: std::mem::take(&mut self.open),
            upload,
            deadline: self.opened + self.config.append_deadline,
            turn,
        };
        self.last_turn = next;
        self.flushes.spawn(flush::run(Arc::clone(&self.context), flush));
    }
}

/// A flush only ends badly by a panic; those who wait for it are told by their channels.
fn log_failure(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a flush ended without an answer");
    }
}
