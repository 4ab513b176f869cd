//! The life of objects: referenced by coordinates, dead, deleted. Knows ids and sizes, never a store.
//!
//! ```text
//!   uploaded --commit--> referenced --last row gone--> dead --deleted after the grace--> forgotten
//!       \------------ never committed: swept once the sweep boundary has passed its id ------/
//! ```
//!
//! An archive file lives as a segment does; its commit is its publishing.

use std::collections::{BTreeMap, BTreeSet};

use ebb_protocol::ids::{LogPosition, SegmentId, Timestamp, TopicId};
use serde::{Deserialize, Serialize};

use crate::command::ObjectRef;

/// Every object that the state knows of. An object is in one of the three at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Objects {
    referenced: BTreeMap<ObjectRef, Referenced>,
    dead: BTreeMap<ObjectRef, DeadObject>,
    /// Segments and archive files that were deleted, but whose ids are not below the sweep boundary: without this, a
    /// late copy of their commit could refer to bytes that are gone.
    forgotten: BTreeSet<ObjectRef>,
    /// What is referenced and no archive file, by commit position. Made again from `referenced`.
    #[serde(skip)]
    unarchived: BTreeSet<(LogPosition, ObjectRef)>,
}

/// What is true of an object from its commit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectFacts {
    /// Its size in bytes; of an entry, that of its body.
    pub(crate) bytes: u64,
    /// The position of the entry that committed it.
    pub(crate) committed: LogPosition,
    /// When that was.
    pub(crate) at: Timestamp,
    /// The topic of an archive file.
    pub(crate) topic: Option<TopicId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Referenced {
    bytes: u64,
    rows: u64,
    committed: LogPosition,
    at: Timestamp,
    topic: Option<TopicId>,
}

impl Referenced {
    fn facts(&self) -> ObjectFacts {
        let Self { bytes, committed, at, topic, .. } = *self;
        ObjectFacts { bytes, committed, at, topic }
    }
}

/// An object that no archive file has replaced (yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnarchivedObject {
    /// The position of the entry that committed it.
    pub committed: LogPosition,
    /// The object: a segment or an entry.
    pub object: ObjectRef,
    /// Its size in bytes; of an entry, that of its body.
    pub bytes: u64,
    /// When it was committed: the state's time, or that of the entry if that was later.
    pub at: Timestamp,
}

/// An object that no coordinates refer to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadObject {
    /// Its size in bytes; of an entry, that of its body.
    pub bytes: u64,
    /// When it died: the state's time, or that of the entry if that was later.
    pub since: Timestamp,
    /// The position of the entry that committed it.
    pub committed: LogPosition,
    /// When it was committed: the state's time, or that of the entry if that was later.
    pub at: Timestamp,
    /// The topic of an archive file, whose key names it; `None` of other objects.
    pub topic: Option<TopicId>,
}

impl DeadObject {
    fn new(facts: ObjectFacts, since: Timestamp) -> Self {
        let ObjectFacts { bytes, committed, at, topic } = facts;
        Self { bytes, since, committed, at, topic }
    }
}

impl Objects {
    /// Whether an object was committed before, as far as the sweep boundary does not tell.
    pub(crate) fn committed(&self, object: ObjectRef) -> bool {
        self.referenced.contains_key(&object)
            || self.dead.contains_key(&object)
            || self.forgotten.contains(&object)
    }

    /// Takes up a new object to which `rows` rows of coordinates refer.
    pub(crate) fn insert(&mut self, object: ObjectRef, rows: u64, facts: ObjectFacts) {
        if rows == 0 {
            self.dead.insert(object, DeadObject::new(facts, facts.at));
            return;
        }
        let ObjectFacts { bytes, committed, at, topic } = facts;
        self.referenced.insert(object, Referenced { bytes, rows, committed, at, topic });
        if !is_archive(object) {
            self.unarchived.insert((committed, object));
        }
    }

    /// Takes note that one row which referred to the object has gone; true when it was the last one.
    pub(crate) fn release(&mut self, object: ObjectRef, now: Timestamp) -> bool {
        let Some(found) = self.referenced.get_mut(&object) else { return false };
        found.rows -= 1;
        if found.rows > 0 {
            return false;
        }
        let facts = found.facts();
        self.referenced.remove(&object);
        self.unarchived.remove(&(facts.committed, object));
        self.dead.insert(object, DeadObject::new(facts, now));
        true
    }

    /// How many rows refer to the object.
    pub(crate) fn rows(&self, object: ObjectRef) -> u64 {
        self.referenced.get(&object).map_or(0, |found| found.rows)
    }

    /// When a referenced object was committed.
    pub(crate) fn committed_at(&self, object: ObjectRef) -> Option<Timestamp> {
        self.referenced.get(&object).map(|found| found.at)
    }

    /// The size of a referenced or dead object.
    pub(crate) fn bytes(&self, object: ObjectRef) -> Option<u64> {
        let referenced = self.referenced.get(&object).map(|found| found.bytes);
        referenced.or_else(|| self.dead.get(&object).map(|dead| dead.bytes))
    }

    /// The topic of an archive file that is referenced or dead.
    pub(crate) fn topic(&self, object: ObjectRef) -> Option<TopicId> {
        let referenced = self.referenced.get(&object).map(|found| found.topic);
        referenced.or_else(|| self.dead.get(&object).map(|dead| dead.topic)).flatten()
    }

    /// What is referenced and no archive file, committed at `from` or later, in commit order.
    pub(crate) fn unarchived(&self, from: LogPosition) -> impl Iterator<Item = UnarchivedObject> {
        let least = ObjectRef::Segment(SegmentId(0));
        self.unarchived.range((from, least)..).filter_map(|(committed, object)| {
            let found = self.referenced.get(object)?;
            let (committed, object) = (*committed, *object);
            Some(UnarchivedObject { committed, object, bytes: found.bytes, at: found.at })
        })
    }

    pub(super) fn rebuild(&mut self) {
        let unarchived = self.referenced.iter().filter(|(object, _)| !is_archive(**object));
        self.unarchived = unarchived.map(|(object, found)| (found.committed, *object)).collect();
    }

    pub(crate) fn is_referenced(&self, object: ObjectRef) -> bool {
        self.referenced.contains_key(&object)
    }

    pub(crate) fn is_dead(&self, object: ObjectRef) -> bool {
        self.dead.contains_key(&object)
    }

    /// Referenced objects.
    pub(crate) fn referenced(&self) -> impl Iterator<Item = (ObjectRef, ObjectFacts)> {
        self.referenced.iter().map(|(object, found)| (*object, found.facts()))
    }

    /// How many archive files are referenced.
    pub(crate) fn archives(&self) -> usize {
        self.referenced.len() - self.unarchived.len()
    }

    pub(crate) fn dead(&self) -> impl Iterator<Item = (ObjectRef, DeadObject)> {
        self.dead.iter().map(|(object, dead)| (*object, *dead))
    }

    /// Forgets a dead object that has been deleted, and gives back what it was. `boundary` is the sweep boundary.
    pub(crate) fn forget(&mut self, object: ObjectRef, boundary: Timestamp) -> Option<DeadObject> {
        let dead = self.dead.remove(&object)?;
        if minted_at(object).is_some_and(|minted_at| minted_at >= boundary) {
            self.forgotten.insert(object);
        }
        Some(dead)
    }

    /// Drops what the sweep boundary tells from now on.
    pub(crate) fn swept(&mut self, boundary: Timestamp) {
        self.forgotten.retain(|object| minted_at(*object).is_some_and(|minted_at| minted_at >= boundary));
    }

    /// Positions below `below` of entries whose bodies are referenced or dead but not forgotten.
    pub(crate) fn entries(&self, below: LogPosition) -> Vec<LogPosition> {
        // Segments sort before entries, and archive files behind them.
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
        ObjectRef::Segment(_) | ObjectRef::Archive(_) => None,
    }
}

/// When an object's id was minted; an entry has none that counts.
fn minted_at(object: ObjectRef) -> Option<Timestamp> {
    match object {
        ObjectRef::Segment(id) => Some(id.minted_at()),
        ObjectRef::Archive(id) => Some(id.minted_at()),
        ObjectRef::Entry(_) => None,
    }
}

fn is_archive(object: ObjectRef) -> bool {
    matches!(object, ObjectRef::Archive(_))
}
