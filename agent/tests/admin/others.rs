//! What an agent to which nobody has talked for a while tells of what was done through another one.

use std::time::Duration;

use ebb_protocol::{
    error::{NO_ERROR, ResponseError},
    messages::{
        CreatePartitionsRequest, DeleteTopicsRequest, DescribeTopicPartitionsRequest, ListOffsetsRequest,
        create_partitions_request::CreatePartitionsTopic,
        describe_topic_partitions_request::TopicRequest,
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    },
};
use tokio::time::sleep;

use super::{
    common::{
        Connection, batch,
        pair::{Pair, connect},
        produce, produced, topic_name,
    },
    metadata, topics,
};

/// What was done longer ago than this is told.
const AGE_MAX: Duration = Duration::from_secs(1);

/// A topic of one partition that both agents know, and a connection to each.
async fn known_to_both(pair: &Pair) -> [Connection; 2] {
    let mut clients = [connect(&pair.agents[0]).await, connect(&pair.agents[1]).await];
    clients[0].create_topic("t", 1, &[]).await;
    let answer = clients[1].call(&metadata(Some(&["t"]), false), 12).await;
    assert_eq!(topics(&answer), [("t".to_owned(), NO_ERROR, 1)]);
    clients
}

async fn add_partitions(client: &mut Connection, count: i32) {
    let topic =
        CreatePartitionsTopic::default().with_name(topic_name("t")).with_count(count).with_assignments(None);
    let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let answer = client.call(&request, 3).await;
    assert_eq!(answer.results[0].error_code, NO_ERROR, "{:?}", answer.results[0].error_message);
}

#[tokio::test]
async fn partitions_that_were_added_elsewhere_are_told() {
    let pair = Pair::start().await;
    let [mut active, mut idle] = known_to_both(&pair).await;
    add_partitions(&mut active, 3).await;
    sleep(AGE_MAX).await;
    let answer = idle.call(&metadata(Some(&["t"]), false), 12).await;
    assert_eq!(topics(&answer), [("t".to_owned(), NO_ERROR, 3)]);
    add_partitions(&mut active, 4).await;
    sleep(AGE_MAX).await;
    let asked = vec![TopicRequest::default().with_name(topic_name("t"))];
    let request =
        DescribeTopicPartitionsRequest::default().with_topics(asked).with_response_partition_limit(100);
    let answer = idle.call(&request, 0).await;
    assert_eq!(answer.topics[0].partitions.len(), 4);
}

#[tokio::test]
async fn a_topic_that_was_deleted_elsewhere_is_gone() {
    let pair = Pair::start().await;
    let [mut active, mut idle] = known_to_both(&pair).await;
    let request =
        DeleteTopicsRequest::default().with_topic_names(vec![topic_name("t")]).with_timeout_ms(10_000);
    let answer = active.call(&request, 5).await;
    assert_eq!(answer.responses[0].error_code, NO_ERROR);
    sleep(AGE_MAX).await;
    assert_eq!(topics(&idle.call(&metadata(None, false), 12).await), []);
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    let answer = idle.call(&metadata(Some(&["t"]), false), 12).await;
    assert_eq!(topics(&answer), [("t".to_owned(), unknown, 0)]);
}

#[tokio::test]
async fn an_agent_that_came_later_is_told() {
    let mut pair = Pair::start().await;
    let [mut first, _] = known_to_both(&pair).await;
    let answer = first.call(&metadata(None, false), 12).await;
    assert_eq!(answer.brokers.len(), 2);
    sleep(AGE_MAX).await;
    pair.add().await;
    sleep(AGE_MAX).await;
    let answer = first.call(&metadata(None, false), 12).await;
    assert_eq!(answer.brokers.len(), 3);
}

#[tokio::test]
async fn new_partitions_take_records_at_once() {
    let pair = Pair::start().await;
    let [mut active, mut idle] = known_to_both(&pair).await;
    add_partitions(&mut active, 2).await;
    let answer = idle.call(&produce("t", &[(1, batch(&["v"]))], -1), 9).await;
    assert_eq!(produced(answer).error_code, NO_ERROR);
    add_partitions(&mut active, 3).await;
    let partition = ListOffsetsPartition::default().with_partition_index(2).with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let answer = idle.call(&ListOffsetsRequest::default().with_topics(vec![topic]), 7).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, NO_ERROR);
}
