//! Records that were archived: consumers read from Parquet what they read from segments, and analysts read the same
//! files.

use std::{collections::BTreeMap, fs};

use ebb_tests::e2e::{
    ebb::{Ebb, Server},
    foreign::{Kcat, Python},
};
use ebbtide::{Client, Isolation, PartitionIndex, Timestamp, admin::OffsetSpec};
use serde::Deserialize;
use serde_json::Value;

/// How many flights there are.
const FLIGHTS: u64 = 336_776;
const PARTITIONS: usize = 4;
/// What kcat prints of a record: everything that a consumer sees.
const KCAT_FORMAT: &str = "%p %o %T [%h] %K %k %S %s\n";

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
    let typed = ["--config", "archive.value.format=json"];
    let create = ["topic", "create", "flights", "--partitions", &PARTITIONS.to_string()];
    let _ = server.run(&[&create[..], &typed].concat(), b"").ok();
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
    // The typed columns of the same files, by the catalog.
    let catalog = format!("http://{}/iceberg", server.addresses().http);
    let by_column = python.run("typed.py", &[&catalog, "flights"], b"").ok();
    let lines = analysed.text().lines().chain(by_column.text().lines());
    let analyses: Vec<Analysis> = lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(analyses.len(), 6);
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
