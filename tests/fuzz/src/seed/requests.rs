//! Inputs for `requests` and `connections`: every API in every version, with as much in it as the version can carry.

use bytes::Bytes;
use ebb_protocol::{
    api::{APIS, Api, ApiKey},
    batch::Compression,
    frame::FRAME_LENGTH_BYTES,
    messages::{
        self, AlterConfigsRequest, ApiVersionsRequest, BrokerId, CreatePartitionsRequest,
        CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest,
        DescribeConfigsRequest, FetchRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest,
        ListOffsetsRequest, MetadataRequest, OffsetForLeaderEpochRequest, ProduceRequest, Request, StrBytes,
        TopicName, alter_configs_request, create_partitions_request, create_topics_request,
        delete_records_request, delete_topics_request, describe_configs_request, encode_request,
        fetch_request, incremental_alter_configs_request, list_offsets_request, metadata_request,
        offset_for_leader_epoch_request, produce_request,
    },
};
use uuid::Uuid;

use crate::{Seed, batches::batch};

const TOPIC_ID: Uuid = Uuid::from_u128(1);

/// What a client might ask, one after the other.
const SESSION: [ApiKey; 19] = [
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::Metadata,
    ApiKey::InitProducerId,
    ApiKey::Produce,
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeConfigs,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::AlterConfigs,
    ApiKey::CreatePartitions,
    ApiKey::DescribeCluster,
    ApiKey::DescribeTopicPartitions,
    ApiKey::DescribeLogDirs,
    ApiKey::DescribeProducers,
    ApiKey::DeleteRecords,
    ApiKey::DeleteTopics,
];

/// A request's frame, length included.
struct Frame {
    api: ApiKey,
    version: i16,
    bytes: Bytes,
}

pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = APIS.iter().flat_map(of_api).map(alone).collect();
    // The first byte is the size of the pieces in which the rest is sent.
    seeds.push(session("newest", u8::MAX, |api| api.max));
    seeds.push(session("oldest", 3, |api| api.min));
    seeds
}

fn alone(Frame { api, version, bytes }: Frame) -> Seed {
    Seed::new("requests", format!("{api}-{version}"), &bytes[FRAME_LENGTH_BYTES..])
}

fn session(name: &str, piece: u8, version: fn(&Api) -> i16) -> Seed {
    let mut input = vec![piece];
    for api in SESSION.iter().filter_map(|key| Api::find(key.code())) {
        let mut frames = of_api(api).into_iter();
        let frame = frames.find(|frame| frame.version >= version(api)).expect("the newest version is there");
        input.extend_from_slice(&frame.bytes);
    }
    Seed::new("connections", name, input)
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic() -> TopicName {
    TopicName(text("flights"))
}

/// An API's requests: the first of the candidates that each version can carry.
fn of_api(api: &Api) -> Vec<Frame> {
    match api.key {
        ApiKey::Produce => each_version(api, &[produce(false), produce(true)]),
        ApiKey::Fetch => each_version(api, &[fetch(false), fetch(true)]),
        ApiKey::ListOffsets => each_version(api, &[list_offsets()]),
        ApiKey::Metadata => each_version(api, &[metadata(TOPIC_ID), metadata(Uuid::nil())]),
        ApiKey::ApiVersions => each_version(api, &[api_versions()]),
        ApiKey::CreateTopics => each_version(api, &[create_topics()]),
        ApiKey::DeleteTopics => each_version(api, &delete_topics()),
        ApiKey::DeleteRecords => each_version(api, &[delete_records()]),
        ApiKey::InitProducerId => each_version(api, &init_producer_id()),
        ApiKey::OffsetForLeaderEpoch => each_version(api, &[offset_for_leader_epoch()]),
        ApiKey::DescribeConfigs => each_version(api, &describe_configs()),
        ApiKey::AlterConfigs => each_version(api, &[alter_configs()]),
        ApiKey::CreatePartitions => each_version(api, &[create_partitions()]),
        ApiKey::IncrementalAlterConfigs => each_version(api, &[incremental_alter_configs()]),
        ApiKey::DescribeCluster => each_version(api, &describe_cluster()),
        ApiKey::DescribeAcls => each_version::<messages::DescribeAclsRequest>(api, &[]),
        ApiKey::CreateAcls => each_version::<messages::CreateAclsRequest>(api, &[]),
        ApiKey::DeleteAcls => each_version::<messages::DeleteAclsRequest>(api, &[]),
        ApiKey::DescribeLogDirs => each_version::<messages::DescribeLogDirsRequest>(api, &[]),
        ApiKey::ElectLeaders => each_version::<messages::ElectLeadersRequest>(api, &[]),
        ApiKey::AlterPartitionReassignments => each_version(api, &[alter_partition_reassignments()]),
        ApiKey::ListPartitionReassignments => {
            each_version::<messages::ListPartitionReassignmentsRequest>(api, &[])
        }
        ApiKey::DescribeClientQuotas => each_version::<messages::DescribeClientQuotasRequest>(api, &[]),
        ApiKey::DescribeUserScramCredentials => {
            each_version::<messages::DescribeUserScramCredentialsRequest>(api, &[])
        }
        ApiKey::DescribeQuorum => each_version::<messages::DescribeQuorumRequest>(api, &[]),
        ApiKey::UpdateFeatures => each_version::<messages::UpdateFeaturesRequest>(api, &[]),
        ApiKey::DescribeProducers => each_version::<messages::DescribeProducersRequest>(api, &[]),
        ApiKey::GetTelemetrySubscriptions => {
            each_version::<messages::GetTelemetrySubscriptionsRequest>(api, &[])
        }
        ApiKey::PushTelemetry => each_version(api, &[push_telemetry()]),
        ApiKey::ListConfigResources => each_version::<messages::ListConfigResourcesRequest>(api, &[]),
        ApiKey::DescribeTopicPartitions => each_version(api, &[describe_topic_partitions()]),
        ApiKey::OffsetCommit => each_version(api, &[offset_commit()]),
        ApiKey::JoinGroup => each_version(api, &[join_group()]),
        ApiKey::ConsumerGroupHeartbeat => each_version(api, &[consumer_group_heartbeat()]),
        ApiKey::OffsetFetch => each_version::<messages::OffsetFetchRequest>(api, &[]),
        ApiKey::FindCoordinator => each_version::<messages::FindCoordinatorRequest>(api, &[]),
        ApiKey::Heartbeat => each_version::<messages::HeartbeatRequest>(api, &[]),
        ApiKey::LeaveGroup => each_version::<messages::LeaveGroupRequest>(api, &[]),
        ApiKey::SyncGroup => each_version::<messages::SyncGroupRequest>(api, &[]),
        ApiKey::DescribeGroups => each_version::<messages::DescribeGroupsRequest>(api, &[]),
        ApiKey::ListGroups => each_version::<messages::ListGroupsRequest>(api, &[]),
        ApiKey::DeleteGroups => each_version::<messages::DeleteGroupsRequest>(api, &[]),
        ApiKey::OffsetDelete => each_version::<messages::OffsetDeleteRequest>(api, &[]),
        ApiKey::ConsumerGroupDescribe => each_version::<messages::ConsumerGroupDescribeRequest>(api, &[]),
    }
}

fn each_version<R: Request + Default>(api: &Api, candidates: &[R]) -> Vec<Frame> {
    let client_id = text("seed");
    let frame = |version| {
        let default = R::default();
        let mut candidates = candidates.iter().chain([&default]);
        let bytes =
            candidates.find_map(|request| encode_request(request, version, 9, Some(&client_id)).ok())?;
        Some(Frame { api: api.key, version, bytes })
    };
    // The encoder knows no Produce below version 3.
    (api.min..=api.max).filter_map(frame).collect()
}

fn offset_commit() -> messages::OffsetCommitRequest {
    let partition = messages::offset_commit_request::OffsetCommitRequestPartition::default()
        .with_committed_offset(5)
        .with_committed_metadata(Some(text("m")));
    let topic = messages::offset_commit_request::OffsetCommitRequestTopic::default()
        .with_name(topic())
        .with_partitions(vec![partition]);
    messages::OffsetCommitRequest::default()
        .with_group_id(messages::GroupId(text("group")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

fn join_group() -> messages::JoinGroupRequest {
    let protocol = messages::join_group_request::JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(&[0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]));
    messages::JoinGroupRequest::default()
        .with_group_id(messages::GroupId(text("group")))
        .with_session_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

fn consumer_group_heartbeat() -> messages::ConsumerGroupHeartbeatRequest {
    let owned = messages::consumer_group_heartbeat_request::TopicPartitions::default()
        .with_topic_id(TOPIC_ID)
        .with_partitions(vec![0]);
    messages::ConsumerGroupHeartbeatRequest::default()
        .with_group_id(messages::GroupId(text("group")))
        .with_member_id(text("member"))
        .with_rebalance_timeout_ms(10_000)
        .with_subscribed_topic_names(Some(vec![topic()]))
        .with_subscribed_topic_regex(Some(text("f.*")))
        .with_topic_partitions(Some(vec![owned]))
}

fn describe_topic_partitions() -> messages::DescribeTopicPartitionsRequest {
    let cursor = messages::describe_topic_partitions_request::Cursor::default().with_topic_name(topic());
    let wanted = messages::describe_topic_partitions_request::TopicRequest::default().with_name(topic());
    messages::DescribeTopicPartitionsRequest::default()
        .with_topics(vec![wanted])
        .with_response_partition_limit(1)
        .with_cursor(Some(cursor))
}

fn alter_partition_reassignments() -> messages::AlterPartitionReassignmentsRequest {
    let partition = messages::alter_partition_reassignments_request::ReassignablePartition::default()
        .with_replicas(Some(vec![BrokerId(0)]));
    let wanted = messages::alter_partition_reassignments_request::ReassignableTopic::default()
        .with_name(topic())
        .with_partitions(vec![partition]);
    messages::AlterPartitionReassignmentsRequest::default().with_topics(vec![wanted])
}

fn push_telemetry() -> messages::PushTelemetryRequest {
    messages::PushTelemetryRequest::default()
        .with_client_instance_id(TOPIC_ID)
        .with_subscription_id(1)
        .with_metrics(Bytes::from_static(b"metrics"))
}

fn produce(by_id: bool) -> ProduceRequest {
    let records = batch(Compression::None, None).bytes().clone();
    let partition =
        produce_request::PartitionProduceData::default().with_index(1).with_records(Some(records));
    let data = produce_request::TopicProduceData::default().with_partition_data(vec![partition]);
    let data = if by_id { data.with_topic_id(TOPIC_ID) } else { data.with_name(topic()) };
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data])
}

fn fetch(by_id: bool) -> FetchRequest {
    let partition =
        fetch_request::FetchPartition::default().with_fetch_offset(3).with_partition_max_bytes(1 << 20);
    let wanted = fetch_request::FetchTopic::default().with_partitions(vec![partition]);
    let forgotten = fetch_request::ForgottenTopic::default().with_partitions(vec![1]);
    let (wanted, forgotten) = if by_id {
        (wanted.with_topic_id(TOPIC_ID), forgotten.with_topic_id(TOPIC_ID))
    } else {
        (wanted.with_topic(topic()), forgotten.with_topic(topic()))
    };
    let request = FetchRequest::default().with_max_wait_ms(500).with_min_bytes(1).with_topics(vec![wanted]);
    // Version 7 brought sessions, and with them topics to forget.
    if by_id { request.with_forgotten_topics_data(vec![forgotten]) } else { request }
}

fn list_offsets() -> ListOffsetsRequest {
    let partition = list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1);
    let wanted =
        list_offsets_request::ListOffsetsTopic::default().with_name(topic()).with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![wanted])
}

fn metadata(id: Uuid) -> MetadataRequest {
    let wanted = metadata_request::MetadataRequestTopic::default().with_topic_id(id).with_name(Some(topic()));
    MetadataRequest::default().with_topics(Some(vec![wanted]))
}

fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(text("ebb"))
        .with_client_software_version(text("1.0"))
}

fn create_topics() -> CreateTopicsRequest {
    let replicas =
        create_topics_request::CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(0)]);
    let config = create_topics_request::CreatableTopicConfig::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("1")));
    let wanted = create_topics_request::CreatableTopic::default()
        .with_name(topic())
        .with_num_partitions(6)
        .with_replication_factor(-1)
        .with_assignments(vec![replicas])
        .with_configs(vec![config]);
    CreateTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(1_000)
}

fn delete_topics() -> [DeleteTopicsRequest; 2] {
    let wanted =
        delete_topics_request::DeleteTopicState::default().with_name(Some(topic())).with_topic_id(TOPIC_ID);
    [
        DeleteTopicsRequest::default().with_topics(vec![wanted]),
        DeleteTopicsRequest::default().with_topic_names(vec![topic()]),
    ]
}

fn delete_records() -> DeleteRecordsRequest {
    let partition = delete_records_request::DeleteRecordsPartition::default().with_offset(-1);
    let wanted = delete_records_request::DeleteRecordsTopic::default()
        .with_name(topic())
        .with_partitions(vec![partition]);
    DeleteRecordsRequest::default().with_topics(vec![wanted]).with_timeout_ms(1_000)
}

fn init_producer_id() -> [InitProducerIdRequest; 2] {
    let request = InitProducerIdRequest::default().with_transaction_timeout_ms(60_000);
    let renewed = request.clone().with_producer_id(messages::ProducerId(7)).with_producer_epoch(1);
    [renewed, request]
}

fn offset_for_leader_epoch() -> OffsetForLeaderEpochRequest {
    let partition = offset_for_leader_epoch_request::OffsetForLeaderPartition::default().with_leader_epoch(0);
    let wanted = offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
        .with_topic(topic())
        .with_partitions(vec![partition]);
    OffsetForLeaderEpochRequest::default().with_topics(vec![wanted])
}

fn describe_configs() -> [DescribeConfigsRequest; 2] {
    let resource = describe_configs_request::DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("flights"))
        .with_configuration_keys(Some(vec![text("retention.ms")]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    [request.clone().with_include_documentation(true), request]
}

fn alter_configs() -> AlterConfigsRequest {
    let config = alter_configs_request::AlterableConfig::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("1")));
    let resource = alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("flights"))
        .with_configs(vec![config]);
    AlterConfigsRequest::default().with_resources(vec![resource])
}

fn incremental_alter_configs() -> IncrementalAlterConfigsRequest {
    let config = incremental_alter_configs_request::AlterableConfig::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("1")));
    let resource = incremental_alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("flights"))
        .with_configs(vec![config]);
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

fn create_partitions() -> CreatePartitionsRequest {
    let replicas =
        create_partitions_request::CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(0)]);
    let wanted = create_partitions_request::CreatePartitionsTopic::default()
        .with_name(topic())
        .with_count(12)
        .with_assignments(Some(vec![replicas]));
    CreatePartitionsRequest::default().with_topics(vec![wanted]).with_timeout_ms(1_000)
}

fn describe_cluster() -> [DescribeClusterRequest; 2] {
    let request = DescribeClusterRequest::default();
    [request.clone().with_include_fenced_brokers(true), request]
}
