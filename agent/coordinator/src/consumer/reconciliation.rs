//! One step of a member from what it owns to what it is to own (KIP-848, Kafka's CurrentAssignmentBuilder): first it
//! gives up what others wait for and keeps its epoch; when it has confirmed that, it advances to the group's epoch
//! and gets those of its partitions that nobody holds any more. Knows one member, and of others only who owns what.

use ebb_metastore::command::{ConsumerMember, Partitions};
use ebb_protocol::{
    ids::TopicPartition,
    planted::{Bug, is_planted},
};

use super::partitions::{PartitionSet, each, from_set, to_set};

/// The member after one step towards its target, which is that of `epoch`.
///
/// `owned` is what the member says that it owns, if it says so; `is_free` tells whether no other member owns a
/// partition or still has to give it up.
pub(super) fn step(
    member: &ConsumerMember,
    epoch: i32,
    owned: Option<&Partitions>,
    is_free: impl Fn(&TopicPartition) -> bool,
) -> ConsumerMember {
    if !member.revoking.is_empty() && may_own_any(owned, &to_set(&member.revoking)) {
        return member.clone();
    }
    let (assigned, target) = (to_set(&member.assigned), to_set(&member.target));
    let mut kept: PartitionSet = &assigned & &target;
    let given_up = &assigned - &target;
    let mut next = member.clone();
    if !given_up.is_empty() && may_own_any(owned, &given_up) {
        next.assigned = from_set(&kept);
        next.revoking = from_set(&given_up);
        return next;
    }
    let is_free = |partition: &TopicPartition| is_free(partition) || is_planted(Bug::HandedOverTooSoon);
    kept.extend(target.difference(&assigned).filter(|partition| is_free(partition)));
    next.assigned = from_set(&kept);
    next.revoking.clear();
    if next.epoch != epoch {
        next.previous_epoch = next.epoch;
        next.epoch = epoch;
    }
    next
}

/// True when the member is where the group wants it.
pub(super) fn is_done(member: &ConsumerMember, epoch: i32) -> bool {
    member.epoch == epoch && member.revoking.is_empty() && member.assigned == member.target
}

/// True unless the member says that it owns none of the partitions.
fn may_own_any(owned: Option<&Partitions>, partitions: &PartitionSet) -> bool {
    owned.is_none_or(|owned| each(owned).any(|partition| partitions.contains(&partition)))
}

#[cfg(test)]
mod tests {
    use ebb_protocol::ids::{PartitionIndex, TopicId};
    use uuid::Uuid;

    use super::*;

    fn list(indexes: &[i32]) -> Partitions {
        let indexes: Vec<_> = indexes.iter().map(|&index| PartitionIndex(index)).collect();
        if indexes.is_empty() { Partitions::new() } else { [(TopicId(Uuid::nil()), indexes)].into() }
    }

    fn member(epoch: i32, assigned: &[i32], revoking: &[i32], target: &[i32]) -> ConsumerMember {
        ConsumerMember {
            epoch,
            assigned: list(assigned),
            revoking: list(revoking),
            target: list(target),
            ..ConsumerMember::default()
        }
    }

    /// The step to epoch 9 while partitions from 10 on belong to others.
    fn check(from: &ConsumerMember, owned: Option<&[i32]>, to: &ConsumerMember) {
        let owned = owned.map(list);
        let mut next = step(from, 9, owned.as_ref(), |partition| partition.partition.0 < 10);
        assert_eq!(next.previous_epoch, if next.epoch == from.epoch { 0 } else { from.epoch });
        next.previous_epoch = 0;
        assert_eq!(&next, to, "from {from:?} with {owned:?}");
    }

    #[test]
    fn a_member_advances_when_it_has_nothing_to_give_up() {
        check(&member(5, &[1], &[], &[1, 2]), None, &member(9, &[1, 2], &[], &[1, 2]));
        check(&member(9, &[1], &[], &[1]), None, &member(9, &[1], &[], &[1]));
        check(&member(0, &[], &[], &[]), Some(&[]), &member(9, &[], &[], &[]));
    }

    #[test]
    fn a_member_gives_up_first() {
        let revoking = member(5, &[1], &[2], &[1, 3]);
        check(&member(5, &[1, 2], &[], &[1, 3]), None, &revoking);
        check(&member(5, &[1, 2], &[], &[1, 3]), Some(&[1, 2]), &revoking);
        check(&revoking, None, &revoking);
        check(&revoking, Some(&[1, 2]), &revoking);
        check(&revoking, Some(&[1]), &member(9, &[1, 3], &[], &[1, 3]));
    }

    #[test]
    fn what_a_member_does_not_own_need_not_be_given_up() {
        check(&member(5, &[1, 2], &[], &[1]), Some(&[1]), &member(9, &[1], &[], &[1]));
    }

    #[test]
    fn a_new_target_may_ask_for_more_to_be_given_up() {
        check(&member(5, &[1, 3], &[2], &[1]), Some(&[1, 3]), &member(5, &[1], &[3], &[1]));
        // What was to be given up is wanted again, and still the member's.
        check(&member(5, &[1], &[2], &[1, 2]), Some(&[1]), &member(9, &[1, 2], &[], &[1, 2]));
    }

    #[test]
    fn what_others_own_is_waited_for_at_the_new_epoch() {
        check(&member(5, &[1], &[], &[1, 2, 11]), None, &member(9, &[1, 2], &[], &[1, 2, 11]));
        check(&member(9, &[1, 2], &[], &[1, 2, 11]), None, &member(9, &[1, 2], &[], &[1, 2, 11]));
    }
}
