//! Groups as the List and Describe APIs show them. Knows nothing of Kafka's messages.

use std::{collections::BTreeSet, sync::Arc};

use ebb_coordinator::{Description, GroupError};
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
    /// [`GroupError::NotCoordinator`], [`GroupError::Unavailable`].
    pub async fn describe(self: &Arc<Self>, group: &GroupId) -> Result<Option<Description>, GroupError> {
        self.coordinated_now(group).await?;
        let description = self.look(group, |machine, _| machine.describe())?;
        let is_known = !matches!(description, Description::Simple) || self.exists(group);
        Ok(is_known.then_some(description))
    }
    /// All groups that this agent coordinates, sorted by name, as [`Groups::describe`] tells them.
    ///
    /// # Errors
    /// [`GroupError::Unavailable`].
    pub async fn list(self: &Arc<Self>) -> Result<Vec<(GroupId, Description)>, GroupError> {
        self.check_tail().await?;
        let mut ids: BTreeSet<_> = self.table.lock().slots.keys().cloned().collect();
        self.metastore.read(|state| {
            let ours = state.groups().filter(|(id, _)| self.holds(state, id));
            ids.extend(ours.map(|(id, _)| id.clone()));
        });
        let mut groups = Vec::with_capacity(ids.len());
        for id in ids {
            // One that has moved meanwhile is listed by its new coordinator.
            let Ok(description) = self.look(&id, |machine, _| machine.describe()) else { continue };
            if !matches!(description, Description::Simple) || self.exists(&id) {
                groups.push((id, description));
            }
        }
        Ok(groups)
    }

    /// Whether a member of the group subscribes to the topic.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`].
    pub fn subscribes(self: &Arc<Self>, group: &GroupId, topic: &str) -> Result<bool, GroupError> {
        self.look(group, |machine, _| machine.subscribes_to(topic))
    }
}
