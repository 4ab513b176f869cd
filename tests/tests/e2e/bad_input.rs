//! What users and machines do wrong: each time one line that names the thing and the remedy, the right exit code or
//! Kafka's error code, no panic, and nothing half done.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use bytes::{Bytes, BytesMut};
use ebb_protocol::{
    batch::{BatchBuilder, Compression},
    messages::{
        ProduceRequest, StrBytes, TopicName, decode_response, encode_request,
        produce_request::{PartitionProduceData, TopicProduceData},
    },
};
use ebb_tests::{
    e2e::{
        ebb::{Ebb, Server},
        program::Ran,
    },
    s3::S3Server,
    tools::not_run,
};
use ebbtide::{ErrorCode, PartitionIndex, Record, Timestamp};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The program ended with this code and said one line on standard error that has all of these words in it.
fn said(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "one line: {}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is in {}", ran.stderr);
    }
}

#[tokio::test]
async fn the_tools_say_what_is_wrong_in_a_line() {
    let Some(ebb) = Ebb::find("bad input at the command line") else { return };
    let server = ebb.dev(&[]).await;
    server.create("taken", 2);
    let long = "a".repeat(2_000_000);
    let cases: [(&[&str], &str, &[&str]); 19] = [
        (&["produce", "absent"], "x\n", &["\"absent\"", "create it"]),
        (&["consume", "absent", "--exit-at-end"], "", &["\"absent\""]),
        (&["topic", "describe", "absent"], "", &["\"absent\""]),
        (&["topic", "delete", "absent"], "", &["\"absent\""]),
        (&["topic", "create", "taken"], "", &["\"taken\"", "exists"]),
        (&["topic", "create", "no/name"], "", &["\"no/name\"", "a-z"]),
        (&["topic", "create", "none", "--partitions", "0"], "", &["\"none\"", "10000"]),
        (&["topic", "create", "odd", "--config", "retention.ms=soon"], "", &["retention.ms", "integer"]),
        (&["topic", "create", "odd", "--config", "colour=red"], "", &["\"colour\""]),
        (&["topic", "alter", "taken", "--partitions", "1"], "", &["\"taken\"", "2 partitions"]),
        (&["consume", "taken", "-p", "9"], "", &["\"taken\"", "partition 9", "0 to 1"]),
        (&["produce", "taken", "--format", "jsonl"], "{\"partition\":9}\n", &["partition 9", "0 to 1"]),
        (&["produce", "taken", "--format", "jsonl"], "{\n", &["standard input, line 1"]),
        (
            &["produce", "taken", "--compression", "none"],
            &long,
            &["\"taken\"", "max.message.bytes of 1048588"],
        ),
        (&["produce", "taken", "--key-separator", ":"], "x\n", &["line 1", "\":\""]),
        (&["produce", "taken", "--file", "absent.txt"], "", &["absent.txt"]),
        (
            &["topic", "list", "--server", "quic://127.0.0.1:1"],
            "",
            &["127.0.0.1:1", "check that the server runs"],
        ),
        (&["topic", "list", "--server", "http://localhost"], "", &["http://localhost", "quic://HOST:PORT"]),
        (&["topic", "list", "--log", "ebb_agent=loud"], "", &["--log ebb_agent=loud", "\"debug\""]),
    ];
    for (arguments, input, words) in cases {
        said(&server.run(arguments, input.as_bytes()), 1, words);
    }
    let usages: [&[&str]; 4] = [
        &["frobnicate"],
        &["produce"],
        &["produce", "taken", "--compression", "brotli"],
        &["topic", "list", "--colour"],
    ];
    for arguments in usages {
        let ran = server.run(arguments, b"");
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
    }
    // None of it left anything.
    assert_eq!(server.run(&["topic", "list"], b"").ok().text(), "taken\t2\n");
    assert_eq!(
        server.run(&["consume", "taken", "--from", "beginning", "--exit-at-end"], b"").ok().text(),
        ""
    );
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let Some(ebb) = Ebb::find("servers that cannot start") else { return };
    let mut server = ebb.dev(&[]).await;
    let taken = server.addresses();
    let other = |flag: &str, address: &str| {
        let mut arguments = vec!["dev", "--data-dir", "other"];
        for name in ["--kafka", "--quic", "--http"] {
            arguments.extend([name, if name == flag { address } else { "127.0.0.1:0" }]);
        }
        ebb.run(&arguments, b"")
    };
    for (flag, address) in [("--kafka", taken.kafka), ("--quic", taken.quic), ("--http", taken.http)] {
        let address = address.to_string();
        said(&other(flag, &address), 1, &[&address, "in use", "choose another"]);
    }
    assert!(!ebb.home().join("other/store").exists(), "nothing was stored");

    // A data directory of a newer version: its entries are of a format that nobody here knows.
    server.kill();
    let entry = ebb.data().join("store/log").join(format!("{:020}", 0));
    let mut bytes = fs::read(&entry).expect("the log has a first entry");
    bytes[4] = 200;
    fs::write(&entry, &bytes).expect("the entry can be written");
    let data = ebb.data();
    let data = data.to_str().expect("a plain name");
    let free = ["--kafka", "127.0.0.1:0", "--quic", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    said(
        &ebb.run(&[&["dev", "--data-dir", data], &free[..]].concat(), b""),
        1,
        &["version 200", "newer ebb"],
    );
    assert_eq!(fs::read(&entry).expect("it is still there"), bytes, "nothing was changed");
    for (arguments, words) in [
        (&["agent", "--kafka", "127.0.0.1:0"][..], ["--store", "s3://BUCKET"]),
        (&["agent", "--store", "ftp://x", "--kafka", "127.0.0.1:0"], ["ftp://x", "s3://BUCKET"]),
        (&["agent", "--store", "file:///tmp"], ["listener", "--quic"]),
        (&["agent", "--store", "memory:///", "--kafka", "0.0.0.0:0"], ["0.0.0.0:0", "--insecure-plaintext"]),
        (&["fsck", "--data-dir", "absent"], ["absent", "--data-dir"]),
    ] {
        said(&ebb.run(arguments, b""), 1, &words);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_cannot_be_used_is_named() {
    let test = "S3: buckets that cannot be used";
    let Some(s3) = S3Server::start(test).await else { return };
    let agent = |store: &str, variable: &str, value: &str| {
        let ebb = Ebb::find(test)?.env(s3.env()).env([(variable.to_owned(), value.to_owned())]);
        Some(ebb.run(&["agent", "--store", store, "--kafka", "127.0.0.1:0"], b""))
    };
    let cases: [(&str, &str, &str, &[&str]); 3] = [
        ("s3://ebb/log", "AWS_SECRET_ACCESS_KEY", "wrong", &["object store", "credentials"]),
        ("s3://absent/log", "AWS_REGION", "us-east-1", &["object store", "NoSuchBucket"]),
        (
            "s3://ebb/log",
            "AWS_ENDPOINT",
            "http://127.0.0.1:1",
            &["object store", "127.0.0.1:1", "check its address"],
        ),
    ];
    for (store, variable, value, words) in cases {
        let Some(ran) = agent(store, variable, value) else { return };
        said(&ran, 1, words);
    }
}

/// A batch of one record.
fn batch(value: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::default();
    builder.append(Timestamp(1_700_000_000_000), None, Some(value), &[]).expect("a batch takes the record");
    builder.finish(Compression::None, None).expect("a record is in it").bytes().clone()
}

/// A request to produce `batch` to a partition, with acks=all.
fn produce(topic: &str, partition: i32, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_get_kafkas_codes() {
    let Some(ebb) = Ebb::find("error codes to clients") else { return };
    let server = ebb.dev(&[]).await;
    server.create("t", 1);
    let client = server.client().connect().await.expect("the agent serves");
    let producer = client.producer().build().expect("the settings are sensible");
    let absent =
        producer.send("absent", Record::new("x")).await.map(drop).expect_err("there is no such topic");
    assert_eq!(absent.code(), Some(ErrorCode::UnknownTopicOrPartition), "{absent}");
    let elsewhere = producer.send("t", Record::new("x").partition(PartitionIndex(7))).await.map(drop);
    assert!(elsewhere.is_err_and(|error| error.has_no_side_effects()), "there is no such partition");
    let large = producer.send("t", Record::new(vec![0; 2_000_000])).await.expect("the producer has room");
    let large = large.await.expect_err("the topic does not take it");
    assert_eq!(large.code(), Some(ErrorCode::MessageTooLarge), "{large}");

    let sound = batch(b"value");
    let changed = |at: usize, to: u8| {
        let mut bytes = BytesMut::from(&*sound);
        bytes[at] = to;
        bytes.freeze()
    };
    let last = sound.len() - 1;
    for (partition, batch, expect) in [
        (0, changed(last, 7), ErrorCode::CorruptMessage.code()),
        (0, changed(16, 1), ErrorCode::UnsupportedForMessageFormat.code()),
        (0, sound.slice(..last), ErrorCode::CorruptMessage.code()),
        (7, sound.clone(), ErrorCode::UnknownTopicOrPartition.code()),
        (0, sound.clone(), 0),
    ] {
        assert_eq!(answer(&server, produce("t", partition, batch)).await.0, expect);
    }
    let read = server.run(&["consume", "t", "--from", "beginning", "--exit-at-end"], b"").ok();
    assert_eq!(read.text(), "value\n", "only what was acknowledged is there");
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

/// Sends one request over TCP, and gives the error code and message that its partition got.
async fn answer(server: &Server<'_>, request: ProduceRequest) -> (i16, String) {
    const VERSION: i16 = 9;
    let mut connection = TcpStream::connect(server.addresses().kafka).await.expect("the agent listens");
    let frame = encode_request(&request, VERSION, 1, None).expect("the request can be encoded");
    connection.write_all(&frame).await.expect("the agent reads");
    let length = connection.read_u32().await.expect("the agent answers");
    let mut frame = vec![0; usize::try_from(length).expect("a small answer")];
    connection.read_exact(&mut frame).await.expect("the answer is whole");
    let answer = decode_response::<ProduceRequest>(&frame.into(), VERSION).expect("an answer to the request");
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.error_message.as_deref().unwrap_or_default().to_owned())
}

/// Runs what follows in a mount namespace of its own, in which `$1` is a small disk.
const SMALL_DISK: &str = r#"mkdir -p "$1" && mount -t tmpfs -o size=8m tmpfs "$1" && shift && exec "$@""#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_is_survived() {
    let test = "a full disk";
    let Some(ebb) = Ebb::find(test) else { return };
    let disk = ebb.home().join("disk");
    let disk = disk.to_str().expect("a plain name").to_owned();
    let inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, "sh", &disk];
    if !ebb.can_run_inside(&inside) {
        return not_run("a full disk: no file system can be mounted here (unshare --map-root-user --mount)");
    }
    let ebb = ebb.inside(&inside);
    let server = ebb.dev(&["--store", &format!("file://{disk}/store")]).await;
    server.create("t", 1);
    let _ = server.run(&["produce", "t"], b"before\n").ok();
    let ballast = server.path_inside(&Path::new(&disk).join("ballast"));
    fill(&ballast).expect("the disk takes what fits");

    // A large flush is an object of its own, which was not written. A small one is an entry of the log, and whether
    // it was written stays unknown until the log can be written again.
    let (code, message) = answer(&server, produce("t", 0, batch(&vec![b'x'; 700_000]))).await;
    assert_eq!(code, ErrorCode::KafkaStorageError.code(), "{message}");
    assert!(message.contains("no space left"), "{message}");
    let (code, message) = answer(&server, produce("t", 0, batch(b"small")).with_timeout_ms(1000)).await;
    assert_eq!(code, ErrorCode::RequestTimedOut.code(), "{message}");
    fs::remove_file(&ballast).expect("the ballast can be removed");
    let _ = server.run(&["produce", "t"], b"after\n").ok();
    let read = server.run(&["consume", "t", "--from", "beginning", "--exit-at-end"], b"").ok();
    let read: Vec<&str> = read.text().lines().filter(|line| *line != "small").collect();
    assert_eq!(read, ["before", "after"]);
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

/// Writes zeros until the disk is full.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    loop {
        match file.write(&[0; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
