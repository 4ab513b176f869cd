//! Reads frames from a connection: no more at once than may be in flight, each once the byte budget has room for it,
//! and none from a peer that is silent or slow. Knows nothing of what a frame says.

use std::{io, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use ebb_protocol::frame::{FRAME_LENGTH_BYTES, frame_len};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{Charge, ConnectionError, Peer, Shared};

/// Bytes that are read ahead of a frame: a batch of small requests costs one read. Larger bodies are read straight
/// into their own buffer.
const READ_AHEAD_BYTES: usize = 16 << 10;

/// What a request holds of the shared limits. Given back when dropped.
pub(super) struct Held {
    charge: Charge,
    _slot: OwnedSemaphorePermit,
}

impl Held {
    /// The request's share of the byte budget.
    pub(super) fn charge(&self) -> Charge {
        self.charge.clone()
    }
}

/// Reads frames under the limits.
pub(super) struct Frames<'a, R> {
    reader: BufReader<R>,
    in_flight: Arc<Semaphore>,
    in_flight_max: usize,
    peer: Peer,
    shared: &'a Shared,
}

impl<'a, R: AsyncRead + Unpin> Frames<'a, R> {
    /// The frames that `peer` sends.
    pub(super) fn new(reader: R, peer: Peer, shared: &'a Shared) -> Self {
        let in_flight_max = shared.limits.requests_in_flight_max.max(1);
        Self {
            reader: BufReader::with_capacity(READ_AHEAD_BYTES, reader),
            in_flight: Arc::new(Semaphore::new(in_flight_max)),
            in_flight_max,
            peer,
            shared,
        }
    }

    /// Who sends them.
    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    /// What all connections share.
    pub(super) fn shared(&self) -> &'a Shared {
        self.shared
    }

    /// The next frame without its length, once there is room for it; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Result<Option<(Bytes, Held)>, ConnectionError> {
        let slot = self.in_flight.clone().acquire_owned().await;
        let slot = slot.expect("the semaphore is never closed");
        if !self.begins().await? {
            return Ok(None);
        }
        let mut prefix = [0; FRAME_LENGTH_BYTES];
        let read = timeout(self.shared.transfer_max(prefix.len()), self.reader.read_exact(&mut prefix)).await;
        read.map_err(|_| ConnectionError::TooSlow(prefix.len()))??;
        let len = frame_len(prefix, self.shared.limits.frame_bytes_max)?;
        let charge = self.shared.requests_bytes.charge(len).await?;
        let body = timeout(self.shared.transfer_max(len), read_body(&mut self.reader, len)).await;
        let frame = body.map_err(|_| ConnectionError::TooSlow(len))??;
        self.shared.metrics.frame_in(self.peer.transport, FRAME_LENGTH_BYTES + len);
        Ok(Some((frame, Held { charge, _slot: slot })))
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
