//! LeaveGroup, versions 0 to 5: members of the classic protocol leave; from version 3 on several at once, also by
//! their instance ids, so that a tool can remove them (KIP-345).

use ebb_coordinator::{Event, GroupError, LeaveAnswer, LeaveRequest, LeavingMember, Reply};
use ebb_protocol::{
    error::NO_ERROR,
    messages::{
        LeaveGroupRequest, LeaveGroupResponse, leave_group_request::MemberIdentity,
        leave_group_response::MemberResponse,
    },
};

use super::{
    Call,
    groups::{named_group, optional},
};

/// The first version with several members.
const BATCHED: i16 = 3;

pub(super) async fn answer(call: Call, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let members = match call.version >= BATCHED {
        true => request.members.clone(),
        false => vec![MemberIdentity::default().with_member_id(request.member_id.clone())],
    };
    let answer = match leave(&call, &request, &members).await {
        Ok(answer) => answer,
        Err(error) => return LeaveGroupResponse::default().with_error_code(call.refuse_group(error)),
    };
    let code =
        |result: Result<(), GroupError>| result.map_or_else(|error| call.refuse_group(error), |()| NO_ERROR);
    let codes = answer.members.into_iter().map(code);
    if call.version < BATCHED {
        let first = codes.into_iter().next().unwrap_or(NO_ERROR);
        return LeaveGroupResponse::default().with_error_code(first);
    }
    let members = members.into_iter().zip(codes).map(|(member, code)| {
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(code)
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

async fn leave(
    call: &Call,
    request: &LeaveGroupRequest,
    members: &[MemberIdentity],
) -> Result<LeaveAnswer, GroupError> {
    let group = named_group(&request.group_id)?;
    let leaving = members.iter().map(|member| LeavingMember {
        member: member.member_id.to_string(),
        instance: optional(member.group_instance_id.as_ref()),
    });
    let said = LeaveRequest { members: leaving.collect() };
    match call.handlers.groups.handle(&group, |ticket| Event::Leave(ticket, said)).await? {
        Reply::Leave(answer) => answer,
        _ => Err(GroupError::NotCoordinator),
    }
}
