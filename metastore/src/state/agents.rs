//! Agents: who is live, under which epoch, and whose entries count.

use ebb_protocol::planted::{Bug, is_planted};
use std::collections::{BTreeMap, VecDeque};

use ebb_protocol::ids::{AgentEpoch, AgentId, BrokerId, HostId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    command::{Endpoint, RegisterAgent},
    entry::Entry,
    limits::{AGENTS_MAX, CLOCK_STEP_MAX_MS, SEALED_AGENTS_MAX},
    outcome::Refusal,
};

/// A live agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The id of its run.
    pub id: AgentId,
    /// Its epoch.
    pub epoch: AgentEpoch,
    /// Its number as Kafka clients see it.
    pub broker: BrokerId,
    /// Where Kafka clients reach it over TCP.
    pub kafka: Option<Endpoint>,
    /// Where clients reach it over QUIC.
    pub quic: Option<Endpoint>,
    /// Its zone.
    pub zone: String,
    /// The newest command version that it understands.
    pub understands: u16,
    /// The number that its next entry must have.
    pub next_number: u64,
    /// The state's time at its last entry.
    pub last_entry: Timestamp,
    /// The largest time of its entries: how far its own clock has come.
    clock: Timestamp,
    /// The state's clock as this agent alone would have moved it since it registered.
    reckoned: Timestamp,
    /// The host that it runs on, when it knows.
    pub host: Option<HostId>,
}

impl Agent {
    /// Whether clients can reach it. A compactor of its own listens nowhere: it is live so that it may write entries,
    /// and must never be picked for a client.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.kafka.is_some() || self.quic.is_some()
    }

    /// Whether a newcomer has taken over one of its addresses. One at loopback is another address on another host.
    fn is_replaced_by(&self, said: &RegisterAgent) -> bool {
        let elsewhere = matches!((self.host, said.host), (Some(own), Some(other)) if own != other);
        let same = |own: &Option<Endpoint>, other: &Option<Endpoint>| {
            own == other && own.as_ref().is_some_and(|at| !(elsewhere && at.is_loopback()))
        };
        same(&self.kafka, &said.kafka) || same(&self.quic, &said.quic)
    }

    /// Counts the time since its last entry, by its own clock. A clock that was set back counts for nothing until it
    /// is where it was, and one that leaps for a step at most.
    fn reckon(&mut self, time: Timestamp) {
        let passed = time.0.saturating_sub(self.clock.0).clamp(0, CLOCK_STEP_MAX_MS);
        self.reckoned = Timestamp(self.reckoned.0.saturating_add(passed));
        self.clock = self.clock.max(time);
    }
}

/// Whose entry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A live agent's next entry: everything counts.
    Live,
    /// An unknown agent's: it may found the cluster and register.
    Unregistered,
}

/// All agents. Epochs rise over all of them and are never used again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agents {
    last_epoch: AgentEpoch,
    live: BTreeMap<BrokerId, Agent>,
    /// The agents sealed last, oldest first.
    sealed: VecDeque<AgentId>,
}

impl Agents {
    /// Sorted by broker id.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Agent> {
        self.live.values()
    }

    pub(crate) fn get(&self, id: AgentId) -> Option<&Agent> {
        self.live().find(|agent| agent.id == id)
    }

    /// Whether none has ever registered.
    pub(crate) fn is_new(&self) -> bool {
        self.last_epoch == AgentEpoch(0)
    }

    /// Whether the commands of an entry count. If the entry is its agent's next, it counts as that agent's last, and
    /// moves the state's clock.
    pub(crate) fn admit(&mut self, entry: &Entry, now: &mut Timestamp) -> Result<Standing, Refusal> {
        let Some(agent) = self.live.values_mut().find(|agent| agent.id == entry.agent) else {
            let stale = self.sealed.contains(&entry.agent) || entry.epoch != AgentEpoch(0);
            if is_planted(Bug::SealedAgentsCount) && stale {
                return Ok(Standing::Live);
            }
            return if stale { Err(Refusal::StaleAgent) } else { Ok(Standing::Unregistered) };
        };
        if agent.next_number != entry.number && !is_planted(Bug::AnyEntryNumber) {
            // Told apart from a stale agent first: a late copy of the registration carries no epoch.
            return Err(Refusal::OutOfTurn);
        }
        if agent.epoch != entry.epoch {
            return Err(Refusal::StaleAgent);
        }
        agent.next_number = agent.next_number.saturating_add(1);
        agent.reckon(entry.time);
        *now = agent.reckoned.max(*now);
        agent.last_entry = *now;
        Ok(Standing::Live)
    }

    /// Makes an agent live that is not, and seals those whose addresses it has taken over.
    pub(crate) fn register(&mut self, said: &RegisterAgent, entry: &Entry, now: Timestamp) -> &Agent {
        let replaced: Vec<BrokerId> =
            self.live().filter(|agent| agent.is_replaced_by(said)).map(|agent| agent.broker).collect();
        for broker in &replaced {
            self.seal_broker(*broker);
        }
        if self.live.len() >= AGENTS_MAX {
            // One that listens nowhere goes first: no client is sent to it, so nobody finds out that it is gone.
            let silent = self.live().min_by_key(|agent| (agent.listens(), agent.last_entry, agent.epoch));
            if let Some(broker) = silent.map(|agent| agent.broker) {
                self.seal_broker(broker);
            }
        }
        let free = || (0..).map(BrokerId).find(|id| !self.live.contains_key(id));
        let broker = replaced.first().copied().or_else(free).expect("live agents are fewer than broker ids");
        self.last_epoch = AgentEpoch(self.last_epoch.0 + 1);
        let agent = Agent {
            id: said.agent,
            epoch: self.last_epoch,
            broker,
            kafka: said.kafka.clone(),
            quic: said.quic.clone(),
            zone: said.zone.clone(),
            understands: said.understands,
            next_number: entry.number.saturating_add(1),
            last_entry: now,
            clock: entry.time,
            reckoned: now,
            host: said.host,
        };
        self.live.entry(broker).or_insert(agent)
    }

    /// Puts a live agent out; false when there is none of this id.
    pub(crate) fn seal(&mut self, id: AgentId) -> bool {
        let broker = self.get(id).map(|agent| agent.broker);
        broker.is_some_and(|broker| self.seal_broker(broker))
    }

    fn seal_broker(&mut self, broker: BrokerId) -> bool {
        let Some(agent) = self.live.remove(&broker) else { return false };
        if self.sealed.len() == SEALED_AGENTS_MAX {
            self.sealed.pop_front();
        }
        self.sealed.push_back(agent.id);
        true
    }
}
