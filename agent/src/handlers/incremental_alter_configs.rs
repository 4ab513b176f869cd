//! IncrementalAlterConfigs, versions 0 and 1 (KIP-339): sets and unsets keys of a topic's configuration, and adds to
//! and takes from lists. A broker's settings are not altered by clients.

use std::collections::BTreeSet;

use ebb_metastore::state::{
    TopicInfo,
    config::{ConfigKey, ConfigKind, list},
};
use ebb_protocol::{
    error::ResponseError,
    messages::{
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
        incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
        incremental_alter_configs_response::AlterConfigsResourceResponse,
    },
};

use super::{
    Call,
    alter_configs::{Changes, alterable, apply},
    errors::Failure,
};

/// Operations on a key.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(super) async fn answer(
    call: Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let altered = alter(&call, &resource, request.validate_only).await;
        let (code, message) = call.outcome(&altered);
        let response = AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        responses.push(response);
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

async fn alter(call: &Call, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), Failure> {
    let topic = alterable(call, resource.resource_type, &resource.resource_name).await?;
    let mut seen = BTreeSet::new();
    let mut changes: Changes = Vec::with_capacity(resource.configs.len());
    for config in &resource.configs {
        let key = ConfigKey::find(&config.name)?;
        if !seen.insert(key.name) {
            let message = format!("topic config {} is named more than once", key.name);
            return Err(Failure::new(ResponseError::InvalidRequest, message));
        }
        let value = change(key, config, &topic)?;
        if let Some(value) = &value {
            key.check(value)?;
        }
        changes.push((key.name.to_owned(), value));
    }
    apply(call, &topic, changes, validate_only).await
}

/// The key's new value; none takes it back to its default.
fn change(key: &ConfigKey, config: &AlterableConfig, topic: &TopicInfo) -> Result<Option<String>, Failure> {
    let given = || {
        let missing = || {
            Failure::new(ResponseError::InvalidRequest, format!("topic config {} needs a value", key.name))
        };
        config.value.as_deref().ok_or_else(missing)
    };
    let present = || {
        let own = topic.config.iter().find(|(name, _)| name == key.name);
        list(own.map_or(key.default, |(_, value)| value))
    };
    match config.config_operation {
        SET => Ok(Some(given()?.to_owned())),
        DELETE => Ok(None),
        APPEND | SUBTRACT if !matches!(key.kind, ConfigKind::List(_)) => {
            let message = format!("topic config {} is no list: set or delete it", key.name);
            Err(Failure::new(ResponseError::InvalidConfig, message))
        }
        APPEND => {
            let mut words: Vec<_> = present().collect();
            for word in list(given()?) {
                if !words.contains(&word) {
                    words.push(word);
                }
            }
            Ok(Some(words.join(",")))
        }
        SUBTRACT => {
            let gone: Vec<_> = list(given()?).collect();
            Ok(Some(present().filter(|word| !gone.contains(word)).collect::<Vec<_>>().join(",")))
        }
        other => {
            let message = format!("config operation {other} is not known: use 0 to 3");
            Err(Failure::new(ResponseError::InvalidRequest, message))
        }
    }
}
