//! `ebb bench coldstart`: the time from starting `ebb dev` on an empty directory to the first acknowledged record.

use std::path::Path;

use ebbtide::{Client, Record};
use tokio::time::Instant;

use super::{Report, ensure_topic, print, server::Server};
use crate::{args::ReportArgs, output::Failure, progress::Progress};

pub(super) async fn run(args: ReportArgs) -> Result<(), Failure> {
    let mut runs = Vec::with_capacity(args.runs);
    let mut progress = Progress::count(Some(args.runs as u64));
    for _ in 0..args.runs {
        let directory = tempfile::tempdir().map_err(Failure::with("temporary directory"))?;
        runs.push(once(directory.path()).await?);
        progress.add(1);
    }
    progress.finish();
    print(&[Report::new("cold start to the first acknowledged record", "ms", runs)], args.json)
}

async fn once(directory: &Path) -> Result<f64, Failure> {
    let started = Instant::now();
    let server = Server::start(directory, None).await?;
    let client = Client::builder().server(&server.quic).connect().await.map_err(Failure::new)?;
    ensure_topic(&client, "coldstart", 1).await?;
    let producer = client.producer().build().map_err(Failure::new)?;
    producer
        .send("coldstart", Record::new("hello"))
        .await
        .map_err(Failure::new)?
        .await
        .map_err(Failure::new)?;
    let elapsed = started.elapsed();
    client.close().await;
    drop(server);
    Ok(elapsed.as_secs_f64() * 1e3)
}
