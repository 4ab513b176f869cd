//! A group as others see it: the Describe and List APIs, and who asks whether it may be dropped or its offsets deleted.

use ebb_protocol::ids::MemberId;

use super::{ClassicMachine, member::MEMBER_BYTES, rebalance::Phase};
use crate::{
    GroupState, Summary,
    consumer_protocol::{PROTOCOL_TYPE, Subscription},
};

/// What a classic group is doing, in Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassicState {
    /// It has no members.
    Empty,
    /// Members join.
    PreparingRebalance,
    /// The leader assigns.
    CompletingRebalance,
    /// All members can get their assignments.
    Stable,
    /// Its coordinator has given up and will be replaced.
    Dead,
}

/// A classic group as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicDescription {
    /// What it is doing.
    pub state: ClassicState,
    /// The generation.
    pub generation: i32,
    /// `consumer`, `connect`, or what else its members are; empty when it never had any.
    pub protocol_type: String,
    /// The protocol of a stable group, else empty.
    pub protocol: String,
    /// The members, by id.
    pub members: Vec<ClassicMemberDescription>,
}

/// A member of a classic group as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberDescription {
    /// Its id.
    pub member: MemberId,
    /// `group.instance.id` of a static member.
    pub instance: Option<String>,
    /// The client's own name.
    pub client_id: String,
    /// The address it came from.
    pub client_host: String,
    /// Its metadata for the protocol of a stable group, else empty.
    pub metadata: Vec<u8>,
    /// Its assignment in a stable group, else empty.
    pub assignment: Vec<u8>,
}

impl ClassicMachine {
    /// The group as DescribeGroups shows it.
    #[must_use]
    pub fn describe(&self) -> ClassicDescription {
        let is_stable = self.phase == Phase::Stable;
        let protocol = self.protocol.clone().filter(|_| is_stable).unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| ClassicMemberDescription {
            member: id.clone(),
            instance: member.record.instance.clone(),
            client_id: member.record.client_id.clone(),
            client_host: member.record.client_host.clone(),
            metadata: if is_stable { member.metadata(&protocol).to_vec() } else { Vec::new() },
            assignment: if is_stable { member.record.assignment.clone() } else { Vec::new() },
        });
        ClassicDescription {
            state: self.state(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            members: members.collect(),
            protocol,
        }
    }

    /// The group in a few words.
    pub(crate) fn summary(&self) -> Summary {
        Summary {
            state: GroupState::Classic(self.state()),
            protocol_type: self.protocol_type.clone(),
            members: self.members.len(),
        }
    }

    fn state(&self) -> ClassicState {
        match self.phase {
            _ if self.dead.is_some() => ClassicState::Dead,
            Phase::Empty => ClassicState::Empty,
            Phase::Preparing { .. } => ClassicState::PreparingRebalance,
            Phase::Completing => ClassicState::CompletingRebalance,
            Phase::Stable => ClassicState::Stable,
        }
    }

    /// True when a member subscribes to the topic, so that its offsets must not be deleted (KIP-496). Members whose
    /// metadata cannot be read may subscribe to anything.
    #[must_use]
    pub fn subscribes_to(&self, topic: &str) -> bool {
        self.members.values().any(|member| {
            let first = member.record.protocols.first().map(|(name, _)| name.as_str());
            let protocol = self.protocol.as_deref().filter(|name| member.speaks(name)).or(first);
            let metadata = member.metadata(protocol.unwrap_or_default());
            self.protocol_type != PROTOCOL_TYPE
                || Subscription::decode(metadata).is_none_or(|it| it.topics.iter().any(|name| name == topic))
        })
    }

    /// True when nothing waits and there is no member: the group may be dropped from memory.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Empty && self.pending.is_empty() && !self.is_recording()
    }

    /// About what it takes in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let members = self.members.values().map(|member| member.bytes() + member.record.assignment.len());
        let assigned = self.assigned.iter().flatten().map(|(_, assignment)| assignment.len());
        members.chain(assigned).sum::<usize>() + self.pending.len() * MEMBER_BYTES
    }
}
