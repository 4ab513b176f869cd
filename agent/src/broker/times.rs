//! Finds offsets: the ends of a partition, and the records of a time. Answers ListOffsets and OffsetForLeaderEpoch
//! without knowing their messages.

use bytes::BytesMut;
use ebb_metastore::{
    command::ObjectRef,
    state::{BatchCoordinates, PartitionHead},
};
use ebb_protocol::{
    batch::{RecordBatch, TimestampType},
    ids::{LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId},
};

use super::{
    Broker, FetchError,
    cache::Lane,
    reader::{PlacedBatch, read_run},
};

/// A look into a batch decompresses at most this many bytes of its records.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// Coordinates that are looked at in one go, so that the state's lock is held briefly.
const RUNS_PER_LOOK: usize = 256;

/// Which offset of a partition is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The first that can be read.
    Earliest,
    /// The one after the last record.
    Latest,
    /// The one below which every transaction has ended.
    LastStable,
    /// The record with the largest timestamp, the first one of several.
    MaxTimestamp,
    /// The first record with this timestamp or a later one.
    At(Timestamp),
}

/// An offset that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset.
    pub offset: Offset,
    /// The timestamp of the record there, when it was looked up by its timestamp; else -1.
    pub timestamp: Timestamp,
    /// The leader epoch that clients see.
    pub epoch: LeaderEpoch,
}

impl Broker {
    /// Finds an offset in each partition, after one look at the log's tail for all of them: what any agent had
    /// acknowledged before the call counts. `None` when no record fits the query.
    pub async fn find_offsets(
        &self,
        queries: &[(TopicId, PartitionIndex, OffsetQuery)],
    ) -> Vec<Result<Option<FoundOffset>, FetchError>> {
        if let Err(error) = self.metastore.tail_check().await {
            return queries.iter().map(|_| Err(FetchError::Metastore(error.clone()))).collect();
        }
        let mut found = Vec::with_capacity(queries.len());
        for (topic, partition, query) in queries {
            let lookup = Lookup { broker: self, topic: *topic, partition: *partition };
            found.push(lookup.find(*query).await);
        }
        found
    }

    /// Where a leader epoch ends: the epoch asked for, and the offset after its last record. The log is never cut back, so every past epoch's records are still where they were, and each ends at
    /// the high watermark for all that a client can do with the answer. `None` for an epoch that is yet to come.
    ///
    /// # Errors
    /// [`FetchError::UnknownPartition`], [`FetchError::Metastore`].
    pub async fn end_of_epoch(
        &self,
        topic: TopicId,
        partition: PartitionIndex,
        epoch: LeaderEpoch,
    ) -> Result<Option<(LeaderEpoch, Offset)>, FetchError> {
        self.metastore.tail_check().await.map_err(FetchError::Metastore)?;
        let head = Lookup { broker: self, topic, partition }.head()?;
        Ok((epoch <= head.epoch).then_some((epoch, head.high_watermark)))
    }
}

/// A look into one partition.
struct Lookup<'a> {
    broker: &'a Broker,
    topic: TopicId,
    partition: PartitionIndex,
}

/// A record's place and time.
type Hit = (Offset, Timestamp);

impl Lookup<'_> {
    async fn find(&self, query: OffsetQuery) -> Result<Option<FoundOffset>, FetchError> {
        let head = self.head()?;
        let none = Timestamp(-1);
        let hit = match query {
            OffsetQuery::Earliest => Some((head.log_start, none)),
            OffsetQuery::Latest => Some((head.high_watermark, none)),
            OffsetQuery::LastStable => Some((head.last_stable, none)),
            OffsetQuery::MaxTimestamp => self.latest_record(head).await?,
            OffsetQuery::At(at) => self.first_record_at(head, at).await?,
        };
        Ok(hit.map(|(offset, timestamp)| FoundOffset { offset, timestamp, epoch: head.epoch }))
    }

    fn head(&self) -> Result<PartitionHead, FetchError> {
        let head = self.broker.metastore.read(|state| state.head(self.topic, self.partition));
        head.ok_or(FetchError::UnknownPartition)
    }

    async fn first_record_at(&self, head: PartitionHead, at: Timestamp) -> Result<Option<Hit>, FetchError> {
        let mut next = self.broker.metastore.read(|state| state.find_time(self.topic, self.partition, at));
        while let Some(run) = next {
            if let Some(hit) = self.first_in_run(&run, head, at).await? {
                return Ok(Some(hit));
            }
            // The record that made the run look late enough lies below the log start, or its batch's header lies.
            next = self.runs_after(run.last).find(|run| run.max_timestamp >= at);
        }
        Ok(None)
    }

    async fn first_in_run(
        &self,
        run: &BatchCoordinates,
        head: PartitionHead,
        at: Timestamp,
    ) -> Result<Option<Hit>, FetchError> {
        if matches!(run.object, ObjectRef::Archive(_)) {
            return self.find_in_archive(run, head, Some(at)).await;
        }
        let placed = self.read(run).await?;
        let late = placed.iter().filter(|placed| placed.batch.max_timestamp() >= at);
        let mut hits = late.map(|placed| first_record(placed, head.log_start, |timestamp| timestamp >= at));
        Ok(hits.find_map(|hit| hit))
    }

    async fn find_in_archive(
        &self,
        run: &BatchCoordinates,
        head: PartitionHead,
        at: Option<Timestamp>,
    ) -> Result<Option<Hit>, FetchError> {
        let found = self.broker.archives.find_time(run, self.partition, head.log_start, at).await;
        found.map_err(FetchError::Storage)
    }

    async fn latest_record(&self, head: PartitionHead) -> Result<Option<Hit>, FetchError> {
        let latest = self.broker.metastore.read(|state| state.find_max_time(self.topic, self.partition));
        let Some(run) = latest else { return Ok(None) };
        let in_run = self.latest_in_run(&run, head).await?;
        if run.base >= head.log_start {
            return Ok(in_run);
        }
        // Part of that run lies below the log start, perhaps the very record: another run may be later now.
        let mut latest: Option<BatchCoordinates> = None;
        for other in self.runs_after(run.last) {
            if latest.is_none_or(|run| other.max_timestamp > run.max_timestamp) {
                latest = Some(other);
            }
        }
        let in_other = match latest {
            Some(run) => self.latest_in_run(&run, head).await?,
            None => None,
        };
        Ok([in_run, in_other].into_iter().flatten().reduce(later))
    }

    async fn latest_in_run(
        &self,
        run: &BatchCoordinates,
        head: PartitionHead,
    ) -> Result<Option<Hit>, FetchError> {
        if matches!(run.object, ObjectRef::Archive(_)) {
            return self.find_in_archive(run, head, None).await;
        }
        let mut latest: Option<Hit> = None;
        for placed in self.read(run).await? {
            let seen = latest.map_or(i64::MIN, |(_, timestamp)| timestamp.0);
            if placed.batch.max_timestamp().0 <= seen {
                continue;
            }
            latest = latest.into_iter().chain(latest_in_batch(&placed, head.log_start)).reduce(later);
        }
        Ok(latest)
    }

    /// The runs behind an offset, looked up page by page.
    fn runs_after(&self, last: Offset) -> impl Iterator<Item = BatchCoordinates> {
        let mut from = last.plus(1);
        let page = move || {
            let find = |state: &ebb_metastore::state::State| {
                state.find(self.topic, self.partition, from, u64::MAX, RUNS_PER_LOOK)
            };
            let page = self.broker.metastore.read(find);
            from = page.last()?.last.plus(1);
            Some(page)
        };
        std::iter::from_fn(page).flatten()
    }

    async fn read(&self, run: &BatchCoordinates) -> Result<Vec<PlacedBatch>, FetchError> {
        read_run(&self.broker.blocks, run, Lane::Replay).await.map_err(FetchError::Storage)
    }
}

/// The first one of the two with the larger timestamp.
fn later(first: Hit, second: Hit) -> Hit {
    if second.1 > first.1 { second } else { first }
}

fn latest_in_batch(placed: &PlacedBatch, log_start: Offset) -> Option<Hit> {
    let mut latest = None;
    first_record(placed, log_start, |timestamp| {
        latest = latest.max(Some(timestamp));
        false
    });
    let latest = latest.unwrap_or_else(|| placed.batch.max_timestamp());
    first_record(placed, log_start, |timestamp| timestamp >= latest)
}

/// The batch's first record at or behind `log_start` whose timestamp is wanted. Of a batch whose records cannot be
/// read nothing is known but its largest timestamp, which its first record then stands for.
fn first_record(
    placed: &PlacedBatch,
    log_start: Offset,
    mut wanted: impl FnMut(Timestamp) -> bool,
) -> Option<Hit> {
    let whole_batch = |wanted: bool| {
        let offset = placed.base.max(log_start);
        (wanted && offset <= placed.last).then_some((offset, placed.batch.max_timestamp()))
    };
    if placed.batch.timestamp_type() == TimestampType::LogAppendTime {
        return whole_batch(wanted(placed.batch.max_timestamp()));
    }
    let records = at_its_place(placed).and_then(|batch| batch.decode(DECOMPRESSED_BYTES_MAX).ok());
    let Some(records) = records else { return whole_batch(wanted(placed.batch.max_timestamp())) };
    records
        .map_while(Result::ok)
        .filter(|record| record.offset >= log_start)
        .find(|record| wanted(record.timestamp))
        .map(|record| (record.offset, record.timestamp))
}

/// The batch with its base offset filled in.
fn at_its_place(placed: &PlacedBatch) -> Option<RecordBatch> {
    let mut bytes = BytesMut::from(placed.batch.bytes().as_ref());
    RecordBatch::set_position(&mut bytes, placed.base, LeaderEpoch(0));
    RecordBatch::split_first(&mut bytes.freeze()).ok()
}
