//! `ebb bench seek`: the time from asking for an arbitrary offset to its first record.

use ebb_protocol::random::Random;
use ebbtide::{Client, Isolation, Offset, PartitionIndex, Start, admin::OffsetSpec};
use tokio::time::Instant;

use super::{Report, print, stats::quantile};
use crate::{args::SeekArgs, connect::with_client, output::Failure, progress::Progress};

pub(super) async fn run(args: SeekArgs) -> Result<(), Failure> {
    let reports = with_client(&args.connection, async |client| measure_all(client, &args).await).await?;
    print(&reports, args.report.json)
}

async fn measure_all(client: &Client, args: &SeekArgs) -> Result<Vec<Report>, Failure> {
    let random = Random::from_os();
    let admin = client.admin();
    let description = admin.describe_topic(&args.topic).await.map_err(Failure::new)?;
    let partitions: Vec<PartitionIndex> =
        description.partitions.iter().map(|partition| partition.index).collect();
    let look = |spec| admin.list_offsets(&args.topic, &partitions, spec, Isolation::ReadUncommitted);
    let starts = look(OffsetSpec::Earliest).await.map_err(Failure::new)?;
    let ends = look(OffsetSpec::Latest).await.map_err(Failure::new)?;
    let filled: Vec<_> = (starts.iter().zip(&ends))
        .filter_map(|(start, end)| Some((start.partition, start.offset?, end.offset?)))
        .filter(|(_, start, end)| start < end)
        .collect();
    if filled.is_empty() {
        return Err(Failure::new(format!("topic {} is empty: fill it with ebb bench produce", args.topic)));
    }
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    let mut progress = Progress::count(Some(args.seeks * args.report.runs as u64));
    for _ in 0..args.report.runs {
        let mut times = Vec::new();
        for _ in 0..args.seeks {
            let (partition, start, end) = filled[index_below(&random, filled.len())];
            let offset = start.0 + i64::try_from(random.below((end.0 - start.0).unsigned_abs())).unwrap_or(0);
            times.push(once(client, &args.topic, partition, Offset(offset)).await?);
            progress.add(1);
        }
        p50.push(quantile(&mut times, 0.5));
        p99.push(quantile(&mut times, 0.99));
    }
    progress.finish();
    let what = ["first record from an arbitrary offset, p50", "the same, p99"];
    Ok([p50, p99].into_iter().zip(what).map(|(runs, what)| Report::new(what, "ms", runs)).collect())
}

fn index_below(random: &Random, count: usize) -> usize {
    usize::try_from(random.below(count as u64)).unwrap_or(0)
}

/// The time in milliseconds until a new consumer has the record of an offset, or the next that is there.
async fn once(
    client: &Client,
    topic: &str,
    partition: PartitionIndex,
    offset: Offset,
) -> Result<f64, Failure> {
    let mut consumer = client.consumer().build().map_err(Failure::new)?;
    let started = Instant::now();
    consumer.assign(topic, partition, Start::Offset(offset)).await.map_err(Failure::new)?;
    let record = consumer.next_record().await.map_err(Failure::new)?;
    let elapsed = started.elapsed();
    if record.offset < offset {
        return Err(Failure::new(format!("asked for offset {offset} and got {}", record.offset)));
    }
    Ok(elapsed.as_secs_f64() * 1e3)
}
