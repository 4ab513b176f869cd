//! The shapes of the responses, written by shape-gen from Kafka's definitions. Do not edit.

mod keys_0_to_19;
mod keys_20_to_39;
mod keys_40_to_59;
mod keys_60_to_79;

use super::Field;
use crate::api::ApiKey;

/// The shape of an API's response.
pub(super) fn shape(api: ApiKey) -> &'static [Field] {
    match api {
        ApiKey::Produce => keys_0_to_19::PRODUCE,
        ApiKey::Fetch => keys_0_to_19::FETCH,
        ApiKey::ListOffsets => keys_0_to_19::LIST_OFFSETS,
        ApiKey::Metadata => keys_0_to_19::METADATA,
        ApiKey::OffsetCommit => keys_0_to_19::OFFSET_COMMIT,
        ApiKey::OffsetFetch => keys_0_to_19::OFFSET_FETCH,
        ApiKey::FindCoordinator => keys_0_to_19::FIND_COORDINATOR,
        ApiKey::JoinGroup => keys_0_to_19::JOIN_GROUP,
        ApiKey::Heartbeat => keys_0_to_19::HEARTBEAT,
        ApiKey::LeaveGroup => keys_0_to_19::LEAVE_GROUP,
        ApiKey::SyncGroup => keys_0_to_19::SYNC_GROUP,
        ApiKey::DescribeGroups => keys_0_to_19::DESCRIBE_GROUPS,
        ApiKey::ListGroups => keys_0_to_19::LIST_GROUPS,
        ApiKey::ApiVersions => keys_0_to_19::API_VERSIONS,
        ApiKey::CreateTopics => keys_0_to_19::CREATE_TOPICS,
        ApiKey::DeleteTopics => keys_20_to_39::DELETE_TOPICS,
        ApiKey::DeleteRecords => keys_20_to_39::DELETE_RECORDS,
        ApiKey::InitProducerId => keys_20_to_39::INIT_PRODUCER_ID,
        ApiKey::OffsetForLeaderEpoch => keys_20_to_39::OFFSET_FOR_LEADER_EPOCH,
        ApiKey::DescribeAcls => keys_20_to_39::DESCRIBE_ACLS,
        ApiKey::CreateAcls => keys_20_to_39::CREATE_ACLS,
        ApiKey::DeleteAcls => keys_20_to_39::DELETE_ACLS,
        ApiKey::DescribeConfigs => keys_20_to_39::DESCRIBE_CONFIGS,
        ApiKey::AlterConfigs => keys_20_to_39::ALTER_CONFIGS,
        ApiKey::DescribeLogDirs => keys_20_to_39::DESCRIBE_LOG_DIRS,
        ApiKey::CreatePartitions => keys_20_to_39::CREATE_PARTITIONS,
        ApiKey::DeleteGroups => keys_40_to_59::DELETE_GROUPS,
        ApiKey::ElectLeaders => keys_40_to_59::ELECT_LEADERS,
        ApiKey::IncrementalAlterConfigs => keys_40_to_59::INCREMENTAL_ALTER_CONFIGS,
        ApiKey::AlterPartitionReassignments => keys_40_to_59::ALTER_PARTITION_REASSIGNMENTS,
        ApiKey::ListPartitionReassignments => keys_40_to_59::LIST_PARTITION_REASSIGNMENTS,
        ApiKey::OffsetDelete => keys_40_to_59::OFFSET_DELETE,
        ApiKey::DescribeClientQuotas => keys_40_to_59::DESCRIBE_CLIENT_QUOTAS,
        ApiKey::DescribeUserScramCredentials => keys_40_to_59::DESCRIBE_USER_SCRAM_CREDENTIALS,
        ApiKey::DescribeQuorum => keys_40_to_59::DESCRIBE_QUORUM,
        ApiKey::UpdateFeatures => keys_40_to_59::UPDATE_FEATURES,
        ApiKey::DescribeCluster => keys_60_to_79::DESCRIBE_CLUSTER,
        ApiKey::DescribeProducers => keys_60_to_79::DESCRIBE_PRODUCERS,
        ApiKey::ConsumerGroupHeartbeat => keys_60_to_79::CONSUMER_GROUP_HEARTBEAT,
        ApiKey::ConsumerGroupDescribe => keys_60_to_79::CONSUMER_GROUP_DESCRIBE,
        ApiKey::GetTelemetrySubscriptions => keys_60_to_79::GET_TELEMETRY_SUBSCRIPTIONS,
        ApiKey::PushTelemetry => keys_60_to_79::PUSH_TELEMETRY,
        ApiKey::ListConfigResources => keys_60_to_79::LIST_CONFIG_RESOURCES,
        ApiKey::DescribeTopicPartitions => keys_60_to_79::DESCRIBE_TOPIC_PARTITIONS,
    }
}
