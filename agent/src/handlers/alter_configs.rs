//! AlterConfigs, versions 0 to 2: replaces a topic's whole configuration; keys that are not named go back to their
//! defaults. Old tools use it; newer ones IncrementalAlterConfigs. A broker's settings are not altered by clients.

use ebb_metastore::{
    command::Command,
    state::{TopicInfo, config::ConfigKey},
};
use ebb_protocol::{
    error::ResponseError,
    messages::{
        AlterConfigsRequest, AlterConfigsResponse, alter_configs_request::AlterConfigsResource,
        alter_configs_response::AlterConfigsResourceResponse,
    },
};

use super::{
    Call,
    describe_configs::{RESOURCE_BROKER, RESOURCE_TOPIC},
    errors::Failure,
    topics::Named,
};

/// New values of keys; none takes a key back to its default.
pub(super) type Changes = Vec<(String, Option<String>)>;

pub(super) async fn answer(call: Call, request: AlterConfigsRequest) -> AlterConfigsResponse {
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
    AlterConfigsResponse::default().with_responses(responses)
}

async fn alter(call: &Call, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), Failure> {
    let topic = alterable(call, resource.resource_type, &resource.resource_name).await?;
    let mut changes: Changes = topic.config.iter().map(|(name, _)| (name.clone(), None)).collect();
    for config in &resource.configs {
        let key = ConfigKey::find(&config.name)?;
        if let Some(value) = &config.value {
            key.check(value)?;
        }
        changes.retain(|(name, _)| name != key.name);
        changes.push((key.name.to_owned(), config.value.as_ref().map(ToString::to_string)));
    }
    apply(call, &topic, changes, validate_only).await
}

/// The topic whose configuration a client wants to alter.
pub(super) async fn alterable(call: &Call, resource_type: i8, name: &str) -> Result<TopicInfo, Failure> {
    let message = match resource_type {
        RESOURCE_TOPIC => return call.topic(Named::Name(name)).await,
        RESOURCE_BROKER => {
            "an agent's settings come from its command line or file, not from clients".to_owned()
        }
        other => format!("resource type {other} has no configuration here: alter topics"),
    };
    Err(Failure::new(ResponseError::InvalidRequest, message))
}

/// Records the changes, unless they are only to be checked.
pub(super) async fn apply(
    call: &Call,
    topic: &TopicInfo,
    changes: Changes,
    validate_only: bool,
) -> Result<(), Failure> {
    if validate_only || changes.is_empty() {
        return Ok(());
    }
    let command = Command::AlterTopicConfig { topic: topic.id, changes };
    call.submit(vec![command]).await.into_iter().try_for_each(|result| result.map(|_| ()))
}
