//! What all clients together know of the log: which record stands at which offset, and who sent it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Op, Outcome, Rule, Send, Violation};

/// Facts drawn from a whole history.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// The value at each offset.
    pub(super) at: BTreeMap<(u32, i64), u64>,
    /// The offsets of each value.
    pub(super) offsets: BTreeMap<(u32, u64), BTreeSet<i64>>,
    /// The values that some read returned.
    pub(super) read: BTreeSet<(u32, u64)>,
    /// The operation that sent each value.
    pub(super) sent: BTreeMap<u64, usize>,
    /// The highest offset that was read.
    pub(super) highest_read: BTreeMap<u32, i64>,
    /// The complete read of each partition.
    pub(super) last: BTreeMap<u32, LastRead>,
}

/// The complete read of a partition after everything had come to rest.
#[derive(Debug, Default)]
pub(super) struct LastRead {
    pub(super) offsets: BTreeSet<i64>,
    pub(super) values: BTreeSet<u64>,
    pub(super) log_start: i64,
    pub(super) high_watermark: i64,
}

impl Observed {
    /// Goes through a history. Offsets with two values and damaged records come to light on the way.
    pub(super) fn collect(history: &[Op]) -> (Self, Vec<Violation>) {
        let mut observed = Self::default();
        let mut violations = Vec::new();
        for (index, op) in history.iter().enumerate() {
            match &op.action {
                Action::Send(send) => observed.add_send(index, send, op.outcome, &mut violations),
                Action::Read(read) if op.outcome == Outcome::Ok => observed.add_read(read, &mut violations),
                Action::Consume(consume) => {
                    observed.add_records(consume.partition, &consume.records, &mut violations);
                }
                _ => {}
            }
        }
        (observed, violations)
    }

    /// The offset at which a send took effect, when anybody saw it: that of its first record.
    pub(super) fn effect(&self, send: &Send) -> Option<i64> {
        let first = self.offsets.get(&(send.partition, *send.values.first()?))?;
        first.first().copied()
    }

    fn add_send(&mut self, index: usize, send: &Send, outcome: Outcome, violations: &mut Vec<Violation>) {
        for (position, value) in send.values.iter().enumerate() {
            self.sent.insert(*value, index);
            if let (Outcome::Ok, Some(base)) = (outcome, send.base) {
                self.place(
                    send.partition,
                    base + i64::try_from(position).unwrap_or(i64::MAX),
                    *value,
                    violations,
                );
            }
        }
    }

    fn add_read(&mut self, read: &super::Read, violations: &mut Vec<Violation>) {
        let partition = read.partition;
        self.add_records(partition, &read.records, violations);
        if read.last {
            let last = self.last.entry(partition).or_default();
            last.offsets.extend(read.records.iter().map(|record| record.0));
            last.values.extend(read.records.iter().filter_map(|record| record.1));
            last.log_start = last.log_start.max(read.log_start);
            last.high_watermark = last.high_watermark.max(read.high_watermark.unwrap_or(0));
        }
    }

    fn add_records(
        &mut self,
        partition: u32,
        records: &[(i64, Option<u64>)],
        violations: &mut Vec<Violation>,
    ) {
        for (offset, value) in records {
            let highest = self.highest_read.entry(partition).or_insert(*offset);
            *highest = (*highest).max(*offset);
            let Some(value) = value else {
                let what = "the record's bytes are damaged".to_owned();
                violations.push(Violation { rule: Rule::Damaged, partition, offset: *offset, what });
                continue;
            };
            self.place(partition, *offset, *value, violations);
            self.read.insert((partition, *value));
        }
    }

    fn place(&mut self, partition: u32, offset: i64, value: u64, violations: &mut Vec<Violation>) {
        let before = *self.at.entry((partition, offset)).or_insert(value);
        if before != value {
            let what = format!("value {before} and value {value} stand at one offset");
            violations.push(Violation { rule: Rule::OffsetConflict, partition, offset, what });
        }
        self.offsets.entry((partition, value)).or_default().insert(offset);
    }
}
