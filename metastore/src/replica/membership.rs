//! An agent's place in the cluster: it makes itself known, learns that it was put out, and is taken out. Knows nothing of
//! what an agent does meanwhile.

use ebb_protocol::ids::AgentId;

use super::{Metastore, MetastoreError, Submission};
use crate::{
    command::{Command, RegisterAgent},
    outcome::{Outcome, Refusal},
};

/// Why an agent could not make itself known.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The commit log could not be written, or this replica has stopped.
    #[error("{0}")]
    Metastore(#[from] MetastoreError),
    /// The cluster does not take it.
    #[error("{0}")]
    Refused(Refusal),
    /// The command has no outcome of its own.
    #[error("the metastore gave no answer")]
    Unanswered,
}

impl Metastore {
    /// Makes an agent live: from then on its entries count.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn register(&self, said: RegisterAgent) -> Result<(), RegisterError> {
        match self.submit(alone(Command::RegisterAgent(said))).await?.pop() {
            Some(Outcome::AgentRegistered { .. }) => Ok(()),
            Some(Outcome::Refused(refusal)) => Err(RegisterError::Refused(refusal)),
            _ => Err(RegisterError::Unanswered),
        }
    }

    /// Resolves when an agent is live no longer, or this replica has stopped.
    pub async fn ousted(&self, agent: AgentId) {
        let mut applied = self.applied();
        while self.read(|state| state.agents().any(|live| live.id == agent))
            && applied.changed().await.is_ok()
        {}
    }

    /// Takes an agent out of the cluster: another one that is silent, or this one when it goes, so that nobody waits
    /// for it.
    ///
    /// # Errors
    /// See [`MetastoreError`].
    pub async fn seal(&self, agent: AgentId) -> Result<(), MetastoreError> {
        self.submit(alone(Command::SealAgent { agent })).await.map(drop)
    }
}

fn alone(command: Command) -> Submission {
    Submission { commands: vec![command], body: Vec::new() }
}
