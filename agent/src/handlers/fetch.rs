//! Fetch, versions 4 to 18: whole record batches of partitions, by topic name up to 12, by topic id from 13 on.
//!
//! Byte limits are soft: at least one batch is given when there is one. The answer waits up to `max_wait` for
//! `min_bytes`, unless a partition failed, which is told at once.
//!
//! Deviations: no fetch session (KIP-227) is kept; every answer is full and names session 0, which clients take as
//! "none". No preferred read replica. Aborted transactions are none yet.

use std::time::Duration;

use bytes::Bytes;
use ebb_protocol::{
    error::ResponseError,
    ids::{Offset, PartitionIndex},
    messages::{
        BrokerId, FetchRequest, FetchResponse, decode_request,
        fetch_request::FetchPartition,
        fetch_response::{FetchableTopicResponse, PartitionData},
    },
};
use futures::FutureExt;

use super::{
    Call,
    errors::Failure,
    topics::{Named, Target},
};
use crate::{
    broker::{FetchError, Read, ReadBatches},
    connection::{ConnectionError, Reply},
};

/// The first version in which topics are named by id.
const VERSION_TOPIC_IDS: i16 = 13;

/// The isolation level that hides records of open and aborted transactions.
const READ_COMMITTED: i8 = 1;

/// Takes a Fetch in. It waits and reads when its turn comes.
pub(super) fn take_in(call: Call, body: Bytes) -> Result<Reply, ConnectionError> {
    let request = decode_request::<FetchRequest>(body, call.version)?;
    Ok(async move {
        let draining = call.handlers.draining.clone();
        let response = tokio::select! {
            biased;
            response = answer(&call, request) => response,
            // A client that waits for data asks again elsewhere.
            () = draining.cancelled() => return Err(ConnectionError::GoingDown),
        };
        Ok(Some(call.encode::<FetchRequest>(&response)?))
    }
    .boxed())
}

/// A partition of the request: what to read, or why not.
type Wanted = (i32, Result<Read, Failure>);

async fn answer(call: &Call, request: FetchRequest) -> FetchResponse {
    if request.session_id != 0 {
        let message = "no fetch sessions are kept; send a full fetch";
        let failure = Failure::new(ResponseError::FetchSessionIdNotFound, message);
        return FetchResponse::default().with_error_code(call.refuse(&failure));
    }
    let mut wanted: Vec<Vec<Wanted>> = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let named = Named::new(call.version >= VERSION_TOPIC_IDS, &topic.topic, topic.topic_id);
        let last = topic.partitions.iter().map(|partition| partition.partition).max();
        let target = call.target(named, last).await;
        wanted.push(topic.partitions.iter().map(|partition| plan(call, &target, partition)).collect());
    }
    let mut results = read(call, &request, &wanted).await.into_iter();
    let mut responses = Vec::with_capacity(request.topics.len());
    for (topic, partitions) in request.topics.into_iter().zip(wanted) {
        let mut answers = Vec::with_capacity(partitions.len());
        for (index, read) in partitions {
            // One result comes back for every read that was asked for.
            let result = match read {
                Ok(_) => results.next().unwrap_or(Err(FetchError::UnknownPartition)).map_err(Failure::from),
                Err(failure) => Err(failure),
            };
            answers.push(partition(call, index, result, request.isolation_level));
        }
        let response = FetchableTopicResponse::default()
            .with_topic(topic.topic)
            .with_topic_id(topic.topic_id)
            .with_partitions(answers);
        responses.push(response);
    }
    FetchResponse::default().with_responses(responses)
}

/// What to read of a partition.
fn plan(call: &Call, target: &Result<Target, Failure>, wanted: &FetchPartition) -> Wanted {
    let read = target.as_ref().map_err(Clone::clone).and_then(|target| {
        call.check_epoch(target.id, wanted.partition, wanted.current_leader_epoch)?;
        Ok(Read {
            topic: target.id,
            partition: PartitionIndex(wanted.partition),
            from: Offset(wanted.fetch_offset),
            bytes_max: u64::try_from(wanted.partition_max_bytes).unwrap_or(0),
        })
    });
    (wanted.partition, read)
}

/// Reads what can be read, in the order of the request.
async fn read(
    call: &Call,
    request: &FetchRequest,
    wanted: &[Vec<Wanted>],
) -> Vec<Result<ReadBatches, FetchError>> {
    let all = || wanted.iter().flatten();
    let reads: Vec<Read> = all().filter_map(|(_, read)| read.as_ref().ok().copied()).collect();
    if reads.is_empty() {
        return Vec::new();
    }
    let failed = all().any(|(_, read)| read.is_err());
    let wait = if failed { 0 } else { u64::try_from(request.max_wait_ms).unwrap_or(0) };
    let bytes_min = u64::try_from(request.min_bytes).unwrap_or(0);
    let bytes_max = u64::try_from(request.max_bytes).unwrap_or(0);
    call.broker().fetch(&reads, bytes_min, bytes_max, Duration::from_millis(wait)).await
}

fn partition(call: &Call, index: i32, result: Result<ReadBatches, Failure>, isolation: i8) -> PartitionData {
    let data = PartitionData::default().with_partition_index(index).with_preferred_read_replica(BrokerId(-1));
    match result {
        Ok(ReadBatches { head, records }) => data
            .with_high_watermark(head.high_watermark.0)
            .with_last_stable_offset(head.last_stable.0)
            .with_log_start_offset(head.log_start.0)
            .with_aborted_transactions((isolation == READ_COMMITTED).then(Vec::new))
            .with_records(Some(records)),
        Err(failure) => data
            .with_error_code(call.refuse(&failure))
            .with_high_watermark(-1)
            .with_last_stable_offset(-1)
            .with_log_start_offset(-1)
            .with_records(Some(Bytes::new())),
    }
}
