//! What a group must know of topics to turn subscriptions into assignments.

use ebb_metastore::state::State;
use ebb_protocol::ids::{TopicId, TopicName};

/// The cluster's topics, as of one moment.
pub trait Topics {
    /// A topic's id and partition count, by its name.
    fn by_name(&self, name: &str) -> Option<(TopicId, i32)>;

    /// The names of all topics, sorted.
    fn names(&self) -> Vec<TopicName>;

    /// A topic's name and partition count, by its id.
    fn by_id(&self, topic: TopicId) -> Option<(TopicName, i32)>;
}

impl Topics for State {
    fn by_name(&self, name: &str) -> Option<(TopicId, i32)> {
        let found = self.topic_by_name(&TopicName::new(name).ok()?)?;
        Some((found.id, found.partitions))
    }

    fn names(&self) -> Vec<TopicName> {
        self.topics().map(|topic| topic.name).collect()
    }

    fn by_id(&self, topic: TopicId) -> Option<(TopicName, i32)> {
        self.topic_by_id(topic).map(|found| (found.name, found.partitions))
    }
}
