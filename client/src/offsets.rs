//! What groups have committed: asking for it and changing it, for members and for administrators.

use ebb_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, StrBytes,
    TopicName,
    offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics},
};

use crate::{Error, ErrorCode, Offset, PartitionIndex, admin::GroupOffset, cluster::Cluster, rpc::Effect};

/// The first version of OffsetFetch with several groups.
const BATCHED_VERSION: i16 = 8;

/// Who commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committer {
    /// The member's id; empty for somebody who is no member.
    pub(crate) member: String,
    /// The member's epoch, or its generation in a classic group; -1 for somebody who is no member.
    pub(crate) epoch: i32,
}

impl Committer {
    /// Somebody who is no member, as administrators are.
    pub(crate) fn nobody() -> Self {
        Self { member: String::new(), epoch: -1 }
    }
}

/// The committed offsets of a group: of all partitions, or of these. Partitions without one are left out.
pub(crate) async fn committed(
    cluster: &Cluster,
    group: &str,
    partitions: Option<&[(String, PartitionIndex)]>,
) -> Result<Vec<GroupOffset>, Error> {
    let what = format!("offsets of group {group:?}");
    let build = |version| fetch_request(version, group, partitions);
    let read = |answer: OffsetFetchResponse| offsets(&answer, &what);
    cluster.call_coordinator(Effect::Reads, group, &what, build, read).await
}

fn fetch_request(
    version: i16,
    group: &str,
    partitions: Option<&[(String, PartitionIndex)]>,
) -> OffsetFetchRequest {
    let id = GroupId(StrBytes::from_string(group.to_owned()));
    let topics = partitions.map(by_topic);
    let name = |name: &str| TopicName(StrBytes::from_string(name.to_owned()));
    if version >= BATCHED_VERSION {
        let topic = |(topic, partitions): (&str, Vec<i32>)| {
            OffsetFetchRequestTopics::default().with_name(name(topic)).with_partition_indexes(partitions)
        };
        let wanted = OffsetFetchRequestGroup::default()
            .with_group_id(id)
            .with_member_epoch(-1)
            .with_topics(topics.map(|topics| topics.into_iter().map(topic).collect()));
        return OffsetFetchRequest::default().with_groups(vec![wanted]);
    }
    let topic = |(topic, partitions): (&str, Vec<i32>)| {
        OffsetFetchRequestTopic::default().with_name(name(topic)).with_partition_indexes(partitions)
    };
    OffsetFetchRequest::default()
        .with_group_id(id)
        .with_topics(topics.map(|topics| topics.into_iter().map(topic).collect()))
}

fn by_topic(partitions: &[(String, PartitionIndex)]) -> std::collections::BTreeMap<&str, Vec<i32>> {
    let mut topics = std::collections::BTreeMap::<&str, Vec<i32>>::new();
    for (topic, partition) in partitions {
        topics.entry(topic).or_default().push(partition.0);
    }
    topics
}

fn offsets(answer: &OffsetFetchResponse, what: &str) -> Result<Vec<GroupOffset>, Error> {
    let fail = |code: i16, what: &str| {
        ErrorCode::try_from_code(code).map_or(Ok(()), |code| Err(Error::from_code(code, what, None)))
    };
    fail(answer.error_code, what)?;
    let mut found = Vec::new();
    let mut add = |topic: &TopicName, index: i32, code: i16, offset: i64, metadata: Option<&StrBytes>| {
        fail(code, &format!("{what} for topic {:?} partition {index}", topic.as_str()))?;
        // A partition without an offset has a negative one.
        if offset >= 0 {
            found.push(GroupOffset {
                topic: topic.to_string(),
                partition: PartitionIndex(index),
                offset: Offset(offset),
                metadata: metadata.map(ToString::to_string).unwrap_or_default(),
            });
        }
        Ok::<(), Error>(())
    };
    for topic in &answer.topics {
        for p in &topic.partitions {
            add(&topic.name, p.partition_index, p.error_code, p.committed_offset, p.metadata.as_ref())?;
        }
    }
    for group in &answer.groups {
        fail(group.error_code, what)?;
        for topic in &group.topics {
            for p in &topic.partitions {
                add(&topic.name, p.partition_index, p.error_code, p.committed_offset, p.metadata.as_ref())?;
            }
        }
    }
    found.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(found)
}

/// Commits offsets. Doing it twice changes nothing, so it is tried again whatever became of the last attempt.
pub(crate) async fn commit(
    cluster: &Cluster,
    group: &str,
    committer: &Committer,
    offsets: &[(String, PartitionIndex, Offset)],
) -> Result<(), Error> {
    let what = format!("committing offsets of group {group:?}");
    let build = |_| commit_request(group, committer, offsets);
    let read = |answer: OffsetCommitResponse| {
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let Some(code) = ErrorCode::try_from_code(partition.error_code) else { continue };
                let (topic, index) = (topic.name.as_str(), partition.partition_index);
                let what = format!("{what} for topic {topic:?} partition {index}");
                return Err(Error::from_code(code, &what, None));
            }
        }
        Ok(())
    };
    cluster.call_coordinator(Effect::Reads, group, &what, build, read).await
}

fn commit_request(
    group: &str,
    committer: &Committer,
    offsets: &[(String, PartitionIndex, Offset)],
) -> OffsetCommitRequest {
    let mut topics = std::collections::BTreeMap::<&str, Vec<OffsetCommitRequestPartition>>::new();
    for (topic, partition, offset) in offsets {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(partition.0)
            .with_committed_offset(offset.0)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(StrBytes::default()));
        topics.entry(topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&str, _)| {
        OffsetCommitRequestTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_partitions(partitions)
    };
    OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_member_id(StrBytes::from_string(committer.member.clone()))
        .with_generation_id_or_member_epoch(committer.epoch)
        .with_retention_time_ms(-1)
        .with_topics(topics.into_iter().map(topic).collect())
}
