//! The SDK, confluent-kafka for Python and kcat write and read each other's records.

use std::collections::BTreeSet;

use ebb_protocol::batch::Compression;
use ebb_tests::e2e::{
    ebb::{Ebb, Server},
    foreign::{Kcat, Python},
};
use ebbtide::{Client, Header, Isolation, PartitionIndex, Record, Start, Timestamp, admin::OffsetSpec};
use serde::{Deserialize, Serialize};

const CODECS: [(&str, Compression); 5] = [
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("snappy", Compression::Snappy),
    ("lz4", Compression::Lz4),
    ("zstd", Compression::Zstd),
];
/// Where the records' own times begin.
const TIME: i64 = 1_700_000_000_000;
/// What kcat prints of a record: lengths are -1 where key or value are null.
const KCAT_FORMAT: &str = "%p %o %T [%h] %K %k %S %s\n";

/// A record as `records.py` reads and writes it: a character of a string is a byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Plain {
    partition: i32,
    #[serde(default)]
    offset: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
    timestamp: i64,
}

fn characters(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).expect("a character is a byte")).collect()
}

/// What is written with one codec (kcat prints a header up to its first zero byte, so there is none in them): null and empty fields, every byte, headers whose names repeat, own times.
/// The `offset` is where it must come to stand in partition 0.
fn written(first: i64) -> Vec<Plain> {
    let all = characters(&(0..=255).collect::<Vec<u8>>());
    let record = |key: Option<&str>, value: Option<&str>, headers: &[(&str, Option<&str>)]| Plain {
        partition: 0,
        offset: 0,
        key: key.map(str::to_owned),
        value: value.map(str::to_owned),
        headers: headers.iter().map(|(k, v)| ((*k).to_owned(), v.map(str::to_owned))).collect(),
        timestamp: 0,
    };
    let mut records = vec![
        record(Some("key"), Some("value"), &[]),
        record(None, Some("no key"), &[]),
        record(Some("no value"), None, &[]),
        record(None, None, &[]),
        record(Some(""), Some(""), &[]),
        record(
            Some("headers"),
            Some("x"),
            &[("a", Some("1")), ("a", Some("2")), ("b", None), ("c", Some(""))],
        ),
        record(Some(&all), Some(&all), &[("bytes", Some(&all[1..]))]),
    ];
    // Something to compress.
    records.extend((0..50).map(|i| record(Some(&format!("key {i}")), Some(&"ebb and flow ".repeat(i)), &[])));
    for (offset, record) in (first..).zip(&mut records) {
        record.offset = offset;
        record.timestamp = TIME + offset;
    }
    records
}

async fn sdk_write(client: &Client, topic: &str, codec: Compression, records: &[Plain]) {
    let producer = client.producer().compression(codec).build().expect("the settings are sensible");
    for plain in records {
        let field = |text: &Option<String>| text.as_deref().map(|text| bytes(text).into());
        let header =
            |(key, value): &(String, Option<String>)| Header { key: bytes(key).into(), value: field(value) };
        let record = Record {
            partition: Some(PartitionIndex(plain.partition)),
            key: field(&plain.key),
            value: field(&plain.value),
            headers: plain.headers.iter().map(header).collect(),
            timestamp: Some(Timestamp(plain.timestamp)),
        };
        drop(producer.send(topic, record).await.expect("the record is taken"));
    }
    producer.close().await.expect("all are acknowledged");
}

/// The records of partition 0, and the codecs of its batches.
async fn sdk_read(client: &Client, topic: &str) -> (Vec<Plain>, BTreeSet<String>) {
    let admin = client.admin();
    let listed = admin.list_offsets(topic, &[PartitionIndex(0)], OffsetSpec::Latest, Isolation::default());
    let end = listed.await.expect("the agent serves")[0].offset.expect("a partition has an end");
    let mut consumer = client.consumer().build().expect("the settings are sensible");
    consumer.assign(topic, PartitionIndex(0), Start::Earliest).await.expect("the topic is there");
    let (mut records, mut codecs) = (Vec::new(), BTreeSet::new());
    while consumer.position(topic, PartitionIndex(0)).is_some_and(|position| position < end) {
        let batch = consumer.next_batch().await.expect("the agent serves");
        codecs.insert(format!("{:?}", batch.batch().compression()));
        for record in batch.records().expect("it can be decompressed") {
            let record = record.expect("it can be decoded");
            let text = |bytes: &bytes::Bytes| characters(bytes);
            records.push(Plain {
                partition: record.partition.0,
                offset: record.offset.0,
                key: record.key.as_ref().map(text),
                value: record.value.as_ref().map(text),
                headers: record.headers.iter().map(|h| (text(&h.key), h.value.as_ref().map(text))).collect(),
                timestamp: record.timestamp.0,
            });
        }
    }
    (records, codecs)
}

/// A record as kcat prints it.
fn as_kcat(record: &Plain) -> Vec<u8> {
    let length = |field: &Option<String>| {
        field.as_ref().map_or(-1, |text| i64::try_from(text.chars().count()).unwrap_or(-1))
    };
    let headers: Vec<String> = record
        .headers
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_deref().unwrap_or("NULL")))
        .collect();
    let line = format!(
        "{} {} {} [{}] {} {} {} {}\n",
        record.partition,
        record.offset,
        record.timestamp,
        headers.join(","),
        length(&record.key),
        record.key.as_deref().unwrap_or_default(),
        length(&record.value),
        record.value.as_deref().unwrap_or_default(),
    );
    bytes(&line)
}

/// All three read the same from a topic; answers it.
async fn read_by_all(
    server: &Server<'_>,
    client: &Client,
    python: &Python,
    kcat: &Kcat,
    topic: &str,
) -> Vec<Plain> {
    let (records, codecs) = sdk_read(client, topic).await;
    let expect: BTreeSet<String> = CODECS.iter().map(|(_, codec)| format!("{codec:?}")).collect();
    assert_eq!(codecs, expect, "{topic}: every codec is in use");
    let broker = server.addresses().kafka.to_string();
    let read = python.run("records.py", &[&broker, topic, "read"], b"").ok();
    let by_python: Vec<Plain> =
        read.text().lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
    assert_eq!(by_python, records, "{topic}: Python");
    let by_kcat =
        kcat.run(&["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", KCAT_FORMAT], b"").ok().stdout;
    let expect: Vec<u8> = records.iter().flat_map(as_kcat).collect();
    assert!(by_kcat == expect, "{topic}: kcat: {}", String::from_utf8_lossy(&by_kcat));
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_read_what_others_write() {
    let test = "SDK, Python and kcat read each other's records";
    let (Some(ebb), Some(python)) = (Ebb::find(test), Python::find(test)) else { return };
    let server = ebb.dev(&[]).await;
    let broker = server.addresses().kafka;
    let Some(kcat) = Kcat::find(test, broker) else { return };
    let client = server.client().connect().await.expect("the agent serves");
    for topic in ["from-sdk", "from-python", "from-kcat"] {
        server.create(topic, 1);
    }
    let mut expect = Vec::new();
    for (name, codec) in CODECS {
        let records = written(i64::try_from(expect.len()).expect("a count"));
        sdk_write(&client, "from-sdk", codec, &records).await;
        let mut lines = Vec::new();
        for record in &records {
            serde_json::to_writer(&mut lines, record).expect("a record is JSON");
            lines.push(b'\n');
        }
        let setting = format!("compression.type={name}");
        let _ =
            python.run("records.py", &[&broker.to_string(), "from-python", "write", &setting], &lines).ok();
        expect.extend(records);
    }
    assert_eq!(read_by_all(&server, &client, &python, &kcat, "from-sdk").await, expect);
    assert_eq!(read_by_all(&server, &client, &python, &kcat, "from-python").await, expect);

    // kcat gives all records of a run the same headers, and no times of their own.
    let mut expect = Vec::new();
    for (name, _) in CODECS {
        let lines: String =
            (0..50).map(|i| format!("key {i}\t{}\n", "ebb and flow ".repeat(i + 1))).collect();
        let input = format!("{lines}\tnull key\nnull value\t\n");
        let arguments = ["-P", "-t", "from-kcat", "-z", name, "-K", "\t", "-Z", "-H", "a=1", "-H", "b=2"];
        let _ = kcat.run(&arguments, input.as_bytes()).ok();
        let field = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        expect.extend(
            input.lines().map(|line| line.split_once('\t').map(|(key, value)| (field(key), field(value)))),
        );
    }
    let records = read_by_all(&server, &client, &python, &kcat, "from-kcat").await;
    let headers = [("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), Some("2".to_owned()))];
    assert!(records.iter().all(|record| record.headers == headers && record.timestamp > TIME));
    let read: Vec<_> = records.into_iter().map(|record| Some((record.key, record.value))).collect();
    assert_eq!(read, expect);
}

#[tokio::test]
async fn python_administers_an_agent() {
    let test = "administration by confluent-kafka";
    let (Some(ebb), Some(python)) = (Ebb::find(test), Python::find(test)) else { return };
    let server = ebb.dev(&[]).await;
    let _ = python.run("admin.py", &[&server.addresses().kafka.to_string()], b"").ok();
    assert!(!server.said().contains("panicked"), "{}", server.said());
}
