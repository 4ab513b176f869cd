//! The checker is checked: a sound history passes, and a history with one flaw is caught by the rule for it.

use ebb_tests::check::{
    Action, Commit, Committed, Consume, DeleteOffset, Op, Outcome, Own, Read, Rule, Send, check, read_jsonl,
    witness, write_jsonl,
};

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

/// An operation of a group on partition 0, from time `at` to `at + 5`.
fn member(process: u32, at: u64, outcome: Outcome, action: Action) -> Op {
    Op { process, invoked: at, returned: at + 5, outcome, action }
}

fn own(process: u32, at: u64, generation: i32) -> Op {
    member(process, at, Outcome::Ok, Action::Own(Own { group: 0, partition: 0, generation }))
}

fn commit(process: u32, at: u64, generation: i32, offset: i64) -> Op {
    let metadata = format!("{process}-{at}");
    let commit = Commit { group: 0, partition: 0, generation, offset, metadata };
    member(process, at, Outcome::Ok, Action::Commit(commit))
}

/// A read of what `commit` committed, from time `at` to `at + 5`.
fn committed(process: u32, at: u64, taking: Option<i32>, commit: Option<&Op>) -> Op {
    let found = commit.and_then(|op| match &op.action {
        Action::Commit(commit) => Some((commit.offset, commit.metadata.clone())),
        _ => None,
    });
    let read = Committed { group: 0, partition: 0, taking, found };
    member(process, at, Outcome::Ok, Action::Committed(read))
}

fn delete(process: u32, at: u64) -> Op {
    member(process, at, Outcome::Ok, Action::DeleteOffset(DeleteOffset { group: 0, partition: 0 }))
}

fn consume(process: u32, at: u64, from: i64, records: &[(i64, u64)]) -> Op {
    let records = records.iter().map(|(offset, value)| (*offset, Some(*value))).collect();
    let consume = Consume { group: 0, partition: 0, from, log_start: 0, records };
    member(process, at, Outcome::Ok, Action::Consume(consume))
}

/// Process 10 owns the partition in generation 1 and process 11 in generation 2.
fn sound_group() -> Vec<Op> {
    let mut ops = sound();
    let (first, second) = (commit(10, 130, 1, 2), commit(11, 170, 2, 3));
    ops.extend([
        own(10, 100, 1),
        committed(10, 110, Some(1), None),
        consume(10, 120, 0, &[(0, 100), (1, 101)]),
        first.clone(),
        own(11, 140, 2),
        committed(11, 150, Some(2), Some(&first)),
        consume(11, 160, 2, &[(2, 102)]),
        second.clone(),
        committed(12, 180, None, Some(&second)),
    ]);
    ops
}

#[test]
fn a_sound_history_of_a_group_passes() {
    assert_eq!(check(&sound_group()), []);
}

#[test]
fn each_flaw_of_a_group_is_caught_by_its_rule() {
    let cases: [(&str, Rule, Plant); 13] = [
        ("a read of an offset that was replaced", Rule::CommittedOrder, |ops| {
            let first = ops[9].clone();
            ops.push(committed(12, 190, None, Some(&first)));
        }),
        ("a read of nothing after a commit", Rule::CommittedOrder, |ops| {
            ops.push(committed(12, 190, None, None));
        }),
        ("two readers disagree about the order of two commits", Rule::CommittedOrder, |ops| {
            let (mut a, mut b) = (commit(11, 200, 2, 3), commit(11, 201, 2, 3));
            (a.returned, b.returned) = (300, 300);
            ops.extend([a.clone(), b.clone()]);
            let order = [&a, &b, &a, &b];
            ops.extend((0..).zip(order).map(|(at, of)| committed(12, 210 + 10 * at, None, Some(of))));
        }),
        ("an offset from nowhere", Rule::CommittedPhantom, |ops| {
            ops.push(committed(12, 190, None, Some(&commit(11, 189, 2, 3))));
        }),
        ("an offset from the future", Rule::CommittedPhantom, |ops| {
            let late = commit(11, 250, 2, 3);
            ops.extend([committed(12, 190, None, Some(&late)), late]);
        }),
        ("a refused offset is read", Rule::RefusedButCommitted, |ops| {
            let refused = Op { outcome: Outcome::Failed, ..commit(11, 190, 2, 3) };
            ops.extend([refused.clone(), committed(12, 200, None, Some(&refused))]);
        }),
        ("a deleted offset is back", Rule::CommittedOrder, |ops| {
            let last = ops[13].clone();
            ops.extend([delete(12, 190), committed(12, 200, None, Some(&last))]);
        }),
        ("an offset is gone that was committed after the deletion", Rule::CommittedOrder, |ops| {
            ops.extend([delete(12, 190), commit(11, 200, 2, 3), committed(12, 210, None, None)]);
        }),
        ("a commit of the last generation without an answer", Rule::StaleCommit, |ops| {
            let stale = Op { outcome: Outcome::Unknown, ..commit(10, 190, 1, 2) };
            ops.extend([stale.clone(), committed(12, 200, None, Some(&stale))]);
        }),
        ("a commit of the last generation", Rule::StaleCommit, |ops| ops.push(commit(10, 190, 1, 2))),
        ("the last owner's commit is forgotten", Rule::CommitLost, |ops| {
            ops.extend([own(10, 190, 3), committed(10, 200, Some(3), None)]);
        }),
        ("two owners", Rule::OwnedTwice, |ops| ops.push(own(13, 190, 2))),
        ("a record is passed over", Rule::NotProcessed, |ops| ops[12] = consume(11, 160, 2, &[])),
    ];
    for (name, expect, plant) in cases {
        let mut history = sound_group();
        plant(&mut history);
        assert!(rules(&history).contains(&expect), "{name}: {:?}", rules(&history));
    }
}

#[test]
fn a_commit_that_stands_behind_the_next_generation_is_caught_whenever_it_returns() {
    let mut history = sound_group();
    // It was invoked before anybody knew of generation 2, so nothing but what process 11 found gives it away.
    let mut late = commit(10, 131, 1, 3);
    late.returned = 400;
    history.push(late);
    assert!(rules(&history).contains(&Rule::CommitLost), "{:?}", rules(&history));
}

#[test]
fn a_commit_of_which_nobody_knows_the_end_may_count_or_not() {
    let mut history = sound_group();
    let unknown = Op { outcome: Outcome::Unknown, ..commit(11, 175, 2, 1) };
    history.push(unknown.clone());
    assert_eq!(check(&history), [], "it never took effect");
    history.extend([own(10, 190, 3), committed(10, 200, Some(3), Some(&unknown))]);
    assert_eq!(check(&history), [], "it took effect behind an offset above it");
}

#[test]
fn nothing_may_be_found_since_a_deletion() {
    let mut history = sound_group();
    let unknown = Op { outcome: Outcome::Unknown, ..delete(12, 190) };
    history.extend([unknown, commit(11, 200, 2, 3), committed(12, 210, None, None)]);
    assert_eq!(check(&history), [], "it took effect late");
    let last = commit(11, 230, 2, 3);
    history.extend([delete(12, 220), committed(12, 225, None, None), last.clone()]);
    history.push(committed(12, 240, None, Some(&last)));
    assert_eq!(check(&history), [], "it took effect, and so did the commit that followed");
}

#[test]
fn a_group_need_not_process_what_was_deleted_before_it_came() {
    let mut history = sound_group();
    history[12] = consume(11, 160, 2, &[]);
    if let Action::Consume(consume) = &mut history[12].action {
        consume.log_start = 3;
    }
    assert_eq!(check(&history), []);
}
