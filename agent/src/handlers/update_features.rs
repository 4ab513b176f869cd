//! UpdateFeatures, versions 0 to 2 (KIP-584). Kafka's tool asks for it when a cluster was upgraded.
//!
//! Deviation: a feature has one level only, so asking for that one succeeds and anything else is INVALID_UPDATE_VERSION.

use ebb_protocol::{
    error::ResponseError,
    messages::{
        UpdateFeaturesRequest, UpdateFeaturesResponse, update_features_request::FeatureUpdateKey,
        update_features_response::UpdatableFeatureResult,
    },
};

use super::{Call, errors::Failure, features::FEATURES};

pub(super) async fn answer(call: Call, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    // Updates are made together or not at all, so the first that cannot be decides.
    let (code, message) = call.outcome(&request.feature_updates.iter().try_for_each(check));
    let response = UpdateFeaturesResponse::default().with_error_code(code).with_error_message(message);
    if code != 0 || call.version >= 2 {
        return response;
    }
    let made = request.feature_updates.into_iter();
    let results = made.map(|update| UpdatableFeatureResult::default().with_feature(update.feature));
    response.with_results(results.collect())
}

fn check(update: &FeatureUpdateKey) -> Result<(), Failure> {
    let level = update.max_version_level;
    let message = match FEATURES.iter().find(|feature| *feature.name == *update.feature) {
        Some(feature) if feature.level == level => return Ok(()),
        Some(feature) => {
            format!("feature {} has level {} and no other, not {level}", feature.name, feature.level)
        }
        None => format!("feature {:?} is not known", &*update.feature),
    };
    Err(Failure::new(ResponseError::InvalidUpdateVersion, message))
}
