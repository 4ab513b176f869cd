//! `ebb bench coldstart`: the time from starting `ebb dev` on an empty directory to the first acknowledged record.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use ebbtide::{Client, Record};
use tokio::time::Instant;

use super::{Report, ensure_topic, print};
use crate::{args::ColdStartArgs, output::Failure, progress::Progress};

pub(super) async fn run(args: ColdStartArgs) -> Result<(), Failure> {
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
    let (server, quic) = Server::start(directory).await?;
    let client = Client::builder().server(&quic).connect().await.map_err(Failure::new)?;
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

/// A server that is killed when it is no longer needed.
struct Server(Child);

impl Server {
    /// Starts `ebb dev` on free ports and waits until it says where it listens.
    async fn start(directory: &Path) -> Result<(Self, String), Failure> {
        let program = std::env::current_exe().map_err(Failure::with("own path"))?;
        let mut child = Command::new(program)
            .args(["dev", "--kafka", "127.0.0.1:0", "--quic", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Failure::with("ebb dev"))?;
        let out = child.stdout.take().ok_or_else(|| Failure::new("ebb dev has no output"))?;
        let server = Self(child);
        let quic = tokio::task::spawn_blocking(move || {
            BufReader::new(out).lines().map_while(Result::ok).find_map(|line| {
                line.split_whitespace().find(|word| word.starts_with("quic://")).map(str::to_owned)
            })
        });
        let quic = quic.await.map_err(Failure::new)?;
        Ok((server, quic.ok_or_else(|| Failure::new("ebb dev ended before it was ready"))?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
