//! The connection loop, the same for a TCP connection and a QUIC stream. Three stages run side by side: requests
//! are taken in strictly in order, completed in order, and written. So a Fetch that waits for data does not keep the
//! next Produce from being taken in, and replies still leave in the order of their requests.
//!
//! A frame's length is charged to a byte budget, shared by all connections, before its body is read, and given back
//! when its reply has left, or earlier by a request that waits for others and needs its frame no longer. Knows frames; knows nothing of sockets and of what a request says.

use std::{future::Future, io, net::IpAddr, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use ebb_protocol::{
    frame::{FRAME_LENGTH_BYTES, FrameError, HeaderError, frame_len},
    messages::{DecodeError, EncodeError},
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Limits,
    metrics::{Metrics, Transport},
};

/// Bytes that are read ahead of a frame: a batch of small requests costs one read. Larger bodies are read straight
/// into their own buffer.
const READ_AHEAD_BYTES: usize = 16 << 10;

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

/// A frame's share of the byte budget. Given back when its last clone is dropped, or before by [`Charge::release`].
#[derive(Clone, Debug)]
pub(crate) struct Charge(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Charge {
    fn new(bytes: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(Some(bytes))))
    }

    /// Gives the share back before the reply has left. Only for who holds nothing of the frame any more.
    pub(crate) fn release(&self) {
        self.0.lock().take();
    }
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
    pub(crate) requests_bytes: Arc<Semaphore>,
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
        let budget = limits.requests_bytes_max.max(limits.frame_bytes_max).min(Semaphore::MAX_PERMITS);
        Self {
            limits,
            requests_bytes: Arc::new(Semaphore::new(budget)),
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

/// What a request holds of the shared limits. Given back when dropped.
struct Held {
    charge: Charge,
    _slot: OwnedSemaphorePermit,
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
    let mut frames = Frames {
        reader: BufReader::with_capacity(READ_AHEAD_BYTES, reader),
        in_flight: Arc::new(Semaphore::new(in_flight_max)),
        in_flight_max,
        peer,
        shared,
    };
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
    let draining = frames.shared.draining.clone();
    loop {
        let next = tokio::select! {
            biased;
            () = draining.cancelled() => return Ok(()),
            next = frames.next() => next?,
        };
        let Some((frame, held)) = next else { return Ok(()) };
        let reply = intake.take_in(frames.peer, frame, held.charge.clone()).await?;
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

/// Reads frames under the limits.
struct Frames<'a, R> {
    reader: BufReader<R>,
    in_flight: Arc<Semaphore>,
    in_flight_max: usize,
    peer: Peer,
    shared: &'a Shared,
}

impl<R: AsyncRead + Unpin> Frames<'_, R> {
    /// The next frame without its length, once there is room for it; `None` at the end of the stream.
    async fn next(&mut self) -> Result<Option<(Bytes, Held)>, ConnectionError> {
        let slot = self.in_flight.clone().acquire_owned().await;
        let slot = slot.expect("the semaphore is never closed");
        if !self.begins().await? {
            return Ok(None);
        }
        let mut prefix = [0; FRAME_LENGTH_BYTES];
        let read = timeout(self.shared.transfer_max(prefix.len()), self.reader.read_exact(&mut prefix)).await;
        read.map_err(|_| ConnectionError::TooSlow(prefix.len()))??;
        let len = frame_len(prefix, self.shared.limits.frame_bytes_max)?;
        let permits = u32::try_from(len).map_err(|_| FrameError::TooLong { len, max: u32::MAX as usize })?;
        let bytes = self.shared.requests_bytes.clone().acquire_many_owned(permits).await;
        let bytes = bytes.expect("the semaphore is never closed");
        let body = timeout(self.shared.transfer_max(len), read_body(&mut self.reader, len)).await;
        let frame = body.map_err(|_| ConnectionError::TooSlow(len))??;
        self.shared.metrics.frame_in(self.peer.transport, FRAME_LENGTH_BYTES + len);
        Ok(Some((frame, Held { charge: Charge::new(bytes), _slot: slot })))
    }

    /// Waits for the first byte of a frame; false at the end of the stream. A connection may be silent as long as
    /// it waits for an answer.
    async fn begins(&mut self) -> Result<bool, ConnectionError> {
        let idle_max = self.shared.limits.idle_max;
        loop {
            match timeout(idle_max, self.reader.fill_buf()).await {
                Ok(Ok(bytes)) => return Ok(!bytes.is_empty()),
                Ok(Err(error)) => return Err(error.into()),
                // One slot is held for the frame that is waited for.
                Err(_) if self.in_flight.available_permits() + 1 == self.in_flight_max => {
                    return Err(ConnectionError::Idle(idle_max));
                }
                Err(_) => {}
            }
        }
    }
}

/// Reads exactly `len` bytes into one buffer of that size, without zeroing it first.
async fn read_body(reader: &mut (impl AsyncRead + Unpin), len: usize) -> io::Result<Bytes> {
    let mut body = BytesMut::with_capacity(len);
    while body.len() < len {
        let left = len - body.len();
        if reader.read_buf(&mut (&mut body).limit(left)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::{
        io::{DuplexStream, duplex},
        sync::{Notify, watch},
        task::JoinHandle,
    };

    use super::*;

    /// Answers each frame with itself. Frames `wait` and `park` are answered only after `release`, and `park` needs no
    /// frame while it waits; `none` has no answer.
    #[derive(Default)]
    struct Echo {
        taken: watch::Sender<Vec<Bytes>>,
        release: Arc<Notify>,
        order: Mutex<()>,
    }

    impl Intake for Echo {
        async fn take_in(&self, _: Peer, frame: Bytes, charge: Charge) -> Result<Reply, ConnectionError> {
            let _order = self.order.lock();
            self.taken.send_modify(|taken| taken.push(frame.clone()));
            let release = self.release.clone();
            Ok(async move {
                if frame == "park" {
                    charge.release();
                }
                if frame == "wait" || frame == "park" {
                    release.notified().await;
                }
                Ok((frame != "none").then_some(frame))
            }
            .boxed())
        }
    }

    struct Fixture {
        peer: DuplexStream,
        echo: Arc<Echo>,
        shared: Arc<Shared>,
        served: JoinHandle<Result<(), ConnectionError>>,
    }

    impl Fixture {
        fn new(limits: Limits) -> Self {
            let (peer, stream) = duplex(64);
            let echo = Arc::new(Echo::default());
            let shared = Arc::new(Shared::new(limits, Arc::default(), CancellationToken::new()));
            let (intake, parts) = (echo.clone(), shared.clone());
            let served = tokio::spawn(async move {
                let (reader, writer) = tokio::io::split(stream);
                let peer = Peer { transport: Transport::Kafka, address: IpAddr::from([127, 0, 0, 1]) };
                serve(reader, writer, peer, &*intake, &parts).await
            });
            Self { peer, echo, shared, served }
        }

        async fn send(&mut self, body: &str) {
            let length = i32::try_from(body.len()).expect("a short body");
            let frame = [&length.to_be_bytes(), body.as_bytes()].concat();
            self.peer.write_all(&frame).await.expect("the connection is open");
        }

        async fn taken(&self, count: usize) -> Vec<Bytes> {
            let mut taken = self.echo.taken.subscribe();
            taken.wait_for(|taken| taken.len() >= count).await.expect("the sender lives").clone()
        }

        async fn read(&mut self, bytes: usize) -> String {
            let mut buffer = vec![0; bytes];
            self.peer.read_exact(&mut buffer).await.expect("the connection is open");
            String::from_utf8(buffer).expect("the tests write text")
        }

        async fn ended(self) -> Result<(), ConnectionError> {
            self.served.await.expect("the loop does not panic")
        }
    }

    #[tokio::test]
    async fn later_requests_are_taken_in_while_one_waits_and_replies_keep_their_order() {
        let mut fixture = Fixture::new(Limits::default());
        for body in ["wait", "none", "two", "three"] {
            fixture.send(body).await;
        }
        assert_eq!(fixture.taken(4).await, ["wait", "none", "two", "three"]);
        fixture.echo.release.notify_one();
        assert_eq!(fixture.read(12).await, "waittwothree");
    }

    #[tokio::test]
    async fn a_peer_that_has_finished_sending_still_gets_its_replies() {
        let mut fixture = Fixture::new(Limits::default());
        fixture.send("wait").await;
        fixture.peer.shutdown().await.expect("the connection is open");
        fixture.taken(1).await;
        fixture.echo.release.notify_one();
        assert_eq!(fixture.read(4).await, "wait");
        assert!(fixture.ended().await.is_ok());
    }

    #[tokio::test]
    async fn a_draining_connection_reads_no_more_and_answers_what_it_has() {
        let mut fixture = Fixture::new(Limits::default());
        fixture.send("wait").await;
        fixture.taken(1).await;
        fixture.shared.draining.cancel();
        fixture.echo.release.notify_one();
        assert_eq!(fixture.read(4).await, "wait");
        assert!(fixture.ended().await.is_ok());
    }

    #[tokio::test]
    async fn frames_above_the_limit_close_the_connection_unread() {
        let mut fixture = Fixture::new(Limits { frame_bytes_max: 10, ..Limits::default() });
        fixture.send("ten bytes!").await;
        assert_eq!(fixture.read(10).await, "ten bytes!");
        fixture.peer.write_all(&11_i32.to_be_bytes()).await.expect("the connection is open");
        let ended = fixture.ended().await;
        assert!(matches!(ended, Err(ConnectionError::Frame(FrameError::TooLong { len: 11, max: 10 }))));
    }

    #[tokio::test]
    async fn a_cut_frame_is_an_error() {
        let mut fixture = Fixture::new(Limits::default());
        fixture.peer.write_all(&[0, 0, 0, 9, b'x']).await.expect("the connection is open");
        fixture.peer.shutdown().await.expect("the connection is open");
        let ended = fixture.ended().await;
        assert!(matches!(ended, Err(ConnectionError::Io(e)) if e.kind() == io::ErrorKind::UnexpectedEof));
    }

    /// Lets every task run as far as it can: paused time moves only when all of them wait.
    async fn settle() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_byte_budget_is_charged_before_a_body_is_read() {
        let limits = Limits { frame_bytes_max: 6, requests_bytes_max: 6, ..Limits::default() };
        let mut fixture = Fixture::new(limits);
        fixture.send("wait").await;
        fixture.send("more").await;
        settle().await;
        assert_eq!(fixture.taken(1).await, ["wait"], "six bytes have no room for two frames of four");
        fixture.echo.release.notify_one();
        assert_eq!(fixture.read(8).await, "waitmore");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_without_its_frame_leaves_the_budget_to_others() {
        let limits = Limits { frame_bytes_max: 6, requests_bytes_max: 6, ..Limits::default() };
        let mut fixture = Fixture::new(limits);
        fixture.send("park").await;
        fixture.send("more").await;
        settle().await;
        assert_eq!(fixture.taken(2).await, ["park", "more"]);
        assert_eq!(fixture.shared.requests_bytes.available_permits(), 2, "one frame of four bytes is held");
        fixture.echo.release.notify_one();
        assert_eq!(fixture.read(8).await, "parkmore");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_in_flight_are_limited() {
        let mut fixture = Fixture::new(Limits { requests_in_flight_max: 2, ..Limits::default() });
        for body in ["wait", "two", "three"] {
            fixture.send(body).await;
        }
        settle().await;
        assert_eq!(fixture.taken(2).await, ["wait", "two"]);
        fixture.echo.release.notify_one();
        assert_eq!(fixture.read(12).await, "waittwothree");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed_unless_it_waits_for_an_answer() {
        let limits = Limits { idle_max: Duration::from_secs(10), ..Limits::default() };
        let mut fixture = Fixture::new(limits);
        fixture.send("wait").await;
        tokio::time::sleep(Duration::from_secs(35)).await;
        fixture.echo.release.notify_one();
        assert_eq!(fixture.read(4).await, "wait");
        assert!(matches!(fixture.ended().await, Err(ConnectionError::Idle(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn peers_that_move_a_frame_too_slowly_are_cut_off() {
        let mut sender = Fixture::new(Limits::default());
        sender.peer.write_all(&[0, 0, 0, 9, b'x']).await.expect("the connection is open");
        assert!(matches!(sender.ended().await, Err(ConnectionError::TooSlow(9))));

        // The pipe holds 64 bytes and nobody reads its other end.
        let mut reader = Fixture::new(Limits::default());
        reader.send(&"x".repeat(100)).await;
        assert!(matches!(reader.served.await.expect("no panic"), Err(ConnectionError::TooSlow(100))));
    }
}
