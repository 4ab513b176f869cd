//! Plain values that administrative calls take and answer.

use std::collections::BTreeMap;

use crate::{BrokerId, LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId};

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// The name: 1 to 249 of `a-z A-Z 0-9 . _ -`.
    pub name: String,
    /// How many partitions; None leaves it to the server.
    pub partitions: Option<i32>,
    /// Configuration that differs from the defaults, by Kafka's names.
    pub config: BTreeMap<String, String>,
    /// Only checks whether the topic could be created.
    pub validate_only: bool,
}

impl NewTopic {
    /// A topic with `partitions` partitions and the default configuration.
    #[must_use]
    pub fn new(name: &str, partitions: i32) -> Self {
        Self {
            name: name.to_owned(),
            partitions: Some(partitions),
            config: BTreeMap::new(),
            validate_only: false,
        }
    }

    /// The topic with this configuration entry.
    #[must_use]
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.config.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// The name.
    pub name: String,
    /// The id.
    pub id: TopicId,
    /// Whether it belongs to the system.
    pub internal: bool,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionDescription {
    /// The index.
    pub index: PartitionIndex,
    /// The agent that is best asked for it, if any is live.
    pub leader: Option<BrokerId>,
    /// Counts the changes of that agent.
    pub leader_epoch: LeaderEpoch,
}

/// A configuration entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Kafka's name.
    pub name: String,
    /// The value; None when it is secret or unset.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it cannot be altered.
    pub read_only: bool,
    /// What it means, when the server says so.
    pub documentation: Option<String>,
}

/// Where a configuration value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on the agents.
    Broker,
    /// Kafka's default.
    Default,
    /// Something else; Kafka's number.
    Other(i8),
}

/// A change of one configuration entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// Sets a value.
    Set {
        /// Kafka's name.
        name: String,
        /// The value.
        value: String,
    },
    /// Goes back to the default.
    Reset {
        /// Kafka's name.
        name: String,
    },
}

/// Which offset to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The log start offset.
    Earliest,
    /// The high watermark, or the last stable offset under read committed.
    Latest,
    /// The record with the largest time.
    MaxTimestamp,
    /// The first record with this time or a later one.
    Timestamp(Timestamp),
}

/// An offset that was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset; None when no record fits.
    pub offset: Option<Offset>,
    /// The record's time, when a time was asked for.
    pub timestamp: Option<Timestamp>,
}

/// The cluster as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's id.
    pub id: String,
    /// The agent to ask for administrative calls.
    pub controller: Option<BrokerId>,
    /// The live agents, sorted by id.
    pub brokers: Vec<Broker>,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its number.
    pub id: BrokerId,
    /// The host it advertises.
    pub host: String,
    /// The port it advertises.
    pub port: u16,
    /// Its zone, if it says one.
    pub rack: Option<String>,
}
