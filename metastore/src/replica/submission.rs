//! Submissions on their way from a caller to an entry, and their answers back. Knows nothing of the log.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use bytes::Bytes;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::error::MetastoreError;
use crate::{
    command::{Command, encoded_bytes},
    outcome::Outcome,
};

/// What a weight of one stands for, in bytes of an entry.
const WEIGHT_BYTES: usize = 64;

/// Commands to put into one entry together, with the segment body that a `CommitSegment` with
/// [`crate::command::BodyPlace::Inline`] among them refers to.
#[derive(Debug, Default)]
pub struct Submission {
    /// The commands, applied in order.
    pub commands: Vec<Command>,
    /// The inline segment body in pieces; empty when there is none.
    pub body: Vec<Bytes>,
}

impl Submission {
    /// How much it adds to an entry, in units of about [`WEIGHT_BYTES`]: a command each, a batch each, and what
    /// commands about groups and the archive carry.
    fn weight(&self) -> usize {
        let more = |command: &Command| match command {
            Command::CommitSegment(commit) => commit.runs.iter().map(|run| run.batches.len()).sum(),
            Command::UpdateGroup(_)
            | Command::CommitOffsets(_)
            | Command::DeleteOffsets(_)
            | Command::PublishArchive(_)
            | Command::ForgetObjects { .. }
            | Command::RecordCompaction(_) => encoded_bytes(command) / WEIGHT_BYTES,
            _ => 0,
        };
        self.commands.iter().map(|command| 1 + more(command)).sum()
    }
}

pub(super) type Answer = Result<Vec<Outcome>, MetastoreError>;

/// A submission on its way. Dropping it loses the answer and nothing else.
#[derive(Debug)]
pub struct Pending {
    answer: oneshot::Receiver<Answer>,
    claim: Arc<Claim>,
    deadline: Instant,
}

/// A submission in the queue.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) submission: Submission,
    pub(super) weight: usize,
    /// Whether it gets an entry at once.
    pub(super) hurried: bool,
    answer: oneshot::Sender<Answer>,
    claim: Arc<Claim>,
}

/// Who waits for the outcomes of how many of an entry's commands.
#[derive(Debug)]
pub(super) struct Waiter {
    answer: oneshot::Sender<Answer>,
    pub(super) commands: usize,
}

/// Decides between an entry that takes the submission and a caller that gives up on it: one of them is first, so
/// that a caller whose submission waited in vain can be told that it had no effect.
#[derive(Debug, Default)]
struct Claim(AtomicU8);

impl Claim {
    const TAKEN: u8 = 1;
    const WITHDRAWN: u8 = 2;

    fn be(&self, what: u8) -> bool {
        self.0.compare_exchange(0, what, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Makes the two ends of a submission.
pub(super) fn pair(submission: Submission, hurried: bool, deadline: Instant) -> (Queued, Pending) {
    let (sender, receiver) = oneshot::channel();
    let claim = Arc::new(Claim::default());
    let weight = submission.weight();
    let queued = Queued { submission, weight, hurried, answer: sender, claim: claim.clone() };
    (queued, Pending { answer: receiver, claim, deadline })
}

impl Queued {
    /// Takes the submission for an entry, unless its caller has given up on it.
    pub(super) fn take(self) -> Option<(Submission, Waiter)> {
        let waiter = Waiter { answer: self.answer, commands: self.submission.commands.len() };
        self.claim.be(Claim::TAKEN).then_some((self.submission, waiter))
    }

    pub(super) fn refuse(self, error: MetastoreError) {
        // Nobody may be waiting any more.
        let _ = self.answer.send(Err(error));
    }
}

impl Waiter {
    pub(super) fn answer(self, answer: Answer) {
        // Nobody may be waiting any more.
        let _ = self.answer.send(answer);
    }
}

impl Pending {
    /// Waits until the submission is durable and applied, or fails.
    ///
    /// # Errors
    /// See [`MetastoreError`].
    pub async fn outcomes(self) -> Result<Vec<Outcome>, MetastoreError> {
        match timeout_at(self.deadline, self.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) if self.claim.be(Claim::WITHDRAWN) => Err(MetastoreError::Closed),
            Ok(Err(_)) => Err(MetastoreError::Indeterminate("the metastore was closed meanwhile".to_owned())),
            Err(_) if self.claim.be(Claim::WITHDRAWN) => {
                Err(MetastoreError::Unavailable("earlier entries are still being written".to_owned()))
            }
            Err(_) => Err(MetastoreError::Indeterminate("the entry is still being written".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ebb_protocol::ids::{ArchiveId, ByteRange, Offset, PartitionIndex, Timestamp, TopicId};
    use uuid::Uuid;

    use super::*;
    use crate::command::{ArchiveSpan, FileColumns, PublishArchive};

    fn submit() -> (Queued, Pending) {
        pair(Submission::default(), true, Instant::now() + Duration::from_secs(1))
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waited_in_vain_had_no_effect() {
        let (queued, pending) = submit();
        assert!(matches!(pending.outcomes().await, Err(MetastoreError::Unavailable(_))));
        assert!(queued.take().is_none(), "nor will it have one");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_an_entry_took_is_indeterminate() {
        let (queued, pending) = submit();
        let taken = queued.take();
        assert!(taken.is_some());
        assert!(matches!(pending.outcomes().await, Err(MetastoreError::Indeterminate(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_metastore_that_vanishes_is_told_apart_by_what_it_had_taken() {
        let (queued, pending) = submit();
        drop(queued);
        assert_eq!(pending.outcomes().await, Err(MetastoreError::Closed));
        let (queued, pending) = submit();
        drop(queued.take());
        assert!(matches!(pending.outcomes().await, Err(MetastoreError::Indeterminate(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_caller_s_end_takes_nothing_back() {
        let (queued, pending) = submit();
        drop(pending);
        assert!(queued.take().is_some());
    }

    #[test]
    fn a_published_file_weighs_what_its_spans_take() {
        let span = |at: i64| ArchiveSpan {
            partition: PartitionIndex(0),
            first: Offset(at),
            next: Offset(at + 1),
            replaces: 1 << 60,
            rows: 1,
            range: ByteRange { start: 1 << 30, len: 1 << 20 },
            min_timestamp: Timestamp(1 << 40),
            max_timestamp: Timestamp(1 << 40),
        };
        let weight = |spans: i64| {
            let publish = PublishArchive {
                archive: ArchiveId(1 << 100),
                topic: TopicId(Uuid::nil()),
                bytes: 1 << 27,
                tail_bytes: 1 << 20,
                tail_checksum: 0,
                spans: (0..spans).map(span).collect(),
                columns: FileColumns::default(),
            };
            Submission { commands: vec![Command::PublishArchive(publish)], body: Vec::new() }.weight()
        };
        assert!(weight(1) <= 2);
        let (weight, bytes) = (weight(10_000), 10_000 * 20);
        assert!((bytes / WEIGHT_BYTES..4 * bytes / WEIGHT_BYTES).contains(&weight), "{weight}");
    }
}
