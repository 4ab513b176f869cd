//! What happens when time passes: ids and members that are not heard of, and members that never ask for their
//! assignment. The end of the join phase is [`ClassicMachine::advance`]'s.

use ebb_protocol::ids::{MemberId, Timestamp};

use super::{ClassicMachine, rebalance::Phase};
use crate::Effects;

impl ClassicMachine {
    /// When [`crate::Event::Tick`] is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let sessions = self.members.values().filter_map(super::member::Member::expires_at);
        let pending = self.pending.values().copied();
        // A join phase does not end before what is being recorded is: then it is looked at anyway.
        let join = match self.phase {
            Phase::Preparing { until, .. } if !self.is_recording() => Some(until),
            _ => None,
        };
        sessions.chain(pending).chain(join).chain(self.sync_until).min()
    }

    /// Removes whoever has run out of time.
    pub(super) fn expire(&mut self, now: Timestamp, effects: &mut Effects) {
        self.pending.retain(|_, until| *until > now);
        let members = self.members.iter();
        let silent = members.filter(|(_, member)| member.expires_at().is_some_and(|until| until <= now));
        let mut gone: Vec<MemberId> = silent.map(|(id, _)| id.clone()).collect();
        if self.sync_until.is_some_and(|until| until <= now) {
            self.sync_until = None;
            gone.extend(self.members.iter().filter(|(_, it)| it.must_sync).map(|(id, _)| id.clone()));
        }
        for id in &gone {
            self.remove(id, effects);
        }
        if !gone.is_empty() && matches!(self.phase, Phase::Completing | Phase::Stable) {
            self.rebalance(now, effects);
        }
    }
}
