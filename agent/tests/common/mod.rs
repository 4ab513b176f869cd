//! Fixtures for tests over sockets: an agent in this process, and a client that speaks bare frames over TCP or QUIC.

#![allow(dead_code, reason = "no test file uses all of it")]

pub(crate) mod pair;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ebb_agent::{
    Agent, Environment,
    config::{AgentConfig, CommitLogConfig, ListenerConfig},
    listen::tls::{ALPN, DEV_CERTIFICATE},
};
use ebb_protocol::{
    batch::{BatchBuilder, Compression, RecordBatch},
    clock::SystemClock,
    ids::{ProducerEpoch, ProducerId, Sequence, Timestamp},
    messages::{
        CreateTopicsRequest, FetchRequest, ProduceRequest, ProduceResponse, Request, StrBytes, TopicName,
        create_topics_request::{CreatableTopic, CreatableTopicConfig},
        decode_response, encode_request,
        fetch_request::{FetchPartition, FetchTopic},
        produce_request::{PartitionProduceData, TopicProduceData},
        produce_response::PartitionProduceResponse,
    },
    random::Random,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::TcpStream,
    time::timeout,
};

/// Long enough that only a hang reaches it.
const HANG: Duration = Duration::from_secs(20);

pub(crate) struct Fixture {
    pub(crate) agent: Agent,
    directory: TempDir,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut AgentConfig)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut config = config(directory.path().to_owned());
        change(&mut config);
        let agent = Agent::start(config, environment()).await.expect("the agent starts");
        Self { agent, directory }
    }

    pub(crate) async fn tcp(&self) -> Connection {
        Connection::tcp(self.agent.addresses().kafka.expect("it listens on TCP")).await
    }

    pub(crate) async fn quic(&self) -> Connection {
        Connection::stream(self.quic_connection().await).await
    }

    /// A connection of each transport.
    pub(crate) async fn both(&self) -> [Connection; 2] {
        [self.tcp().await, self.quic().await]
    }

    pub(crate) async fn quic_connection(&self) -> quinn::Connection {
        let connecting =
            self.quic_client(ALPN).connect(self.quic_address(), "localhost").expect("it can dial");
        timeout(HANG, connecting).await.expect("no hang").expect("the handshake succeeds")
    }

    pub(crate) fn quic_address(&self) -> SocketAddr {
        self.agent.addresses().quic.expect("it listens on QUIC")
    }

    /// A client that trusts the agent's certificate, would send early data if it could, and asks for `alpn`.
    pub(crate) fn quic_client(&self, alpn: &[u8]) -> quinn::Endpoint {
        let pem =
            std::fs::read(self.directory.path().join(DEV_CERTIFICATE)).expect("the certificate was made");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).expect("it is PEM")).expect("it can be trusted");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![alpn.to_vec()];
        tls.enable_early_data = true;
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("TLS 1.3 has QUIC");
        let mut endpoint =
            quinn::Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket");
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        endpoint
    }

    /// GETs a page: the status line and the rest.
    pub(crate) async fn http(&self, path: &str) -> (String, String) {
        let address = self.agent.addresses().http.expect("it listens on HTTP");
        let mut stream = TcpStream::connect(address).await.expect("it can dial");
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it takes requests");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("it answers");
        let (status, rest) = response.split_once("\r\n").expect("a status line");
        (status.to_owned(), rest.to_owned())
    }
}

pub(crate) fn config(directory: std::path::PathBuf) -> AgentConfig {
    let free = ListenerConfig::new("127.0.0.1:0".parse().expect("an address"));
    let mut config = AgentConfig::new("memory:///", directory);
    config.commit_log = CommitLogConfig::Memory;
    config.kafka = Some(free.clone());
    config.quic = Some(free.clone());
    config.http = Some(free.address);
    config
}

pub(crate) fn environment() -> Environment {
    Environment { clock: Arc::new(SystemClock), random: Random::from_seed(7) }
}

/// A client's connection.
pub(crate) struct Connection {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    next_id: i32,
    /// Kept open as long as the stream is used.
    _quic: Option<quinn::Connection>,
}

impl Connection {
    pub(crate) async fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it can dial");
        let (reader, writer) = stream.into_split();
        Self { reader: Box::new(reader), writer: Box::new(writer), next_id: 1, _quic: None }
    }

    /// A connection over a pipe, and the agent's end of it.
    pub(crate) fn pipe() -> (Self, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1 << 10);
        let (reader, writer) = tokio::io::split(ours);
        (Self { reader: Box::new(reader), writer: Box::new(writer), next_id: 1, _quic: None }, theirs)
    }

    pub(crate) async fn stream(connection: quinn::Connection) -> Self {
        let (writer, reader) = connection.open_bi().await.expect("a stream opens");
        Self { reader: Box::new(reader), writer: Box::new(writer), next_id: 1, _quic: Some(connection) }
    }

    /// Asks and waits for the answer.
    pub(crate) async fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let sent = self.send(request, version).await;
        let (answered, response) = self.receive::<R>(version).await;
        assert_eq!(answered, sent, "answers come in order");
        response
    }

    /// Asks; the request's number.
    pub(crate) async fn send<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        let id = self.next_id;
        self.next_id += 1;
        let client = StrBytes::from_static_str("test");
        let frame =
            encode_request(request, version, id, Some(&client)).expect("the request fits the version");
        self.send_bytes(&frame).await;
        id
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.expect("the connection is open");
    }

    /// The next answer and the number of its request.
    pub(crate) async fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let frame = self.receive_frame().await.expect("the connection is open");
        let id = ebb_protocol::frame::response_correlation_id(&frame).expect("a header");
        (id, decode_response::<R>(&frame, version).expect("a sound response"))
    }

    pub(crate) async fn receive_frame(&mut self) -> std::io::Result<Bytes> {
        let read = async {
            let len = usize::try_from(self.reader.read_i32().await?).expect("lengths are not negative");
            let mut frame = BytesMut::zeroed(len);
            self.reader.read_exact(&mut frame).await?;
            Ok(frame.freeze())
        };
        timeout(HANG, read).await.expect("no hang")
    }

    /// Waits for the agent to close the connection.
    pub(crate) async fn assert_closed(&mut self) {
        let read = timeout(HANG, self.reader.read_u8()).await.expect("no hang");
        assert!(read.is_err(), "the agent sent something instead of closing");
    }

    pub(crate) async fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let response = self.call(&create_topics(name, partitions, configs), 7).await;
        assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
    }

    /// Produces one batch with acks=all to partition 0 and gives what the partition answered.
    pub(crate) async fn produce(
        &mut self,
        topic: &str,
        batch: Bytes,
        version: i16,
    ) -> PartitionProduceResponse {
        let response = self.call(&produce(topic, &[(0, batch)], -1), version).await;
        produced(response)
    }
}

pub(crate) fn produced(mut response: ProduceResponse) -> PartitionProduceResponse {
    response.responses.remove(0).partition_responses.remove(0)
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

pub(crate) fn create_topics(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreateTopicsRequest {
    let config = |(key, value): &(&str, &str)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string((*key).to_owned()))
            .with_value(Some(StrBytes::from_string((*value).to_owned())))
    };
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(3)
        .with_configs(configs.iter().map(config).collect());
    CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(1_000)
}

pub(crate) fn produce(topic: &str, batches: &[(i32, Bytes)], acks: i16) -> ProduceRequest {
    let partition = |(index, batch): &(i32, Bytes)| {
        PartitionProduceData::default().with_index(*index).with_records(Some(batch.clone()))
    };
    let topic = TopicProduceData::default()
        .with_name(topic_name(topic))
        .with_partition_data(batches.iter().map(partition).collect());
    ProduceRequest::default().with_acks(acks).with_timeout_ms(10_000).with_topic_data(vec![topic])
}

pub(crate) fn fetch(topic: &str, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(0)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(1 << 24)
        .with_topics(vec![topic])
}

/// The time now, in milliseconds.
pub(crate) fn now() -> i64 {
    ebb_protocol::clock::Clock::now(&SystemClock).0
}

/// A batch with these values, all at the present time.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    batch_at(values, now())
}

pub(crate) fn batch_at(values: &[&str], timestamp: i64) -> Bytes {
    build(values, timestamp, Compression::None, None).bytes().clone()
}

pub(crate) fn build(
    values: &[&str],
    timestamp: i64,
    compression: Compression,
    producer: Option<(i64, i16, i32)>,
) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for value in values {
        builder.append(Timestamp(timestamp), None, Some(value.as_bytes()), &[]).expect("a small record");
    }
    let producer =
        producer.map(|(id, epoch, sequence)| (ProducerId(id), ProducerEpoch(epoch), Sequence(sequence)));
    builder.finish(compression, producer).expect("there are records")
}

/// Offsets and values of the records in back-to-back batches.
pub(crate) fn records(bytes: Bytes) -> Vec<(i64, String)> {
    let mut records = Vec::new();
    for batch in RecordBatch::batches(bytes) {
        for record in batch.expect("a sound batch").decode(1 << 24).expect("it decompresses") {
            let record = record.expect("a sound record");
            let value = record.value.map(|value| String::from_utf8_lossy(&value).into_owned());
            records.push((record.offset.0, value.unwrap_or_default()));
        }
    }
    records
}
