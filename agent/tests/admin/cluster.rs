//! What consoles and tools ask of the cluster as a whole: leaders, reassignments, directories, producers, quorum,
//! features, access rules and quotas, with Kafka's codes.

use ebb_protocol::{
    batch::Compression,
    error::ResponseError,
    messages::{
        AlterPartitionReassignmentsRequest, BrokerId, CreateAclsRequest, DeleteAclsRequest,
        DescribeAclsRequest, DescribeClientQuotasRequest, DescribeLogDirsRequest, DescribeProducersRequest,
        DescribeQuorumRequest, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
        DescribeUserScramCredentialsRequest, ElectLeadersRequest, InitProducerIdRequest,
        ListPartitionReassignmentsRequest, ProducerId, UpdateFeaturesRequest,
        alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic},
        create_acls_request::AclCreation,
        delete_acls_request::DeleteAclsFilter,
        describe_client_quotas_request::ComponentData,
        describe_log_dirs_request::DescribableLogDirTopic,
        describe_producers_request::TopicRequest,
        describe_quorum_request::{PartitionData, TopicData},
        describe_topic_partitions_request::{Cursor, TopicRequest as TopicPartitions},
        describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic,
        describe_user_scram_credentials_request::UserName,
        elect_leaders_request,
        update_features_request::FeatureUpdateKey,
    },
};

use super::{
    common::{Fixture, batch, build, now, topic_name},
    text,
};

const UNKNOWN: ResponseError = ResponseError::UnknownTopicOrPartition;

#[tokio::test]
async fn leaders_need_no_election() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let topic = |name: &str, partitions: &[i32]| {
        elect_leaders_request::TopicPartitions::default()
            .with_topic(topic_name(name))
            .with_partitions(partitions.to_vec())
    };
    let request = ElectLeadersRequest::default()
        .with_topic_partitions(Some(vec![topic("t", &[0, 1]), topic("missing", &[0])]));
    for version in 0..=2 {
        let response = client.call(&request, version).await;
        let results = response.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
        let codes: Vec<_> = results.map(|result| result.error_code).collect();
        let needless = ResponseError::ElectionNotNeeded.code();
        assert_eq!(codes, [needless, UNKNOWN.code(), UNKNOWN.code()], "version {version}");
        let all = client.call(&ElectLeadersRequest::default().with_topic_partitions(None), version).await;
        assert_eq!((all.error_code, all.replica_election_results.len()), (0, 0));
    }
    let strange = client.call(&request.with_election_type(2), 2).await;
    assert_eq!(strange.error_code, ResponseError::InvalidRequest.code());
}

#[tokio::test]
async fn partitions_cannot_be_moved() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let ask = |name: &str, partition: i32, replicas: Option<&[i32]>| {
        let partition = ReassignablePartition::default()
            .with_partition_index(partition)
            .with_replicas(replicas.map(|ids| ids.iter().map(|id| BrokerId(*id)).collect()));
        let topic = ReassignableTopic::default().with_name(topic_name(name)).with_partitions(vec![partition]);
        AlterPartitionReassignmentsRequest::default().with_topics(vec![topic])
    };
    let invalid = ResponseError::InvalidReplicaAssignment.code();
    for (request, expect) in [
        (ask("t", 0, Some(&[0])), 0),
        (ask("t", 0, Some(&[0, 1])), invalid),
        (ask("t", 0, Some(&[])), invalid),
        (ask("t", 0, None), ResponseError::NoReassignmentInProgress.code()),
        (ask("t", 1, Some(&[0])), UNKNOWN.code()),
        (ask("missing", 0, Some(&[0])), UNKNOWN.code()),
    ] {
        for version in 0..=1 {
            let response = client.call(&request, version).await;
            assert_eq!(response.error_code, 0);
            assert_eq!(response.responses[0].partitions[0].error_code, expect, "{request:?}");
        }
    }
    let listed = client.call(&ListPartitionReassignmentsRequest::default().with_topics(None), 0).await;
    assert_eq!((listed.error_code, listed.topics.len()), (0, 0));
}

#[tokio::test]
async fn the_bucket_is_the_only_log_directory() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 2, &[]).await;
    let record = batch(&["a"]);
    let bytes = i64::try_from(record.len()).expect("it is small");
    client.produce("t", record, 9).await;
    let only = |name: &str, partitions: &[i32]| {
        DescribableLogDirTopic::default().with_topic(topic_name(name)).with_partitions(partitions.to_vec())
    };
    let some = vec![only("t", &[0, 7]), only("missing", &[0])];
    for version in 1..=4 {
        for (topics, expect) in [
            (None, vec![(0, bytes), (1, 0)]),
            (Some(some.clone()), vec![(0, bytes)]),
            (Some(Vec::new()), vec![]),
        ] {
            let response = client.call(&DescribeLogDirsRequest::default().with_topics(topics), version).await;
            assert_eq!((response.error_code, response.results.len()), (0, 1), "version {version}");
            let partitions = response.results[0].topics.iter().flat_map(|topic| &topic.partitions);
            let sizes: Vec<_> = partitions.map(|at| (at.partition_index, at.partition_size)).collect();
            assert_eq!(sizes, expect, "version {version}");
            assert_eq!((response.results[0].total_bytes, response.results[0].usable_bytes), (-1, -1));
        }
    }
}

#[tokio::test]
async fn producers_of_a_partition_are_told() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let idempotent = build(&["a", "b"], now(), Compression::None, Some((0, 0, 0)));
    let init = InitProducerIdRequest::default()
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
        .with_transactional_id(None);
    assert_eq!(client.call(&init, 4).await.producer_id, ProducerId(0));
    assert_eq!(client.produce("t", idempotent.bytes().clone(), 9).await.error_code, 0);
    let topic = |name: &str, partitions: &[i32]| {
        TopicRequest::default().with_name(topic_name(name)).with_partition_indexes(partitions.to_vec())
    };
    let request =
        DescribeProducersRequest::default().with_topics(vec![topic("t", &[0, 1]), topic("missing", &[0])]);
    let response = client.call(&request, 0).await;
    let partitions: Vec<_> = response.topics.iter().flat_map(|topic| &topic.partitions).collect();
    let codes: Vec<_> = partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(codes, [0, UNKNOWN.code(), UNKNOWN.code()]);
    let [producer] = &partitions[0].active_producers[..] else { panic!("one producer was there") };
    assert_eq!((producer.producer_id.0, producer.producer_epoch, producer.last_sequence), (0, 0, 1));
    assert_eq!((producer.coordinator_epoch, producer.current_txn_start_offset), (-1, -1));
    assert!(producer.last_timestamp > 0);
}

#[tokio::test]
async fn the_commit_log_stands_in_for_a_quorum() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    let ask = |name: &str, partition: i32| {
        let partition = PartitionData::default().with_partition_index(partition);
        let topic = TopicData::default().with_topic_name(topic_name(name)).with_partitions(vec![partition]);
        DescribeQuorumRequest::default().with_topics(vec![topic])
    };
    for version in 0..=2 {
        let response = client.call(&ask("__cluster_metadata", 0), version).await;
        let partition = &response.topics[0].partitions[0];
        assert_eq!((response.error_code, partition.error_code, partition.leader_id), (0, 0, BrokerId(0)));
        assert!(partition.high_watermark > 0, "the agent's registration is an entry");
        let [voter] = &partition.current_voters[..] else { panic!("one agent is live") };
        assert_eq!((voter.replica_id, voter.log_end_offset), (BrokerId(0), partition.high_watermark));
        assert_eq!(response.nodes.len(), usize::from(version >= 2));
        let listeners = response.nodes.iter().flat_map(|node| &node.listeners);
        assert!(
            listeners.map(|listener| &*listener.name).all(|name| name == "KAFKA"),
            "the JVM client wants capitals"
        );
        for other in [ask("__cluster_metadata", 1), ask("t", 0)] {
            let response = client.call(&other, version).await;
            assert_eq!(response.topics[0].partitions[0].error_code, UNKNOWN.code());
        }
    }
}

#[tokio::test]
async fn features_have_one_level() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    let update = |name: &str, level: i16| {
        let update = FeatureUpdateKey::default()
            .with_feature(text(name))
            .with_max_version_level(level)
            .with_upgrade_type(1);
        UpdateFeaturesRequest::default().with_feature_updates(vec![update])
    };
    for version in 0..=2 {
        let same = client.call(&update("metadata.version", 27), version).await;
        assert_eq!((same.error_code, same.results.len()), (0, usize::from(version < 2)));
        for request in [update("metadata.version", 26), update("metadata.version", 0), update("wings", 1)] {
            let refused = client.call(&request, version).await;
            assert_eq!(refused.error_code, ResponseError::InvalidUpdateVersion.code(), "{request:?}");
            assert!(refused.error_message.is_some());
        }
    }
}

#[tokio::test]
async fn there_are_no_access_rules_quotas_or_users() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    let disabled = ResponseError::SecurityDisabled.code();
    for version in 1..=3 {
        assert_eq!(client.call(&DescribeAclsRequest::default(), version).await.error_code, disabled);
        // Version 1 knows literal names (3) only; that is the default.
        let creation = AclCreation::default().with_resource_name(text("t"));
        let created = client
            .call(&CreateAclsRequest::default().with_creations(vec![creation.clone(), creation]), version)
            .await;
        assert_eq!(created.results.iter().map(|result| result.error_code).collect::<Vec<_>>(), [disabled; 2]);
        let filter = DeleteAclsFilter::default();
        let deleted = client.call(&DeleteAclsRequest::default().with_filters(vec![filter]), version).await;
        assert_eq!(deleted.filter_results[0].error_code, disabled);
    }
    for version in 0..=1 {
        let ask = |match_type| {
            let component =
                ComponentData::default().with_entity_type(text("user")).with_match_type(match_type);
            DescribeClientQuotasRequest::default().with_components(vec![component])
        };
        let quotas = client.call(&ask(2), version).await;
        assert_eq!((quotas.error_code, quotas.entries), (0, Some(Vec::new())));
        assert_eq!(client.call(&ask(3), version).await.error_code, ResponseError::InvalidRequest.code());
    }
    let all = client.call(&DescribeUserScramCredentialsRequest::default().with_users(None), 0).await;
    assert_eq!((all.error_code, all.results.len()), (0, 0));
    let one = DescribeUserScramCredentialsRequest::default()
        .with_users(Some(vec![UserName::default().with_name(text("anna"))]));
    let one = client.call(&one, 0).await;
    assert_eq!(one.results[0].error_code, ResponseError::ResourceNotFound.code());
}

/// What a page holds: topics with code and partitions, and the cursor.
type Page = (Vec<(String, i16, Vec<i32>)>, Option<(String, i32)>);

fn page(response: &DescribeTopicPartitionsResponse) -> Page {
    let topic = |topic: &DescribeTopicPartitionsResponseTopic| {
        let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
        (name, topic.error_code, topic.partitions.iter().map(|at| at.partition_index).collect())
    };
    let cursor = response.next_cursor.as_ref();
    let cursor = cursor.map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
    (response.topics.iter().map(topic).collect(), cursor)
}

#[tokio::test]
async fn topics_are_described_page_by_page() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    for (name, partitions) in [("b", 3), ("a", 2), ("c", 1)] {
        client.create_topic(name, partitions, &[]).await;
    }
    let ask = |names: &[&str], limit: i32, cursor: Option<(&str, i32)>| {
        let topic = |name: &&str| TopicPartitions::default().with_name(topic_name(name));
        let cursor = cursor.map(|(name, partition)| {
            Cursor::default().with_topic_name(topic_name(name)).with_partition_index(partition)
        });
        DescribeTopicPartitionsRequest::default()
            .with_topics(names.iter().map(topic).collect())
            .with_response_partition_limit(limit)
            .with_cursor(cursor)
    };
    let told = |name: &str, partitions: &[i32]| (name.to_owned(), 0, partitions.to_vec());
    let failed = |name: &str, error: ResponseError| (name.to_owned(), error.code(), Vec::new());
    let next = |name: &str, partition| Some((name.to_owned(), partition));
    let whole = vec![told("a", &[0, 1]), told("b", &[0, 1, 2]), told("c", &[0])];
    let invalid = ResponseError::InvalidRequest;
    for (request, expect) in [
        (ask(&[], 2_000, None), (whole.clone(), None)),
        (ask(&[], 6, None), (whole, None)),
        (ask(&[], 2, None), (vec![told("a", &[0, 1])], next("b", 0))),
        (ask(&[], 3, None), (vec![told("a", &[0, 1]), told("b", &[0])], next("b", 1))),
        (ask(&[], 3, Some(("b", 1))), (vec![told("b", &[1, 2]), told("c", &[0])], None)),
        (ask(&[], 0, Some(("b", 2))), (vec![told("b", &[2])], next("c", 0))),
        // The cursor's topic was deleted since: the page begins with the one after it.
        (ask(&[], 9, Some(("bb", 4))), (vec![told("c", &[0])], None)),
        (
            ask(&["c", "x", "a"], 9, None),
            (vec![told("a", &[0, 1]), told("c", &[0]), failed("x", UNKNOWN)], None),
        ),
        (ask(&["b", "c"], 9, Some(("c", 0))), (vec![told("c", &[0])], None)),
        (ask(&["b"], 9, Some(("c", 0))), (vec![failed("b", invalid), failed("c", invalid)], None)),
        (ask(&["b"], 9, Some(("b", -1))), (vec![failed("b", invalid)], None)),
    ] {
        assert_eq!(page(&client.call(&request, 0).await), expect, "{request:?}");
    }
    let response = client.call(&ask(&["c"], 9, None), 0).await;
    let partition = &response.topics[0].partitions[0];
    assert!(!response.topics[0].topic_id.is_nil());
    assert_eq!(
        (partition.leader_id, &partition.replica_nodes, &partition.isr_nodes),
        (BrokerId(0), &vec![BrokerId(0)], &vec![BrokerId(0)])
    );
}
