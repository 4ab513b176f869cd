//! DescribeGroups, versions 0 to 6: groups of the classic protocol with their members. Asked by tools.
//!
//! A group that does not exist or is one of KIP-848 is Dead; from version 6 on it is GROUP_ID_NOT_FOUND. A group that
//! only has offsets is Empty. One that is named twice is answered once. Authorized operations are not told.

use ebb_coordinator::{
    Description, GroupError,
    classic::{ClassicDescription, ClassicMemberDescription, ClassicState},
};
use ebb_protocol::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    describe_groups_response::{DescribedGroup, DescribedGroupMember},
};
use tokio::task::coop::consume_budget;

use super::{
    Call,
    errors::Failure,
    groups::{Room, each_once, group_id, text},
};

/// The first version in which a group may be missing.
const MISSING: i16 = 6;

pub(super) async fn answer(call: Call, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let groups = &call.handlers.groups;
    let looked = groups.look_at_tail().await;
    let mut room = Room::new();
    let mut described = Vec::with_capacity(request.groups.len());
    for group in each_once(request.groups, |group| group) {
        consume_budget().await;
        let found = looked.clone().and_then(|()| room.take(0));
        let found = found.and_then(|()| groups.describe(&group_id(&group)));
        let found = found.and_then(|found| match &found {
            Some(Description::Classic(classic)) => room.take(bytes(classic)).map(|()| found),
            _ => Ok(found),
        });
        described.push(describe(&call, group, found));
    }
    DescribeGroupsResponse::default().with_groups(described)
}

fn describe(call: &Call, group: GroupId, found: Result<Option<Description>, GroupError>) -> DescribedGroup {
    let described = DescribedGroup::default().with_group_id(group);
    match found {
        Ok(Some(Description::Simple)) => described.with_group_state(text("Empty")),
        Ok(Some(Description::Classic(found))) => describe_classic(described, found),
        Ok(Some(Description::Consumer(_)) | None) | Err(GroupError::UnknownGroup)
            if call.version < MISSING =>
        {
            described.with_group_state(text("Dead"))
        }
        Ok(Some(Description::Consumer(_)) | None) => refuse(call, described, GroupError::UnknownGroup),
        Err(error) => refuse(call, described, error),
    }
}

fn describe_classic(described: DescribedGroup, found: ClassicDescription) -> DescribedGroup {
    described
        .with_group_state(text(classic_state_name(found.state)))
        .with_protocol_type(text(&found.protocol_type))
        .with_protocol_data(text(&found.protocol))
        .with_members(found.members.into_iter().map(describe_member).collect())
}

fn describe_member(member: ClassicMemberDescription) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(text(member.member.as_str()))
        .with_group_instance_id(member.instance.as_deref().map(text))
        .with_client_id(text(&member.client_id))
        .with_client_host(text(&member.client_host))
        .with_member_metadata(member.metadata.into())
        .with_member_assignment(member.assignment.into())
}

/// Bytes of a group in the answer, about.
fn bytes(group: &ClassicDescription) -> usize {
    let member = |member: &ClassicMemberDescription| {
        let names = [member.member.as_str(), &member.client_id, &member.client_host];
        let names: usize = names.iter().map(|name| name.len()).sum();
        names + member.metadata.len() + member.assignment.len()
    };
    group.members.iter().map(member).sum()
}

/// Kafka's name of a state.
pub(super) fn classic_state_name(state: ClassicState) -> &'static str {
    match state {
        ClassicState::Empty => "Empty",
        ClassicState::PreparingRebalance => "PreparingRebalance",
        ClassicState::CompletingRebalance => "CompletingRebalance",
        ClassicState::Stable => "Stable",
        ClassicState::Dead => "Dead",
    }
}

fn refuse(call: &Call, described: DescribedGroup, error: GroupError) -> DescribedGroup {
    let failure = Failure::from(error);
    let described = described.with_error_code(call.refuse(&failure));
    if call.version < MISSING {
        return described;
    }
    described.with_group_state(text("Dead")).with_error_message(Some(failure.text()))
}
