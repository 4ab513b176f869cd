//! Configuration of topics: reading and changing it.

use ebb_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, StrBytes,
    describe_configs_request::DescribeConfigsResource,
    describe_configs_response::DescribeConfigsResourceResult,
    incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
};

use super::{Admin, Config, ConfigChange, ConfigSource, check, left_out};
use crate::{Error, rpc::Effect};

/// Kafka's number for a topic as the owner of configuration.
const RESOURCE_TOPIC: i8 = 2;
/// Kafka's number for setting a value.
const OPERATION_SET: i8 = 0;
/// Kafka's number for going back to the default.
const OPERATION_DELETE: i8 = 1;

impl Admin {
    /// A topic's configuration, sorted by name.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none of that name.
    pub async fn topic_config(&self, topic: &str) -> Result<Vec<Config>, Error> {
        let what = format!("configuration of topic {topic:?}");
        let build = |_| {
            let resource = DescribeConfigsResource::default()
                .with_resource_type(RESOURCE_TOPIC)
                .with_resource_name(StrBytes::from_string(topic.to_owned()))
                .with_configuration_keys(None);
            DescribeConfigsRequest::default().with_resources(vec![resource])
        };
        let read = |answer: DescribeConfigsResponse| {
            let result = answer.results.first().ok_or_else(|| left_out(&what))?;
            check(result.error_code, &what, result.error_message.as_deref())?;
            let mut configs: Vec<_> = result.configs.iter().map(entry).collect();
            configs.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(configs)
        };
        self.cluster.call(Effect::Reads, &what, build, read).await
    }

    /// Changes some of a topic's configuration and leaves the rest.
    ///
    /// # Errors
    /// [`Error::Rejected`] when a name or value is invalid; then nothing is changed.
    pub async fn alter_topic_config(&self, topic: &str, changes: &[ConfigChange]) -> Result<(), Error> {
        let what = format!("configuring topic {topic:?}");
        let build = |_| {
            let resource = AlterConfigsResource::default()
                .with_resource_type(RESOURCE_TOPIC)
                .with_resource_name(StrBytes::from_string(topic.to_owned()))
                .with_configs(changes.iter().map(change).collect());
            IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
        };
        let read = |answer: IncrementalAlterConfigsResponse| {
            let result = answer.responses.first().ok_or_else(|| left_out(&what))?;
            check(result.error_code, &what, result.error_message.as_deref())
        };
        self.cluster.call(Effect::Changes, &what, build, read).await
    }
}

fn entry(config: &DescribeConfigsResourceResult) -> Config {
    Config {
        name: config.name.to_string(),
        value: config.value.as_ref().map(ToString::to_string),
        source: match config.config_source {
            1 => ConfigSource::Topic,
            2..=4 => ConfigSource::Broker,
            5 => ConfigSource::Default,
            other => ConfigSource::Other(other),
        },
        read_only: config.read_only,
        documentation: config.documentation.as_ref().map(ToString::to_string),
    }
}

fn change(change: &ConfigChange) -> AlterableConfig {
    let (name, operation, value) = match change {
        ConfigChange::Set { name, value } => {
            (name, OPERATION_SET, Some(StrBytes::from_string(value.clone())))
        }
        ConfigChange::Reset { name } => (name, OPERATION_DELETE, None),
    };
    AlterableConfig::default()
        .with_name(StrBytes::from_string(name.clone()))
        .with_config_operation(operation)
        .with_value(value)
}
