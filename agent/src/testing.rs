//! What the agent's unit tests share: agents' metastores over one commit log in memory.

use std::sync::Arc;

use ebb_metastore::{
    Metastore, MetastoreConfig, Submission,
    command::{Command, Endpoint, RegisterAgent},
    log::memory::MemoryLog,
    outcome::Outcome,
};
use ebb_protocol::{
    clock::{SharedClock, SystemClock},
    ids::{AgentId, IdSource},
    random::Random,
};
use object_store::memory::InMemory;

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
        let clock: SharedClock = Arc::new(SystemClock);
        let ids = IdSource::new(clock.clone(), self.seeds.fork());
        let id = ids.agent();
        let (log, objects) = (self.log.clone(), self.objects.clone());
        let (seed, config) = (self.seeds.fork(), MetastoreConfig::default());
        let metastore = Metastore::open(id, log, objects, clock, ids.clone(), seed, config).await;
        let metastore = metastore.expect("a metastore opens");
        let kafka = Some(Endpoint { host: host.to_owned(), port: 9092 });
        let register = RegisterAgent { agent: id, kafka, quic: None, zone: String::new(), understands: 1 };
        let member = Member { id, metastore, ids };
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
