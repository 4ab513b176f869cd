//! What listed segments are to the state, and a dry run over all of them. Changes nothing.

use std::{sync::Arc, time::Duration};

use ebb_metastore::{command::ObjectRef, state::State};
use ebb_protocol::ids::{SegmentId, Timestamp};
use ebb_segment::key;
use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path};

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

/// The segments of a bucket, by what they are to the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Coordinates refer to them.
    pub referenced: Tally,
    /// Coordinates referred to them; they are deleted after their grace.
    pub dead: Tally,
    /// Never committed, and so young that they may yet be.
    pub young: Tally,
    /// Never committed and older than the grace: the next sweep deletes them.
    pub orphans: Tally,
    /// Keys among the segments that name no segment, the first hundred: nobody touches them.
    pub strangers: Vec<Path>,
    /// How many such keys there are.
    pub strangers_found: u64,
}

impl Survey {
    /// All segments.
    #[must_use]
    pub fn objects(&self) -> u64 {
        [self.referenced, self.dead, self.young, self.orphans].iter().map(|tally| tally.objects).sum()
    }

    pub(super) fn add(&mut self, standing: Standing, bytes: u64) {
        match standing {
            Standing::Referenced => self.referenced.add(bytes),
            Standing::Dead => self.dead.add(bytes),
            Standing::Young => self.young.add(bytes),
            Standing::Orphan => self.orphans.add(bytes),
        }
    }

    pub(super) fn stranger(&mut self, key: Path) {
        self.strangers_found += 1;
        if self.strangers.len() < STRANGERS_NAMED_MAX {
            self.strangers.push(key);
        }
    }
}

/// What a segment is to the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Referenced,
    Dead,
    Young,
    Orphan,
}

/// What a segment is to the state, when whatever was minted at or after `horizon` counts as young.
pub(super) fn standing(state: &State, id: SegmentId, horizon: Timestamp) -> Standing {
    let object = ObjectRef::Segment(id);
    if state.is_referenced(object) {
        Standing::Referenced
    } else if state.is_dead(object) {
        Standing::Dead
    } else if id.minted_at() < horizon {
        Standing::Orphan
    } else {
        Standing::Young
    }
}

/// An instant `grace` before `now`.
pub(super) fn before(now: Timestamp, grace: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX)))
}

/// Lists all segments and says what they are to `state`: a dry run of the sweep. Segments that were uploaded after the
/// state was loaded count as young.
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
    let mut listing = store.list(Some(&Path::from(key::PREFIX)));
    while let Some(object) = listing.try_next().await? {
        match key::parse(&object.location) {
            Some(id) => found.add(standing(state, id, horizon), object.size),
            None => found.stranger(object.location),
        }
    }
    Ok(found)
}
