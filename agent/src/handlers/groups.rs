//! What the group APIs share: group ids and clients as the group service knows them, partitions of subscriptions on
//! the wire and back. Knows nothing of any one API.

use std::collections::BTreeSet;

use ebb_coordinator::{Client, GroupError};
use ebb_metastore::{command::Partitions, limits::MEMBER_BYTES_MAX};
use ebb_protocol::{
    ids::{GroupId, MemberId, PartitionIndex, TopicId},
    messages::{self, StrBytes},
};
use uuid::Uuid;

use super::{Call, errors::Failure};

impl Call {
    /// Where the request came from.
    pub(super) fn client(&self) -> Client {
        Client { id: self.client_id.to_string(), host: format!("/{}", self.peer) }
    }

    /// The request is about to wait for other members, and its frame, of which `bytes` were copied, is gone: others
    /// may use its share of the byte budget. Who brings much keeps it.
    pub(super) fn wait_without_frame(&self, bytes: usize) {
        if bytes <= MEMBER_BYTES_MAX {
            self.charge.release();
        }
    }

    /// The error code of a group's refusal, which is counted.
    pub(super) fn refuse_group(&self, error: GroupError) -> i16 {
        self.refuse(&Failure::from(error))
    }
}

/// Bytes that one answer about groups may hold, about. Who wants more asks for fewer groups at once.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What is left of an answer's room, so that a short request does not make a huge answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(Option<usize>);

impl Room {
    /// The room of a whole answer.
    pub(super) fn new() -> Self {
        Self(Some(ANSWER_BYTES_MAX))
    }

    /// Takes bytes for a part of the answer. Once there was no room for one part, there is none for others.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), GroupError> {
        self.0 = self.0.and_then(|left| left.checked_sub(bytes));
        let full = GroupError::InvalidRequest("the answer would be too long: ask for fewer groups at once");
        self.0.map(drop).ok_or(full)
    }
}

/// Each group once, in the order of the request: who names one twice gets one answer.
pub(super) fn each_once<T>(mut groups: Vec<T>, id: impl Fn(&T) -> &messages::GroupId) -> Vec<T> {
    let mut seen = BTreeSet::new();
    groups.retain(|group| seen.insert(id(group).clone()));
    groups
}

/// A group id that may be any text. Some APIs take an empty one, for simple consumers of old (as in Kafka).
pub(super) fn group_id(group: &messages::GroupId) -> GroupId {
    GroupId::from(&*group.0)
}

/// A group id where members come in, which must not be empty.
pub(super) fn named_group(group: &messages::GroupId) -> Result<GroupId, GroupError> {
    if group.is_empty() { Err(GroupError::InvalidGroupId) } else { Ok(group_id(group)) }
}

/// A member id; `None` for an empty one, by which a member asks for one.
pub(super) fn member_id(member: &StrBytes) -> Option<MemberId> {
    (!member.is_empty()).then(|| MemberId::from(&**member))
}

/// A text that may be null.
pub(super) fn optional(text: Option<&StrBytes>) -> Option<String> {
    text.map(|text| text.to_string())
}

/// Text for the wire.
pub(super) fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

/// Partitions by topic from their pairs on the wire, sorted and each once.
pub(super) fn partitions<'a>(topics: impl Iterator<Item = (Uuid, &'a [i32])>) -> Partitions {
    let mut partitions = Partitions::new();
    for (topic, indices) in topics.filter(|(_, indices)| !indices.is_empty()) {
        let there: &mut Vec<_> = partitions.entry(TopicId(topic)).or_default();
        there.extend(indices.iter().copied().map(PartitionIndex));
    }
    // Once at the end: a request may name one topic very often.
    for indices in partitions.values_mut() {
        indices.sort_unstable();
        indices.dedup();
    }
    partitions
}

/// The bare indices of partitions.
pub(super) fn indices(partitions: &[PartitionIndex]) -> Vec<i32> {
    partitions.iter().map(|partition| partition.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_sorted_and_no_topic_is_empty() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let wire: [(Uuid, &[i32]); 3] = [(a, &[3, 1]), (b, &[]), (a, &[1, 2])];
        let expect = [(TopicId(a), vec![PartitionIndex(1), PartitionIndex(2), PartitionIndex(3)])];
        assert_eq!(partitions(wire.into_iter()), Partitions::from(expect));
    }

    #[test]
    fn a_group_that_is_named_twice_is_answered_once() {
        let group = |name: &str| messages::GroupId(text(name));
        let asked = ["b", "a", "b", "c", "a"].map(group);
        assert_eq!(each_once(asked.to_vec(), |group| group), ["b", "a", "c"].map(group));
    }

    #[test]
    fn an_answer_that_is_full_takes_nothing_more() {
        let mut room = Room::new();
        assert_eq!(room.take(ANSWER_BYTES_MAX - 1), Ok(()));
        for bytes in [2, 1, 0] {
            assert!(matches!(room.take(bytes), Err(GroupError::InvalidRequest(_))), "{bytes}");
        }
    }

    #[test]
    fn members_need_a_named_group() {
        let group = |name: &str| messages::GroupId(text(name));
        assert_eq!(named_group(&group("g")), Ok("g".into()));
        assert_eq!(named_group(&group("")), Err(GroupError::InvalidGroupId));
        assert_eq!(group_id(&group("")), GroupId::from(""));
    }
}
