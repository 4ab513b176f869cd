//! What a group has to do: every record that there is comes to one of its members, and what it has committed never goes
//! back. Members tell here what they were given. Knows nothing of how they get it.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// What a group was seen to do.
#[derive(Debug)]
pub struct Crew {
    name: String,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// By partition, for each offset how often it was given to a member.
    given: Vec<Vec<u16>>,
    /// By partition, the highest committed offset that was answered to anybody.
    committed: BTreeMap<i32, i64>,
    looks: usize,
}

/// How much a group did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Records that were given to a member.
    pub given: usize,
    /// How often a record was given that had been given before.
    pub again: usize,
    /// How often its committed offsets were looked at.
    pub looks: usize,
}

impl Crew {
    /// A group that reads a topic of so many partitions.
    #[must_use]
    pub fn new(name: &str, partitions: usize) -> Self {
        let seen = Seen { given: vec![Vec::new(); partitions], committed: BTreeMap::new(), looks: 0 };
        Self { name: name.to_owned(), seen: Mutex::new(seen) }
    }

    /// The group's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A member was given a record.
    ///
    /// # Panics
    /// When there is no such partition.
    pub fn given(&self, partition: i32, offset: i64) {
        let mut seen = self.seen.lock();
        let given = &mut seen.given[usize::try_from(partition).expect("a partition is a number")];
        let offset = usize::try_from(offset).expect("an offset is a number");
        if given.len() <= offset {
            given.resize(offset + 1, 0);
        }
        given[offset] = given[offset].saturating_add(1);
    }

    /// What had been answered of the committed offsets before now.
    #[must_use]
    pub fn floor(&self) -> BTreeMap<i32, i64> {
        self.seen.lock().committed.clone()
    }

    /// The committed offsets are answered to somebody who asked when `floor` was known.
    ///
    /// # Panics
    /// When one is below what had been answered before.
    pub fn committed(&self, floor: &BTreeMap<i32, i64>, offsets: &BTreeMap<i32, i64>) {
        for (partition, floor) in floor {
            let found = offsets.get(partition);
            let holds = found.is_some_and(|found| found >= floor);
            assert!(
                holds,
                "group {}, partition {partition}: {found:?} is committed, after {floor}",
                self.name
            );
        }
        let mut seen = self.seen.lock();
        seen.looks += 1;
        for (partition, offset) in offsets {
            let highest = seen.committed.entry(*partition).or_insert(*offset);
            *highest = (*highest).max(*offset);
        }
    }

    /// The first record below these ends, one a partition, that no member was given, by partition and offset.
    #[must_use]
    pub fn left_out(&self, ends: &[i64]) -> Option<(usize, i64)> {
        let seen = self.seen.lock();
        let missing = |(partition, end): (usize, &i64)| {
            let given = &seen.given[partition];
            let was = |offset: &i64| {
                usize::try_from(*offset).ok().and_then(|at| given.get(at)).is_some_and(|n| *n > 0)
            };
            (0..*end).find(|offset| !was(offset)).map(|offset| (partition, offset))
        };
        ends.iter().enumerate().find_map(missing)
    }

    /// How much it did.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let seen = self.seen.lock();
        let all = || seen.given.iter().flatten().map(|times| usize::from(*times));
        let given = all().filter(|times| *times > 0).count();
        Counts { given, again: all().sum::<usize>() - given, looks: seen.looks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_found() {
        let crew = Crew::new("crew", 2);
        for offset in [0, 1, 3, 3] {
            crew.given(1, offset);
        }
        assert_eq!(crew.left_out(&[0, 2]), None);
        assert_eq!(crew.left_out(&[0, 4]), Some((1, 2)));
        assert_eq!(crew.left_out(&[1, 0]), Some((0, 0)));
        assert_eq!(crew.counts(), Counts { given: 3, again: 1, looks: 0 });
    }

    #[test]
    #[should_panic(expected = "partition 0: Some(4) is committed, after 5")]
    fn a_commit_that_went_back_is_found() {
        let crew = Crew::new("crew", 1);
        crew.committed(&crew.floor(), &BTreeMap::from([(0, 5)]));
        crew.committed(&crew.floor(), &BTreeMap::from([(0, 4)]));
    }

    #[test]
    #[should_panic(expected = "partition 0: None is committed, after 5")]
    fn a_commit_that_is_gone_is_found() {
        let crew = Crew::new("crew", 1);
        crew.committed(&crew.floor(), &BTreeMap::from([(0, 5)]));
        crew.committed(&crew.floor(), &BTreeMap::new());
    }
}
