//! Committed offsets of the groups that this agent coordinates. They live in the metastore's state alone; a machine is
//! only asked whether a member may commit. Knows nothing of Kafka's messages.

use std::sync::Arc;

use ebb_coordinator::GroupError;
use ebb_metastore::{
    MetastoreError, Pending, Submission,
    command::{Command, CommitFence, CommitOffsets, CommittedOffset, DeleteOffsets},
    outcome::{Outcome, Refusal},
    state::GroupBody,
};
use ebb_protocol::{
    ids::{GroupId, MemberId, PartitionIndex, TopicId},
    planted::{Bug, is_planted},
};

use super::Groups;

/// Who commits, or asks for offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committer {
    /// The member's id; empty for somebody outside the group.
    pub member: String,
    /// Its `group.instance.id`.
    pub instance: Option<String>,
    /// Its generation (classic) or member epoch (KIP-848); -1 for somebody outside the group.
    pub generation: i32,
}

/// An offset and its place.
pub type PlacedOffset = (TopicId, PartitionIndex, CommittedOffset);

/// A commit whose place among the others is fixed.
#[derive(Debug)]
pub struct PendingCommit {
    /// Nothing, when there is nothing to wait for.
    pending: Option<Pending>,
    is_epoch: bool,
}

impl PendingCommit {
    /// Waits until it is durable.
    ///
    /// # Errors
    /// See [`Groups::commit`].
    pub async fn durable(self) -> Result<(), GroupError> {
        let Some(pending) = self.pending else { return Ok(()) };
        outcome(pending.outcomes().await)?.map_err(|refusal| match refusal {
            Refusal::StaleMember if self.is_epoch => GroupError::StaleMemberEpoch,
            Refusal::GroupTooLarge => GroupError::OffsetsTooLarge,
            refusal => refused(&refusal),
        })
    }
}

impl Groups {
    /// Commits offsets on behalf of a member, or of somebody outside when the group has no members. They are durable
    /// when this returns.
    ///
    /// # Errors
    /// [`GroupError`] when the member may not, or this agent does not coordinate the group;
    /// [`GroupError::Unavailable`] when the commit may or may not have taken effect.
    pub async fn commit(
        self: &Arc<Self>,
        group: &GroupId,
        committer: &Committer,
        offsets: Vec<PlacedOffset>,
    ) -> Result<(), GroupError> {
        self.begin_commit(group, committer, offsets).await?.durable().await
    }

    /// Begins what [`Groups::commit`] does. Commits take effect in the order in which they have begun, and go on whether
    /// or not anybody waits for them.
    ///
    /// # Errors
    /// See [`Groups::commit`].
    pub async fn begin_commit(
        self: &Arc<Self>,
        group: &GroupId,
        committer: &Committer,
        offsets: Vec<PlacedOffset>,
    ) -> Result<PendingCommit, GroupError> {
        self.coordinated(group).await?;
        let fence = self.fence(group, committer)?;
        let is_epoch = matches!(fence, CommitFence::Consumer(..));
        if offsets.is_empty() {
            return Ok(PendingCommit { pending: None, is_epoch });
        }
        let command = Command::CommitOffsets(CommitOffsets { group: group.clone(), fence, offsets });
        if is_planted(Bug::CommitAckBeforeDurable) {
            let metastore = self.metastore.clone();
            tokio::spawn(async move { metastore.submit_patiently(vec![command]).await });
            return Ok(PendingCommit { pending: None, is_epoch });
        }
        // Of commits there are many, and one append can carry thousands.
        let pending = self.metastore.enqueue_patiently(vec![command]).await.map_err(unavailable)?;
        Ok(PendingCommit { pending: Some(pending), is_epoch })
    }

    /// Checks that a member of a KIP-848 group which says who it is may read the group's offsets. The caller has
    /// looked at the log's tail (see [`Groups::look_at_tail`]).
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`], [`GroupError::UnknownMember`], [`GroupError::StaleMemberEpoch`].
    pub fn check_reader(self: &Arc<Self>, group: &GroupId, committer: &Committer) -> Result<(), GroupError> {
        self.check_coordinates(group)?;
        let is_consumer = self.metastore.read(|state| {
            state.group(group).is_some_and(|found| matches!(found.body, GroupBody::Consumer(..)))
        });
        if is_consumer && !(committer.member.is_empty() && committer.generation < 0) {
            self.fence(group, committer)?;
        }
        Ok(())
    }

    /// Removes committed offsets. The caller has checked that nobody subscribes to the topics.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`] and what [`Groups::commit`] gives.
    pub async fn delete_offsets(
        &self,
        group: &GroupId,
        partitions: Vec<(TopicId, PartitionIndex)>,
    ) -> Result<(), GroupError> {
        let command = Command::DeleteOffsets(DeleteOffsets { group: group.clone(), partitions });
        self.submit(command).await?.map_err(|refusal| refused(&refusal))
    }

    /// Deletes a group that has no members, with its offsets. The caller has looked at the log's tail.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`], [`GroupError::NotEmpty`] and what [`Groups::commit`] gives.
    pub async fn delete(self: &Arc<Self>, group: &GroupId) -> Result<(), GroupError> {
        self.check_coordinates(group)?;
        if !self.look(group, |machine, _| machine.is_idle())? {
            return Err(GroupError::NotEmpty);
        }
        let deleted = self.submit(Command::DeleteGroup { group: group.clone() }).await?;
        if deleted.is_ok() {
            self.forget(group);
        }
        deleted.map_err(|refusal| refused(&refusal))
    }

    fn fence(self: &Arc<Self>, group: &GroupId, committer: &Committer) -> Result<CommitFence, GroupError> {
        let member = MemberId::from(&*committer.member);
        if is_planted(Bug::CommitUnfenced) {
            return Ok(CommitFence::Classic(member, committer.generation));
        }
        let instance = committer.instance.as_deref();
        self.look(group, |machine, now| machine.check_commit(now, &member, instance, committer.generation))?
    }

    async fn submit(&self, command: Command) -> Result<Result<(), Refusal>, GroupError> {
        let submission = Submission { commands: vec![command], ..Submission::default() };
        outcome(self.metastore.submit(submission).await)
    }
}

/// What became of one command.
fn outcome(submitted: Result<Vec<Outcome>, MetastoreError>) -> Result<Result<(), Refusal>, GroupError> {
    match submitted.map(|mut outcomes| outcomes.pop()) {
        Ok(Some(Outcome::Refused(refusal))) => Ok(Err(refusal)),
        Ok(_) => Ok(Ok(())),
        Err(error) => Err(unavailable(error)),
    }
}

fn unavailable(error: MetastoreError) -> GroupError {
    GroupError::Unavailable(error.to_string())
}

/// What `apply` says of a group's command, in the words of groups.
pub(super) fn refused(refusal: &Refusal) -> GroupError {
    match refusal {
        Refusal::NotCoordinator | Refusal::StaleGroup | Refusal::StaleAgent | Refusal::OutOfTurn => {
            GroupError::NotCoordinator
        }
        Refusal::UnknownGroup => GroupError::UnknownGroup,
        Refusal::GroupNotEmpty => GroupError::NotEmpty,
        Refusal::UnknownMember => GroupError::UnknownMember,
        Refusal::StaleMember => GroupError::IllegalGeneration,
        Refusal::GroupFull => GroupError::GroupFull,
        Refusal::GroupTooLarge => GroupError::GroupTooLarge,
        Refusal::GroupsFull => GroupError::GroupsFull,
        Refusal::OffsetMetadataTooLarge => GroupError::OffsetMetadataTooLarge,
        refusal => GroupError::Unavailable(refusal.to_string()),
    }
}
