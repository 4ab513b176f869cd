//! DescribeQuorum, versions 0 to 2 (KIP-595, KIP-836). Tools and consoles ask for it to see how the cluster's metadata
//! is doing.
//!
//! Deviations: there is no quorum; what comes next to it is the commit log. So the high watermark is the position of its
//! next entry, and every live agent is a voter that has it all, since it lies in the bucket. The leader is the agent
//! that answers: each may append. Its epoch is always 0, times are not told, and directory ids are nil.

use ebb_protocol::{
    error::ResponseError,
    messages::{
        BrokerId, DescribeQuorumRequest, DescribeQuorumResponse, StrBytes,
        describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData},
    },
};

use super::{
    Call,
    errors::Failure,
    placement::{Broker, Placement},
};
use crate::metrics::Transport;

/// The topic and partition of Kafka's metadata.
const METADATA_TOPIC: &str = "__cluster_metadata";
const METADATA_PARTITION: i32 = 0;

pub(super) async fn answer(call: Call, request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let placement = call.placement();
    let position = call.broker().metastore().read(|state| state.position());
    let end = i64::try_from(position.0).unwrap_or(i64::MAX);
    let topics = request.topics.into_iter().map(|topic| {
        let is_metadata = topic.topic_name.as_str() == METADATA_TOPIC;
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            if is_metadata && index == METADATA_PARTITION {
                return describe(&placement, end);
            }
            let message = format!("only partition {METADATA_PARTITION} of {METADATA_TOPIC} has a quorum");
            let failure = Failure::new(ResponseError::UnknownTopicOrPartition, message);
            PartitionData::default()
                .with_partition_index(index)
                .with_error_code(call.refuse(&failure))
                .with_error_message(Some(failure.text()))
                .with_leader_id(BrokerId(-1))
        });
        TopicData::default().with_topic_name(topic.topic_name).with_partitions(partitions.collect())
    });
    let response = DescribeQuorumResponse::default().with_topics(topics.collect());
    if call.version < 2 {
        return response;
    }
    // The JVM client takes no listener whose name has small letters.
    let name = match call.handlers.transport {
        Transport::Kafka => "KAFKA",
        Transport::Quic => "QUIC",
    };
    response.with_nodes(placement.brokers.iter().map(|broker| node(broker, name)).collect())
}

fn describe(placement: &Placement, end: i64) -> PartitionData {
    let voter = |broker: &Broker| {
        ReplicaState::default()
            .with_replica_id(broker.id)
            .with_log_end_offset(end)
            .with_last_fetch_timestamp(-1)
            .with_last_caught_up_timestamp(-1)
    };
    PartitionData::default()
        .with_partition_index(METADATA_PARTITION)
        .with_leader_id(placement.controller())
        .with_high_watermark(end)
        .with_current_voters(placement.brokers.iter().map(voter).collect())
}

fn node(broker: &Broker, listener: &'static str) -> Node {
    let listener = Listener::default()
        .with_name(StrBytes::from_static_str(listener))
        .with_host(StrBytes::from_string(broker.endpoint.host.clone()))
        .with_port(broker.endpoint.port);
    Node::default().with_node_id(broker.id).with_listeners(vec![listener])
}
