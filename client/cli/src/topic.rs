//! `ebb topic`: creates, lists, describes, alters and deletes topics.

use ebbtide::{
    Admin, Isolation, PartitionIndex,
    admin::{Config, ConfigChange, ConfigSource, NewTopic, OffsetSpec, TopicDescription},
};
use serde::Serialize;

use crate::{args::TopicCommand, connect::with_client, output, output::Failure};

pub(crate) async fn run(command: TopicCommand) -> Result<(), Failure> {
    with_client(command.connection(), async |client| perform(&client.admin(), &command).await).await
}

async fn perform(admin: &Admin, command: &TopicCommand) -> Result<(), Failure> {
    match command {
        TopicCommand::Create { name, partitions, configs, .. } => {
            create(admin, name, *partitions, configs).await
        }
        TopicCommand::List { json, .. } => list(admin, *json).await,
        TopicCommand::Describe { name, json, .. } => describe(admin, name, *json).await,
        TopicCommand::Alter { name, configs, partitions, .. } => {
            alter(admin, name, configs, *partitions).await
        }
        TopicCommand::Delete { name, .. } => {
            admin.delete_topic(name).await.map_err(Failure::new)?;
            output::line(format_args!("deleted topic {name}"))
        }
    }
}

async fn create(
    admin: &Admin,
    name: &str,
    partitions: i32,
    configs: &[(String, String)],
) -> Result<(), Failure> {
    let topic = NewTopic { config: configs.iter().cloned().collect(), ..NewTopic::new(name, partitions) };
    admin.create_topic(&topic).await.map_err(Failure::new)?;
    let plural = if partitions == 1 { "" } else { "s" };
    output::line(format_args!("created topic {name} with {partitions} partition{plural}"))
}

async fn list(admin: &Admin, json: bool) -> Result<(), Failure> {
    let topics = admin.list_topics().await.map_err(Failure::new)?;
    if json {
        return output::json(&topics.iter().map(ListedTopic::from).collect::<Vec<_>>());
    }
    for topic in topics {
        output::line(format_args!("{}\t{}", topic.name, topic.partitions.len()))?;
    }
    Ok(())
}

async fn describe(admin: &Admin, name: &str, json: bool) -> Result<(), Failure> {
    let topic = admin.describe_topic(name).await.map_err(Failure::new)?;
    let indices: Vec<PartitionIndex> = topic.partitions.iter().map(|partition| partition.index).collect();
    let offsets = |spec| admin.list_offsets(name, &indices, spec, Isolation::ReadUncommitted);
    let starts = offsets(OffsetSpec::Earliest).await.map_err(Failure::new)?;
    let ends = offsets(OffsetSpec::Latest).await.map_err(Failure::new)?;
    let partitions =
        topic.partitions.iter().zip(starts.iter().zip(&ends)).map(|(partition, (start, end))| {
            DescribedPartition {
                partition: partition.index.0,
                leader: partition.leader.map(|leader| leader.0),
                log_start: start.offset.map_or(0, |offset| offset.0),
                high_watermark: end.offset.map_or(0, |offset| offset.0),
            }
        });
    let configs = admin.topic_config(name).await.map_err(Failure::new)?;
    let described = DescribedTopic {
        topic: (&topic).into(),
        partitions: partitions.collect(),
        configs: configs
            .into_iter()
            .filter(|config| config.source == ConfigSource::Topic)
            .map(entry)
            .collect(),
    };
    if json { output::json(&described) } else { table(&described) }
}

fn entry(config: Config) -> (String, String) {
    (config.name, config.value.unwrap_or_default())
}

fn table(described: &DescribedTopic) -> Result<(), Failure> {
    output::line(format_args!("topic\t{}\nid\t{}", described.topic.name, described.topic.id))?;
    for (name, value) in &described.configs {
        output::line(format_args!("config\t{name}={value}"))?;
    }
    output::line("partition\tleader\tlog start\thigh watermark")?;
    for partition in &described.partitions {
        let leader = partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string());
        let DescribedPartition { partition, log_start, high_watermark, .. } = partition;
        output::line(format_args!("{partition}\t{leader}\t{log_start}\t{high_watermark}"))?;
    }
    Ok(())
}

async fn alter(
    admin: &Admin,
    name: &str,
    configs: &[(String, String)],
    partitions: Option<i32>,
) -> Result<(), Failure> {
    if configs.is_empty() && partitions.is_none() {
        return Err(Failure::new(format!("topic {name}: nothing to alter; give --config or --partitions")));
    }
    if !configs.is_empty() {
        let changes: Vec<ConfigChange> = configs
            .iter()
            .cloned()
            .map(|(name, value)| {
                if value.is_empty() {
                    ConfigChange::Reset { name }
                } else {
                    ConfigChange::Set { name, value }
                }
            })
            .collect();
        admin.alter_topic_config(name, &changes).await.map_err(Failure::new)?;
    }
    if let Some(count) = partitions {
        admin.create_partitions(name, count).await.map_err(Failure::new)?;
    }
    output::line(format_args!("altered topic {name}"))
}

/// A topic in a listing.
#[derive(Serialize)]
struct ListedTopic {
    name: String,
    id: String,
    partitions: usize,
}

impl From<&TopicDescription> for ListedTopic {
    fn from(topic: &TopicDescription) -> Self {
        Self { name: topic.name.clone(), id: topic.id.to_string(), partitions: topic.partitions.len() }
    }
}

/// A topic in full.
#[derive(Serialize)]
struct DescribedTopic {
    #[serde(flatten)]
    topic: ListedTopicHead,
    partitions: Vec<DescribedPartition>,
    configs: std::collections::BTreeMap<String, String>,
}

/// What names a topic.
#[derive(Serialize)]
struct ListedTopicHead {
    name: String,
    id: String,
}

impl From<&TopicDescription> for ListedTopicHead {
    fn from(topic: &TopicDescription) -> Self {
        Self { name: topic.name.clone(), id: topic.id.to_string() }
    }
}

/// A partition in full.
#[derive(Serialize)]
struct DescribedPartition {
    partition: i32,
    leader: Option<i32>,
    log_start: i64,
    high_watermark: i64,
}
