//! The Rust SDK as a member of groups, and `ebb consume --group`, against the real agent.

use std::{collections::BTreeSet, time::Duration};

use ebb_tests::e2e::ebb::{Ebb, Server};
use ebbtide::{Client, Error, GroupConsumer, Record};

/// Partitions of the topics.
pub(crate) const PARTITIONS: usize = 4;
/// Records that a writer sends at a time.
pub(crate) const RECORDS: usize = 2000;
/// How long nothing comes before a group has read everything.
pub(crate) const QUIET: Duration = Duration::from_secs(3);
/// How long a group may take to read everything, with time-outs of sessions and connections.
pub(crate) const ALL_MAX: Duration = Duration::from_secs(120);

pub(crate) async fn client(server: &Server<'_>) -> Client {
    server.client().connect().await.expect("the agent serves")
}

pub(crate) fn member(client: &Client, topic: &str) -> GroupConsumer {
    let builder = client.consumer().group("crew").auto_commit(Some(Duration::from_millis(200)));
    let mut consumer = builder.build().expect("sound settings");
    consumer.subscribe(&[topic]);
    consumer
}

/// Writes numbered records and waits until they are durable.
pub(crate) async fn write(client: &Client, topic: &str, from: usize) {
    let producer = client.producer().build().expect("sound settings");
    let mut deliveries = Vec::new();
    for number in from..from + RECORDS {
        let record = Record::new(number.to_string()).key(number.to_string());
        deliveries.push(producer.send(topic, record).await.expect("it is taken in"));
    }
    for delivery in deliveries {
        delivery.await.expect("it is durable");
    }
    producer.close().await.expect("all is sent");
}

/// The next record's number; `None` when nothing comes for `wait`.
pub(crate) async fn next(consumer: &mut GroupConsumer, wait: Duration) -> Option<usize> {
    let record = tokio::time::timeout(wait, consumer.next_record()).await.ok()?;
    let value = record.expect("the agent serves").value.expect("a value");
    Some(std::str::from_utf8(&value).expect("text").parse().expect("a number"))
}

/// Reads until `consumer` finds nothing more.
async fn drain(consumer: &mut GroupConsumer) -> Vec<usize> {
    let mut numbers = Vec::new();
    while let Some(number) = next(consumer, QUIET).await {
        numbers.push(number);
    }
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_a_topic_and_hand_over_without_repetition() {
    let Some(ebb) = Ebb::find("members of the SDK") else { return };
    let server = ebb.dev(&[]).await;
    server.create("logbook", PARTITIONS);
    let client = client(&server).await;
    write(&client, "logbook", 0).await;
    let mut first = member(&client, "logbook");
    let mut seen = Vec::new();
    for _ in 0..RECORDS / 4 {
        seen.push(next(&mut first, ALL_MAX).await.expect("a record"));
    }
    // Another joins while the first is in the middle, and gets half once the first asks for more.
    let mut second = member(&client, "logbook");
    tokio::time::sleep(QUIET).await;
    let (one, two) = tokio::join!(drain(&mut first), drain(&mut second));
    seen.extend(one);
    seen.extend(two);
    for round in 1..3 {
        write(&client, "logbook", round * RECORDS).await;
        let (one, two) = tokio::join!(drain(&mut first), drain(&mut second));
        assert!(!one.is_empty() && !two.is_empty(), "round {round}: {} and {}", one.len(), two.len());
        seen.extend(one);
        seen.extend(two);
    }
    assert_eq!((first.assignment().len(), second.assignment().len()), (2, 2));
    // Whoever leaves hands everything over.
    first.close().await.expect("the agent serves");
    write(&client, "logbook", 3 * RECORDS).await;
    // The other learns of it with its next heartbeat, which may be later than nothing has come for a while.
    while seen.len() < 4 * RECORDS {
        seen.push(next(&mut second, ALL_MAX).await.expect("a record"));
    }
    seen.extend(drain(&mut second).await);
    assert_eq!(second.assignment().len(), PARTITIONS);
    second.close().await.expect("the agent serves");
    assert_eq!(seen.len(), 4 * RECORDS, "nothing comes twice");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), (0..4 * RECORDS).collect());
    let described = client.admin().describe_group("crew").await.expect("it has offsets");
    assert!(described.members.is_empty(), "{described:?}");
    client.close().await;
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_survive_crashes_of_the_agent() {
    let Some(ebb) = Ebb::find("members of the SDK and crashes") else { return };
    let mut server = ebb.dev(&[]).await;
    server.create("logbook", PARTITIONS);
    let client = client(&server).await;
    let mut consumer = member(&client, "logbook");
    let mut seen = BTreeSet::new();
    for round in 0..3 {
        write(&client, "logbook", round * RECORDS).await;
        seen.insert(next(&mut consumer, ALL_MAX).await.expect("a record"));
        server.kill();
        server.restart().await;
        let reads = async {
            while seen.len() < (round + 1) * RECORDS {
                seen.extend(next(&mut consumer, ALL_MAX).await);
            }
        };
        tokio::time::timeout(ALL_MAX, reads).await.expect("reading goes on");
    }
    consumer.close().await.expect("the agent serves");
    let offsets = client.admin().group_offsets("crew").await.expect("the agent serves");
    let committed: i64 = offsets.iter().map(|offset| offset.offset.0).sum();
    assert_eq!(committed, 3 * RECORDS as i64);
    client.close().await;
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_covers_topics_that_come_later() {
    let Some(ebb) = Ebb::find("a pattern of the SDK") else { return };
    let server = ebb.dev(&[]).await;
    let client = client(&server).await;
    let mut consumer = client.consumer().group("crew").build().expect("sound settings");
    consumer.subscribe_pattern("log.*");
    assert_eq!(next(&mut consumer, QUIET).await, None);
    for topic in ["logbook", "catalog", "logs"] {
        server.create(topic, 1);
    }
    write(&client, "logbook", 0).await;
    write(&client, "catalog", RECORDS).await;
    write(&client, "logs", 2 * RECORDS).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 2 * RECORDS {
        seen.insert(next(&mut consumer, ALL_MAX).await.expect("a record"));
    }
    assert!(
        seen.iter().all(|number| !(RECORDS..2 * RECORDS).contains(number)),
        "the whole name has to match"
    );
    consumer.close().await.expect("the agent serves");
    let mut wrong = client.consumer().group("others").build().expect("sound settings");
    wrong.subscribe_pattern("(");
    let error = tokio::time::timeout(ALL_MAX, wrong.next_record()).await.expect("an answer");
    assert!(matches!(error, Err(Error::Rejected { .. })), "{error:?}");
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_goes_on_where_its_group_left_off() {
    let Some(ebb) = Ebb::find("ebb consume --group") else { return };
    let server = ebb.dev(&[]).await;
    server.create("logbook", PARTITIONS);
    let client = client(&server).await;
    write(&client, "logbook", 0).await;
    let mut lines = BTreeSet::new();
    for _ in 0..4 {
        let part = (RECORDS / 4).to_string();
        let arguments = ["consume", "logbook", "--group", "crew", "--from", "beginning", "-n", &part];
        let ran = server.run(&arguments, b"").ok();
        lines.extend(ran.text().lines().map(str::to_owned));
    }
    assert_eq!(lines.len(), RECORDS, "every run prints others");
    let refused = server.run(&["consume", "logbook", "--group", "crew", "--exit-at-end"], b"");
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_go_on_when_their_coordinator_dies() {
    let Some(ebb) = Ebb::find("members of the SDK and two agents") else { return };
    let store = format!("file://{}", ebb.home().join("store").display());
    let mut agents = [ebb.agent(&store).await, ebb.agent(&store).await];
    agents[0].create("logbook", PARTITIONS);
    // Everybody starts from the agent that stays; which of the two coordinates follows from the group's name.
    let client = client(&agents[0]).await;
    let names: Vec<String> = (0..8).map(|number| format!("crew {number}")).collect();
    let mut crews: Vec<GroupConsumer> = Vec::new();
    for name in &names {
        let builder = client.consumer().group(name).auto_commit(Some(Duration::from_millis(200)));
        let mut consumer = builder.build().expect("sound settings");
        consumer.subscribe(&["logbook"]);
        crews.push(consumer);
    }
    write(&client, "logbook", 0).await;
    for consumer in &mut crews {
        next(consumer, ALL_MAX).await.expect("a record");
    }
    agents[1].kill();
    write(&client, "logbook", RECORDS).await;
    let reads = crews.iter_mut().map(|consumer| async {
        let mut seen = BTreeSet::new();
        while seen.len() < 2 * RECORDS - 1 {
            seen.extend(next(consumer, ALL_MAX).await);
        }
        consumer.commit().await
    });
    let read =
        tokio::time::timeout(ALL_MAX, futures::future::join_all(reads)).await.expect("reading goes on");
    for (name, committed) in names.iter().zip(read) {
        committed.unwrap_or_else(|error| panic!("{name}: {error}"));
        let offsets = client.admin().group_offsets(name).await.expect("the agent serves");
        assert_eq!(offsets.iter().map(|offset| offset.offset.0).sum::<i64>(), 2 * RECORDS as i64, "{name}");
    }
    client.close().await;
    assert!(!agents[0].said().contains("panicked"), "{}", agents[0].said());
}
