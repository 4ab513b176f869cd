//! Merging: many small files of a quiet topic become few, and neither consumers nor analysts see another record.

use std::time::Duration;

use ebb_tests::e2e::{ebb::Ebb, foreign::Kcat, http};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Rounds of producing and archiving; each is a file.
const ROUNDS: usize = 12;
/// Records of a round.
const RECORDS: usize = 50;
/// How long merging may take.
const WAIT_MAX: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_files_become_few_and_consumers_read_the_same() {
    let test = "merging of small files";
    let Some(ebb) = Ebb::find(test) else { return };
    let mut server = ebb.dev(&["--archive-file-bytes", "0"]).await;
    let Some(kcat) = Kcat::find(test, server.addresses().kafka) else { return };
    server.create("quiet", 2);
    let data = ebb.data();
    let bucket = ["--data-dir", data.to_str().expect("a plain name")];
    for round in 0..ROUNDS {
        let lines: String = (0..RECORDS).map(|number| format!("k{number}:{round} {number}\n")).collect();
        let _ = kcat.run(&["-P", "-t", "quiet", "-K", ":"], lines.as_bytes()).ok();
        let _ = ebb.run(&[&["archive", "run"][..], &bucket].concat(), b"").ok();
    }
    let files = || {
        let listed = ebb.run(&[&["archive", "ls", "quiet", "--json"][..], &bucket].concat(), b"").ok();
        let listed: Vec<Value> = serde_json::from_str(listed.text()).expect("JSON");
        listed.len()
    };
    // All that a consumer sees: partition, offset, timestamp, headers, key and value.
    let read = |kcat: &Kcat| {
        let arguments = ["-C", "-t", "quiet", "-o", "beginning", "-e", "-q", "-f", "%p %o %T [%h] %k %s\n"];
        let read = kcat.run(&arguments, b"").ok();
        let mut lines: Vec<_> = read.text().lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let before = read(&kcat);
    assert_eq!((before.len(), files()), (ROUNDS * RECORDS, ROUNDS));
    server.kill();
    drop(server);

    let server = ebb.dev(&[]).await;
    let kcat = Kcat::find(test, server.addresses().kafka).expect("it was there before");
    let started = Instant::now();
    while files() == ROUNDS {
        assert!(started.elapsed() < WAIT_MAX, "nothing was merged");
        sleep(Duration::from_secs(1)).await;
    }
    assert!(files() <= ROUNDS / 2, "{} files are left", files());
    assert_eq!(read(&kcat), before, "consumers read what they read before");
    let path = "/iceberg/v1/namespaces/kafka/tables/quiet";
    let (status, table) = http::get(server.addresses().http, path).await.expect("the agent answers");
    assert_eq!(status, 200, "{table}");
    let table: Value = serde_json::from_str(&table).expect("JSON");
    let snapshots = table["metadata"]["snapshots"].as_array().expect("there are snapshots").clone();
    let summary = &snapshots.last().expect("there is one")["summary"];
    let total = (ROUNDS * RECORDS).to_string();
    assert_eq!(summary["operation"], "replace", "{summary}");
    assert_eq!(summary["total-records"].as_str(), Some(total.as_str()), "{summary}");
    drop(server);
    ebb.fsck();
}
