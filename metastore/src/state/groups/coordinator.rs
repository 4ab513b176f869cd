//! Which agent coordinates a group: a function of the live agents, so that moving a group costs no entry and no
//! agent has to be told. `apply` asks the same function, therefore the hash is part of the state machine.

use ebb_protocol::ids::{BrokerId, GroupId};
use xxhash_rust::xxh3::xxh3_64;

use crate::state::{Agent, State};

impl State {
    /// The live agent that coordinates a group: by rendezvous hashing over those that listen on the most transports,
    /// so that all clients reach it, in whatever zone. Only its updates of the group count. `None` when none listens.
    ///
    /// When an agent goes, only its own groups move. One that comes back with its old address is given its old
    /// broker id, and with it its old groups.
    #[must_use]
    pub fn coordinator(&self, group: &GroupId) -> Option<&Agent> {
        let transports = |agent: &Agent| u8::from(agent.kafka.is_some()) + u8::from(agent.quic.is_some());
        let group = xxh3_64(group.as_str().as_bytes());
        let listening = self.agents().filter(|agent| agent.listens());
        listening.max_by_key(|agent| (transports(agent), weight(group, agent.broker), agent.broker))
    }
}

fn weight(group: u64, broker: BrokerId) -> u64 {
    let mut key = [0; 12];
    let (group_bytes, broker_bytes) = key.split_at_mut(8);
    group_bytes.copy_from_slice(&group.to_be_bytes());
    broker_bytes.copy_from_slice(&broker.0.to_be_bytes());
    xxh3_64(&key)
}
