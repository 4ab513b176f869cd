//! FindCoordinator, versions 0 to 6: which agent coordinates a group; from version 4 on of several at once. Every
//! client with a group asks it first, and again when its coordinator is gone.
//!
//! The answer is as of the log's tail, so that agents do not send a client back and forth. An agent that it names is
//! looked after (see `peers`): if it is dead, a later answer names another one. Deviations: there are no transactions
//! yet, so their coordinators are refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which clients treat as final.

use ebb_metastore::{
    command::Endpoint,
    state::{Agent, State},
};
use ebb_protocol::{
    error::ResponseError,
    ids::GroupId,
    messages::{
        BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, StrBytes,
        find_coordinator_response::Coordinator,
    },
};

use super::{Call, errors::Failure, placement::endpoint};

/// What a key names.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// The first version with several keys.
const BATCHED: i16 = 4;

pub(super) async fn answer(call: Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let looked = call.broker().metastore().tail_check().await;
    let find = |key: &StrBytes| match (&looked, request.key_type) {
        (Err(error), GROUP) => Err(Failure::new(ResponseError::CoordinatorNotAvailable, error.to_string())),
        (Ok(_), GROUP) => find(&call, key),
        (_, TRANSACTION) => {
            let message = "transactions are not supported: start the producer without a transactional id";
            Err(Failure::new(ResponseError::TransactionalIdAuthorizationFailed, message))
        }
        (_, other) => {
            let message = format!("there are no coordinators of type {other}: use 0, for groups");
            Err(Failure::new(ResponseError::InvalidRequest, message))
        }
    };
    if call.version >= BATCHED {
        let keys = request.coordinator_keys.iter();
        let coordinators = keys.map(|key| respond(&call, find(key)).with_key(key.clone())).collect();
        return FindCoordinatorResponse::default().with_coordinators(coordinators);
    }
    let one = respond(&call, find(&request.key));
    FindCoordinatorResponse::default()
        .with_error_code(one.error_code)
        .with_error_message(one.error_message.filter(|_| call.version >= 1))
        .with_node_id(one.node_id)
        .with_host(one.host)
        .with_port(one.port)
}

fn find(call: &Call, key: &str) -> Result<(BrokerId, Endpoint), Failure> {
    let reached = |agent: &Agent| {
        let endpoint = endpoint(agent, call.handlers.transport)?;
        Some((agent.id, BrokerId(agent.broker.0), endpoint.clone()))
    };
    let group = GroupId::from(key);
    let coordinator = |state: &State| state.coordinator(&group).and_then(reached);
    let Some((agent, broker, endpoint)) = call.broker().metastore().read(coordinator) else {
        let message = "no agent that this transport reaches coordinates the group";
        return Err(Failure::new(ResponseError::CoordinatorNotAvailable, message));
    };
    call.handlers.peers.look_after(&[agent]);
    Ok((broker, endpoint))
}

fn respond(call: &Call, found: Result<(BrokerId, Endpoint), Failure>) -> Coordinator {
    match found {
        Ok((broker, endpoint)) => Coordinator::default()
            .with_node_id(broker)
            .with_host(StrBytes::from_string(endpoint.host))
            .with_port(endpoint.port.into()),
        Err(failure) => Coordinator::default()
            .with_error_code(call.refuse(&failure))
            .with_error_message(Some(failure.text()))
            .with_node_id(BrokerId(-1))
            .with_port(-1),
    }
}
