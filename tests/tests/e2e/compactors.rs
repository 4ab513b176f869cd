//! Compactors are killed at any moment, two at a time, while agents serve a load. What they did in part is done by others,
//! and nothing that was acknowledged is lost: on a directory, and on a real S3 server with topics of every kind.

use std::{
    collections::BTreeMap,
    env, fs, iter,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use ebb_compactor::sweeper::SweepCounts;
use ebb_protocol::random::Random;
use ebb_tests::{
    e2e::{
        ebb::{Ebb, Server},
        http,
        load::{Load, Plan},
    },
    s3::S3Server,
};
use ebbtide::{Client, ConsumerRecord, Isolation, Offset, PartitionIndex, Record, Start, admin::OffsetSpec};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::sweep::{fsck, sweep_later};

/// How often compactors are killed when nothing else is said; `tests/soak compactor` says more.
const KILLS: u64 = 8;
/// The same on a bucket, where each takes longer.
const KILLS_ON_BUCKET: u64 = 4;
/// The variable that says how often.
const KILLS_VARIABLE: &str = "EBB_TEST_COMPACTOR_KILLS";
/// Compactors are killed at a random time within this after their start.
const LIFE_MAX_MS: u64 = 1_500;
/// Records that must be acknowledged meanwhile, and the time for it.
const PROGRESS: usize = 20;
const PROGRESS_MAX: Duration = Duration::from_secs(30);
/// Reading a topic may take this long.
const READ_MAX: Duration = Duration::from_secs(60);
/// Keys of the compacted topic.
const KEYS: u64 = 50;
/// Pause of a writer between two records.
const PACE: Duration = Duration::from_millis(2);

const COMPACTED: &str = "compacted";
/// What is old of this topic goes.
const PASSING: &str = "passing";
/// Bytes that a record of it has, and that it keeps.
const PASSING_BYTES: usize = 5_000;
const PASSING_BYTES_KEPT: usize = 50_000;
/// Its records at least, however slow the machine is: more than it keeps and one window has together, as what was
/// archived together stays or goes together.
const PASSING_MIN: i64 = 100;

/// A process of `ebb compactor`. Dropping it kills it.
struct Compactor {
    process: Child,
}

impl Compactor {
    fn start(ebb: &Ebb, store: &str) -> Self {
        Self::with(ebb, store, &[])
    }

    fn with(ebb: &Ebb, store: &str, more: &[&str]) -> Self {
        let log = log(ebb);
        let file = fs::File::options().create(true).append(true).open(&log).expect("the log can be opened");
        let settings = ["--archive-window-age", "100ms", "--archive-window-bytes", "256KiB"];
        let settings = settings.iter().chain(more);
        let mut command = Command::new(ebb.path());
        ebb.settle(command.args(["compactor", "--store", store]).args(settings))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        Self { process: command.spawn().expect("ebb can be started") }
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What all compactors say.
fn log(ebb: &Ebb) -> PathBuf {
    ebb.home().join("compactor.log")
}

fn kills(default: u64) -> u64 {
    env::var(KILLS_VARIABLE).map_or(default, |text| text.parse().expect("a number of kills"))
}

/// Kills compactors while records keep being acknowledged.
async fn kill_compactors(ebb: &Ebb, store: &str, kills: u64, load: &Load) {
    let random = Random::from_seed(kills);
    for _ in 0..kills {
        // Two at a time, which share the work; both go.
        let _compactors = [Compactor::start(ebb, store), Compactor::start(ebb, store)];
        sleep(Duration::from_millis(random.below(LIFE_MAX_MS))).await;
        load.progress(PROGRESS, PROGRESS_MAX).await;
    }
}

/// What `ebb archive status` says of a topic.
fn status(ebb: &Ebb, store: &str, topic: &str) -> Value {
    let ran = ebb.run(&["archive", "status", topic, "--json", "--store", store], b"").ok();
    let status: Value = serde_json::from_str(ran.text()).expect("JSON");
    status[0].clone()
}

/// Archives and compacts what is left. What killed ones had claimed is theirs until they have been silent for long.
fn archive_the_rest(ebb: &Ebb, store: &str) {
    let _ = ebb.run(&["archive", "run", "--store", store], b"").ok();
}

/// Nobody panicked, and the bucket is sound. Some days later nothing is left in it that nothing refers to, and it is
/// sound still. Gives how much was swept.
async fn check(ebb: &Ebb, store: &str, env: &[(String, String)], servers: &[Server<'_>]) -> String {
    let said = fs::read_to_string(log(ebb)).unwrap_or_default();
    let said = servers.iter().map(Server::said).chain([said]).collect::<String>();
    assert!(!said.contains("panicked"), "{said}");
    let left = fsck(ebb, store);
    let SweepCounts { dead_deleted, orphans_deleted, .. } = sweep_later(ebb, store, env).await;
    let records = (&left["records"], &fsck(ebb, store)["records"]);
    assert_eq!(records.0, records.1, "nothing is swept that has records");
    let (objects, unreferenced) = (&left["objects"], &left["unreferenced"]);
    format!(
        "{objects} objects and {unreferenced} for the sweeper: {dead_deleted} dead, {orphans_deleted} orphans"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figures of a soak run")]
async fn nothing_is_lost_however_often_compactors_are_killed() {
    let Some(ebb) = Ebb::find("kill -9 of compactors under load") else { return };
    let kills = kills(KILLS);
    let data = ebb.data();
    fs::create_dir_all(data.join("store")).expect("a folder can be made");
    let store = format!("file://{}", data.join("store").display());
    let mut server = ebb.agent(&store).await;
    let plan = Plan {
        topic: "rewritten",
        partitions: 3,
        producers: vec![100, 1000, 20_000],
        delivery_timeout: Duration::from_secs(120),
        seed: kills,
    };
    server.create(plan.topic, 3);
    let client = server.client().connect().await.expect("the agent serves");
    let load = Load::start(plan, std::slice::from_ref(&client));
    kill_compactors(&ebb, &store, kills, &load).await;
    let by_the_killed = status(&ebb, &store, "rewritten")["records"].clone();
    let history = load.finish(&client).await;
    history.judge("compactors");
    archive_the_rest(&ebb, &store);
    assert_eq!(status(&ebb, &store, "rewritten")["waiting_records"], 0);
    client.close().await;
    server.kill();
    let swept = check(&ebb, &store, &[], &[server]).await;
    println!("{kills} kills: {:?}; {by_the_killed} records archived by then; {swept}", history.counts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figures of a soak run")]
async fn topics_of_every_kind_outlive_compactors_on_a_bucket() {
    let test = "kill -9 of compactors on S3";
    let Some(s3) = S3Server::start(test).await else { return };
    let Some(ebb) = Ebb::find(test).map(|ebb| ebb.env(s3.env())) else { return };
    let (kills, store) = (kills(KILLS_ON_BUCKET), s3.url("log"));
    let mut agents = [ebb.agent(&store).await, ebb.agent(&store).await];
    let plan = Plan {
        topic: "rewritten",
        partitions: 2,
        producers: vec![1000, 20_000],
        delivery_timeout: Duration::from_secs(120),
        seed: kills,
    };
    agents[0].create(plan.topic, 2);
    create(&agents[0], COMPACTED, &["cleanup.policy=compact", "min.cleanable.dirty.ratio=0"]);
    create(&agents[0], PASSING, &[&format!("retention.bytes={PASSING_BYTES_KEPT}")]);
    // It is a topic with a short time that makes agents look often.
    create(&agents[0], "short", &["retention.ms=1000"]);
    let clients = [connect(&agents[0]).await, connect(&agents[1]).await];
    let load = Load::start(plan, &clients);
    let stop = CancellationToken::new();
    let keyed = tokio::spawn(write_keys(clients[0].clone(), stop.clone()));
    let passing = tokio::spawn(write_numbers(clients[1].clone(), stop.clone()));
    kill_compactors(&ebb, &store, kills, &load).await;
    stop.cancel();
    let (keyed, passing) = (keyed.await.expect("it writes on"), passing.await.expect("it writes on"));
    let history = load.finish(&clients[0]).await;
    history.judge("compactors-on-a-bucket");
    loses_the_old(&clients[1]).await;
    archive_the_rest(&ebb, &store);
    for topic in ["rewritten", COMPACTED, PASSING] {
        assert_eq!(status(&ebb, &store, topic)["waiting_records"], 0, "{topic}");
    }
    assert_eq!(status(&ebb, &store, COMPACTED)["compaction"]["dirty_records"], 0);
    let expected: Vec<_> = keyed.latest.into_iter().map(|(key, value)| (Some(key), value)).collect();
    shows(&clients[1], &expected).await;
    let found = read(&clients[0], PASSING).await;
    let first = found.first().map_or(passing, |record| record.offset.0);
    assert!(first > 0, "what was deleted is back, of {passing} records");
    let offsets = || found.iter().map(|record| record.offset.0);
    assert_eq!(offsets().collect::<Vec<_>>(), (first..passing).collect::<Vec<_>>(), "what is young is there");
    assert!(found.iter().all(|record| record.value == Some(number(record.offset.0).into())));
    for client in clients {
        client.close().await;
    }
    agents.iter_mut().for_each(Server::kill);
    let swept = check(&ebb, &store, &s3.env(), &agents).await;
    println!(
        "{kills} kills on a bucket: {:?}; compacted: {} records sent, {} keys; retained: {} of {passing}; {swept}",
        history.counts(),
        keyed.sent,
        expected.len(),
        passing - first,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compactor_tells_operators_how_it_is() {
    let Some(ebb) = Ebb::find("the pages of a compactor") else { return };
    let data = ebb.data();
    fs::create_dir_all(data.join("store")).expect("a folder can be made");
    let store = format!("file://{}", data.join("store").display());
    let server = ebb.agent(&store).await;
    server.create("told", 1);
    let taken = server.addresses().http.to_string();
    let refused = ebb.run(&["compactor", "--store", &store, "--http", &taken], b"");
    assert!(refused.code == 1 && refused.stderr.contains(&taken), "{}", refused.stderr);
    let compactor = Compactor::with(&ebb, &store, &["--http", "127.0.0.1:0"]);
    let address = address(&ebb).await;
    assert_eq!(http::get(address, "/readyz").await, Some((200, "ready\n".to_owned())));
    assert_eq!(http::get(address, "/healthz").await, Some((200, "ok\n".to_owned())));
    assert_eq!(http::get(address, "/iceberg/v1/config").await.map(|(status, _)| status), Some(404));
    let _ = server.run(&["produce", "told"], b"one\ntwo\n").ok();
    let started = Instant::now();
    let figures = loop {
        let figures = http::metrics(address).await;
        if figures["ebb_archive_records_total"] == 2.0 {
            break figures;
        }
        assert!(started.elapsed() < READ_MAX, "{figures:?}");
        sleep(PROGRESS_MAX / 300).await;
    };
    let lag = ["objects", "bytes", "seconds"].map(|unit| figures[&format!("ebb_archive_lag_{unit}")]);
    assert_eq!(lag, [0.0; 3]);
    assert_eq!(figures["ebb_agents_live"], 2.0, "the one that could not start had not joined");
    assert!(figures["ebb_store_requests_total{kind=\"put\"}"] > 0.0);
    drop(compactor);
}

/// Where the pages of the only compactor are, which it says when it is ready.
async fn address(ebb: &Ebb) -> SocketAddr {
    let started = Instant::now();
    loop {
        let said = fs::read_to_string(log(ebb)).unwrap_or_default();
        let found = said.lines().find_map(|line| line.strip_prefix("ready ")?.split_once(" http://"));
        if let Some((_, address)) = found {
            return address.parse().expect("an address");
        }
        assert!(started.elapsed() < READ_MAX, "{said}");
        sleep(PROGRESS_MAX / 300).await;
    }
}

fn create(server: &Server<'_>, topic: &str, configs: &[&str]) {
    let mut words = vec!["topic", "create", topic, "--partitions", "1"];
    words.extend(configs.iter().flat_map(|config| ["--config", *config]));
    let _ = server.run(&words, b"").ok();
}

async fn connect(server: &Server<'_>) -> Client {
    server.client().connect().await.expect("the agent serves")
}

/// A key and its value.
type Pair = (Option<String>, Option<String>);

/// Waits until a reader of the compacted topic gets the latest of each key, once. An agent may serve for a while what it
/// knew before others compacted: only the end of the log is looked up for every read.
async fn shows(client: &Client, expected: &[Pair]) {
    let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).expect("text was sent");
    let pair = |record: &ConsumerRecord| (record.key.as_ref().map(text), record.value.as_ref().map(text));
    let started = Instant::now();
    loop {
        let mut found: Vec<Pair> = read(client, COMPACTED).await.iter().map(pair).collect();
        found.sort();
        if found == expected {
            return;
        }
        assert!(started.elapsed() < READ_MAX, "{found:?}, expected {expected:?}");
        sleep(PROGRESS_MAX / 10).await;
    }
}

/// What was written to the compacted topic.
struct Keyed {
    sent: u64,
    /// The last value of each key.
    latest: BTreeMap<String, Option<String>>,
}

/// Writes values and tombstones of a few keys, one after the other.
async fn write_keys(client: Client, stop: CancellationToken) -> Keyed {
    let producer = client.producer().build().expect("the settings are sensible");
    let random = Random::from_seed(KEYS);
    let mut keyed = Keyed { sent: 0, latest: BTreeMap::new() };
    while !stop.is_cancelled() {
        let key = format!("key {}", random.below(KEYS));
        let value = (random.below(10) > 0).then(|| keyed.sent.to_string());
        let record = Record { value: value.clone().map(Into::into), ..Record::default() };
        let delivery = producer.send(COMPACTED, record.key(key.clone())).await.expect("there is room");
        delivery.await.expect("agents are not killed");
        keyed.sent += 1;
        keyed.latest.insert(key, value);
        sleep(PACE).await;
    }
    producer.close().await.expect("all is delivered");
    keyed
}

/// Writes one number after the other, each at the offset that it says. Gives how many.
async fn write_numbers(client: Client, stop: CancellationToken) -> i64 {
    let producer = client.producer().build().expect("the settings are sensible");
    let mut sent = 0;
    while !stop.is_cancelled() || sent < PASSING_MIN {
        let delivery = producer.send(PASSING, Record::new(number(sent))).await.expect("there is room");
        let offset = delivery.await.expect("agents are not killed").offset;
        assert_eq!(offset.map(|offset| offset.0), Some(sent));
        sent += 1;
        sleep(PACE).await;
    }
    producer.close().await.expect("all is delivered");
    sent
}

/// A record of the topic whose old records go. No codec makes it smaller, so that its bytes count wherever it is.
fn number(offset: i64) -> Vec<u8> {
    let random = Random::from_seed(offset.unsigned_abs());
    iter::repeat_with(|| random.next_u64().to_be_bytes()).flatten().take(PASSING_BYTES).collect()
}

/// Waits until the first records of the topic are gone that keeps few.
async fn loses_the_old(client: &Client) {
    let started = Instant::now();
    while listed(client, PASSING, OffsetSpec::Earliest).await == Offset(0) {
        assert!(started.elapsed() < READ_MAX, "old records are still there");
        sleep(PROGRESS_MAX / 100).await;
    }
}

/// An offset of the only partition of a topic.
async fn listed(client: &Client, topic: &str, spec: OffsetSpec) -> Offset {
    let listed =
        client.admin().list_offsets(topic, &[PartitionIndex(0)], spec, Isolation::ReadUncommitted).await;
    listed.expect("the agent serves")[0].offset.expect("a partition has both ends")
}

/// All that there is of a topic with one partition.
async fn read(client: &Client, topic: &str) -> Vec<ConsumerRecord> {
    let partition = PartitionIndex(0);
    let end = listed(client, topic, OffsetSpec::Latest).await;
    let mut consumer = client.consumer().build().expect("the settings are sensible");
    consumer.assign(topic, partition, Start::Earliest).await.expect("the agent serves");
    let read = async {
        let mut found = Vec::new();
        loop {
            let batch = consumer.next_batch().await.expect("the agent serves");
            let records = batch.records().expect("a batch can be decompressed");
            found.extend(records.map(|record| record.expect("a batch can be decoded")));
            if batch.next_offset() >= end {
                return found;
            }
        }
    };
    timeout(READ_MAX, read).await.expect("a topic can be read in time")
}
