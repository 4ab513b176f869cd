//! What follows from applied entries: groups that move to other agents are let go of, groups that come are taken over
//! with their members' time-outs, and machines are told that topics have changed. Compares a few numbers an entry, so
//! that entries which change neither agents nor topics cost nothing.

use std::sync::Arc;

use ebb_coordinator::Event;
use ebb_metastore::state::State;
use ebb_protocol::{
    ids::{AgentEpoch, GroupId},
    planted::{Bug, is_planted},
};

use super::Groups;

/// What the service has seen of the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The highest epoch of a live agent and their number: epochs only rise, so no two sets share both.
    agents: Option<(AgentEpoch, usize)>,
    topics: u64,
}

impl Seen {
    fn of(state: &State) -> Self {
        let newest = state.agents().map(|agent| agent.epoch).max();
        let agents = newest.map(|newest| (newest, state.agents().count()));
        Self { agents, topics: state.topics_fingerprint() }
    }
}

impl Groups {
    /// Brings the machines up to the state.
    pub(super) fn follow(self: &Arc<Self>, seen: &mut Seen) {
        let before = std::mem::replace(seen, self.metastore.read(Seen::of));
        if before.agents != seen.agents {
            self.let_go();
            let coming = self.metastore.read(|state| {
                let with_members = state.groups().filter(|(_, group)| group.body.members() > 0);
                let ours = with_members.filter(|(id, _)| self.holds(state, id));
                ours.map(|(id, _)| id.clone()).collect::<Vec<_>>()
            });
            for group in coming {
                self.take_over(&group);
            }
        }
        if before.topics != seen.topics {
            let slots: Vec<_> = self.table.lock().slots.values().cloned().collect();
            for slot in slots {
                let mut inner = slot.inner.lock();
                self.step(&slot, &mut inner, Event::TopicsChanged);
            }
        }
    }

    /// Lets go of the groups that have moved.
    fn let_go(&self) {
        if is_planted(Bug::GroupKeptAfterMove) {
            return;
        }
        let mut slots: Vec<_> = self.table.lock().slots.values().cloned().collect();
        self.metastore.read(|state| slots.retain(|slot| !self.holds(state, &slot.group)));
        for slot in slots {
            self.counts.moved(&slot.group);
            self.drop_machine(&slot, &mut slot.inner.lock());
        }
    }

    /// Loads a group that has members, so that those who do not come are missed.
    pub(super) fn take_over(self: &Arc<Self>, group: &GroupId) {
        let has_members = |state: &State| state.group(group).is_some_and(|group| group.body.members() > 0);
        if !self.metastore.read(has_members) {
            return;
        }
        // Another agent may have got it meanwhile.
        if let Ok(slot) = self.load(group) {
            self.settle(&slot, &mut slot.inner.lock());
        }
    }
}
