//! What is recorded of the group, and what follows when it is. There is at most one update in flight; whatever is to
//! be recorded meanwhile waits, and is then computed from the group as it stands.

use std::collections::BTreeMap;

use ebb_metastore::command::{ClassicGroup, GroupChange};
use ebb_protocol::ids::{MemberId, Timestamp};

use super::{ClassicMachine, rebalance::Phase};
use crate::{Effects, Reply, Ticket};

/// An update in flight.
#[derive(Debug)]
pub(super) struct Flight {
    /// The generation that it records; `None` when it only records that static members have got other ids.
    generation: Option<i32>,
    /// The members that it adds or replaces.
    put: BTreeMap<MemberId, Put>,
    /// The members that it removes.
    removed: Vec<MemberId>,
    /// Answers that are given when it is recorded.
    pub(super) held: Vec<(Ticket, Reply)>,
}

/// A member that is added or replaced.
#[derive(Debug)]
struct Put {
    instance: Option<String>,
    assignment: Vec<u8>,
}

impl Flight {
    /// True when it records a generation.
    pub(super) fn has_generation(&self) -> bool {
        self.generation.is_some()
    }
}

impl ClassicMachine {
    /// Sends off what is to be recorded, unless an update is in flight.
    pub(super) fn record(&mut self, effects: &mut Effects) {
        if !self.must_record || self.in_flight.is_some() {
            return;
        }
        self.must_record = false;
        let (generation, changes) = match (&self.phase, &self.assigned) {
            (Phase::Empty, _) => (Some(self.generation), self.emptied()),
            (Phase::Completing, Some(assigned)) => (Some(self.generation), self.assigned_whole(assigned)),
            _ => (None, self.moved()),
        };
        let held = std::mem::take(&mut self.held);
        if changes.is_empty() {
            effects.replies.extend(held);
            return;
        }
        let mut flight = Flight { generation, put: BTreeMap::new(), removed: Vec::new(), held };
        for change in &changes {
            match change {
                GroupChange::PutClassicMember(id, member) => {
                    let put =
                        Put { instance: member.instance.clone(), assignment: member.assignment.clone() };
                    flight.put.insert(id.clone(), put);
                }
                GroupChange::RemoveMember(id) => flight.removed.push(id.clone()),
                _ => {}
            }
        }
        self.in_flight = Some(flight);
        effects.store = Some(changes);
    }

    /// The update in flight is recorded.
    pub(super) fn stored(&mut self, now: Timestamp, effects: &mut Effects) {
        let Some(flight) = self.in_flight.take() else { return };
        for id in &flight.removed {
            self.recorded.remove(id);
        }
        for (id, put) in flight.put {
            // A static member may have got another id meanwhile: what is recorded of the instance is its own still.
            // What it had before may be another member's by now.
            let heir = put.instance.as_deref().and_then(|instance| self.static_member(instance));
            if let Some(member) = self.members.get_mut(heir.as_ref().unwrap_or(&id)) {
                member.record.assignment = put.assignment;
            }
            self.recorded.insert(id, put.instance);
        }
        effects.replies.extend(flight.held);
        let Some(generation) = flight.generation else { return };
        self.recorded_generation = generation;
        self.inherited.clear();
        if self.phase == Phase::Completing && self.generation == generation {
            self.assignments_recorded(now, effects);
        }
    }

    /// What the members share.
    pub(super) fn shared(&self) -> ClassicGroup {
        ClassicGroup {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
        }
    }

    /// A group that has no members any more.
    fn emptied(&self) -> Vec<GroupChange> {
        let removed = self.recorded.keys().cloned().map(GroupChange::RemoveMember);
        [GroupChange::Classic(self.shared())].into_iter().chain(removed).collect()
    }

    /// A generation with its assignments; whom the leader passed over gets an empty one.
    fn assigned_whole(&self, assigned: &BTreeMap<MemberId, Vec<u8>>) -> Vec<GroupChange> {
        let mut changes = vec![GroupChange::Classic(self.shared())];
        let gone = self.recorded.keys().filter(|id| !self.members.contains_key(id));
        changes.extend(gone.cloned().map(GroupChange::RemoveMember));
        for (id, member) in &self.members {
            let mut record = member.record.clone();
            record.assignment = assigned.get(id).cloned().unwrap_or_default();
            changes.push(GroupChange::PutClassicMember(id.clone(), Box::new(record)));
        }
        changes
    }

    /// Static members that are recorded under the ids that they had before. Their assignments are theirs still.
    fn moved(&self) -> Vec<GroupChange> {
        let mut changes = Vec::new();
        for (id, member) in self.members.iter().filter(|(id, _)| !self.recorded.contains_key(id)) {
            let Some(instance) = &member.record.instance else { continue };
            let old: Vec<_> =
                self.recorded.iter().filter(|(_, name)| name.as_ref() == Some(instance)).collect();
            if !old.is_empty() {
                changes.extend(old.into_iter().map(|(id, _)| GroupChange::RemoveMember(id.clone())));
                changes.push(GroupChange::PutClassicMember(id.clone(), Box::new(member.record.clone())));
            }
        }
        if !changes.is_empty() && self.phase == Phase::Stable {
            // The leader may be one of them.
            changes.insert(0, GroupChange::Classic(self.shared()));
        }
        changes
    }
}
