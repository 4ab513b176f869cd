//! Kafka's APIs, one file each. A request is decoded, asked of the broker, and answered; wire structs live and die
//! here. The API table decides what is served; this module decides how.

mod acls;
mod alter_configs;
mod alter_partition_reassignments;
mod api_versions;
mod configs;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod errors;
mod features;
mod fetch;
mod find_coordinator;
mod get_telemetry_subscriptions;
mod group_settings;
mod groups;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod placement;
mod produce;
mod push_telemetry;
mod sync_group;
mod topics;
mod update_features;

use std::{fmt, future::Future, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use ebb_protocol::{
    api::ApiKey,
    error::NO_ERROR,
    frame::{HeaderError, RequestHeader, decode_request_header},
    ids::AgentId,
    messages::{Request, StrBytes, decode_request, encode_response},
};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::errors::Failure;
use crate::{
    broker::Broker,
    config::TopicDefaults,
    connection::{Charge, ConnectionError, Intake, Peer, Reply},
    groups::Groups,
    metrics::{Metrics, Transport},
    peers::Peers,
};

/// What is told of the cluster was so at most this long ago: an agent that nobody talks to looks at no log, and may have
/// slept through whatever others did.
const AGE_MAX: Duration = Duration::from_secs(1);

/// A request waits at most this long for a look at the log. Then it is answered with what is known.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Answers the requests of one transport.
#[derive(Clone)]
pub(crate) struct Handlers {
    /// What the requests are asked of.
    pub(crate) broker: Arc<Broker>,
    /// What requests about groups are asked of.
    pub(crate) groups: Arc<Groups>,
    /// Sees to it that the agents exist to which clients are sent.
    pub(crate) peers: Arc<Peers>,
    /// This agent, which clients are told to ask in doubt.
    pub(crate) agent: AgentId,
    /// How the clients came, which decides the addresses that they are given.
    pub(crate) transport: Transport,
    /// What a topic gets that nobody described.
    pub(crate) topics: TopicDefaults,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Fires when waiting requests are to be cut short.
    pub(crate) draining: CancellationToken,
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").field("transport", &self.transport).finish_non_exhaustive()
    }
}

/// A request on its way through a handler.
#[derive(Clone, Debug)]
struct Call {
    handlers: Arc<Handlers>,
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    /// The client's name for itself; empty when it gives none. A copy: it must not keep the frame in memory.
    client_id: Arc<str>,
    /// Where it came from.
    peer: IpAddr,
    /// The frame's share of the byte budget.
    charge: Charge,
}

impl Call {
    fn broker(&self) -> &Broker {
        &self.handlers.broker
    }

    /// The error code of a failure, which is counted. Every code that a client gets passes here.
    fn refuse(&self, failure: &Failure) -> i16 {
        self.handlers.metrics.refused(self.api, failure.code);
        tracing::debug!(api = %self.api, code = failure.code.code(), message = %failure.message, "refused");
        failure.code.code()
    }

    /// Code and message of a result, for responses that carry both.
    fn outcome<T>(&self, result: &Result<T, Failure>) -> (i16, Option<StrBytes>) {
        match result {
            Ok(_) => (NO_ERROR, None),
            Err(failure) => (self.refuse(failure), Some(failure.text())),
        }
    }

    fn encode<R: Request>(&self, response: &R::Response) -> Result<Bytes, ConnectionError> {
        Ok(encode_response::<R>(response, self.version, self.correlation_id)?)
    }
}

impl Intake for Arc<Handlers> {
    async fn take_in(&self, peer: Peer, frame: Bytes, charge: Charge) -> Result<Reply, ConnectionError> {
        let (header, body) = match decode_request_header(&frame) {
            Err(HeaderError::UnsupportedVersion { api: ApiKey::ApiVersions, correlation_id, .. }) => {
                let frame = api_versions::answer_unsupported(correlation_id)?;
                return Ok(async move { Ok(Some(frame)) }.boxed());
            }
            header => header?,
        };
        self.metrics.request(header.api);
        let call = Call {
            handlers: self.clone(),
            api: header.api.key,
            version: header.version,
            correlation_id: header.correlation_id,
            client_id: header.client_id.as_deref().unwrap_or_default().into(),
            peer: peer.address,
            charge,
        };
        dispatch(call, &header, body).await
    }
}

/// Hands a request to its API's file. Only a Produce and an OffsetCommit have work to do before the next request is read.
async fn dispatch(call: Call, header: &RequestHeader, body: Bytes) -> Result<Reply, ConnectionError> {
    match header.api.key {
        ApiKey::Produce => produce::take_in(call, body).await,
        ApiKey::Fetch => fetch::take_in(call, body),
        ApiKey::ListOffsets => later(call, body, list_offsets::answer),
        ApiKey::Metadata => current(call, body, metadata::answer),
        ApiKey::OffsetCommit => offset_commit::take_in(call, body).await,
        ApiKey::OffsetFetch => later(call, body, offset_fetch::answer),
        ApiKey::FindCoordinator => later(call, body, find_coordinator::answer),
        ApiKey::JoinGroup => later(call, body, join_group::answer),
        ApiKey::Heartbeat => later(call, body, heartbeat::answer),
        ApiKey::LeaveGroup => later(call, body, leave_group::answer),
        ApiKey::SyncGroup => later(call, body, sync_group::answer),
        ApiKey::DescribeGroups => later(call, body, describe_groups::answer),
        ApiKey::ListGroups => current(call, body, list_groups::answer),
        ApiKey::ApiVersions => later(call, body, api_versions::answer),
        ApiKey::CreateTopics => later(call, body, create_topics::answer),
        ApiKey::DeleteTopics => later(call, body, delete_topics::answer),
        ApiKey::DeleteRecords => later(call, body, delete_records::answer),
        ApiKey::InitProducerId => later(call, body, init_producer_id::answer),
        ApiKey::OffsetForLeaderEpoch => later(call, body, offset_for_leader_epoch::answer),
        ApiKey::DescribeAcls => later(call, body, acls::describe),
        ApiKey::CreateAcls => later(call, body, acls::create),
        ApiKey::DeleteAcls => later(call, body, acls::delete),
        ApiKey::DescribeConfigs => current(call, body, describe_configs::answer),
        ApiKey::AlterConfigs => later(call, body, alter_configs::answer),
        ApiKey::DescribeLogDirs => current(call, body, describe_log_dirs::answer),
        ApiKey::CreatePartitions => later(call, body, create_partitions::answer),
        ApiKey::DeleteGroups => later(call, body, delete_groups::answer),
        ApiKey::ElectLeaders => later(call, body, elect_leaders::answer),
        ApiKey::IncrementalAlterConfigs => later(call, body, incremental_alter_configs::answer),
        ApiKey::AlterPartitionReassignments => later(call, body, alter_partition_reassignments::answer),
        ApiKey::ListPartitionReassignments => later(call, body, list_partition_reassignments::answer),
        ApiKey::OffsetDelete => later(call, body, offset_delete::answer),
        ApiKey::DescribeClientQuotas => later(call, body, describe_client_quotas::answer),
        ApiKey::DescribeUserScramCredentials => later(call, body, describe_user_scram_credentials::answer),
        ApiKey::DescribeQuorum => later(call, body, describe_quorum::answer),
        ApiKey::UpdateFeatures => later(call, body, update_features::answer),
        ApiKey::DescribeCluster => current(call, body, describe_cluster::answer),
        ApiKey::DescribeProducers => current(call, body, describe_producers::answer),
        ApiKey::ConsumerGroupHeartbeat => later(call, body, consumer_group_heartbeat::answer),
        ApiKey::ConsumerGroupDescribe => later(call, body, consumer_group_describe::answer),
        ApiKey::GetTelemetrySubscriptions => later(call, body, get_telemetry_subscriptions::answer),
        ApiKey::PushTelemetry => later(call, body, push_telemetry::answer),
        ApiKey::ListConfigResources => current(call, body, list_config_resources::answer),
        ApiKey::DescribeTopicPartitions => current(call, body, describe_topic_partitions::answer),
    }
}

/// A request about what there is in the cluster, which another agent may have changed. Answered later, from a state that
/// is not old, as long as the log can be reached.
fn current<R, F, A>(call: Call, body: Bytes, answer: F) -> Result<Reply, ConnectionError>
where
    R: Request + Send + 'static,
    R::Response: Send,
    F: FnOnce(Call, R) -> A + Send + 'static,
    A: Future<Output = R::Response> + Send,
{
    later(call, body, move |call: Call, request| async move {
        if !call.broker().metastore().catch_up(AGE_MAX, LOOK_MAX).await {
            tracing::debug!(api = %call.api, "the log does not answer in time; what is told may be old");
        }
        answer(call, request).await
    })
}

/// A request that is answered when its turn comes.
fn later<R, F, A>(call: Call, body: Bytes, answer: F) -> Result<Reply, ConnectionError>
where
    R: Request + Send + 'static,
    R::Response: Send,
    F: FnOnce(Call, R) -> A + Send + 'static,
    A: Future<Output = R::Response> + Send,
{
    let request = decode_request::<R>(body, call.version)?;
    let span = tracing::debug_span!("request", api = %call.api);
    let reply = async move {
        let response = answer(call.clone(), request).await;
        Ok(Some(call.encode::<R>(&response)?))
    };
    Ok(reply.instrument(span).boxed())
}
