//! DeleteGroups, versions 0 to 2: groups without members, with their offsets. A group that is named twice is answered
//! once.

use ebb_protocol::{
    error::NO_ERROR,
    messages::{DeleteGroupsRequest, DeleteGroupsResponse, delete_groups_response::DeletableGroupResult},
};
use futures::{StreamExt, stream};

use super::{
    Call,
    groups::{each_once, group_id},
};

/// Groups that one request deletes at once, so that one append carries many.
const AT_ONCE_MAX: usize = 1_000;

pub(super) async fn answer(call: Call, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let groups = &call.handlers.groups;
    let looked = &groups.look_at_tail().await;
    let deleted = stream::iter(each_once(request.groups_names, |group| group)).map(async |group| {
        let id = group_id(&group);
        let deleted = match looked {
            Ok(()) => groups.delete(&id).await,
            Err(error) => Err(error.clone()),
        };
        (group, deleted)
    });
    let results = deleted.buffered(AT_ONCE_MAX).map(|(group, deleted)| {
        let code = deleted.map_or_else(|error| call.refuse_group(error), |()| NO_ERROR);
        DeletableGroupResult::default().with_group_id(group).with_error_code(code)
    });
    DeleteGroupsResponse::default().with_results(results.collect().await)
}
