//! The README's tour with 336,776 real flights, as a user would paste it, and the same flights through Python.

use std::{collections::BTreeMap, fs};

use ebb_tests::e2e::{
    ebb::Ebb,
    foreign::{Kcat, Python},
    program::{program, repository, run},
};
use serde_json::Value;

/// How many flights there are.
const FLIGHTS: usize = 336_776;

/// The shell commands of the README's tour, and what it says that they print: those of consumers, those of analysts.
fn tour() -> [(String, String); 2] {
    let readme = fs::read_to_string(repository("README.md")).expect("the README is there");
    let (_, tour) = readme.split_once("## A tour").expect("the README has a tour");
    let mut blocks = tour.split("```");
    let mut block = |language: &str| {
        let block = blocks.nth(1).expect("the tour has blocks");
        block.strip_prefix(language).expect("the block has its language").to_owned()
    };
    [(block("sh\n"), block("\n")), (block("sh\n"), block("\n"))]
}

#[tokio::test]
async fn the_tour_prints_what_the_readme_says() {
    let test = "the tour with 336,776 flights";
    let (Some(ebb), Some(python)) = (Ebb::find(test), Python::find(test)) else { return };
    let server = ebb.dev(&[]).await;
    let kafka = server.addresses().kafka;
    let Some(kcat) = Kcat::find(test, kafka) else { return };
    let [(commands, printed), (questions, answer)] = tour();
    // What is there already is not installed again, and the server listens and has its data elsewhere.
    let commands: Vec<String> = format!("{commands}\n{questions}")
        .lines()
        .filter(|line| !line.contains("python3 -m venv") && !line.contains("pip install"))
        .map(|line| {
            line.replace("$PWD/target/release", &ebb.path().parent().expect("a folder").display().to_string())
        })
        .map(|line| line.replace("flights/bin/python", &python.path().to_string_lossy()))
        .map(|line| line.replace("tests/python/", &format!("{}/", repository("tests/python").display())))
        .map(|line| line.replace("127.0.0.1:9092", &kafka.to_string()))
        .map(|line| line.replace("--data-dir ebb-data", &format!("--data-dir {}", ebb.data().display())))
        .collect();
    let script = format!("set -euo pipefail\n{}", commands.join("\n"));
    let mut bash = program("bash");
    ebb.settle(bash.args(["-c", &script]))
        .env("EBB_SERVER", server.url())
        .env("EBB_CA", server.certificate());
    let toured = run(&mut bash, b"").ok();
    let hashes: Vec<&str> = toured.text().lines().filter(|line| line.ends_with("  -")).collect();
    assert_eq!(hashes, [printed.trim(); 3], "{}", toured.text());
    assert!(toured.text().trim_end().ends_with(answer.trim()), "{}", toured.text());

    let written = fs::read_to_string(ebb.home().join("flights.txt")).expect("the tour wrote the flights");
    let mut expect: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in written.lines() {
        let (carrier, flight) = line.split_once('|').expect("the carrier stands in front");
        expect.entry(carrier).or_default().push(flight);
    }
    assert_eq!(expect.values().map(Vec::len).sum::<usize>(), FLIGHTS);

    // In Python with keys: the flights of each carrier, in their order.
    let read = python.run("records.py", &[&kafka.to_string(), "flights", "read"], b"").ok();
    let records: Vec<Value> =
        read.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut flights: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for record in &records {
        let field = |name: &str| record[name].as_str().expect("a key and a value");
        flights.entry(field("key")).or_default().push(field("value"));
    }
    assert!(flights == expect, "Python reads other flights, or another order within a carrier");
    // The same with kcat, which also prints partitions: a carrier has one.
    let read = kcat.run(&["-C", "-t", "flights", "-o", "beginning", "-e", "-q", "-f", "%k %p\n"], b"").ok();
    let mut homes: Vec<&str> = read.text().lines().collect();
    homes.sort_unstable();
    homes.dedup();
    assert_eq!(homes.len(), expect.len(), "a carrier's flights share a partition: {homes:?}");
}
