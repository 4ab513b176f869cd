//! Tunnels between real TCP clients and agents in memory.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use ebb_protocol::{
    frame::{FRAME_LENGTH_BYTES, decode_request_header},
    messages::{
        ApiVersionsRequest, BrokerId, MetadataRequest, MetadataResponse, StrBytes, decode_response,
        encode_request, encode_response, metadata_response::MetadataResponseBroker,
    },
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
    task::JoinSet,
};

use super::*;
use crate::transport::{Connection, ReadHalf, WriteHalf};

const METADATA_VERSION: i16 = 12;
/// What an agent in memory answers to everything but Metadata.
const ANSWER_BYTES: usize = 300_000;

/// Agents by host. Every stream is served by a task; a host that is lost loses its streams.
#[derive(Debug, Default)]
struct Agents {
    streams: Mutex<BTreeMap<String, JoinSet<()>>>,
    down: Mutex<bool>,
    /// How often they were started again: they do not know connections from before.
    restarts: AtomicUsize,
    dialled: AtomicUsize,
}

#[derive(Debug, Clone, Default)]
struct Memory(Arc<Agents>);

#[derive(Debug)]
struct MemoryConnection {
    agents: Arc<Agents>,
    host: String,
    restarts: usize,
}

#[async_trait::async_trait]
impl Dialer for Memory {
    async fn connect(&self, server: &ServerAddress) -> Result<Arc<dyn Connection>, Error> {
        self.0.dialled.fetch_add(1, Ordering::Relaxed);
        if *self.0.down.lock() {
            return Err(Error::Unreachable("nobody listens".into()));
        }
        let restarts = self.0.restarts.load(Ordering::Relaxed);
        Ok(Arc::new(MemoryConnection { agents: self.0.clone(), host: server.host.clone(), restarts }))
    }

    async fn close(&self) {
        self.0.streams.lock().clear();
    }
}

#[async_trait::async_trait]
impl Connection for MemoryConnection {
    async fn open_stream(&self) -> Result<(ReadHalf, WriteHalf), Error> {
        let (ours, theirs) = tokio::io::duplex(4096);
        if self.restarts == self.agents.restarts.load(Ordering::Relaxed) {
            self.agents.streams.lock().entry(self.host.clone()).or_default().spawn(serve(theirs));
        }
        let (read, write) = tokio::io::split(ours);
        Ok((Box::new(read), Box::new(write)))
    }

    fn is_closed(&self) -> bool {
        *self.agents.down.lock()
    }
}

/// An agent: answers Metadata with two agents, and everything else with bytes that follow from the request.
async fn serve(mut stream: DuplexStream) {
    while let Some(frame) = read_frame(&mut stream).await {
        let (header, _) = decode_request_header(&frame).expect("the request came through whole");
        let answer = if header.api.key.code() == 3 {
            let broker = |id, host: &'static str| {
                MetadataResponseBroker::default()
                    .with_node_id(BrokerId(id))
                    .with_host(StrBytes::from_static_str(host))
                    .with_port(9093)
            };
            let brokers = vec![broker(1, "one.example"), broker(2, "two.example")];
            let response = MetadataResponse::default().with_brokers(brokers);
            encode_response::<MetadataRequest>(&response, header.version, header.correlation_id)
                .expect("it fits")
        } else {
            other_answer(header.correlation_id)
        };
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn other_answer(correlation: i32) -> Bytes {
    let mut answer = i32::try_from(ANSWER_BYTES + 4).expect("it is small").to_be_bytes().to_vec();
    answer.extend(correlation.to_be_bytes());
    answer.extend((0..ANSWER_BYTES).map(|index| (index % 251) as u8));
    answer.into()
}

async fn read_frame(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Bytes> {
    let mut prefix = [0; FRAME_LENGTH_BYTES];
    stream.read_exact(&mut prefix).await.ok()?;
    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(prefix)).expect("a length")];
    stream.read_exact(&mut frame).await.ok()?;
    Some(frame.into())
}

async fn open(dialer: &Memory, ports: Option<RangeInclusive<u16>>) -> Result<Tunnel, Error> {
    let settings = TunnelSettings {
        to: "quic://one.example:9093".parse().expect("an address"),
        listen: ([127, 0, 0, 1], 0).into(),
        ports,
        ca_files: Vec::new(),
        trust_dev: false,
    };
    Tunnel::over(settings, Arc::new(dialer.clone())).await
}

async fn dial(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("the tunnel listens")
}

async fn send_metadata(client: &mut TcpStream, correlation: i32) {
    let request = encode_request(&MetadataRequest::default(), METADATA_VERSION, correlation, None);
    client.write_all(&request.expect("it fits")).await.expect("the tunnel reads");
}

/// The ports of the agents that an answer names.
async fn ports(client: &mut TcpStream) -> Option<Vec<u16>> {
    let frame = read_frame(client).await?;
    let response = decode_response::<MetadataRequest>(&frame, METADATA_VERSION).expect("sound");
    let port = |broker: &MetadataResponseBroker| {
        assert_eq!(&*broker.host, "127.0.0.1");
        u16::try_from(broker.port).expect("a port")
    };
    Some(response.brokers.iter().map(port).collect())
}

#[tokio::test]
async fn answers_that_name_agents_name_their_listeners_and_others_pass_untouched() {
    let dialer = Memory::default();
    let tunnel = open(&dialer, None).await.expect("it opens");
    let mut client = dial(tunnel.address()).await;
    // All at once, and the end of the stream after it.
    for correlation in 0..4 {
        send_metadata(&mut client, 2 * correlation).await;
        let other = encode_request(&ApiVersionsRequest::default(), 0, 2 * correlation + 1, None);
        client.write_all(&other.expect("it fits")).await.expect("the tunnel reads");
    }
    client.shutdown().await.expect("the tunnel reads");
    let mut named = Vec::new();
    for correlation in 0..4 {
        named.push(ports(&mut client).await.expect("an answer"));
        let frame = read_frame(&mut client).await.expect("an answer");
        assert!(frame == other_answer(2 * correlation + 1).slice(FRAME_LENGTH_BYTES..));
    }
    assert_eq!(read_frame(&mut client).await, None, "the end of the stream comes back");
    assert!(named.iter().all(|ports| *ports == named[0]), "ports stay: {named:?}");
    assert_eq!(named[0][0], tunnel.address().port());

    let mut second = dial(([127, 0, 0, 1], named[0][1]).into()).await;
    send_metadata(&mut second, 9).await;
    assert_eq!(ports(&mut second).await.as_ref(), Some(&named[0]), "the other agent's listener");
    tunnel.close().await;
    assert_eq!(read_frame(&mut second).await, None, "closed with the tunnel");
}

#[tokio::test]
async fn clients_share_a_connection_and_come_back_after_it_was_lost() {
    let dialer = Memory::default();
    let tunnel = open(&dialer, None).await.expect("it opens");
    let mut clients = [dial(tunnel.address()).await, dial(tunnel.address()).await];
    for client in &mut clients {
        send_metadata(client, 1).await;
        assert!(ports(client).await.is_some());
    }
    assert_eq!(dialer.0.dialled.load(Ordering::Relaxed), 2, "at the start, and for both");

    *dialer.0.down.lock() = true;
    dialer.close().await;
    for client in &mut clients {
        assert_eq!(read_frame(client).await, None, "the agent is lost");
    }
    for _ in 0..5 {
        assert_eq!(read_frame(&mut dial(tunnel.address()).await).await, None, "it is refused at once");
    }
    assert!(dialer.0.dialled.load(Ordering::Relaxed) < 7, "the agent is left alone for a while");
    *dialer.0.down.lock() = false;
    let recovered = async {
        loop {
            let mut client = dial(tunnel.address()).await;
            send_metadata(&mut client, 1).await;
            match ports(&mut client).await {
                Some(ports) => return ports,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let ports = tokio::time::timeout(Duration::from_secs(30), recovered).await.expect("it comes back");
    assert_eq!(ports[0], tunnel.address().port());
}

#[tokio::test]
async fn a_connection_that_the_agent_no_longer_knows_is_replaced_unseen() {
    let dialer = Memory::default();
    let tunnel = open(&dialer, None).await.expect("it opens");
    let mut old = dial(tunnel.address()).await;
    send_metadata(&mut old, 1).await;
    assert!(ports(&mut old).await.is_some());
    // The old stream stays open, as it does while nothing is sent on it.
    dialer.0.restarts.fetch_add(1, Ordering::Relaxed);
    let mut clients = [dial(tunnel.address()).await, dial(tunnel.address()).await];
    for client in &mut clients {
        send_metadata(client, 1).await;
        assert!(ports(client).await.is_some(), "its first connection is served");
    }
}

#[tokio::test]
async fn requests_and_answers_that_are_no_frames_end_their_connection_alone() {
    let dialer = Memory::default();
    let tunnel = open(&dialer, None).await.expect("it opens");
    let mut sound = dial(tunnel.address()).await;
    for bad in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\xff\xff\xff\xffnothing"] {
        let mut client = dial(tunnel.address()).await;
        client.write_all(bad).await.expect("the tunnel reads");
        assert_eq!(read_frame(&mut client).await, None, "{bad:?}");
    }
    // An agent that is not in the range of ports cannot be named.
    let narrow = open(&dialer, Some(tunnel.address().port()..=tunnel.address().port())).await;
    let narrow = narrow.expect("the first listener is not in the range");
    let mut client = dial(narrow.address()).await;
    send_metadata(&mut client, 1).await;
    assert_eq!(read_frame(&mut client).await, None, "there is no port for the second agent");
    send_metadata(&mut sound, 1).await;
    assert!(ports(&mut sound).await.is_some());
}

#[tokio::test]
async fn a_tunnel_that_cannot_be_opened_says_why() {
    let dialer = Memory::default();
    let first = open(&dialer, None).await.expect("it opens");
    let settings = TunnelSettings {
        to: "quic://one.example:9093".parse().expect("an address"),
        listen: first.address(),
        ports: None,
        ca_files: Vec::new(),
        trust_dev: false,
    };
    let taken = Tunnel::over(settings.clone(), Arc::new(dialer.clone())).await.expect_err("it is taken");
    assert!(matches!(&taken, Error::Usage(why) if why.contains("in use")), "{taken}");
    let to = "kafka://one.example:9092".parse().expect("an address");
    let wrong = Tunnel::open(TunnelSettings { to, ..settings }).await.expect_err("it is no QUIC");
    assert!(matches!(wrong, Error::Usage(_)), "{wrong}");
    *dialer.0.down.lock() = true;
    assert!(matches!(open(&dialer, None).await, Err(Error::Unreachable(_))));
}
