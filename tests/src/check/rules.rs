//! The rules that look at records, complete reads, producers and readers one by one. Real time is not looked at
//! here: that is the sweep's part.

use std::collections::BTreeMap;

use super::{Action, Op, Outcome, Rule, Send, Violation, observed::Observed};

/// Runs every rule of this file.
pub(super) fn run(history: &[Op], observed: &Observed, violations: &mut Vec<Violation>) {
    origin(history, observed, violations);
    lost(history, observed, violations);
    gaps(observed, violations);
    producer_order(history, observed, violations);
    reader_order(history, violations);
}

fn sends(history: &[Op]) -> impl Iterator<Item = (&Op, &Send)> {
    history.iter().filter_map(|op| match &op.action {
        Action::Send(send) => Some((op, send)),
        _ => None,
    })
}

/// Every record was sent to its partition, not refused, and by an idempotent producer stands there once.
fn origin(history: &[Op], observed: &Observed, violations: &mut Vec<Violation>) {
    for ((partition, value), offsets) in &observed.offsets {
        let offset = offsets.first().copied().unwrap_or_default();
        let mut report =
            |rule, what| violations.push(Violation { rule, partition: *partition, offset, what });
        let Some((op, send)) = observed.sent.get(value).and_then(|index| sent(&history[*index])) else {
            report(Rule::Phantom, format!("value {value} was never sent"));
            continue;
        };
        if send.partition != *partition {
            report(Rule::Phantom, format!("value {value} was sent to partition {}", send.partition));
        }
        if op.outcome == Outcome::Failed {
            report(Rule::RefusedButRead, format!("value {value} had been refused"));
        }
        if offsets.len() > 1 && send.producer.is_some() {
            report(Rule::Duplicate, format!("value {value} stands at offsets {offsets:?}"));
        }
    }
}

fn sent(op: &Op) -> Option<(&Op, &Send)> {
    match &op.action {
        Action::Send(send) => Some((op, send)),
        _ => None,
    }
}

/// Acknowledged records are in the complete read, and in some read when reads have passed them.
fn lost(history: &[Op], observed: &Observed, violations: &mut Vec<Violation>) {
    for (op, send) in sends(history) {
        let (Outcome::Ok, Some(base)) = (op.outcome, send.base) else { continue };
        let partition = send.partition;
        for (value, offset) in send.values.iter().zip(base..) {
            let passed = observed.highest_read.get(&partition).is_some_and(|highest| offset <= *highest);
            let last = observed.last.get(&partition);
            let kept = last.is_none_or(|last| offset >= last.log_start);
            let unread = passed && !observed.read.contains(&(partition, *value));
            let missing = last.is_some_and(|last| !last.values.contains(value));
            if kept && (unread || missing) {
                let what = format!("value {value} was acknowledged at this offset and cannot be read");
                violations.push(Violation { rule: Rule::Lost, partition, offset, what });
            }
        }
    }
}

/// A complete read has every offset from the log start to the high watermark.
fn gaps(observed: &Observed, violations: &mut Vec<Violation>) {
    for (partition, last) in &observed.last {
        let mut expect = last.log_start;
        let kept = last.offsets.range(last.log_start..).copied();
        for offset in kept.chain([last.high_watermark]) {
            if offset > expect {
                let what = format!("offsets {expect} to {} are missing", offset - 1);
                violations.push(Violation { rule: Rule::Gap, partition: *partition, offset: expect, what });
            }
            expect = offset + 1;
        }
    }
}

/// What a producer sent later stands later.
fn producer_order(history: &[Op], observed: &Observed, violations: &mut Vec<Violation>) {
    let mut placed: BTreeMap<(u32, u64), BTreeMap<u64, i64>> = BTreeMap::new();
    for (_, send) in sends(history) {
        if let (Some((producer, order)), Some(offset)) = (send.producer, observed.effect(send)) {
            placed.entry((send.partition, producer)).or_default().insert(order, offset);
        }
    }
    for ((partition, producer), batches) in placed {
        let later = batches.iter().skip(1);
        for ((before, first), (after, second)) in batches.iter().zip(later) {
            if first >= second {
                let what =
                    format!("producer {producer}: batch {before} is at {first}, batch {after} at {second}");
                violations.push(Violation { rule: Rule::ProducerOrder, partition, offset: *second, what });
            }
        }
    }
}

/// A process that reads on gets the next offset that exists.
fn reader_order(history: &[Op], violations: &mut Vec<Violation>) {
    let mut next: BTreeMap<(u32, u32), i64> = BTreeMap::new();
    let mut in_order: Vec<&Op> = history.iter().filter(|op| op.outcome == Outcome::Ok).collect();
    in_order.sort_by_key(|op| op.invoked);
    for op in in_order {
        let Action::Read(read) = &op.action else { continue };
        let partition = read.partition;
        let expect = next.entry((op.process, partition)).or_insert(read.from);
        if read.seek {
            *expect = read.from;
        }
        for (offset, _) in &read.records {
            let rule = if *offset < *expect {
                Some(Rule::ReadBackwards)
            } else if *offset > (*expect).max(read.log_start) {
                Some(Rule::ReadSkipped)
            } else {
                None
            };
            if let Some(rule) = rule {
                let what = format!("process {} expected offset {expect} and got {offset}", op.process);
                violations.push(Violation { rule, partition, offset: *offset, what });
            }
            *expect = offset + 1;
        }
    }
}
