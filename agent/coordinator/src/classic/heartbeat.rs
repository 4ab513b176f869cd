//! Heartbeats, and the checks that a request comes from a present member.

use ebb_metastore::command::CommitFence;
use ebb_protocol::ids::{MemberId, Timestamp};

use super::{ClassicMachine, rebalance::Phase, record::Flight};
use crate::{ClassicHeartbeat, GroupError};

impl ClassicMachine {
    pub(super) fn heartbeat(&mut self, now: Timestamp, said: &ClassicHeartbeat) -> Result<(), GroupError> {
        self.check_generation(&said.member, said.instance.as_deref(), said.generation)?;
        if let Some(member) = self.members.get_mut(&said.member) {
            member.renew_session(now);
        }
        match self.phase {
            Phase::Empty => Err(GroupError::UnknownMember),
            Phase::Preparing { .. } => Err(GroupError::RebalanceInProgress),
            Phase::Completing | Phase::Stable => Ok(()),
        }
    }

    /// On whose behalf an offset commit may be recorded; -1 is the generation of one from outside the group, whose
    /// member id is empty. A commit shows that its member is alive.
    ///
    /// # Errors
    /// What Kafka answers: [`GroupError::UnknownMember`], [`GroupError::IllegalGeneration`],
    /// [`GroupError::FencedInstance`], [`GroupError::RebalanceInProgress`], and why the machine is to be dropped.
    pub fn check_commit(
        &mut self,
        now: Timestamp,
        id: &MemberId,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<CommitFence, GroupError> {
        if let Some(error) = &self.dead {
            return Err(error.clone());
        }
        if generation < 0 && self.phase == Phase::Empty {
            return Ok(CommitFence::Simple);
        }
        self.check_generation(id, instance, generation)?;
        // While its generation is being recorded, or will not be any more, nothing can be recorded on its behalf.
        let is_generation_recorded = !self.in_flight.as_ref().is_some_and(Flight::has_generation);
        let is_known = self.recorded.contains_key(id) || self.inherited.contains(id);
        let is_recorded = is_known && is_generation_recorded;
        if self.phase == Phase::Completing || !is_recorded {
            return Err(GroupError::RebalanceInProgress);
        }
        if let Some(member) = self.members.get_mut(id) {
            member.renew_session(now);
        }
        // A generation that was given up before it was recorded commits as the one before it. Which epoch is that of a
        // member of the consumer group that this was, the metastore knows.
        let is_epoch = self.is_taken_over && self.inherited.contains(id);
        let generation = if is_epoch { generation } else { self.recorded_generation };
        Ok(CommitFence::Classic(id.clone(), generation))
    }

    /// Makes sure that a member is one of the present generation.
    pub(super) fn check_generation(
        &self,
        id: &MemberId,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        self.check_member(id, instance)?;
        // They are to be told to join again, not that they are strangers.
        let is_earlier_epoch = self.is_taken_over && generation < self.generation;
        if generation == self.generation || is_earlier_epoch {
            Ok(())
        } else {
            Err(GroupError::IllegalGeneration)
        }
    }

    /// Makes sure that there is such a member, and that no other has taken its instance id.
    pub(super) fn check_member(&self, id: &MemberId, instance: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            let present = self.static_member(instance).ok_or(GroupError::UnknownMember)?;
            if present != *id {
                return Err(GroupError::FencedInstance);
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(GroupError::UnknownMember) }
    }

    /// The member that has an instance id.
    pub(super) fn static_member(&self, instance: &str) -> Option<MemberId> {
        let mut members = self.members.iter();
        let found = members.find(|(_, member)| member.record.instance.as_deref() == Some(instance));
        found.map(|(id, _)| id.clone())
    }
}
