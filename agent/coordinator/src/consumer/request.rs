//! What a ConsumerGroupHeartbeat must say by itself, before any group is looked at (Kafka's
//! `throwIfConsumerGroupHeartbeatRequestIsInvalid`).

use ebb_protocol::ids::MemberId;

use super::{LEAVE, LEAVE_FOR_A_WHILE, assignor::Assignor};
use crate::{ConsumerHeartbeat, GroupError, event::ID_BYTES_MAX};

/// The most that the names of subscribed topics may have together, in bytes: they are kept with every group, and a
/// member that is too large for the metastore would cost the whole group its updates.
const TOPICS_BYTES_MAX: usize = 256 << 10;

/// Checks a request that is to be answered by a consumer group.
///
/// # Errors
/// [`GroupError::InvalidRequest`] with the reason, and [`GroupError::UnsupportedAssignor`].
pub(crate) fn check(request: &ConsumerHeartbeat) -> Result<(), GroupError> {
    let is_empty = |text: &Option<String>| text.as_deref() == Some("");
    let refuse = |reason| Err(GroupError::InvalidRequest(reason));
    let id_bytes = request.member.as_ref().map_or(0, |member| member.as_str().len());
    let instance_bytes = request.instance.as_ref().map_or(0, String::len);
    if id_bytes.max(instance_bytes) > ID_BYTES_MAX {
        return refuse("MemberId and InstanceId must not be that long.");
    }
    if request.rack.as_ref().is_some_and(|rack| rack.len() > ID_BYTES_MAX) {
        return refuse("RackId must not be that long.");
    }
    if request.topics.iter().flatten().map(String::len).sum::<usize>() > TOPICS_BYTES_MAX {
        return refuse("SubscribedTopicNames must not be that many.");
    }
    if is_empty(&request.instance) {
        return refuse("InstanceId can't be empty.");
    }
    if is_empty(&request.rack) {
        return refuse("RackId can't be empty.");
    }
    match request.epoch {
        0 => check_join(request)?,
        _ if id_bytes == 0 => return refuse("MemberId can't be empty."),
        LEAVE => {}
        LEAVE_FOR_A_WHILE if request.instance.is_none() => return refuse("InstanceId can't be null."),
        LEAVE_FOR_A_WHILE => {}
        epoch if epoch < 0 => return refuse("MemberEpoch is invalid."),
        _ => {}
    }
    match &request.assignor {
        Some(name) if Assignor::by_name(name).is_none() => Err(GroupError::UnsupportedAssignor(name.clone())),
        _ => Ok(()),
    }
}

fn check_join(request: &ConsumerHeartbeat) -> Result<(), GroupError> {
    let refuse = |reason| Err(GroupError::InvalidRequest(reason));
    if request.rebalance_timeout_ms == -1 {
        return refuse("RebalanceTimeoutMs must be provided in first request.");
    }
    if !request.owned.as_ref().is_some_and(|owned| owned.values().all(Vec::is_empty)) {
        return refuse("TopicPartitions must be empty when (re-)joining.");
    }
    if request.topics.is_none() && request.regex.is_none() {
        return refuse(
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        );
    }
    Ok(())
}

/// The member's id: its own, or the fresh one when it has none.
pub(super) fn member_id(request: &ConsumerHeartbeat) -> MemberId {
    let own = request.member.as_ref().filter(|member| !member.as_str().is_empty());
    own.cloned().unwrap_or_else(|| MemberId::from(request.fresh_member.as_str()))
}

/// True when the request says everything, as a client does that does not know whether its last one came through.
pub(super) fn is_full(request: &ConsumerHeartbeat) -> bool {
    let subscribes = request.topics.is_some() || request.regex.is_some();
    request.epoch == 0 || (request.rebalance_timeout_ms != -1 && subscribes && request.owned.is_some())
}
