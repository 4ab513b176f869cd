//! ElectLeaders, versions 0 to 2. Tools ask for it after brokers came back.
//!
//! Deviation: there are no leaders to elect. Every partition that exists has its preferred agent already, so the answer
//! is ELECTION_NOT_NEEDED, also for an unclean election: no replica is ever behind.

use ebb_protocol::{
    error::ResponseError,
    messages::{
        ElectLeadersRequest, ElectLeadersResponse, TopicName,
        elect_leaders_request::TopicPartitions,
        elect_leaders_response::{PartitionResult, ReplicaElectionResult},
    },
};

use super::{Call, errors::Failure, topics::Named};

/// Elections of a preferred replica, and of one that is behind (KIP-460).
const ELECTION_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

pub(super) async fn answer(call: Call, request: ElectLeadersRequest) -> ElectLeadersResponse {
    if !ELECTION_TYPES.contains(&request.election_type) {
        let message = format!("election type {} is not known: use 0 or 1", request.election_type);
        let code = call.refuse(&Failure::new(ResponseError::InvalidRequest, message));
        // Version 0 has neither election types nor a code for the whole.
        return ElectLeadersResponse::default().with_error_code(code);
    }
    let mut results = Vec::new();
    // Asked for all partitions, Kafka names those whose leader changed: none.
    for topic in request.topic_partitions.unwrap_or_default() {
        results.push(elect(&call, topic).await);
    }
    ElectLeadersResponse::default().with_replica_election_results(results)
}

async fn elect(call: &Call, wanted: TopicPartitions) -> ReplicaElectionResult {
    let mut results = Vec::with_capacity(wanted.partitions.len());
    for index in wanted.partitions {
        let failure = refusal(call, &wanted.topic, index).await;
        let result = PartitionResult::default()
            .with_partition_id(index)
            .with_error_code(call.refuse(&failure))
            .with_error_message(Some(failure.text()));
        results.push(result);
    }
    ReplicaElectionResult::default().with_topic(wanted.topic).with_partition_result(results)
}

async fn refusal(call: &Call, topic: &TopicName, partition: i32) -> Failure {
    match call.partition(Named::Name(topic), partition).await {
        Err(failure) => failure,
        Ok(_) => Failure::new(
            ResponseError::ElectionNotNeeded,
            "partitions have no leader to elect: any agent takes any partition",
        ),
    }
}
