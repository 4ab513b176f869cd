//! Produce, versions 0 to 13: record batches for partitions, by topic name up to 12, by topic id in 13.
//!
//! The one request with work to do before the next one is read: its batches are validated without being
//! decompressed, and handed to the broker, which fixes their order. Then the next request may be read.
//!
//! acks=1 waits for the same as acks=all, since there is no weaker place to put a record. acks=0 has no response; as
//! in Kafka, a failure closes the connection. Versions 0 to 2 carry message formats that are refused batch by batch.
//! Deviation: there are no transactions yet, so transactional batches are refused with INVALID_TXN_STATE.

use std::time::Duration;

use bytes::Bytes;
use ebb_metastore::state::config::{TopicCompression, TopicSettings};
use ebb_protocol::{
    batch::{Compression, DECOMPRESSED_BYTES_MAX, RecordBatch, TimestampType},
    error::ResponseError,
    ids::{PartitionIndex, Timestamp},
    messages::{
        ProduceRequest, ProduceResponse, decode_request, encode_produce_response,
        produce_request::PartitionProduceData,
        produce_response::{BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse},
    },
};
use futures::FutureExt;

use super::{
    Call,
    errors::Failure,
    topics::{Named, Target},
};
use crate::{
    broker::{Append, Appended, PendingAppend, ProduceError},
    connection::{ConnectionError, Reply},
};

/// The first version in which topics are named by id.
const VERSION_TOPIC_IDS: i16 = 13;

/// The first version in which a producer may use zstd (KIP-110).
const VERSION_ZSTD: i16 = 7;

/// How many records of a batch are named that are to blame for its refusal.
const RECORD_ERRORS_MAX: usize = 1000;

/// What a compacted topic says to a record without a key.
const NO_KEY: &str = "a compacted topic takes only records with keys";

/// Takes a Produce in. What it resolves to waits for the batches to be durable.
pub(super) async fn take_in(call: Call, body: Bytes) -> Result<Reply, ConnectionError> {
    let request = decode_request::<ProduceRequest>(body, call.version)?;
    let acks = request.acks;
    let wait = u64::try_from(request.timeout_ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis);
    let mut produce =
        Produce { call, topics: Vec::new(), appends: Vec::new(), places: Vec::new(), failed: None };
    produce.read(request).await;
    let pending = produce.append().await;
    if acks == 0 {
        // The broker finishes what it has taken in, whether anybody waits or not.
        drop(pending);
        let unacknowledged = produce.failed.map(ConnectionError::Unacknowledged);
        return unacknowledged.map_or_else(|| Ok(async { Ok(None) }.boxed()), Err);
    }
    Ok(async move { produce.finish(pending, wait).await.map(Some) }.boxed())
}

/// A Produce on its way.
struct Produce {
    call: Call,
    /// The response, as far as it is known.
    topics: Vec<TopicProduceResponse>,
    appends: Vec<Append>,
    /// Where in the response the answer to each append goes: topic and partition.
    places: Vec<Place>,
    /// What the first refusal said.
    failed: Option<String>,
}

#[derive(Clone, Copy)]
struct Place {
    topic: usize,
    partition: usize,
    /// The broker's time, when the batch was given it.
    append_time: Timestamp,
}

impl Produce {
    /// Validates every batch. One that is refused fails alone.
    async fn read(&mut self, request: ProduceRequest) {
        let refused = refuse_whole(&request);
        let now = self.call.broker().clock().now();
        for topic in request.topic_data {
            let named = Named::new(self.call.version >= VERSION_TOPIC_IDS, &topic.name, topic.topic_id);
            let last = topic.partition_data.iter().map(|data| data.index).max();
            let target = match &refused {
                Some(failure) => Err(failure.clone()),
                None => self.call.target(named, last).await,
            };
            let mut responses = Vec::with_capacity(topic.partition_data.len());
            for data in topic.partition_data {
                let index = data.index;
                let batch = target.as_ref().map_err(Clone::clone);
                let batch = batch.and_then(|target| Ok((target, self.batch(target, data, now)?)));
                let mut response = unplaced(index);
                match batch {
                    Ok((target, batch)) => {
                        let append_time = if target.settings.log_append_time { now } else { Timestamp(-1) };
                        let place =
                            Place { topic: self.topics.len(), partition: responses.len(), append_time };
                        self.places.push(place);
                        let partition = PartitionIndex(index);
                        self.appends.push(Append { topic: target.id, partition, batch });
                    }
                    Err(failure) => self.refuse(&mut response, &failure),
                }
                responses.push(response);
            }
            let response = TopicProduceResponse::default()
                .with_name(topic.name)
                .with_topic_id(topic.topic_id)
                .with_partition_responses(responses);
            self.topics.push(response);
        }
    }

    fn batch(
        &self,
        target: &Target,
        data: PartitionProduceData,
        now: Timestamp,
    ) -> Result<RecordBatch, Failure> {
        if !self.call.has_partition(target.id, data.index) {
            return Err(Failure::unknown_partition());
        }
        validate(data.records.unwrap_or_default(), &target.settings, self.call.version, now)
    }

    /// Hands the batches over; their order is fixed when this returns.
    async fn append(&mut self) -> Option<PendingAppend> {
        if self.appends.is_empty() {
            return None;
        }
        let appends = std::mem::take(&mut self.appends);
        match self.call.handlers.broker.append(appends).await {
            Ok(pending) => Some(pending),
            Err(error) => {
                for place in std::mem::take(&mut self.places) {
                    self.settle(place, Err(error.clone()));
                }
                None
            }
        }
    }

    /// Waits until the batches are durable, and answers.
    async fn finish(
        mut self,
        pending: Option<PendingAppend>,
        wait: Option<Duration>,
    ) -> Result<Bytes, ConnectionError> {
        let places = std::mem::take(&mut self.places);
        let results = match (pending, wait) {
            (None, _) => Vec::new(),
            (Some(pending), None) => pending.done().await,
            (Some(pending), Some(wait)) => {
                tokio::time::timeout(wait, pending.done()).await.unwrap_or_else(|_| {
                    let late = ProduceError::TimedOut("the request's own timeout has passed".to_owned());
                    vec![Err(late); places.len()]
                })
            }
        };
        for (place, result) in places.into_iter().zip(results) {
            self.settle(place, result);
        }
        let response = ProduceResponse::default().with_responses(self.topics);
        Ok(encode_produce_response(&response, self.call.version, self.call.correlation_id)?)
    }

    fn settle(&mut self, place: Place, result: Result<Appended, ProduceError>) {
        let topic = self.topics.get_mut(place.topic).map(|topic| &mut topic.partition_responses);
        let Some(response) = topic.and_then(|partitions| partitions.get_mut(place.partition)) else { return };
        match result {
            Ok(appended) => {
                response.base_offset = appended.base.0;
                response.log_start_offset = appended.log_start.0;
                response.log_append_time_ms = place.append_time.0;
            }
            Err(error) => {
                let failure = Failure::from(error);
                response.error_code = self.call.refuse(&failure);
                response.error_message = Some(failure.text());
                self.failed.get_or_insert(failure.message);
            }
        }
    }

    fn refuse(&mut self, response: &mut PartitionProduceResponse, failure: &Failure) {
        response.error_code = self.call.refuse(failure);
        response.error_message = Some(failure.text());
        let blamed = failure.records.iter().map(|&place| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(place)
                .with_batch_index_error_message(Some(failure.text()))
        });
        response.record_errors = blamed.collect();
        self.failed.get_or_insert_with(|| failure.message.clone());
    }
}

/// The response for a partition whose batch has no place yet.
fn unplaced(index: i32) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
}

/// What is wrong with a request as a whole.
fn refuse_whole(request: &ProduceRequest) -> Option<Failure> {
    if !(-1..=1).contains(&request.acks) {
        let message = format!("acks={} is not known: use 0, 1 or -1 (all)", request.acks);
        return Some(Failure::new(ResponseError::InvalidRequiredAcks, message));
    }
    None
}

/// Checks a batch against its topic's settings and brings it to the form in which it is stored. Its records are
/// looked at only where a setting cannot do without.
fn validate(
    bytes: Bytes,
    settings: &TopicSettings,
    version: i16,
    now: Timestamp,
) -> Result<RecordBatch, Failure> {
    if bytes.is_empty() {
        return Err(Failure::new(ResponseError::InvalidRecord, "no record batch was sent for the partition"));
    }
    check_size(bytes.len(), settings)?;
    let mut batch = RecordBatch::parse(bytes)?;
    if batch.is_transactional() {
        let message = "transactions are not supported: send without a transactional id";
        return Err(Failure::new(ResponseError::InvalidTxnState, message));
    }
    if batch.compression() == Compression::Zstd && version < VERSION_ZSTD {
        let message = "zstd needs a client that speaks Produce version 7 or newer";
        return Err(Failure::new(ResponseError::UnsupportedCompressionType, message));
    }
    if settings.compact {
        check_keys(&batch)?;
    }
    if let Some(codec) = codec(settings.compression)
        && codec != batch.compression()
    {
        batch = batch.with_compression(codec, DECOMPRESSED_BYTES_MAX)?;
        check_size(batch.bytes().len(), settings)?;
    }
    if settings.log_append_time {
        return Ok(batch.with_log_append_time(now));
    }
    check_timestamps(&batch, settings, now)?;
    Ok(batch)
}

fn check_size(bytes: usize, settings: &TopicSettings) -> Result<(), Failure> {
    let max = settings.max_message_bytes;
    if bytes <= max {
        return Ok(());
    }
    let message = format!("record batch of {bytes} bytes exceeds the topic's max.message.bytes of {max}");
    Err(Failure::new(ResponseError::MessageTooLarge, message))
}

fn check_timestamps(batch: &RecordBatch, settings: &TopicSettings, now: Timestamp) -> Result<(), Failure> {
    let invalid = |message: String| Err(Failure::new(ResponseError::InvalidTimestamp, message));
    if batch.timestamp_type() == TimestampType::LogAppendTime {
        return invalid("a producer may not set the timestamp type LogAppendTime".to_owned());
    }
    let stamp = batch.max_timestamp().0;
    // -1 means none, as in Kafka.
    if stamp == -1 {
        return Ok(());
    }
    let behind = now.0.saturating_sub(stamp);
    if behind > settings.timestamp_before_max_ms {
        return invalid(format!(
            "timestamp {stamp} lies {behind} ms behind the agent's clock, too far for the topic"
        ));
    }
    let ahead = stamp.saturating_sub(now.0);
    if ahead > settings.timestamp_after_max_ms {
        return invalid(format!(
            "timestamp {stamp} lies {ahead} ms ahead of the agent's clock, too far for the topic"
        ));
    }
    Ok(())
}

/// A compacted topic keeps the latest record of each key, so every record needs one. Those without are named, so that
/// the producer can send the others again.
fn check_keys(batch: &RecordBatch) -> Result<(), Failure> {
    let mut records = Vec::new();
    for (place, record) in (0..).zip(batch.decode(DECOMPRESSED_BYTES_MAX)?) {
        if record?.key.is_none() && records.len() < RECORD_ERRORS_MAX {
            records.push(place);
        }
    }
    if records.is_empty() {
        return Ok(());
    }
    Err(Failure { records, ..Failure::new(ResponseError::InvalidRecord, NO_KEY) })
}

fn codec(compression: TopicCompression) -> Option<Compression> {
    match compression {
        TopicCompression::Producer => None,
        TopicCompression::Uncompressed => Some(Compression::None),
        TopicCompression::Gzip => Some(Compression::Gzip),
        TopicCompression::Snappy => Some(Compression::Snappy),
        TopicCompression::Lz4 => Some(Compression::Lz4),
        TopicCompression::Zstd => Some(Compression::Zstd),
    }
}
