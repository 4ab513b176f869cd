//! DescribeProducers, version 0 (KIP-664). Tools ask for it to find producers that hold a partition up.
//!
//! Deviation: there are no transactions yet, so none is open (-1) and no coordinator has an epoch (-1). The time of a
//! producer's last batch is by the state's clock, which falls behind while nobody writes.

use ebb_metastore::state::ActiveProducer;
use ebb_protocol::{
    ids::PartitionIndex,
    messages::{
        DescribeProducersRequest, DescribeProducersResponse, ProducerId, TopicName,
        describe_producers_response::{PartitionResponse, ProducerState, TopicResponse},
    },
};

use super::{Call, errors::Failure, topics::Named};

pub(super) async fn answer(call: Call, request: DescribeProducersRequest) -> DescribeProducersResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for index in topic.partition_indexes {
            let producers = producers(&call, &topic.name, index).await;
            let (code, message) = call.outcome(&producers);
            let response = PartitionResponse::default()
                .with_partition_index(index)
                .with_error_code(code)
                .with_error_message(message)
                .with_active_producers(producers.unwrap_or_default().into_iter().map(describe).collect());
            partitions.push(response);
        }
        topics.push(TopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    DescribeProducersResponse::default().with_topics(topics)
}

async fn producers(call: &Call, topic: &TopicName, partition: i32) -> Result<Vec<ActiveProducer>, Failure> {
    let topic = call.partition(Named::Name(topic), partition).await?;
    let metastore = call.broker().metastore();
    let found = metastore.read(|state| state.active_producers(topic, PartitionIndex(partition)));
    found.ok_or_else(Failure::unknown_partition)
}

fn describe(producer: ActiveProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(producer.id.0))
        .with_producer_epoch(producer.epoch.0.into())
        .with_last_sequence(producer.last_sequence.0)
        .with_last_timestamp(producer.last_used.0)
        .with_coordinator_epoch(-1)
}
