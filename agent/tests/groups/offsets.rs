//! Coordinators, and offsets of groups without members: committing, reading, deleting, and what tools list.

use std::time::Duration;

use ebb_protocol::{
    error::ResponseError,
    messages::{
        ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
        HeartbeatRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
        offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
        offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic},
    },
};
use tokio::time::Instant;

use super::{
    commit, committed,
    common::{Fixture, topic_name},
    coordinator, fetched, group, text,
};

#[tokio::test]
async fn the_only_agent_coordinates_every_group() {
    let fixture = Fixture::start().await;
    let ports =
        [fixture.agent.addresses().kafka, fixture.agent.addresses().quic].map(|at| at.expect("bound").port());
    for (mut client, port) in fixture.both().await.into_iter().zip(ports) {
        for version in 0..4 {
            let request = FindCoordinatorRequest::default().with_key(text("g"));
            let found = client.call(&request, version).await;
            assert_eq!((found.error_code, found.node_id.0, found.port), (0, 0, i32::from(port)));
            assert_eq!(&*found.host, "127.0.0.1");
        }
        for version in 4..=6 {
            let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g"), text("h")]);
            let found = client.call(&request, version).await;
            let keys: Vec<_> = found.coordinators.iter().map(|found| &*found.key).collect();
            assert_eq!(keys, ["g", "h"]);
            assert!(found.coordinators.iter().all(|found| found.port == i32::from(port)));
        }
    }
}

#[tokio::test]
async fn coordinators_of_what_there_is_not_are_refused() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    for (key_type, expect) in [
        (1, ResponseError::TransactionalIdAuthorizationFailed),
        (2, ResponseError::InvalidRequest),
        (-1, ResponseError::InvalidRequest),
    ] {
        let request = FindCoordinatorRequest::default().with_key_type(key_type);
        let one = client.call(&request.clone().with_key(text("k")), 3).await;
        assert_eq!((one.error_code, one.node_id.0, one.port), (expect.code(), -1, -1), "type {key_type}");
        let many = client.call(&request.with_coordinator_keys(vec![text("k")]), 6).await;
        assert_eq!(many.coordinators[0].error_code, expect.code(), "type {key_type}");
    }
    assert_eq!(coordinator(&mut client, "g").await.error_code, 0);
}

#[tokio::test]
async fn offsets_are_committed_and_read_in_every_version() {
    let fixture = Fixture::start().await;
    for (mut client, name) in fixture.both().await.into_iter().zip(["a", "b"]) {
        let topic = format!("t-{name}");
        client.create_topic(&topic, 2, &[]).await;
        assert_eq!(fetched(&mut client, name, &topic).await, -1, "nobody knows the group");
        for version in 2..=9 {
            let offset = 10 + i64::from(version);
            assert_eq!(committed(&mut client, &commit(name, &topic, &[(0, offset)]), version).await, [0]);
            assert_eq!(fetched(&mut client, name, &topic).await, offset);
        }
        let wanted = OffsetFetchRequestTopic::default()
            .with_name(topic_name(&topic))
            .with_partition_indexes(vec![0, 1, 7]);
        let request =
            OffsetFetchRequest::default().with_group_id(group(name)).with_topics(Some(vec![wanted]));
        for version in 1..=7 {
            let response = client.call(&request, version).await;
            let partitions = response.topics[0].partitions.iter();
            let found: Vec<_> = partitions
                .map(|found| (found.error_code, found.committed_offset, found.metadata.as_deref()))
                .collect();
            assert_eq!(found, [(0, 19, Some("said")), (0, -1, Some("")), (0, -1, Some(""))]);
        }
        let all = client.call(&request.with_topics(None), 7).await;
        assert_eq!((all.topics.len(), all.topics[0].partitions.len()), (1, 1));
    }
}

#[tokio::test]
async fn commits_that_nobody_waits_for_go_along_with_each_other() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    assert_eq!(committed(&mut client, &commit("g", "t", &[(0, 0)]), 9).await, [0]);
    // One after the other, each would wait a tenth of a second for company.
    let begun = Instant::now();
    let mut sent = Vec::new();
    for offset in 1..=60 {
        sent.push(client.send(&commit("g", "t", &[(0, offset)]), 9).await);
    }
    for id in sent {
        let (answered, response) = client.receive::<OffsetCommitRequest>(9).await;
        assert_eq!((answered, response.topics[0].partitions[0].error_code), (id, 0));
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "60 commits took {:?}", begun.elapsed());
    assert_eq!(fetched(&mut client, "g", "t").await, 60, "the last one stands");
}

#[tokio::test]
async fn tools_see_and_delete_groups_that_only_have_offsets() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 2, &[]).await;
    for name in ["a", "b"] {
        assert_eq!(committed(&mut client, &commit(name, "t", &[(0, 1), (1, 2)]), 8).await, [0, 0]);
    }
    let list = async |client: &mut super::Connection, states: &[&str], types: &[&str]| {
        let request = ListGroupsRequest::default()
            .with_states_filter(states.iter().map(|state| text(state)).collect())
            .with_types_filter(types.iter().map(|kind| text(kind)).collect());
        let listed = client.call(&request, 5).await;
        assert_eq!(listed.error_code, 0);
        listed.groups.iter().map(|group| group.group_id.0.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(&mut client, &[], &[]).await, ["a", "b"]);
    assert_eq!(list(&mut client, &["empty"], &["Classic"]).await, ["a", "b"]);
    assert!(list(&mut client, &["Stable"], &[]).await.is_empty());
    assert!(list(&mut client, &[], &["consumer"]).await.is_empty());
    for version in 0..=4 {
        assert_eq!(client.call(&ListGroupsRequest::default(), version).await.groups.len(), 2);
    }
    let describe = DescribeGroupsRequest::default().with_groups(vec![group("a"), group("missing")]);
    for version in 0..=6 {
        let described = client.call(&describe, version).await;
        let states: Vec<_> = described.groups.iter().map(|found| &*found.group_state).collect();
        assert_eq!(states, ["Empty", "Dead"], "version {version}");
        let missing = if version < 6 { 0 } else { ResponseError::GroupIdNotFound.code() };
        assert_eq!((described.groups[0].error_code, described.groups[1].error_code), (0, missing));
    }
    // Whoever names a group often gets one answer.
    let often = || vec![group("a"), group("b"), group("a"), group("a")];
    let described = client.call(&DescribeGroupsRequest::default().with_groups(often()), 6).await;
    let names: Vec<_> = described.groups.iter().map(|found| &*found.group_id.0).collect();
    assert_eq!(names, ["a", "b"]);
    let described = client.call(&ConsumerGroupDescribeRequest::default().with_group_ids(often()), 1).await;
    assert_eq!(described.groups.len(), 2);
    let wanted = often().into_iter().map(|group| OffsetFetchRequestGroup::default().with_group_id(group));
    let offsets = client.call(&OffsetFetchRequest::default().with_groups(wanted.collect()), 9).await;
    assert_eq!(offsets.groups.len(), 2);
    let doomed = vec![group("missing"), group("a"), group("missing")];
    let delete = DeleteGroupsRequest::default().with_groups_names(doomed);
    let deleted = client.call(&delete, 2).await;
    let codes: Vec<_> = deleted.results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [ResponseError::GroupIdNotFound.code(), 0]);
    assert_eq!(list(&mut client, &[], &[]).await, ["b"]);
    assert_eq!(fetched(&mut client, "a", "t").await, -1);
    assert_eq!(fetched(&mut client, "b", "t").await, 1);
}

#[tokio::test]
async fn a_short_request_has_no_huge_answer() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let mut said = commit("g", "t", &[(0, 1)]);
    said.topics[0].partitions[0].committed_metadata = Some(text(&"m".repeat(4_096)));
    assert_eq!(committed(&mut client, &said, 8).await, [0]);
    let wanted = |times| {
        OffsetFetchRequestTopic::default().with_name(topic_name("t")).with_partition_indexes(vec![0; times])
    };
    let request = |times| {
        OffsetFetchRequest::default().with_group_id(group("g")).with_topics(Some(vec![wanted(times)]))
    };
    let few = client.call(&request(10), 7).await;
    assert_eq!((few.error_code, few.topics[0].partitions.len()), (0, 10));
    // 80 kB that ask for 80 MB.
    let many = client.call(&request(20_000), 7).await;
    assert_eq!((many.error_code, many.topics.len()), (ResponseError::InvalidRequest.code(), 0));
}

#[tokio::test]
async fn a_group_id_that_is_too_long_is_refused_for_good() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let invalid = ResponseError::InvalidGroupId.code();
    let long = "g".repeat(1_025);
    assert_eq!(committed(&mut client, &commit(&long, "t", &[(0, 1)]), 8).await, [invalid]);
    assert_eq!(committed(&mut client, &commit(&long[1..], "t", &[(0, 1)]), 8).await, [0]);
    let beat = HeartbeatRequest::default().with_group_id(group(&long)).with_member_id(text("m"));
    assert_eq!(client.call(&beat, 4).await.error_code, invalid);
}

#[tokio::test]
async fn offsets_are_deleted_one_by_one() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 2, &[]).await;
    assert_eq!(committed(&mut client, &commit("g", "t", &[(0, 1), (1, 2)]), 8).await, [0, 0]);
    let partition = |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
    let topic = |name: &str, partitions: &[i32]| {
        OffsetDeleteRequestTopic::default()
            .with_name(topic_name(name))
            .with_partitions(partitions.iter().copied().map(partition).collect())
    };
    let request = OffsetDeleteRequest::default()
        .with_group_id(group("g"))
        .with_topics(vec![topic("t", &[0, 7]), topic("missing", &[0])]);
    let deleted = client.call(&request, 0).await;
    assert_eq!(deleted.error_code, 0);
    let partitions = deleted.topics.iter().flat_map(|topic| &topic.partitions);
    let codes: Vec<_> = partitions.map(|partition| partition.error_code).collect();
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(codes, [0, unknown, unknown]);
    assert_eq!(fetched(&mut client, "g", "t").await, -1);
    let missing = client.call(&request.with_group_id(group("missing")), 0).await;
    assert_eq!(missing.error_code, ResponseError::GroupIdNotFound.code());
}
