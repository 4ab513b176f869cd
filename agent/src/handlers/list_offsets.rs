//! ListOffsets, versions 1 to 10: where a partition begins and ends, and which record stands at a time.
//!
//! -1 is the end (the last stable offset under read_committed), -2 and -4 the beginning, -3 the record with the
//! largest timestamp. -5 (the end of the tiered part) has no answer, since there is no second tier. A time that no
//! record reaches gives offset -1, as in Kafka.

use std::collections::VecDeque;

use ebb_protocol::{
    error::ResponseError,
    ids::{PartitionIndex, Timestamp, TopicId},
    messages::{
        ListOffsetsRequest, ListOffsetsResponse,
        list_offsets_request::ListOffsetsPartition,
        list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
    },
};

use super::{
    Call,
    errors::Failure,
    topics::{Named, Target},
};
use crate::broker::{FetchError, FoundOffset, OffsetQuery};

/// The isolation level that hides records of open and aborted transactions.
const READ_COMMITTED: i8 = 1;

/// A look-up in one partition; none for what has no answer.
type Query = Option<(TopicId, PartitionIndex, OffsetQuery)>;

pub(super) async fn answer(call: Call, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let mut planned = Vec::with_capacity(request.topics.len());
    let mut queries = Vec::new();
    for topic in &request.topics {
        let last = topic.partitions.iter().map(|partition| partition.partition_index).max();
        let target = call.target(Named::Name(&topic.name), last).await;
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let query = plan(&call, &target, partition, request.isolation_level);
            queries.extend(query.iter().flatten());
            partitions.push((partition.partition_index, query));
        }
        planned.push(partitions);
    }
    let found = if queries.is_empty() { Vec::new() } else { call.broker().find_offsets(&queries).await };
    let mut found = VecDeque::from(found);
    let mut topics = Vec::with_capacity(planned.len());
    for (topic, partitions) in request.topics.into_iter().zip(planned) {
        let partitions =
            partitions.into_iter().map(|(index, query)| respond(&call, index, query, &mut found));
        let partitions = partitions.collect();
        topics.push(ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    ListOffsetsResponse::default().with_topics(topics)
}

fn plan(
    call: &Call,
    target: &Result<Target, Failure>,
    partition: &ListOffsetsPartition,
    isolation: i8,
) -> Result<Query, Failure> {
    let target = target.as_ref().map_err(Clone::clone)?;
    call.check_epoch(target.id, partition.partition_index, partition.current_leader_epoch)?;
    let query = match partition.timestamp {
        -1 if isolation == READ_COMMITTED => OffsetQuery::LastStable,
        -1 => OffsetQuery::Latest,
        -2 | -4 => OffsetQuery::Earliest,
        -3 => OffsetQuery::MaxTimestamp,
        -5 => return Ok(None),
        at if at >= 0 => OffsetQuery::At(Timestamp(at)),
        other => {
            let message = format!("{other} is no time: use a timestamp, or -1 to -5 as Kafka means them");
            return Err(Failure::new(ResponseError::InvalidRequest, message));
        }
    };
    Ok(Some((target.id, PartitionIndex(partition.partition_index), query)))
}

fn respond(
    call: &Call,
    index: i32,
    query: Result<Query, Failure>,
    found: &mut VecDeque<Result<Option<FoundOffset>, FetchError>>,
) -> ListOffsetsPartitionResponse {
    let result = match query {
        // One result comes back for every query.
        Ok(Some(_)) => found.pop_front().unwrap_or(Err(FetchError::UnknownPartition)).map_err(Failure::from),
        Ok(None) => Ok(None),
        Err(failure) => Err(failure),
    };
    let response = ListOffsetsPartitionResponse::default()
        .with_partition_index(index)
        .with_offset(-1)
        .with_timestamp(-1)
        .with_leader_epoch(-1);
    match result {
        Ok(Some(found)) => response
            .with_offset(found.offset.0)
            .with_timestamp(found.timestamp.0)
            .with_leader_epoch(if call.version >= 4 { found.epoch.0 } else { -1 }),
        Ok(None) => response,
        Err(failure) => response.with_error_code(call.refuse(&failure)),
    }
}
