//! Groups over sockets: coordinators, committed offsets, members of both protocols, tools, and the codes that clients
//! get for requests that do not hold.

mod classic;
#[path = "../common/mod.rs"]
mod common;
mod consumer;
mod death;
mod fencing;
mod offsets;
mod refusals;

use common::{Connection, topic_name};
use ebb_protocol::{
    ids::TopicId,
    messages::{
        FindCoordinatorRequest, FindCoordinatorResponse, GroupId, MetadataRequest, OffsetCommitRequest,
        OffsetFetchRequest, StrBytes,
        metadata_request::MetadataRequestTopic,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic},
    },
};

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

/// Asks who coordinates a group, until somebody does.
async fn coordinator(client: &mut Connection, name: &str) -> FindCoordinatorResponse {
    client.call(&FindCoordinatorRequest::default().with_key(text(name)), 3).await
}

/// A commit of these offsets of a topic, from outside the group.
fn commit(name: &str, topic: &str, offsets: &[(i32, i64)]) -> OffsetCommitRequest {
    let partition = |(index, offset): &(i32, i64)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(*index)
            .with_committed_offset(*offset)
            .with_committed_metadata(Some(text("said")))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(offsets.iter().map(partition).collect());
    OffsetCommitRequest::default()
        .with_group_id(group(name))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

/// The codes of a commit's partitions.
async fn committed(client: &mut Connection, request: &OffsetCommitRequest, version: i16) -> Vec<i16> {
    let response = client.call(request, version).await;
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

/// The offset that a group has committed for partition 0 of a topic, in the first and the last version.
async fn fetched(client: &mut Connection, name: &str, topic: &str) -> i64 {
    let wanted =
        OffsetFetchRequestTopic::default().with_name(topic_name(topic)).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default().with_group_id(group(name)).with_topics(Some(vec![wanted]));
    let old = client.call(&request, 1).await;
    let old = &old.topics[0].partitions[0];
    assert_eq!(old.error_code, 0);
    let all =
        OffsetFetchRequestGroup::default().with_group_id(group(name)).with_member_epoch(-1).with_topics(None);
    let new = client.call(&OffsetFetchRequest::default().with_groups(vec![all]), 9).await;
    assert_eq!(new.groups[0].error_code, 0);
    let there = new.groups[0].topics.iter().find(|there| &**there.name == topic);
    let partitions = there.iter().flat_map(|there| &there.partitions);
    let new =
        partitions.filter(|partition| partition.partition_index == 0).map(|found| found.committed_offset);
    let new = new.last().unwrap_or(-1);
    assert_eq!(old.committed_offset, new, "all versions tell the same");
    new
}

/// The id of a topic.
async fn topic_id(client: &mut Connection, topic: &str) -> TopicId {
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
    let response = client.call(&MetadataRequest::default().with_topics(Some(vec![topic])), 12).await;
    TopicId(response.topics[0].topic_id)
}
