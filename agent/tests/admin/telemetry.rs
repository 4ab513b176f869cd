//! Telemetry of clients (KIP-714): a subscription to nothing, and what becomes of pushes.

use bytes::Bytes;
use ebb_protocol::{
    error::ResponseError,
    messages::{GetTelemetrySubscriptionsRequest, PushTelemetryRequest},
};
use uuid::Uuid;

use super::common::Fixture;

#[tokio::test]
async fn clients_subscribe_to_nothing_and_their_pushes_are_checked() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    let given = client.call(&GetTelemetrySubscriptionsRequest::default(), 0).await;
    assert_eq!((given.error_code, given.requested_metrics.len()), (0, 0));
    assert!(!given.client_instance_id.is_nil(), "a client without an id is given one");
    assert!(given.push_interval_ms > 0 && given.telemetry_max_bytes > 0);
    let own = Uuid::from_u128(77);
    let known =
        client.call(&GetTelemetrySubscriptionsRequest::default().with_client_instance_id(own), 0).await;
    assert_eq!(known.client_instance_id, own);
    assert_eq!(known.subscription_id, given.subscription_id);

    let push = PushTelemetryRequest::default()
        .with_client_instance_id(own)
        .with_subscription_id(known.subscription_id)
        .with_metrics(Bytes::from_static(b"metrics"));
    let large = vec![0; 1 + usize::try_from(known.telemetry_max_bytes).expect("it is positive")];
    for (push, expect) in [
        (push.clone(), 0),
        (push.clone().with_terminating(true).with_compression_type(4), 0),
        (push.clone().with_client_instance_id(Uuid::nil()), ResponseError::InvalidRequest.code()),
        (push.clone().with_subscription_id(0), ResponseError::UnknownSubscriptionId.code()),
        (push.clone().with_compression_type(9), ResponseError::UnsupportedCompressionType.code()),
        (push.with_metrics(large.into()), ResponseError::TelemetryTooLarge.code()),
    ] {
        assert_eq!(client.call(&push, 0).await.error_code, expect);
    }
}
