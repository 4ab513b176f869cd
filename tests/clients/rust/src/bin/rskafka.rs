//! rskafka, in the contract of `tests/clients/README.md`. It knows no groups and no settings of topics.

use std::{collections::BTreeMap, sync::Arc};

use chrono::DateTime;
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

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let options = Options::parse()?;
    let client = ClientBuilder::new(vec![options.get("bootstrap")?.to_owned()]).build().await?;
    match options.scenario.as_str() {
        "produce" => produce(&client, &options).await,
        "read" => read(&client, &options).await,
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
