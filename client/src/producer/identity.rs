//! The producer's id and epoch: asked for once, renewed when sequences have to start again.

use ebb_protocol::{
    ids::{ProducerEpoch, ProducerId},
    messages::{self, InitProducerIdRequest, InitProducerIdResponse},
};
use parking_lot::Mutex;

use crate::{Error, ErrorCode, cluster::Cluster, rpc::Effect};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Identity {
    idempotent: bool,
    /// Held while asking, so that only one task asks.
    asking: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<(ProducerId, ProducerEpoch)>,
    failure: Option<Error>,
}

impl Identity {
    pub(super) fn new(idempotent: bool) -> Self {
        Self { idempotent, asking: tokio::sync::Mutex::default(), state: Mutex::default() }
    }

    /// The id and epoch to stamp batches with; None when the producer is not idempotent.
    pub(super) fn current(&self) -> Option<(ProducerId, ProducerEpoch)> {
        self.state.lock().current
    }

    /// Why the producer can send nothing any more.
    pub(super) fn failure(&self) -> Option<Error> {
        self.state.lock().failure.clone()
    }

    /// Ends the producer's life: somebody else has its id.
    pub(super) fn fail(&self, error: Error) {
        self.state.lock().failure.get_or_insert(error);
    }

    /// Makes sure that there is an id, if one is needed.
    pub(super) async fn ready(&self, cluster: &Cluster) -> Result<(), Error> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        if !self.idempotent || self.current().is_some() {
            return Ok(());
        }
        let _asking = self.asking.lock().await;
        if self.current().is_none() {
            let fresh = ask(cluster, None).await?;
            self.state.lock().current = Some(fresh);
        }
        Ok(())
    }

    /// Gets a new epoch, which voids all that was sent under the old one.
    pub(super) async fn renew(&self, cluster: &Cluster) -> Result<(), Error> {
        let _asking = self.asking.lock().await;
        let old = self.current();
        match ask(cluster, old).await {
            Ok(fresh) => {
                tracing::debug!(?old, ?fresh, "producer has a new epoch");
                self.state.lock().current = Some(fresh);
                Ok(())
            }
            Err(error @ Error::Fenced(_)) => {
                self.fail(error.clone());
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

/// Asks for an id, or for the next epoch of one (KIP-360). An id or epoch that is given out twice does no harm.
async fn ask(
    cluster: &Cluster,
    old: Option<(ProducerId, ProducerEpoch)>,
) -> Result<(ProducerId, ProducerEpoch), Error> {
    let what = "asking for a producer id";
    let build = |version: i16| {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(i32::MAX)
            .with_producer_id(messages::ProducerId(-1))
            .with_producer_epoch(-1);
        match old {
            // Older versions cannot name an id: the answer is then a fresh one, which serves as well.
            Some((id, epoch)) if version >= 3 => {
                request.with_producer_id(messages::ProducerId(id.0)).with_producer_epoch(epoch.0)
            }
            _ => request,
        }
    };
    let judge = |answer: InitProducerIdResponse| match ErrorCode::try_from_code(answer.error_code) {
        Some(code) => Err(Error::from_code(code, what, None)),
        None => Ok((ProducerId(answer.producer_id.0), ProducerEpoch(answer.producer_epoch))),
    };
    cluster.call(Effect::Reads, what, build, judge).await
}
