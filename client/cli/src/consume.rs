//! `ebb consume`: prints records.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Stdout, Write},
    time::UNIX_EPOCH,
};

use ebbtide::{
    Client, Consumer, ConsumerRecord, GroupConsumer, Isolation, Offset, PartitionIndex, Start, Timestamp,
    admin::OffsetSpec,
};

use crate::{
    args::{ConsumeArgs, OutputFormat},
    connect::with_client,
    input::jsonl::Printed,
    output::{self, Failure},
};

pub(crate) async fn run(args: ConsumeArgs) -> Result<(), Failure> {
    let start = start(&args.from)?;
    with_client(&args.connection, async |client| match &args.group {
        Some(group) => read_as_member(client, &args, group, start).await,
        None => read(client, &args, start).await,
    })
    .await
}

/// Reads as a member of a group, until there is enough or Ctrl-C is pressed. What was printed is committed.
async fn read_as_member(
    client: &Client,
    args: &ConsumeArgs,
    group: &str,
    start: Start,
) -> Result<(), Failure> {
    let mut consumer = client.consumer().group(group).start(start).build().map_err(Failure::new)?;
    consumer.subscribe(&[&args.topic]);
    let read = tokio::select! {
        biased;
        result = print_members_part(&mut consumer, args) => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    let closed = consumer.close().await.map_err(Failure::new);
    read.and(closed)
}

async fn print_members_part(consumer: &mut GroupConsumer, args: &ConsumeArgs) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout());
    // Record by record only where the last batch may be left in the middle, so that the rest is not committed.
    if let Some(max) = args.max {
        for _ in 0..max {
            let record = consumer.next_record().await.map_err(Failure::new)?;
            output::written(print(&mut out, args.format, &record))?;
            output::written(out.flush())?;
        }
        return Ok(());
    }
    loop {
        let batch = consumer.next_batch().await.map_err(Failure::new)?;
        for record in batch.records().map_err(Failure::new)? {
            output::written(print(&mut out, args.format, &record.map_err(Failure::new)?))?;
        }
        output::written(out.flush())?;
    }
}

async fn read(client: &Client, args: &ConsumeArgs, start: Start) -> Result<(), Failure> {
    let ends = if args.exit_at_end { Some(Ends::ask(client, args).await?) } else { None };
    let consumer = client.consumer().build().map_err(Failure::new)?;
    if args.partition.is_empty() {
        consumer.assign_topic(&args.topic, start).await.map_err(Failure::new)?;
    }
    for partition in &args.partition {
        consumer.assign(&args.topic, PartitionIndex(*partition), start).await.map_err(Failure::new)?;
    }
    let reading = Reading { topic: args.topic.clone(), format: args.format, left: args.max, ends, consumer };
    tokio::select! {
        biased;
        result = reading.run() => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

pub(crate) fn start(text: &str) -> Result<Start, Failure> {
    match text {
        "beginning" => return Ok(Start::Earliest),
        "end" => return Ok(Start::Latest),
        _ => {}
    }
    if let Ok(offset) = text.parse::<i64>() {
        if offset < 0 {
            return Err(Failure::new(format!("offset {offset} is negative")));
        }
        return Ok(Start::Offset(Offset(offset)));
    }
    let time = humantime::parse_rfc3339_weak(text).map_err(|_| {
        Failure::new(format!(
            "{text:?} is no position: use beginning, end, an offset, or 2026-01-31T12:00:00Z"
        ))
    })?;
    let since =
        time.duration_since(UNIX_EPOCH).map_err(|_| Failure::new(format!("{text} lies before 1970")))?;
    Ok(Start::Timestamp(Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))))
}

struct Reading {
    topic: String,
    format: OutputFormat,
    left: Option<u64>,
    ends: Option<Ends>,
    consumer: Consumer,
}

impl Reading {
    async fn run(mut self) -> Result<(), Failure> {
        let mut out = BufWriter::with_capacity(1 << 20, io::stdout());
        self.settle();
        while self.left != Some(0) && !self.ends.as_ref().is_some_and(Ends::reached) {
            let batch = self.consumer.next_batch().await.map_err(Failure::new)?;
            for record in batch.records().map_err(Failure::new)? {
                let record = record.map_err(Failure::new)?;
                if self.left == Some(0) {
                    break;
                }
                if self.ends.as_ref().is_none_or(|ends| ends.wants(&record)) {
                    output::written(print(&mut out, self.format, &record))?;
                    self.left = self.left.map(|left| left - 1);
                }
            }
            if let Some(ends) = &mut self.ends {
                ends.passed(batch.partition(), batch.next_offset());
            }
            output::written(out.flush())?;
        }
        Ok(())
    }

    /// Takes partitions off whose end is where reading begins: nothing will come from them.
    fn settle(&mut self) {
        let Some(ends) = &mut self.ends else { return };
        for partition in ends.left.keys().copied().collect::<Vec<_>>() {
            if let Some(position) = self.consumer.position(&self.topic, partition) {
                ends.passed(partition, position);
            }
        }
    }
}

/// The ends that the partitions had when reading began.
struct Ends {
    left: BTreeMap<PartitionIndex, Offset>,
    all: BTreeMap<PartitionIndex, Offset>,
}

impl Ends {
    async fn ask(client: &Client, args: &ConsumeArgs) -> Result<Self, Failure> {
        let admin = client.admin();
        let partitions = if args.partition.is_empty() {
            let topic = admin.describe_topic(&args.topic).await.map_err(Failure::new)?;
            topic.partitions.iter().map(|partition| partition.index).collect()
        } else {
            args.partition.iter().copied().map(PartitionIndex).collect::<Vec<_>>()
        };
        let isolation = Isolation::ReadUncommitted;
        let look = |spec| admin.list_offsets(&args.topic, &partitions, spec, isolation);
        let starts = look(OffsetSpec::Earliest).await.map_err(Failure::new)?;
        let ends = look(OffsetSpec::Latest).await.map_err(Failure::new)?;
        let pairs = starts.iter().zip(ends);
        let filled = pairs.filter(|(start, end)| start.offset < end.offset);
        let all: BTreeMap<_, _> =
            filled.filter_map(|(_, end)| end.offset.map(|offset| (end.partition, offset))).collect();
        Ok(Self { left: all.clone(), all })
    }

    fn wants(&self, record: &ConsumerRecord) -> bool {
        self.all.get(&record.partition).is_some_and(|end| record.offset < *end)
    }

    fn passed(&mut self, partition: PartitionIndex, next: Offset) {
        if self.left.get(&partition).is_some_and(|end| next >= *end) {
            self.left.remove(&partition);
        }
    }

    fn reached(&self) -> bool {
        self.left.is_empty()
    }
}

fn print(out: &mut BufWriter<Stdout>, format: OutputFormat, record: &ConsumerRecord) -> io::Result<()> {
    let value = record.value.as_deref().unwrap_or_default();
    match format {
        OutputFormat::Value => {}
        OutputFormat::Kv => {
            out.write_all(record.key.as_deref().unwrap_or_default())?;
            out.write_all(b"\t")?;
        }
        OutputFormat::Json => {
            serde_json::to_writer(&mut *out, &Printed::from(record))?;
            return out.write_all(b"\n");
        }
    }
    out.write_all(value)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_a_word_an_offset_or_a_time() {
        let cases = [
            ("beginning", Start::Earliest),
            ("end", Start::Latest),
            ("42", Start::Offset(Offset(42))),
            ("1970-01-01T00:00:01Z", Start::Timestamp(Timestamp(1000))),
        ];
        for (text, expect) in cases {
            assert_eq!(start(text).expect(text), expect);
        }
        for wrong in ["-3", "yesterday", "1960-01-01T00:00:00Z"] {
            assert!(start(wrong).is_err(), "{wrong}");
        }
    }
}
