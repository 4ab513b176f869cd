//! AlterConfigs, versions 0 to 2 (KIP-133): replaces the whole configuration of a topic or group; keys that are not named
//! go back to their defaults. Old tools use it; newer ones IncrementalAlterConfigs.
//!
//! Deviation: configurations of brokers, their loggers and clients' metrics cannot be changed; see `configs`.

use ebb_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, alter_configs_request::AlterConfigsResource,
    alter_configs_response::AlterConfigsResourceResponse,
};

use super::{
    Call,
    configs::{Alteration, Change, SET, alter_all},
};

pub(super) async fn answer(call: Call, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let alterations: Vec<_> = request.resources.into_iter().map(alteration).collect();
    let results = alter_all(&call, &alterations, request.validate_only).await;
    let responses = alterations.into_iter().zip(results).map(|(resource, result)| {
        let (code, message) = call.outcome(&result);
        AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_resource_type(resource.kind)
            .with_resource_name(resource.name)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

fn alteration(resource: AlterConfigsResource) -> Alteration {
    let configs = resource.configs.into_iter();
    Alteration {
        kind: resource.resource_type,
        name: resource.resource_name,
        replaces: true,
        changes: configs
            .map(|config| Change { key: config.name, operation: SET, value: config.value })
            .collect(),
    }
}
