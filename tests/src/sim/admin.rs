//! The administrator: creates the topics, deletes records now and then, and deletes and creates one topic again.

use std::{sync::Arc, time::Duration};

use ebb_agent::broker::{Broker, FetchError, OffsetQuery, Read};
use ebb_metastore::{
    command::{Command, CreateTopic},
    outcome::{Outcome, Refusal},
    state::TopicInfo,
};
use ebb_protocol::ids::{Offset, PartitionIndex, TopicId, TopicName};
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::{
    network::Client,
    plan::millis,
    probes::Probe,
    producers::{self, Closing, NOW},
    readers::{self, Reader, Step},
};

/// Creates a topic, or finds it, however long that takes.
pub(super) async fn create(client: &Client, name: &str, partitions: i32) -> TopicInfo {
    let name = TopicName::new(name).expect("the name is legal");
    loop {
        let name = name.clone();
        let ask = move |broker: Arc<Broker>| -> BoxFuture<'static, _> {
            Box::pin(async move { broker.topic_or_create(&name, partitions).await })
        };
        if let Ok(Ok(topic)) = client.call(ask).await {
            return topic;
        }
        client.leave();
        sleep(millis(&client.random, 20, 200)).await;
    }
}

/// Creates a topic of one partition with overrides of its configuration, or finds it, however long that takes.
pub(super) async fn create_with(client: &Client, name: &str, config: &[(&str, &str)]) -> TopicId {
    let name = TopicName::new(name).expect("the name is legal");
    let config: Vec<_> =
        config.iter().map(|(key, value)| (String::from(*key), String::from(*value))).collect();
    loop {
        let wanted = name.clone();
        let ask = move |broker: Arc<Broker>| -> BoxFuture<'static, _> {
            Box::pin(async move { broker.topic_by_name(&wanted).await })
        };
        if let Ok(Ok(Some(found))) = client.call(ask).await {
            return found.id;
        }
        let ask = move |broker: Arc<Broker>| -> BoxFuture<'static, _> {
            Box::pin(async move { broker.ids().topic() })
        };
        if let Ok(topic) = client.call(ask).await {
            let create = CreateTopic { topic, name: name.clone(), partitions: 1, config: config.clone() };
            // Whether it was answered does not matter: it is looked for again.
            drop(client.submit(Command::CreateTopic(create)).await);
        }
        client.leave();
        sleep(millis(&client.random, 20, 200)).await;
    }
}

/// Deletes records of a topic now and then, until told to end.
pub(super) async fn trim(client: Arc<Client>, topic: TopicId, partitions: i32, closing: Arc<Closing>) {
    let random = client.random.clone();
    while !closing.is_set() {
        sleep(millis(&random, 500, 8_000)).await;
        let index =
            PartitionIndex(i32::try_from(random.below(partitions.unsigned_abs().into())).unwrap_or(0));
        let Some(end) = readers::ask(&client, topic, index, OffsetQuery::Latest).await else { continue };
        let before = i64::try_from(random.below(end.0.unsigned_abs() + 1)).unwrap_or(0);
        client.cluster.world.allow_start(topic, index, before);
        let delete = Command::DeleteRecords { topic, partition: index, before: Some(Offset(before)) };
        // When it was not answered it may have been done.
        if let Ok(Ok(Some(Outcome::RecordsDeleted { log_start }))) = client.submit(delete).await {
            client.cluster.world.note_deleted(topic, index, log_start.0);
            if random.chance(0.5) {
                client.leave();
            }
        }
        sleep(millis(&random, 0, 2_000)).await;
        seek_deleted(&client, topic, index).await;
    }
}

/// Asks for what was deleted: an agent that has looked at the log's tail does not give it.
async fn seek_deleted(client: &Client, topic: TopicId, index: PartitionIndex) {
    let world = &client.cluster.world;
    let deleted = world.deleted(topic, index);
    if deleted == 0 {
        return;
    }
    let ask = move |broker: Arc<Broker>| -> BoxFuture<'static, _> {
        Box::pin(async move {
            let found = broker.find_offsets(&[(topic, index, OffsetQuery::Earliest)]).await.pop()?.ok()??;
            let want = [Read { topic, partition: index, from: Offset(deleted - 1), bytes_max: 1 }];
            let read = broker.fetch(&want, 1, 1, Duration::ZERO).await.pop()?;
            Some((found.offset.0, read))
        })
    };
    let Ok(Some((start, read))) = client.call(ask).await else { return client.leave() };
    world.probe(Probe::DeletedSought);
    let is_refused = match &read {
        Ok(_) => false,
        Err(FetchError::OffsetOutOfRange(head)) => head.log_start.0 >= deleted,
        // It does not know.
        Err(_) => true,
    };
    if start < deleted || !is_refused {
        world.violation(format!(
            "{topic:?}-{index} begins at {start} and gives {read:?}, and all below {deleted} was deleted"
        ));
    }
}

/// Creates a topic, uses it, deletes it, and begins again, until told to end.
pub(super) async fn recreate(client: Arc<Client>, closing: Arc<Closing>) {
    let (world, random) = (client.cluster.world.clone(), client.random.clone());
    let process = world.process();
    let mut lives = 0;
    while !closing.is_set() {
        let topic = create(&client, "short-lived", 2).await;
        lives += 1;
        if lives > 1 {
            world.probe(Probe::TopicRecreated);
        }
        for _ in 0..random.below(6) {
            producers::send(&client, process, topic.id, &[PartitionIndex(0), PartitionIndex(1)], NOW).await;
        }
        let mut reader = Reader::new(client.clone(), topic.id, 2, false);
        let until = Instant::now() + Duration::from_secs(2);
        while reader.fetch(&[0], Duration::ZERO).await != [Step::End] && Instant::now() < until {
            sleep(millis(&random, 1, 50)).await;
        }
        if delete(&client, topic.id).await {
            // It is gone, whoever is asked.
            client.leave();
            if !producers::send(&client, process, topic.id, &[PartitionIndex(0)], NOW).await.is_empty() {
                world.violation(format!("a batch was acknowledged for {:?} after its deletion", topic.id));
            }
        }
        sleep(millis(&random, 100, 3_000)).await;
    }
}

/// Deletes a topic; true when it is certainly gone.
async fn delete(client: &Client, topic: TopicId) -> bool {
    for _ in 0..20 {
        match client.submit(Command::DeleteTopic { topic }).await {
            Ok(Ok(Some(Outcome::Done | Outcome::Refused(Refusal::UnknownTopic(_))))) => return true,
            _ => client.leave(),
        }
        sleep(millis(&client.random, 20, 300)).await;
    }
    false
}
