//! ApiVersions, versions 0 to 4. Every client asks it first; kafka-python tells from it which broker this is.
//!
//! A version that is not known is answered in version 0 with UNSUPPORTED_VERSION and the whole list (KIP-511), so
//! that the client can ask again. From version 3 on it tells the cluster's features, each at its one level.

use bytes::Bytes;
use ebb_protocol::{
    api::APIS,
    error::ResponseError,
    messages::{
        ApiVersionsRequest, ApiVersionsResponse, StrBytes,
        api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey},
        encode_response,
    },
};

use super::{Call, errors::Failure, features::FEATURES};
use crate::connection::ConnectionError;

/// The features never change while an agent runs; -1 would say that they are not known.
const FEATURES_EPOCH: i64 = 0;

pub(super) async fn answer(call: Call, request: ApiVersionsRequest) -> ApiVersionsResponse {
    if call.version >= 3
        && !(is_software(&request.client_software_name) && is_software(&request.client_software_version))
    {
        let failure =
            Failure::new(ResponseError::InvalidRequest, "the client's name or version is malformed");
        return ApiVersionsResponse::default().with_error_code(call.refuse(&failure));
    }
    list()
}

/// The answer to a version that is not known: version 0, whatever was asked.
pub(super) fn answer_unsupported(correlation_id: i32) -> Result<Bytes, ConnectionError> {
    let response = list().with_error_code(ResponseError::UnsupportedVersion.code());
    Ok(encode_response::<ApiVersionsRequest>(&response, 0, correlation_id)?)
}

fn list() -> ApiVersionsResponse {
    let row = |api: &ebb_protocol::api::Api| {
        ApiVersion::default().with_api_key(api.key.code()).with_min_version(api.min).with_max_version(api.max)
    };
    let supported = FEATURES.iter().map(|feature| {
        SupportedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_version(feature.level)
            .with_max_version(feature.level)
    });
    let finalized = FEATURES.iter().map(|feature| {
        FinalizedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_version_level(feature.level)
            .with_max_version_level(feature.level)
    });
    ApiVersionsResponse::default()
        .with_api_keys(APIS.iter().map(row).collect())
        .with_supported_features(supported.collect())
        .with_finalized_features_epoch(FEATURES_EPOCH)
        .with_finalized_features(finalized.collect())
}

/// Kafka's rule for a client's name and version (KIP-511).
fn is_software(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next()) && edge(text.chars().next_back()) && text.chars().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_follow_kafkas_rule() {
        let check = |text: &str, expect: bool| assert_eq!(is_software(text), expect, "{text:?}");
        check("librdkafka", true);
        check("2.12.1-dev", true);
        check("a", true);
        check("", false);
        check("-a", false);
        check("a.", false);
        check("a b", false);
    }
}
