//! Produce requests and what their answers mean for each batch.
//! Knows Kafka's wire structs and error codes; decides nothing about when to send.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ebb_protocol::{
    ids::{Offset, PartitionIndex, Timestamp},
    messages::{
        ProduceRequest, ProduceResponse, StrBytes, TopicName,
        produce_request::{PartitionProduceData, TopicProduceData},
        produce_response::PartitionProduceResponse,
    },
};

use super::{
    Acks,
    batch::{Ack, Batch},
    queue::Verdict,
    topic::Partition,
};
use crate::{Error, ErrorCode, cluster::TopicMetadata, rpc::CallError};

/// The first version of Produce that names topics by id.
const TOPIC_IDS_VERSION: i16 = 13;
/// How often a batch is sent to a topic that the cluster says it does not have: its agents may not all have heard of
/// a new topic.
const ATTEMPTS_WITHOUT_TOPIC_MAX: u32 = 6;

/// A batch and the partition it is for.
pub(super) type Sent = (Arc<Partition>, Batch);

/// A request's topics under construction: for each its metadata and partitions.
pub(super) type Topics = BTreeMap<Arc<str>, (Arc<TopicMetadata>, Vec<PartitionProduceData>)>;

/// The highest version that can carry these topics: ids, when all of them are known.
pub(super) fn version(highest: i16, topics: &Topics) -> i16 {
    if topics.values().all(|(metadata, _)| metadata.id.is_some()) {
        highest
    } else {
        highest.min(TOPIC_IDS_VERSION - 1)
    }
}

/// A request for batches of several partitions.
pub(super) fn build(topics: Topics, version: i16, acks: Acks, timeout: Duration) -> ProduceRequest {
    let topic_data = topics.into_iter().map(|(name, (metadata, partitions))| {
        let topic = TopicProduceData::default().with_partition_data(partitions);
        match metadata.id {
            Some(id) if version >= TOPIC_IDS_VERSION => topic.with_topic_id(id.0),
            _ => topic.with_name(TopicName(StrBytes::from_string(name.as_ref().to_owned()))),
        }
    });
    ProduceRequest::default()
        .with_acks(match acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        })
        .with_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
        .with_topic_data(topic_data.collect())
}

/// What a failed request means for all its batches.
pub(super) fn of_failure(error: &CallError) -> Verdict {
    let uncertain = !matches!(error, CallError::NotSent(_));
    Verdict::Again { uncertain, error: error.clone().into_error("produce") }
}

/// What a request without an answer means once it has left.
pub(super) fn of_no_answer() -> Verdict {
    Verdict::Done(Ack { base: None, append_time: None })
}

/// The answer for one partition, if there is one.
pub(super) fn find<'a>(
    response: &'a ProduceResponse,
    topic: &TopicMetadata,
    partition: PartitionIndex,
) -> Option<&'a PartitionProduceResponse> {
    let named = |name: &str, id: uuid::Uuid| {
        if id.is_nil() { *name == *topic.name } else { topic.id.is_some_and(|topic| topic.0 == id) }
    };
    let topic = response.responses.iter().find(|topic| named(&topic.name, topic.topic_id))?;
    topic.partition_responses.iter().find(|answer| answer.index == partition.0)
}

/// What a partition's answer means for its batch.
pub(super) fn of_answer(answer: Option<&PartitionProduceResponse>, batch: &Batch, what: &str) -> Verdict {
    use ErrorCode as C;
    let Some(answer) = answer else {
        let error = Error::Corrupt(format!("{what}: the server's answer leaves it out").into());
        return Verdict::Again { uncertain: true, error };
    };
    let Some(code) = C::try_from_code(answer.error_code) else {
        let append_time = (answer.log_append_time_ms >= 0).then_some(Timestamp(answer.log_append_time_ms));
        return Verdict::Done(Ack { base: Some(Offset(answer.base_offset)), append_time });
    };
    let error = Error::from_code(code, what, answer.error_message.as_deref());
    match code {
        // The batch is in the log, but too long ago for the cluster to remember where.
        C::DuplicateSequenceNumber => Verdict::Done(Ack { base: None, append_time: None }),
        C::OutOfOrderSequenceNumber if batch.stamp.is_some() => Verdict::Gap(error),
        C::UnknownProducerId if batch.stamp.is_some() => Verdict::Forgotten(error),
        C::UnknownTopicOrPartition | C::UnknownTopicId | C::InconsistentTopicId
            if batch.attempts < ATTEMPTS_WITHOUT_TOPIC_MAX =>
        {
            Verdict::Again { uncertain: false, error }
        }
        // Repeating these is safe under a stamp: what was written is recognised.
        _ if error.is_retriable() => Verdict::Again { uncertain: error.may_have_happened(), error },
        // The bytes were damaged on the way; they are still whole here.
        C::CorruptMessage if batch.attempts < ATTEMPTS_WITHOUT_TOPIC_MAX => {
            Verdict::Again { uncertain: false, error }
        }
        _ => Verdict::Refused(error),
    }
}
