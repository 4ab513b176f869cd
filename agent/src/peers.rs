//! Looks after the other agents. One that a client has just been sent to is asked whether it is there, in the
//! background; one that does not answer three times in a row, and has appended nothing meanwhile, is put out of the
//! cluster, so that its groups and partitions move to live agents within some seconds. Nothing is asked without such a
//! reason, so an idle agent asks nobody.
//!
//! An agent at a loopback address is judged only by those on its own host.
//!
//! Safety does not rest on this: an agent that was put out by mistake is refused by `apply`, ends, and may start again.
//! Knows nothing of groups and of Kafka's messages but for one request, as bytes.

mod probe;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use ebb_metastore::{Metastore, state::Agent};
use ebb_protocol::ids::AgentId;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::probe::{Dial, answer_question};

/// An agent that does not answer so many times in a row is put out.
const SILENCES_MAX: u32 = 3;

/// From one question to the next one to an agent that does not answer.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// An answer takes at most this long.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// An agent that has answered is not asked again for this long.
const ANSWER_HOLDS: Duration = Duration::from_secs(1);

/// Agents that are asked at once. Others are asked at the next reason.
const ASKED_AT_ONCE_MAX: usize = 16;

/// Asks an agent whether it is there.
#[async_trait]
pub(crate) trait Probe: Send + Sync {
    /// True when anything came back. May take for ever.
    async fn answers(&self, agent: &Agent) -> bool;
}

/// What one agent does to look after the others.
pub(crate) struct Peers {
    own: AgentId,
    metastore: Metastore,
    probe: Arc<dyn Probe>,
    /// Those that are being asked, and those that have answered lately.
    asked: Mutex<BTreeMap<AgentId, Asked>>,
    aborting: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Now,
    Answered(Instant),
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("asked", &*self.asked.lock()).finish_non_exhaustive()
    }
}

impl Peers {
    /// Looks after others on behalf of the agent `own`, until `aborting` fires.
    pub(crate) fn new(
        own: AgentId,
        metastore: Metastore,
        probe: Arc<dyn Probe>,
        aborting: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self { own, metastore, probe, asked: Mutex::default(), aborting })
    }

    /// Clients have been told of these agents: sees to it that they are there. Returns at once.
    pub(crate) fn look_after(self: &Arc<Self>, agents: &[AgentId]) {
        for agent in agents.iter().copied().filter(|agent| *agent != self.own) {
            if !self.begin(agent) {
                continue;
            }
            let this = self.clone();
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = this.aborting.cancelled() => {}
                    () = this.examine(agent) => {}
                }
                this.asked.lock().insert(agent, Asked::Answered(Instant::now()));
            });
        }
    }

    /// The same for all agents.
    pub(crate) fn look_after_all(self: &Arc<Self>) {
        let agents: Vec<_> = self.metastore.read(|state| state.agents().map(|agent| agent.id).collect());
        self.look_after(&agents);
    }

    /// Whether the agent is to be asked now.
    fn begin(&self, agent: AgentId) -> bool {
        let now = Instant::now();
        let mut asked = self.asked.lock();
        asked.retain(|_, asked| match asked {
            Asked::Now => true,
            Asked::Answered(at) => now.duration_since(*at) < ANSWER_HOLDS,
        });
        let in_flight = asked.values().filter(|asked| **asked == Asked::Now).count();
        if asked.contains_key(&agent) || in_flight >= ASKED_AT_ONCE_MAX {
            return false;
        }
        asked.insert(agent, Asked::Now);
        true
    }

    /// Asks an agent until it answers, and puts it out if it does not.
    async fn examine(&self, id: AgentId) {
        let Some(known) = self.find(id) else { return };
        // One that listens nowhere cannot answer, and no client is sent to it.
        if !known.listens() || self.find(self.own).is_none_or(|own| is_elsewhere(&own, &known)) {
            return;
        }
        for silences in 1..=SILENCES_MAX {
            let begun = Instant::now();
            if timeout(ANSWER_MAX, self.probe.answers(&known)).await.unwrap_or(false) {
                return;
            }
            tracing::debug!(agent = %id, broker = known.broker.0, silences, "an agent does not answer");
            if silences < SILENCES_MAX {
                sleep_until(begun + ASK_EVERY).await;
            }
        }
        if let Err(error) = self.metastore.tail_check().await {
            // Whoever cannot see the log cannot tell who is silent.
            return tracing::info!(agent = %id, %error, "a silent agent stays: the log's tail cannot be looked at");
        }
        // One that appends is alive, even if it cannot be reached from here.
        if self.find(id).is_none_or(|now| now.next_number != known.next_number) {
            return;
        }
        tracing::info!(agent = %id, broker = known.broker.0, "an agent is silent and put out of the cluster");
        if let Err(error) = self.metastore.seal(id).await {
            tracing::info!(agent = %id, %error, "a silent agent could not be put out");
        }
    }

    fn find(&self, id: AgentId) -> Option<Agent> {
        self.metastore.read(|state| state.agents().find(|agent| agent.id == id).cloned())
    }
}

/// Whether an agent cannot be judged from here: it advertises a loopback address, which leads to another host for
/// each who dials it, and is on another host. Where one of both does not know its host, two agents at loopback are
/// taken to be on one.
fn is_elsewhere(own: &Agent, other: &Agent) -> bool {
    let address = |agent: &Agent| agent.kafka.as_ref().or(agent.quic.as_ref()).cloned();
    let is_local = |agent: &Agent| address(agent).is_some_and(|endpoint| endpoint.is_loopback());
    let shares_host = match (own.host, other.host) {
        (Some(own), Some(other)) => own == other,
        _ => is_local(own),
    };
    is_local(other) && !shares_host
}

#[cfg(test)]
mod tests;
