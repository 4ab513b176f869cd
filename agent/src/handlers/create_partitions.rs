//! CreatePartitions, versions 0 to 3: raises partition counts. An assignment is checked for its shape and then
//! ignored, since any agent takes any partition.

use std::collections::BTreeMap;

use ebb_metastore::{command::Command, limits::PARTITIONS_PER_TOPIC_MAX};
use ebb_protocol::{
    error::ResponseError,
    messages::{
        CreatePartitionsRequest, CreatePartitionsResponse, create_partitions_request::CreatePartitionsTopic,
        create_partitions_response::CreatePartitionsTopicResult,
    },
};

use super::{Call, errors::Failure, topics::Named};

pub(super) async fn answer(call: Call, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let mut mentions: BTreeMap<String, usize> = BTreeMap::new();
    for topic in &request.topics {
        *mentions.entry(topic.name.to_string()).or_default() += 1;
    }
    let mut commands = Vec::new();
    let mut planned = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let once = mentions.get(topic.name.as_str()) == Some(&1);
        let result = plan(&call, &topic, once).await.map(|command| {
            if !request.validate_only {
                commands.push(command);
            }
        });
        planned.push((topic.name, result));
    }
    let mut results = call.submit(commands).await.into_iter();
    let results = planned.into_iter().map(|(name, planned)| {
        let result = planned.and_then(|()| results.next().map_or(Ok(()), |result| result.map(|_| ())));
        let (code, message) = call.outcome(&result);
        CreatePartitionsTopicResult::default()
            .with_name(name)
            .with_error_code(code)
            .with_error_message(message)
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

async fn plan(call: &Call, wanted: &CreatePartitionsTopic, once: bool) -> Result<Command, Failure> {
    if !once {
        return Err(Failure::new(ResponseError::InvalidRequest, "the topic is named more than once"));
    }
    let topic = call.topic(Named::Name(&wanted.name)).await?;
    let total = wanted.count;
    if total <= topic.partitions || total > PARTITIONS_PER_TOPIC_MAX {
        let message = format!(
            "the topic has {} partitions; ask for more, up to {PARTITIONS_PER_TOPIC_MAX}, not for {total}",
            topic.partitions
        );
        return Err(Failure::new(ResponseError::InvalidPartitions, message));
    }
    let added = usize::try_from(total - topic.partitions).unwrap_or(0);
    if wanted.assignments.as_ref().is_some_and(|assignments| assignments.len() != added) {
        let message = format!("{added} partitions are added: give as many assignments, or none");
        return Err(Failure::new(ResponseError::InvalidReplicaAssignment, message));
    }
    Ok(Command::CreatePartitions { topic: topic.id, total })
}
