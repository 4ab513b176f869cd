//! The writer: takes batches in, packs them into segments, makes those durable and has them committed.
//! Knows nothing of Kafka's messages and of reading.

use std::sync::Arc;

use ebb_metastore::Metastore;
use ebb_protocol::ids::{ClusterId, IdSource};
use ebb_segment::store::SegmentStore;

use super::{Append, Appended, BrokerConfig, ProduceError, cache::ObjectSink};

/// A cheap handle on the agent's writer.
#[derive(Debug)]
pub struct Writer {}

/// Appends that were taken in, in order, and are not yet durable. Dropping it abandons the answer, not the appends.
#[derive(Debug)]
pub struct PendingAppend {}

impl PendingAppend {
    /// Waits until every append is durable or refused; answers in the order of the appends.
    pub async fn done(self) -> Vec<Result<Appended, ProduceError>> {
        todo!()
    }
}

impl Writer {
    /// Starts the writer's task. Segments that were put go to `sink` before they are committed.
    #[must_use]
    pub fn start(
        cluster: ClusterId,
        metastore: Metastore,
        store: SegmentStore,
        sink: Arc<dyn ObjectSink>,
        ids: IdSource,
        config: &BrokerConfig,
    ) -> Self {
        todo!("{cluster} {metastore:?} {store:?} {sink:?} {ids:?} {config:?}")
    }

    /// Takes batches in. Waits for room, in arrival order, and returns when their order is fixed.
    ///
    /// # Errors
    /// [`ProduceError::Closed`] when the writer is going down; [`ProduceError::Storage`] when there was no room
    /// before the deadline. Nothing was taken in then.
    pub async fn append(&self, appends: Vec<Append>) -> Result<PendingAppend, ProduceError> {
        todo!("{}", appends.len())
    }

    /// Takes no more appends and waits until those taken in are answered.
    pub async fn shutdown(&self) {
        todo!()
    }
}
