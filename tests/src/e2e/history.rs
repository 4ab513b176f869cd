//! Records what clients see while a test runs, and has the checker judge it at the end.

use std::{fs::File, io::BufWriter};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::check::{Action, Op, Outcome, check, witness, write_jsonl};

/// How many broken guarantees a failure shows.
const SHOWN_MAX: usize = 5;

/// The history of all clients of a test.
#[derive(Debug)]
pub struct History {
    began: Instant,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    ops: Vec<Op>,
    counts: Counts,
}

/// How much a history holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sends that were acknowledged.
    pub acknowledged: usize,
    /// Sends of which nobody knows.
    pub unknown: usize,
    /// Sends that were refused.
    pub failed: usize,
    /// Records that were read.
    pub read: usize,
}

impl Default for History {
    fn default() -> Self {
        Self { began: Instant::now(), seen: Mutex::default() }
    }
}

impl History {
    /// The time by the clock of the history, in nanoseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Adds an operation that ends now.
    pub fn add(&self, process: u32, invoked: u64, outcome: Outcome, action: Action) {
        let op = Op { process, invoked, returned: self.now(), outcome, action };
        let mut seen = self.seen.lock();
        match (&op.action, outcome) {
            (Action::Send(send), Outcome::Ok) => seen.counts.acknowledged += send.values.len(),
            (Action::Send(send), Outcome::Unknown) => seen.counts.unknown += send.values.len(),
            (Action::Send(send), Outcome::Failed) => seen.counts.failed += send.values.len(),
            (Action::Read(read), _) => seen.counts.read += read.records.len(),
            _ => {}
        }
        seen.ops.push(op);
    }

    /// How much it holds by now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.seen.lock().counts
    }

    /// Has the checker judge it.
    ///
    /// # Panics
    /// When a guarantee is broken; the message says where, and in which file the history stands.
    pub fn judge(&self, test: &str) {
        let seen = self.seen.lock();
        let violations = check(&seen.ops);
        if violations.is_empty() {
            return;
        }
        let file = std::env::temp_dir().join(format!("ebb-{test}.jsonl"));
        let mut out = BufWriter::new(File::create(&file).expect("a temporary file can be written"));
        write_jsonl(&seen.ops, &mut out).expect("the history can be written");
        let shown: Vec<String> = violations
            .iter()
            .take(SHOWN_MAX)
            .map(|violation| format!("{violation:?}\n{:#?}", witness(&seen.ops, violation)))
            .collect();
        panic!(
            "{} broken guarantees; the history is in {}\n{}",
            violations.len(),
            file.display(),
            shown.join("\n")
        );
    }
}
