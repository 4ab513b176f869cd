//! Metadata and the administrative APIs over sockets, in every version, with the errors that clients get.

mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod configs;
mod others;
mod telemetry;

use common::{Fixture, create_topics, topic_name};
use ebb_protocol::{
    api::APIS,
    error::ResponseError,
    messages::{
        ApiVersionsRequest, BrokerId, CreatePartitionsRequest, DeleteTopicsRequest, DescribeClusterRequest,
        MetadataRequest, MetadataResponse, StrBytes,
        create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic},
        create_topics_request::CreatableReplicaAssignment,
        delete_topics_request::DeleteTopicState,
        metadata_request::MetadataRequestTopic,
    },
};
use uuid::Uuid;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Metadata for these topics; for all when there are none.
fn metadata(names: Option<&[&str]>, create: bool) -> MetadataRequest {
    let topic = |name: &&str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    MetadataRequest::default()
        .with_topics(names.map(|names| names.iter().map(topic).collect()))
        .with_allow_auto_topic_creation(create)
}

fn topics(response: &MetadataResponse) -> Vec<(String, i16, usize)> {
    let topic = |topic: &ebb_protocol::messages::metadata_response::MetadataResponseTopic| {
        let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
        (name, topic.error_code, topic.partitions.len())
    };
    response.topics.iter().map(topic).collect()
}

#[tokio::test]
async fn api_versions_tells_the_table() {
    let fixture = Fixture::start().await;
    for mut client in fixture.both().await {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(text("librdkafka"))
            .with_client_software_version(text("2.12.1"));
        for version in 0..=4 {
            let request = if version < 3 { ApiVersionsRequest::default() } else { request.clone() };
            let response = client.call(&request, version).await;
            assert_eq!(response.error_code, 0);
            let listed: Vec<_> =
                response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
            let table: Vec<_> = APIS.iter().map(|api| (api.key.code(), api.min, api.max)).collect();
            assert_eq!(listed, table);
            let features: Vec<_> = response
                .finalized_features
                .iter()
                .map(|feature| (feature.name.to_string(), feature.max_version_level))
                .collect();
            if version < 3 {
                assert_eq!(features, []);
                continue;
            }
            assert_eq!(features, [("group.version".to_owned(), 1), ("metadata.version".to_owned(), 27)]);
            let supported = &response.supported_features[1];
            assert_eq!((supported.min_version, supported.max_version), (27, 27));
            assert_eq!(response.finalized_features_epoch, 0, "-1 would make them unknown");
        }
        let response = client.call(&request.with_client_software_name(text("not a name!")), 3).await;
        assert_eq!(response.error_code, ResponseError::InvalidRequest.code());
    }
}

#[tokio::test]
async fn metadata_names_this_agent_by_the_clients_own_transport() {
    let fixture = Fixture::start().await;
    let ports = [fixture.agent.addresses().kafka, fixture.agent.addresses().quic];
    for (port, mut client) in ports.into_iter().zip(fixture.both().await) {
        let port = i32::from(port.expect("it listens").port());
        let response = client.call(&metadata(None, false), 12).await;
        let brokers: Vec<_> =
            response.brokers.iter().map(|b| (b.node_id, b.host.to_string(), b.port)).collect();
        assert_eq!(brokers, [(BrokerId(0), "127.0.0.1".to_owned(), port)]);
        assert_eq!(response.controller_id, BrokerId(0));
        let cluster = response.cluster_id.expect("the cluster has an id");
        for version in 0..=2 {
            let described = client.call(&DescribeClusterRequest::default(), version).await;
            assert_eq!((described.error_code, &described.cluster_id), (0, &cluster));
            assert_eq!((described.brokers[0].broker_id, described.brokers[0].port), (BrokerId(0), port));
        }
        let described = client.call(&DescribeClusterRequest::default().with_endpoint_type(2), 1).await;
        assert_eq!(described.error_code, ResponseError::MismatchedEndpointType.code());
    }
}

#[tokio::test]
async fn metadata_describes_topics_and_creates_those_it_may() {
    let fixture = Fixture::with(|config| config.topics.partitions = 3).await;
    let mut client = fixture.tcp().await;
    client.create_topic("flights", 2, &[]).await;
    let id = client.call(&metadata(Some(&["flights"]), false), 12).await.topics[0].topic_id;
    for version in 0..=13 {
        // Version 0 has no null: there the empty list means all.
        let all = if version == 0 { metadata(Some(&[]), true) } else { metadata(None, true) };
        let response = client.call(&all, version).await;
        assert_eq!(topics(&response), [("flights".to_owned(), 0, 2)], "version {version}");
        let partition = &response.topics[0].partitions[1];
        assert_eq!((partition.partition_index, partition.leader_id), (1, BrokerId(0)));
        assert_eq!(
            (&partition.replica_nodes, &partition.isr_nodes),
            (&vec![BrokerId(0)], &vec![BrokerId(0)])
        );
        if version >= 10 {
            assert_eq!(response.topics[0].topic_id, id, "version {version}");
        }
        if version >= 1 {
            assert!(client.call(&metadata(Some(&[]), true), version).await.topics.is_empty());
        }
    }
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    let invalid = ResponseError::InvalidTopicException.code();
    let response = client.call(&metadata(Some(&["missing", "not/a/name"]), false), 9).await;
    assert_eq!(
        topics(&response),
        [("missing".to_owned(), unknown, 0), ("not/a/name".to_owned(), invalid, 0)]
    );
    let response = client.call(&metadata(Some(&["missing"]), true), 9).await;
    assert_eq!(topics(&response), [("missing".to_owned(), 0, 3)], "created with the default count");
    for (id, expect) in [(id, 0), (Uuid::from_u128(1), ResponseError::UnknownTopicId.code())] {
        // The JVM client writes an empty name beside an id.
        for name in [None, Some(topic_name(""))] {
            let topic = MetadataRequestTopic::default().with_name(name).with_topic_id(id);
            let response = client.call(&MetadataRequest::default().with_topics(Some(vec![topic])), 12).await;
            assert_eq!(response.topics[0].error_code, expect);
            let name = response.topics[0].name.as_ref().map(|name| name.0.to_string());
            assert_eq!(name.as_deref(), (expect == 0).then_some("flights"));
        }
    }
    let strict = Fixture::with(|config| config.topics.auto_create = false).await;
    let response = strict.tcp().await.call(&metadata(Some(&["missing"]), true), 9).await;
    assert_eq!(topics(&response), [("missing".to_owned(), unknown, 0)]);
}

#[tokio::test]
async fn topics_are_created_in_every_version() {
    let fixture = Fixture::start().await;
    let mut client = fixture.quic().await;
    for version in 2..=7 {
        let name = format!("v{version}");
        let request = create_topics(&name, 2, &[("retention.ms", "1000")]);
        let dry = client.call(&request.clone().with_validate_only(true), version).await;
        assert_eq!(dry.topics[0].error_code, 0);
        let created = client.call(&request, version).await.topics.remove(0);
        assert_eq!((created.error_code, created.error_message.as_deref()), (0, None));
        if version >= 5 {
            assert_eq!((created.num_partitions, created.replication_factor), (2, 1));
            let configs = created.configs.expect("they are told");
            let retention =
                configs.iter().find(|config| &*config.name == "retention.ms").expect("it is told");
            assert_eq!(retention.value.as_deref(), Some("1000"));
        }
        let again = client.call(&request, version).await;
        assert_eq!(again.topics[0].error_code, ResponseError::TopicAlreadyExists.code());
        let again = client.call(&request.with_validate_only(true), version).await;
        assert_eq!(again.topics[0].error_code, ResponseError::TopicAlreadyExists.code());
    }
}

#[tokio::test]
async fn topics_that_cannot_be_are_refused_and_not_created() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    for (name, partitions, configs, expect) in [
        ("not/a/name", 1, &[][..], ResponseError::InvalidTopicException),
        ("a", 0, &[], ResponseError::InvalidPartitions),
        ("a", -2, &[], ResponseError::InvalidPartitions),
        ("a", 1_000_000, &[], ResponseError::InvalidPartitions),
        ("a", 1, &[("no.such.key", "1")], ResponseError::InvalidConfig),
        ("a", 1, &[("retention.ms", "soon")], ResponseError::InvalidConfig),
    ] {
        let refused = client.call(&create_topics(name, partitions, configs), 7).await.topics.remove(0);
        assert_eq!(refused.error_code, expect.code(), "{name} {partitions} {configs:?}");
        assert!(refused.error_message.is_some_and(|message| !message.is_empty()));
    }
    let mut twice = create_topics("a", 1, &[]);
    twice.topics.push(twice.topics[0].clone());
    let response = client.call(&twice, 7).await;
    assert!(response.topics.iter().all(|topic| topic.error_code == ResponseError::InvalidRequest.code()));
    let mut factor = create_topics("a", 1, &[]);
    factor.topics[0].replication_factor = 0;
    let response = client.call(&factor, 7).await;
    assert_eq!(response.topics[0].error_code, ResponseError::InvalidReplicationFactor.code());
    let assigned = |indices: &[i32]| {
        let mut request = create_topics("assigned", -1, &[]);
        request.topics[0].replication_factor = -1;
        let assign = |index: &i32| {
            CreatableReplicaAssignment::default()
                .with_partition_index(*index)
                .with_broker_ids(vec![BrokerId(0)])
        };
        request.topics[0].assignments = indices.iter().map(assign).collect();
        request
    };
    let response = client.call(&assigned(&[0, 2]), 7).await;
    assert_eq!(response.topics[0].error_code, ResponseError::InvalidReplicaAssignment.code());
    assert!(client.call(&metadata(None, false), 9).await.topics.is_empty(), "nothing was created");
    assert_eq!(client.call(&assigned(&[1, 0]), 7).await.topics[0].num_partitions, 2);
}

#[tokio::test]
async fn partitions_are_added_and_never_taken_away() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 2, &[]).await;
    let ask = |name: &str, count: i32, assignments: Option<usize>| {
        let assign =
            |count| vec![CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(0)]); count];
        let topic = CreatePartitionsTopic::default()
            .with_name(topic_name(name))
            .with_count(count)
            .with_assignments(assignments.map(assign));
        CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(1_000)
    };
    for (request, version, expect) in [
        (ask("t", 9, None).with_validate_only(true), 0, 0),
        (ask("t", 3, None), 0, 0),
        (ask("t", 4, Some(1)), 1, 0),
        (ask("t", 6, Some(1)), 2, ResponseError::InvalidReplicaAssignment.code()),
        (ask("t", 4, None), 3, ResponseError::InvalidPartitions.code()),
        (ask("t", 1_000_000, None), 3, ResponseError::InvalidPartitions.code()),
        (ask("missing", 4, None), 3, ResponseError::UnknownTopicOrPartition.code()),
    ] {
        let response = client.call(&request, version).await;
        assert_eq!(response.results[0].error_code, expect, "{request:?}");
    }
    assert_eq!(topics(&client.call(&metadata(None, false), 9).await), [("t".to_owned(), 0, 4)]);
}

#[tokio::test]
async fn topics_are_deleted_by_name_and_by_id() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    for version in 1..=5 {
        client.create_topic("t", 1, &[]).await;
        let request = DeleteTopicsRequest::default()
            .with_topic_names(vec![topic_name("t"), topic_name("missing")])
            .with_timeout_ms(1_000);
        let response = client.call(&request, version).await;
        let codes: Vec<_> = response.responses.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [0, ResponseError::UnknownTopicOrPartition.code()], "version {version}");
    }
    client.create_topic("t", 1, &[]).await;
    let id = client.call(&metadata(None, false), 12).await.topics[0].topic_id;
    let by = |name: Option<&str>, id| {
        let topic = DeleteTopicState::default().with_name(name.map(topic_name)).with_topic_id(id);
        DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(1_000)
    };
    for (request, expect) in [
        (by(Some("t"), id), ResponseError::InvalidRequest.code()),
        (by(None, Uuid::from_u128(1)), ResponseError::UnknownTopicId.code()),
        (by(None, id), 0),
        (by(None, id), ResponseError::UnknownTopicId.code()),
    ] {
        assert_eq!(client.call(&request, 6).await.responses[0].error_code, expect, "{request:?}");
    }
    client.create_topic("t", 1, &[]).await;
    let again = client.call(&metadata(None, false), 12).await.topics[0].topic_id;
    assert_ne!(again, id, "a topic that is created again is another topic");
}
