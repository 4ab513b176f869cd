//! A group of KIP-848 from the first member to the last: joining, sharing, committing, leaving, and how tools see it.

use std::collections::BTreeMap;

use ebb_protocol::{
    error::ResponseError,
    ids::TopicId,
    messages::{
        ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
        DeleteGroupsRequest, DescribeGroupsRequest, IncrementalAlterConfigsRequest, ListGroupsRequest,
        OffsetDeleteRequest,
        consumer_group_heartbeat_request::TopicPartitions,
        incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
        offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
    },
};

use super::{
    commit, committed,
    common::{Connection, Fixture, topic_name},
    fetched, group, text, topic_id,
};

/// The first heartbeat of a member that subscribes to one topic.
pub(super) fn joins(name: &str, member: &str, topic: &str) -> ConsumerGroupHeartbeatRequest {
    beat(name, member, 0)
        .with_rebalance_timeout_ms(10_000)
        .with_subscribed_topic_names(Some(vec![topic_name(topic)]))
        .with_topic_partitions(Some(Vec::new()))
}

/// A heartbeat that says nothing new.
pub(super) fn beat(name: &str, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group(name))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
}

/// A member that does as it is told.
struct Member {
    id: &'static str,
    epoch: i32,
    owned: Vec<i32>,
}

impl Member {
    async fn join(client: &mut Connection, id: &'static str) -> Self {
        let mut member = Self { id, epoch: 0, owned: Vec::new() };
        let answer = client.call(&joins("g", id, "t"), 1).await;
        member.take(answer);
        member
    }

    fn take(&mut self, answer: ConsumerGroupHeartbeatResponse) {
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        assert_eq!(answer.member_id.as_deref(), Some(self.id));
        self.epoch = answer.member_epoch;
        if let Some(assignment) = answer.assignment {
            let partitions = assignment.topic_partitions.into_iter().flat_map(|topic| topic.partitions);
            self.owned = partitions.collect();
        }
    }

    async fn beat(&mut self, client: &mut Connection, topic: TopicId) {
        let owned = TopicPartitions::default().with_topic_id(topic.0).with_partitions(self.owned.clone());
        let owned = if self.owned.is_empty() { Vec::new() } else { vec![owned] };
        let request = beat("g", self.id, self.epoch).with_topic_partitions(Some(owned));
        let answer = client.call(&request, 1).await;
        self.take(answer);
    }

    async fn leave(self, client: &mut Connection) {
        let answer = client.call(&beat("g", self.id, -1), 1).await;
        assert_eq!((answer.error_code, answer.member_epoch), (0, -1));
    }
}

/// The states of the group's members and of itself, as ConsumerGroupDescribe tells them.
async fn described(client: &mut Connection) -> (String, BTreeMap<String, usize>) {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group("g")]);
    let mut response = client.call(&request, 1).await;
    let found = response.groups.remove(0);
    assert_eq!(found.error_code, 0, "{:?}", found.error_message);
    let partitions = |member: &ebb_protocol::messages::consumer_group_describe_response::Member| {
        member.assignment.topic_partitions.iter().map(|topic| topic.partitions.len()).sum()
    };
    let members = found.members.iter().map(|member| (member.member_id.to_string(), partitions(member)));
    (found.group_state.to_string(), members.collect())
}

#[tokio::test]
async fn members_share_a_topic_and_pass_it_on() {
    let fixture = Fixture::start().await;
    let [mut client, mut other] = fixture.both().await;
    client.create_topic("t", 6, &[]).await;
    let topic = topic_id(&mut client, "t").await;
    let mut first = Member::join(&mut client, "first").await;
    assert_eq!(first.owned, [0, 1, 2, 3, 4, 5]);
    let mut second = Member::join(&mut other, "second").await;
    for _ in 0..6 {
        first.beat(&mut client, topic).await;
        second.beat(&mut other, topic).await;
    }
    assert_eq!((first.owned.len(), second.owned.len()), (3, 3));
    let (state, members) = described(&mut client).await;
    assert_eq!(state, "Stable");
    assert_eq!(members, BTreeMap::from([("first".to_owned(), 3), ("second".to_owned(), 3)]));

    let as_second = commit("g", "t", &[(0, 42)])
        .with_member_id(text("second"))
        .with_generation_id_or_member_epoch(second.epoch);
    assert_eq!(committed(&mut client, &as_second, 9).await, [0]);
    first.leave(&mut client).await;
    for _ in 0..3 {
        second.beat(&mut other, topic).await;
    }
    assert_eq!(second.owned.len(), 6);
    assert_eq!(fetched(&mut client, "g", "t").await, 42);
    second.leave(&mut other).await;
    assert_eq!(described(&mut client).await, ("Empty".to_owned(), BTreeMap::new()));
    assert_eq!(fetched(&mut client, "g", "t").await, 42);
}

#[tokio::test]
async fn tools_tell_a_group_with_members_from_others() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    client.create_topic("u", 1, &[]).await;
    let member = Member::join(&mut client, "member").await;
    let listed = client.call(&ListGroupsRequest::default(), 5).await;
    let found = &listed.groups[0];
    assert_eq!(
        (&*found.group_id.0, &*found.group_type, &*found.protocol_type),
        ("g", "consumer", "consumer")
    );
    let not_found = ResponseError::GroupIdNotFound.code();
    let describe = DescribeGroupsRequest::default().with_groups(vec![group("g")]);
    assert_eq!(client.call(&describe, 6).await.groups[0].error_code, not_found, "it is not a classic group");
    let describe = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group("missing")]);
    assert_eq!(client.call(&describe, 0).await.groups[0].error_code, not_found);

    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group("g")]);
    let in_use = ResponseError::NonEmptyGroup.code();
    assert_eq!(client.call(&delete, 2).await.results[0].error_code, in_use);
    let topic = |name: &str| {
        OffsetDeleteRequestTopic::default()
            .with_name(topic_name(name))
            .with_partitions(vec![OffsetDeleteRequestPartition::default()])
    };
    let offsets =
        OffsetDeleteRequest::default().with_group_id(group("g")).with_topics(vec![topic("t"), topic("u")]);
    let codes: Vec<_> =
        client.call(&offsets, 0).await.topics.iter().map(|topic| topic.partitions[0].error_code).collect();
    assert_eq!(codes, [ResponseError::GroupSubscribedToTopic.code(), 0]);
    member.leave(&mut client).await;
    assert_eq!(client.call(&delete, 2).await.results[0].error_code, 0);
    assert!(client.call(&ListGroupsRequest::default(), 5).await.groups.is_empty());
}

#[tokio::test]
async fn a_member_is_told_of_a_topic_that_comes() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    let mut member = Member::join(&mut client, "member").await;
    assert!(member.owned.is_empty(), "the topic does not exist yet");
    client.create_topic("t", 2, &[]).await;
    let topic = topic_id(&mut client, "t").await;
    for _ in 0..3 {
        member.beat(&mut client, topic).await;
    }
    assert_eq!(member.owned, [0, 1]);
}

#[tokio::test]
async fn a_groups_configuration_takes_effect_with_the_next_heartbeat() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    // No partitions are assigned, after which members would come sooner for a while.
    let joined = client.call(&joins("g", "a", "unknown"), 1).await;
    let other = client.call(&joins("h", "a", "unknown"), 1).await;
    assert_eq!((joined.heartbeat_interval_ms, other.heartbeat_interval_ms), (5_000, 5_000));
    let config = AlterableConfig::default()
        .with_name(text("consumer.heartbeat.interval.ms"))
        .with_value(Some(text("2000")));
    let resource = AlterConfigsResource::default()
        .with_resource_type(32)
        .with_resource_name(text("g"))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    assert_eq!(client.call(&request, 1).await.responses[0].error_code, 0);
    assert_eq!(client.call(&beat("g", "a", joined.member_epoch), 1).await.heartbeat_interval_ms, 2_000);
    assert_eq!(client.call(&beat("h", "a", other.member_epoch), 1).await.heartbeat_interval_ms, 5_000);
}
