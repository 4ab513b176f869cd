//! DeleteTopics, versions 1 to 6: by name, and by name or id from version 6 on. The records' objects are deleted later.

use ebb_metastore::{command::Command, state::TopicInfo};
use ebb_protocol::{
    error::ResponseError,
    ids::TopicId,
    messages::{
        DeleteTopicsRequest, DeleteTopicsResponse, StrBytes, TopicName,
        delete_topics_request::DeleteTopicState, delete_topics_response::DeletableTopicResult,
    },
};

use super::{Call, errors::Failure, topics::Named};

pub(super) async fn answer(call: Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let by_name = |name| DeleteTopicState::default().with_name(Some(name));
    let wanted = request.topics.into_iter().chain(request.topic_names.into_iter().map(by_name));
    let mut commands = Vec::new();
    let mut planned = Vec::new();
    for wanted in wanted {
        let topic = find(&call, &wanted).await;
        if let Ok(topic) = &topic {
            commands.push(Command::DeleteTopic { topic: topic.id });
        }
        planned.push((wanted, topic));
    }
    let mut results = call.submit(commands).await.into_iter();
    let responses = planned.into_iter().map(|(wanted, topic)| {
        let response = DeletableTopicResult::default().with_name(wanted.name).with_topic_id(wanted.topic_id);
        let deleted = topic.and_then(|topic| {
            // A topic that is named twice is gone the second time.
            results.next().unwrap_or_else(|| Err(Failure::unknown_topic())).map(|_| topic)
        });
        let (code, message) = call.outcome(&deleted);
        let response = response.with_error_code(code).with_error_message(message);
        match deleted {
            Ok(topic) => response
                .with_name(Some(TopicName(StrBytes::from_string(topic.name.to_string()))))
                .with_topic_id(topic.id.0),
            Err(_) => response,
        }
    });
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

async fn find(call: &Call, wanted: &DeleteTopicState) -> Result<TopicInfo, Failure> {
    match &wanted.name {
        Some(_) if !wanted.topic_id.is_nil() => {
            Err(Failure::new(ResponseError::InvalidRequest, "a topic is named by name or by id, not by both"))
        }
        Some(name) => call.topic(Named::Name(name)).await,
        None => call.topic(Named::Id(TopicId(wanted.topic_id))).await,
    }
}
