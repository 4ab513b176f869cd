//! `ebb bench queryable`: the time from producing records until analysts see them as rows of an Iceberg table, when
//! somebody runs `ebb archive run` at once.

use std::path::Path;

use ebbtide::{Client, Record};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Report, ensure_topic, print,
    server::{Process, Server},
};
use crate::{args::ReportArgs, output::Failure, progress::Progress};

const TOPIC: &str = "queryable";
/// Records that are produced: as many as come in a moment.
const RECORDS: u64 = 10_000;

pub(super) async fn run(args: ReportArgs) -> Result<(), Failure> {
    let (mut consumable, mut queryable) = (Vec::new(), Vec::new());
    let mut progress = Progress::count(Some(args.runs as u64));
    for _ in 0..args.runs {
        let directory = tempfile::tempdir().map_err(Failure::with("temporary directory"))?;
        let (consumed, queried) = once(directory.path()).await?;
        consumable.push(consumed);
        queryable.push(queried);
        progress.add(1);
    }
    progress.finish();
    let reports = [
        Report::new("from producing 10,000 records until they are rows of a table", "ms", queryable),
        Report::new("baseline, until a consumer has them", "ms", consumable),
    ];
    print(&reports, args.json)
}

/// Milliseconds until a consumer has the records, and until the table does.
async fn once(directory: &Path) -> Result<(f64, f64), Failure> {
    let server = Server::start(directory, None).await?;
    let client = Client::builder().server(&server.quic).connect().await.map_err(Failure::new)?;
    ensure_topic(&client, TOPIC, 1).await?;
    let mut consumer = client.consumer().build().map_err(Failure::new)?;
    consumer.assign_topic(TOPIC, ebbtide::Start::Earliest).await.map_err(Failure::new)?;
    let started = Instant::now();
    let producer = client.producer().build().map_err(Failure::new)?;
    for number in 0..RECORDS {
        drop(producer.send(TOPIC, Record::new(number.to_string())).await.map_err(Failure::new)?);
    }
    producer.close().await.map_err(Failure::new)?;
    for _ in 0..RECORDS {
        consumer.next_record().await.map_err(Failure::new)?;
    }
    let consumed = started.elapsed();
    let words = ["archive", "run", "--data-dir"].map(str::to_owned);
    let words: Vec<_> = words.into_iter().chain([directory.display().to_string()]).collect();
    if !Process::start(&words)?.end().await? {
        return Err(Failure::new(format!("ebb {} failed: run it to see why", words.join(" "))));
    }
    let rows = rows(&server.page(&format!("/iceberg/v1/namespaces/kafka/tables/{TOPIC}")).await?);
    let queried = started.elapsed();
    if rows != Some(RECORDS) {
        return Err(Failure::new(format!("the table has {rows:?} rows, not {RECORDS}")));
    }
    client.close().await;
    drop(server);
    Ok((consumed.as_secs_f64() * 1e3, queried.as_secs_f64() * 1e3))
}

/// How many rows a table has by its newest snapshot, from what the catalog answers.
fn rows(page: &str) -> Option<u64> {
    let (_, body) = page.split_once("\r\n\r\n")?;
    let table: Value = serde_json::from_str(body).ok()?;
    table["metadata"]["snapshots"].as_array()?.last()?["summary"]["total-records"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_snapshot_tells_the_rows() {
        let page = "HTTP/1.0 200 OK\r\n\r\n{\"metadata\": {\"snapshots\": [{\"summary\": {\"total-records\": \"1\"}}, \
                    {\"summary\": {\"total-records\": \"12\"}}]}}";
        assert_eq!(rows(page), Some(12));
        assert_eq!(rows("HTTP/1.0 404 Not Found\r\n\r\n{\"error\": {}}"), None);
    }
}
