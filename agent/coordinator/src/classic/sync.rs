//! SyncGroup: the leader brings the assignments, and everybody gets its own when all of them are recorded.

use std::collections::BTreeMap;

use ebb_metastore::limits::{GROUP_BYTES_MAX, MEMBER_BYTES_MAX};
use ebb_protocol::ids::{MemberId, Timestamp};

use super::{ClassicMachine, rebalance::Phase};
use crate::{Effects, GroupError, Reply, SyncAnswer, SyncRequest, Ticket};

/// Bytes of a member's assignment. The other half is for its metadata.
const ASSIGNMENT_BYTES_MAX: usize = MEMBER_BYTES_MAX / 2 - 4_096;

/// Bytes of the assignments of all members.
const ASSIGNMENTS_BYTES_MAX: usize = GROUP_BYTES_MAX / 4;

impl ClassicMachine {
    pub(super) fn sync(&mut self, now: Timestamp, ticket: Ticket, said: SyncRequest, effects: &mut Effects) {
        if let Some(answer) = self.try_sync(now, ticket, said, effects).transpose() {
            effects.replies.push((ticket, Reply::Sync(answer)));
        }
    }

    /// `None` when the answer waits.
    fn try_sync(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        said: SyncRequest,
        effects: &mut Effects,
    ) -> Result<Option<SyncAnswer>, GroupError> {
        self.check_sync(&said)?;
        let is_leader = self.leader.as_ref() == Some(&said.member);
        let member = self.members.get_mut(&said.member).ok_or(GroupError::UnknownMember)?;
        match self.phase {
            Phase::Empty => Err(GroupError::UnknownMember),
            Phase::Preparing { .. } => Err(GroupError::RebalanceInProgress),
            Phase::Stable => {
                member.must_sync = false;
                member.renew_session(now);
                Ok(Some(self.sync_answer(&said.member)))
            }
            Phase::Completing => {
                if is_leader && self.assigned.is_none() {
                    self.assigned = Some(check_assignments(said.assignments)?);
                    self.must_record = true;
                }
                member.must_sync = false;
                // An earlier SyncGroup that still waits has lost its reader: a client has one at a time.
                member.answer_sync(Err(GroupError::RebalanceInProgress), effects);
                member.syncing = Some(ticket);
                Ok(None)
            }
        }
    }

    fn check_sync(&self, said: &SyncRequest) -> Result<(), GroupError> {
        self.check_generation(&said.member, said.instance.as_deref(), said.generation)?;
        let differs = |said: &Option<String>, ours: &str| said.as_deref().is_some_and(|said| said != ours);
        let has_other_protocol = self.protocol.as_ref().is_some_and(|ours| differs(&said.protocol, ours));
        if differs(&said.protocol_type, &self.protocol_type) || has_other_protocol {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    /// The assignments of this generation are recorded: the group is stable, and those who wait are told.
    pub(super) fn assignments_recorded(&mut self, now: Timestamp, effects: &mut Effects) {
        self.phase = Phase::Stable;
        self.assigned = None;
        let waiting: Vec<_> =
            self.members.iter().filter(|(_, it)| it.syncing.is_some()).map(|(id, _)| id.clone()).collect();
        for id in waiting {
            let answer = self.sync_answer(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.renew_session(now);
                member.answer_sync(Ok(answer), effects);
            }
        }
    }

    fn sync_answer(&self, id: &MemberId) -> SyncAnswer {
        let member = self.members.get(id);
        SyncAnswer {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone().unwrap_or_default(),
            assignment: member.map(|member| member.record.assignment.clone()).unwrap_or_default(),
        }
    }
}

/// The assignments by member, when they can be recorded.
fn check_assignments(
    assignments: Vec<(MemberId, Vec<u8>)>,
) -> Result<BTreeMap<MemberId, Vec<u8>>, GroupError> {
    let total: usize = assignments.iter().map(|(_, bytes)| bytes.len()).sum();
    let largest = assignments.iter().map(|(_, bytes)| bytes.len()).max().unwrap_or(0);
    if total > ASSIGNMENTS_BYTES_MAX || largest > ASSIGNMENT_BYTES_MAX {
        return Err(GroupError::InvalidRequest("the assignments are too large"));
    }
    Ok(assignments.into_iter().collect())
}
