//! Groups as the List and Describe APIs show them. Callers have looked at the log's tail (`Groups::look_at_tail`), once
//! for all groups that they ask about. Knows nothing of Kafka's messages.

use std::{collections::BTreeMap, sync::Arc};

use ebb_coordinator::{Description, GroupError, GroupState, Summary};
use ebb_protocol::ids::GroupId;

use super::Groups;

impl Groups {
    /// Whether the group has been recorded.
    #[must_use]
    pub fn exists(&self, group: &GroupId) -> bool {
        self.metastore.read(|state| state.group(group).is_some())
    }

    /// A group as its machine knows it, or else as it was recorded; `None` when there is no such group.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`].
    pub fn describe(self: &Arc<Self>, group: &GroupId) -> Result<Option<Description>, GroupError> {
        self.check_coordinates(group)?;
        let description = self.look(group, |machine, _| machine.describe())?;
        let is_known = !matches!(description, Description::Simple) || self.exists(group);
        Ok(is_known.then_some(description))
    }

    /// Whether there is such a group.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`].
    pub fn is_known(self: &Arc<Self>, group: &GroupId) -> Result<bool, GroupError> {
        self.check_coordinates(group)?;
        let summary = self.look(group, |machine, _| machine.summary())?;
        Ok(summary.state != GroupState::Simple || self.exists(group))
    }

    /// All groups that this agent coordinates, by name.
    #[must_use]
    pub fn list(self: &Arc<Self>) -> BTreeMap<GroupId, Summary> {
        let (mut listed, mut awake) = (BTreeMap::new(), Vec::new());
        self.metastore.read(|state| {
            for (id, group) in state.groups().filter(|(id, _)| self.holds(state, id)) {
                match Summary::of_empty(group) {
                    Some(summary) => drop(listed.insert(id.clone(), summary)),
                    None => awake.push(id.clone()),
                }
            }
        });
        awake.extend(self.table.lock().slots.keys().cloned());
        for id in awake {
            match self.look(&id, |machine, _| machine.summary()) {
                // Nobody has come, and nothing may have been recorded either.
                Ok(summary) if summary.state == GroupState::Simple => {}
                Ok(summary) => drop(listed.insert(id, summary)),
                // One that has moved meanwhile is listed by its new coordinator.
                Err(_) => drop(listed.remove(&id)),
            }
        }
        listed
    }

    /// Whether a member of the group subscribes to the topic.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`].
    pub fn subscribes(self: &Arc<Self>, group: &GroupId, topic: &str) -> Result<bool, GroupError> {
        self.look(group, |machine, _| machine.subscribes_to(topic))
    }
}
