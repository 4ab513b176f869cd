//! IncrementalAlterConfigs, versions 0 and 1 (KIP-339): sets and unsets keys of a topic's or a group's
//! configuration, and adds to and takes from lists.
//!
//! Deviation: configurations of brokers, their loggers and clients' metrics cannot be changed; see `configs`.

use ebb_protocol::messages::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
    incremental_alter_configs_response::AlterConfigsResourceResponse,
};

use super::{
    Call,
    configs::{Alteration, Change, alter_all},
};

pub(super) async fn answer(
    call: Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
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
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn alteration(resource: AlterConfigsResource) -> Alteration {
    let change = |config: AlterableConfig| Change {
        key: config.name,
        operation: config.config_operation,
        value: config.value,
    };
    Alteration {
        kind: resource.resource_type,
        name: resource.resource_name,
        replaces: false,
        changes: resource.configs.into_iter().map(change).collect(),
    }
}
