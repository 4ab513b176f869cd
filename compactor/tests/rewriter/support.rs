//! A bucket, members that commit segments as agents do, and rewriters beside them, on simulated time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use ebb_archive::{Footer, Scan, Step, Steps, Tail};
use ebb_compactor::{
    Member,
    retention::{Retention, RetentionConfig},
    rewriter::{KeyCompactionConfig, KeyCompactor, MergeConfig, Merger, Rewriter, RewriterConfig},
};
use ebb_metastore::{
    Submission,
    command::{BatchFacts, BodyPlace, Command, CommitSegment, CreateTopic, ObjectRef, Run},
    log::{CommitLog, RetryConfig, bucket::BucketLog},
    outcome::Outcome,
    state::State,
};
use ebb_protocol::{
    batch::{BatchBuilder, Compression, RecordBatch},
    clock::Clock,
    ids::{
        ArchiveId, IdSource, LeaderEpoch, Offset, PartitionIndex, SegmentId, Timestamp, TopicId, TopicName,
    },
    random::Random,
};
use ebb_segment::{
    format::{self, Segment},
    key,
};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 2;

/// Simulated wall time.
struct SimClock(Instant);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.0.elapsed().as_millis()).expect("a test is short");
        Timestamp(1_700_000_000_000 + elapsed)
    }
}

/// What was sent to each partition, in order, at its place.
pub(crate) type Sent = BTreeMap<(TopicId, PartitionIndex), Vec<RecordBatch>>;

/// One bucket, with what was written to it.
pub(crate) struct World {
    pub(crate) bucket: Arc<InMemory>,
    clock: Arc<SimClock>,
    pub(crate) random: Random,
    ids: IdSource,
    pub(crate) config: RewriterConfig,
    pub(crate) sent: Mutex<Sent>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let (random, clock) = (Random::from_seed(seed), Arc::new(SimClock(Instant::now())));
        let ids = IdSource::new(clock.clone(), random.fork());
        let config = RewriterConfig::default();
        Self { bucket: Arc::default(), clock, random, ids, config, sent: Mutex::default() }
    }

    /// A member of the cluster.
    pub(crate) async fn member(&self) -> Member {
        let store: Arc<dyn ObjectStore> = self.bucket.clone();
        let log: Arc<dyn CommitLog> =
            Arc::new(BucketLog::new(store.clone(), self.random.fork(), RetryConfig::default()));
        Member::join(store, log, self.clock.clone(), &self.random).await.expect("the bucket is sound")
    }

    pub(crate) fn rewriter(&self, member: &Member) -> Rewriter {
        self.rewriter_on(member, self.bucket.clone())
    }

    pub(crate) fn rewriter_on(&self, member: &Member, store: Arc<dyn ObjectStore>) -> Rewriter {
        let (metastore, clock) = (member.metastore().clone(), self.clock.clone());
        Rewriter::new(member.id(), metastore, store, clock, self.random.fork(), self.config.clone())
    }

    pub(crate) fn retention(&self, member: &Member, config: RetentionConfig) -> Retention {
        Retention::new(member.metastore().clone(), self.clock.clone(), self.random.fork(), config)
    }

    pub(crate) fn key_compactor(&self, member: &Member, config: KeyCompactionConfig) -> KeyCompactor {
        let (metastore, store, clock) = (member.metastore().clone(), self.bucket.clone(), self.clock.clone());
        KeyCompactor::new(member.id(), metastore, store, clock, self.random.fork(), config)
    }

    pub(crate) fn merger(&self, member: &Member, config: MergeConfig) -> Merger {
        self.merger_on(member, self.bucket.clone(), config)
    }

    pub(crate) fn merger_on(
        &self,
        member: &Member,
        store: Arc<dyn ObjectStore>,
        config: MergeConfig,
    ) -> Merger {
        let (metastore, clock) = (member.metastore().clone(), self.clock.clone());
        Merger::new(member.id(), metastore, store, clock, self.random.fork(), config)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn create_topic(&self, member: &Member, number: u128) -> TopicId {
        let topic = TopicId(Uuid::from_u128(number));
        let name = TopicName::new(&format!("t{number}")).expect("it is legal");
        let create = CreateTopic { topic, name, partitions: PARTITIONS, config: Vec::new() };
        assert_eq!(submit(member, Command::CreateTopic(create), Vec::new()).await, Outcome::Done);
        topic
    }

    /// Puts a segment with a batch for each of these partitions, and commits it.
    pub(crate) async fn commit(&self, member: &Member, at: &[(TopicId, i32)]) -> SegmentId {
        self.put(member, self.segment(member, at)).await
    }

    /// The same with one batch, as it is given.
    pub(crate) async fn commit_batch(
        &self,
        member: &Member,
        topic: TopicId,
        batch: RecordBatch,
    ) -> SegmentId {
        self.commit_batch_to(member, topic, PartitionIndex(0), batch).await
    }

    /// The same to any partition.
    pub(crate) async fn commit_batch_to(
        &self,
        member: &Member,
        topic: TopicId,
        partition: PartitionIndex,
        batch: RecordBatch,
    ) -> SegmentId {
        let cluster = member.metastore().read(State::cluster).expect("it was founded");
        let batches = [(topic, partition, batch)];
        self.put(member, format::build(cluster, self.ids.segment(), &batches).0).await
    }

    async fn put(&self, member: &Member, segment: Segment) -> SegmentId {
        let bytes: Vec<u8> = segment.pieces.iter().flatten().copied().collect();
        self.bucket.put(&key::of(segment.id), bytes.into()).await.expect("a put in memory");
        let body = BodyPlace::Object { bytes: segment.bytes };
        self.record(member, &segment, body, Vec::new()).await;
        segment.id
    }

    /// The same, inside the commit log's entry.
    pub(crate) async fn commit_inline(&self, member: &Member, at: &[(TopicId, i32)]) {
        let segment = self.segment(member, at);
        let pieces = segment.pieces.clone();
        self.record(member, &segment, BodyPlace::Inline, pieces).await;
    }

    fn segment(&self, member: &Member, at: &[(TopicId, i32)]) -> Segment {
        let cluster = member.metastore().read(State::cluster).expect("it was founded");
        let batches: Vec<_> =
            at.iter().map(|(topic, partition)| (*topic, PartitionIndex(*partition), self.batch())).collect();
        format::build(cluster, self.ids.segment(), &batches).0
    }

    /// A batch of a few records that no other one is equal to.
    pub(crate) fn batch(&self) -> RecordBatch {
        let mut builder = BatchBuilder::default();
        for _ in 0..=self.random.below(4) {
            let value = self.random.next_u128().to_string();
            builder.append(self.clock.now(), None, Some(value.as_bytes()), &[]).expect("a small record");
        }
        builder.finish(Compression::None, None).expect("there is a record")
    }

    async fn record(&self, member: &Member, segment: &Segment, body: BodyPlace, pieces: Vec<Bytes>) {
        let whole: Bytes = segment.pieces.iter().flatten().copied().collect::<Vec<u8>>().into();
        let mut batches = Vec::new();
        let mut runs = Vec::new();
        for run in &segment.runs {
            let (start, end) = (run.range.start as usize, run.range.end() as usize);
            let found: Vec<_> =
                RecordBatch::batches(whole.slice(start..end)).map(|batch| batch.expect("sound")).collect();
            let facts = |batch: &RecordBatch| BatchFacts {
                bytes: u32::try_from(batch.bytes().len()).expect("small"),
                records: u32::try_from(batch.record_count()).expect("positive"),
                max_timestamp: batch.max_timestamp(),
                producer: None,
            };
            let (topic, partition) = (run.topic, run.partition);
            runs.push(Run { topic, partition, range: run.range, batches: found.iter().map(facts).collect() });
            batches.push(((topic, partition), found));
        }
        let command = Command::CommitSegment(CommitSegment { segment: segment.id, body, runs });
        let outcome = submit(member, command, pieces).await;
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
        let mut sent = self.sent.lock();
        for (at, found) in batches {
            let so_far = sent.entry(at).or_default();
            for batch in found {
                let next = so_far.last().map_or(Offset(0), |last| last.last_offset().plus(1));
                so_far.push(batch.at(next, LeaderEpoch(0)));
            }
        }
    }

    /// All batches of the archive files of a topic's table, by partition.
    pub(crate) async fn archived(&self, member: &Member, topic: TopicId) -> Sent {
        let table = |state: &State| {
            let files = state.table(topic).into_iter().flat_map(|table| table.files());
            files.map(|(id, file)| (id, file.clone())).collect::<Vec<_>>()
        };
        let mut found = Sent::new();
        for (id, file) in member.metastore().read(table) {
            let bytes = self.get(topic, id).await;
            assert_eq!(bytes.len() as u64, file.bytes);
            let tail = Tail { bytes: file.tail_bytes, checksum: file.tail_checksum };
            let end = bytes.slice(bytes.len() - tail.bytes as usize..);
            let footer = Arc::new(Footer::decode(file.bytes, tail, end).expect("a sound footer"));
            for span in &file.spans {
                let batches = found.entry((topic, span.partition)).or_default();
                let (from, to) = (span.first, span.next);
                let mut scan = Scan::new(footer.clone(), span.partition, from, to, u64::MAX);
                loop {
                    match scan.step().expect("a sound file") {
                        Step::Needs(ranges) => {
                            let slice = |range: &std::ops::Range<u64>| {
                                bytes.slice(range.start as usize..range.end as usize)
                            };
                            let parts = ranges.iter().map(slice).collect();
                            scan.push(ranges, parts).expect("sound bytes");
                        }
                        Step::Item(item) => batches.push(item.batch),
                        Step::End => break,
                    }
                }
            }
        }
        found
    }

    async fn get(&self, topic: TopicId, id: ArchiveId) -> Bytes {
        let found = self.bucket.get(&key::archive_key(topic, id)).await.expect("a published file is there");
        found.bytes().await.expect("memory does not fail")
    }

    /// Whether every record that was sent to a topic can be read from its archive files, and nothing else.
    pub(crate) async fn all_archived(&self, member: &Member, topic: TopicId) -> bool {
        let mut archived = self.archived(member, topic).await;
        for batches in archived.values_mut() {
            batches.sort_by_key(RecordBatch::base_offset);
        }
        let sent = self.sent.lock();
        sent.iter().filter(|((of, _), _)| *of == topic).all(|(at, sent)| archived.get(at) == Some(sent))
    }
}

pub(crate) async fn submit(member: &Member, command: Command, body: Vec<Bytes>) -> Outcome {
    let submission = Submission { commands: vec![command], body };
    let outcomes = member.metastore().submit(submission).await.expect("the bucket is sound");
    outcomes.into_iter().next().expect("a command has an outcome")
}

pub(crate) async fn configure(member: &Member, topic: TopicId, key: &str, value: &str) {
    let changes = vec![(key.to_owned(), Some(value.to_owned()))];
    let done = submit(member, Command::AlterTopicConfig { topic, changes }, Vec::new()).await;
    assert_eq!(done, Outcome::Done);
}

/// The objects that are not archived yet.
pub(crate) fn unarchived(member: &Member) -> Vec<ObjectRef> {
    member.metastore().read(|state| state.unarchived().map(|object| object.object).collect())
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
