//! GetTelemetrySubscriptions, version 0 (KIP-714). librdkafka and the JVM client ask for it by themselves, to learn
//! which of their metrics the cluster wants.
//!
//! Deviation: none is wanted, which is a valid answer; a client asks again after the interval.

use ebb_protocol::messages::{GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse};

use super::Call;

/// The one subscription: to nothing.
pub(super) const SUBSCRIPTION: i32 = 1;
/// After how long a client asks again, in milliseconds: Kafka's default.
const PUSH_INTERVAL_MS: i32 = 300_000;
/// The largest push, in bytes: Kafka's default.
pub(super) const TELEMETRY_BYTES_MAX: i32 = 1 << 20;
/// Codecs of a push, the most wanted first: zstd, lz4, gzip, snappy.
pub(super) const CODECS: [i8; 4] = [4, 3, 1, 2];

pub(super) async fn answer(
    call: Call,
    request: GetTelemetrySubscriptionsRequest,
) -> GetTelemetrySubscriptionsResponse {
    // A client without an id is given one, and keeps it.
    let client = match request.client_instance_id {
        none if none.is_nil() => call.broker().ids().client_instance(),
        known => known,
    };
    GetTelemetrySubscriptionsResponse::default()
        .with_client_instance_id(client)
        .with_subscription_id(SUBSCRIPTION)
        .with_accepted_compression_types(CODECS.to_vec())
        .with_push_interval_ms(PUSH_INTERVAL_MS)
        .with_telemetry_max_bytes(TELEMETRY_BYTES_MAX)
        .with_delta_temporality(true)
}
