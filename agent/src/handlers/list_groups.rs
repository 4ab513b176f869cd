//! ListGroups, versions 0 to 5: the groups that this agent coordinates; tools ask all agents. From version 4 on those
//! in some states, from version 5 on those of some types.

use std::collections::BTreeSet;

use ebb_coordinator::{GroupState, Summary};
use ebb_protocol::messages::{
    GroupId, ListGroupsRequest, ListGroupsResponse, StrBytes, list_groups_response::ListedGroup,
};

use super::{Call, consumer_group_describe::state_name, describe_groups::classic_state_name, groups::text};

/// The first versions that tell a group's state and its type.
const STATES: i16 = 4;
const TYPES: i16 = 5;

pub(super) async fn answer(call: Call, request: ListGroupsRequest) -> ListGroupsResponse {
    let groups = &call.handlers.groups;
    if let Err(error) = groups.look_at_tail().await {
        return ListGroupsResponse::default().with_error_code(call.refuse_group(error));
    }
    let (states, types) = (Filter::new(&request.states_filter), Filter::new(&request.types_filter));
    let listed = groups.list().into_iter().filter_map(|(id, summary)| {
        let (state, kind) = names(&summary);
        if !states.passes(state) || !types.passes(kind) {
            return None;
        }
        let group = ListedGroup::default()
            .with_group_id(GroupId(text(id.as_str())))
            .with_protocol_type(text(summary.protocol_type));
        let group = if call.version >= STATES { group.with_group_state(text(state)) } else { group };
        Some(if call.version >= TYPES { group.with_group_type(text(kind)) } else { group })
    });
    ListGroupsResponse::default().with_groups(listed.collect())
}

/// Kafka's names of a group's state and type.
fn names(summary: &Summary) -> (&'static str, &'static str) {
    match summary.state {
        GroupState::Simple => ("Empty", "classic"),
        GroupState::Classic(state) => (classic_state_name(state), "classic"),
        GroupState::Consumer(state) => (state_name(state), "consumer"),
    }
}

/// The values that a request asks for. Kafka compares them without case.
struct Filter(BTreeSet<String>);

impl Filter {
    fn new(wanted: &[StrBytes]) -> Self {
        Self(wanted.iter().map(|value| value.to_ascii_lowercase()).collect())
    }

    /// No filter lets all pass.
    fn passes(&self, value: &str) -> bool {
        self.0.is_empty() || self.0.contains(&value.to_ascii_lowercase())
    }
}
