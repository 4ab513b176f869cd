//! The connection loop, the same for a TCP connection and a QUIC stream. Three stages run side by side: requests
//! are taken in strictly in order, completed in order, and written. So a Fetch that waits for data does not keep the
//! next Produce from being taken in, and replies still leave in the order of their requests.
//!
//! A frame's length is charged to a byte budget, shared by all connections, before its body is read, and given back
//! when its reply has left, or earlier by a request that waits for others and needs its frame no longer. Knows
//! frames; knows nothing of sockets and of what a request says.

mod budget;
mod frames;

use std::{future::Future, io, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use ebb_protocol::{
    frame::{FrameError, HeaderError},
    messages::{DecodeError, EncodeError},
};
use futures::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::budget::Charge;
use self::{
    budget::Budget,
    frames::{Frames, Held},
};
use crate::{
    config::Limits,
    metrics::{Metrics, Transport},
};

/// Replies that may be complete and wait for the socket. One, so that the next Fetch reads while this one is sent.
const REPLIES_READY_MAX: usize = 1;

/// A request that was taken in: its place in the order is fixed. Resolves to the response's frame; `None` when the
/// request wants no response.
pub(crate) type Reply = BoxFuture<'static, Result<Option<Bytes>, ConnectionError>>;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// How it came.
    pub(crate) transport: Transport,
    /// Where it came from.
    pub(crate) address: IpAddr,
}

/// Takes requests in.
pub(crate) trait Intake: Send + Sync {
    /// Fixes the order of one request, given as a frame without its length and with its share of the byte budget.
    /// The next one is read afterwards.
    fn take_in(
        &self,
        peer: Peer,
        frame: Bytes,
        charge: Charge,
    ) -> impl Future<Output = Result<Reply, ConnectionError>> + Send;
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The limits.
    pub(crate) limits: Limits,
    /// The bytes of requests that may be held.
    requests_bytes: Budget,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Fires when no further request is to be read.
    pub(crate) draining: CancellationToken,
    /// Fires when what is still open is to be dropped.
    pub(crate) aborting: CancellationToken,
    /// Listeners and connections.
    pub(crate) tasks: TaskTracker,
}

impl Shared {
    /// Shared parts with a full budget.
    pub(crate) fn new(limits: Limits, metrics: Arc<Metrics>, draining: CancellationToken) -> Self {
        // A frame that is allowed must fit the budget, or it would wait for ever.
        let requests_bytes = Budget::new(limits.requests_bytes_max.max(limits.frame_bytes_max));
        Self {
            limits,
            requests_bytes,
            metrics,
            draining,
            aborting: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Runs a listener or connection until it ends or is aborted.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let aborting = self.aborting.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = aborting.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// How long `bytes` may take to come in or leave.
    fn transfer_max(&self, bytes: usize) -> Duration {
        let rate = self.limits.transfer_bytes_per_second_min.max(1);
        self.limits.transfer_grace + Duration::from_secs(bytes as u64 / rate)
    }
}

/// Why a connection ended before its peer closed it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    /// The transport failed.
    #[error("transport failed: {0}")]
    Io(#[from] io::Error),
    /// A frame cannot be taken.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A request's header cannot be taken.
    #[error("{0}")]
    Header(#[from] HeaderError),
    /// A request's body cannot be decoded.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// A response cannot be encoded; a bug here.
    #[error("{0}")]
    Encode(#[from] EncodeError),
    /// Nothing was asked for too long.
    #[error("no request for {0:?}")]
    Idle(Duration),
    /// The peer sends or takes a frame too slowly.
    #[error("a frame of {0} bytes moves too slowly")]
    TooSlow(usize),
    /// A Produce with acks=0 failed; there is no response to say so.
    #[error("produce without acknowledgement failed: {0}")]
    Unacknowledged(String),
    /// The agent is going down.
    #[error("the agent is going down")]
    GoingDown,
}

/// A request between being read and its reply's leaving.
struct Taken {
    reply: Reply,
    held: Held,
}

/// Serves one connection until its peer closes it, a limit is passed, or the agent drains. Requests that were taken
/// in are still answered when the peer has finished sending and when the agent drains.
pub(crate) async fn serve(
    reader: impl AsyncRead + Send + Unpin,
    mut writer: impl AsyncWrite + Send + Unpin,
    peer: Peer,
    intake: &impl Intake,
    shared: &Shared,
) -> Result<(), ConnectionError> {
    let in_flight_max = shared.limits.requests_in_flight_max.max(1);
    let (taken_tx, taken_rx) = mpsc::channel(in_flight_max);
    let (ready_tx, ready_rx) = mpsc::channel(REPLIES_READY_MAX);
    let mut frames = Frames::new(reader, peer, shared);
    tokio::try_join!(
        take_in(&mut frames, intake, taken_tx),
        complete(taken_rx, ready_tx),
        write(&mut writer, ready_rx, peer.transport, shared),
    )?;
    writer.shutdown().await?;
    Ok(())
}

/// Stage one: reads frames and takes them in.
async fn take_in<R: AsyncRead + Unpin>(
    frames: &mut Frames<'_, R>,
    intake: &impl Intake,
    taken: mpsc::Sender<Taken>,
) -> Result<(), ConnectionError> {
    let draining = frames.shared().draining.clone();
    loop {
        let next = tokio::select! {
            biased;
            () = draining.cancelled() => return Ok(()),
            next = frames.next() => next?,
        };
        let Some((frame, held)) = next else { return Ok(()) };
        let reply = intake.take_in(frames.peer(), frame, held.charge()).await?;
        if taken.send(Taken { reply, held }).await.is_err() {
            return Ok(());
        }
    }
}

/// Stage two: completes requests one after the other, as Kafka does on one connection, so that a request sees the
/// effects of those before it.
async fn complete(
    mut taken: mpsc::Receiver<Taken>,
    ready: mpsc::Sender<(Bytes, Held)>,
) -> Result<(), ConnectionError> {
    while let Some(Taken { reply, held }) = taken.recv().await {
        if let Some(frame) = reply.await?
            && ready.send((frame, held)).await.is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

/// Stage three: writes replies.
async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    mut ready: mpsc::Receiver<(Bytes, Held)>,
    transport: Transport,
    shared: &Shared,
) -> Result<(), ConnectionError> {
    while let Some((frame, held)) = ready.recv().await {
        let sent = async {
            writer.write_all(&frame).await?;
            writer.flush().await
        };
        let sent = timeout(shared.transfer_max(frame.len()), sent).await;
        sent.map_err(|_| ConnectionError::TooSlow(frame.len()))??;
        shared.metrics.frame_out(transport, frame.len());
        drop(held);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
