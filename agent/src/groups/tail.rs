//! Whether this agent still coordinates a group. That follows from the metastore's state, and the state is as old as
//! the last look at the log's tail: an agent that is cut off from the log may have been put out long ago. So a look
//! holds for some seconds, and is taken when a request gives a reason; an agent that nobody asks looks at nothing.
//! Knows nothing of machines.

use std::{sync::Arc, time::Duration};

use ebb_coordinator::GroupError;
use ebb_metastore::{limits::GROUP_ID_BYTES_MAX, state::State};
use ebb_protocol::{
    ids::GroupId,
    planted::{Bug, is_planted},
};
use tokio::time::{Instant, timeout};

use super::Groups;

/// While members ask, this agent looks at the log's tail so often, and nobody waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A look holds for this long. After that a member's request waits for the next one.
const LOOK_HOLDS: Duration = Duration::from_secs(4);

/// A request waits for a look at most this long: long enough for one that is lost on its way and asked again.
const LOOK_MAX: Duration = Duration::from_secs(8);

const _: () = assert!(LOOK_EVERY.as_secs() < LOOK_HOLDS.as_secs(), "a look must come before it is missed");

/// When this agent looked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looks {
    /// What was acknowledged before then is known here.
    known: Instant,
    /// The last look that nobody waits for began then.
    begun: Instant,
}

impl Looks {
    pub(super) fn new(now: Instant) -> Self {
        Self { known: now, begun: now }
    }
}

impl Groups {
    /// Makes sure that this agent coordinates the group, as far as it knows; an agent that thinks that it does not
    /// asks the log's tail first.
    ///
    /// # Errors
    /// [`GroupError::InvalidGroupId`], [`GroupError::NotCoordinator`], [`GroupError::Unavailable`].
    pub async fn coordinated(&self, group: &GroupId) -> Result<(), GroupError> {
        check_id(group)?;
        if self.coordinates(group) {
            return Ok(());
        }
        self.look_at_tail().await?;
        self.check_coordinates(group)
    }

    /// Makes sure that what this agent knows of the log is not old: looks at once when it is, and in the background
    /// when it soon will be.
    ///
    /// # Errors
    /// [`GroupError::Unavailable`].
    pub(super) async fn know(self: &Arc<Self>) -> Result<(), GroupError> {
        let now = Instant::now();
        let looks = *self.looks.lock();
        if now.duration_since(looks.known) >= LOOK_HOLDS {
            return self.look_at_tail().await;
        }
        if now.duration_since(looks.known.max(looks.begun)) >= LOOK_EVERY {
            self.looks.lock().begun = now;
            let this = self.clone();
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = this.aborting.cancelled() => {}
                    looked = this.look_at_tail() => if let Err(error) = looked {
                        tracing::info!(%error, "the log's tail cannot be looked at on behalf of groups");
                    }
                }
            });
        }
        Ok(())
    }

    /// Looks at the log's tail: whatever another coordinator was told to be done is applied here afterwards.
    ///
    /// # Errors
    /// [`GroupError::Unavailable`].
    pub async fn look_at_tail(&self) -> Result<(), GroupError> {
        if is_planted(Bug::CommittedFromReplica) {
            return Ok(());
        }
        let begun = Instant::now();
        match timeout(LOOK_MAX, self.metastore.tail_check()).await {
            Ok(Ok(_)) => {
                let mut looks = self.looks.lock();
                looks.known = looks.known.max(begun);
                Ok(())
            }
            Ok(Err(error)) => Err(GroupError::Unavailable(error.to_string())),
            Err(_) => Err(GroupError::Unavailable("the commit log does not answer".to_owned())),
        }
    }

    /// Checks that this agent coordinates the group, by what it knows now.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`].
    pub(super) fn check_coordinates(&self, group: &GroupId) -> Result<(), GroupError> {
        if self.coordinates(group) { Ok(()) } else { Err(GroupError::NotCoordinator) }
    }

    fn coordinates(&self, group: &GroupId) -> bool {
        if is_planted(Bug::GroupKeptAfterMove) && self.find(group).is_some() {
            return true;
        }
        self.metastore.read(|state| self.holds(state, group))
    }

    pub(super) fn holds(&self, state: &State, group: &GroupId) -> bool {
        state.coordinator(group).is_some_and(|agent| agent.id == self.agent)
    }
}

/// A group whose id is too long can never be recorded, so no retry would help.
pub(super) fn check_id(group: &GroupId) -> Result<(), GroupError> {
    if group.as_str().len() > GROUP_ID_BYTES_MAX { Err(GroupError::InvalidGroupId) } else { Ok(()) }
}
