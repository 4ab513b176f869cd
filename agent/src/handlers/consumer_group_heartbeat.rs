//! ConsumerGroupHeartbeat, versions 0 and 1: members of KIP-848 join, stay, acknowledge what they were assigned, and
//! leave. Asked by librdkafka from 2.12 on, by the JVM client from 4.0 on, and by the Rust SDK.
//!
//! Deviation: while partitions may be on their way from one member to another, members are told to come again after
//! 500 ms instead of 5 s, so that a member that waits for partitions gets them soon after they were given up.

use ebb_coordinator::{ConsumerHeartbeat, Event, GroupError, HeartbeatAnswer, Reply};
use ebb_protocol::{
    ids::{PartitionIndex, TopicId},
    messages::{
        ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
        consumer_group_heartbeat_response::{Assignment, TopicPartitions},
    },
};

use super::{
    Call,
    errors::Failure,
    groups::{indices, member_id, named_group, optional, partitions, text},
};

/// Members make their ids themselves from this version on.
const OWN_MEMBER_IDS: i16 = 1;

pub(super) async fn answer(
    call: Call,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let answer = match beat(&call, request).await {
        Ok(answer) => answer,
        Err(error) => {
            let failure = Failure::from(error);
            return ConsumerGroupHeartbeatResponse::default()
                .with_error_code(call.refuse(&failure))
                .with_error_message(Some(failure.text()));
        }
    };
    let topic = |(topic, partitions): (TopicId, Vec<PartitionIndex>)| {
        TopicPartitions::default().with_topic_id(topic.0).with_partitions(indices(&partitions))
    };
    let assignment = answer.assignment.map(|assigned| {
        Assignment::default().with_topic_partitions(assigned.into_iter().map(topic).collect())
    });
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(answer.member)))
        .with_member_epoch(answer.epoch)
        .with_heartbeat_interval_ms(answer.interval_ms)
        .with_assignment(assignment)
}

async fn beat(call: &Call, request: ConsumerGroupHeartbeatRequest) -> Result<HeartbeatAnswer, GroupError> {
    let group = named_group(&request.group_id)?;
    let member = member_id(&request.member_id);
    if member.is_none() && (call.version >= OWN_MEMBER_IDS || request.member_epoch != 0) {
        return Err(GroupError::InvalidRequest("the member id is empty"));
    }
    let owned = request
        .topic_partitions
        .map(|owned| partitions(owned.iter().map(|topic| (topic.topic_id, topic.partitions.as_slice()))));
    let topics = request.subscribed_topic_names;
    let said = ConsumerHeartbeat {
        member,
        fresh_member: call.handlers.groups.fresh_member(&call.client_id),
        epoch: request.member_epoch,
        instance: optional(request.instance_id.as_ref()),
        rack: optional(request.rack_id.as_ref()),
        client: call.client(),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        topics: topics.map(|topics| topics.iter().map(|topic| topic.0.to_string()).collect()),
        regex: optional(request.subscribed_topic_regex.as_ref()),
        assignor: optional(request.server_assignor.as_ref()),
        owned,
    };
    match call.handlers.groups.handle(&group, |ticket| Event::ConsumerHeartbeat(ticket, said)).await? {
        Reply::ConsumerHeartbeat(answer) => answer,
        _ => Err(GroupError::NotCoordinator),
    }
}
