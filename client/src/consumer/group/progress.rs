//! How far a member has come in each of its partitions: what its user has done with, and what is committed.
//! Pure state: knows nothing of connections.

use std::collections::{BTreeMap, BTreeSet};

use super::super::assignment::Key;
use crate::{Offset, TopicId};

/// A partition that the member reads.
#[derive(Debug)]
struct Place {
    /// Where a successor has to begin: what comes before has been returned, and its user has asked for more since.
    next: Offset,
    committed: Option<Offset>,
    /// The topic that it is of: another one may get the name.
    topic: TopicId,
    /// Which of all places it is: a partition that comes back is another place.
    number: u64,
    /// It is being given up: nothing more of it is returned.
    held: bool,
}

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Progress {
    places: BTreeMap<Key, Place>,
    /// Partitions that the user has been told of, and whose places are about to begin.
    coming: Vec<Key>,
    /// How many places have been begun.
    begun: u64,
    /// What was returned last, and where to go on once its user is done with it.
    returned: Option<(Key, Offset)>,
}

impl Progress {
    /// Notes which partitions are about to begin: those that were are no longer.
    pub(super) fn announce(&mut self, keys: &[Key]) {
        self.coming = keys.to_vec();
    }

    /// Whether a partition is about to begin.
    pub(super) fn is_coming(&self, key: &Key) -> bool {
        self.coming.contains(key)
    }

    /// Begins a partition. `committed` is what the group has for it.
    pub(super) fn begin(&mut self, key: &Key, topic: TopicId, next: Offset, committed: Option<Offset>) {
        self.begun += 1;
        let place = Place { next, committed, topic, number: self.begun, held: false };
        self.places.insert(key.clone(), place);
    }

    /// Ends partitions: what was not committed of them is read again by whoever gets them.
    pub(super) fn end(&mut self, keys: &[Key]) {
        for key in keys {
            self.places.remove(key);
        }
        self.returned.take_if(|(key, _)| keys.contains(key));
    }

    /// From now on nothing of these partitions is returned.
    pub(super) fn hold(&mut self, keys: &[Key]) {
        for key in keys {
            if let Some(place) = self.places.get_mut(key) {
                place.held = true;
            }
        }
    }

    /// Notes that something is returned to the user. False when its partition is no longer the member's: then it
    /// must not be.
    pub(super) fn give(&mut self, key: Key, next: Offset) -> bool {
        let may = self.places.get(&key).is_some_and(|place| !place.held);
        if may {
            self.returned = Some((key, next));
        }
        may
    }

    /// Notes that the user is done with what was returned last, and answers whether its partition waits for that to
    /// be given up.
    pub(super) fn done(&mut self) -> bool {
        let Some((key, next)) = self.returned.take() else { return false };
        let Some(place) = self.places.get_mut(&key) else { return false };
        place.next = next;
        place.held
    }

    /// Whether the user is still busy with something of these partitions.
    pub(super) fn is_busy(&self, keys: &[Key]) -> bool {
        self.returned.as_ref().is_some_and(|(key, _)| keys.contains(key))
    }

    /// Which place a partition is, as long as it may be read.
    pub(super) fn number(&self, key: &Key) -> Option<u64> {
        self.places.get(key).filter(|place| !place.held).map(|place| place.number)
    }

    /// The user goes on elsewhere: a successor has to begin there, once the user is done with what was returned last.
    pub(super) fn seek(&mut self, key: &Key, to: Offset) {
        match &mut self.returned {
            Some((returned, next)) if returned == key => *next = to,
            _ => {
                if let Some(place) = self.places.get_mut(key) {
                    place.next = to;
                }
            }
        }
    }

    /// What there is to commit, of all partitions or of these.
    pub(super) fn uncommitted(&self, keys: Option<&[Key]>) -> Vec<(Key, Offset)> {
        let wanted = self.places.iter().filter(|(key, _)| keys.is_none_or(|keys| keys.contains(key)));
        let changed = wanted.filter(|(_, place)| place.committed != Some(place.next));
        changed.map(|(key, place)| (key.clone(), place.next)).collect()
    }

    /// The topic that a partition is of.
    pub(super) fn topic(&self, key: &Key) -> Option<TopicId> {
        self.places.get(key).map(|place| place.topic)
    }

    /// Notes what has been committed.
    pub(super) fn committed(&mut self, offsets: &[(Key, Offset)]) {
        for (key, offset) in offsets {
            if let Some(place) = self.places.get_mut(key) {
                place.committed = Some(*offset);
            }
        }
    }

    /// The partitions that may be read.
    pub(super) fn keys(&self) -> BTreeSet<Key> {
        self.places.iter().filter(|(_, place)| !place.held).map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PartitionIndex;

    const TOPIC: TopicId = TopicId(uuid::Uuid::from_u128(7));

    #[test]
    fn only_what_the_user_is_done_with_is_committed() {
        let key: Key = ("flights".into(), PartitionIndex(0));
        let keys = [key.clone()];
        let mut progress = Progress::default();
        progress.begin(&key, TOPIC, Offset(5), Some(Offset(5)));
        assert!(progress.give(key.clone(), Offset(6)));
        assert!(progress.is_busy(&keys));
        assert_eq!(progress.uncommitted(None), []);
        progress.hold(&keys);
        assert!(progress.done(), "somebody waits for it");
        assert!(!progress.is_busy(&keys));
        let changed = progress.uncommitted(Some(&keys));
        assert_eq!(changed, [(key.clone(), Offset(6))], "a partition that is given up is committed too");
        assert!(!progress.give(key.clone(), Offset(7)), "nothing is returned of it any more");
        progress.committed(&changed);
        assert_eq!(progress.uncommitted(None), []);
        progress.end(&keys);
        assert!(!progress.give(key, Offset(7)));
        assert!(progress.keys().is_empty());
    }

    #[test]
    fn a_successor_begins_where_the_user_has_sought_to() {
        let key: Key = ("flights".into(), PartitionIndex(0));
        let mut progress = Progress::default();
        progress.announce(std::slice::from_ref(&key));
        assert!(progress.is_coming(&key) && progress.number(&key).is_none());
        progress.begin(&key, TOPIC, Offset(5), Some(Offset(5)));
        progress.announce(&[]);
        assert!(!progress.is_coming(&key));
        let first = progress.number(&key);
        assert!(first.is_some());
        progress.seek(&key, Offset(2));
        assert_eq!(progress.uncommitted(None), [(key.clone(), Offset(2))]);
        assert!(progress.give(key.clone(), Offset(3)));
        progress.seek(&key, Offset(9));
        assert_eq!(progress.uncommitted(None), [(key.clone(), Offset(2))], "the user is not done yet");
        assert!(!progress.done());
        assert_eq!(progress.uncommitted(None), [(key.clone(), Offset(9))]);
        progress.hold(std::slice::from_ref(&key));
        assert_eq!(progress.number(&key), None, "it is being given up");
        progress.end(std::slice::from_ref(&key));
        progress.begin(&key, TOPIC, Offset(9), None);
        assert!(progress.number(&key) > first, "it is another place now");
    }
}
