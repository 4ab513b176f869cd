//! The linearizability sweep. An append says where it went, so the order of all operations on a partition is forced:
//! call the offset after an append, and the high watermark of a read, the operation's point. The history is
//! linearizable if and only if, whenever `x` returned before `y` was invoked, `point(x) <= point(y)`, and `y`'s base
//! offset is not below `point(x)` when `y` is an append. Sorting by time checks that in O(n log n).

use std::collections::BTreeMap;

use super::{Action, Op, Outcome, Rule, Violation, observed::Observed};

/// One end of an operation. At equal times invocations come first: only a strict order in time binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    Invoked,
    Returned,
}

/// Sweeps over the history in the order of time.
pub(super) fn run(history: &[Op], observed: &Observed, violations: &mut Vec<Violation>) {
    let mut edges = Vec::with_capacity(history.len() * 2);
    for (index, op) in history.iter().enumerate() {
        let Some(span) = span(op, observed) else { continue };
        edges.push((op.invoked, Edge::Invoked, index, span));
        if op.outcome == Outcome::Ok {
            edges.push((op.returned, Edge::Returned, index, span));
        }
    }
    edges.sort_unstable_by_key(|(time, edge, index, _)| (*time, *edge, *index));
    let mut visible: BTreeMap<u32, i64> = BTreeMap::new();
    for (_, edge, _, span) in edges {
        let floor = visible.entry(span.partition).or_insert(0);
        match edge {
            Edge::Returned => *floor = (*floor).max(span.point),
            Edge::Invoked => violations.extend(span.breaks(*floor)),
        }
    }
}

/// What an operation says of its partition.
#[derive(Clone, Copy)]
struct Span {
    partition: u32,
    /// The base offset, of an append.
    base: Option<i64>,
    point: i64,
}

/// What an operation says, if it took effect and anybody saw it.
fn span(op: &Op, observed: &Observed) -> Option<Span> {
    match &op.action {
        Action::Send(send) => {
            let base = observed.effect(send)?;
            let point = base + i64::try_from(send.values.len()).unwrap_or(i64::MAX);
            Some(Span { partition: send.partition, base: Some(base), point })
        }
        Action::Read(read) if op.outcome == Outcome::Ok => {
            let point = read.high_watermark?;
            Some(Span { partition: read.partition, base: None, point })
        }
        _ => None,
    }
}

impl Span {
    fn breaks(self, floor: i64) -> Option<Violation> {
        let Self { partition, base, point } = self;
        let (rule, offset, what) = match base {
            Some(base) if base < floor => {
                (Rule::StaleAppend, base, format!("appended at {base} after {floor} had become visible"))
            }
            None if point < floor => {
                (Rule::StaleRead, point, format!("saw the end at {point} after {floor} had become visible"))
            }
            _ => return None,
        };
        Some(Violation { rule, partition, offset, what })
    }
}
