//! How large members and groups may be, so that the metastore takes every update: what does not fit is refused when
//! it comes, and never found out when it is recorded. Counts a little more than the encoding takes.

use ebb_metastore::{
    command::{ConsumerMember, Partitions},
    limits::{GROUP_BYTES_MAX, MEMBER_BYTES_MAX},
};
use ebb_protocol::ids::MemberId;

/// Bytes of all partitions that a group's members may own, as if one member owned them all: the last one left may.
pub(super) const PARTITIONS_BYTES_MAX: usize = MEMBER_BYTES_MAX / 4;

/// Bytes of what a member says of itself. The rest is for what it owns, and for what it is to own.
pub(super) const SAID_BYTES_MAX: usize = MEMBER_BYTES_MAX - 2 * PARTITIONS_BYTES_MAX;

/// Bytes of what all members say. Another quarter is for their partitions, and the rest for the group's offsets.
pub(super) const GROUP_SAID_BYTES_MAX: usize = GROUP_BYTES_MAX / 4;

/// What the length of a text or list takes.
const LENGTH_BYTES: usize = 3;

/// What a member's numbers take, and the lengths of its single texts.
const FIXED_BYTES: usize = 128;

/// What a topic takes besides its partitions, and what a partition takes.
const TOPIC_BYTES: usize = 17 + LENGTH_BYTES;
const PARTITION_BYTES: usize = 3;

// Were each partition with its topic twice in a group, by itself: owned and wanted.
const _: () = assert!(
    PARTITIONS_BYTES_MAX / PARTITION_BYTES * 2 * (TOPIC_BYTES + PARTITION_BYTES) <= GROUP_BYTES_MAX / 4,
    "the partitions of a group must fit, however they are spread"
);

/// Bytes of what a member says of itself: all of it but partitions.
pub(super) fn said_bytes(id: &MemberId, member: &ConsumerMember) -> usize {
    let single = [&member.instance, &member.rack, &member.regex, &member.assignor].into_iter().flatten();
    let single: usize = single.chain([&member.client_id, &member.client_host]).map(String::len).sum();
    let topics: usize = member.topics.iter().map(|name| name.len() + LENGTH_BYTES).sum();
    let protocols = member.classic.iter().flat_map(|classic| &classic.protocols);
    let protocols: usize =
        protocols.map(|(name, metadata)| name.len() + metadata.len() + 2 * LENGTH_BYTES).sum();
    FIXED_BYTES + id.as_str().len() + single + topics + protocols
}

/// Bytes of so many partitions of one topic.
pub(super) fn topic_bytes(partitions: usize) -> usize {
    TOPIC_BYTES + PARTITION_BYTES * partitions
}

/// Bytes of partitions.
pub(super) fn partitions_bytes(partitions: &Partitions) -> usize {
    partitions.values().map(|indexes| topic_bytes(indexes.len())).sum()
}
