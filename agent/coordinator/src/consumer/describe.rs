//! A consumer group as ConsumerGroupDescribe shows it.

use ebb_metastore::command::ConsumerMember;
use ebb_protocol::ids::MemberId;

use super::{ConsumerMachine, Member, reconciliation};
use crate::{GroupState, Summary, consumer_protocol::PROTOCOL_TYPE};

/// What a consumer group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerState {
    /// It has no members.
    Empty,
    /// Targets are being computed.
    Assigning,
    /// Members are on their way to their targets.
    Reconciling,
    /// All members are where they are to be.
    Stable,
}

/// A consumer group as ConsumerGroupDescribe shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerDescription {
    /// What it is doing.
    pub state: ConsumerState,
    /// The group epoch.
    pub epoch: i32,
    /// The group epoch of which the targets are.
    pub assignment_epoch: i32,
    /// The assignor that most members want.
    pub assignor: &'static str,
    /// The members, by id.
    pub members: Vec<(MemberId, ConsumerMember)>,
}

impl ConsumerMachine {
    /// The group as ConsumerGroupDescribe shows it.
    #[must_use]
    pub fn describe(&self) -> ConsumerDescription {
        ConsumerDescription {
            state: self.state(),
            epoch: self.shared.epoch,
            assignment_epoch: self.shared.assignment_epoch,
            assignor: self.assignor().name(),
            members: self.members.iter().map(|(id, member)| (id.clone(), member.record.clone())).collect(),
        }
    }

    /// The group in a few words.
    pub(crate) fn summary(&self) -> Summary {
        Summary {
            state: GroupState::Consumer(self.state()),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            members: self.members.len(),
        }
    }

    fn state(&self) -> ConsumerState {
        let epoch = self.shared.assignment_epoch;
        let is_done = |member: &Member| reconciliation::is_done(&member.record, epoch);
        if self.members.is_empty() {
            ConsumerState::Empty
        } else if self.shared.epoch > epoch {
            ConsumerState::Assigning
        } else if self.members.values().all(is_done) {
            ConsumerState::Stable
        } else {
            ConsumerState::Reconciling
        }
    }
}
