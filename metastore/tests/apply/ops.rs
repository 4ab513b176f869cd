//! What random sequences are made of. Ops name topics, partitions and earlier batches loosely; what they come to is
//! settled when their turn comes.

use proptest::{collection::vec, prelude::*};

/// Names of topics that come and go.
pub(crate) const TOPICS: u8 = 2;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Commit { inline: bool, again: bool, runs: Vec<RunOp> },
    CreateTopic { slot: u8, partitions: u8 },
    Grow { slot: u8 },
    DeleteTopic { slot: u8 },
    DeleteRecords { slot: u8, partition: u8, percent: u8 },
    InitProducer,
    RestartAgent { agent: usize },
    Truncate,
    Sweep,
    Forget,
    Publish(PublishOp),
    Claim { from: u64, len: u64, seen: bool },
    Release,
}

/// Some rows of every partition of a topic, from one share of them to another, in percent.
#[derive(Clone, Debug)]
pub(crate) struct PublishOp {
    pub(crate) slot: u8,
    pub(crate) shares: Vec<(u8, u8)>,
    pub(crate) fault: PublishFault,
    /// How many records compaction leaves of each span, in percent.
    pub(crate) kept: u8,
    pub(crate) max_timestamp: i64,
}

/// What is wrong with a publish.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PublishFault {
    None,
    Stale,
    HalfRow,
    Again,
}

#[derive(Clone, Debug)]
pub(crate) struct RunOp {
    pub(crate) slot: u8,
    pub(crate) partition: u8,
    pub(crate) batches: Vec<BatchOp>,
}

#[derive(Clone, Debug)]
pub(crate) struct BatchOp {
    pub(crate) records: u32,
    pub(crate) timestamp: i64,
    pub(crate) producer: Option<(u8, SequenceOp)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum SequenceOp {
    Next,
    Gap(i32),
    Again(usize),
    NewEpoch(i32),
    OldEpoch,
}

/// How an entry is in bad order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    WrongEpoch,
    NumberAgain,
    NumberTooHigh,
    Sealed,
    NeverRegistered,
}

fn batch_ops() -> impl Strategy<Value = BatchOp> {
    let records = prop_oneof![8 => 1..4_u32, 1 => Just(1 << 30), 1 => Just(i32::MAX as u32)];
    let sequence = prop_oneof![
        16 => Just(SequenceOp::Next),
        1 => prop_oneof![1..3, Just(1 << 30), (i32::MAX - 2)..i32::MAX].prop_map(SequenceOp::Gap),
        4 => (0..7_usize).prop_map(SequenceOp::Again),
        1 => (0..2).prop_map(SequenceOp::NewEpoch),
        1 => Just(SequenceOp::OldEpoch),
    ];
    let producer = proptest::option::weighted(0.8, (0..2_u8, sequence));
    (records, 0..50_i64, producer).prop_map(|(records, timestamp, producer)| BatchOp {
        records,
        timestamp,
        producer,
    })
}

fn publish_ops() -> impl Strategy<Value = PublishOp> {
    let fault = prop_oneof![
        8 => Just(PublishFault::None),
        1 => Just(PublishFault::Stale),
        1 => Just(PublishFault::HalfRow),
        1 => Just(PublishFault::Again),
    ];
    let share = prop_oneof![2 => Just((0, 100)), 1 => (0..=100_u8, 0..=100_u8)];
    let kept = prop_oneof![3 => Just(100), 1 => Just(50), 1 => Just(0)];
    (0..TOPICS, vec(share, 3), fault, kept, 0..50_i64).prop_map(
        |(slot, shares, fault, kept, max_timestamp)| PublishOp { slot, shares, fault, kept, max_timestamp },
    )
}

fn ops() -> impl Strategy<Value = Op> {
    let run = (0..TOPICS, 0..3_u8, vec(batch_ops(), 1..8));
    let runs = vec(run.prop_map(|(slot, partition, batches)| RunOp { slot, partition, batches }), 0..4);
    prop_oneof![
        12 => (any::<bool>(), prop::bool::weighted(0.1), runs)
            .prop_map(|(inline, again, runs)| Op::Commit { inline, again, runs }),
        3 => (0..TOPICS, 1..3_u8).prop_map(|(slot, partitions)| Op::CreateTopic { slot, partitions }),
        1 => (0..TOPICS).prop_map(|slot| Op::Grow { slot }),
        1 => (0..TOPICS).prop_map(|slot| Op::DeleteTopic { slot }),
        3 => (0..TOPICS, 0..3_u8, 0..=110_u8)
            .prop_map(|(slot, partition, percent)| Op::DeleteRecords { slot, partition, percent }),
        2 => Just(Op::InitProducer),
        1 => (0..2_usize).prop_map(|agent| Op::RestartAgent { agent }),
        1 => Just(Op::Truncate),
        1 => Just(Op::Sweep),
        1 => Just(Op::Forget),
        6 => publish_ops().prop_map(Op::Publish),
        2 => (0..6_u64, 0..4_u64, any::<bool>()).prop_map(|(from, len, seen)| Op::Claim { from, len, seen }),
        1 => Just(Op::Release),
    ]
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<(usize, Fault, Op)>> {
    let fault = prop_oneof![
        12 => Just(Fault::None),
        1 => Just(Fault::WrongEpoch),
        1 => Just(Fault::NumberAgain),
        1 => Just(Fault::NumberTooHigh),
        1 => Just(Fault::Sealed),
        1 => Just(Fault::NeverRegistered),
    ];
    vec((0..2_usize, fault, ops()), 1..60)
}
