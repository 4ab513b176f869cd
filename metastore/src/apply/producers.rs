//! Commands about producers, and what time does to them.

use ebb_protocol::ids::{ProducerEpoch, ProducerId, Timestamp};

use crate::{
    limits::{EXPIRIES_PER_ENTRY_MAX, PRODUCER_IDLE_MS, PRODUCER_IDS_MAX, PRODUCER_PARTITIONS_MAX},
    outcome::{Outcome, Refusal},
    state::{NoEpoch, State},
};

impl State {
    pub(super) fn init_producer(
        &mut self,
        current: Option<(ProducerId, ProducerEpoch)>,
    ) -> Result<Outcome, Refusal> {
        let (id, epoch) = match current {
            None => self.producer_ids.fresh(self.time),
            Some((id, epoch)) => {
                self.producer_ids.renew(id, epoch, self.time).map_err(|none| match none {
                    NoEpoch::Stale => Refusal::StaleProducerEpoch,
                    NoEpoch::Unknown => Refusal::UnknownProducer,
                })?
            }
        };
        Ok(Outcome::ProducerReady { id, epoch })
    }

    /// Forgets producers that have been idle for too long, and the idlest when there are too many.
    pub(super) fn expire_producers(&mut self) {
        let before = Timestamp(self.time.0.saturating_sub(PRODUCER_IDLE_MS));
        self.producer_ids.expire(before, EXPIRIES_PER_ENTRY_MAX, PRODUCER_IDS_MAX);
        self.idle.expire(&mut self.topics, self.time, EXPIRIES_PER_ENTRY_MAX, PRODUCER_PARTITIONS_MAX);
    }
}
