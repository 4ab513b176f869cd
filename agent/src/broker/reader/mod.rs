//! The reader: answers fetches. Joins the metastore's coordinates to bytes from the cache and the store, fills in
//! offsets, and waits for records that are not there yet. Knows nothing of Kafka's messages and of writing.

mod archive;
mod plan;
mod reply;
mod run;

use ebb_protocol::planted::{Bug, is_planted};
use std::{pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ebb_metastore::{Metastore, MetastoreError, state::BatchCoordinates};
use ebb_protocol::{batch::RecordBatch, ids::Offset};
use ebb_segment::store::StoreError;
use futures::{StreamExt, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::{
    archive::ReadSpan,
    plan::{Plan, RunsToRead, Step, is_archived},
    reply::{ReplyBudget, ReplyShare},
};
use super::{
    BrokerConfig, FetchError, Read, ReadBatches,
    cache::{Blocks, Lane},
};

pub(super) use self::{
    archive::{Archives, Wanted},
    run::{PlacedBatch, read_run},
};

/// Partitions that one fetch reads at once.
const PARTITIONS_AT_ONCE: usize = 8;

/// Runs that one fetch reads at once from one partition.
const RUNS_AT_ONCE: usize = 4;

/// The reader, shared by all connections.
#[derive(Debug)]
pub(super) struct Reader {
    metastore: Metastore,
    blocks: Blocks,
    archives: Arc<Archives>,
    replies: ReplyBudget,
    fetch_bytes_max: u64,
    closing: CancellationToken,
}

impl Reader {
    pub(super) fn new(
        metastore: Metastore,
        blocks: Blocks,
        archives: Arc<Archives>,
        config: &BrokerConfig,
        closing: CancellationToken,
    ) -> Self {
        let replies = ReplyBudget::new(config.replies_bytes_max);
        Self { metastore, blocks, archives, replies, fetch_bytes_max: config.fetch_bytes_max, closing }
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
        let mut room = Room::new(bytes_max);
        stream::iter(plan.steps)
            .map(|step| self.step(step, share.as_ref(), tail_error.as_ref()))
            .buffered(PARTITIONS_AT_ONCE)
            .map(|read| read.map(|read| room.fit(read)))
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

    /// Plans one partition anew. Whether it may give a batch beyond its limit stays as it was: only one of a fetch may.
    fn plan_again(&self, read: Read, at_least_one: bool) -> Option<Step> {
        let step = self.plan(&[read], read.bytes_max).steps.pop()?;
        Some(match step {
            Step::Read(runs) => Step::Read(RunsToRead { at_least_one, ..runs }),
            other => other,
        })
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

    /// Reads one partition. In an archive file there may be nothing from an offset to the end of its span, because
    /// compaction has taken it away; then what follows is read.
    async fn read_partition(
        &self,
        mut runs: RunsToRead,
        share: &ReplyShare,
    ) -> Result<ReadBatches, FetchError> {
        loop {
            let (read, at_least_one) = (Read { bytes_max: runs.bytes_max, ..runs.read }, runs.at_least_one);
            let (done, gap_to) = self.read_planned(runs, share).await?;
            let Some(from) = gap_to.filter(|next| *next < done.head.high_watermark) else { return Ok(done) };
            match self.plan_again(Read { from, ..read }, at_least_one) {
                Some(Step::Read(more)) => runs = more,
                _ => return Ok(done),
            }
        }
    }

    /// Reads runs. An object that is missing may have been replaced since the plan was made, so the runs are looked up
    /// once more before that is an error. When the runs hold nothing at or behind the offset asked for, the offset
    /// behind them comes too.
    async fn read_planned(
        &self,
        runs: RunsToRead,
        share: &ReplyShare,
    ) -> Result<(ReadBatches, Option<Offset>), FetchError> {
        let (read, at_least_one) = (Read { bytes_max: runs.bytes_max, ..runs.read }, runs.at_least_one);
        let missing = match self.read_runs(runs, share).await {
            Err(error @ StoreError::Missing(_)) => error,
            done => return done.map_err(|error| self.unreadable(error)),
        };
        self.metastore.tail_check().await.map_err(FetchError::Metastore)?;
        match self.plan_again(read, at_least_one) {
            Some(Step::Read(runs)) => {
                self.read_runs(runs, share).await.map_err(|error| self.unreadable(error))
            }
            Some(Step::Nothing(head)) => Ok((ReadBatches { head, records: Bytes::new() }, None)),
            Some(Step::Refused(error) | Step::Unknown(error)) => Err(error),
            None => Err(FetchError::Storage(missing)),
        }
    }

    async fn read_runs(
        &self,
        runs: RunsToRead,
        share: &ReplyShare,
    ) -> Result<(ReadBatches, Option<Offset>), StoreError> {
        let lane = if runs.is_tail() { Lane::Tail } else { Lane::Replay };
        let head = runs.head;
        let mut reply = Reply::new(&runs);
        let mut gap_to = None;
        // How much an archive file gives is known when it is read, and only then whether more is wanted.
        let has_archive = runs.runs.iter().any(is_archived);
        let at_once = if has_archive { 1 } else { RUNS_AT_ONCE };
        // Futures in a list: a closure in the stream would keep callers' futures from being `Send`.
        let reads: Vec<_> = runs.runs.iter().map(|run| self.read_run(run, &runs, lane)).collect();
        let mut read = stream::iter(reads).buffered(at_once);
        let mut ends = runs.runs.iter().map(|run| run.last.plus(1));
        while let Some(run) = read.next().await {
            gap_to = ends.next().filter(|_| !reply.has_found);
            match run {
                Ok(ReadSpan { batches, is_complete }) => {
                    // What follows a span that was read in part is not next to it.
                    let more = reply.push(&batches);
                    gap_to = gap_to.filter(|_| !reply.has_found && is_complete);
                    if !more || !is_complete {
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
            let ahead = runs.ahead.iter().filter(|run| !is_archived(run));
            ahead.for_each(|run| self.blocks.read_ahead(run.object, run.range));
        }
        Ok((ReadBatches { head, records: share.keep(reply.bytes) }, gap_to))
    }

    async fn read_run(
        &self,
        run: &BatchCoordinates,
        runs: &RunsToRead,
        lane: Lane,
    ) -> Result<ReadSpan, StoreError> {
        if !is_archived(run) {
            let batches = read_run(&self.blocks, run, lane).await?;
            return Ok(ReadSpan { batches, is_complete: true });
        }
        let Read { partition, from, .. } = runs.read;
        self.archives.read(run, Wanted { partition, from, bytes_max: runs.bytes_max }, lane).await
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

/// What an answer has room for. What archive files come to is known only when they are read.
struct Room {
    left: u64,
    /// Nothing is in it yet: the first batch goes in whatever its size.
    is_empty: bool,
}

impl Room {
    fn new(bytes_max: u64) -> Self {
        Self { left: bytes_max, is_empty: true }
    }

    /// Leaves out the batches for which there is no room.
    fn fit(&mut self, read: ReadBatches) -> ReadBatches {
        let bytes = read.records.len() as u64;
        if bytes <= self.left {
            self.left -= bytes;
            self.is_empty &= bytes == 0;
            return read;
        }
        let mut end = 0;
        for batch in RecordBatch::batches(read.records.clone()).map_while(Result::ok) {
            let bytes = batch.bytes().len();
            if bytes as u64 > self.left && !self.is_empty {
                break;
            }
            end += bytes;
            self.left = self.left.saturating_sub(bytes as u64);
            self.is_empty = false;
        }
        ReadBatches { records: read.records.slice(..end), ..read }
    }
}

/// The answer for one partition as it grows.
struct Reply<'a> {
    runs: &'a RunsToRead,
    bytes: BytesMut,
    /// Whether there is a batch that was asked for, also if it has no room.
    has_found: bool,
}

impl<'a> Reply<'a> {
    fn new(runs: &'a RunsToRead) -> Self {
        let bytes = BytesMut::with_capacity(usize::try_from(runs.bytes_at_most()).unwrap_or(0));
        Self { runs, bytes, has_found: false }
    }

    /// Copies the batches that were asked for and fills in their offsets. False when the limit is reached.
    fn push(&mut self, batches: &[PlacedBatch]) -> bool {
        for PlacedBatch { base, last, batch } in batches {
            if *last < self.runs.read.from {
                continue;
            }
            self.has_found = true;
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
