//! InitProducerId, versions 0 to 5. Idempotent producers ask it for an id, and for the next epoch of theirs (KIP-360).
//!
//! Deviation: there are no transactions yet. A transactional id is refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
//! which every client treats as final instead of asking for ever.

use ebb_metastore::{command::Command, outcome::Outcome};
use ebb_protocol::{
    error::ResponseError,
    ids,
    messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId},
};

use super::{Call, errors::Failure};

pub(super) async fn answer(call: Call, request: InitProducerIdRequest) -> InitProducerIdResponse {
    match give(&call, &request).await {
        Ok((id, epoch)) => {
            InitProducerIdResponse::default().with_producer_id(ProducerId(id.0)).with_producer_epoch(epoch.0)
        }
        Err(failure) => InitProducerIdResponse::default()
            .with_error_code(call.refuse(&failure))
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    }
}

async fn give(
    call: &Call,
    request: &InitProducerIdRequest,
) -> Result<(ids::ProducerId, ids::ProducerEpoch), Failure> {
    match &request.transactional_id {
        None => {}
        Some(id) if id.is_empty() => {
            return Err(Failure::new(ResponseError::InvalidRequest, "the transactional id is empty"));
        }
        Some(_) => {
            let message = "transactions are not supported: start the producer without a transactional id";
            return Err(Failure::new(ResponseError::TransactionalIdAuthorizationFailed, message));
        }
    }
    let current = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => None,
        (id, epoch) if id >= 0 && epoch >= 0 => Some((ids::ProducerId(id), ids::ProducerEpoch(epoch))),
        _ => {
            let message = "producer id and epoch must both be given or both be -1";
            return Err(Failure::new(ResponseError::InvalidRequest, message));
        }
    };
    match call.submit(vec![Command::InitProducer { current }]).await.pop() {
        Some(Ok(Outcome::ProducerReady { id, epoch })) => Ok((id, epoch)),
        Some(Err(failure)) => Err(failure),
        _ => Err(Failure::new(ResponseError::UnknownServerError, "the metastore gave no producer id")),
    }
}
