//! What callers notice of a server that hangs, is slow, or is gone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use ebb_protocol::{
    frame::{FRAME_BYTES_MAX, decode_request_header, frame_len},
    messages::{
        ApiVersionsRequest, ApiVersionsResponse, StrBytes, api_versions_response::ApiVersion, encode_response,
    },
    random::Random,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::Instant,
};

use super::{Node, NodeSettings};
use crate::{
    Error, ServerAddress,
    transport::{Connection, Dialer, ReadHalf, WriteHalf},
};

/// How long a slow server takes for a request: longer than anybody waits before asking whether it is there.
const SLOW: Duration = Duration::from_secs(20);

/// A server that answers ApiVersions, and what is wrong with it.
#[derive(Debug, Default)]
struct Server {
    connects: AtomicUsize,
    streams: AtomicUsize,
    /// Takes connections and requests, and answers neither.
    is_gone: AtomicBool,
    /// Answers only the first request of a stream soon.
    is_slow: AtomicBool,
}

#[derive(Debug)]
struct Dial(Arc<Server>);

#[async_trait::async_trait]
impl Dialer for Dial {
    async fn connect(&self, _server: &ServerAddress) -> Result<Arc<dyn Connection>, Error> {
        self.0.connects.fetch_add(1, Ordering::Relaxed);
        if self.0.is_gone.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(Arc::new(Connected(self.0.clone())))
    }

    async fn close(&self) {}
}

#[derive(Debug)]
struct Connected(Arc<Server>);

#[async_trait::async_trait]
impl Connection for Connected {
    async fn open_stream(&self) -> Result<(ReadHalf, WriteHalf), Error> {
        self.0.streams.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = tokio::io::duplex(4096);
        tokio::spawn(serve(self.0.clone(), theirs));
        let (read, write) = tokio::io::split(ours);
        Ok((Box::new(read), Box::new(write)))
    }

    fn is_closed(&self) -> bool {
        false
    }
}

async fn serve(server: Arc<Server>, mut stream: DuplexStream) {
    for number in 0.. {
        let mut prefix = [0; 4];
        if stream.read_exact(&mut prefix).await.is_err() {
            return;
        }
        let mut frame = BytesMut::zeroed(frame_len(prefix, FRAME_BYTES_MAX).expect("a sound length"));
        stream.read_exact(&mut frame).await.expect("the whole frame");
        if server.is_gone.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if number > 0 && server.is_slow.load(Ordering::Relaxed) {
            tokio::time::sleep(SLOW).await;
        }
        let (header, _) = decode_request_header(&frame.freeze()).expect("a sound header");
        let versions = ApiVersion::default().with_api_key(18).with_max_version(3);
        let answer = ApiVersionsResponse::default().with_api_keys(vec![versions]);
        let answer = encode_response::<ApiVersionsRequest>(&answer, header.version, header.correlation_id);
        stream.write_all(&answer.expect("the answer is small")).await.expect("the client reads");
    }
}

fn node(server: &Arc<Server>) -> Node {
    let settings = NodeSettings {
        dialer: Arc::new(Dial(server.clone())),
        random: Random::from_seed(1),
        client_id: StrBytes::from_static_str("test"),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(30),
    };
    Node::new("quic://server:1".parse().expect("an address"), Arc::new(settings))
}

async fn call(node: &Node) -> Result<ApiVersionsResponse, Error> {
    node.link().await?.call("a question", |_| ApiVersionsRequest::default()).await
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_gone_is_known_within_seconds() {
    let server = Arc::new(Server::default());
    let node = node(&server);
    call(&node).await.expect("the server answers");
    server.is_gone.store(true, Ordering::Relaxed);
    let before = Instant::now();
    let calls = futures::future::join_all((0..10).map(|_| call(&node))).await;
    assert!(calls.iter().all(|answer| matches!(answer, Err(Error::Uncertain(_)))), "{calls:?}");
    assert!(before.elapsed() < Duration::from_secs(7), "{:?}", before.elapsed());
    assert_eq!(server.streams.load(Ordering::Relaxed), 2, "one question serves all calls");
    assert!(node.is_failing(), "others are a better choice");
    server.is_gone.store(false, Ordering::Relaxed);
    call(&node).await.expect("the server is back");
    assert!(!node.is_failing());
}

#[tokio::test(start_paused = true)]
async fn calls_with_little_time_find_out_too_that_the_server_is_gone() {
    let server = Arc::new(Server::default());
    let node = node(&server);
    let link = node.link().await.expect("the server answers");
    server.is_gone.store(true, Ordering::Relaxed);
    let before = Instant::now();
    let second = Duration::from_secs(1);
    while !node.is_failing() {
        let channel = link.open_channel().await.expect("the network is there");
        let answer = channel.call(&ApiVersionsRequest::default(), 3, second).await;
        assert!(answer.is_err(), "{answer:?}");
        assert!(before.elapsed() < Duration::from_secs(5), "nobody finds out");
    }
    assert_eq!(
        before.elapsed(),
        second + Duration::from_secs(3),
        "the question is asked once, after the first call"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_waited_for() {
    let server = Arc::new(Server::default());
    let node = node(&server);
    server.is_slow.store(true, Ordering::Relaxed);
    let before = Instant::now();
    call(&node).await.expect("the server answers");
    assert!(before.elapsed() >= SLOW);
    assert_eq!(server.connects.load(Ordering::Relaxed), 1);
    assert!(!node.is_failing());
}

#[tokio::test(start_paused = true)]
async fn callers_share_an_attempt_that_fails() {
    let server = Arc::new(Server::default());
    let node = node(&server);
    server.is_gone.store(true, Ordering::Relaxed);
    let before = Instant::now();
    let links = futures::future::join_all((0..20).map(|_| node.link())).await;
    assert!(links.iter().all(|link| matches!(link, Err(Error::Unreachable(_)))), "{links:?}");
    assert!(before.elapsed() < Duration::from_secs(6), "{:?}", before.elapsed());
    assert_eq!(server.connects.load(Ordering::Relaxed), 1);
    // Whoever comes later tries again.
    node.link().await.expect_err("the server is gone");
    assert_eq!(server.connects.load(Ordering::Relaxed), 2);
}
