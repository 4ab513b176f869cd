//! CreateTopics, versions 2 to 7. A replication factor or assignment is taken for its shape only: the object store
//! replicates, and any agent takes any partition; the factor is reported as 1.

use std::collections::BTreeMap;

use ebb_metastore::{
    command::{Command, CreateTopic},
    limits::PARTITIONS_PER_TOPIC_MAX,
    outcome::Refusal,
    state::config::{ConfigKey, TOPIC_CONFIGS},
};
use ebb_protocol::{
    error::ResponseError,
    ids::TopicName,
    messages::{
        CreateTopicsRequest, CreateTopicsResponse, StrBytes,
        create_topics_request::CreatableTopic,
        create_topics_response::{CreatableTopicConfigs, CreatableTopicResult},
    },
};

use super::{
    Call, configs,
    describe_configs::{SOURCE_DEFAULT, SOURCE_TOPIC},
    errors::Failure,
};

/// The count that asks for the default.
const DEFAULT: i32 = -1;

pub(super) async fn answer(call: Call, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut mentions: BTreeMap<String, usize> = BTreeMap::new();
    for topic in &request.topics {
        *mentions.entry(topic.name.to_string()).or_default() += 1;
    }
    let mut commands = Vec::new();
    let mut planned = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let once = mentions.get(topic.name.as_str()) == Some(&1);
        let plan = plan(&call, &topic, once, request.validate_only).await;
        if let Ok(create) = &plan
            && !request.validate_only
        {
            commands.push(Command::CreateTopic(create.clone()));
        }
        planned.push((topic.name, plan));
    }
    let mut results = call.submit(commands).await.into_iter();
    let topics = planned.into_iter().map(|(name, plan)| {
        let created = plan.and_then(|create| match results.next() {
            Some(result) => result.map(|_| create),
            None => Ok(create),
        });
        let (code, message) = call.outcome(&created);
        let response =
            CreatableTopicResult::default().with_name(name).with_error_code(code).with_error_message(message);
        match created {
            Ok(create) => describe(&call, response, &create, request.validate_only),
            Err(_) => response.with_num_partitions(-1).with_replication_factor(-1).with_configs(None),
        }
    });
    CreateTopicsResponse::default().with_topics(topics.collect())
}

async fn plan(
    call: &Call,
    wanted: &CreatableTopic,
    once: bool,
    validate_only: bool,
) -> Result<CreateTopic, Failure> {
    if !once {
        return Err(Failure::new(ResponseError::InvalidRequest, "the topic is named more than once"));
    }
    let name = TopicName::new(&wanted.name)?;
    // A topic that exists is refused when the command is applied; there is no command when this only validates.
    if validate_only && call.broker().topic_by_name(&name).await?.is_some() {
        return Err(Refusal::TopicExists.into());
    }
    if wanted.replication_factor == 0 || wanted.replication_factor < -1 {
        let message = "the replication factor must be at least 1, or -1 for the default";
        return Err(Failure::new(ResponseError::InvalidReplicationFactor, message));
    }
    let partitions = partitions(call, wanted)?;
    let mut config = BTreeMap::new();
    for entry in &wanted.configs {
        let key = ConfigKey::find(TOPIC_CONFIGS, &entry.name)?;
        let Some(value) = &entry.value else {
            let message = format!("topic config {} needs a value", key.name);
            return Err(Failure::new(ResponseError::InvalidConfig, message));
        };
        key.check(value)?;
        config.insert(key.name.to_owned(), value.to_string());
    }
    configs::check_values(&config)?;
    Ok(CreateTopic {
        topic: call.broker().ids().topic(),
        name,
        partitions,
        config: config.into_iter().collect(),
    })
}

/// The partition count that is asked for: as a number, by an assignment, or the default.
fn partitions(call: &Call, wanted: &CreatableTopic) -> Result<i32, Failure> {
    if !wanted.assignments.is_empty() {
        let count = i32::try_from(wanted.assignments.len()).unwrap_or(i32::MAX);
        if wanted.num_partitions != DEFAULT || wanted.replication_factor != -1 {
            let message = "give partition count and replication factor, or an assignment, not both";
            return Err(Failure::new(ResponseError::InvalidRequest, message));
        }
        let mut indices: Vec<_> =
            wanted.assignments.iter().map(|assignment| assignment.partition_index).collect();
        indices.sort_unstable();
        if !indices.into_iter().eq(0..count) {
            let message = "an assignment must name the partitions 0, 1, 2 and so on, each once";
            return Err(Failure::new(ResponseError::InvalidReplicaAssignment, message));
        }
        return Ok(count);
    }
    let count = if wanted.num_partitions == DEFAULT {
        call.handlers.topics.partitions
    } else {
        wanted.num_partitions
    };
    if (1..=PARTITIONS_PER_TOPIC_MAX).contains(&count) {
        return Ok(count);
    }
    let message = format!("a topic has 1 to {PARTITIONS_PER_TOPIC_MAX} partitions, not {count}");
    Err(Failure::new(ResponseError::InvalidPartitions, message))
}

fn describe(
    call: &Call,
    response: CreatableTopicResult,
    created: &CreateTopic,
    validate_only: bool,
) -> CreatableTopicResult {
    let configs = TOPIC_CONFIGS.iter().map(|key| {
        let own = created.config.iter().find(|(name, _)| name == key.name);
        let value = own.map_or(key.default, |(_, value)| value);
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(key.name))
            .with_value(Some(StrBytes::from_string(value.to_owned())))
            .with_config_source(if own.is_some() { SOURCE_TOPIC } else { SOURCE_DEFAULT })
    });
    // Versions before 5 cannot carry what the topic became.
    let response = if call.version >= 5 {
        response
            .with_num_partitions(created.partitions)
            .with_replication_factor(1)
            .with_configs(Some(configs.collect()))
    } else {
        response
    };
    if validate_only { response } else { response.with_topic_id(created.topic.0) }
}
