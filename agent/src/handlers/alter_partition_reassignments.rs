//! AlterPartitionReassignments, versions 0 and 1 (KIP-455). Tools ask for it to move partitions between brokers.
//!
//! Deviation: a partition lies on no broker. Its present assignment is accepted and every other one refused with
//! INVALID_REPLICA_ASSIGNMENT; nothing is ever under way, so there is nothing to cancel.

use ebb_protocol::{
    error::ResponseError,
    ids::PartitionIndex,
    messages::{
        AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, TopicName,
        alter_partition_reassignments_request::ReassignablePartition,
        alter_partition_reassignments_response::{ReassignablePartitionResponse, ReassignableTopicResponse},
    },
};

use super::{Call, errors::Failure, topics::Named};

pub(super) async fn answer(
    call: Call,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let (code, message) = call.outcome(&reassign(&call, &topic.name, partition).await);
            let response = ReassignablePartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
                .with_error_message(message);
            partitions.push(response);
        }
        topics.push(ReassignableTopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(request.allow_replication_factor_change)
        .with_responses(topics)
}

async fn reassign(call: &Call, name: &TopicName, wanted: &ReassignablePartition) -> Result<(), Failure> {
    let index = wanted.partition_index;
    let topic = call.partition(Named::Name(name), index).await?;
    let Some(replicas) = &wanted.replicas else {
        let message = "no reassignment is in progress, and none ever is";
        return Err(Failure::new(ResponseError::NoReassignmentInProgress, message));
    };
    let present = call.placement().leader(topic, PartitionIndex(index));
    if present.is_some_and(|leader| *replicas == [leader]) {
        return Ok(());
    }
    let message = "a partition lies on no broker: the bucket replicates it, and any agent takes it";
    Err(Failure::new(ResponseError::InvalidReplicaAssignment, message))
}
