//! A bucket, agents with clocks of their own, and sweepers beside them, on simulated time.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use ebb_compactor::sweeper::{Sweeper, SweeperConfig};
use ebb_metastore::{
    Metastore, MetastoreConfig, Submission,
    command::{
        ArchiveSpan, BatchFacts, BodyPlace, Command, CommitSegment, CreateTopic, FileColumns, ObjectRef,
        PublishArchive, RegisterAgent, Run,
    },
    log::{CommitLog, RetryConfig, bucket::BucketLog},
    outcome::{Outcome, Refusal},
    state::{State, fingerprint},
};
use ebb_protocol::{
    clock::Clock,
    ids::{
        ArchiveId, ByteRange, IdSource, LogPosition, Offset, PartitionIndex, SegmentId, Timestamp, TopicId,
        TopicName,
    },
    random::Random,
};
use ebb_segment::key;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// Bytes of every batch, and of a segment with one batch.
pub(crate) const BATCH_BYTES: u64 = 100;

/// Bytes of every archive file.
pub(crate) const ARCHIVE_BYTES: u64 = 1_000;

/// Simulated wall time, off by a skew.
struct SkewedClock {
    begin: Instant,
    skew_ms: AtomicI64,
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.begin.elapsed().as_millis()).expect("a test is short");
        Timestamp(1_700_000_000_000 + elapsed + self.skew_ms.load(Ordering::Relaxed))
    }
}

/// One bucket, with what all agents share.
pub(crate) struct World {
    begin: Instant,
    random: Random,
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) metastore: MetastoreConfig,
    pub(crate) sweeping: SweeperConfig,
}

/// One agent with its clock.
pub(crate) struct Node {
    clock: Arc<SkewedClock>,
    random: Random,
    bucket: Arc<Bucket>,
    sweeping: SweeperConfig,
    pub(crate) ids: IdSource,
    pub(crate) metastore: Metastore,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            begin: Instant::now(),
            random: Random::from_seed(seed),
            bucket: Arc::new(Bucket::default()),
            metastore: MetastoreConfig::default(),
            sweeping: SweeperConfig::default(),
        }
    }

    /// A registered agent whose clock is off by so many hours.
    pub(crate) async fn node(&self, skew_hours: i64) -> Node {
        let clock = Arc::new(SkewedClock { begin: self.begin, skew_ms: AtomicI64::new(0) });
        let ids = IdSource::new(clock.clone(), self.random.fork());
        let (agent, bucket) = (ids.agent(), self.bucket.clone());
        let log: Arc<dyn CommitLog> =
            Arc::new(BucketLog::new(bucket.clone(), self.random.fork(), RetryConfig::default()));
        let (random, config) = (self.random.fork(), self.metastore.clone());
        let metastore =
            Metastore::open(agent, log, bucket.clone(), clock.clone(), ids.clone(), random, config);
        let metastore = metastore.await.expect("the bucket is sound");
        let (random, sweeping) = (self.random.fork(), self.sweeping.clone());
        let node = Node { clock, random, bucket, sweeping, ids, metastore };
        node.set_skew(skew_hours);
        let (zone, understands) = (String::new(), 1);
        let said = RegisterAgent { agent, kafka: None, quic: None, zone, understands, host: None };
        let outcome = node.submit(Command::RegisterAgent(said)).await;
        assert!(matches!(outcome, Outcome::AgentRegistered { .. }), "{outcome:?}");
        node
    }
}

impl Node {
    pub(crate) fn sweeper(&self) -> Sweeper {
        self.sweeper_on(self.bucket.clone())
    }

    /// A sweeper whose segments are not in the bucket, but in `store`.
    pub(crate) fn sweeper_on(&self, store: Arc<dyn ObjectStore>) -> Sweeper {
        let (clock, random) = (self.clock.clone(), self.random.fork());
        Sweeper::start(self.metastore.clone(), store, clock, random, self.sweeping.clone())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Sets the agent's clock off by so many hours.
    pub(crate) fn set_skew(&self, hours: i64) {
        self.clock.skew_ms.store(hours * 60 * 60 * 1_000, Ordering::Relaxed);
    }

    pub(crate) async fn submit(&self, command: Command) -> Outcome {
        self.submit_with(command, Vec::new()).await
    }

    async fn submit_with(&self, command: Command, body: Vec<bytes::Bytes>) -> Outcome {
        let submission = Submission { commands: vec![command], body };
        let outcomes = self.metastore.submit(submission).await.expect("the bucket is sound");
        outcomes.into_iter().next().expect("a command has an outcome")
    }

    pub(crate) async fn create_topic(&self, number: u128) -> TopicId {
        let topic = TopicId(Uuid::from_u128(number));
        let name = TopicName::new(&format!("t{number}")).expect("it is legal");
        let create = CreateTopic { topic, name, partitions: 1, config: Vec::new() };
        assert_eq!(self.submit(Command::CreateTopic(create)).await, Outcome::Done);
        topic
    }

    pub(crate) async fn delete_topic(&self, topic: TopicId) {
        assert_eq!(self.submit(Command::DeleteTopic { topic }).await, Outcome::Done);
    }

    /// Uploads a segment that nobody has committed yet.
    pub(crate) async fn upload(&self) -> SegmentId {
        let id = self.ids.segment_since(self.metastore.read(State::sweep_boundary));
        self.upload_as(id).await;
        id
    }

    pub(crate) async fn upload_as(&self, id: SegmentId) {
        let bytes = vec![7; usize::try_from(BATCH_BYTES).expect("small")];
        self.bucket.put(&key::of(id), bytes.into()).await.expect("puts do not fail here");
    }

    /// Commits an uploaded segment of one batch.
    pub(crate) async fn commit(&self, id: SegmentId, topic: TopicId) -> Result<(), Refusal> {
        outcome(self.submit(commit(id, topic, BodyPlace::Object { bytes: BATCH_BYTES })).await)
    }

    /// Commits one batch that rides inside the entry, and gives the entry's position.
    pub(crate) async fn append_inline(&self, topic: TopicId) -> LogPosition {
        let command = commit(self.ids.segment(), topic, BodyPlace::Inline);
        let body = vec![bytes::Bytes::from_static(&[9; 100])];
        let position = self.metastore.read(State::position);
        outcome(self.submit_with(command, body).await).expect("the topic is there");
        position
    }

    /// Uploads an archive file that nobody has published yet.
    pub(crate) async fn upload_archive(&self, topic: TopicId) -> ArchiveId {
        let floor = self.metastore.read(State::sweep_boundary);
        let id = ArchiveId(self.ids.segment_since(floor).0);
        let bytes = vec![7; usize::try_from(ARCHIVE_BYTES).expect("small")];
        self.bucket.put(&key::archive_key(topic, id), bytes.into()).await.expect("puts do not fail here");
        id
    }

    /// Publishes an uploaded file in the place of all that the topic has.
    pub(crate) async fn publish(&self, archive: ArchiveId, topic: TopicId) -> Result<(), Refusal> {
        let partition = PartitionIndex(0);
        let rows = self.metastore.read(|state| state.find(topic, partition, Offset(0), u64::MAX, usize::MAX));
        let (first, last) = (rows[0].base, rows[rows.len() - 1].last);
        let span = ArchiveSpan {
            partition,
            first,
            next: last.plus(1),
            replaces: fingerprint(&rows),
            rows: (last.0 - first.0 + 1).unsigned_abs(),
            range: ByteRange { start: 4, len: ARCHIVE_BYTES - 4 },
            min_timestamp: Timestamp(0),
            max_timestamp: Timestamp(0),
        };
        let (bytes, tail_bytes, tail_checksum, spans) = (ARCHIVE_BYTES, 100, 0, vec![span]);
        let publish = PublishArchive {
            archive,
            topic,
            bytes,
            tail_bytes,
            tail_checksum,
            spans,
            columns: FileColumns::default(),
        };
        match self.submit(Command::PublishArchive(publish)).await {
            Outcome::Done => Ok(()),
            Outcome::Refused(refusal) => Err(refusal),
            other => panic!("no answer to a publish: {other:?}"),
        }
    }

    pub(crate) fn is_referenced(&self, id: SegmentId) -> bool {
        self.metastore.read(|state| state.is_referenced(ObjectRef::Segment(id)))
    }

    pub(crate) fn dead_count(&self) -> usize {
        self.metastore.read(|state| state.dead_objects().count())
    }
}

fn commit(id: SegmentId, topic: TopicId, body: BodyPlace) -> Command {
    let bytes = u32::try_from(BATCH_BYTES).expect("small");
    let batch = BatchFacts { bytes, records: 1, max_timestamp: Timestamp(0), producer: None };
    let range = ByteRange { start: 0, len: BATCH_BYTES };
    let run = Run { topic, partition: PartitionIndex(0), range, batches: vec![batch] };
    Command::CommitSegment(CommitSegment { segment: id, body, runs: vec![run] })
}

fn outcome(outcome: Outcome) -> Result<(), Refusal> {
    match outcome {
        Outcome::Committed { .. } => Ok(()),
        Outcome::Refused(refusal) => Err(refusal),
        other => panic!("no answer to a commit: {other:?}"),
    }
}

/// A store in memory that counts its requests, whose deletions fail and whose listings are stale when told.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    inner: InMemory,
    requests: AtomicU64,
    failing_deletes: AtomicU64,
    /// How long a put takes, in milliseconds.
    put_ms: AtomicU64,
    stale_listing: Mutex<Option<Vec<ObjectMeta>>>,
}

impl Bucket {
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The next deletions fail.
    pub(crate) fn fail_deletes(&self, count: u64) {
        self.failing_deletes.store(count, Ordering::Relaxed);
    }

    /// From now on every put takes this long.
    pub(crate) fn slow_down(&self, put: Duration) {
        self.put_ms.store(u64::try_from(put.as_millis()).expect("short"), Ordering::Relaxed);
    }

    /// From now on listings show what is there now.
    pub(crate) async fn freeze_listings(&self) {
        let all = self.inner.list(None).try_collect().await.expect("memory does not fail");
        *self.stale_listing.lock() = Some(all);
    }

    pub(crate) fn thaw_listings(&self) {
        *self.stale_listing.lock() = None;
    }

    pub(crate) async fn has(&self, id: SegmentId) -> bool {
        self.inner.head(&key::of(id)).await.is_ok()
    }

    pub(crate) async fn has_archive(&self, topic: TopicId, id: ArchiveId) -> bool {
        self.inner.head(&key::archive_key(topic, id)).await.is_ok()
    }

    /// Puts an object of another kind.
    pub(crate) async fn put_at(&self, key: &str) {
        self.inner.put(&Path::from(key), PutPayload::new()).await.expect("memory does not fail");
    }

    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let listing = self.inner.list(Some(&Path::from(prefix)));
        let all: Vec<_> = listing.try_collect().await.expect("memory does not fail");
        all.into_iter().map(|object| object.location.to_string()).collect()
    }

    fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.count();
        sleep(Duration::from_millis(self.put_ms.load(Ordering::Relaxed))).await;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.count();
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.count();
        let failing = self
            .failing_deletes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if failing.is_ok() {
            let failed = || object_store::Error::Generic { store: "bucket", source: "503 Slow Down".into() };
            return locations.map(move |_| Err(failed())).boxed();
        }
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count();
        let Some(stale) = self.stale_listing.lock().clone() else { return self.inner.list(prefix) };
        let prefix = prefix.cloned().unwrap_or_default();
        let shown: Vec<_> =
            stale.into_iter().filter(|object| object.location.prefix_matches(&prefix)).collect();
        stream::iter(shown).map(Ok).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.count();
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.count();
        self.inner.copy_opts(from, to, options).await
    }
}
