//! SyncGroup, versions 0 to 5: the leader brings the assignments, every member gets its own. Waits for the leader.

use ebb_coordinator::{Event, GroupError, Reply, SyncAnswer, SyncRequest};
use ebb_protocol::{
    ids::MemberId,
    messages::{SyncGroupRequest, SyncGroupResponse},
};

use super::{
    Call,
    groups::{named_group, optional, text},
};

/// The first version that tells protocol type and protocol.
const PROTOCOLS: i16 = 5;

pub(super) async fn answer(call: Call, request: SyncGroupRequest) -> SyncGroupResponse {
    let answer = match sync(&call, request).await {
        Ok(answer) => answer,
        Err(error) => return SyncGroupResponse::default().with_error_code(call.refuse_group(error)),
    };
    let response = SyncGroupResponse::default().with_assignment(answer.assignment.into());
    if call.version < PROTOCOLS {
        return response;
    }
    response
        .with_protocol_type(Some(text(answer.protocol_type)))
        .with_protocol_name(Some(text(answer.protocol)))
}

async fn sync(call: &Call, request: SyncGroupRequest) -> Result<SyncAnswer, GroupError> {
    let group = named_group(&request.group_id)?;
    let said = copied(request);
    let bytes = said.assignments.iter().map(|(member, given)| member.as_str().len() + given.len()).sum();
    call.wait_without_frame(bytes);
    match call.handlers.groups.handle(&group, |ticket| Event::Sync(ticket, said)).await? {
        Reply::Sync(answer) => answer,
        _ => Err(GroupError::NotCoordinator),
    }
}

/// The request without its frame.
fn copied(request: SyncGroupRequest) -> SyncRequest {
    let assignments = request.assignments.into_iter();
    SyncRequest {
        member: MemberId::from(&*request.member_id),
        instance: optional(request.group_instance_id.as_ref()),
        generation: request.generation_id,
        protocol_type: optional(request.protocol_type.as_ref()),
        protocol: optional(request.protocol_name.as_ref()),
        assignments: assignments
            .map(|given| (MemberId::from(&*given.member_id), given.assignment.to_vec()))
            .collect(),
    }
}
