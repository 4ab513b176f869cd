//! A group in a few words, as ListGroups tells it and as those see it who watch groups: nothing of its members is copied.

use ebb_metastore::state::{Group, GroupBody};

use crate::{classic::ClassicState, consumer::ConsumerState, consumer_protocol::PROTOCOL_TYPE};

/// A group in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its protocol, and what it is doing.
    pub state: GroupState,
    /// What its members say that they are; empty when it never had any.
    pub protocol_type: String,
    /// How many members it has.
    pub members: usize,
}

/// The protocol of a group and what it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// It never had members: there may be offsets.
    Simple,
    /// The classic protocol.
    Classic(ClassicState),
    /// KIP-848.
    Consumer(ConsumerState),
}

impl GroupState {
    /// True while members are on their way to what they are to own.
    #[must_use]
    pub fn is_rebalancing(self) -> bool {
        match self {
            Self::Simple => false,
            Self::Classic(state) => {
                matches!(state, ClassicState::PreparingRebalance | ClassicState::CompletingRebalance)
            }
            Self::Consumer(state) => matches!(state, ConsumerState::Assigning | ConsumerState::Reconciling),
        }
    }
}

impl Summary {
    /// A group that never had members.
    #[must_use]
    pub fn simple() -> Self {
        Self { state: GroupState::Simple, protocol_type: String::new(), members: 0 }
    }

    /// A group without members as it was recorded; `None` when it has members, since only a machine knows then what
    /// the group is doing.
    #[must_use]
    pub fn of_empty(group: &Group) -> Option<Self> {
        match &group.body {
            GroupBody::Simple => Some(Self::simple()),
            GroupBody::Classic(shared, members) if members.is_empty() => Some(Self {
                state: GroupState::Classic(ClassicState::Empty),
                protocol_type: shared.protocol_type.clone(),
                members: 0,
            }),
            GroupBody::Consumer(_, members) if members.is_empty() => Some(Self {
                state: GroupState::Consumer(ConsumerState::Empty),
                protocol_type: PROTOCOL_TYPE.to_owned(),
                members: 0,
            }),
            GroupBody::Classic(..) | GroupBody::Consumer(..) => None,
        }
    }
}
