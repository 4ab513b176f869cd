//! Topics as Iceberg tables: pyiceberg, DuckDB and Polars, unmodified, ask an agent's catalog, and read the files from a
//! directory and from a real S3 server.

use std::collections::BTreeMap;

use ebb_tests::{
    e2e::{
        ebb::{Ebb, Server},
        foreign::Python,
        http,
    },
    s3::S3Server,
};
use serde::Deserialize;

/// Rounds of producing and archiving; each is a snapshot.
const ROUNDS: u64 = 3;
/// Records of a round.
const RECORDS: u64 = 1_000;

/// What a program of analysts found.
#[derive(Debug, Deserialize)]
struct Found {
    program: String,
    tables: Vec<String>,
    rows: u64,
    sum: u64,
    snapshots: BTreeMap<String, u64>,
    range_rows: u64,
    range_files: Option<u64>,
    refused: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analysts_read_topics_as_tables() {
    let test = "the Iceberg catalog";
    let (Some(ebb), Some(python)) = (Ebb::find(test), Python::find(test)) else { return };
    let server = ebb.dev(&[]).await;
    let data = ebb.data();
    let bucket = ["--data-dir", data.to_str().expect("a plain name")];
    fill(&ebb, &server, &bucket);
    check(&python, &server);
    let (status, said) = http::get(server.addresses().http, "/iceberg/v1/namespaces/kafka/tables/none")
        .await
        .expect("an answer");
    assert_eq!(status, 404);
    assert!(said.contains("there is no such topic"), "{said}");
    ebb.fsck();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analysts_read_tables_of_a_bucket_with_their_own_keys() {
    let test = "the Iceberg catalog on S3";
    let Some(s3) = S3Server::start(test).await else { return };
    let (Some(ebb), Some(python)) = (Ebb::find(test), Python::find(test)) else { return };
    let (ebb, python, store) = (ebb.env(s3.env()), python.env(s3.env()), s3.url("log"));
    let server = ebb.agent(&store).await;
    fill(&ebb, &server, &["--store", &store]);
    check(&python, &server);
}

/// Writes a topic in rounds, each of which is archived.
fn fill(ebb: &Ebb, server: &Server<'_>, bucket: &[&str]) {
    server.create("events", 1);
    server.create("a.quiet-one", 1);
    for round in 0..ROUNDS {
        let lines: String = (0..RECORDS).map(|number| format!("{}\n", round * RECORDS + number)).collect();
        let _ = server.run(&["produce", "events"], lines.as_bytes()).ok();
        let _ = ebb.run(&[&["archive", "run"][..], bucket].concat(), b"").ok();
    }
}

/// Every program finds what was written, and when.
fn check(python: &Python, server: &Server<'_>) {
    let catalog = format!("http://{}/iceberg", server.addresses().http);
    let all = ROUNDS * RECORDS;
    let snapshots = (1..=ROUNDS).map(|number| (number.to_string(), number * RECORDS)).collect();
    // The range lies in the file of the second round alone.
    let ran = python.run("catalog.py", &[&catalog, "events", "0", "1990", "2000"], b"").ok();
    let found: Vec<Found> =
        ran.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(found.len(), 3);
    for found in found {
        let program = &found.program;
        assert_eq!(found.tables, ["a.quiet-one", "events"], "{program}");
        assert_eq!((found.rows, found.sum), (all, all * (all - 1) / 2), "{program}");
        assert_eq!(found.snapshots, snapshots, "{program}: each snapshot is as it was");
        assert_eq!(found.range_rows, 10, "{program}");
        // Polars does not tell, and does not write.
        let tells = program != "polars";
        assert_eq!(found.range_files, tells.then_some(1), "{program} reads the file it needs alone");
        assert_eq!(found.refused.is_some(), tells, "{program} must not create a table");
    }
}
