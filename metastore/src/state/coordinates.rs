//! Batch coordinates of one partition, in offset order, with look-ups by offset and by time. Knows where bytes lie,
//! never what they are.

use std::{collections::VecDeque, ops::Range};

use ebb_protocol::ids::{ByteRange, Offset, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::command::ObjectRef;

/// Where the records of an offset range lie: as batches in a segment, or as rows in an archive file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchCoordinates {
    /// The object.
    pub object: ObjectRef,
    /// The bytes in the object, counted from its first byte: whole batches, back to back; of an archive file, the row
    /// groups of the partition.
    pub range: ByteRange,
    /// The first offset of the range; in a segment that of the first record.
    pub base: Offset,
    /// The last offset of the range; in a segment that of the last record. An archive file may hold fewer records than
    /// offsets, because compaction leaves gaps.
    pub last: Offset,
    /// The largest timestamp of its records.
    pub max_timestamp: Timestamp,
}

/// The coordinates of a partition: offsets rise and do not overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Coordinates {
    rows: VecDeque<Row>,
}

/// About 100 bytes, for a run of up to 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    at: BatchCoordinates,
    /// The largest timestamp of this row and all rows before it. Timestamps come from producers and need not rise;
    /// this does, so that look-ups by time can be binary searches.
    max_so_far: Timestamp,
}

impl Coordinates {
    pub(crate) fn push(&mut self, at: BatchCoordinates) {
        let before = self.rows.back();
        assert!(before.is_none_or(|row| row.at.last < at.base), "coordinates are pushed in offset order");
        let max_so_far = before.map_or(at.max_timestamp, |row| row.max_so_far.max(at.max_timestamp));
        self.rows.push_back(Row { at, max_so_far });
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &BatchCoordinates> {
        self.rows.iter().map(|row| &row.at)
    }

    /// Removes and returns the rows that end below `start`.
    pub(crate) fn drop_below(&mut self, start: Offset) -> Vec<BatchCoordinates> {
        let count = self.rows.partition_point(|row| row.at.last < start);
        let dropped = self.rows.drain(..count).map(|row| row.at).collect();
        self.count_maxima(0);
        dropped
    }

    /// Makes `max_so_far` right again from the row at `first` on, after rows before it have gone. From the first row
    /// on that has the right value already, nothing changes.
    fn count_maxima(&mut self, first: usize) {
        let before = first.checked_sub(1).and_then(|before| self.rows.get(before));
        let mut max = before.map_or(Timestamp(i64::MIN), |row| row.max_so_far);
        for row in self.rows.range_mut(first..) {
            max = max.max(row.at.max_timestamp);
            if row.max_so_far == max {
                break;
            }
            row.max_so_far = max;
        }
    }

    /// The indices of the rows that have offsets in `first..next`; `None` when there are none, or one of them has
    /// others too.
    fn covered(&self, first: Offset, next: Offset) -> Option<Range<usize>> {
        let begin = self.rows.partition_point(|row| row.at.last < first);
        let end = self.rows.partition_point(|row| row.at.base < next);
        let (front, back) = (self.rows.get(begin)?, self.rows.get(end.checked_sub(1)?)?);
        (begin < end && first <= front.at.base && back.at.last < next).then_some(begin..end)
    }

    /// The rows that have offsets in `first..next`; see [`Coordinates::fingerprint`] for when there are none.
    pub(crate) fn within(
        &self,
        first: Offset,
        next: Offset,
    ) -> Option<impl Iterator<Item = &BatchCoordinates>> {
        Some(self.rows.range(self.covered(first, next)?).map(|row| &row.at))
    }

    /// See [`super::State::fingerprint`].
    pub(crate) fn fingerprint(&self, first: Offset, next: Offset) -> Option<u64> {
        self.within(first, next).map(fingerprint)
    }

    /// Puts `row`, if there is one, in the place of the rows that have offsets in `first..next`, and returns those.
    /// Nothing happens where [`Coordinates::fingerprint`] has nothing to tell.
    pub(crate) fn replace(
        &mut self,
        first: Offset,
        next: Offset,
        row: Option<BatchCoordinates>,
    ) -> Vec<BatchCoordinates> {
        let Some(Range { start, end }) = self.covered(first, next) else { return Vec::new() };
        let replaced = self.rows.drain(start..end).map(|row| row.at).collect();
        if let Some(at) = row {
            assert!(first <= at.base && at.last < next, "a row stays within what it replaces");
            let before = start.checked_sub(1).and_then(|before| self.rows.get(before));
            let max_so_far = before.map_or(at.max_timestamp, |row| row.max_so_far.max(at.max_timestamp));
            self.rows.insert(start, Row { at, max_so_far });
        }
        self.count_maxima(start + usize::from(row.is_some()));
        replaced
    }

    /// See [`super::State::find`].
    pub(crate) fn find(&self, from: Offset, bytes_max: u64, count_max: usize) -> Vec<BatchCoordinates> {
        let first = self.rows.partition_point(|row| row.at.last < from);
        let mut bytes = 0_u64;
        let wanted = |row: &&Row| {
            let more = bytes < bytes_max;
            bytes = bytes.saturating_add(row.at.range.len);
            more
        };
        let mut found: Vec<_> =
            self.rows.range(first..).take(count_max).take_while(wanted).map(|row| row.at).collect();
        if found.is_empty() {
            found.extend(self.rows.get(first).map(|row| row.at));
        }
        found
    }

    /// See [`super::State::find_time`].
    pub(crate) fn find_time(&self, at: Timestamp) -> Option<BatchCoordinates> {
        // The first row with which the maximum reaches `at` is the first row that reaches it.
        self.rows.get(self.rows.partition_point(|row| row.max_so_far < at)).map(|row| row.at)
    }

    /// See [`super::State::find_max_time`].
    pub(crate) fn find_max_time(&self) -> Option<BatchCoordinates> {
        self.rows.back().and_then(|row| self.find_time(row.max_so_far))
    }
}

/// The fingerprint of rows of coordinates: of their objects and offsets, in order. A planner takes it of the very rows
/// that it read, and `apply` of those that are there when the file is published, so it is part of the state machine.
#[must_use]
pub fn fingerprint<'a>(rows: impl IntoIterator<Item = &'a BatchCoordinates>) -> u64 {
    let mut hash = Xxh3::new();
    for row in rows {
        let (kind, id) = match row.object {
            ObjectRef::Segment(id) => (0_u8, id.0),
            ObjectRef::Entry(position) => (1, u128::from(position.0)),
            ObjectRef::Archive(id) => (2, id.0),
        };
        hash.update(&[kind]);
        hash.update(&id.to_be_bytes());
        hash.update(&row.base.0.to_be_bytes());
        hash.update(&row.last.0.to_be_bytes());
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use ebb_protocol::ids::{ArchiveId, SegmentId};
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    /// Rows of ten offsets and 100 bytes each, with these maximum timestamps.
    fn rows(timestamps: &[i64]) -> Coordinates {
        let mut rows = Coordinates::default();
        let mut base = Offset(0);
        for at in timestamps {
            let object = ObjectRef::Segment(SegmentId(1));
            let range = ByteRange { start: base.0.unsigned_abs() * 10, len: 100 };
            let max_timestamp = Timestamp(*at);
            rows.push(BatchCoordinates { object, range, base, last: base.plus(9), max_timestamp });
            base = base.plus(10);
        }
        rows
    }

    #[test]
    fn find_begins_with_the_row_that_holds_the_offset() {
        let rows = rows(&[0; 5]);
        let check = |from: i64, bytes_max: u64, count_max: usize, expect: &[i64]| {
            let found: Vec<_> =
                rows.find(Offset(from), bytes_max, count_max).iter().map(|row| row.base.0).collect();
            assert_eq!(found, expect, "from {from}, {bytes_max} bytes, {count_max} rows");
        };
        check(0, 1, 9, &[0]);
        check(9, 100, 9, &[0]);
        check(10, 101, 9, &[10, 20]);
        check(19, 1_000, 2, &[10, 20]);
        check(25, u64::MAX, usize::MAX, &[20, 30, 40]);
        check(49, 0, 0, &[40]);
        check(50, 100, 9, &[]);
        check(i64::MAX, 100, 9, &[]);
        check(-1, 0, 9, &[0]);
    }

    #[test]
    fn find_skips_what_was_dropped() {
        let mut rows = rows(&[0; 5]);
        let dropped: Vec<_> = rows.drop_below(Offset(29)).iter().map(|row| row.base.0).collect();
        assert_eq!(dropped, [0, 10], "the row that holds the start stays");
        assert_eq!(rows.find(Offset(0), 1, 1)[0].base, Offset(20));
        assert_eq!(rows.drop_below(Offset(50)).len(), 3);
        assert_eq!(rows, Coordinates::default());
    }

    #[test]
    fn time_look_ups_agree_with_a_scan() {
        let timestamps = [5, 3, 9, 9, -1, 7, 12, 2, 12, 1];
        for dropped in 0..=timestamps.len() {
            let mut rows = rows(&timestamps);
            rows.drop_below(Offset(10 * i64::try_from(dropped).expect("there are ten rows")));
            let scan = |at: i64| rows.iter().find(|row| row.max_timestamp.0 >= at).copied();
            for at in -2..14 {
                assert_eq!(rows.find_time(Timestamp(at)), scan(at), "{dropped} rows dropped, time {at}");
            }
            let max = rows.iter().map(|row| row.max_timestamp.0).max();
            assert_eq!(rows.find_max_time(), max.and_then(scan), "{dropped} rows dropped");
        }
    }

    fn archived(first: i64, next: i64, max_timestamp: i64) -> BatchCoordinates {
        BatchCoordinates {
            object: ObjectRef::Archive(ArchiveId(7)),
            range: ByteRange { start: 4, len: 50 },
            base: Offset(first),
            last: Offset(next - 1),
            max_timestamp: Timestamp(max_timestamp),
        }
    }

    #[test]
    fn only_whole_rows_have_a_fingerprint() {
        let rows = rows(&[0; 3]);
        let check = |first: i64, next: i64, expect: bool| {
            let found = rows.fingerprint(Offset(first), Offset(next));
            assert_eq!(found.is_some(), expect, "{first}..{next}");
        };
        check(0, 30, true);
        check(10, 20, true);
        check(-5, 99, true);
        check(0, 15, false);
        check(5, 20, false);
        check(20, 20, false);
        check(20, 10, false);
        check(30, 40, false);
        assert_eq!(Coordinates::default().fingerprint(Offset(0), Offset(9)), None);
        assert_eq!(
            rows.fingerprint(Offset(0), Offset(20)),
            Some(8_454_443_799_778_260_270),
            "the fingerprint is a format: replicas of all versions share it"
        );
    }

    #[test]
    fn another_object_or_other_offsets_have_another_fingerprint() {
        let mut changed = rows(&[0; 3]);
        let whole = |rows: &Coordinates| rows.fingerprint(Offset(0), Offset(30));
        let before = whole(&changed);
        changed.replace(Offset(10), Offset(20), Some(archived(10, 20, 0)));
        assert_ne!(whole(&changed), before, "the same offsets lie elsewhere");
        let moved = whole(&changed);
        changed.replace(Offset(10), Offset(20), Some(archived(10, 19, 0)));
        assert_ne!(whole(&changed), moved, "the same object takes fewer offsets");
        assert_ne!(changed.fingerprint(Offset(0), Offset(20)), whole(&changed));
    }

    proptest! {
        #[test]
        fn replacements_and_deletions_agree_with_a_list(
            timestamps in vec(-1..20_i64, 1..12),
            changes in vec((0..13_i64, 1..13_i64, option::of(-1..25_i64), any::<bool>()), 1..8),
        ) {
            let mut rows = rows(&timestamps);
            let mut list: Vec<_> = rows.iter().copied().collect();
            for (first, len, max, delete) in changes {
                let (first, next) = (Offset(10 * first), Offset(10 * (first + len)));
                let inside = |row: &BatchCoordinates| first <= row.base && row.last < next;
                let touched = |row: &BatchCoordinates| row.base < next && first <= row.last;
                if delete {
                    let dropped = rows.drop_below(first);
                    prop_assert_eq!(dropped.len(), list.iter().filter(|row| row.last < first).count());
                    list.retain(|row| row.last >= first);
                } else {
                    let expect: Vec<_> = list.iter().copied().filter(inside).collect();
                    let whole = !expect.is_empty() && list.iter().copied().filter(touched).eq(expect.clone());
                    prop_assert_eq!(rows.fingerprint(first, next).is_some(), whole);
                    let row = max.map(|max| archived(first.0, next.0, max));
                    let replaced = rows.replace(first, next, row);
                    prop_assert_eq!(&replaced, if whole { &expect } else { &list[..0] });
                    if whole {
                        list.retain(|row| !inside(row));
                        list.extend(row);
                        list.sort_by_key(|row| row.base);
                    }
                }
                prop_assert!(rows.iter().eq(&list));
                let mut max = Timestamp(i64::MIN);
                for (row, at) in rows.rows.iter().zip(&list) {
                    max = max.max(at.max_timestamp);
                    prop_assert_eq!(row.max_so_far, max);
                }
            }
        }
    }
}
