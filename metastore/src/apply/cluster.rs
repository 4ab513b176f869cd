//! Commands about the cluster itself: founding, agents, log truncation, the sweep boundary, deleted objects.

use ebb_protocol::ids::{AgentId, ClusterId, LogPosition, Timestamp};

use crate::{
    command::{Endpoint, ObjectRef, RegisterAgent},
    entry::Entry,
    limits::AGENT_TEXT_BYTES_MAX,
    outcome::{Outcome, Refusal},
    state::{Standing, State},
};

impl State {
    pub(super) fn create_cluster(&mut self, cluster: ClusterId) -> Result<Outcome, Refusal> {
        if self.cluster.is_some() {
            return Err(Refusal::ClusterExists);
        }
        self.cluster = Some(cluster);
        Ok(Outcome::Done)
    }

    pub(super) fn register_agent(
        &mut self,
        entry: &Entry,
        standing: Standing,
        said: &RegisterAgent,
    ) -> Result<Outcome, Refusal> {
        let fits = |text: &str| text.len() <= AGENT_TEXT_BYTES_MAX;
        let dialable = |endpoint: &Option<Endpoint>| endpoint.as_ref().is_none_or(|at| fits(&at.host));
        let well_formed = fits(&said.zone) && dialable(&said.kafka) && dialable(&said.quic);
        // An agent registers itself, once.
        let once = standing == Standing::Unregistered && self.agents.get(said.agent).is_none();
        if !well_formed || !once || said.agent != entry.agent {
            return Err(Refusal::Malformed);
        }
        if self.agents.is_new() {
            self.time = entry.time.max(Timestamp(0));
        }
        let agent = self.agents.register(said, entry, self.time);
        let registered = Outcome::AgentRegistered { broker: agent.broker, epoch: agent.epoch };
        // It may have taken the place of another one.
        self.drop_claims();
        Ok(registered)
    }

    pub(super) fn seal_agent(&mut self, agent: AgentId) -> Result<Outcome, Refusal> {
        if !self.agents.seal(agent) {
            return Err(Refusal::UnknownAgent);
        }
        self.drop_claims();
        Ok(Outcome::Done)
    }

    pub(super) fn truncate_log(
        &mut self,
        position: LogPosition,
        below: LogPosition,
    ) -> Result<Outcome, Refusal> {
        if below > position {
            return Err(Refusal::Malformed);
        }
        if below > self.truncated_below {
            self.truncated_below = below;
            self.truncation_declared_at = self.time;
        }
        Ok(Outcome::Done)
    }

    pub(super) fn raise_sweep_boundary(
        &mut self,
        entry: &Entry,
        minted_before: Timestamp,
    ) -> Result<Outcome, Refusal> {
        // A boundary in the future would refuse objects that are yet to be written. One that is ahead of some agents'
        // clocks costs each of them a refusal.
        if minted_before > self.time_by(entry) {
            return Err(Refusal::Malformed);
        }
        self.sweep_boundary = self.sweep_boundary.max(minted_before);
        self.objects.swept(self.sweep_boundary);
        Ok(Outcome::Done)
    }

    /// All or nothing; objects that are not known (any more) do no harm.
    pub(super) fn forget_objects(&mut self, objects: &[ObjectRef]) -> Result<Outcome, Refusal> {
        let needed = |object: &&ObjectRef| self.is_referenced(**object) || !self.may_be_deleted(**object);
        if objects.iter().any(|object| needed(&object)) {
            return Err(Refusal::Malformed);
        }
        for object in objects {
            if let Some(dead) = self.objects.forget(*object, self.sweep_boundary)
                && let (ObjectRef::Archive(id), Some(topic)) = (*object, dead.topic)
                && let Some(table) = self.tables.get_mut(&topic)
            {
                table.forget(id);
            }
        }
        Ok(Outcome::Done)
    }
}
