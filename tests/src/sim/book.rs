//! What was sent to a compacted topic and what was deleted of it, and what a reading of it must show: at least the last
//! record of each key that was acknowledged before the reader asked whether there is more. Knows no broker.

use std::collections::{BTreeMap, BTreeSet};

/// What a record says: its key, and its number; a tombstone has none.
pub(super) type Said = (u8, Option<u64>);

/// What was sent, and what was deleted.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Acknowledged records by their offsets.
    acknowledged: BTreeMap<i64, Said>,
    /// Batches that may be there or not, by their numbers.
    open: BTreeMap<u64, Vec<Said>>,
    batches: u64,
    /// `delete.retention.ms` is over within a run.
    tombstones_go: bool,
    /// Somebody asked to delete what is below.
    asked: i64,
    /// Somebody was told that all below is deleted.
    deleted: i64,
}

/// What a reader saw of the topic from its beginning to its end.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Records by their offsets, in the order in which they came; `None` for bytes that nobody sent.
    pub(super) found: Vec<(i64, Option<Said>)>,
    /// The smallest and the largest offset at which the log was said to begin.
    pub(super) starts: Option<(i64, i64)>,
    /// As [`Book::deleted`] was when it began.
    pub(super) deleted: i64,
    /// How far the topic was compacted when it began.
    pub(super) clean: i64,
    /// The last acknowledged offset when the reader asked whether there is more.
    pub(super) until: Option<i64>,
    /// Up to where all was in the archive when it ended.
    pub(super) archived: i64,
    /// Each answer came from an agent that had looked at the log's tail before.
    pub(super) is_current: bool,
    /// Nothing was compacted meanwhile.
    pub(super) is_settled: bool,
}

impl Book {
    pub(super) fn new(tombstones_go: bool) -> Self {
        Self { tombstones_go, ..Self::default() }
    }

    /// Takes note of a batch that is about to be sent. Gives its number.
    pub(super) fn send(&mut self, records: Vec<Said>) -> u64 {
        self.batches += 1;
        self.open.insert(self.batches, records);
        self.batches
    }

    /// A batch was acknowledged.
    pub(super) fn acknowledge(&mut self, batch: u64, base: i64) {
        self.acknowledged.extend((base..).zip(self.open.remove(&batch).unwrap_or_default()));
    }

    /// A batch is certainly not there.
    pub(super) fn fail(&mut self, batch: u64) {
        self.open.remove(&batch);
    }

    /// Somebody asks to delete what is below an offset.
    pub(super) fn ask(&mut self, before: i64) {
        self.asked = self.asked.max(before);
    }

    /// Somebody was told that the log begins here.
    pub(super) fn delete(&mut self, start: i64) {
        self.deleted = self.deleted.max(start);
    }

    /// Below this offset all is deleted.
    pub(super) fn deleted(&self) -> i64 {
        self.deleted
    }

    /// The last offset that was acknowledged.
    pub(super) fn until(&self) -> Option<i64> {
        self.acknowledged.keys().next_back().copied()
    }

    /// Every promise that a reading breaks.
    pub(super) fn wrong(&self, reading: &Reading) -> Vec<String> {
        let mut wrong = self.wrong_records(&reading.found);
        wrong.extend(self.wrong_starts(reading));
        if reading.is_current {
            wrong.extend(outlived(reading));
        }
        wrong.extend(self.lost(reading));
        wrong
    }

    /// Records come in order, and stand where they were acknowledged; nothing is there that was not sent.
    fn wrong_records(&self, found: &[(i64, Option<Said>)]) -> Vec<String> {
        let mut wrong = Vec::new();
        for pair in found.windows(2) {
            if let [(before, _), (after, _)] = pair
                && after <= before
            {
                wrong.push(format!("offset {after} comes after {before}"));
            }
        }
        for (offset, record) in found {
            let known = self.acknowledged.get(offset);
            let is_sent = record.is_some_and(|record| match known {
                Some(sent) => *sent == record,
                None => self.open.values().flatten().any(|open| *open == record),
            });
            if !is_sent {
                wrong.push(format!("{record:?} at {offset}, where {known:?} was acknowledged"));
            }
        }
        wrong
    }

    /// The log begins nowhere else than where somebody wanted it to.
    fn wrong_starts(&self, reading: &Reading) -> Vec<String> {
        let Some((low, high)) = reading.starts else { return Vec::new() };
        let mut wrong = Vec::new();
        if high > self.asked {
            wrong.push(format!("it begins at {high}, and nobody deleted beyond {}", self.asked));
        }
        if reading.is_current && low < reading.deleted {
            wrong.push(format!("it begins at {low}, and all below {} was deleted", reading.deleted));
        }
        wrong
    }

    /// What is not in the archive is there, and of each key the last record or a later one.
    fn lost(&self, reading: &Reading) -> Vec<String> {
        let Some(until) = reading.until else { return Vec::new() };
        let there: BTreeSet<_> = reading.found.iter().map(|(offset, _)| *offset).collect();
        let mut latest = BTreeMap::new();
        for (offset, record) in &reading.found {
            latest.extend(record.map(|(key, _)| (key, *offset)));
        }
        let (mut wrong, mut last) = (Vec::new(), BTreeMap::new());
        for (offset, (key, number)) in self.acknowledged.range(self.asked..).filter(|(at, _)| **at <= until) {
            last.insert(*key, (*offset, *number));
            if *offset >= reading.archived && !there.contains(offset) {
                wrong.push(format!(
                    "({key}, {number:?}) at {offset} is lost, and nothing there was compacted"
                ));
            }
        }
        for (key, (offset, number)) in last {
            let latest = latest.get(&key).copied();
            // A later tombstone may have come and gone, and what it hides went before it did.
            let may_go = self.tombstones_go && (number.is_none() || self.has_open_tombstone(key));
            let is_gone = may_go && (latest.is_none() || !reading.is_settled);
            if !is_gone && latest.is_none_or(|latest| latest < offset) {
                wrong.push(format!(
                    "{number:?} at {offset}, the latest of key {key}, is lost: {latest:?} is there"
                ));
            }
        }
        wrong
    }

    fn has_open_tombstone(&self, key: u8) -> bool {
        self.open.values().flatten().any(|open| *open == (key, None))
    }
}

/// Records that a reader saw although they had gone before it began: they were deleted, or superseded and compacted.
fn outlived(reading: &Reading) -> Vec<String> {
    let (mut wrong, mut clean) = (Vec::new(), BTreeMap::new());
    for (offset, record) in &reading.found {
        if *offset < reading.deleted {
            wrong.push(format!(
                "{record:?} at {offset} is there, and all below {} was deleted",
                reading.deleted
            ));
        }
        let Some((key, _)) = record.filter(|_| *offset < reading.clean) else { continue };
        if let Some(before) = clean.insert(key, *offset) {
            let clean = reading.clean;
            wrong.push(format!(
                "key {key} is there at {before} and at {offset}, and all below {clean} was compacted"
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [&str; 0] = [];

    /// Four records are acknowledged, with one between them that may be at offset 3.
    fn book(tombstones_go: bool) -> Book {
        let mut book = Book::new(tombstones_go);
        for (base, records) in [(0, vec![(1, Some(1)), (1, Some(2)), (2, None)]), (4, vec![(3, Some(4))])] {
            let batch = book.send(records);
            book.acknowledge(batch, base);
        }
        book.send(vec![(1, Some(3))]);
        let failed = book.send(vec![(1, Some(5))]);
        book.fail(failed);
        book
    }

    /// A reading when everything is archived, and nothing is known to be clean.
    fn reading(found: &[(i64, Said)]) -> Reading {
        let found = found.iter().map(|(offset, said)| (*offset, Some(*said))).collect();
        Reading { found, until: Some(4), archived: 5, is_current: true, ..Reading::default() }
    }

    const FULL: [(i64, Said); 4] = [(0, (1, Some(1))), (1, (1, Some(2))), (2, (2, None)), (4, (3, Some(4)))];

    #[test]
    fn compacted_records_are_judged() {
        assert_eq!(book(false).wrong(&reading(&FULL)), NONE);
        assert_eq!(book(false).wrong(&reading(&FULL[1..])), NONE);
        // An open record may be the latest; it is nowhere else.
        let later = [(2, (2, None)), (3, (1, Some(3))), (4, (3, Some(4)))];
        assert_eq!(book(false).wrong(&reading(&later)), NONE);
        // A tombstone may go when its time is over, and only then.
        let gone = [(1, (1, Some(2))), (4, (3, Some(4)))];
        assert_eq!(book(true).wrong(&reading(&gone)), NONE);
        assert_eq!(book(false).wrong(&reading(&gone)).len(), 1);
        // What came after the reader had asked need not be there.
        assert_eq!(book(false).wrong(&Reading { until: Some(2), ..reading(&FULL[..3]) }), NONE);
    }

    #[test]
    fn lost_moved_and_foreign_records_are_found() {
        assert_eq!(book(false).wrong(&reading(&FULL[2..])).len(), 1, "a latest one is lost");
        let archived = Reading { archived: 0, ..reading(&FULL[1..]) };
        assert_eq!(book(false).wrong(&archived).len(), 1, "one is lost that was not in the archive");
        let moved = [(0, (1, Some(2))), (1, (1, Some(2))), (2, (2, None)), (4, (3, Some(4)))];
        assert_eq!(book(false).wrong(&reading(&moved)).len(), 1, "one is at another's place");
        let failed = [(1, (1, Some(2))), (2, (2, None)), (3, (1, Some(5))), (4, (3, Some(4)))];
        assert_eq!(book(false).wrong(&reading(&failed)).len(), 1, "one is there that was refused");
        let back = [(2, (2, None)), (1, (1, Some(2))), (4, (3, Some(4)))];
        assert_eq!(book(false).wrong(&reading(&back)).len(), 1, "out of order");
        let damaged = Reading { found: vec![(0, None)], until: None, ..Reading::default() };
        assert_eq!(book(false).wrong(&damaged).len(), 1, "damaged");
    }

    #[test]
    fn what_was_compacted_away_does_not_come_back() {
        let clean = Reading { clean: 2, ..reading(&FULL) };
        assert_eq!(book(false).wrong(&clean).len(), 1);
        assert_eq!(book(false).wrong(&Reading { is_current: false, ..clean }), NONE);
        // A tombstone has gone before what it hides.
        let mut book = book(true);
        let batch = book.send(vec![(1, None)]);
        book.acknowledge(batch, 5);
        let hidden = [(1, (1, Some(2))), (4, (3, Some(4)))];
        let hidden = Reading { until: Some(5), archived: 6, ..reading(&hidden) };
        assert_eq!(book.wrong(&hidden), NONE);
        assert_eq!(book.wrong(&Reading { is_settled: true, ..hidden }).len(), 1);
    }

    #[test]
    fn deleted_records_do_not_come_back_and_no_others_go() {
        let mut book = book(false);
        book.ask(2);
        assert_eq!(book.wrong(&reading(&FULL[2..])), NONE, "they may be gone");
        assert_eq!(book.wrong(&reading(&FULL)), NONE, "they may be there");
        assert_eq!(book.wrong(&reading(&FULL[3..])).len(), 1, "that one may not");
        book.delete(2);
        let deleted = Reading { deleted: book.deleted(), ..reading(&FULL[1..]) };
        assert_eq!(book.wrong(&deleted).len(), 1);
        let starts = |low, high| Reading { starts: Some((low, high)), deleted: 2, ..reading(&FULL[2..]) };
        assert_eq!(book.wrong(&starts(2, 2)), NONE);
        assert_eq!(book.wrong(&starts(0, 2)).len(), 1);
        assert_eq!(book.wrong(&starts(2, 3)).len(), 1);
    }
}
