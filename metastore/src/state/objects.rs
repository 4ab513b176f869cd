//! The life of objects: referenced by coordinates, dead, deleted. Knows ids and sizes, never a store.
//!
//! ```text
//!   uploaded --commit--> referenced --last row gone--> dead --deleted after the grace--> forgotten
//!       \------------ never committed: swept once the sweep boundary has passed its id ------/
//! ```

use std::collections::{BTreeMap, BTreeSet};

use ebb_protocol::ids::{LogPosition, SegmentId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::command::ObjectRef;

/// Every object that the state knows of. An object is in one of the three at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Objects {
    referenced: BTreeMap<ObjectRef, Referenced>,
    dead: BTreeMap<ObjectRef, DeadObject>,
    /// Segments that were deleted, but whose ids are not below the sweep boundary: without this, a late copy of
    /// their commit could refer to bytes that are gone.
    forgotten: BTreeSet<SegmentId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Referenced {
    bytes: u64,
    rows: u64,
}

/// An object that no coordinates refer to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadObject {
    /// Its size in bytes; of an entry, that of its body.
    pub bytes: u64,
    /// When it died: the state's time, or that of the entry if that was later.
    pub since: Timestamp,
}

impl Objects {
    /// Whether a segment was committed before, as far as the sweep boundary does not tell.
    pub(crate) fn committed(&self, segment: SegmentId) -> bool {
        let object = ObjectRef::Segment(segment);
        self.referenced.contains_key(&object)
            || self.dead.contains_key(&object)
            || self.forgotten.contains(&segment)
    }

    /// Takes up a new object to which `rows` rows of coordinates refer.
    pub(crate) fn insert(&mut self, object: ObjectRef, bytes: u64, rows: u64, now: Timestamp) {
        if rows > 0 {
            self.referenced.insert(object, Referenced { bytes, rows });
        } else {
            self.dead.insert(object, DeadObject { bytes, since: now });
        }
    }

    /// Takes note that one row which referred to the object has gone.
    pub(crate) fn release(&mut self, object: ObjectRef, now: Timestamp) {
        let Some(found) = self.referenced.get_mut(&object) else { return };
        found.rows -= 1;
        if found.rows == 0 {
            let bytes = found.bytes;
            self.referenced.remove(&object);
            self.dead.insert(object, DeadObject { bytes, since: now });
        }
    }

    pub(crate) fn is_referenced(&self, object: ObjectRef) -> bool {
        self.referenced.contains_key(&object)
    }

    pub(crate) fn is_dead(&self, object: ObjectRef) -> bool {
        self.dead.contains_key(&object)
    }

    /// Referenced objects with their sizes.
    pub(crate) fn referenced(&self) -> impl Iterator<Item = (ObjectRef, u64)> {
        self.referenced.iter().map(|(object, found)| (*object, found.bytes))
    }

    pub(crate) fn dead(&self) -> impl Iterator<Item = (ObjectRef, DeadObject)> {
        self.dead.iter().map(|(object, dead)| (*object, *dead))
    }

    /// Forgets a dead object that has been deleted. `boundary` is the sweep boundary.
    pub(crate) fn forget(&mut self, object: ObjectRef, boundary: Timestamp) {
        let gone = self.dead.remove(&object).is_some();
        if let ObjectRef::Segment(id) = object
            && gone
            && id.minted_at() >= boundary
        {
            self.forgotten.insert(id);
        }
    }

    /// Drops what the sweep boundary tells from now on.
    pub(crate) fn swept(&mut self, boundary: Timestamp) {
        self.forgotten.retain(|id| id.minted_at() >= boundary);
    }

    /// Positions below `below` of entries whose bodies are referenced or dead but not forgotten.
    pub(crate) fn entries(&self, below: LogPosition) -> Vec<LogPosition> {
        // Segments sort before entries.
        let range = ObjectRef::Entry(LogPosition(0))..ObjectRef::Entry(below);
        let known = self.referenced.range(range.clone()).map(|(object, _)| object);
        let mut positions: Vec<_> =
            known.chain(self.dead.range(range).map(|(object, _)| object)).filter_map(position).collect();
        positions.sort_unstable();
        positions
    }
}

fn position(object: &ObjectRef) -> Option<LogPosition> {
    match object {
        ObjectRef::Entry(position) => Some(*position),
        ObjectRef::Segment(_) => None,
    }
}
