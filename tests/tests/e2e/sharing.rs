//! Every Kafka client that people use shares a topic in a group: members come and go, and what the group has committed
//! is where the next one goes on. Each test is one client with one group protocol, and what is asked of all is the same.

use std::{collections::BTreeSet, time::Duration};

use ebb_tests::e2e::{
    contract::{Foreign, Member, Program, Read, answers, records},
    ebb::{Ebb, Server},
};
use ebbtide::Client;

use crate::contract::{RECORDS, sdk_read, sdk_write, written};

/// How long a group may take for what it is waited for, on a machine that is busy with other tests.
const GROUP_MAX: Duration = Duration::from_secs(90);
/// Pause between two looks at the members of a group.
const POLL: Duration = Duration::from_millis(10);
/// Partitions of the topic that a group shares.
pub(crate) const SHARED: i32 = 6;

#[tokio::test]
async fn jvm_classic() {
    works(Foreign::Jvm, "classic").await;
}

#[tokio::test]
async fn jvm_consumer() {
    works(Foreign::Jvm, "consumer").await;
}

#[tokio::test]
async fn franz_go_classic() {
    works(Foreign::FranzGo, "classic").await;
}

#[tokio::test]
async fn franz_go_consumer() {
    works(Foreign::FranzGo, "consumer").await;
}

#[tokio::test]
async fn sarama_classic() {
    works(Foreign::Sarama, "classic").await;
}

#[tokio::test]
async fn kafkajs_classic() {
    works(Foreign::Kafkajs, "classic").await;
}

#[tokio::test]
async fn kafka_python_classic() {
    works(Foreign::KafkaPython, "classic").await;
}

#[tokio::test]
async fn aiokafka_classic() {
    works(Foreign::Aiokafka, "classic").await;
}

#[tokio::test]
async fn confluent_classic() {
    works(Foreign::Confluent, "classic").await;
}

#[tokio::test]
async fn confluent_consumer() {
    works(Foreign::Confluent, "consumer").await;
}

#[tokio::test]
async fn rdkafka_classic() {
    works(Foreign::Rdkafka, "classic").await;
}

async fn works(foreign: Foreign, protocol: &str) {
    let test = format!("{foreign:?} in a group with the {protocol} protocol");
    let Some(ebb) = Ebb::find(&test) else { return };
    let server = ebb.dev(&[]).await;
    let Some(program) = foreign.find(&test, server.addresses().kafka) else { return };
    let client = server.client().connect().await.expect("the agent serves");
    let group = Group { protocol, topic: "shared".to_owned(), name: "members".to_owned() };
    resumes(&server, &client, &program, &group).await;
    rebalances(&server, &client, &program, &group).await;
    // What was written by all of these is committed.
    let committed = (RECORDS * 4).to_string();
    let options = [&group.options()[..], &[("count", &committed)]].concat();
    assert_eq!(answers(&program.play("groups", &options, b"")), foreign.groups());
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

/// A group and the topic that it shares.
struct Group<'a> {
    protocol: &'a str,
    topic: String,
    name: String,
}

impl Group<'_> {
    fn options(&self) -> [(&str, &str); 3] {
        [("topic", &self.topic), ("group", &self.name), ("protocol", self.protocol)]
    }
}

/// Whoever comes later goes on where the group has committed: nothing is read twice, nothing is left out.
async fn resumes(server: &Server<'_>, client: &Client, program: &Program, group: &Group<'_>) {
    server.create(&group.topic, usize::try_from(SHARED).expect("a count"));
    sdk_write(client, &group.topic, SHARED, "none", &written("first")).await;
    let mut read = Vec::new();
    for count in ["23", "37"] {
        let options = [&group.options()[..], &[("count", count)]].concat();
        let part = records(program.play("consume", &options, b""));
        assert_eq!(part.len().to_string(), count);
        read.extend(part);
    }
    read.sort();
    let (expect, _) = sdk_read(client, &group.topic, SHARED).await;
    assert_eq!(read, expect);
}

/// Two members share the partitions, then one leaves and the other has all. All records are read at least once.
async fn rebalances(server: &Server<'_>, client: &Client, program: &Program, group: &Group<'_>) {
    let mut first = program.follow(&group.options());
    until(server, "one member has all", || first.assigned().len() == 6).await;
    sdk_write(client, &group.topic, SHARED, "none", &written("one")).await;
    until(server, "one member reads all", || first.read().len() >= RECORDS).await;

    let mut second = program.follow(&group.options());
    until(server, "two members share", || {
        let (first, second) = (first.assigned(), second.assigned());
        first.len() == 3 && second.len() == 3 && !first.iter().any(|partition| second.contains(partition))
    })
    .await;
    sdk_write(client, &group.topic, SHARED, "none", &written("two")).await;
    until(server, "both read", || seen(&mut [&mut first, &mut second]).len() == 2 * RECORDS).await;

    first.leave();
    until(server, "one leaves", || first.has_left()).await;
    until(server, "the other has all", || second.assigned().len() == 6).await;
    sdk_write(client, &group.topic, SHARED, "none", &written("three")).await;
    until(server, "the other reads", || seen(&mut [&mut first, &mut second]).len() == 3 * RECORDS).await;
    second.leave();
    until(server, "the other leaves", || second.has_left()).await;
}

/// The different records that members have read.
pub(crate) fn seen(members: &mut [&mut Member]) -> BTreeSet<Read> {
    members.iter_mut().flat_map(|member| member.read().to_vec()).collect()
}

pub(crate) async fn until(server: &Server<'_>, what: &str, mut reached: impl FnMut() -> bool) {
    let waiting = async {
        while !reached() {
            tokio::time::sleep(POLL).await;
        }
    };
    let waited = tokio::time::timeout(GROUP_MAX, waiting).await;
    assert!(waited.is_ok(), "not in time: {what}; the server said: {}", server.said());
}
