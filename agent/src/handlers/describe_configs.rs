//! DescribeConfigs, versions 1 to 4. Tools and stream processors read all of Kafka's names for topics.
//!
//! Deviations: of a broker, the settings that clients look at are told, read-only, along with the defaults of topics;
//! there are no dynamic ones, so the empty broker name has none. Of groups, the keys of share groups and of streams
//! groups are not told. Log levels and subscriptions to clients' metrics are not described.

use ebb_metastore::{
    limits::OFFSET_METADATA_BYTES_MAX,
    state::{
        TopicInfo,
        config::{ConfigKey, ConfigKind, Effect, TOPIC_CONFIGS},
    },
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

use super::{
    Call,
    configs::{
        RESOURCE_BROKER, RESOURCE_BROKER_LOGGER, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP, RESOURCE_TOPIC,
        check_broker, unknown_resource,
    },
    errors::Failure,
    group_settings::{of_coordinator, of_group},
    topics::Named,
};

/// Where a value comes from: the topic's own configuration, the agent's command line, the table of defaults, or the
/// group's own configuration.
pub(super) const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC_BROKER: i8 = 4;
pub(super) const SOURCE_DEFAULT: i8 = 5;
pub(super) const SOURCE_GROUP: i8 = 8;

/// Kafka's numbers for types of values.
const BOOLEAN: i8 = 1;
pub(super) const STRING: i8 = 2;
pub(super) const INT: i8 = 3;
pub(super) const LONG: i8 = 5;
const DOUBLE: i8 = 6;
pub(super) const LIST: i8 = 7;

/// A configuration entry before it is cut to what the client asked for.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) kind: i8,
    /// The value and where it comes from, then those that it hides, each by the name that it has there.
    pub(super) values: Vec<(&'static str, String, i8)>,
    pub(super) read_only: bool,
    pub(super) doc: String,
}

pub(super) async fn answer(call: Call, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let mut results = Vec::with_capacity(request.resources.len());
    for resource in &request.resources {
        let described = describe(&call, resource).await.map(|entries| {
            let asked = entries.into_iter().filter(|entry| is_asked(resource, entry.name));
            asked.map(|entry| wire(&call, &request, entry)).collect()
        });
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

fn is_asked(resource: &DescribeConfigsResource, name: &str) -> bool {
    let keys = resource.configuration_keys.as_ref();
    keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| &**key == name))
}

async fn describe(call: &Call, resource: &DescribeConfigsResource) -> Result<Vec<Entry>, Failure> {
    let name = &resource.resource_name;
    let message = match resource.resource_type {
        RESOURCE_TOPIC => {
            let topic = call.topic(Named::Name(name)).await?;
            return Ok(TOPIC_CONFIGS.iter().map(|key| of_topic(key, &topic)).collect());
        }
        RESOURCE_BROKER if name.is_empty() => return Ok(Vec::new()),
        RESOURCE_BROKER => {
            check_broker(call, name)?;
            return Ok(of_agent(call)
                .into_iter()
                .chain(of_coordinator(call.handlers.groups.config()))
                .chain(TOPIC_CONFIGS.iter().filter_map(topic_default))
                .collect());
        }
        RESOURCE_GROUP => return of_group(call, name).await,
        RESOURCE_BROKER_LOGGER => "log levels are set by the agent's command line and not described",
        RESOURCE_CLIENT_METRICS => "no metrics of clients are collected, so there is nothing to describe",
        other => return Err(unknown_resource(other)),
    };
    Err(Failure::new(ResponseError::InvalidRequest, message))
}

fn of_topic(key: &ConfigKey, topic: &TopicInfo) -> Entry {
    let own = topic.config.iter().find(|(name, _)| name == key.name);
    let own = own.map(|(_, value)| (key.name, value.clone(), SOURCE_TOPIC));
    let default = if key.broker.is_empty() { key.name } else { key.broker };
    let default = (default, key.default.to_owned(), SOURCE_DEFAULT);
    Entry {
        name: key.name,
        kind: kind(key.kind),
        values: own.into_iter().chain([default]).collect(),
        read_only: false,
        doc: match key.effect {
            Effect::Works => key.doc.to_owned(),
            Effect::Later => format!("{} Stored, not applied yet.", key.doc),
            Effect::Nothing => format!("{} Stored, no effect here.", key.doc),
        },
    }
}

/// Kafka's number for a type of value.
pub(super) fn kind(kind: ConfigKind) -> i8 {
    match kind {
        ConfigKind::Boolean => BOOLEAN,
        ConfigKind::Word(_) | ConfigKind::Text(_) => STRING,
        ConfigKind::Int { .. } => INT,
        ConfigKind::Long { .. } => LONG,
        ConfigKind::Ratio => DOUBLE,
        ConfigKind::List(_) => LIST,
    }
}

pub(super) fn read_only(name: &'static str, kind: i8, value: String, source: i8, doc: &str) -> Entry {
    Entry { name, kind, values: vec![(name, value, source)], read_only: true, doc: doc.to_owned() }
}

/// The agent's settings that have a name in Kafka.
fn of_agent(call: &Call) -> Vec<Entry> {
    let topics = &call.handlers.topics;
    let own = call.placement().controller().0.to_string();
    let set = |name, kind, value, doc| read_only(name, kind, value, SOURCE_STATIC_BROKER, doc);
    let fixed = |name, kind, value: &str, doc| read_only(name, kind, value.to_owned(), SOURCE_DEFAULT, doc);
    vec![
        set("node.id", INT, own.clone(), "The agent's number, given to it when it joined the cluster."),
        set("broker.id", INT, own, "The same as node.id."),
        set(
            "auto.create.topics.enable",
            BOOLEAN,
            topics.auto_create.to_string(),
            "Whether Metadata creates a topic that does not exist.",
        ),
        set(
            "num.partitions",
            INT,
            topics.partitions.to_string(),
            "The partition count when none is asked for.",
        ),
        fixed("default.replication.factor", INT, "1", "What topics report: the object store replicates."),
        fixed("delete.topic.enable", BOOLEAN, "true", "Topics can be deleted."),
        fixed(
            "offset.metadata.max.bytes",
            INT,
            &OFFSET_METADATA_BYTES_MAX.to_string(),
            "How long the words may be that a client commits with an offset.",
        ),
    ]
}

/// A topic's default by the broker's name for it.
fn topic_default(key: &ConfigKey) -> Option<Entry> {
    let value = key.default.to_owned();
    (!key.broker.is_empty()).then(|| read_only(key.broker, kind(key.kind), value, SOURCE_DEFAULT, key.doc))
}

fn wire(call: &Call, request: &DescribeConfigsRequest, entry: Entry) -> DescribeConfigsResourceResult {
    let first = entry.values.first();
    let value = first.map(|(_, value, _)| StrBytes::from_string(value.clone()));
    let source = first.map_or(SOURCE_DEFAULT, |(_, _, source)| *source);
    let synonyms =
        entry.values.into_iter().filter(|_| request.include_synonyms).map(|(name, value, source)| {
            DescribeConfigsSynonym::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(StrBytes::from_string(value)))
                .with_source(source)
        });
    let documented = request.include_documentation && call.version >= 3;
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(entry.name))
        .with_value(value)
        .with_read_only(entry.read_only)
        .with_config_source(source)
        .with_config_type(entry.kind)
        .with_synonyms(synonyms.collect())
        .with_documentation(documented.then(|| StrBytes::from_string(entry.doc)))
}
