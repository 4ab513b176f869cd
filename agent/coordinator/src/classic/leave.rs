//! LeaveGroup: members that leave, or that an administrator removes (KIP-345). Also how a member is removed.

use ebb_protocol::ids::{MemberId, Timestamp};

use super::{ClassicMachine, rebalance::Phase};
use crate::{Effects, GroupError, LeaveAnswer, LeaveRequest, LeavingMember, Reply, Ticket};

impl ClassicMachine {
    pub(super) fn leave(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        said: &LeaveRequest,
        effects: &mut Effects,
    ) {
        let before = self.members.len();
        let results = said.members.iter().map(|member| self.leave_one(member, effects)).collect();
        let answer = (ticket, Reply::Leave(Ok(LeaveAnswer { members: results })));
        if self.members.len() < before && matches!(self.phase, Phase::Completing | Phase::Stable) {
            self.rebalance(now, effects);
        }
        // The last one is told when the group is recorded as empty, so that it can be deleted at once.
        if self.members.is_empty() && before > 0 {
            self.held.push(answer);
        } else {
            effects.replies.push(answer);
        }
    }

    fn leave_one(&mut self, leaving: &LeavingMember, effects: &mut Effects) -> Result<(), GroupError> {
        let instance = leaving.instance.as_deref();
        if leaving.member.is_empty() {
            let id = instance.and_then(|name| self.static_member(name)).ok_or(GroupError::UnknownMember)?;
            self.remove(&id, effects);
            return Ok(());
        }
        let id = MemberId::from(leaving.member.as_str());
        if self.pending.remove(&id).is_none() {
            self.check_member(&id, instance)?;
            self.remove(&id, effects);
        }
        Ok(())
    }

    /// Removes a member. If it still asks for something, it is told that it is none.
    pub(super) fn remove(&mut self, id: &MemberId, effects: &mut Effects) {
        if let Some(mut member) = self.members.remove(id) {
            member.answer_join(Err(GroupError::UnknownMember), effects);
            member.answer_sync(Err(GroupError::UnknownMember), effects);
        }
        self.keep_a_leader();
    }
}
