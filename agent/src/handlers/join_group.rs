//! JoinGroup, versions 0 to 9: a member of the classic protocol joins, and learns its generation; the leader learns of
//! all members. Waits until the members that are there have joined, or their rebalance time-outs have passed.

use ebb_coordinator::{Event, GroupError, JoinAnswer, JoinRequest, Reply};
use ebb_protocol::messages::{
    JoinGroupRequest, JoinGroupResponse, StrBytes, join_group_response::JoinGroupResponseMember,
};

use super::{
    Call,
    groups::{member_id, named_group, optional, text},
};

/// From these versions on: the rebalance time-out is told, members without an id must come again with one (KIP-394),
/// the protocol type is told and the protocol may be null, the leader may be told to skip the assignment (KIP-814).
const REBALANCE_TIMEOUTS: i16 = 1;
const KNOWN_MEMBERS: i16 = 4;
const PROTOCOL_TYPES: i16 = 7;
const SKIPPED_ASSIGNMENTS: i16 = 9;

pub(super) async fn answer(call: Call, request: JoinGroupRequest) -> JoinGroupResponse {
    let member = request.member_id.to_string();
    match join(&call, request).await {
        Ok(answer) => joined(call.version, answer),
        Err(error) => {
            let member = match &error {
                GroupError::MemberIdRequired(fresh) => text(fresh.as_str()),
                _ => text(member),
            };
            JoinGroupResponse::default()
                .with_error_code(call.refuse_group(error))
                .with_generation_id(-1)
                .with_member_id(member)
                .with_protocol_name(no_protocol(call.version))
        }
    }
}

async fn join(call: &Call, request: JoinGroupRequest) -> Result<JoinAnswer, GroupError> {
    let group = named_group(&request.group_id)?;
    let said = copied(call, request);
    let bytes = said.protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum();
    call.wait_without_frame(bytes);
    match call.handlers.groups.handle(&group, |ticket| Event::Join(ticket, said)).await? {
        Reply::Join(answer) => answer,
        _ => Err(GroupError::NotCoordinator),
    }
}

/// The request without its frame.
fn copied(call: &Call, request: JoinGroupRequest) -> JoinRequest {
    let has_rebalance_timeout = call.version >= REBALANCE_TIMEOUTS;
    let protocols = request.protocols.into_iter();
    JoinRequest {
        member: member_id(&request.member_id),
        fresh_member: call.handlers.groups.fresh_member(fresh_prefix(call, &request.group_instance_id)),
        requires_known_member: call.version >= KNOWN_MEMBERS && request.group_instance_id.is_none(),
        supports_skipping_assignment: call.version >= SKIPPED_ASSIGNMENTS,
        instance: optional(request.group_instance_id.as_ref()),
        client: call.client(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: match has_rebalance_timeout {
            true => request.rebalance_timeout_ms,
            false => request.session_timeout_ms,
        },
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols
            .map(|protocol| (protocol.name.to_string(), protocol.metadata.to_vec()))
            .collect(),
    }
}

/// A static member is known by its instance id, another one by its client's name (as in Kafka).
fn fresh_prefix<'a>(call: &'a Call, instance: &'a Option<StrBytes>) -> &'a str {
    instance.as_deref().unwrap_or(&call.client_id)
}

fn joined(version: i16, answer: JoinAnswer) -> JoinGroupResponse {
    let members = answer.members.into_iter().map(|member| {
        let joined = JoinGroupResponseMember::default()
            .with_member_id(text(member.member))
            .with_metadata(member.metadata.into());
        if version >= 5 { joined.with_group_instance_id(member.instance.map(text)) } else { joined }
    });
    let has_type = version >= PROTOCOL_TYPES;
    JoinGroupResponse::default()
        .with_generation_id(answer.generation)
        .with_protocol_type(has_type.then(|| text(answer.protocol_type)))
        .with_protocol_name(Some(text(answer.protocol)))
        .with_leader(text(answer.leader))
        .with_skip_assignment(version >= SKIPPED_ASSIGNMENTS && answer.skip_assignment)
        .with_member_id(text(answer.member))
        .with_members(members.collect())
}

/// Before version 7 the protocol's name cannot be null.
fn no_protocol(version: i16) -> Option<StrBytes> {
    (version < PROTOCOL_TYPES).then(StrBytes::default)
}
