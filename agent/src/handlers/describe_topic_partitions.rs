//! DescribeTopicPartitions, version 0 (KIP-966). The JVM admin client describes topics with it, page by page: topics in
//! the order of their names, up to a number of partitions, and a cursor to where the next page begins.
//!
//! Deviations as in `metadata`. There are no eligible leader replicas besides the leader; none is told.

use std::collections::BTreeSet;

use ebb_metastore::state::TopicInfo;
use ebb_protocol::{
    error::ResponseError,
    ids::PartitionIndex,
    messages::{
        BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, StrBytes, TopicName,
        describe_topic_partitions_response::{
            Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
        },
    },
};

use super::{Call, errors::Failure, placement::Placement, topics::Named};

/// The most partitions of a page: Kafka's `max.request.partition.size.limit`.
const PAGE_PARTITIONS_MAX: i32 = 2_000;

pub(super) async fn answer(
    call: Call,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let all = request.topics.is_empty();
    let mut names: BTreeSet<String> = match all {
        true => {
            let metastore = call.broker().metastore();
            metastore.read(|state| state.topics().map(|topic| topic.name.to_string()).collect())
        }
        false => request.topics.iter().map(|topic| topic.name.to_string()).collect(),
    };
    let (from, mut first) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.to_string(), cursor.partition_index),
        None => (String::new(), 0),
    };
    let cursor_is_asked = all || request.cursor.is_none() || names.contains(&from);
    if first < 0 || !cursor_is_asked {
        let message = "the cursor must name a topic that is asked for, and a partition of at least 0";
        let failure = Failure::new(ResponseError::InvalidRequest, message);
        names.insert(from);
        let refused = names.iter().map(|name| refused(&call, name, &failure)).collect();
        return DescribeTopicPartitionsResponse::default().with_topics(refused);
    }
    let placement = call.placement();
    let mut room = request.response_partition_limit.clamp(1, PAGE_PARTITIONS_MAX);
    let mut topics = Vec::new();
    for name in names.range(from.clone()..) {
        if *name != from {
            first = 0;
        }
        let topic = match call.topic(Named::Name(name)).await {
            // Nobody asked for this topic by its name: it was deleted a moment ago.
            Err(_) if all => continue,
            Err(failure) => {
                topics.push(refused(&call, name, &failure));
                continue;
            }
            Ok(topic) => topic,
        };
        if room == 0 {
            let next = Cursor::default().with_topic_name(wire(name)).with_partition_index(first);
            return DescribeTopicPartitionsResponse::default()
                .with_topics(topics)
                .with_next_cursor(Some(next));
        }
        let end = topic.partitions.min(first.saturating_add(room));
        topics.push(describe(&call, &placement, &topic, first, end));
        room -= (end - first).max(0);
        if end < topic.partitions {
            let next = Cursor::default().with_topic_name(wire(name)).with_partition_index(end);
            return DescribeTopicPartitionsResponse::default()
                .with_topics(topics)
                .with_next_cursor(Some(next));
        }
    }
    DescribeTopicPartitionsResponse::default().with_topics(topics)
}

fn wire(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn refused(call: &Call, name: &str, failure: &Failure) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(wire(name)))
        .with_error_code(call.refuse(failure))
}

/// The topic with its partitions from `first` on and below `end`.
fn describe(
    call: &Call,
    placement: &Placement,
    topic: &TopicInfo,
    first: i32,
    end: i32,
) -> DescribeTopicPartitionsResponseTopic {
    let partition = |index: i32| {
        let at = PartitionIndex(index);
        let head = call.broker().metastore().read(|state| state.head(topic.id, at));
        let partition = DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(index)
            .with_leader_epoch(head.map_or(-1, |head| head.epoch.0))
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()));
        let Some(leader) = placement.leader(topic.id, at) else {
            return partition
                .with_error_code(call.refuse(&Failure::no_leader()))
                .with_leader_id(BrokerId(-1));
        };
        partition.with_leader_id(leader).with_replica_nodes(vec![leader]).with_isr_nodes(vec![leader])
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(wire(topic.name.as_str())))
        .with_topic_id(topic.id.0)
        .with_partitions((first..end).map(partition).collect())
}
