//! Key compaction: of each key the latest record stays, and clients read over the gaps.

use std::{collections::BTreeMap, time::Duration};

use ebb_tests::e2e::{ebb::Ebb, foreign::Kcat};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// How long archiving and compacting may take.
const WAIT_MAX: Duration = Duration::from_secs(180);

/// Offsets, keys and values, as kcat prints them.
fn read(kcat: &Kcat, from: &str) -> Vec<(i64, String)> {
    let format = ["-e", "-q", "-f", "%o %k=%s\n"];
    let read = kcat.run(&[&["-C", "-t", "compacted", "-o", from][..], &format].concat(), b"").ok();
    let line = |line: &str| {
        let (offset, pair) = line.split_once(' ').expect("the format says so");
        (offset.parse().expect("an offset"), pair.to_owned())
    };
    read.text().lines().map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_topic_keeps_the_latest_of_each_key() {
    let test = "compaction by key";
    let Some(ebb) = Ebb::find(test) else { return };
    let server = ebb.dev(&["--archive-window-age", "1s"]).await;
    let Some(kcat) = Kcat::find(test, server.addresses().kafka) else { return };
    let mut words = vec!["topic", "create", "compacted", "--partitions", "1"];
    words.extend(["--config", "cleanup.policy=compact", "--config", "min.cleanable.dirty.ratio=0"]);
    words.extend(["--config", "delete.retention.ms=0"]);
    let _ = server.run(&words, b"").ok();
    let mut latest = BTreeMap::new();
    let produce = |round: i64, keys: &[i64]| {
        let lines: String = keys.iter().map(|key| format!("k{key}:{round}\n")).collect();
        let _ = kcat.run(&["-P", "-t", "compacted", "-K", ":"], lines.as_bytes()).ok();
    };
    let mut next = 0;
    for round in 0..5 {
        let keys: Vec<_> = (round..10).collect();
        produce(round, &keys);
        for key in keys {
            latest.insert(key, (next, format!("k{key}={round}")));
            next += 1;
        }
    }
    // `-Z` sends an empty value as none.
    let _ = kcat.run(&["-P", "-t", "compacted", "-K", ":", "-Z"], b"k0:\n").ok();
    produce(9, &[99]);
    latest.remove(&0);
    latest.insert(99, (next + 1, "k99=9".to_owned()));
    let mut expected: Vec<_> = latest.into_values().collect();
    expected.sort();
    let (started, mut renewed) = (Instant::now(), 0);
    loop {
        let found = read(&kcat, "beginning");
        let without_more: Vec<_> =
            found.iter().filter(|(_, pair)| !pair.starts_with("more")).cloned().collect();
        if without_more == expected {
            break;
        }
        assert!(started.elapsed() < WAIT_MAX, "expected {expected:?}, found {found:?}");
        // A tombstone goes when a later pass comes, and that comes with new records.
        renewed += 1;
        let _ = kcat.run(&["-P", "-t", "compacted", "-K", ":"], format!("more:{renewed}\n").as_bytes()).ok();
        sleep(Duration::from_secs(3)).await;
    }
    for (from, _) in read(&kcat, "beginning").windows(2).map(|pair| (pair[0].0 + 1, &pair[1])) {
        let found = read(&kcat, &from.to_string());
        let expected: Vec<_> = read(&kcat, "beginning").into_iter().filter(|(at, _)| *at >= from).collect();
        assert_eq!(found.first(), expected.first(), "from {from}, which may be in a gap");
    }
    // The SDK comes to the end as well: the last record is there.
    let words = ["consume", "compacted", "--from", "beginning", "--exit-at-end", "--format", "kv"];
    let sdk = server.run(&words, b"").ok();
    let pairs =
        sdk.text().lines().filter(|line| !line.starts_with("more")).map(|line| line.replace('\t', "="));
    assert_eq!(pairs.collect::<Vec<_>>(), expected.into_iter().map(|(_, pair)| pair).collect::<Vec<_>>());
    drop(server);
    ebb.fsck();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_compacted_at_once_when_somebody_asks() {
    let test = "compaction by key, at once";
    let Some(ebb) = Ebb::find(test) else { return };
    let mut server = ebb.dev(&["--archive-window-age", "1h"]).await;
    let words = ["topic", "create", "compacted", "--config", "cleanup.policy=compact"];
    let _ = server.run(&words, b"").ok();
    let produce = |lines: &[u8]| {
        let _ = server.run(&["produce", "compacted", "--key-separator", ":"], lines).ok();
    };
    let (data, store) = (ebb.data(), ["archive", "status", "compacted", "--json"]);
    let bucket = ["--data-dir", data.to_str().expect("a plain name")];
    let dirty = || {
        let status = ebb.run(&[&store[..], &bucket].concat(), b"").ok();
        let status: Value = serde_json::from_str(status.text()).expect("JSON");
        (status[0]["compaction"]["dirty_records"].clone(), status[0]["records"].clone())
    };
    produce(b"a:1\nb:1\na:2\n");
    assert_eq!(dirty(), (0.into(), 0.into()), "nothing is archived yet");
    let archive = || ebb.run(&[&["archive", "run"][..], &bucket].concat(), b"").ok();
    let ran = archive();
    assert!(ran.text().starts_with("archived 3 records in "), "{}", ran.text());
    assert!(ran.text().ends_with("compacted by key, 1 records dropped\n"), "{}", ran.text());
    assert_eq!(dirty(), (0.into(), 2.into()));
    produce(b"b:2\n");
    let _ = archive();
    let words = ["consume", "compacted", "--from", "beginning", "--exit-at-end", "--format", "kv"];
    assert_eq!(server.run(&words, b"").ok().text(), "a\t2\nb\t2\n");
    server.kill();
    ebb.fsck();
}
