//! DescribeUserScramCredentials, version 0 (KIP-554). Kafka's own tool asks for it when it describes users.
//!
//! Deviation: there are no users yet, so each that is named is RESOURCE_NOT_FOUND.

use ebb_protocol::{
    error::ResponseError,
    messages::{
        DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
        describe_user_scram_credentials_response::DescribeUserScramCredentialsResult,
    },
};

use super::{Call, errors::Failure};

pub(super) async fn answer(
    call: Call,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let results = request.users.unwrap_or_default().into_iter().map(|user| {
        let failure = Failure::new(ResponseError::ResourceNotFound, "the user has no SCRAM credentials");
        DescribeUserScramCredentialsResult::default()
            .with_user(user.name)
            .with_error_code(call.refuse(&failure))
            .with_error_message(Some(failure.text()))
    });
    DescribeUserScramCredentialsResponse::default().with_results(results.collect())
}
