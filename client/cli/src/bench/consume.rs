//! `ebb bench consume`: one consumer with the SDK's defaults reads a topic from its start.

use std::{collections::BTreeMap, time::Duration};

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

/// One run.
async fn once(client: &Client, args: &ReadArgs, progress: &mut Progress) -> Result<f64, Failure> {
    let limit = args.megabytes.map_or(u64::MAX, |megabytes| megabytes * MEGABYTE);
    let (bytes, elapsed) = read(client, std::slice::from_ref(&args.topic), limit, progress).await?;
    if bytes == 0 {
        return Err(Failure::new(format!("topic {} is empty: fill it with ebb bench produce", args.topic)));
    }
    Ok(megabytes_per_second(bytes, elapsed))
}

/// Reads topics from their starts to their ends, or so many bytes of keys and values. Gives those bytes, and the time
/// from the first fetch to the last record decoded. Every record is looked at.
pub(super) async fn read(
    client: &Client,
    topics: &[String],
    limit: u64,
    progress: &mut Progress,
) -> Result<(u64, Duration), Failure> {
    let mut ends = BTreeMap::new();
    for topic in topics {
        ends.extend(self::ends(client, topic).await?);
    }
    let mut consumer = client.consumer().build().map_err(Failure::new)?;
    let mut read = 0;
    let started = Instant::now();
    for topic in topics {
        consumer.assign_topic(topic, Start::Earliest).await.map_err(Failure::new)?;
    }
    while !ends.is_empty() && read < limit {
        let batch = consumer.next_batch().await.map_err(Failure::new)?;
        let mut bytes = 0;
        for record in batch.records().map_err(Failure::new)? {
            let record = record.map_err(Failure::new)?;
            bytes += [record.key, record.value].iter().flatten().map(|part| part.len() as u64).sum::<u64>();
        }
        read += bytes;
        progress.add(bytes);
        let at = (batch.topic().to_owned(), batch.partition());
        if ends.get(&at).is_some_and(|end| batch.next_offset() >= *end) {
            ends.remove(&at);
        }
    }
    Ok((read, started.elapsed()))
}

/// The end of every partition of a topic that holds records.
async fn ends(client: &Client, topic: &str) -> Result<Vec<((String, PartitionIndex), Offset)>, Failure> {
    let admin = client.admin();
    let description = admin.describe_topic(topic).await.map_err(Failure::new)?;
    let partitions: Vec<PartitionIndex> =
        description.partitions.iter().map(|partition| partition.index).collect();
    let look = |spec| admin.list_offsets(topic, &partitions, spec, Isolation::ReadUncommitted);
    let starts = look(OffsetSpec::Earliest).await.map_err(Failure::new)?;
    let ends = look(OffsetSpec::Latest).await.map_err(Failure::new)?;
    let filled = starts.iter().zip(ends).filter(|(start, end)| start.offset < end.offset);
    let at = |partition| (topic.to_owned(), partition);
    Ok(filled.filter_map(|(_, end)| end.offset.map(|offset| (at(end.partition), offset))).collect())
}
