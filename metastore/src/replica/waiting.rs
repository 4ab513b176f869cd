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

#[cfg(test)]
mod tests {
    use ebb_protocol::ids::{Offset, PartitionIndex, TopicId};

    use super::*;
    use crate::{
        command::{CommitFence, CommitOffsets, CommittedOffset},
        replica::submission::{Pending, Submission, pair},
    };

    const PATIENCE: Duration = Duration::from_millis(100);

    fn waiting() -> Waiting {
        Waiting::new(PATIENCE)
    }

    /// Lets a commit of one offset wait, with metadata of so many bytes.
    fn push(waiting: &mut Waiting, hurried: bool, metadata_bytes: usize, body: &'static [u8]) -> Pending {
        let metadata = "m".repeat(metadata_bytes);
        let offset = CommittedOffset { offset: Offset(1), leader_epoch: -1, metadata };
        let topic = TopicId(uuid::Uuid::nil());
        let commit = Command::CommitOffsets(CommitOffsets {
            group: "group".into(),
            fence: CommitFence::Simple,
            offsets: vec![(topic, PartitionIndex(0), offset)],
        });
        let body = if body.is_empty() { Vec::new() } else { vec![Bytes::from_static(body)] };
        let submission = Submission { commands: vec![commit], body };
        let (queued, pending) = pair(submission, hurried, Instant::now() + Duration::from_secs(1));
        waiting.push(queued);
        pending
    }

    #[tokio::test(start_paused = true)]
    async fn patient_ones_are_due_now_and_then() {
        let mut waiting = waiting();
        let begin = Instant::now();
        assert_eq!(waiting.due(begin), None);
        let _first = push(&mut waiting, false, 0, b"");
        assert_eq!(waiting.due(begin), Some(begin));
        assert_eq!(waiting.gather(begin).commands.len(), 1);
        let _second = push(&mut waiting, false, 0, b"");
        assert_eq!(waiting.due(begin), Some(begin + PATIENCE));
        let late = begin + 3 * PATIENCE;
        assert_eq!(waiting.due(late), Some(late));
        let _third = push(&mut waiting, true, 0, b"");
        assert_eq!(waiting.due(begin), Some(begin), "it is urgent");
        let soon = begin + PATIENCE / 2;
        assert_eq!(waiting.gather(soon).commands.len(), 2);
        let _fourth = push(&mut waiting, false, 0, b"");
        assert_eq!(waiting.due(soon), Some(begin + PATIENCE), "an entry made for others does not count");
    }

    #[tokio::test(start_paused = true)]
    async fn thousands_go_in_one_entry_and_a_full_one_is_due() {
        let mut waiting = waiting();
        let now = Instant::now();
        let _first = push(&mut waiting, false, 0, b"");
        waiting.gather(now);
        let mut pending = Vec::new();
        while waiting.has_room() {
            pending.push(push(&mut waiting, false, 0, b""));
        }
        assert!(pending.len() > 20_000, "{} commits fill an entry", pending.len());
        assert_eq!(waiting.due(now), Some(now));
        pending.push(push(&mut waiting, false, 0, b""));
        assert_eq!(waiting.gather(now).waiters.len(), pending.len() - 1);
        assert_eq!(waiting.gather(now).waiters.len(), 1);
        assert!(waiting.is_empty() && waiting.weight == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_commands_carry_weighs() {
        let mut waiting = waiting();
        let mut pending = Vec::new();
        while waiting.has_room() {
            pending.push(push(&mut waiting, false, 4_096, b""));
        }
        assert!(pending.len() < 1_100, "{} commits of 4 KiB fill an entry", pending.len());
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_has_one_body() {
        let mut waiting = waiting();
        let now = Instant::now();
        let bodies: [&[u8]; 4] = [b"", b"a", b"", b"b"];
        let _pending = bodies.map(|body| push(&mut waiting, true, 0, body));
        assert!(!waiting.has_room());
        assert_eq!(waiting.gather(now).body, [Bytes::from_static(b"a")]);
        assert_eq!(waiting.gather(now).body, [Bytes::from_static(b"b")]);
    }

    #[tokio::test(start_paused = true)]
    async fn those_whose_callers_gave_up_make_no_entry() {
        let mut waiting = waiting();
        let pending = push(&mut waiting, false, 0, b"");
        assert!(matches!(pending.outcomes().await, Err(MetastoreError::Unavailable(_))));
        let now = Instant::now();
        assert!(waiting.gather(now).waiters.is_empty());
        let _pending = push(&mut waiting, false, 0, b"");
        assert_eq!(waiting.due(now), Some(now), "and so the next one does not wait");
    }
}
