//! `ebb bench produce`: one producer with the SDK's defaults, as fast as the cluster takes it.

use ebb_protocol::random::Random;
use ebbtide::{Client, Record};
use tokio::time::Instant;

use super::{MEGABYTE, Report, ensure_topic, megabytes_per_second, print, values::Values};
use crate::{
    args::{Codec, LoadArgs},
    connect::with_client,
    output::Failure,
    progress::Progress,
};

pub(super) async fn run(args: LoadArgs) -> Result<(), Failure> {
    let reports = with_client(&args.connection, async |client| measure_all(client, &args).await).await?;
    print(&reports, args.report.json)
}

async fn measure_all(client: &Client, args: &LoadArgs) -> Result<Vec<Report>, Failure> {
    ensure_topic(client, &args.topic, args.partitions).await?;
    let mut values = Values::new(args.record_bytes, args.compression != Codec::None, &Random::from_os());
    let mut runs = Vec::with_capacity(args.report.runs);
    let mut progress = Progress::bytes(Some(args.megabytes * MEGABYTE * args.report.runs as u64));
    for _ in 0..args.report.runs {
        runs.push(once(client, args, &mut values, &mut progress).await?);
    }
    progress.finish();
    Ok(vec![Report::new("produce", "MB/s of values", runs)])
}

/// One run: from the first record handed over to the last one acknowledged.
async fn once(
    client: &Client,
    args: &LoadArgs,
    values: &mut Values,
    progress: &mut Progress,
) -> Result<f64, Failure> {
    let producer = client.producer().compression(args.compression.into()).build().map_err(Failure::new)?;
    let size = args.record_bytes as u64;
    let total = args.megabytes * MEGABYTE;
    let mut sent = 0;
    let started = Instant::now();
    while sent < total {
        drop(producer.send(&args.topic, Record::new(values.next())).await.map_err(Failure::new)?);
        sent += size;
        if sent.is_multiple_of(1024 * size) {
            progress.add(1024 * size);
        }
    }
    producer.close().await.map_err(Failure::new)?;
    Ok(megabytes_per_second(sent, started.elapsed()))
}
