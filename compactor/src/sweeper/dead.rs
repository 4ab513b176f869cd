//! Keeps watch over dead objects until their grace is over. Knows no store. Archive files have a grace of their own, for
//! as long as analysts may read an old snapshot of a table.
//!
//! The grace counts from when this process first saw the object dead, on tokio's clock: that is never too early,
//! whatever the wall clocks of agents do. A process that does not live that long would never delete anything, so an
//! object that by the wall clock has been dead for much longer than the grace needs no further watch.

use std::{collections::BTreeMap, time::Duration};

use ebb_metastore::{
    command::ObjectRef,
    state::{DeadObject, State},
};
use ebb_protocol::{
    ids::{Timestamp, TopicId},
    planted::{Bug, is_planted},
};
use tokio::time::Instant;

use super::{SweeperConfig, survey::before};

/// Dead objects of one kind that are watched at once; the others have their turn when these are gone.
const WATCHED_MAX: usize = 1 << 15;

/// A dead object under watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    /// Its size, as the state knows it.
    pub(super) bytes: u64,
    /// The topic of an archive file.
    pub(super) topic: Option<TopicId>,
    /// When it may be deleted.
    pub(super) due: Instant,
}

/// How long objects of one kind are watched.
#[derive(Clone, Copy, Debug)]
struct Grace {
    watched: Duration,
    /// What has been dead for this long by the wall clock is not watched any longer.
    long: Duration,
}

/// Dead objects and when they may be deleted.
#[derive(Debug)]
pub(super) struct DeadWatch {
    grace: Grace,
    archive_grace: Grace,
    watched: BTreeMap<ObjectRef, Watched>,
}

impl DeadWatch {
    pub(super) fn new(config: &SweeperConfig) -> Self {
        let grace = Grace { watched: config.dead_grace, long: config.dead_grace.max(config.orphan_grace) };
        let archive_grace =
            Grace { watched: config.archive_grace, long: config.archive_grace + config.orphan_grace };
        Self { grace, archive_grace, watched: BTreeMap::new() }
    }

    fn grace(&self, object: ObjectRef) -> Grace {
        let is_archive = matches!(object, ObjectRef::Archive(_)) && !is_planted(Bug::ArchiveGraceIgnored);
        if is_archive { self.archive_grace } else { self.grace }
    }

    /// Takes up what has died since the last look, and drops what has been forgotten.
    pub(super) fn look(&mut self, state: &State, wall: Timestamp, now: Instant) {
        let watch = |(object, dead): (ObjectRef, DeadObject)| {
            let grace = self.grace(object);
            let fresh = || Watched {
                bytes: dead.bytes,
                topic: dead.topic,
                due: if dead.since < before(wall, grace.long) { now } else { now + grace.watched },
            };
            (object, self.watched.get(&object).copied().unwrap_or_else(fresh))
        };
        self.watched = some_of_each_kind(state.dead_objects(), WATCHED_MAX).map(watch).collect();
    }

    /// When the next object is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.watched.values().map(|watched| watched.due).min()
    }

    /// Up to `count` objects that are due.
    pub(super) fn due(&self, now: Instant, count: usize) -> Vec<(ObjectRef, Watched)> {
        let due = self.watched.iter().filter(|(_, watched)| watched.due <= now);
        due.map(|(object, watched)| (*object, *watched)).take(count).collect()
    }

    /// An object was deleted and is about to be forgotten.
    pub(super) fn done(&mut self, object: ObjectRef) {
        self.watched.remove(&object);
    }
}

/// Up to so many objects of each kind: the state has them kind by kind, and many of one must not keep the others from
/// their turn.
fn some_of_each_kind<T>(
    dead: impl Iterator<Item = (ObjectRef, T)>,
    most: usize,
) -> impl Iterator<Item = (ObjectRef, T)> {
    let (mut entries, mut segments, mut archives) = (most, most, most);
    dead.filter(move |(object, _)| {
        let room = match object {
            ObjectRef::Entry(_) => &mut entries,
            ObjectRef::Segment(_) => &mut segments,
            ObjectRef::Archive(_) => &mut archives,
        };
        let fits = *room > 0;
        *room -= usize::from(fits);
        fits
    })
}

#[cfg(test)]
mod tests {
    use ebb_protocol::ids::{ArchiveId, LogPosition, SegmentId};

    use super::*;

    #[test]
    fn many_of_one_kind_do_not_starve_the_others() {
        let segments = (0..9).map(|id| ObjectRef::Segment(SegmentId(id)));
        let entries = (0..2).map(|at| ObjectRef::Entry(LogPosition(at)));
        let archives = (0..4).map(|id| ObjectRef::Archive(ArchiveId(id)));
        let all = segments.clone().chain(entries.clone()).chain(archives.clone());
        let taken: Vec<_> = some_of_each_kind(all.map(|object| (object, ())), 3).map(|(id, ())| id).collect();
        assert_eq!(taken, segments.take(3).chain(entries).chain(archives.take(3)).collect::<Vec<_>>());
    }
}
