//! Sets of partitions, between the form in which they are recorded and the form in which they are computed with.

use std::collections::BTreeSet;

use ebb_metastore::command::Partitions;
use ebb_protocol::ids::TopicPartition;

/// A set to compute with.
pub(super) type PartitionSet = BTreeSet<TopicPartition>;

/// Partitions as a set.
pub(super) fn to_set(partitions: &Partitions) -> PartitionSet {
    each(partitions).collect()
}

/// All partitions, in order.
pub(super) fn each(partitions: &Partitions) -> impl Iterator<Item = TopicPartition> {
    partitions.iter().flat_map(|(&topic, indexes)| {
        indexes.iter().map(move |&partition| TopicPartition { topic, partition })
    })
}

/// A set as it is recorded: lists sorted, none of them empty.
pub(super) fn from_set(set: &PartitionSet) -> Partitions {
    let mut partitions = Partitions::new();
    for TopicPartition { topic, partition } in set {
        partitions.entry(*topic).or_default().push(*partition);
    }
    partitions
}
