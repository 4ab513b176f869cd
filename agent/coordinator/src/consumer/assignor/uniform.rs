//! The assignor `uniform`: members keep what they have, what nobody has goes to those with the least, and only then
//! partitions move, from those with the most to those with the least, one at a time, while that helps. With equal
//! subscriptions loads end within one of each other and no partition moves without need; with different ones, no
//! single move would balance better. Every move lowers the sum of the squares of the loads, so this ends.

use std::collections::{BTreeMap, BTreeSet};

use ebb_metastore::command::Partitions;
use ebb_protocol::ids::{PartitionIndex, TopicId, TopicPartition};

use super::Spec;

/// The members' new targets, in the order of the members.
pub(super) fn assign(spec: &Spec<'_>) -> Vec<Partitions> {
    let mut balance = Balance::new(spec);
    balance.keep(spec);
    balance.fill(spec);
    balance.level();
    balance.finish()
}

/// An assignment in the making. Members are known by their places.
struct Balance {
    owned: Vec<BTreeMap<TopicId, BTreeSet<PartitionIndex>>>,
    loads: Vec<usize>,
    /// All members by load.
    order: BTreeSet<(usize, usize)>,
    /// Who subscribes to a topic; `None` when everybody subscribes to everything.
    subscribers: Option<BTreeMap<TopicId, Vec<usize>>>,
    assigned: BTreeSet<TopicPartition>,
}

impl Balance {
    fn new(spec: &Spec<'_>) -> Self {
        let members = spec.members.len();
        let by_topic = || spec.topics.iter().map(|&(topic, _)| (topic, spec.subscribers(topic))).collect();
        Self {
            owned: vec![BTreeMap::new(); members],
            loads: vec![0; members],
            order: (0..members).map(|member| (0, member)).collect(),
            subscribers: (!spec.is_homogeneous()).then(by_topic),
            assigned: BTreeSet::new(),
        }
    }

    /// Leaves to the members what they have, as far as it exists and they still subscribe to it.
    fn keep(&mut self, spec: &Spec<'_>) {
        let counts: BTreeMap<TopicId, i32> = spec.topics.iter().copied().collect();
        for (member, given) in spec.members.iter().enumerate() {
            for (&topic, partitions) in given.current {
                let count = counts.get(&topic).copied().unwrap_or(0);
                if !given.subscribed.contains(&topic) {
                    continue;
                }
                for &partition in partitions.iter().filter(|partition| partition.0 < count) {
                    if self.assigned.insert(TopicPartition { topic, partition }) {
                        self.give(member, topic, partition);
                    }
                }
            }
        }
    }

    /// Gives what nobody has to those with the least; topics with few subscribers first, as they leave no choice.
    fn fill(&mut self, spec: &Spec<'_>) {
        let mut topics = spec.topics.clone();
        if let Some(subscribers) = &self.subscribers {
            topics.sort_by_key(|(topic, _)| subscribers[topic].len());
        }
        for (topic, count) in topics {
            for partition in (0..count).map(PartitionIndex) {
                if !self.assigned.contains(&TopicPartition { topic, partition })
                    && let Some(member) = self.least(topic)
                {
                    self.give(member, topic, partition);
                }
            }
        }
    }

    /// Moves partitions while a move makes two members' loads more alike.
    fn level(&mut self) {
        while let Some((from, to, topic)) = self.next_move() {
            let partitions = self.owned[from].get_mut(&topic).expect("a move names a topic of its giver");
            let partition = partitions.pop_last().expect("no member keeps an empty list");
            if partitions.is_empty() {
                self.owned[from].remove(&topic);
            }
            self.set_load(from, self.loads[from] - 1);
            self.give(to, topic, partition);
        }
    }

    /// The move that helps most: from the member with the most that can give to one with two less at least.
    fn next_move(&self) -> Option<(usize, usize, TopicId)> {
        let &(lowest, _) = self.order.first()?;
        for &(load, from) in self.order.iter().rev() {
            if load < lowest + 2 {
                return None;
            }
            let topics = self.owned[from].keys().rev();
            // Where everybody takes everything, all topics serve equally well.
            let topics = topics.take(if self.subscribers.is_none() { 1 } else { usize::MAX });
            let moves = topics.filter_map(|&topic| Some((self.least(topic)?, topic)));
            let best = moves.min_by_key(|&(to, _)| self.loads[to]);
            if let Some((to, topic)) = best.filter(|&(to, _)| load >= self.loads[to] + 2) {
                return Some((from, to, topic));
            }
        }
        None
    }

    /// The subscriber of a topic with the least.
    fn least(&self, topic: TopicId) -> Option<usize> {
        let Some(subscribers) = &self.subscribers else {
            return self.order.first().map(|&(_, member)| member);
        };
        subscribers.get(&topic)?.iter().copied().min_by_key(|&member| self.loads[member])
    }

    fn give(&mut self, member: usize, topic: TopicId, partition: PartitionIndex) {
        self.owned[member].entry(topic).or_default().insert(partition);
        self.set_load(member, self.loads[member] + 1);
    }

    fn set_load(&mut self, member: usize, load: usize) {
        self.order.remove(&(self.loads[member], member));
        self.loads[member] = load;
        self.order.insert((load, member));
    }

    fn finish(self) -> Vec<Partitions> {
        let lists = |topics: BTreeMap<TopicId, BTreeSet<PartitionIndex>>| {
            topics.into_iter().map(|(topic, partitions)| (topic, partitions.into_iter().collect())).collect()
        };
        self.owned.into_iter().map(lists).collect()
    }
}
