//! The assignor `uniform`: members keep what they have, what nobody has goes to those with the least, and only then
//! partitions move, from those with the most to those with the least, one at a time, while that helps. With equal
//! subscriptions loads end within one of each other and no partition moves without need; with different ones, no
//! single move would balance better. Every move lowers the sum of the squares of the loads, so this ends.
//!
//! Topics with the same subscribers are alike here: a move looks at each such kind of topic once, and where everybody
//! subscribes to everything there is one kind only.

use std::collections::{BTreeMap, BTreeSet};

use ebb_metastore::command::Partitions;
use ebb_protocol::ids::{PartitionIndex, TopicId, TopicPartition};
use uuid::Uuid;

use super::Spec;

/// The members' new targets, in the order of the members.
pub(super) fn assign(spec: &Spec<'_>) -> Vec<Partitions> {
    let mut balance = Balance::new(spec);
    balance.keep(spec);
    balance.fill(spec);
    balance.level();
    balance.finish()
}

/// A topic, after its kind: the place of its subscribers in [`Balance::kinds`].
type Kinded = (usize, TopicId);

/// An assignment in the making. Members are known by their places.
struct Balance {
    owned: Vec<BTreeMap<Kinded, BTreeSet<PartitionIndex>>>,
    loads: Vec<usize>,
    /// All members by load.
    order: BTreeSet<(usize, usize)>,
    /// The subscribers of each kind of topic.
    kinds: Vec<Vec<usize>>,
    kind_of: BTreeMap<TopicId, usize>,
    assigned: BTreeSet<TopicPartition>,
}

impl Balance {
    fn new(spec: &Spec<'_>) -> Self {
        let members = spec.members.len();
        let mut known: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        let mut kind_of = BTreeMap::new();
        for &(topic, _) in &spec.topics {
            let fresh = known.len();
            kind_of.insert(topic, *known.entry(spec.subscribers(topic)).or_insert(fresh));
        }
        let mut kinds = vec![Vec::new(); known.len()];
        known.into_iter().for_each(|(subscribers, kind)| kinds[kind] = subscribers);
        Self {
            owned: vec![BTreeMap::new(); members],
            loads: vec![0; members],
            order: (0..members).map(|member| (0, member)).collect(),
            kinds,
            kind_of,
            assigned: BTreeSet::new(),
        }
    }

    /// Leaves to the members what they have, as far as it exists and they still subscribe to it.
    fn keep(&mut self, spec: &Spec<'_>) {
        let counts: BTreeMap<TopicId, i32> = spec.topics.iter().copied().collect();
        for (member, given) in spec.members.iter().enumerate() {
            for (&topic, partitions) in given.current {
                let (Some(&kind), Some(&count)) = (self.kind_of.get(&topic), counts.get(&topic)) else {
                    continue;
                };
                if !given.subscribed.contains(&topic) {
                    continue;
                }
                for &partition in partitions.iter().filter(|it| (0..count).contains(&it.0)) {
                    if self.assigned.insert(TopicPartition { topic, partition }) {
                        self.give(member, (kind, topic), partition);
                    }
                }
            }
        }
    }

    /// Gives what nobody has to those with the least; topics with few subscribers first, as they leave no choice.
    fn fill(&mut self, spec: &Spec<'_>) {
        let with_kind = |&(topic, count): &(TopicId, i32)| (self.kind_of[&topic], topic, count);
        let mut topics: Vec<_> = spec.topics.iter().map(with_kind).collect();
        topics.sort_by_key(|&(kind, ..)| self.kinds[kind].len());
        for (kind, topic, count) in topics {
            for partition in (0..count).map(PartitionIndex) {
                if !self.assigned.contains(&TopicPartition { topic, partition })
                    && let Some(member) = self.least(kind)
                {
                    self.give(member, (kind, topic), partition);
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
    fn next_move(&self) -> Option<(usize, usize, Kinded)> {
        let &(lowest, _) = self.order.first()?;
        for &(load, from) in self.order.iter().rev() {
            if load < lowest + 2 {
                return None;
            }
            let moves = self.topics_by_kind(from).filter_map(|topic| Some((self.least(topic.0)?, topic)));
            let best = moves.min_by_key(|&(to, _)| self.loads[to]);
            if let Some((to, topic)) = best.filter(|&(to, _)| load >= self.loads[to] + 2) {
                return Some((from, to, topic));
            }
        }
        None
    }

    /// The first topic of each kind that a member owns.
    fn topics_by_kind(&self, member: usize) -> impl Iterator<Item = Kinded> {
        let owned = &self.owned[member];
        let first_of = |kind| owned.range((kind, TopicId(Uuid::nil()))..).next().map(|(&topic, _)| topic);
        std::iter::successors(first_of(0), move |&(kind, _)| first_of(kind + 1))
    }

    /// The subscriber of a kind of topics with the least.
    fn least(&self, kind: usize) -> Option<usize> {
        let subscribers = &self.kinds[kind];
        if subscribers.len() == self.loads.len() {
            return self.order.first().map(|&(_, member)| member);
        }
        subscribers.iter().copied().min_by_key(|&member| self.loads[member])
    }

    fn give(&mut self, member: usize, topic: Kinded, partition: PartitionIndex) {
        self.owned[member].entry(topic).or_default().insert(partition);
        self.set_load(member, self.loads[member] + 1);
    }

    fn set_load(&mut self, member: usize, load: usize) {
        self.order.remove(&(self.loads[member], member));
        self.loads[member] = load;
        self.order.insert((load, member));
    }

    fn finish(self) -> Vec<Partitions> {
        let lists = |topics: BTreeMap<Kinded, BTreeSet<PartitionIndex>>| {
            let list = |((_, topic), partitions): (Kinded, BTreeSet<PartitionIndex>)| {
                (topic, partitions.into_iter().collect())
            };
            topics.into_iter().map(list).collect()
        };
        self.owned.into_iter().map(lists).collect()
    }
}
