//! Looks topics up and creates those that nobody described. Knows nothing of Kafka's messages.

use ebb_metastore::{
    MetastoreError, Submission,
    command::{Command, CreateTopic},
    outcome::{Outcome, Refusal},
    state::TopicInfo,
};
use ebb_protocol::ids::{TopicId, TopicName};

use super::Broker;

/// Why there is no topic now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateTopicError {
    /// The metastore refused it.
    #[error("topic {0} cannot be created: {1}")]
    Refused(TopicName, Refusal),
    /// The metastore did not answer.
    #[error("{0}")]
    Metastore(#[from] MetastoreError),
}

impl Broker {
    /// The topic of this name. One that is not known here is looked for at the log's tail: another agent may have
    /// created it.
    ///
    /// # Errors
    /// [`MetastoreError`] when the tail cannot be asked for.
    pub async fn topic_by_name(&self, name: &TopicName) -> Result<Option<TopicInfo>, MetastoreError> {
        let find = || self.metastore.read(|state| state.topic_by_name(name));
        if let Some(topic) = find() {
            return Ok(Some(topic));
        }
        self.metastore.tail_check().await?;
        Ok(find())
    }

    /// The topic with this id, as [`Self::topic_by_name`] finds it.
    ///
    /// # Errors
    /// [`MetastoreError`] when the tail cannot be asked for.
    pub async fn topic_by_id(&self, topic: TopicId) -> Result<Option<TopicInfo>, MetastoreError> {
        let find = || self.metastore.read(|state| state.topic_by_id(topic));
        if let Some(topic) = find() {
            return Ok(Some(topic));
        }
        self.metastore.tail_check().await?;
        Ok(find())
    }

    /// The topic of this name, created with default settings when there is none. Of several agents and clients that
    /// do this at once one creates it, and all get the same topic.
    ///
    /// # Errors
    /// [`CreateTopicError`].
    pub async fn topic_or_create(
        &self,
        name: &TopicName,
        partitions: i32,
    ) -> Result<TopicInfo, CreateTopicError> {
        if let Some(topic) = self.topic_by_name(name).await? {
            return Ok(topic);
        }
        let topic = self.ids.topic();
        let command =
            Command::CreateTopic(CreateTopic { topic, name: name.clone(), partitions, config: Vec::new() });
        let submission = Submission { commands: vec![command], body: Vec::new() };
        let refusal = match self.metastore.submit(submission).await?.pop() {
            Some(Outcome::Refused(refusal)) => refusal,
            Some(_) => Refusal::UnknownTopic(topic),
            None => Refusal::Malformed,
        };
        let created = self.metastore.read(|state| state.topic_by_name(name));
        // Somebody else may have created it first, which is as good; and if it was deleted since, the refusal says so.
        created.ok_or_else(|| CreateTopicError::Refused(name.clone(), refusal))
    }
}
