//! Server-side assignors: who is to own which partition. Functions of subscriptions, partition counts and the targets
//! before; they know nothing of epochs, of who owns what right now, or of time.

mod range;
mod uniform;

use std::{collections::BTreeSet, rc::Rc};

use ebb_metastore::command::Partitions;
use ebb_protocol::ids::{PartitionIndex, TopicId};

/// A server-side assignor (KIP-848).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Assignor {
    /// Balanced and sticky. The default.
    Uniform,
    /// Ranges of each topic; topics with equally many partitions and the same subscribers are split alike.
    Range,
}

/// What an assignor is given of a member.
#[derive(Clone, Debug)]
pub(super) struct MemberSpec<'a> {
    /// The topics that it subscribes to; members with equal subscriptions share one set.
    pub(super) subscribed: Rc<BTreeSet<TopicId>>,
    /// Its target so far, from which as little as possible is taken away.
    pub(super) current: &'a Partitions,
}

/// What an assignor is given.
#[derive(Clone, Debug)]
pub(super) struct Spec<'a> {
    /// The members, in an order that stays the same from one assignment to the next.
    pub(super) members: Vec<MemberSpec<'a>>,
    /// The subscribed topics that exist, with their partition counts, sorted by id.
    pub(super) topics: Vec<(TopicId, i32)>,
}

impl Assignor {
    /// Both, the default first.
    pub(super) const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// Its name in Kafka's protocol.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The assignor of that name.
    pub(super) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// The assignor that most members want among those that want one; the default for a draw.
    pub(super) fn elect<'a>(wanted: impl Iterator<Item = &'a str>) -> Self {
        let mut votes = [0_usize; Self::ALL.len()];
        for assignor in wanted.filter_map(Self::by_name) {
            votes[assignor as usize] += 1;
        }
        if votes[Self::Range as usize] > votes[Self::Uniform as usize] { Self::Range } else { Self::Uniform }
    }

    /// The members' new targets, in the order of the members.
    pub(super) fn assign(self, spec: &Spec<'_>) -> Vec<Partitions> {
        match self {
            Self::Uniform => uniform::assign(spec),
            Self::Range => range::assign(spec),
        }
    }
}

impl Spec<'_> {
    /// What a member has had of a topic.
    fn current(&self, member: usize, topic: TopicId) -> &[PartitionIndex] {
        self.members[member].current.get(&topic).map_or(&[], Vec::as_slice)
    }

    /// The places of the members that subscribe to a topic.
    fn subscribers(&self, topic: TopicId) -> Vec<usize> {
        let subscribes = |place: &usize| self.members[*place].subscribed.contains(&topic);
        (0..self.members.len()).filter(subscribes).collect()
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_majority_chooses_and_uniform_is_the_default() {
        let check = |wanted: &[&str], elected: Assignor| {
            assert_eq!(Assignor::elect(wanted.iter().copied()), elected, "{wanted:?}");
        };
        check(&[], Assignor::Uniform);
        check(&["range"], Assignor::Range);
        check(&["range", "uniform"], Assignor::Uniform);
        check(&["range", "uniform", "range"], Assignor::Range);
        check(&["sticky", "sticky", "range"], Assignor::Range);
    }
}
