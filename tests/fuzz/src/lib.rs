//! What the fuzz targets share: a limit on the memory that an input may cost, and checksums that hold. Knows nothing
//! of what is parsed.

mod steps;

use std::{alloc::System, fmt::Debug};

use cap::Cap;

pub use steps::Step;

// libFuzzer's own limit on allocations needs a sanitizer, which stable Rust does not have.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Runs `parse`, which may allocate at most `bytes` more than is allocated already. An allocation beyond that ends
/// the process, and libFuzzer keeps the input.
pub fn within<T>(bytes: usize, parse: impl FnOnce() -> T) -> T {
    let limit = ALLOCATOR.allocated().saturating_add(bytes);
    ALLOCATOR.set_limit(limit).expect("the limit lies above what is allocated");
    let parsed = parse();
    ALLOCATOR.set_limit(usize::MAX).expect("no limit is always possible");
    parsed
}

/// Overwrites a field with what makes the bytes sound, when they are long enough. No mutation would find a checksum.
pub fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *field = value;
    }
}

/// Whether a message has an unknown tagged field whose tag is 2^31 or more. The encoder counts such a field and leaves
/// it out, so that what it makes of the message cannot be read back. Nothing but the fuzz targets encodes such a one.
pub fn has_huge_tag(message: &impl Debug) -> bool {
    format!("{message:?}").contains("unknown_tagged_fields: {-")
}

/// Evaluates an expression with a name for the type of an API's request: `with_request!(key, R => decode::<R>(body))`.
/// All that goes through the APIs one by one goes through this list.
#[macro_export]
macro_rules! with_request {
    ($key:expr, $request:ident => $run:expr) => {
        $crate::with_request!(@ $key, $request, $run;
            Produce ProduceRequest,
            Fetch FetchRequest,
            ListOffsets ListOffsetsRequest,
            Metadata MetadataRequest,
            OffsetCommit OffsetCommitRequest,
            OffsetFetch OffsetFetchRequest,
            FindCoordinator FindCoordinatorRequest,
            JoinGroup JoinGroupRequest,
            Heartbeat HeartbeatRequest,
            LeaveGroup LeaveGroupRequest,
            SyncGroup SyncGroupRequest,
            DescribeGroups DescribeGroupsRequest,
            ListGroups ListGroupsRequest,
            ApiVersions ApiVersionsRequest,
            CreateTopics CreateTopicsRequest,
            DeleteTopics DeleteTopicsRequest,
            DeleteRecords DeleteRecordsRequest,
            InitProducerId InitProducerIdRequest,
            OffsetForLeaderEpoch OffsetForLeaderEpochRequest,
            DescribeAcls DescribeAclsRequest,
            CreateAcls CreateAclsRequest,
            DeleteAcls DeleteAclsRequest,
            DescribeConfigs DescribeConfigsRequest,
            AlterConfigs AlterConfigsRequest,
            DescribeLogDirs DescribeLogDirsRequest,
            CreatePartitions CreatePartitionsRequest,
            DeleteGroups DeleteGroupsRequest,
            ElectLeaders ElectLeadersRequest,
            IncrementalAlterConfigs IncrementalAlterConfigsRequest,
            AlterPartitionReassignments AlterPartitionReassignmentsRequest,
            ListPartitionReassignments ListPartitionReassignmentsRequest,
            OffsetDelete OffsetDeleteRequest,
            DescribeClientQuotas DescribeClientQuotasRequest,
            DescribeUserScramCredentials DescribeUserScramCredentialsRequest,
            DescribeQuorum DescribeQuorumRequest,
            UpdateFeatures UpdateFeaturesRequest,
            DescribeCluster DescribeClusterRequest,
            DescribeProducers DescribeProducersRequest,
            ConsumerGroupHeartbeat ConsumerGroupHeartbeatRequest,
            ConsumerGroupDescribe ConsumerGroupDescribeRequest,
            GetTelemetrySubscriptions GetTelemetrySubscriptionsRequest,
            PushTelemetry PushTelemetryRequest,
            ListConfigResources ListConfigResourcesRequest,
            DescribeTopicPartitions DescribeTopicPartitionsRequest,
        )
    };
    (@ $key:expr, $request:ident, $run:expr; $($api:ident $type:ident,)*) => {
        match $key {
            $(ebb_protocol::api::ApiKey::$api => {
                type $request = ebb_protocol::messages::$type;
                $run
            })*
        }
    };
}
