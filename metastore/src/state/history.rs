//! The history of the state as a running hash, so that replicas which diverge are found.

use std::collections::VecDeque;

use ebb_protocol::ids::{EntryId, LogPosition, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{entry::StateHash, limits::HISTORY_ENTRIES, outcome::Outcome};

/// This replica's history differs from another's: one of them is wrong, and must not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state's hash at position {position} is {ours:016x} here and {theirs:016x} elsewhere")]
pub struct Diverged {
    /// The position up to which the histories were compared.
    pub position: LogPosition,
    /// The chain here.
    pub ours: u64,
    /// The chain there.
    pub theirs: u64,
}

/// How far the state is, and the chain at the last positions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    /// The position of the next entry.
    position: LogPosition,
    /// The chain after all entries below `position`; 0 at the beginning.
    chain: u64,
    /// Chains at the positions before `position`, oldest first; the last is that at `position` - 1.
    past: VecDeque<u64>,
}

impl History {
    pub(crate) fn position(&self) -> LogPosition {
        self.position
    }

    pub(crate) fn hash(&self) -> StateHash {
        StateHash { position: self.position, chain: self.chain }
    }

    /// Adds the entry at the position, with the state's time and what became of its commands.
    pub(crate) fn push(&mut self, id: EntryId, time: Timestamp, outcomes: &[Outcome]) {
        let link = (self.chain, self.position, id, time, outcomes);
        let bytes = postcard::to_allocvec(&link).expect("outcomes serialise into memory");
        if self.past.len() == HISTORY_ENTRIES {
            self.past.pop_front();
        }
        self.past.push_back(self.chain);
        self.chain = xxh3_64(&bytes);
        self.position = self.position.next();
    }

    /// See [`super::State::check_hash`].
    pub(crate) fn check(&self, theirs: StateHash) -> Result<(), Diverged> {
        let Some(back) = self.position.0.checked_sub(theirs.position.0) else { return Ok(()) };
        let ours = match usize::try_from(back) {
            Ok(0) => Some(self.chain),
            Ok(back) => self.past.len().checked_sub(back).and_then(|at| self.past.get(at)).copied(),
            Err(_) => None,
        };
        match ours {
            Some(ours) if ours != theirs.chain => {
                Err(Diverged { position: theirs.position, ours, theirs: theirs.chain })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_compared_as_far_back_as_they_are_kept() {
        let mut history = History::default();
        let mut all = vec![history.hash()];
        for id in 0..2_000 {
            history.push(EntryId(id), Timestamp(0), &[Outcome::Done]);
            all.push(history.hash());
        }
        for (at, hash) in (0_u64..).zip(&all) {
            assert_eq!(history.check(*hash), Ok(()));
            let other = StateHash { chain: !hash.chain, ..*hash };
            assert_eq!(history.check(other).is_err(), at >= 2_000 - 1_024, "position {at}");
        }
        let ahead = StateHash { position: LogPosition(2_001), chain: 0 };
        assert_eq!(history.check(ahead), Ok(()), "what is ahead cannot be told yet");
    }

    #[test]
    fn everything_that_is_linked_changes_the_chain() {
        let chain = |id, time, outcomes: &[Outcome]| {
            let mut history = History::default();
            history.push(EntryId(id), Timestamp(time), outcomes);
            history.hash().chain
        };
        let base = chain(1, 1, &[Outcome::Done]);
        assert_eq!(base, 0x274b_b333_089a_06ae, "the chain is a format: replicas of all versions share it");
        for other in [chain(2, 1, &[Outcome::Done]), chain(1, 2, &[Outcome::Done]), chain(1, 1, &[])] {
            assert_ne!(base, other);
        }
    }
}
