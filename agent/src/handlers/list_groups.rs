//! ListGroups, versions 0 to 5: the groups that this agent coordinates; tools ask all agents. From version 4 on those
//! in some states, from version 5 on those of some types.

use ebb_protocol::messages::{
    GroupId, ListGroupsRequest, ListGroupsResponse, StrBytes, list_groups_response::ListedGroup,
};

use super::describe_groups::Summary;
use super::{Call, groups::text};

/// The first versions that tell a group's state and its type.
const STATES: i16 = 4;
const TYPES: i16 = 5;

pub(super) async fn answer(call: Call, request: ListGroupsRequest) -> ListGroupsResponse {
    let groups = match call.handlers.groups.list().await {
        Ok(groups) => groups,
        Err(error) => return ListGroupsResponse::default().with_error_code(call.refuse_group(error)),
    };
    // No filter lets all pass, and Kafka compares without case.
    let passes = |filter: &[StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let listed = groups.iter().filter_map(|(id, description)| {
        let summary = Summary::of(description);
        if !passes(&request.states_filter, summary.state) || !passes(&request.types_filter, summary.kind) {
            return None;
        }
        let group = ListedGroup::default()
            .with_group_id(GroupId(text(id.as_str())))
            .with_protocol_type(text(summary.protocol_type));
        let group = if call.version >= STATES { group.with_group_state(text(summary.state)) } else { group };
        Some(if call.version >= TYPES { group.with_group_type(text(summary.kind)) } else { group })
    });
    ListGroupsResponse::default().with_groups(listed.collect())
}
