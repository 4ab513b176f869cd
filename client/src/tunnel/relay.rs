//! One client's connection: frames go from TCP to a stream and back. Only answers that name agents are held whole and
//! rewritten; the rest is copied as it comes, so a slow reader on either side slows down the other.

use std::{collections::VecDeque, io, net::IpAddr, sync::Arc};

use bytes::Bytes;
use ebb_protocol::{
    frame::{FRAME_BYTES_MAX, FRAME_LENGTH_BYTES, frame_len},
    messages::{ApiVersionsRequest, encode_request},
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter},
    net::TcpStream,
};

use super::{
    agents::{Agents, Uplink},
    rewrite::{Question, rewrite},
};
use crate::{Error, ServerAddress, Transport};

/// Bytes that are held for each direction, once before and once after they are looked at.
const COPY_BYTES: usize = 32 << 10;
/// Requests that ask who the agents are and that may be unanswered on one connection.
const QUESTIONS_MAX: usize = 1024;
/// Key, version and correlation id, with which every request begins.
const REQUEST_HEAD_BYTES: usize = 8;
/// The correlation id, with which every response begins.
const RESPONSE_HEAD_BYTES: usize = 4;

/// Carries a connection until the agent ends it, or either side is lost.
pub(super) async fn relay(client: TcpStream, uplink: &Uplink, agents: &Arc<Agents>) -> Result<(), Error> {
    let lost = |error: io::Error| Error::Unreachable(format!("the connection was lost: {error}").into());
    // Frames are passed on whole: waiting for more bytes only costs time.
    let _ = client.set_nodelay(true);
    // Clients reach all listeners by the address by which they reached this one.
    let ip = client.local_addr().map_err(lost)?.ip();
    let (_connection, read, write) = uplink.stream().await?;
    let (client_read, client_write) = client.into_split();
    let questions = Questions::default();
    let requests = requests(client_read, write, &questions);
    let responses = responses(read, client_write, &questions, ip, agents);
    tokio::pin!(responses);
    tokio::select! {
        biased;
        ended = &mut responses => return ended,
        // The client will ask no more; what it has asked is still answered.
        ended = requests => ended.map_err(lost)?,
    }
    responses.await
}

/// Asks the agent for its versions, which changes nothing, and passes over the answer.
pub(super) async fn greet(
    read: &mut (impl AsyncRead + Unpin),
    write: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Error> {
    let greeting = encode_request(&ApiVersionsRequest::default(), 0, 0, None)
        .map_err(|error| Error::Corrupt(error.to_string().into()))?;
    let greeted = async {
        write.write_all(&greeting).await?;
        write.flush().await?;
        let mut prefix = [0; FRAME_LENGTH_BYTES];
        read.read_exact(&mut prefix).await?;
        let len = frame_len(prefix, FRAME_BYTES_MAX).map_err(io::Error::other)? as u64;
        let passed = tokio::io::copy(&mut read.take(len), &mut tokio::io::sink()).await?;
        if passed < len { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    };
    greeted
        .await
        .map_err(|error: io::Error| Error::Unreachable(format!("the connection was lost: {error}").into()))
}

/// What was asked on a connection and names agents in its answer, in the order of the answers.
#[derive(Debug, Default)]
struct Questions(Mutex<VecDeque<(i32, Question)>>);

impl Questions {
    fn note(&self, head: [u8; REQUEST_HEAD_BYTES]) -> io::Result<()> {
        let [k0, k1, v0, v1, correlation @ ..] = head;
        let key = i16::from_be_bytes([k0, k1]);
        let Some(question) = Question::new(key, i16::from_be_bytes([v0, v1])) else { return Ok(()) };
        let mut waiting = self.0.lock();
        if waiting.len() >= QUESTIONS_MAX {
            return Err(io::Error::other("too many requests are unanswered"));
        }
        waiting.push_back((i32::from_be_bytes(correlation), question));
        Ok(())
    }

    fn take(&self, correlation: i32) -> Option<Question> {
        let mut waiting = self.0.lock();
        waiting.pop_front_if(|(asked, _)| *asked == correlation).map(|(_, question)| question)
    }
}

/// Copies requests, and notes those whose answers name agents. The client's end becomes the stream's end.
async fn requests(
    read: impl AsyncRead + Unpin,
    write: impl AsyncWrite + Unpin,
    questions: &Questions,
) -> io::Result<()> {
    let mut read = BufReader::with_capacity(COPY_BYTES, read);
    let mut write = BufWriter::with_capacity(COPY_BYTES, write);
    while let Some((prefix, len)) = frame_start(&mut read).await? {
        write.write_all(&prefix).await?;
        let mut left = len;
        // A shorter frame is the agent's to refuse.
        if len >= REQUEST_HEAD_BYTES {
            let mut head = [0; REQUEST_HEAD_BYTES];
            read.read_exact(&mut head).await?;
            questions.note(head)?;
            write.write_all(&head).await?;
            left -= REQUEST_HEAD_BYTES;
        }
        copy(&mut read, &mut write, left).await?;
    }
    write.shutdown().await
}

/// Copies answers, those that name agents with the addresses of their listeners.
async fn responses(
    read: impl AsyncRead + Unpin,
    write: impl AsyncWrite + Unpin,
    questions: &Questions,
    ip: IpAddr,
    agents: &Arc<Agents>,
) -> Result<(), Error> {
    let lost = |error: io::Error| Error::Unreachable(format!("the connection was lost: {error}").into());
    let mut read = BufReader::with_capacity(COPY_BYTES, read);
    let mut write = BufWriter::with_capacity(COPY_BYTES, write);
    let mut local = |host: &str, port: u16| {
        let server = ServerAddress { transport: Transport::Quic, host: host.to_owned(), port };
        Ok((ip, agents.port(&server)?))
    };
    while let Some((prefix, len)) = frame_start(&mut read).await.map_err(lost)? {
        if len < RESPONSE_HEAD_BYTES {
            return Err(Error::Corrupt("the agent's answer is too short".into()));
        }
        let mut head = [0; RESPONSE_HEAD_BYTES];
        read.read_exact(&mut head).await.map_err(lost)?;
        let correlation = i32::from_be_bytes(head);
        let Some(question) = questions.take(correlation) else {
            write.write_all(&prefix).await.map_err(lost)?;
            write.write_all(&head).await.map_err(lost)?;
            copy(&mut read, &mut write, len - RESPONSE_HEAD_BYTES).await.map_err(lost)?;
            continue;
        };
        let mut frame = head.to_vec();
        // Grows as bytes arrive, whatever the length promises.
        let left = (len - RESPONSE_HEAD_BYTES) as u64;
        (&mut read).take(left).read_to_end(&mut frame).await.map_err(lost)?;
        if frame.len() < len {
            return Err(lost(io::ErrorKind::UnexpectedEof.into()));
        }
        let frame = rewrite(question, correlation, &Bytes::from(frame), &mut local).inspect_err(|error| {
            tracing::warn!(%error, "a connection is closed, since an answer cannot be rewritten");
        })?;
        write.write_all(&frame).await.map_err(lost)?;
        write.flush().await.map_err(lost)?;
    }
    write.shutdown().await.map_err(lost)
}

/// The length of the next frame, as it lies on the wire and as a number; `None` when the peer ended between frames.
async fn frame_start(
    read: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Option<([u8; FRAME_LENGTH_BYTES], usize)>> {
    if tokio::io::AsyncBufReadExt::fill_buf(read).await?.is_empty() {
        return Ok(None);
    }
    let mut prefix = [0; FRAME_LENGTH_BYTES];
    read.read_exact(&mut prefix).await?;
    let len = frame_len(prefix, FRAME_BYTES_MAX).map_err(io::Error::other)?;
    Ok(Some((prefix, len)))
}

/// Copies so many bytes and hands them to the network.
async fn copy(
    read: &mut (impl AsyncBufRead + Unpin),
    write: &mut (impl AsyncWrite + Unpin),
    len: usize,
) -> io::Result<()> {
    let copied = tokio::io::copy_buf(&mut read.take(len as u64), write).await?;
    if copied < len as u64 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    write.flush().await
}
