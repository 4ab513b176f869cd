//! The history checker: from what clients saw, says whether the log kept its guarantees. Pure; knows nothing of the
//! system under test, so that simulations, killed processes and foreign clients are all judged by the same code.
//!
//! | guarantee | rule |
//! | --- | --- |
//! | acknowledged records stay | [`Rule::Lost`] |
//! | appends and reads are linearizable | [`Rule::StaleAppend`], [`Rule::StaleRead`] |
//! | an offset means one record for ever | [`Rule::OffsetConflict`] |
//! | offsets are dense | [`Rule::Gap`] |
//! | only what was sent is read | [`Rule::Phantom`], [`Rule::RefusedButRead`] |
//! | idempotent producers make no duplicates | [`Rule::Duplicate`] |
//! | a producer's records keep their order | [`Rule::ProducerOrder`] |
//! | a reader moves forward without skipping | [`Rule::ReadBackwards`], [`Rule::ReadSkipped`] |
//! | bytes come back as they were sent | [`Rule::Damaged`] |
//! | a group's committed offset is a linearizable register | [`Rule::CommittedOrder`], [`Rule::CommittedPhantom`] |
//! | a stale generation or member epoch commits nothing | [`Rule::StaleCommit`], [`Rule::RefusedButCommitted`] |
//! | whoever takes a partition over goes on where the last owner was | [`Rule::CommitLost`] |
//! | one member owns a partition in a generation | [`Rule::OwnedTwice`] |
//! | a group processes every acknowledged record | [`Rule::NotProcessed`] |

mod groups;
mod history;
mod observed;
mod rules;
mod sweep;

pub use history::{
    Action, Commit, Committed, Consume, DeleteOffset, Op, Outcome, Own, Read, Send, read_jsonl, write_jsonl,
};

use observed::Observed;

/// A guarantee that a history breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// An acknowledged record is missing from a complete read, or from reads that passed its offset.
    Lost,
    /// A record was placed at or below an offset that was visible before it was sent.
    StaleAppend,
    /// A read saw a high watermark below one that was visible before it began.
    StaleRead,
    /// One offset was seen with two records.
    OffsetConflict,
    /// A complete read misses offsets.
    Gap,
    /// A record was read that nobody sent, or not to that partition.
    Phantom,
    /// A record was read although its producer was told for certain that it was not written.
    RefusedButRead,
    /// An idempotent producer's record stands at two offsets.
    Duplicate,
    /// A producer's later record stands before an earlier one.
    ProducerOrder,
    /// A reader got an offset below one it had got before.
    ReadBackwards,
    /// A reader was not given a record that exists.
    ReadSkipped,
    /// A record's bytes are not those that were sent.
    Damaged,
    /// Reads and commits of one committed offset have no order that agrees with real time.
    CommittedOrder,
    /// A committed offset was read that nobody committed, or before it was committed.
    CommittedPhantom,
    /// A commit took effect that was sent after another member had got the partition in a later generation.
    StaleCommit,
    /// A committed offset was read although its committer was told for certain that it was refused.
    RefusedButCommitted,
    /// A member that took a partition over was given an offset below one committed in an earlier generation.
    CommitLost,
    /// Two members were given one partition in one generation.
    OwnedTwice,
    /// The group committed beyond an acknowledged record that none of its members was given.
    NotProcessed,
}

/// One broken guarantee, with where it broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The guarantee.
    pub rule: Rule,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
    /// What was seen, in words.
    pub what: String,
}

/// How many offsets around a violation its witness shows.
const WITNESS_OFFSETS: i64 = 20;

/// Checks a history, in any order. An empty answer means that every guarantee held.
#[must_use]
pub fn check(history: &[Op]) -> Vec<Violation> {
    let (observed, mut violations) = Observed::collect(history);
    rules::run(history, &observed, &mut violations);
    sweep::run(history, &observed, &mut violations);
    groups::run(history, &mut violations);
    violations.sort_by_key(|violation| (violation.rule, violation.partition, violation.offset));
    violations
}

/// The operations that touch the neighbourhood of a violation, as a person would want to see them.
#[must_use]
pub fn witness<'a>(history: &'a [Op], violation: &Violation) -> Vec<&'a Op> {
    let near = |offset: i64| (offset - violation.offset).abs() <= WITNESS_OFFSETS;
    let touches = |op: &&Op| match &op.action {
        Action::Send(send) => send.partition == violation.partition && send.base.is_some_and(near),
        Action::Read(read) => {
            read.partition == violation.partition
                && (near(read.from) || read.records.iter().any(|record| near(record.0)))
        }
        Action::Commit(commit) => commit.partition == violation.partition && near(commit.offset),
        Action::Committed(read) => {
            read.partition == violation.partition && read.found.as_ref().is_none_or(|found| near(found.0))
        }
        Action::DeleteOffset(delete) => delete.partition == violation.partition,
        Action::Own(own) => own.partition == violation.partition,
        Action::Consume(consume) => {
            consume.partition == violation.partition
                && (near(consume.from) || consume.records.iter().any(|record| near(record.0)))
        }
    };
    history.iter().filter(touches).collect()
}
