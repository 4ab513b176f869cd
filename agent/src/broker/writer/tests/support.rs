//! What the writer's tests stand on: the real metastore over a log, a store with planned answers, and batches.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use ebb_metastore::{
    Metastore, MetastoreConfig, Submission,
    command::{Command, CreateTopic, ObjectRef, RegisterAgent},
    log::CommitLog,
    outcome::Outcome,
};
use ebb_protocol::{
    batch::{BatchBuilder, Compression, RecordBatch},
    clock::{Clock, SharedClock},
    ids::{
        ClusterId, IdSource, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId,
        TopicName,
    },
    random::Random,
};
use ebb_segment::store::{SegmentStore, StoreConfig};
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use parking_lot::Mutex;

use crate::broker::{Append, BrokerConfig, cache::ObjectSink, writer::Writer};

/// The time at which clocks stand still.
pub(super) const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A clock that stands still.
struct StoppedClock(Timestamp);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// A writer and what it writes to.
pub(super) struct Rig {
    pub(super) writer: Writer,
    pub(super) metastore: Metastore,
    pub(super) store: Arc<PlannedStore>,
    pub(super) sink: Arc<SeenObjects>,
    pub(super) topic: TopicId,
}

pub(super) fn metastore_config() -> MetastoreConfig {
    MetastoreConfig { appends_in_flight_max: 16, ..MetastoreConfig::default() }
}

impl Rig {
    /// A topic of four partitions; segments go to a store that answers at once unless planned otherwise.
    pub(super) async fn new(log: Arc<dyn CommitLog>, config: BrokerConfig) -> Self {
        let random = Random::from_seed(7);
        let (metastore, ids) = agent(log, NOW, &random).await;
        let topic = ids.topic();
        let name = TopicName::new("flights").expect("a legal name");
        let create = CreateTopic { topic, name, partitions: 4, config: Vec::new() };
        submit(&metastore, Command::CreateTopic(create)).await;

        let (store, sink) = (Arc::new(PlannedStore::default()), Arc::new(SeenObjects::default()));
        let segments = SegmentStore::new(store.clone(), random.fork(), StoreConfig::default());
        let writer = Writer::start(ClusterId(1), metastore.clone(), segments, sink.clone(), ids, &config);
        Self { writer, metastore, store, sink, topic }
    }

    pub(super) fn to(&self, partition: i32, batch: RecordBatch) -> Append {
        Append { topic: self.topic, partition: PartitionIndex(partition), batch }
    }

    pub(super) fn high_watermark(&self, partition: i32) -> Offset {
        let head = self.metastore.read(|state| state.head(self.topic, PartitionIndex(partition)));
        head.expect("the partition exists").high_watermark
    }

    pub(super) async fn producer(&self) -> (ProducerId, ProducerEpoch) {
        match submit(&self.metastore, Command::InitProducer { current: None }).await {
            Outcome::ProducerReady { id, epoch } => (id, epoch),
            other => panic!("no producer id but {other:?}"),
        }
    }
}

/// A registered agent whose clock stands at `now`.
pub(super) async fn agent(log: Arc<dyn CommitLog>, now: Timestamp, random: &Random) -> (Metastore, IdSource) {
    let clock: SharedClock = Arc::new(StoppedClock(now));
    let ids = IdSource::new(clock.clone(), random.fork());
    let (agent, snapshots) = (ids.agent(), Arc::new(InMemory::new()));
    let metastore =
        Metastore::open(agent, log, snapshots, clock, ids.clone(), random.fork(), metastore_config());
    let metastore = metastore.await.expect("a sound log opens");
    let register =
        RegisterAgent { agent, kafka: None, quic: None, zone: String::new(), understands: 1, host: None };
    submit(&metastore, Command::RegisterAgent(register)).await;
    (metastore, ids)
}

pub(super) async fn submit(metastore: &Metastore, command: Command) -> Outcome {
    let submission = Submission { commands: vec![command], body: Vec::new() };
    metastore.submit(submission).await.expect("a healthy log").pop().expect("one outcome")
}

/// A batch of one record with a value of `bytes` bytes.
pub(super) fn batch(bytes: usize) -> RecordBatch {
    batch_from(bytes, None)
}

pub(super) fn batch_from(
    bytes: usize,
    producer: Option<(ProducerId, ProducerEpoch, Sequence)>,
) -> RecordBatch {
    let mut builder = BatchBuilder::with_capacity(bytes + 100);
    builder.append(Timestamp(1), None, Some(&vec![b'x'; bytes]), &[]).expect("a small record");
    builder.finish(Compression::None, producer).expect("one record")
}

/// Remembers the objects that were written.
#[derive(Debug, Default)]
pub(super) struct SeenObjects(pub(super) Mutex<Vec<(ObjectRef, Bytes)>>);

impl ObjectSink for SeenObjects {
    fn written(&self, object: ObjectRef, pieces: &[Bytes]) {
        self.0.lock().push((object, pieces.concat().into()));
    }
}

/// How the store answers one put.
#[derive(Clone, Copy, Debug)]
pub(super) enum Put {
    After(Duration),
    Denied,
    Never,
}

/// A store in memory that answers puts as planned, one after the other, and those beyond the plan at once.
#[derive(Debug, Default)]
pub(super) struct PlannedStore {
    inner: InMemory,
    plan: Mutex<VecDeque<Put>>,
    uploads: Mutex<Uploads>,
}

/// How many puts are and were in flight.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uploads {
    now: usize,
    pub(super) most: usize,
    pub(super) all: usize,
}

impl PlannedStore {
    pub(super) fn plan(&self, puts: &[Put]) {
        self.plan.lock().extend(puts);
    }

    pub(super) fn uploads(&self) -> Uploads {
        *self.uploads.lock()
    }
}

impl fmt::Display for PlannedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlannedStore")
    }
}

#[async_trait]
impl ObjectStore for PlannedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let planned = self.plan.lock().pop_front();
        {
            let mut uploads = self.uploads.lock();
            uploads.all += 1;
            uploads.now += 1;
            uploads.most = uploads.most.max(uploads.now);
        }
        let answer = match planned {
            Some(Put::Never) => std::future::pending().await,
            Some(Put::Denied) => Err(object_store::Error::PermissionDenied {
                path: location.to_string(),
                source: "403".into(),
            }),
            Some(Put::After(delay)) => {
                tokio::time::sleep(delay).await;
                self.inner.put_opts(location, payload, opts).await
            }
            None => self.inner.put_opts(location, payload, opts).await,
        };
        self.uploads.lock().now -= 1;
        answer
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
