//! DeleteGroups, versions 0 to 2: groups without members, with their offsets.

use ebb_protocol::{
    error::NO_ERROR,
    messages::{DeleteGroupsRequest, DeleteGroupsResponse, delete_groups_response::DeletableGroupResult},
};

use super::{Call, groups::group_id};

pub(super) async fn answer(call: Call, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group in request.groups_names {
        let deleted = call.handlers.groups.delete(&group_id(&group)).await;
        let code = deleted.map_or_else(|error| call.refuse_group(error), |()| NO_ERROR);
        results.push(DeletableGroupResult::default().with_group_id(group).with_error_code(code));
    }
    DeleteGroupsResponse::default().with_results(results)
}
