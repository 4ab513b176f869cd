//! Retention: what is too old or too much goes, from segments and from the archive, and clients read on behind it.

use std::{fs, time::Duration};

use ebb_tests::e2e::{
    ebb::{Ebb, Server},
    foreign::Kcat,
};
use ebbtide::{Client, Isolation, PartitionIndex, admin::OffsetSpec};
use tokio::time::{Instant, sleep};

/// How long records are kept that are to go. Archiving them takes less.
const KEPT: Duration = Duration::from_secs(6);
/// How long it may take then.
const WAIT_MAX: Duration = Duration::from_secs(60);

async fn offset(client: &Client, topic: &str, spec: OffsetSpec) -> i64 {
    let listed =
        client.admin().list_offsets(topic, &[PartitionIndex(0)], spec, Isolation::ReadUncommitted).await;
    listed.expect("the agent serves")[0].offset.expect("a partition has ends").0
}

/// Waits until the log of a topic begins at an offset.
async fn begins_at(client: &Client, topic: &str, expected: i64) {
    let started = Instant::now();
    loop {
        let found = offset(client, topic, OffsetSpec::Earliest).await;
        if found == expected {
            return;
        }
        assert!(found < expected && started.elapsed() < WAIT_MAX, "{topic} begins at {found}");
        sleep(Duration::from_millis(200)).await;
    }
}

fn archive_files(ebb: &Ebb) -> usize {
    let topics = fs::read_dir(ebb.data().join("store/archive")).into_iter().flatten();
    topics.flatten().map(|topic| fs::read_dir(topic.path()).into_iter().flatten().count()).sum()
}

fn create(server: &Server<'_>, topic: &str, configs: &[&str]) {
    let mut words = vec!["topic", "create", topic, "--partitions", "1"];
    words.extend(configs.iter().flat_map(|config| ["--config", *config]));
    let _ = server.run(&words, b"").ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_records_go_and_clients_read_on() {
    let test = "retention of old records";
    let Some(ebb) = Ebb::find(test) else { return };
    let server = ebb.dev(&["--archive-window-age", "1s"]).await;
    let Some(kcat) = Kcat::find(test, server.addresses().kafka) else { return };
    let kept = format!("retention.ms={}", KEPT.as_millis());
    create(&server, "old", &[&kept]);
    create(&server, "kept", &[]);
    let lines: String = (0..100).map(|number| format!("{number}\n")).collect();
    for topic in ["old", "kept"] {
        let _ = kcat.run(&["-P", "-t", topic], lines.as_bytes()).ok();
    }
    let client = server.client().connect().await.expect("the agent serves");
    let started = Instant::now();
    while archive_files(&ebb) < 2 {
        assert!(started.elapsed() < WAIT_MAX, "both topics are archived");
        sleep(Duration::from_millis(100)).await;
    }
    begins_at(&client, "old", 100).await;
    let _ = kcat.run(&["-P", "-t", "old"], b"a\nb\nc\n").ok();
    // A consumer that begins at the start, and one whose offset is gone, read what is there.
    let format = ["-e", "-q", "-f", "%o %s\n"];
    for from in ["beginning", "7"] {
        let reset = ["-X", "auto.offset.reset=earliest"];
        let read = kcat.run(&[&["-C", "-t", "old", "-o", from][..], &reset, &format].concat(), b"").ok();
        assert_eq!(read.text(), "100 a\n101 b\n102 c\n", "from {from}");
    }
    begins_at(&client, "old", 103).await;
    let read = kcat.run(&[&["-C", "-t", "kept", "-o", "beginning"][..], &format].concat(), b"").ok();
    assert_eq!(read.text().lines().count(), 100, "other topics keep theirs");
    client.close().await;
    drop(server);
    ebb.fsck();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_keeps_no_more_than_it_may() {
    let test = "retention of bytes";
    let Some(ebb) = Ebb::find(test) else { return };
    let server = ebb.dev(&[]).await;
    let Some(kcat) = Kcat::find(test, server.addresses().kafka) else { return };
    // It is the topic with a short time that makes agents look often.
    create(&server, "short", &["retention.ms=1000"]);
    create(&server, "small", &["retention.bytes=10000"]);
    let record = vec![b'x'; 4_000];
    for _ in 0..10 {
        let _ = kcat.run(&["-P", "-t", "small"], &record).ok();
    }
    let client = server.client().connect().await.expect("the agent serves");
    // Two are less than 10,000 bytes, three are more.
    begins_at(&client, "small", 7).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(offset(&client, "small", OffsetSpec::Earliest).await, 7, "what may stay stays");
    client.close().await;
    drop(server);
    ebb.fsck();
}
