//! Objects that were listed and that the state does not know. Knows no store.

use std::{collections::BTreeMap, time::Duration};

use ebb_metastore::state::State;
use ebb_protocol::ids::Timestamp;

use super::{SweeperConfig, swept::Swept};

/// Suspects that are remembered at once, the oldest; a later listing finds the others.
const SUSPECTS_MAX: usize = 1 << 16;

/// Objects that may be orphans, with their sizes, and how many objects were listed with them.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    found: BTreeMap<Swept, u64>,
    listed: u64,
}

impl Suspects {
    /// Begins a new listing.
    pub(super) fn begin(&mut self) {
        self.listed = 0;
    }

    /// Takes note of a listed object that the state knows.
    pub(super) fn known(&mut self) {
        self.listed += 1;
    }

    /// Takes note of one that it does not know.
    pub(super) fn suspect(&mut self, object: Swept, bytes: u64) {
        self.listed += 1;
        self.found.insert(object, bytes);
        if self.found.len() > SUSPECTS_MAX {
            self.found.pop_last();
        }
    }

    /// Drops those that the state knows by now.
    pub(super) fn clear(&mut self, state: &State) {
        self.found.retain(|object, _| object.is_unknown(state));
    }

    /// How long the oldest suspect is still too young, when what was minted before `horizon` is old enough.
    pub(super) fn next_due(&self, horizon: Timestamp) -> Option<Duration> {
        let (oldest, _) = self.found.first_key_value()?;
        let millis = oldest.minted_at().0.saturating_sub(horizon.0).saturating_add(1);
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
    }

    /// Those minted before `horizon`, oldest first, as many as the breaker lets through; and how many it holds back.
    pub(super) fn due(&self, horizon: Timestamp, config: &SweeperConfig) -> (Vec<(Swept, u64)>, usize) {
        let old = self.found.iter().take_while(|(object, _)| object.minted_at() < horizon);
        let mut due: Vec<_> = old.map(|(object, bytes)| (*object, *bytes)).collect();
        let share = self.listed.saturating_mul(config.orphans_per_pass_percent_max) / 100;
        let most = usize::try_from(share.max(config.orphans_per_pass_min)).unwrap_or(usize::MAX);
        let held_back = due.len().saturating_sub(most);
        due.truncate(most);
        (due, held_back)
    }

    /// A suspect was deleted.
    pub(super) fn done(&mut self, object: Swept) {
        self.found.remove(&object);
    }
}

#[cfg(test)]
mod tests {
    use ebb_protocol::ids::SegmentId;

    use super::*;

    fn segment(minted_at: u128) -> Swept {
        Swept::segment(SegmentId(minted_at << 80))
    }

    #[test]
    fn the_breaker_lets_a_share_through() {
        let config = SweeperConfig {
            orphans_per_pass_percent_max: 10,
            orphans_per_pass_min: 3,
            ..SweeperConfig::default()
        };
        let check = |known: u64, suspects: u128, expect: (usize, usize)| {
            let mut found = Suspects::default();
            (0..known).for_each(|_| found.known());
            (0..suspects).for_each(|minted_at| found.suspect(segment(minted_at), 1));
            let (due, held_back) = found.due(Timestamp(1_000), &config);
            assert_eq!((due.len(), held_back), expect, "{known} known, {suspects} suspects");
        };
        check(0, 0, (0, 0));
        check(0, 3, (3, 0));
        check(0, 5, (3, 2));
        check(90, 10, (10, 0));
        check(80, 20, (10, 10));
    }

    #[test]
    fn the_young_wait() {
        let mut found = Suspects::default();
        assert_eq!(found.next_due(Timestamp(0)), None);
        found.suspect(segment(500), 9);
        found.suspect(segment(700), 9);
        assert_eq!(found.next_due(Timestamp(100)), Some(Duration::from_millis(401)));
        assert_eq!(found.next_due(Timestamp(501)), Some(Duration::ZERO));
        assert_eq!(found.due(Timestamp(500), &SweeperConfig::default()).0, []);
        assert_eq!(found.due(Timestamp(501), &SweeperConfig::default()).0, [(segment(500), 9)]);
    }
}
