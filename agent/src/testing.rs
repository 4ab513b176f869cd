//! What the agent's unit tests share: agents' metastores over one commit log in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use ebb_metastore::{
    Metastore, MetastoreConfig, Submission,
    command::{Command, Endpoint, RegisterAgent},
    log::{AppendError, CommitLog, EntryBytes, ReadError, memory::MemoryLog},
    outcome::Outcome,
};
use ebb_protocol::{
    clock::{SharedClock, SystemClock},
    ids::{AgentId, HostId, IdSource, LogPosition},
    random::Random,
};
use object_store::{memory::InMemory, path::Path};
use tokio::time::sleep;

/// A read over a line that is cut fails after this long.
const READ_DEADLINE: Duration = Duration::from_secs(30);

/// An agent's way to the commit log, which can be cut.
#[derive(Debug)]
pub(crate) struct Line {
    log: Arc<MemoryLog>,
    is_cut: AtomicBool,
    reads: AtomicU64,
}

impl Line {
    /// Cuts it, or mends it.
    pub(crate) fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Relaxed);
    }

    /// How often the log was read.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    async fn pass(&self) {
        if self.is_cut.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl CommitLog for Line {
    async fn append(&self, position: LogPosition, entry: &EntryBytes) -> Result<(), AppendError> {
        self.pass().await;
        self.log.append(position, entry).await
    }

    async fn read(&self, position: LogPosition) -> Result<Option<Bytes>, ReadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.is_cut.load(Ordering::Relaxed) {
            sleep(READ_DEADLINE).await;
            return Err(ReadError::Unavailable("the line is cut".to_owned()));
        }
        self.log.read(position).await
    }

    async fn tail(&self, from: LogPosition) -> Result<LogPosition, ReadError> {
        self.log.tail(from).await
    }

    async fn truncate(&self, below: LogPosition, keep: &[LogPosition]) -> Result<(), ReadError> {
        self.log.truncate(below, keep).await
    }

    fn object(&self, position: LogPosition) -> Option<Path> {
        self.log.object(position)
    }
}

/// A cluster without sockets.
pub(crate) struct Cluster {
    log: Arc<MemoryLog>,
    objects: Arc<InMemory>,
    seeds: Random,
}

/// An agent, as far as the metastore knows it.
pub(crate) struct Member {
    pub(crate) id: AgentId,
    pub(crate) metastore: Metastore,
    pub(crate) line: Arc<Line>,
    pub(crate) ids: IdSource,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            log: Arc::new(MemoryLog::new()),
            objects: Arc::new(InMemory::new()),
            seeds: Random::from_seed(3),
        }
    }

    /// Registers an agent that says to listen on this host.
    pub(crate) async fn agent(&self, host: &str) -> Member {
        self.agent_on(host, None).await
    }

    /// The same for one that knows on which host it runs.
    pub(crate) async fn agent_on(&self, address: &str, host: Option<HostId>) -> Member {
        self.register(Some(Endpoint { host: address.to_owned(), port: 9092 }), host).await
    }

    /// Registers one that listens nowhere, as a compactor of its own.
    pub(crate) async fn unreachable(&self) -> Member {
        self.register(None, None).await
    }

    async fn register(&self, kafka: Option<Endpoint>, host: Option<HostId>) -> Member {
        let clock: SharedClock = Arc::new(SystemClock);
        let ids = IdSource::new(clock.clone(), self.seeds.fork());
        let id = ids.agent();
        let line = Arc::new(Line {
            log: self.log.clone(),
            is_cut: AtomicBool::default(),
            reads: AtomicU64::default(),
        });
        let objects = self.objects.clone();
        let (seed, config) = (self.seeds.fork(), MetastoreConfig::default());
        let metastore = Metastore::open(id, line.clone(), objects, clock, ids.clone(), seed, config).await;
        let metastore = metastore.expect("a metastore opens");
        let register =
            RegisterAgent { agent: id, kafka, quic: None, zone: String::new(), understands: 1, host };
        let member = Member { id, metastore, line, ids };
        let outcome = member.run(Command::RegisterAgent(register)).await;
        assert!(matches!(outcome, Outcome::AgentRegistered { .. }), "{outcome:?}");
        member
    }
}

impl Member {
    /// Records one command.
    pub(crate) async fn run(&self, command: Command) -> Outcome {
        let submission = Submission { commands: vec![command], ..Submission::default() };
        let mut outcomes = self.metastore.submit(submission).await.expect("a command is recorded");
        outcomes.pop().expect("each command has an outcome")
    }

    /// How many agents are live, as of the log's tail.
    pub(crate) async fn live(&self) -> usize {
        self.metastore.tail_check().await.expect("the log is there");
        self.metastore.read(|state| state.agents().count())
    }
}
