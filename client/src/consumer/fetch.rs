//! Fetch requests and what their answers hold. Knows Kafka's wire structs; keeps no state.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use ebb_protocol::{
    batch::{BatchError, RecordBatch},
    messages::{
        FetchRequest, FetchResponse, StrBytes, TopicName,
        fetch_request::{FetchPartition, FetchTopic},
        fetch_response::PartitionData,
    },
};

use uuid::Uuid;

use super::{FetchedBatch, Isolation, assignment::Key};
use crate::{Error, Offset, PartitionIndex, TopicId, cluster::TopicMetadata};

/// The first version of Fetch that names topics by id.
const TOPIC_IDS_VERSION: i16 = 13;

/// A partition to fetch.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) key: Key,
    pub(super) generation: u64,
    pub(super) topic: Option<TopicId>,
    pub(super) from: Offset,
}

/// Limits of a fetch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) isolation: Isolation,
    pub(super) bytes_min: usize,
    pub(super) wait_max: Duration,
    pub(super) partition_bytes_max: usize,
}

/// Topics by name, as far as they are known.
pub(super) type Known = BTreeMap<Arc<str>, Arc<TopicMetadata>>;

/// The highest version that can carry these partitions: topics by id, when all ids are known, otherwise by name.
pub(super) fn version(highest: i16, wanted: &[Wanted], known: &Known) -> i16 {
    let has_id = |wanted: &Wanted| known.get(&wanted.key.0).is_some_and(|topic| topic.id.is_some());
    if wanted.iter().all(has_id) { highest } else { highest.min(TOPIC_IDS_VERSION - 1) }
}

/// A request for several partitions, without a session: every answer is whole. An agent gives partitions their bytes in
/// the order of the request, so that is kept (KIP-74).
pub(super) fn build(
    wanted: &[Wanted],
    known: &Known,
    version: i16,
    limits: Limits,
    bytes_max: usize,
) -> FetchRequest {
    let partition = |wanted: &Wanted| {
        FetchPartition::default()
            .with_partition(wanted.key.1.0)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(wanted.from.0)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(clamp(limits.partition_bytes_max))
    };
    let topics = wanted.chunk_by(|a, b| a.key.0 == b.key.0).filter_map(|of_one| {
        let name = &of_one.first()?.key.0;
        let topic = FetchTopic::default().with_partitions(of_one.iter().map(partition).collect());
        Some(match known.get(name).and_then(|topic| topic.id) {
            Some(id) if version >= TOPIC_IDS_VERSION => topic.with_topic_id(id.0),
            _ => topic.with_topic(TopicName(StrBytes::from_string(name.as_ref().to_owned()))),
        })
    });
    FetchRequest::default()
        .with_max_wait_ms(i32::try_from(limits.wait_max.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(clamp(limits.bytes_min))
        .with_max_bytes(clamp(bytes_max))
        .with_isolation_level(limits.isolation.level())
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(topics.collect())
}

fn clamp(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// The partitions of an answer, by their keys.
pub(super) fn index<'a>(
    answer: &'a FetchResponse,
    wanted: &'a [Wanted],
    known: &Known,
) -> BTreeMap<(&'a str, PartitionIndex), &'a PartitionData> {
    let names = wanted.iter().filter_map(|wanted| {
        let id = known.get(&wanted.key.0)?.id?;
        Some((id.0, wanted.key.0.as_ref()))
    });
    let names: BTreeMap<Uuid, &str> = names.collect();
    let topics = answer.responses.iter().filter_map(|topic| {
        let by_name = topic.topic_id.is_nil().then(|| topic.topic.as_str());
        Some((by_name.or_else(|| names.get(&topic.topic_id).copied())?, &topic.partitions))
    });
    let partitions = topics.flat_map(|(name, partitions)| {
        partitions.iter().map(move |data| ((name, PartitionIndex(data.partition_index)), data))
    });
    partitions.collect()
}

/// The batches in a partition's answer. The last one may be cut short, which only means that it comes again.
pub(super) fn batches(
    records: Option<&Bytes>,
    wanted: &Wanted,
    high_watermark: Offset,
) -> Result<Vec<FetchedBatch>, Error> {
    let (topic, partition) = &wanted.key;
    let mut batches = Vec::new();
    let mut rest = records.cloned().unwrap_or_default();
    while !rest.is_empty() {
        match RecordBatch::split_first(&mut rest) {
            Ok(batch) if batch.last_offset() < wanted.from => {}
            Ok(batch) => batches.push(FetchedBatch {
                topic: topic.clone(),
                partition: *partition,
                from: wanted.from,
                high_watermark,
                batch,
            }),
            Err(BatchError::Truncated { .. }) if !batches.is_empty() => break,
            Err(BatchError::Truncated { need, .. }) => {
                let text = format!(
                    "topic {topic:?} partition {partition}: a batch of {need} bytes does not fit a fetch: raise fetch_bytes_max"
                );
                return Err(Error::Usage(text.into()));
            }
            // What came before is sound and is not lost: the next fetch begins at the damaged batch.
            Err(_) if !batches.is_empty() => break,
            Err(error) => {
                let text =
                    format!("topic {topic:?} partition {partition} at offset {}: {error}", wanted.from);
                return Err(Error::Corrupt(text.into()));
            }
        }
    }
    Ok(batches)
}
