//! Kafka's messages: the wire structs that are used, and the four functions that turn them to frames and back.
//! Only handlers and clients know these types; they end there.

mod old_produce;

pub use old_produce::encode_produce_response;

use bytes::Bytes;
use kafka_protocol::protocol::{Decodable, Encodable};

pub use kafka_protocol::{
    messages::{
        AlterConfigsRequest, AlterConfigsResponse, AlterPartitionReassignmentsRequest,
        AlterPartitionReassignmentsResponse, ApiVersionsRequest, ApiVersionsResponse, BrokerId,
        ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
        ConsumerGroupHeartbeatResponse, CreateAclsRequest, CreateAclsResponse, CreatePartitionsRequest,
        CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteAclsRequest,
        DeleteAclsResponse, DeleteGroupsRequest, DeleteGroupsResponse, DeleteRecordsRequest,
        DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse, DescribeAclsRequest,
        DescribeAclsResponse, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
        DescribeClusterRequest, DescribeClusterResponse, DescribeConfigsRequest, DescribeConfigsResponse,
        DescribeGroupsRequest, DescribeGroupsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse,
        DescribeProducersRequest, DescribeProducersResponse, DescribeQuorumRequest, DescribeQuorumResponse,
        DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeUserScramCredentialsRequest,
        DescribeUserScramCredentialsResponse, ElectLeadersRequest, ElectLeadersResponse, FetchRequest,
        FetchResponse, FindCoordinatorRequest, FindCoordinatorResponse, GetTelemetrySubscriptionsRequest,
        GetTelemetrySubscriptionsResponse, GroupId, HeartbeatRequest, HeartbeatResponse,
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, InitProducerIdRequest,
        InitProducerIdResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
        ListConfigResourcesRequest, ListConfigResourcesResponse, ListGroupsRequest, ListGroupsResponse,
        ListOffsetsRequest, ListOffsetsResponse, ListPartitionReassignmentsRequest,
        ListPartitionReassignmentsResponse, MetadataRequest, MetadataResponse, OffsetCommitRequest,
        OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
        OffsetFetchResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ProduceRequest,
        ProduceResponse, ProducerId, PushTelemetryRequest, PushTelemetryResponse, SyncGroupRequest,
        SyncGroupResponse, TopicName, TransactionalId, UpdateFeaturesRequest, UpdateFeaturesResponse,
        alter_configs_request, alter_configs_response, alter_partition_reassignments_request,
        alter_partition_reassignments_response, api_versions_request, api_versions_response,
        consumer_group_describe_request, consumer_group_describe_response, consumer_group_heartbeat_request,
        consumer_group_heartbeat_response, create_acls_request, create_acls_response,
        create_partitions_request, create_partitions_response, create_topics_request, create_topics_response,
        delete_acls_request, delete_acls_response, delete_groups_request, delete_groups_response,
        delete_records_request, delete_records_response, delete_topics_request, delete_topics_response,
        describe_acls_request, describe_acls_response, describe_client_quotas_request,
        describe_client_quotas_response, describe_cluster_request, describe_cluster_response,
        describe_configs_request, describe_configs_response, describe_groups_request,
        describe_groups_response, describe_log_dirs_request, describe_log_dirs_response,
        describe_producers_request, describe_producers_response, describe_quorum_request,
        describe_quorum_response, describe_topic_partitions_request, describe_topic_partitions_response,
        describe_user_scram_credentials_request, describe_user_scram_credentials_response,
        elect_leaders_request, elect_leaders_response, fetch_request, fetch_response,
        find_coordinator_request, find_coordinator_response, get_telemetry_subscriptions_request,
        get_telemetry_subscriptions_response, heartbeat_request, heartbeat_response,
        incremental_alter_configs_request, incremental_alter_configs_response, init_producer_id_request,
        init_producer_id_response, join_group_request, join_group_response, leave_group_request,
        leave_group_response, list_config_resources_request, list_config_resources_response,
        list_groups_request, list_groups_response, list_offsets_request, list_offsets_response,
        list_partition_reassignments_request, list_partition_reassignments_response, metadata_request,
        metadata_response, offset_commit_request, offset_commit_response, offset_delete_request,
        offset_delete_response, offset_fetch_request, offset_fetch_response, offset_for_leader_epoch_request,
        offset_for_leader_epoch_response, produce_request, produce_response, push_telemetry_request,
        push_telemetry_response, sync_group_request, sync_group_response, update_features_request,
        update_features_response,
    },
    protocol::{Request, StrBytes},
};

use crate::{
    api::Api,
    frame::{self, FrameError, RequestHeader},
    shape::{self, ShapeError},
    wire::WireError,
};

/// Why a body could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The API table has no such API or version.
    #[error("api key {api_key} version {version} is not known")]
    Unknown {
        /// The API's key.
        api_key: i16,
        /// The version.
        version: i16,
    },
    /// The header is malformed.
    #[error("header is malformed: {0}")]
    Header(#[from] WireError),
    /// The body's counts and lengths do not fit its bytes. Nothing was allocated for it.
    #[error("body is malformed: {0}")]
    Shape(#[from] ShapeError),
    /// The body is malformed.
    #[error("body is malformed: {0}")]
    Body(String),
}

/// Why a message could not be encoded: it says what its version cannot, or is too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The API table has no such API or version.
    #[error("api key {api_key} version {version} is not known")]
    Unknown {
        /// The API's key.
        api_key: i16,
        /// The version.
        version: i16,
    },
    /// A field holds what the version cannot carry.
    #[error("message cannot be encoded: {0}")]
    Body(String),
    /// The frame is too long.
    #[error("message cannot be encoded: {0}")]
    Frame(#[from] FrameError),
}

/// Decodes a request's body. No count in it can make this allocate more than the body's bytes bear out.
///
/// # Errors
/// [`DecodeError`] when the version is not listed or the body is malformed.
pub fn decode_request<R: Request>(body: Bytes, version: i16) -> Result<R, DecodeError> {
    let api = listed(R::KEY, version).ok_or(DecodeError::Unknown { api_key: R::KEY, version })?;
    let (body, version) = match old_produce::request(api.key, version, &body) {
        Some(lifted) => (lifted, old_produce::VERSION),
        None => (body, version),
    };
    shape::check_request(api, version, &body)?;
    decode(body, version)
}

/// Encodes the response to a request of type `R` as a whole frame, length included. Produce has a function of its own:
/// [`encode_produce_response`].
///
/// # Errors
/// [`EncodeError`] when the response does not fit the version.
pub fn encode_response<R: Request>(
    response: &R::Response,
    version: i16,
    correlation_id: i32,
) -> Result<Bytes, EncodeError> {
    let api = listed(R::KEY, version).ok_or(EncodeError::Unknown { api_key: R::KEY, version })?;
    let bytes = response.compute_size(version).map_err(|e| EncodeError::Body(e.to_string()))?;
    let mut frame = frame::start_response(api, version, correlation_id, bytes);
    response.encode(&mut frame, version).map_err(|e| EncodeError::Body(e.to_string()))?;
    Ok(frame::finish_frame(frame)?)
}

/// Encodes a request as a whole frame, length included.
///
/// # Errors
/// [`EncodeError`] when the request does not fit the version.
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&StrBytes>,
) -> Result<Bytes, EncodeError> {
    let api = listed(R::KEY, version).ok_or(EncodeError::Unknown { api_key: R::KEY, version })?;
    let bytes = request.compute_size(version).map_err(|e| EncodeError::Body(e.to_string()))?;
    let header = RequestHeader { api, version, correlation_id, client_id: client_id.cloned() };
    let mut frame = frame::start_request(&header, bytes);
    request.encode(&mut frame, version).map_err(|e| EncodeError::Body(e.to_string()))?;
    Ok(frame::finish_frame(frame)?)
}

/// Decodes the response to a request of type `R` from its frame (without the length). The caller has matched the
/// frame to the request by [`frame::response_correlation_id`]. As safe as [`decode_request`].
///
/// # Errors
/// [`DecodeError`] when the version is not listed or the frame is malformed.
pub fn decode_response<R: Request>(frame: &Bytes, version: i16) -> Result<R::Response, DecodeError> {
    let api = listed(R::KEY, version).ok_or(DecodeError::Unknown { api_key: R::KEY, version })?;
    let body = frame::response_body(frame, api, version)?;
    shape::check_response(api, version, &body)?;
    decode(body, version)
}

fn listed(api_key: i16, version: i16) -> Option<&'static Api> {
    Api::find(api_key).filter(|api| api.supports(version))
}

/// Bytes after the message are passed over, as Kafka does.
fn decode<T: Decodable>(mut body: Bytes, version: i16) -> Result<T, DecodeError> {
    T::decode(&mut body, version).map_err(|e| DecodeError::Body(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FRAME_LENGTH_BYTES, decode_request_header, response_correlation_id};

    fn metadata() -> MetadataRequest {
        let name = TopicName(StrBytes::from_static_str("flights"));
        let topic = metadata_request::MetadataRequestTopic::default().with_name(Some(name));
        MetadataRequest::default().with_topics(Some(vec![topic]))
    }

    #[test]
    fn requests_and_responses_are_read_back_in_every_version() {
        for version in 0..=13 {
            let client_id = StrBytes::from_static_str("test");
            let frame = encode_request(&metadata(), version, 9, Some(&client_id)).expect("it fits");
            let frame = frame.slice(FRAME_LENGTH_BYTES..);
            let (header, body) = decode_request_header(&frame).expect("a sound header");
            assert_eq!((header.api.key.code(), header.version, header.correlation_id), (3, version, 9));
            assert_eq!(header.client_id, Some(client_id));
            assert_eq!(decode_request::<MetadataRequest>(body, version), Ok(metadata()));

            let response =
                MetadataResponse::default().with_controller_id(BrokerId(if version == 0 { -1 } else { 4 }));
            let frame = encode_response::<MetadataRequest>(&response, version, 9).expect("it fits");
            let frame = frame.slice(FRAME_LENGTH_BYTES..);
            assert_eq!(response_correlation_id(&frame), Ok(9));
            let read = decode_response::<MetadataRequest>(&frame, version).expect("a sound response");
            assert_eq!(read.controller_id, response.controller_id);
        }
    }

    #[test]
    fn versions_outside_the_table_are_refused() {
        let unknown = DecodeError::Unknown { api_key: 3, version: 14 };
        assert_eq!(decode_request::<MetadataRequest>(Bytes::new(), 14), Err(unknown));
        let unknown = EncodeError::Unknown { api_key: 3, version: -1 };
        assert_eq!(encode_request(&metadata(), -1, 0, None), Err(unknown));
    }

    #[test]
    fn a_body_that_is_cut_short_is_refused() {
        let frame = encode_request(&metadata(), 12, 9, None).expect("it fits").slice(FRAME_LENGTH_BYTES..);
        let (_, body) = decode_request_header(&frame).expect("a sound header");
        for len in 0..body.len() {
            let cut = decode_request::<MetadataRequest>(body.slice(..len), 12);
            assert!(matches!(cut, Err(DecodeError::Shape(_))), "{len}: {cut:?}");
        }
    }
}
