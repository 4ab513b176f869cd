//! The assignor `range`, as Kafka's: each topic is split evenly among its subscribers, who keep what they had of it
//! and get the rest in ranges. Topics that have equally many partitions and the same subscribers are split alike, so
//! that records with one key meet at one member (co-partitioning).

use std::collections::{BTreeMap, BTreeSet};

use ebb_metastore::command::Partitions;
use ebb_protocol::ids::{PartitionIndex, TopicId};

use super::Spec;

/// The members' new targets, in the order of the members.
pub(super) fn assign(spec: &Spec<'_>) -> Vec<Partitions> {
    let mut alike: BTreeMap<(i32, Vec<usize>), Vec<TopicId>> = BTreeMap::new();
    for &(topic, count) in &spec.topics {
        alike.entry((count, spec.subscribers(topic))).or_default().push(topic);
    }
    let mut targets = vec![Partitions::new(); spec.members.len()];
    for ((count, subscribers), topics) in alike {
        let assigned = |topic: TopicId| -> usize {
            subscribers.iter().map(|&member| spec.current(member, topic).len()).sum()
        };
        // The topic that has most to lose decides for those that are alike.
        let Some(basis) = topics.iter().copied().max_by_key(|&topic| assigned(topic)) else { continue };
        let before: Vec<_> = subscribers.iter().map(|&member| spec.current(member, basis)).collect();
        for (member, partitions) in subscribers.iter().zip(split(count, &before)) {
            if !partitions.is_empty() {
                let each = topics.iter().map(|&topic| (topic, partitions.clone()));
                targets[*member].extend(each);
            }
        }
    }
    targets
}

/// Splits `count` partitions evenly among members that have had some of them before.
fn split(count: i32, before: &[&[PartitionIndex]]) -> Vec<Vec<PartitionIndex>> {
    let total = usize::try_from(count).unwrap_or(0);
    let Some(least) = total.checked_div(before.len()) else { return Vec::new() };
    let mut extras = total % before.len();
    let mut free: BTreeSet<PartitionIndex> = (0..count).map(PartitionIndex).collect();
    let mut kept: Vec<Vec<PartitionIndex>> = Vec::with_capacity(before.len());
    for partitions in before {
        let mut valid: Vec<_> =
            partitions.iter().copied().filter(|partition| free.contains(partition)).collect();
        if valid.len() > least && extras > 0 {
            extras -= 1;
            valid.truncate(least + 1);
        } else {
            valid.truncate(least);
        }
        valid.iter().for_each(|partition| {
            free.remove(partition);
        });
        kept.push(valid);
    }
    for partitions in kept.iter_mut().filter(|partitions| partitions.len() <= least) {
        let quota = least + usize::from(extras > 0);
        extras = extras.saturating_sub(1);
        while partitions.len() < quota {
            partitions.push(free.pop_first().expect("the quotas add up to the partitions"));
        }
        partitions.sort_unstable();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_what_they_had_and_get_ranges() {
        let check = |count: i32, before: &[&[i32]], expected: &[&[i32]]| {
            let lists = |lists: &[&[i32]]| -> Vec<Vec<PartitionIndex>> {
                lists.iter().map(|list| list.iter().map(|&index| PartitionIndex(index)).collect()).collect()
            };
            let given = lists(before);
            let given: Vec<_> = given.iter().map(Vec::as_slice).collect();
            assert_eq!(split(count, &given), lists(expected), "{count} over {before:?}");
        };
        check(4, &[], &[]);
        check(4, &[&[], &[]], &[&[0, 1], &[2, 3]]);
        check(5, &[&[], &[]], &[&[0, 1, 2], &[3, 4]]);
        check(2, &[&[], &[], &[]], &[&[0], &[1], &[]]);
        check(4, &[&[0, 1, 2, 3], &[]], &[&[0, 1], &[2, 3]]);
        check(5, &[&[0, 1], &[2, 3, 4]], &[&[0, 1], &[2, 3, 4]]);
        check(6, &[&[0, 1, 2], &[3, 4, 5], &[]], &[&[0, 1], &[3, 4], &[2, 5]]);
        check(3, &[&[0, 1, 2, 3, 4], &[]], &[&[0, 1], &[2]]);
    }
}
