//! The archive's tables in a foreign catalog: Apache Iceberg's reference REST catalog, which is killed and started again.
//! pyiceberg and DuckDB read by it.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use ebb_tests::{
    e2e::{ebb::Ebb, foreign::Python, http},
    tools::Tool,
};
use serde::Deserialize;
use serde_json::Value;

/// How long anything may take, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(100);
/// Records that are written at once.
const RECORDS: u64 = 500;

/// A running catalog. Dropping it kills it.
struct Catalog {
    lib: PathBuf,
    home: PathBuf,
    address: SocketAddr,
    process: Child,
}

impl Catalog {
    async fn start(folder: &Path, home: &Path) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let (lib, home, address) =
            (folder.join("lib/*"), home.to_owned(), free.expect("there is a free port"));
        let process = Self::spawn(&lib, &home, address);
        let catalog = Self { lib, home, address, process };
        catalog.ready().await;
        catalog
    }

    fn spawn(lib: &Path, home: &Path, address: SocketAddr) -> Child {
        let log = || File::options().create(true).append(true).open(home.join("catalog.log")).expect("a log");
        Command::new("java")
            .args(["-Xmx256m", "-cp"])
            .arg(lib)
            .arg("org.apache.iceberg.rest.RESTCatalogServer")
            .env("CATALOG_REST_PORT", address.port().to_string())
            .env("CATALOG_CATALOG__IMPL", "org.apache.iceberg.jdbc.JdbcCatalog")
            .env("CATALOG_URI", format!("jdbc:sqlite:{}", home.join("catalog.db").display()))
            .env("CATALOG_WAREHOUSE", format!("file://{}", home.join("warehouse").display()))
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .expect("java can be started")
    }

    async fn ready(&self) {
        wait("the catalog", async || matches!(http::get(self.address, "/v1/config").await, Some((200, _))))
            .await;
    }

    fn kill(&mut self) {
        // Fails only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    async fn restart(&mut self) {
        self.process = Self::spawn(&self.lib, &self.home, self.address);
        self.ready().await;
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many records the present snapshot of a table has by its summary.
    async fn records(&self, table: &str) -> Option<u64> {
        let (_, body) = http::get(self.address, &format!("/v1/namespaces/kafka/tables/{table}")).await?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        let snapshots = answer["metadata"]["snapshots"].as_array()?;
        let current = &answer["metadata"]["current-snapshot-id"];
        let current = snapshots.iter().find(|snapshot| snapshot["snapshot-id"] == *current)?;
        current["summary"]["total-records"].as_str()?.parse().ok()
    }

    async fn has(&self, table: &str, records: u64) {
        wait(table, async || self.records(table).await == Some(records)).await;
    }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a program of analysts found.
#[derive(Debug, Deserialize)]
struct Found {
    program: String,
    rows: u64,
    typed: u64,
}

async fn wait(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(POLL).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{what} does not come");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_catalog_shows_the_same_files() {
    let test = "the mirror in a foreign catalog";
    let (Some(ebb), Some(python)) = (Ebb::find(test), Python::find(test)) else { return };
    let Some(folder) = Tool::IcebergCatalog.find(test) else { return };
    let mut catalog = Catalog::start(&folder, ebb.home()).await;
    let url = catalog.url();
    let mut server = ebb.dev(&["--archive-window-age", "1s", "--archive-iceberg-catalog", &url]).await;
    server.create("events", 2);
    let lines: String = (0..RECORDS).map(|number| format!("{{\"a\": {number}}}\n")).collect();
    let check = |rows: u64, typed: u64| {
        let found = python.run("mirror.py", &[&url, "events"], b"").ok();
        let found: Vec<Found> =
            found.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(found.len(), 2);
        for found in found {
            assert_eq!((found.rows, found.typed), (rows, typed), "{}", found.program);
        }
    };
    let _ = server.run(&["produce", "events"], lines.as_bytes()).ok();
    catalog.has("events", RECORDS).await;
    check(RECORDS, 0);

    // Columns come later, while the catalog is down and the server is killed.
    catalog.kill();
    let typed = ["topic", "alter", "events", "--config", "archive.value.format=json"];
    let _ = server.run(&typed, b"").ok();
    let _ = server.run(&["produce", "events"], lines.as_bytes()).ok();
    let http = server.addresses().http;
    wait("the archive", async || {
        let metrics = http::metrics(http).await;
        let archived = metrics["ebb_archive_records_total"] >= 2.0 * RECORDS as f64;
        archived && metrics["ebb_iceberg_mirror_lag_snapshots"] >= 1.0
    })
    .await;
    server.kill();
    server.restart().await;
    catalog.restart().await;
    catalog.has("events", 2 * RECORDS).await;
    check(2 * RECORDS, RECORDS);

    // A table that was there before is left alone, and the others go on.
    let _ = python.run("mirror.py", &[&url, "theirs", "create"], b"").ok();
    server.create("theirs", 1);
    let _ = server.run(&["produce", "theirs"], lines.as_bytes()).ok();
    wait("the refusal", async || server.said().contains("the catalog has another table of this name")).await;
    let _ = server.run(&["produce", "events"], lines.as_bytes()).ok();
    catalog.has("events", 3 * RECORDS).await;
    check(3 * RECORDS, 2 * RECORDS);
    assert_eq!(catalog.records("theirs").await, None);
    server.kill();
    ebb.fsck();
}
