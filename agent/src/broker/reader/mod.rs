//! The reader: answers fetches. Joins the metastore's coordinates to bytes from the cache and the store, fills in
//! offsets, and waits for records that are not there yet. Knows nothing of Kafka's messages and of writing.

mod plan;
mod reply;
mod run;

use ebb_protocol::planted::{Bug, is_planted};
use std::{pin::pin, time::Duration};

use bytes::{Bytes, BytesMut};
use ebb_metastore::{Metastore, MetastoreError};
use ebb_protocol::batch::RecordBatch;
use ebb_segment::store::StoreError;
use futures::{StreamExt, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::{
    plan::{Plan, RunsToRead, Step},
    reply::{ReplyBudget, ReplyShare},
};
use super::{
    BrokerConfig, FetchError, Read, ReadBatches,
    cache::{Blocks, Lane},
};

pub(super) use run::{PlacedBatch, read_run};

/// Partitions that one fetch reads at once.
const PARTITIONS_AT_ONCE: usize = 8;

/// Runs that one fetch reads at once from one partition.
const RUNS_AT_ONCE: usize = 4;

/// The reader, shared by all connections.
#[derive(Debug)]
pub(super) struct Reader {
    metastore: Metastore,
    blocks: Blocks,
    replies: ReplyBudget,
    fetch_bytes_max: u64,
    closing: CancellationToken,
}

impl Reader {
    pub(super) fn new(
        metastore: Metastore,
        blocks: Blocks,
        config: &BrokerConfig,
        closing: CancellationToken,
    ) -> Self {
        let replies = ReplyBudget::new(config.replies_bytes_max);
        Self { metastore, blocks, replies, fetch_bytes_max: config.fetch_bytes_max, closing }
    }

    /// See [`super::Broker::fetch`]. While it waits it holds a plan at most, no records.
    pub(super) async fn fetch(
        &self,
        reads: &[Read],
        bytes_min: u64,
        bytes_max: u64,
        wait: Duration,
    ) -> Vec<Result<ReadBatches, FetchError>> {
        let bytes_max = bytes_max.min(self.fetch_bytes_max);
        let bytes_min = bytes_min.min(bytes_max).max(1);
        let deadline = Instant::now() + wait;
        let (plan, tail_error) = self.wait_for(reads, bytes_min, bytes_max, deadline).await;
        let share = match plan.bytes_at_most() {
            0 => None,
            bytes => Some(self.replies.take(bytes).await),
        };
        stream::iter(plan.steps)
            .map(|step| self.step(step, share.as_ref(), tail_error.as_ref()))
            .buffered(PARTITIONS_AT_ONCE)
            .collect()
            .await
    }

    /// Waits until there is enough to read, something is wrong, or the deadline has passed. A fetch that does not
    /// find enough looks at the log's tail first: another agent may have acknowledged records. The error says that
    /// the tail is not known.
    async fn wait_for(
        &self,
        reads: &[Read],
        bytes_min: u64,
        bytes_max: u64,
        deadline: Instant,
    ) -> (Plan, Option<MetastoreError>) {
        let mut applied = self.metastore.applied();
        let mut tail = pin!(self.metastore.tail_check());
        let mut tail_known = false;
        loop {
            applied.mark_unchanged();
            let plan = self.plan(reads, bytes_max);
            let enough = plan.bytes >= bytes_min || plan.has_refused();
            if enough && (tail_known || !plan.has_unknown()) || tail_known && plan.has_unknown() {
                return (plan, None);
            }
            tokio::select! {
                biased;
                () = self.closing.cancelled() => {
                    return (plan, (!tail_known).then_some(MetastoreError::Closed));
                }
                looked = &mut tail, if !tail_known => match looked {
                    Ok(_) => tail_known = true,
                    Err(error) => return (self.plan(reads, bytes_max), Some(error)),
                },
                change = applied.changed() => if change.is_err() {
                    return (plan, Some(MetastoreError::Closed));
                },
                () = tokio::time::sleep_until(deadline), if tail_known => return (plan, None),
            }
        }
    }

    fn plan(&self, reads: &[Read], bytes_max: u64) -> Plan {
        self.metastore.read(|state| Plan::new(state, reads, bytes_max))
    }

    async fn step(
        &self,
        step: Step,
        share: Option<&ReplyShare>,
        tail_error: Option<&MetastoreError>,
    ) -> Result<ReadBatches, FetchError> {
        match (step, share, tail_error) {
            (Step::Read(runs), Some(share), _) => self.read_partition(runs, share).await,
            (Step::Refused(error), ..) => Err(error),
            // What is not there for this replica may be there for another one.
            (Step::Nothing(_) | Step::Unknown(_), _, Some(error)) => {
                Err(FetchError::Metastore(error.clone()))
            }
            (Step::Unknown(error), _, None) => Err(error),
            (Step::Nothing(head) | Step::Read(RunsToRead { head, .. }), ..) => {
                Ok(ReadBatches { head, records: Bytes::new() })
            }
        }
    }

    /// Reads one partition. An object that is missing may have been replaced since the plan was made, so the runs
    /// are looked up once more before that is an error.
    async fn read_partition(&self, runs: RunsToRead, share: &ReplyShare) -> Result<ReadBatches, FetchError> {
        let read = Read { bytes_max: runs.bytes_max, ..runs.read };
        let missing = match self.read_runs(runs, share).await {
            Err(error @ StoreError::Missing(_)) => error,
            done => return done.map_err(|error| self.unreadable(error)),
        };
        self.metastore.tail_check().await.map_err(FetchError::Metastore)?;
        match self.plan(&[read], read.bytes_max).steps.pop() {
            Some(Step::Read(runs)) => {
                self.read_runs(runs, share).await.map_err(|error| self.unreadable(error))
            }
            Some(Step::Nothing(head)) => Ok(ReadBatches { head, records: Bytes::new() }),
            Some(Step::Refused(error) | Step::Unknown(error)) => Err(error),
            None => Err(FetchError::Storage(missing)),
        }
    }

    async fn read_runs(&self, runs: RunsToRead, share: &ReplyShare) -> Result<ReadBatches, StoreError> {
        let lane = if runs.is_tail() { Lane::Tail } else { Lane::Replay };
        let head = runs.head;
        let mut reply = Reply::new(&runs);
        // Futures in a list: a closure in the stream would keep callers' futures from being `Send`.
        let reads: Vec<_> = runs.runs.iter().map(|run| read_run(&self.blocks, run, lane)).collect();
        let mut read = stream::iter(reads).buffered(RUNS_AT_ONCE);
        while let Some(run) = read.next().await {
            match run {
                Ok(batches) => {
                    if !reply.push(&batches) {
                        break;
                    }
                }
                // What was read so far is whole; the next fetch meets the error again.
                Err(_) if !reply.bytes.is_empty() => break,
                Err(_) if is_planted(Bug::SkipUnreadable) => {}
                Err(error) => return Err(error),
            }
        }
        drop(read);
        if lane == Lane::Replay {
            for key in runs.ahead.iter().flat_map(|run| self.blocks.keys(run.object, run.range)) {
                self.blocks.read_ahead(key);
            }
        }
        Ok(ReadBatches { head, records: share.keep(reply.bytes) })
    }

    /// Records that the metastore promises cannot be read: loud, never silent.
    fn unreadable(&self, error: StoreError) -> FetchError {
        if matches!(error, StoreError::Missing(_) | StoreError::Damaged(..)) {
            self.blocks.counters().unreadable();
            tracing::error!(%error, "acknowledged records cannot be read");
        }
        FetchError::Storage(error)
    }
}

/// The answer for one partition as it grows.
struct Reply<'a> {
    runs: &'a RunsToRead,
    bytes: BytesMut,
}

impl<'a> Reply<'a> {
    fn new(runs: &'a RunsToRead) -> Self {
        Self { runs, bytes: BytesMut::with_capacity(usize::try_from(runs.bytes_at_most()).unwrap_or(0)) }
    }

    /// Copies the batches that were asked for and fills in their offsets. False when the limit is reached.
    fn push(&mut self, batches: &[PlacedBatch]) -> bool {
        for PlacedBatch { base, last, batch } in batches {
            if *last < self.runs.read.from {
                continue;
            }
            let start = self.bytes.len();
            let fits = (start + batch.bytes().len()) as u64 <= self.runs.bytes_max;
            let must = start == 0 && self.runs.at_least_one;
            if !(fits || must) {
                return false;
            }
            self.bytes.extend_from_slice(batch.bytes());
            let copy = self.bytes.get_mut(start..).unwrap_or_default();
            RecordBatch::set_position(copy, *base, self.runs.head.epoch);
        }
        true
    }
}
