//! Checks each partition's coordinates by themselves: dense offsets from the log start to the high watermark.

use std::collections::BTreeMap;

use ebb_metastore::{
    command::ObjectRef,
    state::{BatchCoordinates, PartitionHead, State},
};
use ebb_protocol::ids::{Offset, TopicPartition};

/// What the state says of each object's content.
pub(super) type Expected = BTreeMap<ObjectRef, Vec<(TopicPartition, BatchCoordinates)>>;

/// Checks every partition, and turns the coordinates around: which partitions lie in which object.
pub(super) fn check(state: &State, problems: &mut Vec<String>) -> Expected {
    let mut expected = Expected::new();
    for (at, head) in state.heads() {
        let rows = state.find(at.topic, at.partition, head.log_start, u64::MAX, usize::MAX);
        // Compaction leaves gaps, and only in a topic that has an archive.
        let may_have_gaps = state.table(at.topic).is_some();
        if let Some(problem) = density(&head, &rows, may_have_gaps) {
            problems.push(format!("{}: {problem}", name(state, at)));
        }
        for row in rows {
            expected.entry(row.object).or_default().push((at, row));
        }
    }
    expected
}

/// A partition as a person knows it.
pub(super) fn name(state: &State, at: TopicPartition) -> String {
    match state.topic_name(at.topic) {
        Some(topic) => format!("topic {topic}, partition {}", at.partition),
        None => format!("topic {}, partition {}", at.topic, at.partition),
    }
}

/// What is wrong with a partition's offsets, if anything.
fn density(head: &PartitionHead, rows: &[BatchCoordinates], may_have_gaps: bool) -> Option<String> {
    let mut next = head.log_start;
    for row in rows {
        // The first row may begin below the log start, which can lie in the middle of it.
        let fits = if next == head.log_start { row.base <= next } else { row.base == next };
        if !(fits || may_have_gaps && row.base > next) {
            return Some(format!("no record has the offsets {next} to {}", row.base.0 - 1));
        }
        next = Offset(row.last.0 + 1);
    }
    let ends = next == head.high_watermark || (may_have_gaps && next < head.high_watermark);
    (!ends).then(|| format!("its records end at {next}, its high watermark is {}", head.high_watermark))
}

#[cfg(test)]
mod tests {
    use ebb_protocol::ids::{ByteRange, LeaderEpoch, LogPosition, Timestamp};

    use super::*;

    fn row(base: i64, last: i64) -> BatchCoordinates {
        BatchCoordinates {
            object: ObjectRef::Entry(LogPosition(1)),
            range: ByteRange { start: 0, len: 1 },
            base: Offset(base),
            last: Offset(last),
            max_timestamp: Timestamp(0),
        }
    }

    fn found(start: i64, end: i64, rows: &[BatchCoordinates]) -> Option<String> {
        found_in(start, end, rows, false)
    }

    fn found_in(start: i64, end: i64, rows: &[BatchCoordinates], may_have_gaps: bool) -> Option<String> {
        let head = PartitionHead {
            log_start: Offset(start),
            high_watermark: Offset(end),
            last_stable: Offset(end),
            epoch: LeaderEpoch(0),
        };
        density(&head, rows, may_have_gaps)
    }

    #[test]
    fn dense_offsets_are_sound() {
        assert_eq!(found(0, 0, &[]), None);
        assert_eq!(found(0, 5, &[row(0, 2), row(3, 4)]), None);
        assert_eq!(found(1, 5, &[row(0, 2), row(3, 4)]), None, "the log start lies within the first row");
    }

    #[test]
    fn compaction_leaves_gaps_and_no_offset_twice() {
        assert_eq!(found_in(0, 9, &[row(2, 3), row(6, 7)], true), None);
        assert_eq!(found_in(0, 9, &[], true), None, "nothing is left");
        assert!(found_in(0, 9, &[row(0, 3), row(3, 8)], true).is_some(), "offset 3 is there twice");
        assert!(found_in(0, 9, &[row(0, 9)], true).is_some(), "it goes beyond the high watermark");
    }

    #[test]
    fn holes_are_named() {
        assert!(found(0, 5, &[row(0, 1), row(3, 4)]).is_some_and(|problem| problem.contains("2 to 2")));
        assert!(found(0, 5, &[row(1, 4)]).is_some(), "the first record is missing");
        assert!(found(0, 6, &[row(0, 4)]).is_some(), "the last record is missing");
    }
}
