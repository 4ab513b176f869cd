//! Heartbeat, versions 0 to 4: a member of the classic protocol is alive, and learns whether it must join again.

use ebb_coordinator::{ClassicHeartbeat, Event, GroupError, Reply};
use ebb_protocol::{
    error::NO_ERROR,
    ids::MemberId,
    messages::{HeartbeatRequest, HeartbeatResponse},
};

use super::{
    Call,
    groups::{named_group, optional},
};

pub(super) async fn answer(call: Call, request: HeartbeatRequest) -> HeartbeatResponse {
    let code = beat(&call, request).await.map_or_else(|error| call.refuse_group(error), |()| NO_ERROR);
    HeartbeatResponse::default().with_error_code(code)
}

async fn beat(call: &Call, request: HeartbeatRequest) -> Result<(), GroupError> {
    let group = named_group(&request.group_id)?;
    let said = ClassicHeartbeat {
        member: MemberId::from(&*request.member_id),
        instance: optional(request.group_instance_id.as_ref()),
        generation: request.generation_id,
    };
    match call.handlers.groups.handle(&group, |ticket| Event::Heartbeat(ticket, said)).await? {
        Reply::Heartbeat(answer) => answer,
        _ => Err(GroupError::NotCoordinator),
    }
}
