//! rust-rdkafka, in the contract of `tests/clients/README.md`. It lists groups, but describes none.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ebb_rust_clients::{Options, Outcome, assigned, check, end_of_input, lines, produced, record, step};
use futures::executor::block_on;
use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    admin::{
        AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
    },
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
    types::RDKafkaErrorCode,
};

const WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

fn main() -> Outcome {
    let options = Options::parse()?;
    match options.scenario.as_str() {
        "produce" => produce(&options),
        "read" => read(&options),
        "consume" => consume(&options, options.count()?, &AtomicBool::new(false)),
        "follow" => consume(&options, usize::MAX, &end_of_input()),
        "topics" => topics(&options),
        "groups" => groups(&options),
        "refusals" => refusals(&options),
        other => Err(format!("no such scenario: {other}").into()),
    }
}

fn settings(options: &Options) -> Result<ClientConfig, Box<dyn std::error::Error>> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", options.get("bootstrap")?);
    Ok(settings)
}

/// Counts what was delivered.
#[derive(Clone, Default)]
struct Deliveries(Arc<Mutex<usize>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            *self.0.lock().expect("nobody panics with it") += 1;
        }
    }
}

fn produce(options: &Options) -> Outcome {
    let (lines, topic, delivered) = (lines()?, options.get("topic")?, Deliveries::default());
    for codec in options.get("codecs")?.split(',') {
        let producer: BaseProducer<Deliveries> = settings(options)?
            .set("compression.type", codec)
            .set("enable.idempotence", "true")
            .create_with_context(delivered.clone())?;
        for (key, value) in &lines {
            producer.send(BaseRecord::to(topic).key(key).payload(value)).map_err(|(error, _)| error)?;
        }
        producer.flush(WAIT)?;
    }
    produced(*delivered.0.lock().expect("nobody panics with it"));
    Ok(())
}

fn read(options: &Options) -> Outcome {
    let topic = options.get("topic")?;
    let consumer: BaseConsumer = settings(options)?.set("group.id", "none").create()?;
    let metadata = consumer.fetch_metadata(Some(topic), WAIT)?;
    let mut all = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|listed| listed.partitions()) {
        all.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    let mut left = options.count()?;
    while left > 0 {
        if let Some(message) = consumer.poll(POLL) {
            print(&message?);
            left -= 1;
        }
    }
    Ok(())
}

fn print(message: &impl Message) {
    let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
    record(message.partition(), message.offset(), key, value);
}

/// Where a member stands: it commits exactly what it has printed.
#[derive(Default)]
struct Positions {
    topic: String,
    next: Mutex<BTreeMap<i32, i64>>,
}

impl Positions {
    fn commit(&self, consumer: &BaseConsumer<Self>) -> Outcome {
        let next = std::mem::take(&mut *self.next.lock().expect("nobody panics with it"));
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in next {
            offsets.add_partition_offset(&self.topic, partition, Offset::Offset(offset))?;
        }
        if offsets.count() > 0 {
            consumer.commit(&offsets, CommitMode::Sync)?;
        }
        Ok(())
    }
}

impl ClientContext for Positions {}

impl ConsumerContext for Positions {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(_) = rebalance
            && let Err(error) = self.commit(consumer)
        {
            eprintln!("the commit before partitions are taken away failed: {error}");
        }
    }
}

fn consume(options: &Options, count: usize, end: &AtomicBool) -> Outcome {
    let topic = options.get("topic")?;
    let positions = Positions { topic: topic.to_owned(), ..Positions::default() };
    let mut settings = settings(options)?;
    settings
        .set("group.id", options.get("group")?)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("heartbeat.interval.ms", "300");
    let consumer: BaseConsumer<Positions> = settings.create_with_context(positions)?;
    consumer.subscribe(&[topic])?;
    let (mut left, mut told) = (count, Vec::new());
    while left > 0 && !end.load(Ordering::Relaxed) {
        if let Some(message) = consumer.poll(POLL) {
            let message = message?;
            print(&message);
            let mut next = consumer.context().next.lock().expect("nobody panics with it");
            next.insert(message.partition(), message.offset() + 1);
            left -= 1;
        }
        let mut now: Vec<i32> = consumer.assignment()?.elements().iter().map(|at| at.partition()).collect();
        now.sort_unstable();
        if now != told {
            assigned(&now);
            told = now;
        }
    }
    consumer.context().commit(&consumer)
}

fn topics(options: &Options) -> Outcome {
    let (topic, admin) = (options.get("topic")?, admin(options)?);
    let timed = AdminOptions::new().operation_timeout(Some(WAIT));
    let new = NewTopic::new(topic, 3, TopicReplication::Fixed(1)).set("retention.ms", "1000");
    one(block_on(admin.create_topics(&[new], &timed))?)?;
    step("created");
    let partitions = || -> Result<usize, Box<dyn std::error::Error>> {
        let metadata = admin.inner().fetch_metadata(Some(topic), WAIT)?;
        Ok(metadata.topics().first().map_or(0, |listed| listed.partitions().len()))
    };
    check("described", partitions()? == 3)?;
    let resource = ResourceSpecifier::Topic(topic);
    let retention = || -> Result<Option<String>, Box<dyn std::error::Error>> {
        let described = block_on(admin.describe_configs([&resource], &timed))?;
        let described = described.into_iter().next().ok_or("nothing is described")??;
        Ok(described.get("retention.ms").and_then(|entry| entry.value.clone()))
    };
    check("settings", retention()?.as_deref() == Some("1000"))?;
    let change = AlterConfig::new(resource).set("retention.ms", "2000");
    let altered = block_on(admin.alter_configs([&change], &timed))?;
    altered.into_iter().next().ok_or("nothing is altered")?.map_err(|(_, code)| code)?;
    check("changed", retention()?.as_deref() == Some("2000"))?;
    one(block_on(admin.create_partitions(&[NewPartitions::new(topic, 4)], &timed))?)?;
    check("grown", partitions()? == 4)?;
    one(block_on(admin.delete_topics(&[topic], &timed))?)?;
    step("deleted");
    Ok(())
}

fn admin(options: &Options) -> Result<AdminClient<DefaultClientContext>, Box<dyn std::error::Error>> {
    Ok(settings(options)?.create()?)
}

/// The one answer of a call that was made for one thing.
fn one(answers: Vec<Result<String, (String, RDKafkaErrorCode)>>) -> Result<(), RDKafkaErrorCode> {
    answers.into_iter().next().map_or(Ok(()), |answer| answer.map(drop).map_err(|(_, code)| code))
}

fn groups(options: &Options) -> Outcome {
    let (group, admin) = (options.get("group")?, admin(options)?);
    let listed = admin.inner().fetch_group_list(Some(group), WAIT)?;
    let state = listed.groups().first().map(|listed| listed.state().to_owned());
    check("group-described", state.as_deref() == Some("Empty"))?;
    let timed = AdminOptions::new();
    one(block_on(admin.delete_groups(&[group], &timed))?)?;
    let again = one(block_on(admin.delete_groups(&[group], &timed))?);
    check("group-deleted", again == Err(RDKafkaErrorCode::GroupIdNotFound))
}

fn refusals(options: &Options) -> Outcome {
    let (admin, timed) = (admin(options)?, AdminOptions::new());
    let deleted = one(block_on(admin.delete_topics(&[options.get("topic")?], &timed))?);
    check("unknown-topic", deleted == Err(RDKafkaErrorCode::UnknownTopicOrPartition))?;
    let new = NewTopic::new("no/topic", 1, TopicReplication::Fixed(1));
    let created = one(block_on(admin.create_topics(&[new], &timed))?);
    check("invalid-topic", created == Err(RDKafkaErrorCode::InvalidTopic))
}
