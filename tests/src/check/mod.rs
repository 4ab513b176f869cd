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

mod history;
mod observed;
mod rules;
mod sweep;

pub use history::{Action, Op, Outcome, Read, Send, read_jsonl, write_jsonl};

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
    };
    history.iter().filter(touches).collect()
}
