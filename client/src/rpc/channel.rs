//! A channel: one stream with pipelined requests. Replies come in the order of the requests.
//! Knows frames and correlation ids; does not retry.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use ebb_protocol::{
    frame::{FRAME_BYTES_MAX, FRAME_LENGTH_BYTES, frame_len, response_correlation_id},
    messages::{Request, StrBytes, decode_response, encode_request},
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use super::pulse::Pulse;
use crate::{
    Error,
    transport::{Connection, ReadHalf, WriteHalf},
};

/// Requests that one channel may have unanswered. More wait their turn.
const IN_FLIGHT_MAX: usize = 64;

/// Why a request has no reply.
#[derive(Debug, Clone)]
pub(crate) enum CallError {
    /// The request did not leave: it had no effect.
    NotSent(Error),
    /// The request left or may have left, and no reply came.
    Lost(Arc<str>),
    /// The reply breaks the protocol.
    Malformed(Arc<str>),
}

impl CallError {
    /// The error of a call. `what` names the request.
    pub(crate) fn into_error(self, what: &str) -> Error {
        match self {
            Self::NotSent(error) => error,
            Self::Lost(why) => {
                Error::Uncertain(format!("{what}: {why}: the effect may have happened").into())
            }
            Self::Malformed(why) => Error::Corrupt(format!("{what}: {why}").into()),
        }
    }
}

/// A stream with requests on it. When anything goes wrong on it, all its requests fail and it is closed for good.
#[derive(Debug)]
pub(crate) struct Channel {
    shared: Arc<Shared>,
    client_id: StrBytes,
    room: Arc<Semaphore>,
    /// Tells when it is no use waiting for replies. None for the channel that finds that out.
    pulse: Option<Arc<Pulse>>,
    tasks: [AbortOnDropHandle<()>; 2],
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    closed: AtomicBool,
    // Keeps the connection alive: dropping it would end the stream.
    _connection: Arc<dyn Connection>,
}

#[derive(Debug)]
struct State {
    next_correlation: i32,
    pending: VecDeque<Pending>,
    /// None once the channel is closed.
    writer: Option<mpsc::UnboundedSender<Outgoing>>,
    why_closed: Arc<str>,
}

/// A frame to be written, and whom to tell when it has been. The semaphore `room` bounds how many there are.
#[derive(Debug)]
struct Outgoing {
    frame: Bytes,
    written: Option<(oneshot::Sender<()>, OwnedSemaphorePermit)>,
}

#[derive(Debug)]
struct Pending {
    correlation: i32,
    reply: oneshot::Sender<Result<Bytes, CallError>>,
    _room: OwnedSemaphorePermit,
}

impl Channel {
    /// A channel on a new stream of `connection`.
    pub(crate) async fn open(
        connection: &Arc<dyn Connection>,
        client_id: StrBytes,
        pulse: Option<Arc<Pulse>>,
    ) -> Result<Self, Error> {
        let (read, write) = connection.open_stream().await?;
        let (writer, outgoing) = mpsc::unbounded_channel();
        let state = State {
            next_correlation: 0,
            pending: VecDeque::new(),
            writer: Some(writer),
            why_closed: "the connection was lost".into(),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            closed: AtomicBool::new(false),
            _connection: connection.clone(),
        });
        let writing = tokio::spawn(write_frames(shared.clone(), write, outgoing));
        let reading = tokio::spawn(read_frames(shared.clone(), read));
        let tasks = [AbortOnDropHandle::new(writing), AbortOnDropHandle::new(reading)];
        Ok(Self { shared, client_id, room: Arc::new(Semaphore::new(IN_FLIGHT_MAX)), pulse, tasks })
    }

    /// Whether the channel has failed, so that a new one is needed.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// Fails all requests on the channel, now and later.
    pub(crate) fn close(&self, why: &str) {
        self.shared.close(why);
        for task in &self.tasks {
            task.abort();
        }
    }

    /// Sends a request and waits for its reply. When the reply is not there within `timeout` the channel is closed:
    /// later replies could not overtake it anyway.
    pub(crate) async fn call<R: Request>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<R::Response, CallError> {
        let deadline = Instant::now() + timeout;
        let room = self.room(deadline, timeout).await?;
        let reply = self.send(request, version, room)?;
        self.reply::<R>(reply, version, deadline, timeout).await
    }

    /// Puts a request on the stream at once, so that the order of calls is the order on the wire, and answers a
    /// future of its reply as [`Channel::call`] does.
    pub(crate) fn begin<R: Request>(
        self: &Arc<Self>,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<impl Future<Output = Result<R::Response, CallError>> + Send + use<R>, CallError>
    where
        R::Response: Send,
    {
        let deadline = Instant::now() + timeout;
        let full = |_| CallError::NotSent(Error::TimedOut("too many requests wait on the connection".into()));
        let room = self.room.clone().try_acquire_owned().map_err(full)?;
        let reply = self.send(request, version, room)?;
        let channel = self.clone();
        Ok(async move { channel.reply::<R>(reply, version, deadline, timeout).await })
    }

    fn send<R: Request>(
        &self,
        request: &R,
        version: i16,
        room: OwnedSemaphorePermit,
    ) -> Result<Reply, CallError> {
        let (reply, replied) = oneshot::channel();
        let frame = self.encode(request, version)?;
        self.shared.enqueue(frame, |correlation| Entry::Call(Pending { correlation, reply, _room: room }))?;
        Ok(replied)
    }

    async fn reply<R: Request>(
        &self,
        reply: Reply,
        version: i16,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<R::Response, CallError> {
        let silent = async {
            match &self.pulse {
                Some(pulse) => pulse.lost().await,
                None => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            biased;
            reply = tokio::time::timeout_at(deadline, reply) => match reply {
                Ok(Ok(frame)) => return self.decode::<R>(&frame?, version),
                Ok(Err(_)) => return Err(CallError::Lost(self.shared.state.lock().why_closed.clone())),
                Err(_) => {
                    if let Some(pulse) = &self.pulse {
                        // Whoever comes next profits from the answer.
                        drop(pulse.ask());
                    }
                    format!("no answer within {timeout:?}")
                }
            },
            () = silent => "the server does not answer any more".to_owned(),
        };
        self.close(&why);
        Err(CallError::Lost(why.into()))
    }

    fn decode<R: Request>(&self, frame: &Bytes, version: i16) -> Result<R::Response, CallError> {
        decode_response::<R>(frame, version).map_err(|error| {
            let why = format!("the server's answer cannot be read: {error}");
            self.close(&why);
            CallError::Malformed(why.into())
        })
    }

    /// Puts a request on the stream at once that has no reply, and answers a future of its being handed to the
    /// network.
    pub(crate) fn cast<R: Request>(
        self: &Arc<Self>,
        request: &R,
        version: i16,
    ) -> Result<impl Future<Output = Result<(), CallError>> + Send + use<R>, CallError> {
        let full = |_| CallError::NotSent(Error::TimedOut("too many requests wait on the connection".into()));
        let room = self.room.clone().try_acquire_owned().map_err(full)?;
        let (tell, written) = oneshot::channel();
        let frame = self.encode(request, version)?;
        self.shared.enqueue(frame, |_| Entry::Cast(tell, room))?;
        Ok(async move { written.await.map_err(|_| CallError::Lost("the connection was lost".into())) })
    }

    async fn room(&self, deadline: Instant, timeout: Duration) -> Result<OwnedSemaphorePermit, CallError> {
        match tokio::time::timeout_at(deadline, self.room.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => {
                let text = format!("the connection took no more requests within {timeout:?}");
                Err(CallError::NotSent(Error::TimedOut(text.into())))
            }
        }
    }

    /// Encodes with correlation id 0; [`Shared::enqueue`] fills it in under the lock that fixes the order.
    fn encode<R: Request>(&self, request: &R, version: i16) -> Result<BytesMut, CallError> {
        let frame = encode_request(request, version, 0, Some(&self.client_id))
            .map_err(|error| CallError::NotSent(Error::Usage(error.to_string().into())))?;
        Ok(frame.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..])))
    }
}

type Reply = oneshot::Receiver<Result<Bytes, CallError>>;

enum Entry {
    Call(Pending),
    Cast(oneshot::Sender<()>, OwnedSemaphorePermit),
}

/// Where the correlation id stands in a frame: after length, API key and version.
const CORRELATION_AT: std::ops::Range<usize> = FRAME_LENGTH_BYTES + 4..FRAME_LENGTH_BYTES + 8;

impl Shared {
    fn enqueue(&self, mut frame: BytesMut, entry: impl FnOnce(i32) -> Entry) -> Result<(), CallError> {
        let mut state = self.state.lock();
        let correlation = state.next_correlation;
        state.next_correlation = correlation.wrapping_add(1);
        if let Some(field) = frame.get_mut(CORRELATION_AT) {
            field.copy_from_slice(&correlation.to_be_bytes());
        }
        let Some(writer) = &state.writer else {
            return Err(CallError::NotSent(Error::Unreachable(state.why_closed.clone())));
        };
        let frame = frame.freeze();
        match entry(correlation) {
            Entry::Call(pending) => {
                let _ = writer.send(Outgoing { frame, written: None });
                state.pending.push_back(pending);
            }
            Entry::Cast(tell, room) => {
                let _ = writer.send(Outgoing { frame, written: Some((tell, room)) });
            }
        }
        Ok(())
    }

    fn close(&self, why: &str) {
        let pending = {
            let mut state = self.state.lock();
            if state.writer.take().is_none() {
                return;
            }
            self.closed.store(true, Ordering::Release);
            state.why_closed = why.into();
            std::mem::take(&mut state.pending)
        };
        let why: Arc<str> = why.into();
        for waiting in pending {
            let _ = waiting.reply.send(Err(CallError::Lost(why.clone())));
        }
    }

    /// Hands a reply to the request that has waited longest, which must be the one it answers.
    fn reply(&self, frame: Bytes) -> Result<(), String> {
        let correlation = response_correlation_id(&frame).map_err(|error| error.to_string())?;
        let waiting = self.state.lock().pending.pop_front();
        let Some(waiting) = waiting else { return Err("the server answered what was not asked".to_owned()) };
        if waiting.correlation != correlation {
            let why = "the server answered out of order";
            let _ = waiting.reply.send(Err(CallError::Malformed(why.into())));
            return Err(why.to_owned());
        }
        let _ = waiting.reply.send(Ok(frame));
        Ok(())
    }
}

async fn write_frames(
    shared: Arc<Shared>,
    mut write: WriteHalf,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
) {
    while let Some(Outgoing { frame, written }) = outgoing.recv().await {
        let result = async {
            write.write_all(&frame).await?;
            if outgoing.is_empty() { write.flush().await } else { Ok(()) }
        };
        if let Err(error) = result.await {
            shared.close(&format!("the connection was lost: {error}"));
            return;
        }
        if let Some((tell, _room)) = written {
            let _ = tell.send(());
        }
    }
}

async fn read_frames(shared: Arc<Shared>, mut read: ReadHalf) {
    let why = loop {
        let frame = match read_frame(&mut read).await {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                break "the server closed the connection".to_owned();
            }
            Err(error) => break format!("the connection was lost: {error}"),
        };
        if let Err(why) = shared.reply(frame) {
            break why;
        }
    };
    shared.close(&why);
}

async fn read_frame(read: &mut ReadHalf) -> io::Result<Bytes> {
    let mut prefix = [0; FRAME_LENGTH_BYTES];
    read.read_exact(&mut prefix).await?;
    let len = frame_len(prefix, FRAME_BYTES_MAX).map_err(io::Error::other)?;
    let mut frame = BytesMut::with_capacity(len);
    let mut body = read.take(len as u64);
    while frame.len() < len {
        if body.read_buf(&mut frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.freeze())
}
