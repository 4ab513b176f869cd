//! Batch coordinates of one partition, in offset order, with look-ups by offset and by time. Knows where bytes lie,
//! never what they are.

use std::collections::VecDeque;

use ebb_protocol::ids::{ByteRange, Offset, Timestamp};
use serde::{Deserialize, Serialize};

use crate::command::ObjectRef;

/// Where the batches of an offset range lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchCoordinates {
    /// The object.
    pub object: ObjectRef,
    /// The bytes in the object, counted from its first byte; whole batches, back to back.
    pub range: ByteRange,
    /// Offset of the first record.
    pub base: Offset,
    /// Offset of the last record.
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
        // What was dropped no longer counts for the maximum. From the first row on that reaches the old value by
        // itself, nothing changes.
        let mut max = Timestamp(i64::MIN);
        for row in &mut self.rows {
            max = max.max(row.at.max_timestamp);
            if row.max_so_far == max {
                break;
            }
            row.max_so_far = max;
        }
        dropped
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

#[cfg(test)]
mod tests {
    use ebb_protocol::ids::SegmentId;

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
}
