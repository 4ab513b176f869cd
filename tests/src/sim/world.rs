//! What a run gathers: the trace, the history, faults, probes and violations; and its time.

use std::{collections::BTreeMap, fmt, time::Duration};

use ebb_protocol::ids::{PartitionIndex, TopicId};
use parking_lot::Mutex;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use super::{faults::Fault, plan::Plan, probes::Probe};
use crate::check::{Action, Op, Outcome};

/// Calls of the store after which a run counts as one that gets nowhere.
const CALLS_MAX: u64 = 2_000_000;

/// A run.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    start: Instant,
    trace: bool,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    digest: Xxh3,
    calls: u64,
    time: u64,
    values: u64,
    processes: u32,
    partitions: BTreeMap<(TopicId, PartitionIndex), u32>,
    /// How far the log start of each partition may have been moved.
    starts: BTreeMap<(TopicId, PartitionIndex), i64>,
    /// Below which offset of each partition somebody was told that all is deleted.
    deleted: BTreeMap<(TopicId, PartitionIndex), i64>,
    history: Vec<Op>,
    faults: BTreeMap<Fault, u64>,
    probes: BTreeMap<Probe, u64>,
    violations: Vec<String>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("calls", &self.calls).finish_non_exhaustive()
    }
}

/// What is left of a run.
#[derive(Default)]
pub(super) struct Ended {
    pub(super) simulated: Duration,
    pub(super) digest: u64,
    pub(super) calls: u64,
    pub(super) history: Vec<Op>,
    pub(super) faults: BTreeMap<Fault, u64>,
    pub(super) probes: BTreeMap<Probe, u64>,
    pub(super) violations: Vec<String>,
}

impl World {
    pub(super) fn new(plan: Plan, trace: bool) -> Self {
        Self { plan, start: Instant::now(), trace, ledger: Mutex::default() }
    }

    /// When the run began.
    pub(super) fn start(&self) -> Instant {
        self.start
    }

    /// A moment of the history: nanoseconds since the start, and never the same twice, so that the order of all
    /// moments is the order in which they came.
    pub(super) fn moment(&self) -> u64 {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut ledger = self.ledger.lock();
        ledger.time = now.max(ledger.time + 1);
        ledger.time
    }

    /// Numbers for `count` new records.
    pub(super) fn values(&self, count: u64) -> Vec<u64> {
        let mut ledger = self.ledger.lock();
        let first = ledger.values + 1;
        ledger.values += count;
        (first..first + count).collect()
    }

    /// The number of a new client process.
    pub(super) fn process(&self) -> u32 {
        let mut ledger = self.ledger.lock();
        ledger.processes += 1;
        ledger.processes
    }

    /// The history's number of a partition.
    pub(super) fn partition(&self, topic: TopicId, index: PartitionIndex) -> u32 {
        let mut ledger = self.ledger.lock();
        let next = u32::try_from(ledger.partitions.len()).unwrap_or(u32::MAX);
        *ledger.partitions.entry((topic, index)).or_insert(next)
    }

    /// Notes that somebody asks to delete the records below an offset.
    pub(super) fn allow_start(&self, topic: TopicId, index: PartitionIndex, before: i64) {
        let mut ledger = self.ledger.lock();
        let start = ledger.starts.entry((topic, index)).or_default();
        *start = before.max(*start);
    }

    /// The highest offset below which somebody asked to delete records.
    pub(super) fn allowed_start(&self, topic: TopicId, index: PartitionIndex) -> i64 {
        self.ledger.lock().starts.get(&(topic, index)).copied().unwrap_or(0)
    }

    /// Notes that somebody was told where the log begins now.
    pub(super) fn note_deleted(&self, topic: TopicId, index: PartitionIndex, start: i64) {
        let mut ledger = self.ledger.lock();
        let deleted = ledger.deleted.entry((topic, index)).or_default();
        *deleted = start.max(*deleted);
    }

    /// The offset below which somebody was told that all is deleted.
    pub(super) fn deleted(&self, topic: TopicId, index: PartitionIndex) -> i64 {
        self.ledger.lock().deleted.get(&(topic, index)).copied().unwrap_or(0)
    }

    /// Notes something that happened, for the digest.
    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        let line = format!("{} {what}\n", self.start.elapsed().as_micros());
        if self.trace {
            eprint_line(&line);
        }
        self.ledger.lock().digest.update(line.as_bytes());
    }

    /// Notes a call of the store or the commit log.
    pub(super) fn call(&self, what: fmt::Arguments<'_>) {
        self.note(what);
        let mut ledger = self.ledger.lock();
        ledger.calls += 1;
        assert!(ledger.calls < CALLS_MAX, "the simulation makes calls without end");
    }

    /// Adds an operation to the history. Called when it returns.
    pub(super) fn record(&self, process: u32, invoked: u64, outcome: Outcome, action: Action) {
        let op = Op { process, invoked, returned: self.moment(), outcome, action };
        self.note(format_args!("{op:?}"));
        self.ledger.lock().history.push(op);
    }

    pub(super) fn fault(&self, fault: Fault) {
        *self.ledger.lock().faults.entry(fault).or_default() += 1;
    }

    pub(super) fn probe(&self, probe: Probe) {
        *self.ledger.lock().probes.entry(probe).or_default() += 1;
    }

    /// Notes a broken promise.
    pub(super) fn violation(&self, what: String) {
        self.note(format_args!("VIOLATION {what}"));
        self.ledger.lock().violations.push(what);
    }

    /// Ends the run.
    pub(super) fn finish(&self) -> Ended {
        let ledger = std::mem::take(&mut *self.ledger.lock());
        Ended {
            simulated: Duration::from_nanos(ledger.time),
            digest: ledger.digest.digest(),
            calls: ledger.calls,
            history: ledger.history,
            faults: ledger.faults,
            probes: ledger.probes,
            violations: ledger.violations,
        }
    }
}

#[expect(clippy::print_stderr, reason = "a person asked for the trace")]
fn eprint_line(line: &str) {
    eprint!("{line}");
}
