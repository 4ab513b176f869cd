//! The way from clients to agents: hops take time, requests and answers are lost, and whoever holds a connection to
//! an agent that was replaced goes on talking to it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use ebb_agent::{
    broker::{Append, Appended, Broker, ProduceError},
    groups::Groups,
};
use ebb_metastore::{MetastoreError, Submission, command::Command, outcome::Outcome};
use ebb_protocol::random::Random;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as Line, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    cluster::{Cluster, Running},
    faults::Fault,
    plan::millis,
};

/// A client gives up on an answer after this long.
const PATIENCE: Duration = Duration::from_secs(12);

/// The longest way to an agent, in milliseconds.
const HOP_MS_MAX: u64 = 4;

/// No answer came. The request may have been carried out, or may yet be, unless it was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) sent: bool,
}

/// One client's connection to the cluster.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) cluster: Arc<Cluster>,
    pub(super) random: Random,
    peer: Mutex<Peer>,
    /// Requests leave one after the other.
    line: Line<()>,
}

/// The agent that a client talks to.
#[derive(Debug, Default)]
struct Peer {
    running: Weak<Running>,
    connection: Connection,
}

/// A connection, and how many requests have left on it: what leaves later on one connection is appended later.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) requests: u64,
}

/// What appends are answered with.
pub(super) type Answers = Vec<Result<Appended, ProduceError>>;

impl Client {
    pub(super) fn new(cluster: Arc<Cluster>, random: Random) -> Arc<Self> {
        Arc::new(Self { cluster, random, peer: Mutex::default(), line: Line::new(()) })
    }

    /// Forgets the agent that it talks to, so that the next request goes to any.
    pub(super) fn leave(&self) {
        *self.peer.lock() = Peer::default();
    }

    /// Chooses the agent at an address for what comes.
    pub(super) fn talk_to(&self, slot: usize) {
        let running = self.cluster.at(slot).as_ref().map(Arc::downgrade).unwrap_or_default();
        *self.peer.lock() = Peer { running, connection: self.connect() };
    }

    fn connect(&self) -> Connection {
        Connection { number: self.cluster.world.process().into(), requests: 0 }
    }

    fn peer(&self) -> Option<(Arc<Running>, Connection)> {
        let mut peer = self.peer.lock();
        peer.connection.requests += 1;
        if let Some(running) = peer.running.upgrade().filter(|running| !running.gate.is_dead()) {
            return Some((running, peer.connection));
        }
        let mut all = self.cluster.running();
        if all.is_empty() {
            return None;
        }
        let found = all.swap_remove(usize::try_from(self.random.below(all.len() as u64)).unwrap_or(0));
        *peer = Peer { running: Arc::downgrade(&found), connection: self.connect() };
        Some((found, peer.connection))
    }

    /// Carries a request to an agent.
    async fn depart(&self) -> Result<(Arc<Running>, Connection), Lost> {
        let Some(peer) = self.peer() else {
            sleep(Duration::from_millis(100)).await;
            return Err(Lost { sent: false });
        };
        sleep(millis(&self.random, 0, HOP_MS_MAX)).await;
        if self.lost(Fault::ClientRequestLost) {
            sleep(PATIENCE / 4).await;
            self.leave();
            return Err(Lost { sent: true });
        }
        Ok(peer)
    }

    /// Waits for the answer.
    async fn arrive<T>(&self, mut task: JoinHandle<Option<T>>) -> Result<T, Lost> {
        let answer = match timeout(PATIENCE, &mut task).await {
            Ok(Ok(Some(answer))) => answer,
            Ok(_) => {
                self.leave();
                return Err(Lost { sent: true });
            }
            Err(_) => {
                // The connection breaks. An agent may or may not notice while it works on the request.
                if self.random.chance(0.5) {
                    task.abort();
                }
                self.leave();
                return Err(Lost { sent: true });
            }
        };
        sleep(millis(&self.random, 0, HOP_MS_MAX)).await;
        if self.lost(Fault::ClientAnswerLost) {
            self.leave();
            return Err(Lost { sent: true });
        }
        Ok(answer)
    }

    fn lost(&self, fault: Fault) -> bool {
        let lost = self.cluster.weather.strikes(&self.random, |rates| rates.client_loss);
        if lost {
            self.cluster.world.fault(fault);
        }
        lost
    }

    /// Asks an agent for something.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Arc<Broker>) -> BoxFuture<'static, T> + Send + 'static,
    ) -> Result<T, Lost> {
        self.call_groups(|broker, _| ask(broker)).await
    }

    /// Asks an agent for something that concerns groups.
    pub(super) async fn call_groups<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Arc<Broker>, Arc<Groups>) -> BoxFuture<'static, T> + Send + 'static,
    ) -> Result<T, Lost> {
        let (peer, _) = self.depart().await?;
        let asked = ask(peer.broker.clone(), peer.groups.clone());
        let task = tokio::spawn(on_agent(peer.gate.clone(), asked));
        drop(peer);
        self.arrive(task).await
    }

    /// Submits commands to the metastore through an agent, as its handlers do.
    pub(super) async fn submit(
        &self,
        command: Command,
    ) -> Result<Result<Option<Outcome>, MetastoreError>, Lost> {
        let submission = Submission { commands: vec![command], body: Vec::new() };
        let ask = |broker: Arc<Broker>| -> BoxFuture<'static, _> {
            Box::pin(async move { broker.metastore().submit(submission).await.map(|mut all| all.pop()) })
        };
        self.call(ask).await
    }

    /// Appends through an agent. Requests of one client are taken in in the order of these calls, as those of one
    /// connection are. Says on which connection it left.
    pub(super) async fn append(&self, appends: Vec<Append>) -> (Connection, Result<Answers, Lost>) {
        let line = self.line.lock().await;
        let (peer, connection) = match self.depart().await {
            Ok(peer) => peer,
            Err(lost) => return (Connection::default(), Err(lost)),
        };
        let (taken, is_taken) = oneshot::channel();
        let broker = peer.broker.clone();
        let count = appends.len();
        let ask = async move {
            let pending = match broker.append(appends).await {
                Ok(pending) => pending,
                Err(error) => return vec![Err(error); count],
            };
            // The client may have gone.
            let _ = taken.send(());
            pending.done().await
        };
        let task = tokio::spawn(on_agent(peer.gate.clone(), ask));
        drop(peer);
        // An error says that the answer is there already, or will not come.
        drop(timeout(PATIENCE, is_taken).await);
        drop(line);
        (connection, self.arrive(task).await)
    }
}

/// Runs something on an agent: it waits while the agent is stopped, and ends when the agent dies.
async fn on_agent<T>(gate: Arc<super::gate::Gate>, ask: impl Future<Output = T>) -> Option<T> {
    let work = async {
        gate.pass().await;
        let answer = ask.await;
        gate.pass().await;
        answer
    };
    tokio::select! {
        biased;
        () = gate.dead() => None,
        answer = work => Some(answer),
    }
}
