//! DescribeGroups, versions 0 to 6: groups of the classic protocol with their members. Asked by tools.
//!
//! A group that does not exist or is one of KIP-848 is Dead; from version 6 on it is GROUP_ID_NOT_FOUND. A group that
//! only has offsets is Empty. Authorized operations are not told.

use ebb_coordinator::{
    Description, GroupError,
    classic::{ClassicDescription, ClassicMemberDescription, ClassicState},
};
use ebb_protocol::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    describe_groups_response::{DescribedGroup, DescribedGroupMember},
};

use super::{
    Call,
    consumer_group_describe::state_name,
    errors::Failure,
    groups::{group_id, text},
};

/// The first version in which a group may be missing.
const MISSING: i16 = 6;

/// What ListGroups tells of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary<'a> {
    /// Kafka's name of its state.
    pub(super) state: &'static str,
    /// `classic` or `consumer`.
    pub(super) kind: &'static str,
    /// What its members say that they are; empty without members.
    pub(super) protocol_type: &'a str,
}

impl<'a> Summary<'a> {
    pub(super) fn of(description: &'a Description) -> Self {
        match description {
            Description::Simple => Self { state: "Empty", kind: "classic", protocol_type: "" },
            Description::Classic(found) => Self {
                state: classic_state_name(found.state),
                kind: "classic",
                protocol_type: &found.protocol_type,
            },
            Description::Consumer(found) => {
                Self { state: state_name(found.state), kind: "consumer", protocol_type: "consumer" }
            }
        }
    }
}

pub(super) async fn answer(call: Call, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        let found = call.handlers.groups.describe(&group_id(&group)).await;
        groups.push(describe(&call, group, found));
    }
    DescribeGroupsResponse::default().with_groups(groups)
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

/// Kafka's name of a state.
fn classic_state_name(state: ClassicState) -> &'static str {
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
