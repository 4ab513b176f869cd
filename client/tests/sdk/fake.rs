//! A cluster of one agent in memory, for tests of the SDK: real frames over in-memory streams, idempotence as Kafka
//! has it, and a script of faults. It knows as much of a broker as the tests need.

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use ebb_protocol::{
    api::APIS,
    batch::{Record, RecordBatch},
    frame::{FRAME_BYTES_MAX, decode_request_header, frame_len},
    ids::{LeaderEpoch, Offset},
    messages::{
        ApiVersionsRequest, ApiVersionsResponse, BrokerId, ConsumerGroupHeartbeatRequest, FetchRequest,
        FetchResponse, FindCoordinatorRequest, InitProducerIdRequest, InitProducerIdResponse,
        ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse, OffsetCommitRequest,
        OffsetFetchRequest, ProduceRequest, ProduceResponse, ProducerId, Request, StrBytes, TopicName,
        api_versions_response::ApiVersion, decode_request, encode_response, fetch_response,
        list_offsets_response, metadata_request::MetadataRequestTopic, metadata_response, produce_response,
    },
    random::Random,
};
use ebbtide::{
    Client, Error, ErrorCode, PartitionIndex, ServerAddress,
    transport::{Connection, Dialer, ReadHalf, WriteHalf},
};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fake_group::Group;

/// The one topic there is.
pub(crate) const TOPIC: &str = "flights";

/// What becomes of the next Produce request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is served.
    None,
    /// The stream breaks before anything is written.
    BreakBefore,
    /// The stream breaks after the batches were written.
    BreakAfter,
    /// All batches are refused with this code; nothing is written.
    Refuse(ErrorCode),
    /// The batches are written and the answer is this code.
    WriteThenSay(ErrorCode),
    /// The cluster forgets its producers before it serves the request.
    Forget,
    /// Nothing is answered, ever.
    Hang,
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) state: Mutex<State>,
    /// How long every request takes.
    pub(crate) delay: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) logs: Vec<Log>,
    pub(crate) group: Group,
    pub(crate) faults: VecDeque<Fault>,
    /// Set while nobody listens.
    pub(crate) down: bool,
    pub(crate) epoch: i16,
    /// Set while the topic does not exist.
    pub(crate) is_gone: bool,
    /// How often the topic has been created anew, under another id.
    pub(crate) recreated: u128,
    pub(crate) log_start: i64,
    /// How long looking up offsets takes.
    pub(crate) look_ups_take: Duration,
    pub(crate) connects: usize,
    pub(crate) streams: usize,
    pub(crate) produce_requests: usize,
    pub(crate) fetch_requests: usize,
    /// Each counts once, however often it looks for records.
    pub(crate) fetches_begun: usize,
    /// The largest batch seen, in bytes.
    pub(crate) batch_bytes: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) batches: Vec<RecordBatch>,
    end: i64,
    producer: Option<Remembered>,
}

/// A producer's epoch, the sequence it must use next, and the sequences and offsets of its last five batches.
type Remembered = (i16, i32, VecDeque<(i32, i64)>);

impl Fake {
    pub(crate) fn new(partitions: usize, delay: Duration) -> Arc<Self> {
        let logs = (0..partitions).map(|_| Log::default()).collect();
        Arc::new(Self { state: Mutex::new(State { logs, ..State::default() }), delay })
    }

    /// A client of this cluster.
    pub(crate) async fn client(self: &Arc<Self>) -> Client {
        let builder =
            Client::builder().dialer(Arc::new(FakeDialer(self.clone()))).random(Random::from_seed(7));
        builder.connect().await.expect("the fake cluster answers")
    }

    pub(crate) fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().faults.extend(faults);
    }

    /// All records of a partition.
    pub(crate) fn records(&self, partition: usize) -> Vec<Record> {
        let state = self.state.lock();
        let decode = |batch: &RecordBatch| {
            batch.decode(1 << 30).expect("sound batch").map(|r| r.expect("sound record"))
        };
        state.logs[partition].batches.iter().flat_map(decode).collect()
    }

    /// The values of a partition's records, as numbers.
    pub(crate) fn numbers(&self, partition: usize) -> Vec<u64> {
        let number = |record: Record| {
            let value = record.value.expect("a value");
            std::str::from_utf8(&value).expect("utf-8").trim_end().parse().expect("a number")
        };
        self.records(partition).into_iter().map(number).collect()
    }
}

#[derive(Debug)]
struct FakeDialer(Arc<Fake>);

#[derive(Debug)]
struct FakeConnection(Arc<Fake>);

#[async_trait::async_trait]
impl Dialer for FakeDialer {
    async fn connect(&self, server: &ServerAddress) -> Result<Arc<dyn Connection>, Error> {
        self.0.state.lock().connects += 1;
        if self.0.state.lock().down {
            return Err(Error::Unreachable(format!("cannot connect to {server}: nobody listens").into()));
        }
        Ok(Arc::new(FakeConnection(self.0.clone())))
    }

    async fn close(&self) {}
}

#[async_trait::async_trait]
impl Connection for FakeConnection {
    async fn open_stream(&self) -> Result<(ReadHalf, WriteHalf), Error> {
        if self.is_closed() {
            return Err(Error::Unreachable("the connection is gone".into()));
        }
        self.0.state.lock().streams += 1;
        let (ours, theirs) = tokio::io::duplex(64 << 20);
        tokio::spawn(serve(self.0.clone(), theirs));
        let (read, write) = tokio::io::split(ours);
        Ok((Box::new(read), Box::new(write)))
    }

    fn is_closed(&self) -> bool {
        self.0.state.lock().down
    }
}

async fn serve(fake: Arc<Fake>, mut stream: tokio::io::DuplexStream) {
    loop {
        let mut prefix = [0; 4];
        if stream.read_exact(&mut prefix).await.is_err() {
            return;
        }
        let len = frame_len(prefix, FRAME_BYTES_MAX).expect("a sound length");
        let mut frame = BytesMut::zeroed(len);
        if stream.read_exact(&mut frame).await.is_err() {
            return;
        }
        tokio::time::sleep(fake.delay).await;
        match fake.answer(&frame.freeze()).await {
            Some(reply) if stream.write_all(&reply).await.is_ok() => {}
            _ => return,
        }
    }
}

impl Fake {
    /// The reply to a frame. None breaks the stream.
    async fn answer(&self, frame: &Bytes) -> Option<Bytes> {
        let (header, body) = decode_request_header(frame).expect("a sound header");
        let (version, id) = (header.version, header.correlation_id);
        if self.state.lock().down {
            return None;
        }
        match header.api.key.code() {
            0 => {
                let request = read::<ProduceRequest>(body, version);
                let fault = self.state.lock().faults.pop_front().unwrap_or(Fault::None);
                if fault == Fault::Hang {
                    std::future::pending::<()>().await;
                }
                let response = self.state.lock().produce(&request, fault)?;
                Some(reply::<ProduceRequest>(&response, version, id))
            }
            1 => {
                let request = read::<FetchRequest>(body, version);
                self.state.lock().fetches_begun += 1;
                let deadline =
                    tokio::time::Instant::now() + Duration::from_millis(request.max_wait_ms as u64);
                loop {
                    let response = self.state.lock().fetch(&request);
                    if let Some(response) = response {
                        return Some(reply::<FetchRequest>(&response, version, id));
                    }
                    if tokio::time::Instant::now() >= deadline {
                        let response = self.state.lock().fetch_empty(&request);
                        return Some(reply::<FetchRequest>(&response, version, id));
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            2 => {
                let delay = self.state.lock().look_ups_take;
                tokio::time::sleep(delay).await;
                respond::<ListOffsetsRequest>(body, version, id, |asked| {
                    self.state.lock().list_offsets(asked)
                })
            }
            3 => respond::<MetadataRequest>(body, version, id, |asked| self.state.lock().metadata(asked)),
            8 => respond::<OffsetCommitRequest>(body, version, id, |asked| {
                let mut state = self.state.lock();
                let is_gone = state.is_gone;
                state.group.commit(asked, is_gone)
            }),
            9 => {
                respond::<OffsetFetchRequest>(body, version, id, |asked| self.state.lock().group.fetch(asked))
            }
            10 => respond::<FindCoordinatorRequest>(body, version, id, |asked| {
                self.state.lock().group.find(asked)
            }),
            18 => Some(reply::<ApiVersionsRequest>(&api_versions(), version, id)),
            22 => respond::<InitProducerIdRequest>(body, version, id, |_| self.state.lock().init_producer()),
            68 => {
                if self.state.lock().group.hangs() {
                    std::future::pending::<()>().await;
                }
                respond::<ConsumerGroupHeartbeatRequest>(body, version, id, |asked| {
                    let mut state = self.state.lock();
                    let (id, partitions) =
                        (state.topic_id(), if state.is_gone { 0 } else { state.logs.len() });
                    state.group.heartbeat(asked, id, partitions)
                })
            }
            other => panic!("api {other} is not faked"),
        }
    }
}

fn read<R: Request>(body: Bytes, version: i16) -> R {
    decode_request(body, version).expect("a sound request")
}

fn respond<R: Request>(
    body: Bytes,
    version: i16,
    id: i32,
    answer: impl FnOnce(&R) -> R::Response,
) -> Option<Bytes> {
    Some(reply::<R>(&answer(&read(body, version)), version, id))
}

fn reply<R: Request>(response: &R::Response, version: i16, id: i32) -> Bytes {
    encode_response::<R>(response, version, id).expect("a response that fits")
}

fn api_versions() -> ApiVersionsResponse {
    let row = |api: &ebb_protocol::api::Api| {
        ApiVersion::default().with_api_key(api.key.code()).with_min_version(api.min).with_max_version(api.max)
    };
    ApiVersionsResponse::default().with_api_keys(APIS.iter().map(row).collect())
}

fn topic_name() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

impl State {
    fn topic_id(&self) -> uuid::Uuid {
        uuid::Uuid::from_u128(7 + self.recreated)
    }

    /// Deletes the topic, and all that is in it.
    pub(crate) fn delete(&mut self) {
        self.is_gone = true;
        self.recreated += 1;
        self.logs.iter_mut().for_each(|log| *log = Log::default());
        self.group.committed.clear();
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let broker = metadata_response::MetadataResponseBroker::default()
            .with_node_id(BrokerId(0))
            .with_host(StrBytes::from_static_str("agent"))
            .with_port(9093);
        let topic = |asked: &TopicName| {
            let topic = metadata_response::MetadataResponseTopic::default().with_name(Some(asked.clone()));
            if **asked != *TOPIC || self.is_gone {
                return topic.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
            }
            let partition = |index: usize| {
                metadata_response::MetadataResponsePartition::default()
                    .with_partition_index(index as i32)
                    .with_leader_id(BrokerId(0))
            };
            topic
                .with_topic_id(self.topic_id())
                .with_partitions((0..self.logs.len()).map(partition).collect())
        };
        let by_id = |id: uuid::Uuid| {
            if id == self.topic_id() {
                return topic(&topic_name());
            }
            let unknown = ErrorCode::UnknownTopicId.code();
            metadata_response::MetadataResponseTopic::default().with_topic_id(id).with_error_code(unknown)
        };
        let topics = match &request.topics {
            None => vec![topic(&topic_name())],
            Some(asked) => {
                let one = |asked: &MetadataRequestTopic| match &asked.name {
                    Some(name) => topic(name),
                    None => by_id(asked.topic_id),
                };
                asked.iter().map(one).collect()
            }
        };
        MetadataResponse::default().with_brokers(vec![broker]).with_topics(topics)
    }

    fn init_producer(&mut self) -> InitProducerIdResponse {
        self.epoch += 1;
        InitProducerIdResponse::default().with_producer_id(ProducerId(4)).with_producer_epoch(self.epoch - 1)
    }

    /// None breaks the stream.
    fn produce(&mut self, request: &ProduceRequest, fault: Fault) -> Option<ProduceResponse> {
        self.produce_requests += 1;
        if fault == Fault::BreakBefore {
            return None;
        }
        if fault == Fault::Forget {
            self.logs.iter_mut().for_each(|log| log.producer = None);
        }
        let mut responses = Vec::new();
        for topic in &request.topic_data {
            let mut partitions = Vec::new();
            for data in &topic.partition_data {
                let bytes = data.records.clone().expect("records");
                self.batch_bytes = self.batch_bytes.max(bytes.len());
                let batch = RecordBatch::parse(bytes).expect("a sound batch");
                let refused = match fault {
                    Fault::Refuse(code) => Some(code),
                    _ => None,
                };
                let epoch = self.epoch - 1;
                let result = match refused {
                    Some(code) => Err(code),
                    None => self.logs[data.index as usize].append(&batch, epoch),
                };
                let answer = produce_response::PartitionProduceResponse::default().with_index(data.index);
                let answer = match (result, fault) {
                    (_, Fault::WriteThenSay(code)) => answer.with_error_code(code.code()),
                    (Ok(base), _) => answer.with_base_offset(base),
                    (Err(code), _) => answer.with_error_code(code.code()),
                };
                partitions.push(answer);
            }
            let topic = produce_response::TopicProduceResponse::default()
                .with_topic_id(topic.topic_id)
                .with_name(topic.name.clone())
                .with_partition_responses(partitions);
            responses.push(topic);
        }
        (fault != Fault::BreakAfter).then(|| ProduceResponse::default().with_responses(responses))
    }

    fn list_offsets(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let topic = request.topics.first().expect("a topic");
        let partition = |asked: &ebb_protocol::messages::list_offsets_request::ListOffsetsPartition| {
            let log = &self.logs[asked.partition_index as usize];
            let offset = match asked.timestamp {
                -1 => log.end,
                -2 => self.log_start,
                time => {
                    log.batches.iter().find(|b| b.max_timestamp().0 >= time).map_or(-1, |b| b.base_offset().0)
                }
            };
            list_offsets_response::ListOffsetsPartitionResponse::default()
                .with_partition_index(asked.partition_index)
                .with_timestamp(-1)
                .with_offset(offset)
        };
        let topic = list_offsets_response::ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partitions.iter().map(partition).collect());
        ListOffsetsResponse::default().with_topics(vec![topic])
    }

    /// None when there is nothing new.
    fn fetch(&mut self, request: &FetchRequest) -> Option<FetchResponse> {
        let response = self.fetch_empty(request);
        let some = |partition: &fetch_response::PartitionData| {
            partition.error_code != 0 || partition.records.as_ref().is_some_and(|records| !records.is_empty())
        };
        response.responses.iter().flat_map(|topic| &topic.partitions).any(some).then_some(response)
    }

    fn fetch_empty(&mut self, request: &FetchRequest) -> FetchResponse {
        self.fetch_requests += 1;
        let room = Cell::new(request.max_bytes as usize);
        let topic = |topic: &ebb_protocol::messages::fetch_request::FetchTopic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let log = &self.logs[asked.partition as usize];
                let data = fetch_response::PartitionData::default()
                    .with_partition_index(asked.partition)
                    .with_high_watermark(log.end)
                    .with_last_stable_offset(log.end);
                if self.is_gone || ![self.topic_id(), uuid::Uuid::nil()].contains(&topic.topic_id) {
                    return data.with_error_code(ErrorCode::UnknownTopicId.code());
                }
                if asked.fetch_offset < self.log_start || asked.fetch_offset > log.end {
                    return data.with_error_code(ErrorCode::OffsetOutOfRange.code());
                }
                let bytes_max = room.get().min(asked.partition_max_bytes as usize);
                let records =
                    if bytes_max == 0 { Bytes::new() } else { log.read(asked.fetch_offset, bytes_max) };
                room.set(room.get().saturating_sub(records.len()));
                data.with_records(Some(records))
            });
            fetch_response::FetchableTopicResponse::default()
                .with_topic_id(topic.topic_id)
                .with_topic(topic.topic.clone())
                .with_partitions(partitions.collect())
        };
        FetchResponse::default().with_responses(request.topics.iter().map(topic).collect())
    }
}

impl Log {
    /// Appends as Kafka does: checks epoch and sequence, answers repetitions with their offset.
    pub(crate) fn append(&mut self, batch: &RecordBatch, current_epoch: i16) -> Result<i64, ErrorCode> {
        let base = self.end;
        if let Some((_, epoch, sequence)) = batch.producer() {
            if epoch.0 < current_epoch {
                return Err(ErrorCode::InvalidProducerEpoch);
            }
            let known = self.producer.take().filter(|(old, ..)| *old == epoch.0);
            let forgotten = known.is_none();
            let (_, next, mut last) = known.unwrap_or((epoch.0, 0, VecDeque::new()));
            let repeated = last.iter().find(|(first, _)| *first == sequence.0).map(|(_, offset)| *offset);
            let judged = match repeated {
                Some(offset) => Err(Ok(offset)),
                None if sequence.0 == next => Ok(()),
                None if forgotten => Err(Err(ErrorCode::UnknownProducerId)),
                None if sequence.0 < next => Err(Err(ErrorCode::DuplicateSequenceNumber)),
                None => Err(Err(ErrorCode::OutOfOrderSequenceNumber)),
            };
            match judged {
                Ok(()) => {
                    last.push_back((sequence.0, base));
                    if last.len() > 5 {
                        last.pop_front();
                    }
                    self.producer = Some((epoch.0, sequence.plus(batch.record_count()).0, last));
                }
                Err(answer) => {
                    self.producer = (!forgotten).then_some((epoch.0, next, last));
                    return answer;
                }
            }
        }
        let mut bytes = BytesMut::from(&**batch.bytes());
        RecordBatch::set_position(&mut bytes, Offset(base), LeaderEpoch(0));
        let mut bytes = bytes.freeze();
        self.batches.push(RecordBatch::split_first(&mut bytes).expect("a sound batch"));
        self.end += i64::from(batch.record_count());
        Ok(base)
    }

    fn read(&self, from: i64, bytes_max: usize) -> Bytes {
        let mut bytes = BytesMut::new();
        for batch in self.batches.iter().filter(|batch| batch.last_offset().0 >= from) {
            if !bytes.is_empty() && bytes.len() + batch.bytes().len() > bytes_max {
                break;
            }
            bytes.extend_from_slice(batch.bytes());
        }
        bytes.freeze()
    }
}

/// Splits the numbers of all partitions, for checks that do not care where a record went.
pub(crate) fn all_numbers(fake: &Fake) -> BTreeMap<PartitionIndex, Vec<u64>> {
    let partitions = fake.state.lock().logs.len();
    (0..partitions).map(|index| (PartitionIndex(index as i32), fake.numbers(index))).collect()
}
