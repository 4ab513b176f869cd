//! DescribeConfigs, versions 1 to 4. Tools and stream processors read all of Kafka's names for topics; of a broker
//! the few settings that clients look at are told, read-only.

use ebb_metastore::state::{
    TopicInfo,
    config::{ConfigKey, ConfigKind, TOPIC_CONFIGS},
};
use ebb_protocol::{
    error::ResponseError,
    messages::{
        DescribeConfigsRequest, DescribeConfigsResponse, StrBytes,
        describe_configs_request::DescribeConfigsResource,
        describe_configs_response::{
            DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
        },
    },
};

use super::{Call, errors::Failure, topics::Named};

/// Resource types (KIP-133).
pub(super) const RESOURCE_TOPIC: i8 = 2;
pub(super) const RESOURCE_BROKER: i8 = 4;

/// Where a value comes from: the topic's own configuration, the broker's, or the table of defaults.
pub(super) const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC_BROKER: i8 = 4;
pub(super) const SOURCE_DEFAULT: i8 = 5;

pub(super) async fn answer(call: Call, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let mut results = Vec::with_capacity(request.resources.len());
    for resource in &request.resources {
        let described = describe(&call, resource, &request).await;
        let (code, message) = call.outcome(&described);
        let result = DescribeConfigsResult::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_configs(described.unwrap_or_default());
        results.push(result);
    }
    DescribeConfigsResponse::default().with_results(results)
}

async fn describe(
    call: &Call,
    resource: &DescribeConfigsResource,
    request: &DescribeConfigsRequest,
) -> Result<Vec<DescribeConfigsResourceResult>, Failure> {
    let asked = |name: &str| {
        let keys = resource.configuration_keys.as_ref();
        keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| &**key == name))
    };
    match resource.resource_type {
        RESOURCE_TOPIC => {
            let topic = call.topic(Named::Name(&resource.resource_name)).await?;
            let keys = TOPIC_CONFIGS.iter().filter(|key| asked(key.name));
            Ok(keys.map(|key| topic_config(call, key, &topic, request)).collect())
        }
        RESOURCE_BROKER => {
            Ok(broker_configs(call).into_iter().filter(|config| asked(&config.name)).collect())
        }
        other => {
            let message =
                format!("resource type {other} has no configuration here: ask for topics or brokers");
            Err(Failure::new(ResponseError::InvalidRequest, message))
        }
    }
}

fn topic_config(
    call: &Call,
    key: &ConfigKey,
    topic: &TopicInfo,
    request: &DescribeConfigsRequest,
) -> DescribeConfigsResourceResult {
    let name = StrBytes::from_static_str(key.name);
    let default = StrBytes::from_static_str(key.default);
    let own = topic.config.iter().find(|(name, _)| name == key.name);
    let own = own.map(|(_, value)| StrBytes::from_string(value.clone()));
    let source = if own.is_some() { SOURCE_TOPIC } else { SOURCE_DEFAULT };
    let synonym = |value: &StrBytes, source| {
        DescribeConfigsSynonym::default()
            .with_name(name.clone())
            .with_value(Some(value.clone()))
            .with_source(source)
    };
    let mut synonyms = Vec::new();
    if request.include_synonyms {
        synonyms.extend(own.as_ref().map(|value| synonym(value, SOURCE_TOPIC)));
        synonyms.push(synonym(&default, SOURCE_DEFAULT));
    }
    let documented = request.include_documentation && call.version >= 3;
    DescribeConfigsResourceResult::default()
        .with_name(name.clone())
        .with_value(Some(own.unwrap_or(default)))
        .with_config_source(source)
        .with_config_type(config_type(key.kind))
        .with_synonyms(synonyms)
        .with_documentation(documented.then(|| StrBytes::from_static_str(key.doc)))
}

/// Kafka's number for a type of value.
fn config_type(kind: ConfigKind) -> i8 {
    match kind {
        ConfigKind::Boolean => 1,
        ConfigKind::Word(_) => 2,
        ConfigKind::Int { .. } => 3,
        ConfigKind::Long { .. } => 5,
        ConfigKind::Ratio => 6,
        ConfigKind::List(_) => 7,
    }
}

fn broker_configs(call: &Call) -> Vec<DescribeConfigsResourceResult> {
    let topics = &call.handlers.topics;
    let values = [
        ("auto.create.topics.enable", topics.auto_create.to_string(), 1),
        ("num.partitions", topics.partitions.to_string(), 3),
        ("default.replication.factor", "1".to_owned(), 3),
        ("delete.topic.enable", "true".to_owned(), 1),
    ];
    let config = |(name, value, kind)| {
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_string(value)))
            .with_read_only(true)
            .with_config_source(SOURCE_STATIC_BROKER)
            .with_config_type(kind)
    };
    values.map(config).into()
}
