//! Kafka Streams counts words, at least once: it makes topics of its own, and goes on after a restart.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use ebb_tests::{
    e2e::{
        contract::jvm,
        ebb::{Ebb, Server},
    },
    tools::Tool,
};
use ebbtide::Client;

use crate::contract::{sdk_read, sdk_write};

/// How long the counts may take, on a machine that is busy with other tests.
const COUNTS_MAX: Duration = Duration::from_secs(90);
/// Pause between two looks at the counts.
const POLL: Duration = Duration::from_millis(200);
/// Partitions of the lines and of the counts.
const PARTITIONS: i32 = 2;

/// A running word count. Dropping it kills it.
struct WordCount(Child);

impl WordCount {
    /// Starts it and waits until it runs.
    fn start(server: &Server<'_>, ebb: &Ebb, folder: PathBuf) -> Self {
        let words = jvm(folder, "WordCount");
        let broker = server.addresses().kafka.to_string();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .args([broker.as_str(), "word-count", "lines", "counts"])
            .arg(state(ebb))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("java can be started");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("it was asked for"));
        let _ = output.read_line(&mut line).expect("it writes text");
        assert_eq!(line, "running\n");
        Self(child)
    }

    /// Has it commit and leave.
    fn stop(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("the process is our child").success());
    }
}

impl Drop for WordCount {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the application keeps its state.
fn state(ebb: &Ebb) -> PathBuf {
    ebb.home().join("streams")
}

/// The newest count of each word in the changelog of the application's state.
async fn logged(client: &Client) -> BTreeMap<String, String> {
    let (counts, _) = sdk_read(client, "word-count-counts-changelog", PARTITIONS).await;
    let count = |value: String| {
        // A count below 128, as eight bytes, is text too.
        let bytes = value.into_bytes().try_into().expect("a count has eight bytes");
        i64::from_be_bytes(bytes).to_string()
    };
    counts.into_iter().map(|read| (read.key, count(read.value))).collect()
}

/// Waits until the newest count of each word is the expected one.
async fn counted(client: &Client, expect: &BTreeMap<String, String>) {
    let waiting = async {
        loop {
            let (counts, _) = sdk_read(client, "counts", PARTITIONS).await;
            let newest: BTreeMap<_, _> = counts.into_iter().map(|read| (read.key, read.value)).collect();
            if newest == *expect {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(COUNTS_MAX, waiting).await.expect("the words are counted in time");
}

#[tokio::test]
async fn word_count() {
    let test = "Kafka Streams";
    let (Some(ebb), Some(folder)) = (Ebb::find(test), Tool::JvmClients.find(test)) else { return };
    let server = ebb.dev(&[]).await;
    let client = server.client().connect().await.expect("the agent serves");
    for topic in ["lines", "counts"] {
        server.create(topic, usize::try_from(PARTITIONS).expect("a count"));
    }
    let lines: Vec<_> = (0..20).map(|i| (i.to_string(), "ebb and flow and ebb".to_owned())).collect();
    let times = |rounds: usize| {
        let words = [("ebb", 40), ("and", 40), ("flow", 20)];
        words.map(|(word, count)| (word.to_owned(), (count * rounds).to_string())).into()
    };
    for round in 1..=3 {
        if round == 3 {
            // Without its own state it has nothing but the changelog to go on from.
            std::fs::remove_dir_all(state(&ebb)).expect("it has state of its own");
        }
        let streams = WordCount::start(&server, &ebb, folder.clone());
        sdk_write(&client, "lines", PARTITIONS, "lz4", &lines).await;
        counted(&client, &times(round)).await;
        streams.stop();
        assert_eq!(logged(&client).await, times(round), "what it would be restored from");
    }
    assert!(!server.said().contains("panicked"), "{}", server.said());
}
