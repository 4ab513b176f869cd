//! ListConfigResources, versions 0 and 1 (KIP-1142). Tools ask for it to learn what has a configuration.
//!
//! Version 0 is the old ListClientMetricsResources and asks for subscriptions to client metrics: there are none.
//! Of groups those are listed that have something set, as in Kafka.
//! Deviation: loggers of brokers are not listed, since they cannot be described here.

use ebb_protocol::{
    error::ResponseError,
    messages::{
        ListConfigResourcesRequest, ListConfigResourcesResponse, StrBytes,
        list_config_resources_response::ConfigResource,
    },
};

use super::{
    Call,
    configs::{
        RESOURCE_BROKER, RESOURCE_BROKER_LOGGER, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP, RESOURCE_TOPIC,
    },
    errors::Failure,
};

const RESOURCES: [i8; 5] =
    [RESOURCE_TOPIC, RESOURCE_BROKER, RESOURCE_BROKER_LOGGER, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP];

pub(super) async fn answer(call: Call, request: ListConfigResourcesRequest) -> ListConfigResourcesResponse {
    if let Some(other) = request.resource_types.iter().find(|wanted| !RESOURCES.contains(wanted)) {
        let message = format!("resource type {other} has no configuration");
        let failure = Failure::new(ResponseError::UnsupportedVersion, message);
        return ListConfigResourcesResponse::default().with_error_code(call.refuse(&failure));
    }
    // An empty list asks for all.
    let asks = |wanted: i8| {
        call.version >= 1 && (request.resource_types.is_empty() || request.resource_types.contains(&wanted))
    };
    let resource = |kind: i8, name: String| {
        ConfigResource::default().with_resource_type(kind).with_resource_name(StrBytes::from_string(name))
    };
    let mut resources = Vec::new();
    if asks(RESOURCE_TOPIC) {
        let metastore = call.broker().metastore();
        let names: Vec<_> =
            metastore.read(|state| state.topics().map(|topic| topic.name.to_string()).collect());
        resources.extend(names.into_iter().map(|name| resource(RESOURCE_TOPIC, name)));
    }
    if asks(RESOURCE_BROKER) {
        let brokers = call.placement().brokers;
        resources.extend(brokers.iter().map(|broker| resource(RESOURCE_BROKER, broker.id.0.to_string())));
    }
    if asks(RESOURCE_GROUP) {
        let metastore = call.broker().metastore();
        let names: Vec<_> =
            metastore.read(|state| state.configured_groups().map(ToString::to_string).collect());
        resources.extend(names.into_iter().map(|name| resource(RESOURCE_GROUP, name)));
    }
    ListConfigResourcesResponse::default().with_config_resources(resources)
}
