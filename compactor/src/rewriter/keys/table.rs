//! The table of a pass: of each key its latest offset. It holds a keyed hash of 128 bits in a key's place: nobody who
//! does not know the hash's key can choose keys that collide, and by chance none do. Knows no files.

use std::collections::BTreeMap;

use ebb_protocol::{
    ids::{Offset, PartitionIndex},
    random::Random,
};
use siphasher::sip128::{Hasher128, SipHasher13};

/// What a key takes in the table, roughly, in bytes.
const KEY_BYTES: u64 = 48;

/// The latest offsets of keys.
#[derive(Debug)]
pub(super) struct KeyTable {
    hasher: SipHasher13,
    latest: BTreeMap<u128, Offset>,
    keys_max: usize,
}

impl KeyTable {
    /// A table of about so many bytes; it holds at least one key.
    pub(super) fn new(bytes: u64, random: &Random) -> Self {
        let hasher = SipHasher13::new_with_keys(random.next_u64(), random.next_u64());
        let keys_max = usize::try_from(bytes / KEY_BYTES).unwrap_or(usize::MAX).max(1);
        Self { hasher, latest: BTreeMap::new(), keys_max }
    }

    /// Takes note of a record. False when there is no room for its key.
    pub(super) fn note(&mut self, partition: PartitionIndex, key: &[u8], offset: Offset) -> bool {
        let key = self.hash(partition, key);
        if let Some(latest) = self.latest.get_mut(&key) {
            *latest = offset.max(*latest);
            return true;
        }
        let has_room = self.latest.len() < self.keys_max;
        if has_room {
            self.latest.insert(key, offset);
        }
        has_room
    }

    /// The latest offset of a key, if it is known.
    pub(super) fn latest(&self, partition: PartitionIndex, key: &[u8]) -> Option<Offset> {
        self.latest.get(&self.hash(partition, key)).copied()
    }

    fn hash(&self, partition: PartitionIndex, key: &[u8]) -> u128 {
        use std::hash::Hasher;
        let mut hasher = self.hasher;
        hasher.write(&partition.0.to_be_bytes());
        hasher.write(key);
        hasher.finish128().as_u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: PartitionIndex = PartitionIndex(0);

    #[test]
    fn it_knows_the_latest_offset_whatever_the_order() {
        let mut table = KeyTable::new(1 << 20, &Random::from_seed(1));
        for (key, offset) in [("a", 5), ("b", 6), ("a", 3), ("b", 9)] {
            assert!(table.note(AT, key.as_bytes(), Offset(offset)));
        }
        assert!(table.note(PartitionIndex(1), b"a", Offset(99)));
        let latest = |key: &str| table.latest(AT, key.as_bytes());
        assert_eq!((latest("a"), latest("b"), latest("c")), (Some(Offset(5)), Some(Offset(9)), None));
        assert_eq!(table.latest(PartitionIndex(1), b"a"), Some(Offset(99)));
    }

    #[test]
    fn a_full_table_takes_the_keys_that_it_has() {
        let mut table = KeyTable::new(2 * KEY_BYTES, &Random::from_seed(1));
        assert!(table.note(AT, b"a", Offset(0)) && table.note(AT, b"", Offset(1)));
        assert!(!table.note(AT, b"c", Offset(2)));
        assert!(table.note(AT, b"a", Offset(3)));
        assert_eq!((table.latest(AT, b"a"), table.latest(AT, b"c")), (Some(Offset(3)), None));
    }
}
