//! What the broker's unit tests share: batches, segments, and a slow bucket that counts.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ebb_archive::{ArchiveWriter, Footer, Identity, Settings};
use ebb_metastore::{
    Metastore, MetastoreConfig, Submission,
    command::{
        ArchiveSpan, Command, CreateTopic, Endpoint, FileColumns, ObjectRef, PublishArchive, RegisterAgent,
    },
    log::{CommitLog, RetryConfig, bucket::BucketLog, memory::MemoryLog},
    outcome::Outcome,
    state::{State, fingerprint},
};
use ebb_protocol::{
    batch::{BatchBuilder, Compression, RecordBatch},
    clock::{Clock, SharedClock},
    ids::{ArchiveId, ClusterId, IdSource, PartitionIndex, SegmentId, Timestamp, TopicId, TopicName},
    random::Random,
};
use ebb_segment::{
    counted::CountedStore,
    format::{self, Segment},
    key,
    store::{SegmentStore, StoreConfig},
};
use futures::StreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt, PutPayload,
    memory::InMemory,
    path::Path,
    throttle::{ThrottleConfig, ThrottledStore},
};
use uuid::Uuid;

use super::{
    Append, Broker, BrokerConfig,
    cache::{BlockLimits, Blocks, PlainCache, Warmer},
};

pub(super) const CLUSTER: ClusterId = ClusterId(1);
pub(super) const TOPIC: TopicId = TopicId(Uuid::from_u128(5));
pub(super) const PARTITION: PartitionIndex = PartitionIndex(0);

/// Blocks are small, so that most batches of a test lie in several.
pub(super) const BLOCK_BYTES: u64 = 1024;

/// How long the bucket takes to answer a GET.
pub(super) const GET_DELAY: Duration = Duration::from_millis(10);

/// A batch of records with these timestamps; each record's value is `value_bytes` long.
pub(super) fn batch(timestamps: &[i64], value_bytes: usize) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for timestamp in timestamps {
        let value = vec![b'v'; value_bytes];
        builder.append(Timestamp(*timestamp), None, Some(&value), &[]).expect("a small record");
    }
    builder.finish(Compression::None, None).expect("a batch")
}

/// A segment of one partition with a batch of one record for each value length.
pub(super) fn segment(id: SegmentId, value_bytes: &[usize]) -> Segment {
    let batches: Vec<_> =
        value_bytes.iter().map(|bytes| (TOPIC, PARTITION, batch(&[1_000], *bytes))).collect();
    format::build(CLUSTER, id, &batches).0
}

/// A bucket in memory whose GETs take [`GET_DELAY`] of the paused clock.
#[derive(Debug)]
pub(super) struct Bucket {
    inner: Arc<CountedStore>,
}

impl Bucket {
    pub(super) fn new() -> Self {
        let config = ThrottleConfig { wait_get_per_call: GET_DELAY, ..ThrottleConfig::default() };
        let throttled = ThrottledStore::new(InMemory::new(), config);
        Self { inner: Arc::new(CountedStore::new(Arc::new(throttled))) }
    }

    pub(super) fn objects(&self) -> Arc<dyn ObjectStore> {
        self.inner.clone()
    }

    pub(super) fn store(&self) -> SegmentStore {
        SegmentStore::new(self.objects(), Random::from_seed(1), StoreConfig::default())
    }

    /// Puts a segment and gives its bytes.
    pub(super) async fn put(&self, segment: &Segment) -> Bytes {
        self.put_at(&key::of(segment.id), segment).await
    }

    pub(super) async fn put_at(&self, path: &Path, segment: &Segment) -> Bytes {
        let bytes: BytesMut = segment.pieces.iter().flatten().copied().collect();
        let bytes = bytes.freeze();
        self.inner.put(path, PutPayload::from_bytes(bytes.clone())).await.expect("a put in memory");
        bytes
    }

    /// Blocks over the bucket, and the cache they are kept in.
    pub(super) fn blocks(&self) -> (Blocks, Arc<PlainCache>) {
        let limits = BlockLimits { block_bytes: BLOCK_BYTES, tail_gets_max: 4, replay_gets_max: 1 };
        let locate = Box::new(|object: ObjectRef| match object {
            ObjectRef::Segment(segment) => Some(key::of(segment)),
            ObjectRef::Entry(_) | ObjectRef::Archive(_) => None,
        });
        let cache = Arc::new(PlainCache::new(1 << 20));
        (Blocks::new(CLUSTER, cache.clone(), self.store(), locate, limits), cache)
    }

    pub(super) fn warmer(&self, cache: Arc<PlainCache>) -> Warmer {
        Warmer::new(cache, BLOCK_BYTES)
    }

    /// The keys below a prefix, sorted by the segments' ids and so by age.
    pub(super) async fn keys(&self, prefix: &str) -> Vec<Path> {
        let objects = self.inner.list(Some(&Path::from(prefix)));
        let mut keys: Vec<Path> =
            objects.map(|object| object.expect("a listing in memory").location).collect().await;
        keys.sort_by_key(key::parse);
        keys
    }

    pub(super) async fn flip_bit(&self, path: &Path, at: usize) {
        let found = self.inner.get(path).await.expect("an object");
        let mut bytes = found.bytes().await.expect("its bytes").to_vec();
        *bytes.get_mut(at).expect("a byte of the object") ^= 1;
        self.inner.put(path, PutPayload::from(bytes)).await.expect("a put in memory");
    }

    pub(super) async fn delete(&self, path: &Path) {
        self.inner.delete(path).await.expect("a delete in memory");
    }

    pub(super) fn gets(&self) -> u64 {
        self.inner.counters().counts().gets
    }
}

/// A clock that stands at a given time.
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000)
    }
}

/// A bucket and a commit log that agents share.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) bucket: Bucket,
    log: Arc<dyn CommitLog>,
    config: BrokerConfig,
    seeds: Random,
}

impl Cluster {
    /// Agents that put every flush as a segment; the log is in memory.
    pub(super) fn with_segments() -> Self {
        let config = BrokerConfig { inline_bytes_max: 0, ..test_config() };
        Self::new(Bucket::new(), Arc::new(MemoryLog::new()), config)
    }

    /// Agents whose flushes ride in the entries of a log in the bucket.
    pub(super) fn with_inline_bodies() -> Self {
        let bucket = Bucket::new();
        let log = BucketLog::new(bucket.objects(), Random::from_seed(2), RetryConfig::default());
        Self::new(bucket, Arc::new(log), BrokerConfig { inline_bytes_max: 1 << 20, ..test_config() })
    }

    fn new(bucket: Bucket, log: Arc<dyn CommitLog>, config: BrokerConfig) -> Self {
        Self { bucket, log, config, seeds: Random::from_seed(3) }
    }

    pub(super) fn with_config(self, config: BrokerConfig) -> Self {
        Self { config, ..self }
    }

    /// Starts an agent with an empty cache, which registers itself.
    pub(super) async fn agent(&self) -> Arc<Broker> {
        let clock: SharedClock = Arc::new(FixedClock);
        let ids = IdSource::new(clock.clone(), self.seeds.fork());
        let agent = ids.agent();
        let metastore = Metastore::open(
            agent,
            Arc::clone(&self.log),
            self.bucket.objects(),
            clock.clone(),
            ids.clone(),
            self.seeds.fork(),
            MetastoreConfig::default(),
        )
        .await
        .expect("a metastore opens");
        let quic = Endpoint { host: agent.to_string(), port: 9093 };
        let register = RegisterAgent {
            agent,
            kafka: None,
            quic: Some(quic),
            zone: String::new(),
            understands: 1,
            host: None,
        };
        let register = Submission { commands: vec![Command::RegisterAgent(register)], body: Vec::new() };
        metastore.submit(register).await.expect("an agent registers");
        let cluster = metastore.read(State::cluster).expect("the cluster is founded");
        let cache = Arc::new(PlainCache::new(1 << 20));
        Broker::new(cluster, metastore, self.bucket.store(), cache, clock, ids, self.config.clone())
    }

    /// Publishes a file with one batch in the place of all rows of [`PARTITION`].
    pub(super) async fn archive(&self, broker: &Broker, batch: &RecordBatch) {
        self.archive_partition(broker, PARTITION, batch).await;
    }

    /// The same for a partition.
    pub(super) async fn archive_partition(
        &self,
        broker: &Broker,
        partition: PartitionIndex,
        batch: &RecordBatch,
    ) {
        let object = ArchiveId((1_000_000 + u128::from(partition.0.unsigned_abs())) << 80);
        let (cluster, rows) = broker.metastore().read(|state| {
            let rows: Vec<_> = state.rows(TOPIC, partition).copied().collect();
            (state.cluster().expect("it is founded"), rows)
        });
        let identity = Identity { cluster, topic: TOPIC, object };
        let mut writer = ArchiveWriter::new(identity, Settings::default()).expect("known settings");
        writer.append(partition, batch).expect("one batch is in order");
        let archive = writer.finish().expect("a file in memory");
        let (bytes, tail) = (Bytes::from(archive.bytes), archive.tail);
        let footer = bytes.slice(bytes.len() - tail.bytes as usize..);
        let footer = Footer::decode(bytes.len() as u64, tail, footer).expect("it was just written");
        let (first, last) = (rows.first().expect("rows"), rows.last().expect("rows"));
        let span = ArchiveSpan {
            partition,
            first: first.base,
            next: last.last.plus(1),
            replaces: fingerprint(&rows),
            rows: archive.rows,
            range: footer.partition(partition).first().expect("a row group").range,
            min_timestamp: Timestamp(0),
            max_timestamp: last.max_timestamp,
        };
        let publish = PublishArchive {
            archive: object,
            topic: TOPIC,
            bytes: bytes.len() as u64,
            tail_bytes: tail.bytes,
            tail_checksum: tail.checksum,
            spans: vec![span],
            columns: FileColumns::default(),
        };
        let path = key::archive_key(TOPIC, object);
        self.bucket.inner.put(&path, PutPayload::from_bytes(bytes)).await.expect("a put in memory");
        assert_eq!(submit(broker, Command::PublishArchive(publish)).await, [Outcome::Done]);
    }

    /// Starts an agent, and creates [`TOPIC`] with three partitions.
    pub(super) async fn agent_with_topic(&self) -> Arc<Broker> {
        let broker = self.agent().await;
        let name = TopicName::new("flights").expect("a valid name");
        let create = CreateTopic { topic: TOPIC, name, partitions: 3, config: Vec::new() };
        let outcomes = submit(&broker, Command::CreateTopic(create)).await;
        assert_eq!(outcomes, [Outcome::Done]);
        broker
    }
}

fn test_config() -> BrokerConfig {
    BrokerConfig { cache_block_bytes: BLOCK_BYTES, ..BrokerConfig::default() }
}

pub(super) async fn submit(broker: &Broker, command: Command) -> Vec<Outcome> {
    let submission = Submission { commands: vec![command], body: Vec::new() };
    broker.metastore().submit(submission).await.expect("a command is recorded")
}

/// Appends batches to a partition of [`TOPIC`] in one flush and gives their base offsets.
pub(super) async fn append(broker: &Broker, partition: i32, batches: &[RecordBatch]) -> Vec<i64> {
    let partition = PartitionIndex(partition);
    let appends =
        batches.iter().map(|batch| Append { topic: TOPIC, partition, batch: batch.clone() }).collect();
    let pending = broker.append(appends).await.expect("the writer takes appends");
    pending.done().await.into_iter().map(|answer| answer.expect("an append succeeds").base.0).collect()
}
