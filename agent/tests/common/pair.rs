//! Two agents over one store, in this process.

#![allow(dead_code, reason = "no test file uses all of it")]

use ebb_agent::{Agent, Environment, Storage, config::AgentConfig};
use ebb_protocol::random::Random;

use super::{Connection, config, environment};

pub(crate) struct Pair {
    pub(crate) agents: Vec<Agent>,
    storage: Storage,
    directory: tempfile::TempDir,
}

impl Pair {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = config(directory.path().to_owned());
        let storage = Storage::open(&config, &environment()).await.expect("storage in memory opens");
        let mut pair = Self { agents: Vec::new(), storage, directory };
        pair.add().await;
        pair.add().await;
        pair
    }

    /// Starts one more.
    pub(crate) async fn add(&mut self) {
        let config = config(self.directory.path().to_owned());
        self.agents.push(start(&self.storage, config, self.agents.len() as u64).await);
    }
}

pub(crate) async fn start(storage: &Storage, config: AgentConfig, seed: u64) -> Agent {
    let environment = Environment { random: Random::from_seed(100 + seed), ..environment() };
    Agent::start_on(storage.clone(), config, environment).await.expect("the agent starts")
}

pub(crate) async fn connect(agent: &Agent) -> Connection {
    Connection::tcp(agent.addresses().kafka.expect("it listens on TCP")).await
}
