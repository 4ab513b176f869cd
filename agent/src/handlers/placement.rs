//! Which agent a client is sent to: rendezvous hashing over the live agents of this agent's zone that the client's
//! transport reaches. Any agent may take any partition; a preferred one only keeps caches warm. When an agent comes
//! or goes, only the partitions move that it gains or loses.

use ebb_metastore::{
    command::Endpoint,
    state::{Agent, State},
};
use ebb_protocol::{
    ids::{AgentId, PartitionIndex, TopicId},
    messages::BrokerId,
};
use xxhash_rust::xxh3::xxh3_64;

use super::Call;
use crate::metrics::Transport;

/// The agents that a client can be told of, sorted by broker id so that the list does not change order.
#[derive(Clone, Debug)]
pub(super) struct Placement {
    /// All that the transport reaches.
    pub(super) brokers: Vec<Broker>,
    /// The indices in `brokers` of those that may be preferred.
    candidates: Vec<usize>,
    own: Option<BrokerId>,
}

/// An agent as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broker {
    pub(super) id: BrokerId,
    pub(super) endpoint: Endpoint,
    pub(super) zone: String,
}

impl Placement {
    /// The live agents as clients of `transport` see them, from the agent `own`.
    pub(super) fn new(state: &State, transport: Transport, own: AgentId) -> Self {
        let zone = state.agents().find(|agent| agent.id == own).map(|agent| agent.zone.clone());
        let mut placement = Self { brokers: Vec::new(), candidates: Vec::new(), own: None };
        for agent in state.agents() {
            let Some(endpoint) = endpoint(agent, transport).cloned() else { continue };
            let id = BrokerId(agent.broker.0);
            if agent.id == own {
                placement.own = Some(id);
            }
            if zone.as_ref().is_none_or(|zone| *zone == agent.zone) {
                placement.candidates.push(placement.brokers.len());
            }
            placement.brokers.push(Broker { id, endpoint, zone: agent.zone.clone() });
        }
        placement
    }

    /// The agent that a client should ask for the partition; `None` when there is none.
    pub(super) fn leader(&self, topic: TopicId, partition: PartitionIndex) -> Option<BrokerId> {
        let brokers = self.candidates.iter().filter_map(|index| self.brokers.get(*index));
        brokers.map(|broker| (weight(topic, partition, broker.id), broker.id)).max().map(|(_, id)| id)
    }

    /// The agent that a client should ask for what belongs to no partition: this one.
    pub(super) fn controller(&self) -> BrokerId {
        self.own.or(self.brokers.first().map(|broker| broker.id)).unwrap_or(BrokerId(-1))
    }
}

impl Call {
    /// The live agents as this client sees them.
    pub(super) fn placement(&self) -> Placement {
        let read = |state: &State| Placement::new(state, self.handlers.transport, self.handlers.agent);
        self.broker().metastore().read(read)
    }
}

/// Where clients of a transport reach an agent; `None` when it does not listen there.
pub(super) fn endpoint(agent: &Agent, transport: Transport) -> Option<&Endpoint> {
    match transport {
        Transport::Kafka => agent.kafka.as_ref(),
        Transport::Quic => agent.quic.as_ref(),
    }
}

fn weight(topic: TopicId, partition: PartitionIndex, broker: BrokerId) -> u64 {
    let mut key = [0; 24];
    let (topic_bytes, rest) = key.split_at_mut(16);
    let (partition_bytes, broker_bytes) = rest.split_at_mut(4);
    topic_bytes.copy_from_slice(topic.0.as_bytes());
    partition_bytes.copy_from_slice(&partition.0.to_be_bytes());
    broker_bytes.copy_from_slice(&broker.0.to_be_bytes());
    xxh3_64(&key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Cluster;

    fn placement(ids: &[i32]) -> Placement {
        let endpoint = Endpoint { host: "agent".to_owned(), port: 9092 };
        let broker = |id: &i32| Broker { id: BrokerId(*id), endpoint: endpoint.clone(), zone: String::new() };
        let brokers: Vec<_> = ids.iter().map(broker).collect();
        Placement { candidates: (0..brokers.len()).collect(), brokers, own: None }
    }

    fn leaders(placement: &Placement) -> Vec<i32> {
        let topic = TopicId(uuid::Uuid::from_u128(7));
        let leader = |partition| placement.leader(topic, PartitionIndex(partition)).map_or(-1, |id| id.0);
        (0..300).map(leader).collect()
    }

    #[tokio::test]
    async fn an_agent_that_listens_nowhere_is_never_picked() {
        let cluster = Cluster::new();
        let (compactor, agent) = (cluster.unreachable().await, cluster.agent("agent").await);
        assert_eq!(agent.live().await, 2);
        let id = agent.metastore.read(|state| {
            let found = state.agents().find(|live| live.id == agent.id).expect("it is live");
            BrokerId(found.broker.0)
        });
        for own in [agent.id, compactor.id] {
            let seen = agent.metastore.read(|state| Placement::new(state, Transport::Kafka, own));
            assert_eq!(seen.brokers.iter().map(|broker| broker.id).collect::<Vec<_>>(), [id]);
            assert_eq!(leaders(&seen), vec![id.0; 300]);
            assert_eq!(seen.controller(), id);
            let none = agent.metastore.read(|state| Placement::new(state, Transport::Quic, own));
            assert_eq!((none.brokers.len(), none.controller()), (0, BrokerId(-1)));
        }
    }

    #[test]
    fn partitions_spread_over_agents_and_only_those_of_a_lost_agent_move() {
        let all = leaders(&placement(&[0, 1, 2]));
        for id in 0..3 {
            let share = all.iter().filter(|leader| **leader == id).count();
            assert!((70..=130).contains(&share), "agent {id} leads {share} of 300 partitions");
        }
        let without = leaders(&placement(&[0, 2]));
        for (before, after) in all.iter().zip(&without) {
            assert!(before == after || *before == 1, "a partition moved from {before} to {after}");
        }
        assert_eq!(leaders(&placement(&[])), vec![-1; 300]);
    }
}
