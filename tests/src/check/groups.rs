//! The rules of consumer groups. A committed offset is a register: commits write it, and since no two carry the same
//! metadata, each read says which commit it saw. For such histories Gibbons and Korach ("Testing shared memories",
//! 1997) give a test that needs no search. A commit and its reads are a cluster. With `first` the earliest return of
//! its operations and `last` the latest invocation, a cluster with `first < last` must be the register's value all
//! that time (its zone is forward); any other can be put at one moment between `last` and `first`. The history is
//! linearizable if and only if no read returned before its commit was invoked, no two forward zones overlap, and no
//! other zone lies within a forward one. Deletions are not told apart by those who read nothing, so of them only part
//! of that is tested.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Commit, Committed, Op, Outcome, Own, Rule, Violation};

/// What happened to one group's offset of one partition.
#[derive(Default)]
struct Key<'a> {
    commits: Vec<(&'a Op, &'a Commit)>,
    reads: Vec<(&'a Op, &'a Committed)>,
    /// Deletions that may have taken effect.
    deletions: Vec<&'a Op>,
    owned: Vec<(&'a Op, &'a Own)>,
    /// Values that members were given.
    processed: BTreeSet<u64>,
    /// Offsets that were deleted before a member came to them: from, and the end.
    deleted: Vec<(i64, i64)>,
}

/// A commit and its reads.
struct Cluster {
    offset: i64,
    first_return: u64,
    last_invocation: u64,
}

/// Runs every rule of this file.
pub(super) fn run(history: &[Op], violations: &mut Vec<Violation>) {
    let keys = collect(history);
    for ((group, partition), key) in &keys {
        let mut report = |rule, offset, what: String| {
            let what = format!("group {group}: {what}");
            violations.push(Violation { rule, partition: *partition, offset, what });
        };
        order(key, &mut report);
        absence(key, &mut report);
        fences(key, &mut report);
        hand_over(key, &mut report);
    }
    processed(history, &keys, violations);
}

fn collect(history: &[Op]) -> BTreeMap<(u32, u32), Key<'_>> {
    let mut keys: BTreeMap<_, Key<'_>> = BTreeMap::new();
    for op in history {
        match &op.action {
            Action::Commit(commit) => {
                keys.entry((commit.group, commit.partition)).or_default().commits.push((op, commit));
            }
            Action::Committed(read) if op.outcome == Outcome::Ok => {
                keys.entry((read.group, read.partition)).or_default().reads.push((op, read));
            }
            Action::DeleteOffset(delete) if op.outcome != Outcome::Failed => {
                keys.entry((delete.group, delete.partition)).or_default().deletions.push(op);
            }
            Action::Own(own) => keys.entry((own.group, own.partition)).or_default().owned.push((op, own)),
            Action::Consume(consume) => {
                let key = keys.entry((consume.group, consume.partition)).or_default();
                key.processed.extend(consume.records.iter().filter_map(|record| record.1));
                if consume.from < consume.log_start {
                    key.deleted.push((consume.from, consume.log_start));
                }
            }
            Action::Send(_) | Action::Read(_) | Action::Committed(_) | Action::DeleteOffset(_) => {}
        }
    }
    keys
}

/// The committed offset is a linearizable register.
fn order(key: &Key<'_>, report: &mut impl FnMut(Rule, i64, String)) {
    let mut reads: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    // That nothing is committed is the value of a commit before everything else.
    let mut clusters = vec![Cluster { offset: -1, first_return: 0, last_invocation: 0 }];
    for (op, read) in &key.reads {
        match &read.found {
            Some((_, metadata)) => reads.entry(metadata).or_default().push(op),
            // Whoever finds nothing after a deletion may have seen that.
            None if key.deletions.iter().any(|deletion| deletion.invoked < op.returned) => {}
            None => clusters[0].last_invocation = clusters[0].last_invocation.max(op.invoked),
        }
    }
    // A deletion is a commit of nothing. Which reads saw it is not known.
    clusters.extend(key.deletions.iter().filter(|op| op.outcome == Outcome::Ok).map(|op| Cluster {
        offset: -1,
        first_return: op.returned,
        last_invocation: op.invoked,
    }));
    for (op, commit) in &key.commits {
        let seen = reads.remove(&*commit.metadata).unwrap_or_default();
        let acknowledged = op.outcome == Outcome::Ok;
        if seen.is_empty() && !acknowledged {
            continue;
        }
        if op.outcome == Outcome::Failed {
            report(
                Rule::RefusedButCommitted,
                commit.offset,
                format!("{:?} had been refused", commit.metadata),
            );
        }
        if seen.iter().any(|read| read.returned < op.invoked) {
            let what = format!("{:?} was read before it was committed", commit.metadata);
            report(Rule::CommittedPhantom, commit.offset, what);
        }
        // What was not acknowledged has an open end, which its reads close.
        let returns = seen.iter().map(|read| read.returned).chain(acknowledged.then_some(op.returned));
        let invocations = seen.iter().map(|read| read.invoked).chain([op.invoked]);
        clusters.push(Cluster {
            offset: commit.offset,
            first_return: returns.min().unwrap_or(u64::MAX),
            last_invocation: invocations.max().unwrap_or(op.invoked),
        });
    }
    for (metadata, _) in reads {
        report(Rule::CommittedPhantom, -1, format!("{metadata:?} was read and never committed"));
    }
    zones(clusters, report);
}

/// Nothing is found only where nothing was committed yet, or since a deletion.
fn absence(key: &Key<'_>, report: &mut impl FnMut(Rule, i64, String)) {
    let commits: Vec<_> = key.commits.iter().filter(|(op, _)| op.outcome == Outcome::Ok).collect();
    for (read, _) in key.reads.iter().filter(|(_, read)| read.found.is_none()) {
        let stands = |after: u64| {
            commits.iter().find(|(commit, _)| after < commit.invoked && commit.returned < read.invoked)
        };
        let before: Vec<_> = key.deletions.iter().filter(|op| op.invoked < read.returned).collect();
        let explains = |op: &&&Op| op.outcome != Outcome::Ok || stands(op.returned).is_none();
        // Where nothing had been deleted, the zones tell.
        if !before.is_empty()
            && !before.iter().rev().any(explains)
            && let Some((_, commit)) = stands(0)
        {
            let what = format!("{:?} was committed, and nothing was found", commit.metadata);
            report(Rule::CommittedOrder, commit.offset, what);
        }
    }
}

/// Tests the zones of the clusters in the order in which they begin.
fn zones(clusters: Vec<Cluster>, report: &mut impl FnMut(Rule, i64, String)) {
    let (mut forward, backward): (Vec<_>, Vec<_>) =
        clusters.into_iter().partition(|cluster| cluster.first_return < cluster.last_invocation);
    forward.sort_by_key(|cluster| cluster.first_return);
    for pair in forward.windows(2) {
        if let [before, after] = pair
            && after.first_return < before.last_invocation
        {
            let what = format!("offset {} was read after {} had been", before.offset, after.offset);
            report(Rule::CommittedOrder, before.offset, what);
        }
    }
    for cluster in backward {
        let begins = forward.partition_point(|zone| zone.first_return < cluster.last_invocation);
        let around = begins.checked_sub(1).and_then(|index| forward.get(index));
        if let Some(around) = around.filter(|zone| cluster.first_return < zone.last_invocation) {
            let what = format!("offset {} was read after {} was committed", around.offset, cluster.offset);
            report(Rule::CommittedOrder, cluster.offset, what);
        }
    }
}

/// A partition has one owner in a generation, and the owner of an earlier one commits nothing any more.
fn fences(key: &Key<'_>, report: &mut impl FnMut(Rule, i64, String)) {
    let mut owners = BTreeMap::new();
    for (op, own) in &key.owned {
        let owner = *owners.entry(own.generation).or_insert(op.process);
        if owner != op.process {
            let what =
                format!("processes {owner} and {} own it in generation {}", op.process, own.generation);
            report(Rule::OwnedTwice, -1, what);
        }
    }
    // The highest generation in which somebody knew to own the partition, by time.
    let mut known: Vec<_> = key.owned.iter().map(|(op, own)| (op.returned, own.generation)).collect();
    known.sort_unstable();
    let mut highest = i32::MIN;
    for (_, generation) in &mut known {
        highest = highest.max(*generation);
        *generation = highest;
    }
    let read: BTreeSet<_> = key.reads.iter().filter_map(|(_, read)| Some(&*read.found.as_ref()?.1)).collect();
    let stands = |op: &Op, commit: &Commit| op.outcome == Outcome::Ok || read.contains(&*commit.metadata);
    for (op, commit) in key.commits.iter().filter(|(op, commit)| stands(op, commit)) {
        let before = known.partition_point(|(at, _)| *at < op.invoked).checked_sub(1);
        let Some((_, latest)) = before.and_then(|index| known.get(index)) else { continue };
        if commit.generation < *latest {
            let what = format!("a commit of generation {} took effect in {latest}", commit.generation);
            report(Rule::StaleCommit, commit.offset, what);
        }
    }
}

/// Whoever takes a partition over sees what was committed in earlier generations, whenever that was acknowledged: it
/// cannot have been done later. A commit whose end its member does not know may stand behind those, and may be lower.
fn hand_over(key: &Key<'_>, report: &mut impl FnMut(Rule, i64, String)) {
    let mut highest: BTreeMap<i32, i64> = BTreeMap::new();
    for (op, commit) in &key.commits {
        if op.outcome == Outcome::Ok {
            let highest = highest.entry(commit.generation).or_insert(commit.offset);
            *highest = commit.offset.max(*highest);
        }
    }
    // Turned into the highest of a generation and all before it.
    let mut sum = i64::MIN;
    for highest in highest.values_mut() {
        sum = sum.max(*highest);
        *highest = sum;
    }
    let commits = key.commits.iter().filter(|(op, _)| op.outcome == Outcome::Unknown);
    let unknown: BTreeSet<_> = commits.map(|(_, commit)| &*commit.metadata).collect();
    for (_, read) in &key.reads {
        let Some(generation) = read.taking else { continue };
        let Some((earlier, floor)) = highest.range(..generation).next_back() else { continue };
        let found = read.found.as_ref();
        let excused = found.is_some_and(|(_, metadata)| unknown.contains(&**metadata));
        let offset = found.map_or(-1, |found| found.0);
        if offset < *floor && !excused {
            let what = format!("generation {generation} begins here, and {earlier} had committed {floor}");
            report(Rule::CommitLost, offset, what);
        }
    }
}

/// Below a committed offset every acknowledged record was given to a member, unless it had been deleted by then.
fn processed(history: &[Op], keys: &BTreeMap<(u32, u32), Key<'_>>, violations: &mut Vec<Violation>) {
    let mut sent: BTreeMap<u32, Vec<(i64, u64)>> = BTreeMap::new();
    for op in history {
        let (Action::Send(send), Outcome::Ok) = (&op.action, op.outcome) else { continue };
        if let Some(base) = send.base {
            sent.entry(send.partition).or_default().extend((base..).zip(send.values.iter().copied()));
        }
    }
    // A group that never had members processes nothing.
    for ((group, partition), key) in keys.iter().filter(|(_, key)| !key.owned.is_empty()) {
        let read = key.reads.iter().filter_map(|(_, read)| read.found.as_ref().map(|found| found.0));
        let committed = read.max().unwrap_or(0);
        for (offset, value) in sent.get(partition).into_iter().flatten() {
            let deleted = || key.deleted.iter().any(|(from, end)| (from..end).contains(&offset));
            if *offset < committed && !key.processed.contains(value) && !deleted() {
                let what = format!("group {group} committed {committed}, and nobody processed value {value}");
                let (rule, partition) = (Rule::NotProcessed, *partition);
                violations.push(Violation { rule, partition, offset: *offset, what });
            }
        }
    }
}
