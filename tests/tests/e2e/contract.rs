//! Every Kafka client that people use writes, reads, and administers. Each test is one client, and what is asked of
//! all is the same.

use std::collections::BTreeSet;

use ebb_protocol::batch::Compression;
use ebb_tests::e2e::{
    contract::{Foreign, Program, Read, Step, answers, records},
    ebb::{Ebb, Server},
};
use ebbtide::{Client, Isolation, PartitionIndex, Record, Start, admin::OffsetSpec};

use crate::positions;

/// Records of each kind of test: few, since what is tested is what is said, not how much.
pub(crate) const RECORDS: usize = 60;

#[tokio::test]
async fn jvm() {
    works(Foreign::Jvm).await;
}

#[tokio::test]
async fn franz_go() {
    works(Foreign::FranzGo).await;
}

#[tokio::test]
async fn sarama() {
    works(Foreign::Sarama).await;
}

#[tokio::test]
async fn kafkajs() {
    works(Foreign::Kafkajs).await;
}

#[tokio::test]
async fn kafka_python() {
    works(Foreign::KafkaPython).await;
}

#[tokio::test]
async fn aiokafka() {
    works(Foreign::Aiokafka).await;
}

#[tokio::test]
async fn confluent() {
    works(Foreign::Confluent).await;
}

#[tokio::test]
async fn rdkafka() {
    works(Foreign::Rdkafka).await;
}

#[tokio::test]
async fn rskafka() {
    works(Foreign::Rskafka).await;
}

async fn works(foreign: Foreign) {
    let test = format!("{foreign:?} as a client");
    let Some(ebb) = Ebb::find(&test) else { return };
    let server = ebb.dev(&[]).await;
    let Some(program) = foreign.find(&test, server.addresses().kafka) else { return };
    let client = server.client().connect().await.expect("the agent serves");
    administers(foreign, &program);
    writes(&server, &client, foreign, &program).await;
    if foreign.reads_alone() {
        reads(&server, &client, foreign, &program).await;
    }
    if foreign.finds_positions() {
        positions::finds(&server, &client, foreign, &program).await;
    }
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

fn administers(foreign: Foreign, program: &Program) {
    let steps = program.play("refusals", &[("topic", "absent")], b"");
    assert_eq!(answers(&steps), ["unknown-topic", "invalid-topic"]);
    if !foreign.topics().is_empty() {
        let steps = program.play("topics", &[("topic", "administered")], b"");
        assert_eq!(answers(&steps), foreign.topics());
    }
}

/// Keys and values of some records, which are different from those of another `kind`.
pub(crate) fn written(kind: &str) -> Vec<(String, String)> {
    (0..RECORDS).map(|i| (format!("{kind} {i}"), format!("{i} {}", "ebb and flow ".repeat(i)))).collect()
}

async fn writes(server: &Server<'_>, client: &Client, foreign: Foreign, program: &Program) {
    let topic = "from-client";
    server.create(topic, 2);
    let records = written("client");
    let input: String = records.iter().map(|(key, value)| format!("{key}\t{value}\n")).collect();
    let codecs = foreign.codecs();
    let steps = program.play("produce", &[("topic", topic), ("codecs", &codecs.join(","))], input.as_bytes());
    assert_eq!(steps, [Step::Produced(RECORDS * codecs.len())]);
    let (read, found) = sdk_read(client, topic, 2).await;
    assert_eq!(found, codecs.iter().map(|codec| format!("{:?}", compression(codec))).collect());
    let mut expect: Vec<_> = codecs.iter().flat_map(|_| records.clone()).collect();
    expect.sort();
    assert_eq!(contents(&read), expect);
}

async fn reads(server: &Server<'_>, client: &Client, foreign: Foreign, program: &Program) {
    let topic = "from-sdk";
    server.create(topic, 2);
    for codec in foreign.codecs() {
        sdk_write(client, topic, 2, codec, &written(codec)).await;
    }
    let (mut expect, _) = sdk_read(client, topic, 2).await;
    let count = expect.len().to_string();
    let mut read = records(program.play("read", &[("topic", topic), ("count", &count)], b""));
    expect.sort();
    read.sort();
    assert_eq!(read, expect);
}

fn compression(codec: &str) -> Compression {
    match codec {
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => Compression::None,
    }
}

fn contents(read: &[Read]) -> Vec<(String, String)> {
    let mut contents: Vec<_> = read.iter().map(|read| (read.key.clone(), read.value.clone())).collect();
    contents.sort();
    contents
}

/// Writes records to the partitions in turn.
pub(crate) async fn sdk_write(
    client: &Client,
    topic: &str,
    partitions: i32,
    codec: &str,
    records: &[(String, String)],
) {
    let producer =
        client.producer().compression(compression(codec)).build().expect("the settings are sensible");
    for ((key, value), partition) in records.iter().zip((0..partitions).cycle()) {
        let record = Record {
            partition: Some(PartitionIndex(partition)),
            key: Some(key.clone().into()),
            value: Some(value.clone().into()),
            headers: Vec::new(),
            timestamp: None,
        };
        drop(producer.send(topic, record).await.expect("the record is taken"));
    }
    producer.close().await.expect("all are acknowledged");
}

/// All records of a topic, by partition and offset, and the codecs of their batches.
pub(crate) async fn sdk_read(client: &Client, topic: &str, partitions: i32) -> (Vec<Read>, BTreeSet<String>) {
    let (mut records, mut codecs) = (Vec::new(), BTreeSet::new());
    for partition in (0..partitions).map(PartitionIndex) {
        let admin = client.admin();
        let listed = admin.list_offsets(topic, &[partition], OffsetSpec::Latest, Isolation::default()).await;
        let end = listed.expect("the agent serves")[0].offset.expect("a partition has an end");
        let mut consumer = client.consumer().build().expect("the settings are sensible");
        consumer.assign(topic, partition, Start::Earliest).await.expect("the topic is there");
        while consumer.position(topic, partition).is_some_and(|position| position < end) {
            let batch = consumer.next_batch().await.expect("the agent serves");
            codecs.insert(format!("{:?}", batch.batch().compression()));
            for record in batch.records().expect("it can be decompressed") {
                let record = record.expect("it can be decoded");
                let text = |bytes: Option<&bytes::Bytes>| {
                    String::from_utf8(bytes.expect("none is null").to_vec()).expect("it was text")
                };
                records.push(Read {
                    partition: record.partition.0,
                    offset: record.offset.0,
                    key: text(record.key.as_ref()),
                    value: text(record.value.as_ref()),
                });
            }
        }
    }
    (records, codecs)
}
