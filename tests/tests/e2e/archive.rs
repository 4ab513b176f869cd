//! Records that were archived: consumers read from Parquet what they read from segments, analysts read the same files,
//! and a compactor may be killed at any moment.

use std::{
    collections::BTreeMap,
    env, fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use ebb_protocol::random::Random;
use ebb_tests::e2e::{
    ebb::{Ebb, Server},
    foreign::{Kcat, Python},
    load::{Load, Plan},
};
use ebbtide::{Client, Isolation, PartitionIndex, Timestamp, admin::OffsetSpec};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;

/// How many flights there are.
const FLIGHTS: u64 = 336_776;
const PARTITIONS: usize = 4;
/// What kcat prints of a record: everything that a consumer sees.
const KCAT_FORMAT: &str = "%p %o %T [%h] %K %k %S %s\n";
/// How often a compactor is killed when nothing else is said; `tests/soak compactor` says more.
const KILLS: u64 = 8;
/// The variable that says how often.
const KILLS_VARIABLE: &str = "EBB_TEST_COMPACTOR_KILLS";
/// A compactor is killed at a random time within this after its start.
const LIFE_MAX_MS: u64 = 1_500;

/// All that a consumer sees of a topic, sorted.
fn read_all(kcat: &Kcat, topic: &str) -> Vec<String> {
    let arguments = ["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", KCAT_FORMAT];
    let read = kcat.run(&arguments, b"").ok();
    let mut lines: Vec<_> = read.text().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// What an agent answers to questions about times.
async fn offsets_of_times(client: &Client, topic: &str, times: &[i64]) -> Vec<Option<i64>> {
    let all: Vec<_> = (0..i32::try_from(PARTITIONS).expect("a count")).map(PartitionIndex).collect();
    let specs =
        times.iter().map(|time| OffsetSpec::Timestamp(Timestamp(*time))).chain([OffsetSpec::MaxTimestamp]);
    let mut found = Vec::new();
    for spec in specs {
        let listed = client.admin().list_offsets(topic, &all, spec, Isolation::ReadUncommitted).await;
        let listed = listed.expect("the agent serves");
        found.extend(listed.iter().map(|listed| listed.offset.map(|offset| offset.0)));
    }
    found
}

/// What a program of analysts found.
#[derive(Debug, Deserialize)]
struct Analysis {
    program: String,
    rows: u64,
    months: BTreeMap<String, u64>,
    delays: BTreeMap<String, Option<f64>>,
}

/// What the flights say by themselves: how many a month has, and the mean delay at arrival of each carrier.
fn analyse(flights: &str) -> (BTreeMap<String, u64>, BTreeMap<String, f64>) {
    let mut months: BTreeMap<String, u64> = BTreeMap::new();
    let mut delays: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for line in flights.lines() {
        let (carrier, flight) = line.split_once('|').expect("the carrier stands in front");
        let flight: Value = serde_json::from_str(flight).expect("JSON");
        *months.entry(flight["month"].to_string()).or_default() += 1;
        if let Some(delay) = flight["arr_delay"].as_f64() {
            let sum = delays.entry(carrier.to_owned()).or_default();
            *sum = (sum.0 + delay, sum.1 + 1.0);
        }
    }
    (months, delays.into_iter().map(|(carrier, (sum, count))| (carrier, sum / count)).collect())
}

/// Starts the server again without what it kept in memory, and without the objects under a prefix.
async fn restart_without(server: &mut Server<'_>, ebb: &Ebb, prefix: &str) {
    server.kill();
    fs::remove_dir_all(ebb.data().join("store").join(prefix)).expect("the objects can be deleted");
    server.restart().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flights_are_read_from_parquet_as_from_segments() {
    let test = "336,776 flights in the archive";
    let (Some(ebb), Some(python)) = (Ebb::find(test), Python::find(test)) else { return };
    let mut server = ebb.dev(&["--inline-bytes-max", "16KiB"]).await;
    let Some(kcat) = Kcat::find(test, server.addresses().kafka) else { return };
    server.create("flights", PARTITIONS);
    let flights = python.run("flights.py", &["--key", "|"], b"").ok();
    let file = ebb.home().join("flights.txt");
    fs::write(&file, &flights.stdout).expect("a file can be written");
    let file = file.to_str().expect("a plain name");
    let _ = server.run(&["produce", "flights", "--key-separator", "|", "--file", file], b"").ok();
    let client = server.client().connect().await.expect("the agent serves");
    let before = read_all(&kcat, "flights");
    assert_eq!(before.len() as u64, FLIGHTS);
    let times: Vec<i64> = before.iter().step_by(40_000).map(|line| time(line) + 1).collect();
    let found_before = offsets_of_times(&client, "flights", &times).await;
    client.close().await;

    let data = ebb.data();
    let bucket = ["--data-dir", data.to_str().expect("a plain name")];
    let ran = ebb.run(&[&["archive", "run"][..], &bucket].concat(), b"").ok();
    assert!(ran.text().starts_with(&format!("archived {FLIGHTS} records in ")), "{}", ran.text());
    let status = ebb.run(&[&["archive", "status", "flights", "--json"][..], &bucket].concat(), b"").ok();
    let status: Value = serde_json::from_str(status.text()).expect("JSON");
    assert_eq!((&status[0]["records"], &status[0]["waiting_records"]), (&FLIGHTS.into(), &0.into()));

    // Consumers: the segments are gone, and nothing has changed.
    restart_without(&mut server, &ebb, "segments").await;
    let after = read_all(&kcat, "flights");
    let different = before.iter().zip(&after).find(|(before, after)| before != after);
    assert!(before == after, "{} and {} records; {different:?}", before.len(), after.len());
    let client = server.client().connect().await.expect("the agent serves");
    assert_eq!(offsets_of_times(&client, "flights", &times).await, found_before);
    for line in before.iter().step_by(30_000) {
        let (partition, offset) = place(line);
        let arguments =
            ["-C", "-t", "flights", "-p", partition, "-o", offset, "-c", "1", "-q", "-f", KCAT_FORMAT];
        let read = kcat.run(&arguments, b"").ok();
        assert_eq!(read.text().lines().next(), Some(&**line), "a consumer may begin at any offset");
    }
    client.close().await;

    // Analysts, on a plain copy.
    let copy = ebb.home().join("copy");
    let copy = copy.to_str().expect("a plain name");
    let _ = ebb.run(&[&["archive", "export", "flights", "--to", copy][..], &bucket].concat(), b"").ok();
    let (months, delays) = analyse(std::str::from_utf8(&flights.stdout).expect("text"));
    let analysed = python.run("analysts.py", &[copy], b"").ok();
    let analyses: Vec<Analysis> =
        analysed.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(analyses.len(), 3);
    for Analysis { program, rows, months: found, delays: mean } in analyses {
        assert_eq!((rows, &found), (FLIGHTS, &months), "{program}");
        assert_eq!(mean.len(), delays.len(), "{program}");
        for (carrier, expect) in &delays {
            let mean = mean[carrier].expect("every carrier has arrived");
            assert!((mean - expect).abs() < 1e-9, "{program}, {carrier}: {mean}, not {expect}");
        }
    }
    server.kill();
    assert!(!server.said().contains("panicked"), "{}", server.said());
    ebb.fsck();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_not_exported() {
    let Some(ebb) = Ebb::find("export of a damaged archive file") else { return };
    let mut server = ebb.dev(&[]).await;
    server.create("damaged", 1);
    let _ = server.run(&["produce", "damaged"], b"one\ntwo\n").ok();
    let (data, copy) = (ebb.data(), ebb.home().join("copy"));
    let bucket = ["--data-dir", data.to_str().expect("a plain name")];
    let _ = ebb.run(&[&["archive", "run"][..], &bucket].concat(), b"").ok();
    server.kill();
    let export = ["archive", "export", "damaged", "--to", copy.to_str().expect("a plain name")];
    let export = || ebb.run(&[&export[..], &bucket].concat(), b"");
    assert!(export().ok().text().starts_with("copied 1 files"));
    let listed = ebb.run(&[&["archive", "ls", "damaged", "--json"][..], &bucket].concat(), b"").ok();
    let listed: Value = serde_json::from_str(listed.text()).expect("JSON");
    let key = listed[0]["key"].as_str().expect("a file has a key");
    let path = data.join("store").join(key);
    let mut bytes = fs::read(&path).expect("the file is there");
    bytes[100] ^= 1;
    fs::write(&path, bytes).expect("a file can be written");
    let ran = export();
    assert!(ran.code == 1 && ran.stderr.contains(key), "it names the file: {}", ran.stderr);
}

/// The timestamp of a printed record.
fn time(line: &str) -> i64 {
    line.split(' ').nth(2).and_then(|field| field.parse().ok()).expect("the third field is a time")
}

/// Partition and offset of a printed record.
fn place(line: &str) -> (&str, &str) {
    let mut fields = line.split(' ');
    fields.next().zip(fields.next()).expect("a record has a place")
}

/// A process of `ebb compactor`. Dropping it kills it.
struct Compactor {
    process: Child,
    log: PathBuf,
}

impl Compactor {
    fn start(ebb: &Ebb, store: &str) -> Self {
        let log = ebb.home().join("compactor.log");
        let file = fs::File::options().create(true).append(true).open(&log).expect("the log can be opened");
        let settings = ["--archive-window-age", "100ms", "--archive-window-bytes", "256KiB"];
        let mut command = Command::new(ebb.path());
        ebb.settle(command.args(["compactor", "--store", store]).args(settings))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        Self { process: command.spawn().expect("ebb can be started"), log }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figures of a soak run")]
async fn nothing_is_lost_however_often_the_compactor_is_killed() {
    let Some(ebb) = Ebb::find("kill -9 of the compactor under load") else { return };
    let kills = env::var(KILLS_VARIABLE).map_or(KILLS, |text| text.parse().expect("a number of kills"));
    let random = Random::from_seed(kills);
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
    let mut said = String::new();
    for _ in 0..kills {
        // Two at a time, which share the work; both go.
        let compactors = [Compactor::start(&ebb, &store), Compactor::start(&ebb, &store)];
        sleep(Duration::from_millis(random.below(LIFE_MAX_MS))).await;
        load.progress(20, Duration::from_secs(30)).await;
        said = compactors[0].said();
    }
    let bucket = ["--store", &store];
    let archived = |what: &str| -> u64 {
        let status = ebb.run(&[&["archive", "status", "--json"][..], &bucket].concat(), b"").ok();
        let status: Value = serde_json::from_str(status.text()).expect("JSON");
        status[0][what].as_u64().expect("a number")
    };
    let by_the_killed = archived("records");
    let history = load.finish(&client).await;
    history.judge("compactor");
    // What killed ones had claimed is theirs until they have been silent for long.
    let _ = ebb.run(&[&["archive", "run"][..], &bucket].concat(), b"").ok();
    assert_eq!(archived("waiting_records"), 0);
    client.close().await;
    server.kill();
    assert!(!server.said().contains("panicked") && !said.contains("panicked"), "{}{said}", server.said());
    ebb.fsck();
    println!("{kills} kills: {:?}; {by_the_killed} records archived by then", history.counts());
}
