//! The phases of a group: how a rebalance begins, when its join phase ends, who leads, and which protocol is chosen.

use std::collections::BTreeMap;

use ebb_protocol::ids::{MemberId, Timestamp};

use super::{ClassicMachine, later};
use crate::{Effects, GroupError};

/// Where no member rejoined that could lead, the group waits so long again at least, in milliseconds.
const POSTPONED_MS_MIN: i32 = 1_000;

/// What a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has no members.
    Empty,
    /// Members join, until all have, or until then.
    Preparing {
        /// When it ends at the latest.
        until: Timestamp,
        /// The group was empty: it waits for further members also when all that it knows have joined.
        initial: Option<InitialDelay>,
    },
    /// The leader assigns.
    Completing,
    /// All members can get their assignments.
    Stable,
}

/// The wait of a group that was empty (`group.initial.rebalance.delay.ms`, KIP-134).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InitialDelay {
    /// For how much longer it may be extended, in milliseconds.
    remaining_ms: i32,
    /// Further members have come since it began or was extended.
    has_new_members: bool,
}

impl ClassicMachine {
    /// Begins a rebalance, unless members are joining already.
    pub(super) fn rebalance_unless_joining(&mut self, now: Timestamp, effects: &mut Effects) {
        if !matches!(self.phase, Phase::Preparing { .. }) {
            self.rebalance(now, effects);
        }
    }

    /// Begins a rebalance: those who wait for an assignment of this generation must join again.
    pub(super) fn rebalance(&mut self, now: Timestamp, effects: &mut Effects) {
        for member in self.members.values_mut() {
            if member.syncing.is_some() {
                member.renew_session(now);
                member.answer_sync(Err(GroupError::RebalanceInProgress), effects);
            }
            member.must_sync = false;
        }
        self.sync_until = None;
        self.assigned = None;
        let timeout_ms = self.rebalance_timeout_ms();
        self.phase = if self.phase == Phase::Empty {
            let delay_ms = self.config.initial_rebalance_delay_ms;
            let remaining_ms = timeout_ms.saturating_sub(delay_ms).max(0);
            let initial = Some(InitialDelay { remaining_ms, has_new_members: false });
            Phase::Preparing { until: later(now, delay_ms), initial }
        } else {
            Phase::Preparing { until: later(now, timeout_ms), initial: None }
        };
    }

    /// A further member has come while the group waits for such.
    pub(super) fn extend_initial_delay(&mut self) {
        if let Phase::Preparing { initial: Some(initial), .. } = &mut self.phase {
            initial.has_new_members = true;
        }
    }

    /// Does what need not wait any longer: ends the join phase, or answers static members that have returned.
    pub(super) fn advance(&mut self, now: Timestamp, effects: &mut Effects) {
        if self.is_recording() {
            return;
        }
        match self.phase {
            // The last member that leaves waits for nobody who may come yet.
            Phase::Preparing { .. } if self.members.is_empty() => self.complete_join(now, effects),
            Phase::Preparing { until, initial: Some(initial) } if until <= now => {
                if !initial.has_new_members || initial.remaining_ms == 0 {
                    return self.complete_join(now, effects);
                }
                let delay_ms = self.config.initial_rebalance_delay_ms.min(initial.remaining_ms);
                let remaining_ms = initial.remaining_ms - delay_ms;
                let initial = Some(InitialDelay { remaining_ms, has_new_members: false });
                self.phase = Phase::Preparing { until: later(now, delay_ms), initial };
            }
            Phase::Preparing { until, initial: None } if until <= now || self.have_all_joined() => {
                self.complete_join(now, effects);
            }
            Phase::Stable => self.answer_returned(now, effects),
            Phase::Empty | Phase::Preparing { .. } | Phase::Completing => {}
        }
    }

    /// True when nobody is missing, also of those who got their ids just now.
    fn have_all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some())
    }

    /// Ends the join phase: dynamic members that did not rejoin are out, the others make the next generation.
    fn complete_join(&mut self, now: Timestamp, effects: &mut Effects) {
        self.members.retain(|_, member| member.joining.is_some() || member.record.instance.is_some());
        self.keep_a_leader();
        if self.members.is_empty() {
            self.next_generation();
            self.phase = Phase::Empty;
            self.protocol = None;
            self.must_record = true;
            return;
        }
        if !self.elect_leader() {
            // There are static members alone, and none has come back: their session time-outs decide.
            let timeout_ms = self.rebalance_timeout_ms().max(POSTPONED_MS_MIN);
            self.phase = Phase::Preparing { until: later(now, timeout_ms), initial: None };
            return;
        }
        self.next_generation();
        self.protocol = self.vote();
        self.phase = Phase::Completing;
        self.sync_until = Some(later(now, self.rebalance_timeout_ms()));
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.join_answer(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.answer_join(Ok(answer), effects);
            member.renew_session(now);
            member.is_new = false;
            member.must_sync = true;
        }
    }

    /// Generations begin anew after the last one; 0 is that of a group that never had any.
    fn next_generation(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.is_taken_over = false;
    }

    /// The longest that any member may take to rejoin.
    fn rebalance_timeout_ms(&self) -> i32 {
        let timeouts = self.members.values().map(|member| member.record.rebalance_timeout_ms);
        timeouts.max().unwrap_or(0).max(0)
    }

    /// Sees to it that a member leads, if there is any.
    pub(super) fn keep_a_leader(&mut self) {
        if !self.leader.as_ref().is_some_and(|leader| self.members.contains_key(leader)) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Sees to it that a member leads that has rejoined; false when none has.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |id: &MemberId| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if !self.leader.as_ref().is_some_and(has_joined) {
            let joined = self.members.iter().find(|(_, member)| member.joining.is_some());
            let Some((id, _)) = joined else { return false };
            self.leader = Some(id.clone());
        }
        true
    }

    /// The protocol for which most members vote. Each votes for the one that it wants most of those that all speak;
    /// of several with as many votes the first by name is chosen, so that it does not depend on an order of joining.
    pub(super) fn vote(&self) -> Option<String> {
        let is_common = |name: &str| self.members.values().all(|member| member.speaks(name));
        let mut candidates: BTreeMap<&str, bool> = BTreeMap::new();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let mut names = member.record.protocols.iter().map(|(name, _)| name.as_str());
            let wanted = names.find(|name| *candidates.entry(name).or_insert_with(|| is_common(name)));
            if let Some(name) = wanted {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().max().copied()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned())
    }
}
