//! Administrative calls: topics, their configuration, their offsets, and the cluster.

mod types;

pub use types::{
    Broker, Cluster, Config, ConfigChange, ConfigSource, ListedOffset, NewTopic, OffsetSpec,
    PartitionDescription, TopicDescription,
};

use crate::{Error, Isolation, Offset, PartitionIndex, TopicId};

/// The administrative calls. Reads are retried within the client's call time; changes are sent again only when it is
/// certain that they had no effect.
#[derive(Debug, Clone)]
pub struct Admin {}

#[expect(clippy::unused_async, reason = "the bodies follow")]
impl Admin {
    /// Creates a topic and answers its id.
    ///
    /// # Errors
    /// [`Error::Rejected`] with Kafka's code: the topic exists, the name or a configuration is invalid.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<TopicId, Error> {
        todo!("{topic:?}")
    }

    /// Deletes a topic and all its records.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none of that name.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        todo!("{topic}")
    }

    /// All topics, sorted by name.
    ///
    /// # Errors
    /// What a request can fail with.
    pub async fn list_topics(&self) -> Result<Vec<TopicDescription>, Error> {
        todo!()
    }

    /// One topic and its partitions.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none of that name.
    pub async fn describe_topic(&self, topic: &str) -> Result<TopicDescription, Error> {
        todo!("{topic}")
    }

    /// Raises a topic's number of partitions to `count`.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the topic has as many already.
    pub async fn create_partitions(&self, topic: &str, count: i32) -> Result<(), Error> {
        todo!("{topic} {count}")
    }

    /// A topic's configuration, sorted by name.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none of that name.
    pub async fn topic_config(&self, topic: &str) -> Result<Vec<Config>, Error> {
        todo!("{topic}")
    }

    /// Changes some of a topic's configuration and leaves the rest.
    ///
    /// # Errors
    /// [`Error::Rejected`] when a name or value is invalid; then nothing is changed.
    pub async fn alter_topic_config(&self, topic: &str, changes: &[ConfigChange]) -> Result<(), Error> {
        todo!("{topic} {changes:?}")
    }

    /// Deletes the records of a partition before `before` and answers the new log start offset.
    /// [`Offset`] -1 means the high watermark.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] when `before` lies above the high watermark.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: PartitionIndex,
        before: Offset,
    ) -> Result<Offset, Error> {
        todo!("{topic} {partition} {before}")
    }

    /// Looks offsets up, for several partitions of one topic at once; the answers stand in the order of `partitions`.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown topic or partition.
    pub async fn list_offsets(
        &self,
        topic: &str,
        partitions: &[PartitionIndex],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<Vec<ListedOffset>, Error> {
        todo!("{topic} {partitions:?} {spec:?} {isolation:?}")
    }

    /// The cluster's id and agents.
    ///
    /// # Errors
    /// What a request can fail with.
    pub async fn describe_cluster(&self) -> Result<Cluster, Error> {
        todo!()
    }
}
