//! Metadata, versions 0 to 13. Every client asks it: who is there, which topics, whom to ask for a partition.
//!
//! Deviations, since any agent takes any partition: the leader is a preferred agent (see `placement`), the only
//! replica and in-sync replica; the controller is the agent that answers. Brokers are listed with the addresses of
//! the transport that the client came by. Authorized operations are not told.

use ebb_metastore::state::TopicInfo;
use ebb_protocol::{
    ids::{LeaderEpoch, PartitionIndex, TopicId, TopicName},
    messages::{
        BrokerId, MetadataRequest, MetadataResponse, StrBytes, TopicName as WireName,
        metadata_request::MetadataRequestTopic,
        metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
    },
};

use super::{Call, errors::Failure, placement::Placement, topics::Named};

pub(super) async fn answer(call: Call, request: MetadataRequest) -> MetadataResponse {
    // In version 0 an empty list means all topics; from version 1 on it means none, and null means all.
    let wanted = request.topics.filter(|topics| call.version >= 1 || !topics.is_empty());
    let create = request.allow_auto_topic_creation && call.handlers.topics.auto_create;
    let mut topics = Vec::new();
    match wanted {
        None => {
            let all: Vec<_> = call.broker().metastore().read(|state| state.topics().collect());
            topics.extend(all.into_iter().map(Ok));
        }
        Some(wanted) => {
            for topic in &wanted {
                topics.push(look_up(&call, topic, create).await.map_err(|failure| (topic.clone(), failure)));
            }
        }
    }
    let (cluster, placement) = call
        .broker()
        .metastore()
        .read(|state| (state.cluster(), Placement::new(state, call.handlers.transport, call.handlers.agent)));
    call.handlers.peers.look_after_all();
    let topics = topics.into_iter().map(|topic| match topic {
        Ok(topic) => describe(&call, &placement, &topic),
        Err((topic, failure)) => MetadataResponseTopic::default()
            .with_error_code(call.refuse(&failure))
            .with_name(topic.name.filter(|_| topic.topic_id.is_nil()))
            .with_topic_id(topic.topic_id),
    });
    MetadataResponse::default()
        .with_cluster_id(cluster.map(|id| StrBytes::from_string(id.to_string())))
        .with_controller_id(placement.controller())
        .with_topics(topics.collect())
        .with_brokers(placement.brokers.iter().map(broker).collect())
}

async fn look_up(call: &Call, topic: &MetadataRequestTopic, create: bool) -> Result<TopicInfo, Failure> {
    // An id decides, as in Kafka: beside it, the JVM client writes an empty name instead of none.
    let name = match &topic.name {
        Some(name) if topic.topic_id.is_nil() => TopicName::new(name)?,
        _ => return call.topic(Named::Id(TopicId(topic.topic_id))).await,
    };
    if create {
        return Ok(call.broker().topic_or_create(&name, call.handlers.topics.partitions).await?);
    }
    call.broker().topic_by_name(&name).await?.ok_or_else(Failure::unknown_topic)
}

fn describe(call: &Call, placement: &Placement, topic: &TopicInfo) -> MetadataResponseTopic {
    let indices = || (0..topic.partitions).map(PartitionIndex);
    let epochs: Vec<_> = call.broker().metastore().read(|state| {
        indices().map(|index| state.head(topic.id, index).map_or(LeaderEpoch(0), |head| head.epoch)).collect()
    });
    let partitions = indices().zip(epochs).map(|(index, epoch)| {
        let partition =
            MetadataResponsePartition::default().with_partition_index(index.0).with_leader_epoch(epoch.0);
        let Some(leader) = placement.leader(topic.id, index) else {
            return partition
                .with_error_code(call.refuse(&Failure::no_leader()))
                .with_leader_id(BrokerId(-1));
        };
        partition.with_leader_id(leader).with_replica_nodes(vec![leader]).with_isr_nodes(vec![leader])
    });
    MetadataResponseTopic::default()
        .with_name(Some(WireName(StrBytes::from_string(topic.name.to_string()))))
        .with_topic_id(topic.id.0)
        .with_partitions(partitions.collect())
}

fn broker(broker: &super::placement::Broker) -> MetadataResponseBroker {
    MetadataResponseBroker::default()
        .with_node_id(broker.id)
        .with_host(StrBytes::from_string(broker.endpoint.host.clone()))
        .with_port(broker.endpoint.port.into())
        .with_rack((!broker.zone.is_empty()).then(|| StrBytes::from_string(broker.zone.clone())))
}
