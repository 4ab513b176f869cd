//! DescribeClientQuotas, versions 0 and 1 (KIP-546). Tools ask for it when they describe users and clients.
//!
//! Deviation: there are no quotas, so none is ever told. They cannot be altered either: AlterClientQuotas is not served.

use ebb_protocol::{
    error::ResponseError,
    messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse},
};

use super::{Call, errors::Failure};

/// An exact name, the default, or any name.
const MATCH_TYPES: std::ops::RangeInclusive<i8> = 0..=2;

pub(super) async fn answer(call: Call, request: DescribeClientQuotasRequest) -> DescribeClientQuotasResponse {
    let unknown = request.components.iter().find(|component| !MATCH_TYPES.contains(&component.match_type));
    let Some(component) = unknown else {
        return DescribeClientQuotasResponse::default().with_entries(Some(Vec::new()));
    };
    let message = format!("match type {} is not known: use 0, 1 or 2", component.match_type);
    let failure = Failure::new(ResponseError::InvalidRequest, message);
    DescribeClientQuotasResponse::default()
        .with_error_code(call.refuse(&failure))
        .with_error_message(Some(failure.text()))
        .with_entries(None)
}
