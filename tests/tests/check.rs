//! The checker is checked: a sound history passes, and a history with one flaw is caught by the rule for it.

use ebb_tests::check::{Action, Op, Outcome, Read, Rule, Send, check, read_jsonl, witness, write_jsonl};

/// A send of one record by an idempotent producer, from time `at` to `at + 5`.
fn send(at: u64, order: u64, value: u64, base: i64) -> Op {
    let action = Send { partition: 0, producer: Some((7, order)), values: vec![value], base: Some(base) };
    Op { process: 1, invoked: at, returned: at + 5, outcome: Outcome::Ok, action: Action::Send(action) }
}

/// A read from time `at` to `at + 5`.
fn read(at: u64, from: i64, records: &[(i64, u64)], high_watermark: i64) -> Op {
    let records = records.iter().map(|(offset, value)| (*offset, Some(*value))).collect();
    let high_watermark = Some(high_watermark);
    let action = Read { partition: 0, from, seek: false, records, log_start: 0, high_watermark, last: false };
    Op { process: 2, invoked: at, returned: at + 5, outcome: Outcome::Ok, action: Action::Read(action) }
}

fn last(mut op: Op) -> Op {
    if let Action::Read(read) = &mut op.action {
        read.last = true;
        read.seek = true;
    }
    Op { process: 3, ..op }
}

fn sound() -> Vec<Op> {
    vec![
        send(0, 0, 100, 0),
        read(10, 0, &[(0, 100)], 1),
        send(20, 1, 101, 1),
        send(30, 2, 102, 2),
        read(40, 1, &[(1, 101), (2, 102)], 3),
        last(read(50, 0, &[(0, 100), (1, 101), (2, 102)], 3)),
    ]
}

fn rules(history: &[Op]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = check(history).into_iter().map(|violation| violation.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn a_sound_history_passes() {
    assert_eq!(check(&sound()), []);
}

/// Changes a sound history.
type Plant = fn(&mut Vec<Op>);

#[test]
fn each_flaw_is_caught_by_its_rule() {
    let cases: [(&str, Rule, Plant); 12] = [
        ("an acknowledged record is gone", Rule::Lost, |ops| {
            ops[4] = read(40, 1, &[], 2);
            ops[5] = last(read(50, 0, &[(0, 100), (1, 101)], 3));
        }),
        ("an append below the visible end", Rule::StaleAppend, |ops| ops.push(send(60, 3, 103, 2))),
        ("a read of an old end", Rule::StaleRead, |ops| ops.push(read(60, 3, &[], 2))),
        ("one offset, two records", Rule::OffsetConflict, |ops| {
            ops.push(send(60, 3, 103, 3));
            ops.push(send(60, 4, 104, 3));
        }),
        ("a hole in the offsets", Rule::Gap, |ops| {
            ops[5] = last(read(50, 0, &[(0, 100), (1, 101), (2, 102)], 5));
        }),
        ("a record from nowhere", Rule::Phantom, |ops| ops.push(read(60, 3, &[(3, 999)], 4))),
        ("a refused record is read", Rule::RefusedButRead, |ops| {
            ops.push(Op { outcome: Outcome::Failed, ..send(60, 3, 103, 3) });
            ops.push(read(70, 3, &[(3, 103)], 4));
        }),
        ("a record twice", Rule::Duplicate, |ops| ops.push(read(60, 3, &[(3, 102)], 4))),
        ("a producer's records swapped", Rule::ProducerOrder, |ops| {
            ops.push(send(60, 4, 103, 3));
            ops.push(send(61, 3, 104, 4));
        }),
        ("a reader goes back", Rule::ReadBackwards, |ops| ops.push(read(60, 3, &[(1, 101)], 3))),
        ("a reader skips", Rule::ReadSkipped, |ops| {
            ops[4] = read(40, 1, &[(2, 102)], 3);
        }),
        ("damaged bytes", Rule::Damaged, |ops| {
            if let Action::Read(read) = &mut ops[4].action {
                read.records[0].1 = None;
            }
        }),
    ];
    for (name, expect, plant) in cases {
        let mut history = sound();
        plant(&mut history);
        assert!(rules(&history).contains(&expect), "{name}: {:?}", rules(&history));
    }
}

#[test]
fn what_is_unknown_may_take_effect_late_or_never() {
    let mut history = sound();
    history.push(Op { outcome: Outcome::Unknown, ..send(0, 9, 200, 0) });
    assert_eq!(check(&history), [], "it never took effect");
    history.push(read(60, 3, &[(3, 200)], 4));
    history.push(last(read(70, 3, &[(3, 200)], 4)));
    assert_eq!(check(&history), [], "it took effect after later records");
}

#[test]
fn deleted_records_are_neither_lost_nor_skipped() {
    let mut history = sound();
    for op in &mut history[4..] {
        if let Action::Read(read) = &mut op.action {
            read.log_start = 2;
            read.records.retain(|record| record.0 >= 2);
        }
    }
    assert_eq!(check(&history), []);
}

#[test]
fn a_witness_shows_the_neighbourhood() {
    let mut history = sound();
    history.push(send(60, 3, 103, 1000));
    history.push(read(70, 3, &[(1, 999)], 1001));
    let violations = check(&history);
    let conflict = violations.iter().find(|violation| violation.rule == Rule::OffsetConflict);
    let shown = witness(&history, conflict.expect("offset 1 has two values"));
    assert!(shown.contains(&&history[2]) && !shown.contains(&&history[6]));
}

#[test]
fn a_history_survives_being_written_and_a_torn_last_line() {
    let mut file = Vec::new();
    write_jsonl(&sound(), &mut file).expect("memory takes everything");
    file.extend_from_slice(b"{\"process\":1,\"inv");
    assert_eq!(read_jsonl(&mut file.as_slice()).expect("whole lines are valid"), sound());
}
