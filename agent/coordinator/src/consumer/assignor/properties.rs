//! What both assignors promise, on random groups: each subscribed partition goes to one subscriber, loads are
//! balanced, and what need not move stays.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::consumer::partitions::{PartitionSet, to_set};

fn topic(number: usize) -> TopicId {
    TopicId(Uuid::from_u128(number as u128 + 1))
}

/// A group: partition counts by topic, and for each member the topics that it subscribes to.
#[derive(Clone, Debug)]
struct Sample {
    counts: Vec<i32>,
    members: Vec<BTreeSet<TopicId>>,
}

impl Sample {
    fn assign(&self, assignor: Assignor, before: &[Partitions]) -> Vec<Partitions> {
        let nothing = Partitions::new();
        let members = self.members.iter().enumerate().map(|(member, subscribed)| MemberSpec {
            subscribed: Rc::new(subscribed.clone()),
            current: before.get(member).unwrap_or(&nothing),
        });
        let subscribed = |topic: &TopicId| self.members.iter().any(|member| member.contains(topic));
        let topics = self.counts.iter().enumerate().map(|(number, &count)| (topic(number), count));
        let topics = topics.filter(|(topic, _)| subscribed(topic)).collect();
        assignor.assign(&Spec { members: members.collect(), topics })
    }

    /// Each partition that has a subscriber belongs to one, who subscribes to it.
    fn check(&self, targets: &[Partitions]) {
        let mut all = PartitionSet::new();
        for (target, subscribed) in targets.iter().zip(&self.members) {
            for (topic, partitions) in target {
                assert!(subscribed.contains(topic) && !partitions.is_empty());
                assert!(partitions.is_sorted());
            }
            for partition in to_set(target) {
                assert!(all.insert(partition), "{partition:?} has two owners");
            }
        }
        let wanted = self
            .counts
            .iter()
            .enumerate()
            .filter(|(number, _)| self.members.iter().any(|member| member.contains(&topic(*number))));
        let wanted: usize = wanted.map(|(_, &count)| usize::try_from(count).unwrap_or(0)).sum();
        assert_eq!(all.len(), wanted);
    }
}

fn loads(targets: &[Partitions]) -> Vec<usize> {
    targets.iter().map(|target| target.values().map(Vec::len).sum()).collect()
}

/// How many partitions have another owner than before, among those that had one.
fn moved(before: &[Partitions], after: &[Partitions]) -> usize {
    let kept = |(before, after): (&Partitions, &Partitions)| (&to_set(before) - &to_set(after)).len();
    before.iter().zip(after).map(kept).sum()
}

fn counts() -> impl Strategy<Value = Vec<i32>> {
    prop::collection::vec(1..8_i32, 1..6)
}

prop_compose! {
    fn mixed()(counts in counts())(
        members in prop::collection::vec(prop::collection::btree_set((0..counts.len()).prop_map(topic), 0..4), 1..8),
        counts in Just(counts),
    ) -> Sample {
        Sample { counts, members }
    }
}

prop_compose! {
    fn alike()(counts in counts(), members in 1..8_usize) -> Sample {
        let all = (0..counts.len()).map(topic).collect();
        Sample { members: vec![all; members], counts }
    }
}

/// The sample with a member more, or with its first member gone.
fn changed(sample: &Sample, targets: &[Partitions], joins: bool) -> (Sample, Vec<Partitions>) {
    let mut next = sample.clone();
    let mut before = targets.to_vec();
    if joins || next.members.len() == 1 {
        next.members.push(next.members[0].clone());
        before.push(Partitions::new());
    } else {
        next.members.remove(0);
        before.remove(0);
    }
    (next, before)
}

proptest! {
    #[test]
    fn each_partition_goes_to_one_subscriber(sample in mixed(), joins: bool, range: bool) {
        let assignor = if range { Assignor::Range } else { Assignor::Uniform };
        let targets = sample.assign(assignor, &[]);
        sample.check(&targets);
        prop_assert_eq!(&sample.assign(assignor, &targets), &targets, "nothing moves without need");
        let (next, before) = changed(&sample, &targets, joins);
        next.check(&next.assign(assignor, &before));
    }

    #[test]
    fn uniform_is_balanced_and_moves_no_more_than_that_needs(sample in alike(), joins: bool) {
        let targets = sample.assign(Assignor::Uniform, &[]);
        let (next, before) = changed(&sample, &targets, joins);
        for (sample, targets) in [(&sample, targets), (&next, next.assign(Assignor::Uniform, &before))] {
            sample.check(&targets);
            let loads = loads(&targets);
            let (most, least) = (loads.iter().max(), loads.iter().min());
            prop_assert!(most.unwrap_or(&0) - least.unwrap_or(&0) <= 1, "{:?}", loads);
        }
        let after = next.assign(Assignor::Uniform, &before);
        let fair = loads(&after).into_iter().min().unwrap_or(0);
        let needed = if next.members.len() > sample.members.len() { fair } else { 0 };
        prop_assert_eq!(moved(&before, &after), needed);
    }

    #[test]
    fn no_single_move_would_balance_uniform_better(sample in mixed()) {
        let targets = sample.assign(Assignor::Uniform, &[]);
        let loads = loads(&targets);
        for (from, target) in targets.iter().enumerate() {
            for topic in target.keys() {
                for (to, subscribed) in sample.members.iter().enumerate() {
                    prop_assert!(!subscribed.contains(topic) || loads[from] <= loads[to] + 1);
                }
            }
        }
    }

    #[test]
    fn range_splits_equal_topics_alike(members in 1..6_usize, count in 1..9_i32, joins: bool) {
        let all: BTreeSet<_> = [topic(0), topic(1)].into();
        let sample = Sample { counts: vec![count; 2], members: vec![all; members] };
        let targets = sample.assign(Assignor::Range, &[]);
        let (next, before) = changed(&sample, &targets, joins);
        for targets in [targets, next.assign(Assignor::Range, &before)] {
            for target in &targets {
                prop_assert_eq!(target.get(&topic(0)), target.get(&topic(1)));
                let load = target.get(&topic(0)).map_or(0, Vec::len);
                let fair = usize::try_from(count).unwrap_or(0) / targets.len();
                prop_assert!((fair..=fair + 1).contains(&load));
            }
        }
    }
}

/// Each takes some ten milliseconds without optimisation; an algorithm that looked at each topic for each move would
/// take minutes.
#[test]
fn large_groups_are_assigned_in_time() {
    let all = |topics: usize| (0..topics).map(topic).collect::<BTreeSet<_>>();
    let mixed =
        |member: usize| (0..10).filter(|number| !(member + number).is_multiple_of(3)).map(topic).collect();
    for (counts, members) in [
        (vec![1_000; 10], vec![all(10); 1_000]),
        (vec![1_000; 10], (0..1_000).map(mixed).collect()),
        (vec![1; 5_000], vec![all(5_000), all(4_999)]),
    ] {
        let sample = Sample { counts, members };
        for assignor in Assignor::ALL {
            let targets = sample.assign(assignor, &[]);
            let (next, before) = changed(&sample, &targets, true);
            next.check(&next.assign(assignor, &before));
        }
    }
}
