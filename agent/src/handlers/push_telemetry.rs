//! PushTelemetry, version 0 (KIP-714). Clients send their metrics with it, and say good-bye with it when they end.
//!
//! Deviations: no metrics were asked for, so what comes is checked, counted as a request, and dropped. No state is
//! kept for a client, so one that pushes too early is not slowed down.

use ebb_protocol::{
    error::ResponseError,
    messages::{PushTelemetryRequest, PushTelemetryResponse},
};

use super::{
    Call,
    errors::Failure,
    get_telemetry_subscriptions::{CODECS, SUBSCRIPTION, TELEMETRY_BYTES_MAX},
};

/// A push that is not compressed.
const NO_CODEC: i8 = 0;

pub(super) async fn answer(call: Call, request: PushTelemetryRequest) -> PushTelemetryResponse {
    let (code, _) = call.outcome(&check(&request));
    PushTelemetryResponse::default().with_error_code(code)
}

fn check(push: &PushTelemetryRequest) -> Result<(), Failure> {
    let (code, message) = if push.client_instance_id.is_nil() {
        (ResponseError::InvalidRequest, "a push needs a client instance id: ask for subscriptions first")
    } else if push.subscription_id != SUBSCRIPTION {
        (ResponseError::UnknownSubscriptionId, "the subscription is not known: ask for it again")
    } else if push.compression_type != NO_CODEC && !CODECS.contains(&push.compression_type) {
        (ResponseError::UnsupportedCompressionType, "the codec is not among those that were accepted")
    } else if push.metrics.len() > TELEMETRY_BYTES_MAX as usize {
        (ResponseError::TelemetryTooLarge, "the push is larger than was allowed")
    } else {
        return Ok(());
    };
    Err(Failure::new(code, message))
}
