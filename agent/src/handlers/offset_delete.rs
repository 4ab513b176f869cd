//! OffsetDelete, version 0 (KIP-496): removes committed offsets, but for topics that a member subscribes to.

use ebb_coordinator::GroupError;
use ebb_protocol::{
    error::NO_ERROR,
    ids::{GroupId, PartitionIndex, TopicId},
    messages::{
        OffsetDeleteRequest, OffsetDeleteResponse,
        offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic},
    },
};

use super::{Call, errors::Failure, groups::group_id, topics::Named};

pub(super) async fn answer(call: Call, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let group = group_id(&request.group_id);
    match delete(&call, &group, &request).await {
        Ok(topics) => OffsetDeleteResponse::default().with_topics(topics),
        Err(error) => OffsetDeleteResponse::default().with_error_code(call.refuse_group(error)),
    }
}

async fn delete(
    call: &Call,
    group: &GroupId,
    request: &OffsetDeleteRequest,
) -> Result<Vec<OffsetDeleteResponseTopic>, GroupError> {
    let groups = &call.handlers.groups;
    groups.look_at_tail().await?;
    if !groups.is_known(group)? {
        return Err(GroupError::UnknownGroup);
    }
    let mut doomed = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let last = topic.partitions.iter().map(|partition| partition.partition_index).max();
        let target = match call.target(Named::Name(&topic.name), last).await {
            Ok(_) if groups.subscribes(group, &topic.name)? => Err(GroupError::SubscribedToTopic.into()),
            target => target.map(|target| target.id),
        };
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let planned = plan(call, &target, index).map(|partition| doomed.push(partition));
            let code = planned.map_or_else(|failure| call.refuse(&failure), |()| NO_ERROR);
            OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(code)
        });
        let partitions = partitions.collect();
        topics.push(
            OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions),
        );
    }
    if !doomed.is_empty() {
        groups.delete_offsets(group, doomed).await?;
    }
    Ok(topics)
}

fn plan(
    call: &Call,
    topic: &Result<TopicId, Failure>,
    partition: i32,
) -> Result<(TopicId, PartitionIndex), Failure> {
    let topic = *topic.as_ref().map_err(Clone::clone)?;
    if !call.has_partition(topic, partition) {
        return Err(Failure::unknown_partition());
    }
    Ok((topic, PartitionIndex(partition)))
}
