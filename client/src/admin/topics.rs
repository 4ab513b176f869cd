//! Topics: creating, deleting, listing and describing them, and adding partitions.

use ebb_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, MetadataResponse, StrBytes, TopicName,
    create_partitions_request::CreatePartitionsTopic,
    create_topics_request::{CreatableTopic, CreatableTopicConfig},
    delete_topics_request::DeleteTopicState,
    metadata_response::MetadataResponseTopic,
};

use super::{Admin, NewTopic, PartitionDescription, TopicDescription, check, left_out};
use crate::{
    BrokerId, Error, ErrorCode, LeaderEpoch, PartitionIndex, TopicId, cluster::metadata_request, rpc::Effect,
};

/// The first version of DeleteTopics that can name topics one by one.
const DELETE_TOPICS_STATES_VERSION: i16 = 6;

impl Admin {
    /// Creates a topic and answers its id.
    ///
    /// # Errors
    /// [`Error::Rejected`] with Kafka's code: the topic exists, the name or a configuration is invalid.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<TopicId, Error> {
        let what = format!("creating topic {:?}", topic.name);
        let build = |_| {
            CreateTopicsRequest::default()
                .with_topics(vec![creatable(topic)])
                .with_timeout_ms(self.timeout_ms())
                .with_validate_only(topic.validate_only)
        };
        let read = |answer: CreateTopicsResponse| {
            let result = answer.topics.first().ok_or_else(|| left_out(&what))?;
            check(result.error_code, &what, result.error_message.as_deref())?;
            Ok(TopicId(result.topic_id))
        };
        self.cluster.call(Effect::Changes, &what, build, read).await
    }

    /// Deletes a topic and all its records.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none of that name.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        let what = format!("deleting topic {topic:?}");
        let name = || TopicName(StrBytes::from_string(topic.to_owned()));
        let build = |version: i16| {
            let request = DeleteTopicsRequest::default().with_timeout_ms(self.timeout_ms());
            if version >= DELETE_TOPICS_STATES_VERSION {
                request.with_topics(vec![DeleteTopicState::default().with_name(Some(name()))])
            } else {
                request.with_topic_names(vec![name()])
            }
        };
        let read = |answer: DeleteTopicsResponse| {
            let result = answer.responses.first().ok_or_else(|| left_out(&what))?;
            check(result.error_code, &what, result.error_message.as_deref())
        };
        self.cluster.call(Effect::Changes, &what, build, read).await
    }

    /// All topics, sorted by name.
    ///
    /// # Errors
    /// What a request can fail with.
    pub async fn list_topics(&self) -> Result<Vec<TopicDescription>, Error> {
        let what = "listing topics";
        let read = |answer: MetadataResponse| {
            let mut topics = answer
                .topics
                .iter()
                .map(|topic| {
                    check(topic.error_code, what, None)?;
                    Ok(describe(topic))
                })
                .collect::<Result<Vec<_>, Error>>()?;
            topics.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(topics)
        };
        self.cluster.call(Effect::Reads, what, |_| metadata_request(None), read).await
    }

    /// One topic and its partitions.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none of that name.
    pub async fn describe_topic(&self, topic: &str) -> Result<TopicDescription, Error> {
        let what = format!("topic {topic:?}");
        let names = [topic.to_owned()];
        let read = |answer: MetadataResponse| {
            let topic = answer.topics.first().ok_or_else(|| left_out(&what))?;
            check(topic.error_code, &what, None)?;
            Ok(describe(topic))
        };
        self.cluster.call(Effect::Reads, &what, |_| metadata_request(Some(&names)), read).await
    }

    /// Raises a topic's number of partitions to `count`.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the topic has as many already.
    pub async fn create_partitions(&self, topic: &str, count: i32) -> Result<(), Error> {
        let what = format!("adding partitions to topic {topic:?}");
        let build = |_| {
            let topic = CreatePartitionsTopic::default()
                .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
                .with_count(count)
                .with_assignments(None);
            CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(self.timeout_ms())
        };
        let read = |answer: CreatePartitionsResponse| {
            let result = answer.results.first().ok_or_else(|| left_out(&what))?;
            check(result.error_code, &what, result.error_message.as_deref())
        };
        self.cluster.call(Effect::Changes, &what, build, read).await?;
        // Producers and consumers of this client are to see the new partitions.
        self.cluster.refresh(topic).await.map(|_| ())
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let config = |(name, value): (&String, &String)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_value(Some(StrBytes::from_string(value.clone())))
    };
    CreatableTopic::default()
        .with_name(TopicName(StrBytes::from_string(topic.name.clone())))
        .with_num_partitions(topic.partitions.unwrap_or(-1))
        // The bucket replicates; -1 leaves it to the server.
        .with_replication_factor(-1)
        .with_configs(topic.config.iter().map(config).collect())
}

fn describe(topic: &MetadataResponseTopic) -> TopicDescription {
    let mut partitions: Vec<_> = topic
        .partitions
        .iter()
        .map(|partition| PartitionDescription {
            index: PartitionIndex(partition.partition_index),
            leader: (partition.leader_id.0 >= 0
                && ErrorCode::try_from_code(partition.error_code) != Some(ErrorCode::LeaderNotAvailable))
            .then_some(BrokerId(partition.leader_id.0)),
            leader_epoch: LeaderEpoch(partition.leader_epoch),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.index);
    TopicDescription {
        name: topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default(),
        id: TopicId(topic.topic_id),
        internal: topic.is_internal,
        partitions,
    }
}
