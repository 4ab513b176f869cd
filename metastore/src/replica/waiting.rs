//! Submissions that no entry holds yet, and when there should be one that does: at once for those in a hurry. The
//! patient ones go with that entry, or after a while in one of their own. Knows nothing of the log.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    error::MetastoreError,
    submission::{Queued, Waiter},
};
use crate::command::Command;

/// Submissions are put together in an entry up to this weight. It makes an entry of a few megabytes at most, as long
/// as no single submission is larger.
const ENTRY_WEIGHT_MAX: usize = 1 << 16;

/// What an entry is made of.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) commands: Vec<Command>,
    pub(super) body: Vec<Bytes>,
    pub(super) waiters: Vec<Waiter>,
}

/// The submissions, in the order in which they came.
#[derive(Debug)]
pub(super) struct Waiting {
    queued: VecDeque<Queued>,
    weight: usize,
    bodies: usize,
    hurried: usize,
    /// Entries for patient submissions alone are made at most this often.
    patience: Duration,
    /// When the last such entry was made.
    alone: Option<Instant>,
}

impl Waiting {
    pub(super) fn new(patience: Duration) -> Self {
        Self { queued: VecDeque::new(), weight: 0, bodies: 0, hurried: 0, patience, alone: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Whether the next entry could hold more than what waits.
    pub(super) fn has_room(&self) -> bool {
        self.weight < ENTRY_WEIGHT_MAX && self.bodies < 2
    }

    pub(super) fn push(&mut self, queued: Queued) {
        self.weight += queued.weight;
        self.bodies += usize::from(!queued.submission.body.is_empty());
        self.hurried += usize::from(queued.hurried);
        self.queued.push_back(queued);
    }

    /// When an entry should be made if nothing more comes; `None` when nothing waits.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let last = self.alone.filter(|_| self.hurried == 0 && self.has_room());
        (!self.is_empty()).then(|| last.map_or(now, |last| now.max(last + self.patience)))
    }

    /// Takes what the next entry holds: as many submissions as fit, with one body at most. Those whose callers have
    /// given up are passed over.
    pub(super) fn gather(&mut self, now: Instant) -> Gathered {
        let mut gathered = Gathered::default();
        let mut weight = 0;
        let mut hurried = false;
        while let Some(next) = self.queued.front() {
            weight += next.weight;
            let second_body = !gathered.body.is_empty() && !next.submission.body.is_empty();
            if !gathered.waiters.is_empty() && (second_body || weight > ENTRY_WEIGHT_MAX) {
                break;
            }
            let Some(queued) = self.pop() else { break };
            let in_a_hurry = queued.hurried;
            let Some((submission, waiter)) = queued.take() else { continue };
            gathered.commands.extend(submission.commands);
            gathered.body.extend(submission.body);
            gathered.waiters.push(waiter);
            hurried |= in_a_hurry;
        }
        if !hurried && !gathered.waiters.is_empty() {
            self.alone = Some(now);
        }
        gathered
    }

    /// Refuses everything that waits.
    pub(super) fn refuse(&mut self, error: &MetastoreError) {
        while let Some(queued) = self.pop() {
            queued.refuse(error.clone());
        }
    }

    fn pop(&mut self) -> Option<Queued> {
        let queued = self.queued.pop_front()?;
        self.weight -= queued.weight;
        self.bodies -= usize::from(!queued.submission.body.is_empty());
        self.hurried -= usize::from(queued.hurried);
        Some(queued)
    }
}
