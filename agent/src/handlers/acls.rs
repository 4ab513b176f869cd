//! DescribeAcls, CreateAcls and DeleteAcls, versions 1 to 3: refused with SECURITY_DISABLED, as a Kafka broker without
//! an authorizer does. Tools ask to find out whether there are access rules.

use ebb_protocol::{
    error::ResponseError,
    messages::{
        CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
        DescribeAclsResponse, create_acls_response::AclCreationResult,
        delete_acls_response::DeleteAclsFilterResult,
    },
};

use super::{Call, errors::Failure};

pub(super) async fn describe(call: Call, _request: DescribeAclsRequest) -> DescribeAclsResponse {
    let failure = no_authorizer();
    DescribeAclsResponse::default()
        .with_error_code(call.refuse(&failure))
        .with_error_message(Some(failure.text()))
}

pub(super) async fn create(call: Call, request: CreateAclsRequest) -> CreateAclsResponse {
    let failure = no_authorizer();
    let results = request.creations.iter().map(|_| {
        AclCreationResult::default()
            .with_error_code(call.refuse(&failure))
            .with_error_message(Some(failure.text()))
    });
    CreateAclsResponse::default().with_results(results.collect())
}

pub(super) async fn delete(call: Call, request: DeleteAclsRequest) -> DeleteAclsResponse {
    let failure = no_authorizer();
    let results = request.filters.iter().map(|_| {
        DeleteAclsFilterResult::default()
            .with_error_code(call.refuse(&failure))
            .with_error_message(Some(failure.text()))
    });
    DeleteAclsResponse::default().with_filter_results(results.collect())
}

fn no_authorizer() -> Failure {
    Failure::new(ResponseError::SecurityDisabled, "there is no authorizer: every client may do everything")
}
