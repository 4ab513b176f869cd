//! Where records are: by their time, from an offset that is out of range, and in topics that are not there yet. What
//! is asked of every client is the same; `contract` calls it for each.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ebb_tests::e2e::{
    contract::{Foreign, Policy, Program, Step, answers, records},
    ebb::{Ebb, Server},
};
use ebbtide::{Client, Offset, PartitionIndex, Record, Timestamp};

use crate::contract::sdk_write;

/// Records of the topic, of which the first ones are deleted.
const RECORDS: i64 = 10;
/// The first offset that is not deleted.
const START: i64 = 5;
/// The records' times are so many milliseconds apart.
const APART_MS: i64 = 1_000_000;
/// The first record that is younger than what a client goes by.
const BY_TIME: i64 = 7;
/// Pause between two records, for consumers that wait for new ones.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a client tries to write to a topic that appears, and to one that does not, in milliseconds.
const APPEARS_MS: &str = "30000";
const MISSING_MS: &str = "1500";

/// What `foreign` has to find on a server where topics create themselves.
pub(crate) async fn finds(server: &Server<'_>, client: &Client, foreign: Foreign, program: &Program) {
    server.create("timed", 1);
    let stamped = ["topic", "create", "stamped", "--config", "message.timestamp.type=LogAppendTime"];
    let _ = server.run(&stamped, b"").ok();
    write_timed(client).await;
    times(foreign, program);
    beyond(client, foreign, program).await;

    let steps = program.play("absent", &[("topic", "absent"), ("wait", APPEARS_MS)], b"");
    assert_eq!(answers(&steps), expected_of_absent(foreign, "created"));
    let listed = client.admin().list_topics().await.expect("the agent serves");
    let named = |name: &str| listed.iter().any(|topic| topic.name == name);
    assert!(named("absent") && !named("absent-unwanted"), "{listed:?}");
}

async fn write_timed(client: &Client) {
    let producer = client.producer().build().expect("the settings are sensible");
    for number in 0..RECORDS {
        let mut record = Record::new(number.to_string()).key("key");
        record.timestamp = Some(Timestamp((number + 1) * APART_MS));
        drop(producer.send("timed", record).await.expect("the record is taken"));
    }
    producer.close().await.expect("all are acknowledged");
    let deleted = client.admin().delete_records("timed", PartitionIndex(0), Offset(START)).await;
    assert_eq!(deleted.expect("the agent serves"), Offset(START));
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock by which the agent, another process, stamps records"
)]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_millis()).expect("a time")
}

/// Offsets for times; the time of appending, as answered and as read; how long a fetch waits.
fn times(foreign: Foreign, program: &Program) {
    let before = now_ms();
    let steps = program.play("times", &[("topic", "timed"), ("stamped", "stamped")], b"");
    let after = now_ms();
    let stamps: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Stamped(by, time) => Some((by.as_str(), *time)),
            _ => None,
        })
        .collect();
    let by: Vec<_> = stamps.iter().map(|(by, _)| *by).collect();
    assert_eq!(by, foreign.tells_append_time());
    let right = |(_, time): &(&str, i64)| (before..=after).contains(time) && *time == stamps[0].1;
    assert!(stamps.iter().all(right), "{stamps:?} within {before} to {after}");
}

/// Each policy of the client, while others write.
async fn beyond(client: &Client, foreign: Foreign, program: &Program) {
    let program = program.clone();
    let playing = tokio::task::spawn_blocking(move || program.play("beyond", &[("topic", "timed")], b""));
    while !playing.is_finished() {
        sdk_write(client, "timed", 1, "none", &[("key".to_owned(), "late".to_owned())]).await;
        tokio::time::sleep(PAUSE).await;
    }
    let steps = playing.await.expect("it was played");
    assert_eq!(steps.len(), foreign.policies().len(), "{steps:?}");
    for (policy, step) in foreign.policies().iter().zip(steps) {
        let offset = records(vec![step.clone()]).first().map(|read| read.offset);
        let right = match policy {
            Policy::Earliest => offset == Some(START),
            Policy::Latest => offset >= Some(RECORDS),
            Policy::ByTime => offset == Some(BY_TIME),
            Policy::Refuse => step == Step::Right("out-of-range".to_owned()),
        };
        assert!(right, "{policy:?}: {step:?}");
    }
}

fn expected_of_absent(foreign: Foreign, last: &str) -> Vec<&str> {
    let first = foreign.asks_without_creating().then_some("not-created");
    first.into_iter().chain([last]).collect()
}

/// Where topics do not create themselves, every client says that a topic is not there.
#[tokio::test]
async fn topics_do_not_create_themselves() {
    let test = "topics that do not create themselves";
    let Some(ebb) = Ebb::find(test) else { return };
    let server = ebb.dev(&["--auto-create-topics", "false"]).await;
    let client = server.client().connect().await.expect("the agent serves");
    for foreign in [
        Foreign::Jvm,
        Foreign::FranzGo,
        Foreign::Sarama,
        Foreign::Kafkajs,
        Foreign::KafkaPython,
        Foreign::Aiokafka,
        Foreign::Confluent,
        Foreign::Rskafka,
    ] {
        let Some(program) = foreign.find(test, server.addresses().kafka) else { return };
        let steps = program.play("absent", &[("topic", "absent"), ("wait", MISSING_MS)], b"");
        assert_eq!(answers(&steps), expected_of_absent(foreign, "unknown-topic"), "{foreign:?}");
    }
    let listed = client.admin().list_topics().await.expect("the agent serves");
    assert!(listed.is_empty(), "{listed:?}");
}
