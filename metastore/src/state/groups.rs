//! Consumer groups as far as they must survive: members, assignments, committed offsets. Which agent coordinates a
//! group follows from who is live, so moving a group costs no entry.

use std::collections::BTreeMap;

use ebb_protocol::ids::{GroupId, MemberId, PartitionIndex, Timestamp, TopicId};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Agent, State};
use crate::command::{ClassicGroup, ClassicMember, CommittedOffset, ConsumerGroup, ConsumerMember};

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// How many updates it has had.
    pub version: u64,
    /// The state's time at which its last member left, or at its last commit when it never had one; `None` while it
    /// has members. Its offsets expire from then on.
    pub empty_since: Option<Timestamp>,
    /// Its members.
    pub body: GroupBody,
    /// Its committed offsets.
    pub offsets: BTreeMap<TopicId, BTreeMap<PartitionIndex, CommittedOffset>>,
}

/// The members of a group, by the protocol they speak.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupBody {
    /// It only has offsets, and never had a member.
    #[default]
    Simple,
    /// The classic protocol.
    Classic(ClassicGroup, BTreeMap<MemberId, ClassicMember>),
    /// KIP-848.
    Consumer(ConsumerGroup, BTreeMap<MemberId, ConsumerMember>),
}

impl GroupBody {
    /// How many members it has.
    #[must_use]
    pub fn members(&self) -> usize {
        match self {
            Self::Simple => 0,
            Self::Classic(_, members) => members.len(),
            Self::Consumer(_, members) => members.len(),
        }
    }
}

impl State {
    /// A group.
    #[must_use]
    pub fn group(&self, group: &GroupId) -> Option<&Group> {
        self.groups.get(group)
    }

    /// All groups, sorted by name.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupId, &Group)> {
        self.groups.iter()
    }

    /// The live agent that coordinates a group: by rendezvous hashing over those that listen on the most transports,
    /// so that all clients reach it. Only its updates of the group count. `None` without agents.
    #[must_use]
    pub fn coordinator(&self, group: &GroupId) -> Option<&Agent> {
        let transports = |agent: &Agent| u8::from(agent.kafka.is_some()) + u8::from(agent.quic.is_some());
        let weight = |agent: &Agent| {
            // The seed must tell runs of one broker id apart as little as possible: a restarted agent that takes
            // its address again gets its groups again.
            let seed = u64::from(agent.broker.0.unsigned_abs());
            (transports(agent), xxh3_64_with_seed(group.as_str().as_bytes(), seed), agent.broker)
        };
        self.agents().max_by_key(|agent| weight(agent))
    }
}
