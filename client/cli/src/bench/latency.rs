//! `ebb bench latency`: produces at a steady rate, whatever the answers take, and measures each record from the
//! moment at which it was due to its acknowledgement, so that a slow cluster cannot slow the clock down.

use std::{fs::OpenOptions, io::Write, path::Path, time::Duration};

use ebb_protocol::random::Random;
use ebbtide::{Client, Delivery, Record};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::mpsc, time::Instant};

use super::{MEGABYTE, Report, ensure_topic, print, stats::quantile, values::Values};
use crate::{
    args::{Codec, LatencyArgs},
    connect::with_client,
    output::Failure,
    progress::Progress,
};

/// Records that may wait for their acknowledgement before the run counts as overloaded.
const WAITING_MAX: usize = 1 << 20;
/// How many synchronous writes the baseline takes the median of, and their size in bytes.
const SYNCS: usize = 200;
const SYNC_BYTES: usize = 10_000;

pub(super) async fn run(args: LatencyArgs) -> Result<(), Failure> {
    let reports = with_client(&args.connection, async |client| measure_all(client, &args).await).await?;
    print(&reports, args.report.json)
}

async fn measure_all(client: &Client, args: &LatencyArgs) -> Result<Vec<Report>, Failure> {
    ensure_topic(client, &args.topic, args.partitions).await?;
    let mut values = Values::new(args.record_bytes, true, &Random::from_os());
    let (mut p50, mut p99, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
    let mut progress = Progress::count(Some(args.report.runs as u64));
    for _ in 0..args.report.runs {
        if let Some(directory) = &args.sync_baseline {
            syncs.push(sync_median(directory).map_err(Failure::with(directory.display()))?);
        }
        let mut latencies = once(client, args, &mut values).await?;
        p50.push(quantile(&mut latencies, 0.5));
        p99.push(quantile(&mut latencies, 0.99));
        progress.add(1);
    }
    progress.finish();
    let mut reports = vec![Report::new("latency p50", "ms", p50), Report::new("latency p99", "ms", p99)];
    if !syncs.is_empty() {
        reports.push(Report::new("baseline, one fdatasync", "ms", syncs));
    }
    Ok(reports)
}

/// One run: every record's latency in milliseconds.
async fn once(client: &Client, args: &LatencyArgs, values: &mut Values) -> Result<Vec<f64>, Failure> {
    let producer = client.producer().compression(Codec::Lz4.into()).build().map_err(Failure::new)?;
    // The first record pays for connections and the producer id; it is not counted.
    producer
        .send(&args.topic, Record::new(values.next()))
        .await
        .map_err(Failure::new)?
        .await
        .map_err(Failure::new)?;
    let (waiting, deliveries) = mpsc::channel(WAITING_MAX);
    let measured = tokio::spawn(measure(deliveries));
    #[expect(clippy::cast_precision_loss, reason = "sizes and rates are far below 2^52")]
    let interval = Duration::from_secs_f64(args.record_bytes as f64 / (args.rate * MEGABYTE as f64));
    let mut ticks = tick(interval, Duration::from_secs(args.seconds));
    while let Some(due) = ticks.recv().await {
        let delivery = producer.send(&args.topic, Record::new(values.next())).await.map_err(Failure::new)?;
        if waiting.try_send((due, delivery)).is_err() {
            return Err(Failure::new(format!("{} MB/s is more than the cluster takes", args.rate)));
        }
    }
    drop(waiting);
    producer.close().await.map_err(Failure::new)?;
    measured.await.map_err(Failure::new)?
}

/// Gives the times at which records are due, each when it has come. A thread keeps them, since tokio's timers are up
/// to a millisecond late, which would count as latency of the cluster.
fn tick(interval: Duration, length: Duration) -> mpsc::Receiver<Instant> {
    let (ticks, receiver) = mpsc::channel(WAITING_MAX);
    tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        let mut due = started;
        while due < started + length {
            #[expect(
                clippy::disallowed_methods,
                reason = "a benchmark measures the real clock, as exactly as it can"
            )]
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            // The receiver ends early when a record could not be sent.
            if ticks.blocking_send(due).is_err() {
                return;
            }
            due += interval;
        }
    });
    receiver
}

/// Waits for deliveries as they come in.
async fn measure(mut deliveries: mpsc::Receiver<(Instant, Delivery)>) -> Result<Vec<f64>, Failure> {
    let mut waiting = FuturesUnordered::new();
    let mut latencies = Vec::new();
    let mut open = true;
    while open || !waiting.is_empty() {
        tokio::select! {
            biased;
            Some(done) = waiting.next(), if !waiting.is_empty() => latencies.push(done?),
            next = deliveries.recv(), if open => match next {
                Some((due, delivery)) => waiting.push(async move {
                    delivery.await.map_err(Failure::new)?;
                    Ok::<f64, Failure>(due.elapsed().as_secs_f64() * 1e3)
                }),
                None => open = false,
            },
        }
    }
    Ok(latencies)
}

/// The median time of one append and `fdatasync` in the directory, in milliseconds.
fn sync_median(directory: &Path) -> std::io::Result<f64> {
    let path = directory.join(".ebb-bench-sync");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&path)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[0x5a; SYNC_BYTES])?;
        let started = Instant::now();
        file.sync_data()?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_file(&path)?;
    Ok(quantile(&mut times, 0.5))
}
