//! rskafka, in the contract of `tests/clients/README.md`. It knows no groups and no settings of topics.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeZone, Utc};
use ebb_rust_clients::{Options, Outcome, check, lines, produced, record, step};
use rskafka::{
    client::{
        Client, ClientBuilder,
        error::{Error, ProtocolError},
        partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling},
    },
    record::Record,
};

const TIMEOUT_MS: i32 = 10_000;
const FETCH_BYTES: std::ops::Range<i32> = 1..1_000_000;
const WAIT_MS: i32 = 200;
/// What `times` asks for: records 5 to 9 have the times 6,000,000 to 10,000,000, the others are deleted.
const OFFSETS: [(i64, i64); 3] = [(7_500_000, 7), (0, 5), (4_102_444_800_000, -1)];
/// How long `times` waits at the end of a topic, and what it may take on a machine that is busy with other tests.
const LAST_WAIT_MS: i32 = 500;
const LAST_WAIT_MAX: Duration = Duration::from_secs(10);
/// An offset that no topic of a test reaches.
const BEYOND: i64 = 1_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let options = Options::parse()?;
    let client = ClientBuilder::new(vec![options.get("bootstrap")?.to_owned()]).build().await?;
    match options.scenario.as_str() {
        "produce" => produce(&client, &options).await,
        "read" => read(&client, &options).await,
        "times" => times(&client, &options).await,
        "beyond" => beyond(&client, &options).await,
        "absent" => absent(&client, &options).await,
        "topics" => topics(&client, &options).await,
        "refusals" => refusals(&client, &options).await,
        other => Err(format!("no such scenario: {other}").into()),
    }
}

async fn partitions(client: &Client, topic: &str) -> Result<Vec<PartitionClient>, Error> {
    let topics = client.list_topics().await?;
    let mut partitions = Vec::new();
    for index in topics.into_iter().filter(|listed| listed.name == topic).flat_map(|listed| listed.partitions)
    {
        partitions.push(client.partition_client(topic, index, UnknownTopicHandling::Error).await?);
    }
    Ok(partitions)
}

async fn produce(client: &Client, options: &Options) -> Outcome {
    let (lines, partitions) = (lines()?, partitions(client, options.get("topic")?).await?);
    let mut count = 0;
    for codec in options.get("codecs")?.split(',') {
        let codec = match codec {
            "gzip" => Compression::Gzip,
            "snappy" => Compression::Snappy,
            "lz4" => Compression::Lz4,
            "zstd" => Compression::Zstd,
            _ => Compression::NoCompression,
        };
        for (at, partition) in partitions.iter().enumerate() {
            let records: Vec<Record> = lines
                .iter()
                .skip(at)
                .step_by(partitions.len())
                .map(|(key, value)| Record {
                    key: Some(key.clone().into_bytes()),
                    value: Some(value.clone().into_bytes()),
                    headers: BTreeMap::new(),
                    timestamp: DateTime::UNIX_EPOCH,
                })
                .collect();
            count += partition.produce(records, codec).await?.len();
        }
    }
    produced(count);
    Ok(())
}

async fn read(client: &Client, options: &Options) -> Outcome {
    let mut left = options.count()?;
    for partition in partitions(client, options.get("topic")?).await? {
        let partition = Arc::new(partition);
        let mut position = partition.get_offset(OffsetAt::Earliest).await?;
        let end = partition.get_offset(OffsetAt::Latest).await?;
        while position < end {
            let (records, _) = partition.fetch_records(position, FETCH_BYTES, WAIT_MS).await?;
            for read in records {
                let (key, value) =
                    (read.record.key.unwrap_or_default(), read.record.value.unwrap_or_default());
                record(partition.partition(), read.offset, &key, &value);
                position = read.offset + 1;
                left = left.checked_sub(1).ok_or("there are more records than that")?;
            }
        }
    }
    check("read", left == 0)
}

fn at(milliseconds: i64) -> Result<DateTime<Utc>, Box<dyn std::error::Error>> {
    Ok(Utc.timestamp_millis_opt(milliseconds).single().ok_or("no such time")?)
}

async fn times(client: &Client, options: &Options) -> Outcome {
    let topic = client.partition_client(options.get("topic")?, 0, UnknownTopicHandling::Error).await?;
    for (time, expected) in OFFSETS {
        let found = topic.get_offset(OffsetAt::Timestamp(at(time)?)).await?;
        if found != expected {
            return Err(format!("the offset for the time {time}: got {found}, expected {expected}").into());
        }
    }
    step("offsets-for-times");
    // It passes over the sign that a batch has the time at which it was appended.
    let end = topic.get_offset(OffsetAt::Latest).await?;
    let since = Instant::now();
    let _ = topic.fetch_records(end, FETCH_BYTES, LAST_WAIT_MS).await?;
    let least = Duration::from_millis(u64::from(LAST_WAIT_MS.unsigned_abs()) - 10);
    check("waited", (least..LAST_WAIT_MAX).contains(&since.elapsed()))
}

async fn beyond(client: &Client, options: &Options) -> Outcome {
    // It leaves it to its user where to go on.
    let topic = client.partition_client(options.get("topic")?, 0, UnknownTopicHandling::Error).await?;
    match topic.fetch_records(BEYOND, FETCH_BYTES, WAIT_MS).await {
        Err(Error::ServerError { protocol_error: ProtocolError::OffsetOutOfRange, .. }) => {
            step("out-of-range")
        }
        other => return Err(format!("out-of-range: {other:?}").into()),
    }
    Ok(())
}

async fn absent(client: &Client, options: &Options) -> Outcome {
    let wait = Duration::from_millis(options.get("wait")?.parse()?);
    let topic = client.partition_client(options.get("topic")?, 0, UnknownTopicHandling::Retry);
    // It asks on and on until the topic is there.
    step(match tokio::time::timeout(wait, topic).await {
        Ok(found) => found.map(|_| "created")?,
        Err(_) => "unknown-topic",
    });
    Ok(())
}

async fn topics(client: &Client, options: &Options) -> Outcome {
    let topic = options.get("topic")?;
    let controller = client.controller_client()?;
    controller.create_topic(topic, 3, 1, TIMEOUT_MS).await?;
    step("created");
    let listed = client.list_topics().await?;
    check("listed", listed.iter().any(|listed| listed.name == topic))?;
    check("described", partitions(client, topic).await?.len() == 3)?;
    let first = client.partition_client(topic, 0, UnknownTopicHandling::Error).await?;
    check("offsets", first.get_offset(OffsetAt::Latest).await? == 0)?;
    first.delete_records(0, TIMEOUT_MS).await?;
    step("records-deleted");
    controller.delete_topic(topic, TIMEOUT_MS).await?;
    check("deleted", client.list_topics().await?.iter().all(|listed| listed.name != topic))
}

async fn refusals(client: &Client, options: &Options) -> Outcome {
    // Its metadata requests have a topic created, so only a deletion tells that there is none.
    let controller = client.controller_client()?;
    let unknown = controller.delete_topic(options.get("topic")?, TIMEOUT_MS).await;
    refused("unknown-topic", unknown, ProtocolError::UnknownTopicOrPartition)?;
    let invalid = controller.create_topic("no/topic", 1, 1, TIMEOUT_MS).await;
    refused("invalid-topic", invalid, ProtocolError::InvalidTopicException)
}

fn refused(name: &str, got: Result<(), Error>, by: ProtocolError) -> Outcome {
    match got {
        Err(Error::ServerError { protocol_error, .. }) if protocol_error == by => step(name),
        other => return Err(format!("{name}: {other:?}").into()),
    }
    Ok(())
}
