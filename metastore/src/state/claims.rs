//! Claims: which compactor does what, so that several share the work. They save work and guard nothing: whoever
//! publishes second is refused, claim or none. There is no clock in them. A claimant that has watched another's claim
//! unchanged for its time-out, by its own clock, names the version that it has seen and takes the work over.

use std::collections::BTreeMap;

use ebb_protocol::ids::AgentId;
use serde::{Deserialize, Serialize};

use crate::{command::Work, limits::CLAIMS_MAX, outcome::Refusal};

/// A claim to a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The agent that does it.
    pub holder: AgentId,
    /// Changes whenever the claim is granted or renewed, and is never used again.
    pub version: u64,
}

/// All claims. No two overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    held: BTreeMap<Work, Claim>,
    last_version: u64,
}

impl Claims {
    /// Sorted by work.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Work, Claim)> {
        self.held.iter().map(|(work, claim)| (*work, *claim))
    }

    /// Gives the work to an agent, which takes the place of its own claims that overlap and of the one that it has
    /// seen unchanged for long; returns the claim's version.
    pub(crate) fn claim(&mut self, work: Work, holder: AgentId, seen: Option<u64>) -> Result<u64, Refusal> {
        let overlapping: Vec<_> = self.iter().filter(|(held, _)| held.overlaps(work)).collect();
        if overlapping.iter().any(|(_, claim)| claim.holder != holder && Some(claim.version) != seen) {
            return Err(Refusal::WorkClaimed);
        }
        if self.held.len() - overlapping.len() >= CLAIMS_MAX {
            return Err(Refusal::ClaimsFull);
        }
        for (held, _) in overlapping {
            self.held.remove(&held);
        }
        self.last_version += 1;
        self.held.insert(work, Claim { holder, version: self.last_version });
        Ok(self.last_version)
    }

    /// Gives a claim back. One that is not held (any more) is no harm.
    pub(crate) fn release(&mut self, work: Work, holder: AgentId) -> Result<(), Refusal> {
        match self.held.get(&work) {
            Some(claim) if claim.holder != holder => Err(Refusal::WorkClaimed),
            _ => {
                self.held.remove(&work);
                Ok(())
            }
        }
    }

    /// Whether no further claim can be granted.
    pub(crate) fn is_full(&self) -> bool {
        self.held.len() >= CLAIMS_MAX
    }

    /// Drops the claims that are not to stay.
    pub(crate) fn keep(&mut self, stays: impl Fn(Work, Claim) -> bool) {
        self.held.retain(|work, claim| stays(*work, *claim));
    }
}
