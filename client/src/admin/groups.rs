//! Groups: listing, describing and deleting them, and reading and changing what they have committed.

use bytes::Buf;
use ebb_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    DescribeGroupsRequest, DescribeGroupsResponse, GroupId, ListGroupsRequest, ListGroupsResponse,
    OffsetDeleteRequest, OffsetDeleteResponse, StrBytes, TopicName,
    consumer_group_describe_response::Member,
    describe_groups_response::DescribedGroupMember,
    offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
};

use super::{Admin, GroupDescription, GroupMember, GroupOffset, GroupProtocol, ListedGroup, check, left_out};
use crate::{
    Error, ErrorCode, Offset, PartitionIndex,
    offsets::{self, Committer},
    rpc::Effect,
};

impl Admin {
    /// All groups, sorted by id. Every agent is asked for those that it coordinates.
    ///
    /// # Errors
    /// What a request can fail with; the whole call fails when an agent cannot be asked.
    pub async fn list_groups(&self) -> Result<Vec<ListedGroup>, Error> {
        let what = "listing groups";
        let list = || async {
            let mut groups = Vec::new();
            for node in self.cluster.all_nodes().await? {
                let answer: ListGroupsResponse =
                    node.link().await?.call(what, |_| ListGroupsRequest::default()).await?;
                check(answer.error_code, what, None)?;
                groups.extend(answer.groups.iter().map(listed));
            }
            // A group that moved meanwhile may have been listed twice.
            groups.sort();
            groups.dedup_by(|a, b| a.id == b.id);
            Ok(groups)
        };
        self.cluster.retry.run(Effect::Reads, list).await
    }

    /// A group and its members.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none of that name.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, Error> {
        match self.describe_consumer_group(group).await {
            // Classic groups have an answer of their own.
            Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => {
                self.describe_classic_group(group).await
            }
            described => described,
        }
    }

    async fn describe_consumer_group(&self, group: &str) -> Result<GroupDescription, Error> {
        let what = format!("group {group:?}");
        let build = |_| ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
        let read = |answer: ConsumerGroupDescribeResponse| {
            let found = answer.groups.first().ok_or_else(|| left_out(&what))?;
            check(found.error_code, &what, found.error_message.as_deref())?;
            let mut members: Vec<_> = found.members.iter().map(member).collect();
            members.sort_by(|a, b| a.id.cmp(&b.id));
            Ok(GroupDescription {
                id: group.to_owned(),
                protocol: GroupProtocol::Consumer,
                state: found.group_state.to_string(),
                assignor: found.assignor_name.to_string(),
                epoch: Some(found.group_epoch),
                members,
            })
        };
        self.cluster.call_coordinator(Effect::Reads, group, &what, build, read).await
    }

    async fn describe_classic_group(&self, group: &str) -> Result<GroupDescription, Error> {
        let what = format!("group {group:?}");
        let build = |_| DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
        let read = |answer: DescribeGroupsResponse| {
            let found = answer.groups.first().ok_or_else(|| left_out(&what))?;
            check(found.error_code, &what, found.error_message.as_deref())?;
            // Before version 6, this is how a group is told that does not exist.
            if &*found.group_state == "Dead" {
                return Err(Error::from_code(ErrorCode::GroupIdNotFound, &what, None));
            }
            let members = found.members.iter().map(classic_member).collect::<Option<Vec<_>>>();
            let mut members = members
                .ok_or_else(|| Error::Corrupt(format!("{what}: an assignment is malformed").into()))?;
            members.sort_by(|a, b| a.id.cmp(&b.id));
            Ok(GroupDescription {
                id: group.to_owned(),
                protocol: GroupProtocol::Classic,
                state: found.group_state.to_string(),
                assignor: found.protocol_data.to_string(),
                epoch: None,
                members,
            })
        };
        self.cluster.call_coordinator(Effect::Reads, group, &what, build, read).await
    }

    /// Deletes a group with its offsets.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none of that name, [`Error::Rejected`] when it has members.
    pub async fn delete_group(&self, group: &str) -> Result<(), Error> {
        let what = format!("deleting group {group:?}");
        let build = |_| DeleteGroupsRequest::default().with_groups_names(vec![group_id(group)]);
        let read = |answer: DeleteGroupsResponse| {
            let result = answer.results.first().ok_or_else(|| left_out(&what))?;
            check(result.error_code, &what, None)
        };
        self.cluster.call_coordinator(Effect::Changes, group, &what, build, read).await
    }

    /// All offsets that a group has committed, sorted by topic and partition. A group that does not exist has none.
    ///
    /// # Errors
    /// What a request can fail with.
    pub async fn group_offsets(&self, group: &str) -> Result<Vec<GroupOffset>, Error> {
        offsets::committed(&self.cluster, group, None).await
    }

    /// Sets where a group goes on reading. The group must have no members; it is created when there is none.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the group has members, [`Error::NotFound`] for an unknown partition. When the error
    /// tells of one partition, the others may have been changed.
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &[(String, PartitionIndex, Offset)],
    ) -> Result<(), Error> {
        offsets::commit(&self.cluster, group, &Committer::nobody(), offsets).await
    }

    /// Forgets what a group has committed for partitions of a topic. Its members must not read that topic.
    ///
    /// # Errors
    /// [`Error::Rejected`] when members subscribe to the topic, [`Error::NotFound`] when there is no such group.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        topic: &str,
        partitions: &[PartitionIndex],
    ) -> Result<(), Error> {
        let what = format!("deleting offsets of group {group:?} for topic {topic:?}");
        let build = |_| {
            let partition = |index: &PartitionIndex| {
                OffsetDeleteRequestPartition::default().with_partition_index(index.0)
            };
            let topic = OffsetDeleteRequestTopic::default()
                .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
                .with_partitions(partitions.iter().map(partition).collect());
            OffsetDeleteRequest::default().with_group_id(group_id(group)).with_topics(vec![topic])
        };
        let read = |answer: OffsetDeleteResponse| {
            check(answer.error_code, &what, None)?;
            let mut results = answer.topics.iter().flat_map(|topic| &topic.partitions);
            results.try_for_each(|partition| {
                check(partition.error_code, &format!("{what} partition {}", partition.partition_index), None)
            })
        };
        self.cluster.call_coordinator(Effect::Changes, group, &what, build, read).await
    }
}

/// A group's id on the wire.
fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}

fn listed(group: &ebb_protocol::messages::list_groups_response::ListedGroup) -> ListedGroup {
    let protocol = match &*group.group_type.to_ascii_lowercase() {
        "classic" => Some(GroupProtocol::Classic),
        "consumer" => Some(GroupProtocol::Consumer),
        _ => None,
    };
    ListedGroup { id: group.group_id.to_string(), protocol, state: group.group_state.to_string() }
}

fn member(member: &Member) -> GroupMember {
    let topics = member.assignment.topic_partitions.iter();
    let mut assignment: Vec<_> = topics
        .flat_map(|topic| {
            let name = topic.topic_name.to_string();
            topic.partitions.iter().map(move |index| (name.clone(), PartitionIndex(*index)))
        })
        .collect();
    assignment.sort();
    GroupMember {
        id: member.member_id.to_string(),
        instance_id: member.instance_id.as_ref().map(ToString::to_string),
        rack: member.rack_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        assignment,
    }
}

/// `None` when the assignment is malformed.
fn classic_member(member: &DescribedGroupMember) -> Option<GroupMember> {
    Some(GroupMember {
        id: member.member_id.to_string(),
        instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
        rack: None,
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        assignment: classic_assignment(&member.member_assignment)?,
    })
}

/// Reads an assignment of Kafka's embedded consumer protocol: a version, topics with their partitions, and user data.
/// A member has none while its group rebalances. `None` when it is malformed.
fn classic_assignment(mut rest: &[u8]) -> Option<Vec<(String, PartitionIndex)>> {
    let mut assignment = Vec::new();
    if rest.is_empty() {
        return Some(assignment);
    }
    rest.try_get_i16().ok()?;
    // Counts that promise too much end at the first element that is not there.
    for _ in 0..rest.try_get_i32().ok()? {
        let len = usize::try_from(rest.try_get_i16().ok()?).ok()?;
        let (topic, after) = rest.split_at_checked(len)?;
        rest = after;
        let topic = String::from_utf8_lossy(topic).into_owned();
        for _ in 0..rest.try_get_i32().ok()? {
            assignment.push((topic.clone(), PartitionIndex(rest.try_get_i32().ok()?)));
        }
    }
    assignment.sort();
    Some(assignment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_of_classic_members_are_read() {
        let bytes = b"\x00\x01\x00\x00\x00\x02\x00\x01b\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x01\
                      \x00\x01a\x00\x00\x00\x01\x00\x00\x00\x00\xff\xff\xff\xff";
        let expect = [("a", 0), ("b", 1), ("b", 3)].map(|(t, p)| (t.to_owned(), PartitionIndex(p)));
        assert_eq!(classic_assignment(bytes).as_deref(), Some(&expect[..]));
        assert_eq!(classic_assignment(b""), Some(Vec::new()));
        for len in 1..bytes.len() - 4 {
            assert!(classic_assignment(&bytes[..len]).is_none(), "{len}");
        }
        let endless = classic_assignment(b"\x00\x01\x7f\xff\xff\xff\x00\x00\x7f\xff\xff\xff");
        assert!(endless.is_none(), "{endless:?}");
    }
}
