//! Replicas together on one log, through every fault that a sound store may show, on simulated time.

mod chaos;
mod faults;
mod life;
mod patience;
mod snapshots;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ebb_protocol::{
    clock::{Clock, SharedClock},
    ids::{AgentId, ByteRange, IdSource, Offset, PartitionIndex, Timestamp, TopicId, TopicName},
    random::Random,
};
use object_store::{ObjectStore, memory::InMemory};
use tokio::time::Instant;

use super::*;
use crate::{
    command::{BatchFacts, BodyPlace, CommitSegment, CreateTopic, Endpoint, RegisterAgent, Run},
    log::{
        RetryConfig,
        bucket::BucketLog,
        faulty::{Faults, FaultyStore},
    },
    outcome::BatchOutcome,
};

/// Simulated wall time: follows tokio's clock, plus what the machine slept.
struct SimClock {
    begin: Instant,
    slept_ms: AtomicI64,
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let awake = i64::try_from(self.begin.elapsed().as_millis()).expect("a test is short");
        Timestamp(1_700_000_000_000 + awake + self.slept_ms.load(Ordering::Relaxed))
    }
}

/// One bucket, and what all its agents share.
struct World {
    bucket: Arc<InMemory>,
    clock: Arc<SimClock>,
    random: Random,
    config: MetastoreConfig,
}

/// One agent's replica and its own way to the bucket.
struct Node {
    agent: AgentId,
    name: u64,
    store: Arc<FaultyStore<InMemory>>,
    ids: IdSource,
    metastore: Metastore,
}

impl World {
    fn new(seed: u64) -> Self {
        let clock = SimClock { begin: Instant::now(), slept_ms: AtomicI64::new(0) };
        Self {
            bucket: Arc::new(InMemory::new()),
            clock: Arc::new(clock),
            random: Random::from_seed(seed),
            config: MetastoreConfig::default(),
        }
    }

    fn clock(&self) -> SharedClock {
        self.clock.clone()
    }

    fn store(&self, faults: Faults) -> Arc<FaultyStore<InMemory>> {
        Arc::new(FaultyStore::over(self.bucket.clone(), self.random.next_u64(), faults))
    }

    fn log(&self, store: &Arc<FaultyStore<InMemory>>) -> Arc<dyn CommitLog> {
        Arc::new(BucketLog::new(store.clone(), self.random.fork(), RetryConfig::default()))
    }

    async fn open(&self, name: u64, faults: Faults) -> Result<Node, OpenError> {
        let store = self.store(faults);
        let log = self.log(&store);
        self.open_on(name, store, log).await
    }

    async fn open_on(
        &self,
        name: u64,
        store: Arc<FaultyStore<InMemory>>,
        log: Arc<dyn CommitLog>,
    ) -> Result<Node, OpenError> {
        let ids = IdSource::new(self.clock(), self.random.fork());
        let agent = ids.agent();
        let snapshots: Arc<dyn ObjectStore> = store.clone();
        let (clock, random) = (self.clock(), self.random.fork());
        let metastore =
            Metastore::open(agent, log, snapshots, clock, ids.clone(), random, self.config.clone()).await?;
        Ok(Node { agent, name, store, ids, metastore })
    }

    /// A registered agent on a way to the bucket that is sound.
    async fn node(&self, name: u64) -> Node {
        let node = self.open(name, Faults::default()).await.expect("the bucket is sound");
        node.register().await.expect("the bucket is sound");
        node
    }
}

impl Node {
    async fn register(&self) -> Result<Vec<Outcome>, MetastoreError> {
        let port = u16::try_from(self.name).expect("test agents have small names");
        let register = RegisterAgent {
            agent: self.agent,
            kafka: Some(Endpoint { host: "agent".to_owned(), port }),
            quic: None,
            zone: String::new(),
            understands: 1,
            host: None,
        };
        self.submit(Command::RegisterAgent(register)).await
    }

    async fn submit(&self, command: Command) -> Result<Vec<Outcome>, MetastoreError> {
        self.metastore.submit(Submission { commands: vec![command], body: Vec::new() }).await
    }

    async fn create_topic(&self, topic: TopicId) -> Result<Vec<Outcome>, MetastoreError> {
        let name = TopicName::new(&format!("t{topic}")).expect("it is legal");
        self.submit(Command::CreateTopic(CreateTopic { topic, name, partitions: 1, config: Vec::new() }))
            .await
    }

    /// One batch of one record, which carries `tag` as its timestamp, in an inline segment.
    fn batch(&self, topic: TopicId, tag: i64) -> Submission {
        let batch = BatchFacts { bytes: 100, records: 1, max_timestamp: Timestamp(tag), producer: None };
        let run = Run {
            topic,
            partition: PartitionIndex(0),
            range: ByteRange { start: 0, len: 100 },
            batches: vec![batch],
        };
        let commit = CommitSegment { segment: self.ids.segment(), body: BodyPlace::Inline, runs: vec![run] };
        let body = vec![Bytes::from_static(&[1; 60]), Bytes::from_static(&[2; 40])];
        Submission { commands: vec![Command::CommitSegment(commit)], body }
    }

    /// Everything in the partition, as (offset, tag).
    fn records(&self, topic: TopicId) -> Vec<(i64, i64)> {
        let all = self
            .metastore
            .read(|state| state.find(topic, PartitionIndex(0), Offset(0), u64::MAX, usize::MAX));
        all.iter().map(|coordinates| (coordinates.base.0, coordinates.max_timestamp.0)).collect()
    }
}

/// The offset that a batch was given.
fn offset(outcomes: &[Outcome]) -> i64 {
    match outcomes {
        [Outcome::Committed { runs }] => match runs.as_slice() {
            [batches] => match batches.as_slice() {
                [BatchOutcome::Appended { base, .. }] => base.0,
                other => panic!("not one appended batch: {other:?}"),
            },
            other => panic!("not one run: {other:?}"),
        },
        other => panic!("not one commit: {other:?}"),
    }
}

/// Two replicas that have applied the same entries.
fn assert_same(a: &Node, b: &Node) {
    let hash = |node: &Node| node.metastore.read(State::hash);
    assert_eq!(hash(a), hash(b), "replicas {} and {} differ", a.name, b.name);
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
