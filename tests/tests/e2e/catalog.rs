//! Topics as Iceberg tables: pyiceberg, DuckDB and Polars, unmodified, ask an agent's catalog.

use std::collections::BTreeMap;

use ebb_tests::e2e::{ebb::Ebb, foreign::Python, http};
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
    server.create("events", 1);
    server.create("a.quiet-one", 1);
    let data = ebb.data();
    let bucket = ["--data-dir", data.to_str().expect("a plain name")];
    for round in 0..ROUNDS {
        let lines: String = (0..RECORDS).map(|number| format!("{}\n", round * RECORDS + number)).collect();
        let _ = server.run(&["produce", "events"], lines.as_bytes()).ok();
        let _ = ebb.run(&[&["archive", "run"][..], &bucket].concat(), b"").ok();
    }
    let address = server.addresses().http;
    let catalog = format!("http://{address}/iceberg");
    let ask = |table: &str, range: [&str; 3]| -> Vec<Found> {
        let arguments = [&[catalog.as_str(), table][..], &range].concat();
        let found = python.run("catalog.py", &arguments, b"").ok();
        found.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let all = ROUNDS * RECORDS;
    let snapshots = (1..=ROUNDS).map(|number| (number.to_string(), number * RECORDS)).collect();
    // The range lies in the file of the second round alone.
    let found = ask("events", ["0", "1990", "2000"]);
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
    let (status, said) =
        http::get(address, "/iceberg/v1/namespaces/kafka/tables/none").await.expect("an answer");
    assert_eq!(status, 404);
    assert!(said.contains("there is no such topic"), "{said}");
    ebb.fsck();
}
