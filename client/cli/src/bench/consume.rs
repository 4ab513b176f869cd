//! `ebb bench consume`: one consumer with the SDK's defaults reads a topic from its start.

use std::collections::BTreeMap;

use ebbtide::{Client, Isolation, Offset, PartitionIndex, Start, admin::OffsetSpec};
use tokio::time::Instant;

use super::{MEGABYTE, Report, megabytes_per_second, print};
use crate::{args::ReadArgs, connect::with_client, output::Failure, progress::Progress};

pub(super) async fn run(args: ReadArgs) -> Result<(), Failure> {
    let reports = with_client(&args.connection, async |client| measure_all(client, &args).await).await?;
    print(&reports, args.report.json)
}

async fn measure_all(client: &Client, args: &ReadArgs) -> Result<Vec<Report>, Failure> {
    let mut runs = Vec::with_capacity(args.report.runs);
    let mut progress =
        Progress::bytes(args.megabytes.map(|megabytes| megabytes * MEGABYTE * args.report.runs as u64));
    for _ in 0..args.report.runs {
        runs.push(once(client, args, &mut progress).await?);
    }
    progress.finish();
    Ok(vec![Report::new("consume", "MB/s of values", runs)])
}

/// One run: from the first fetch to the last record decoded. Every record is looked at.
async fn once(client: &Client, args: &ReadArgs, progress: &mut Progress) -> Result<f64, Failure> {
    let mut ends = ends(client, &args.topic).await?;
    let limit = args.megabytes.map_or(u64::MAX, |megabytes| megabytes * MEGABYTE);
    let mut consumer = client.consumer().build().map_err(Failure::new)?;
    let mut read = 0;
    let started = Instant::now();
    consumer.assign_topic(&args.topic, Start::Earliest).await.map_err(Failure::new)?;
    while !ends.is_empty() && read < limit {
        let batch = consumer.next_batch().await.map_err(Failure::new)?;
        let mut bytes = 0;
        for record in batch.records().map_err(Failure::new)? {
            bytes += record.map_err(Failure::new)?.value.map_or(0, |value| value.len() as u64);
        }
        read += bytes;
        progress.add(bytes);
        if ends.get(&batch.partition()).is_some_and(|end| batch.next_offset() >= *end) {
            ends.remove(&batch.partition());
        }
    }
    if read == 0 {
        return Err(Failure::new(format!("topic {} is empty: fill it with ebb bench produce", args.topic)));
    }
    Ok(megabytes_per_second(read, started.elapsed()))
}

/// The end of every partition that holds records.
async fn ends(client: &Client, topic: &str) -> Result<BTreeMap<PartitionIndex, Offset>, Failure> {
    let admin = client.admin();
    let description = admin.describe_topic(topic).await.map_err(Failure::new)?;
    let partitions: Vec<PartitionIndex> =
        description.partitions.iter().map(|partition| partition.index).collect();
    let look = |spec| admin.list_offsets(topic, &partitions, spec, Isolation::ReadUncommitted);
    let starts = look(OffsetSpec::Earliest).await.map_err(Failure::new)?;
    let ends = look(OffsetSpec::Latest).await.map_err(Failure::new)?;
    let filled = starts.iter().zip(ends).filter(|(start, end)| start.offset < end.offset);
    Ok(filled.filter_map(|(_, end)| end.offset.map(|offset| (end.partition, offset))).collect())
}
