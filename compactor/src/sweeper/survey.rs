//! What listed objects are to the state, and a dry run over all of them. Changes nothing.

use std::{sync::Arc, time::Duration};

use ebb_metastore::state::State;
use ebb_protocol::ids::Timestamp;
use ebb_segment::key;
use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path};

use super::swept::Swept;

/// Foreign keys that a survey names; more are only counted.
const STRANGERS_NAMED_MAX: usize = 100;

/// A number of objects and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many objects.
    pub objects: u64,
    /// Their bytes as listed.
    pub bytes: u64,
}

impl Tally {
    /// Counts one object of so many bytes.
    pub(super) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// Objects of one kind, by what they are to the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    /// Coordinates refer to them.
    pub referenced: Tally,
    /// Coordinates referred to them; they are deleted after their grace.
    pub dead: Tally,
    /// Never committed, and so young that they may yet be.
    pub young: Tally,
    /// Never committed and older than the grace: the next sweep deletes them.
    pub orphans: Tally,
}

impl Standings {
    /// All of them.
    #[must_use]
    pub fn objects(&self) -> u64 {
        [self.referenced, self.dead, self.young, self.orphans].iter().map(|tally| tally.objects).sum()
    }

    /// Those that nothing refers to.
    #[must_use]
    pub fn unreferenced(&self) -> Tally {
        let all = [self.dead, self.young, self.orphans];
        Tally {
            objects: all.iter().map(|tally| tally.objects).sum(),
            bytes: all.iter().map(|tally| tally.bytes).sum(),
        }
    }
}

/// The segments and archive files of a bucket, by what they are to the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The segments.
    pub segments: Standings,
    /// The archive files.
    pub archives: Standings,
    /// Keys among them that name neither, the first hundred: nobody touches them.
    pub strangers: Vec<Path>,
    /// How many such keys there are.
    pub strangers_found: u64,
}

impl Survey {
    /// All segments and archive files.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.segments.objects() + self.archives.objects()
    }

    pub(super) fn add(&mut self, object: Swept, standing: Standing, bytes: u64) {
        let standings = if object.is_archive() { &mut self.archives } else { &mut self.segments };
        let tally = match standing {
            Standing::Referenced => &mut standings.referenced,
            Standing::Dead => &mut standings.dead,
            Standing::Young => &mut standings.young,
            Standing::Orphan => &mut standings.orphans,
        };
        tally.add(bytes);
    }

    pub(super) fn stranger(&mut self, key: Path) {
        self.strangers_found += 1;
        if self.strangers.len() < STRANGERS_NAMED_MAX {
            self.strangers.push(key);
        }
    }
}

/// What an object is to the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Referenced,
    Dead,
    Young,
    Orphan,
}

/// What an object is to the state, when whatever was minted at or after `horizon` counts as young.
pub(super) fn standing(state: &State, object: Swept, horizon: Timestamp) -> Standing {
    if state.is_referenced(object.object()) {
        Standing::Referenced
    } else if state.is_dead(object.object()) {
        Standing::Dead
    } else if object.minted_at() < horizon {
        Standing::Orphan
    } else {
        Standing::Young
    }
}

/// An instant `grace` before `now`.
pub(super) fn before(now: Timestamp, grace: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX)))
}

/// Lists all segments and archive files and says what they are to `state`: a dry run of the sweep. What was uploaded
/// after the state was loaded counts as young.
///
/// # Errors
/// The store's, when it cannot be listed.
pub async fn survey(
    state: &State,
    store: &Arc<dyn ObjectStore>,
    now: Timestamp,
    orphan_grace: Duration,
) -> object_store::Result<Survey> {
    let horizon = before(now, orphan_grace);
    let mut found = Survey::default();
    for prefix in [key::PREFIX, key::ARCHIVE_PREFIX] {
        let mut listing = store.list(Some(&Path::from(prefix)));
        while let Some(listed) = listing.try_next().await? {
            match Swept::parse(&listed.location) {
                Some(object) => found.add(object, standing(state, object, horizon), listed.size),
                None => found.stranger(listed.location),
            }
        }
    }
    Ok(found)
}
