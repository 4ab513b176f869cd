//! Topics: names, ids, configuration and partitions.

use std::{collections::BTreeMap, ops::Bound};

use ebb_protocol::ids::{PartitionIndex, TopicId, TopicName, TopicPartition};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{config::TopicSettings, partition::Partition};

/// A topic as readers of the state see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Its partition count.
    pub partitions: i32,
    /// Its configuration, where it differs from the defaults; sorted by key.
    pub config: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Topic {
    pub(crate) name: TopicName,
    overrides: BTreeMap<String, String>,
    /// The overrides, parsed.
    #[serde(skip)]
    settings: TopicSettings,
    partitions: Vec<Partition>,
}

impl Topic {
    pub(crate) fn new(name: TopicName, partitions: usize, overrides: BTreeMap<String, String>) -> Self {
        let settings = TopicSettings::new(&overrides);
        Self { name, overrides, settings, partitions: vec![Partition::default(); partitions] }
    }

    pub(crate) fn overrides(&self) -> &BTreeMap<String, String> {
        &self.overrides
    }

    pub(crate) fn settings(&self) -> &TopicSettings {
        &self.settings
    }

    pub(crate) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    fn info(&self, id: TopicId) -> TopicInfo {
        TopicInfo {
            id,
            name: self.name.clone(),
            partitions: i32::try_from(self.partitions.len()).expect("the partition count is limited"),
            config: self.overrides.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        }
    }
}

/// All topics. Names are unique among them; ids are never used again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Topics {
    by_id: BTreeMap<TopicId, Topic>,
    /// Made again from `by_id`, as is the count.
    #[serde(skip)]
    by_name: BTreeMap<TopicName, TopicId>,
    #[serde(skip)]
    partition_count: usize,
    /// The sum of what each topic adds to it.
    #[serde(skip)]
    fingerprint: u64,
}

impl Topics {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many partitions all topics have together.
    pub(crate) fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// Differs, but for chance, between any two sets of topics with their partition counts.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(crate) fn get(&self, id: TopicId) -> Option<&Topic> {
        self.by_id.get(&id)
    }

    pub(crate) fn id(&self, name: &TopicName) -> Option<TopicId> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn info(&self, id: TopicId) -> Option<TopicInfo> {
        self.get(id).map(|topic| topic.info(id))
    }

    /// Sorted by name.
    pub(crate) fn infos(&self) -> impl Iterator<Item = TopicInfo> {
        self.by_name.values().filter_map(|id| self.info(*id))
    }

    pub(crate) fn partition(&self, id: TopicId, index: PartitionIndex) -> Option<&Partition> {
        self.get(id)?.partitions.get(usize::try_from(index.0).ok()?)
    }

    pub(crate) fn partition_mut(&mut self, id: TopicId, index: PartitionIndex) -> Option<&mut Partition> {
        self.by_id.get_mut(&id)?.partitions.get_mut(usize::try_from(index.0).ok()?)
    }

    /// Every partition, sorted by topic id and index.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (TopicPartition, &Partition)> {
        self.by_id.iter().flat_map(|(id, topic)| numbered(*id, &topic.partitions))
    }

    /// The same, beginning with the partition `from` or the next that exists.
    pub(crate) fn partitions_from(
        &self,
        from: Option<TopicPartition>,
    ) -> impl Iterator<Item = (TopicPartition, &Partition)> {
        let first = from.map(|at| Bound::Included(at.topic)).unwrap_or(Bound::Unbounded);
        let topics = self.by_id.range((first, Bound::Unbounded));
        let all = topics.flat_map(|(id, topic)| numbered(*id, &topic.partitions));
        // At most one topic's partitions are passed over.
        all.skip_while(move |(at, _)| from.is_some_and(|from| *at < from))
    }

    /// Adds a topic whose id and name are free.
    pub(crate) fn insert(&mut self, id: TopicId, topic: Topic) {
        self.by_name.insert(topic.name.clone(), id);
        self.partition_count += topic.partitions.len();
        self.fingerprint = self.fingerprint.wrapping_add(mark(id, &topic));
        self.by_id.insert(id, topic);
    }

    /// Removes a topic and returns it.
    pub(crate) fn remove(&mut self, id: TopicId) -> Option<Topic> {
        let topic = self.by_id.remove(&id)?;
        self.by_name.remove(&topic.name);
        self.partition_count -= topic.partitions.len();
        self.fingerprint = self.fingerprint.wrapping_sub(mark(id, &topic));
        Some(topic)
    }

    /// Adds empty partitions until the topic has `total`.
    pub(crate) fn grow(&mut self, id: TopicId, total: usize) {
        let Some(topic) = self.by_id.get_mut(&id) else { return };
        let more = total.saturating_sub(topic.partitions.len());
        self.fingerprint = self.fingerprint.wrapping_sub(mark(id, topic));
        topic.partitions.extend(std::iter::repeat_n(Partition::default(), more));
        self.fingerprint = self.fingerprint.wrapping_add(mark(id, topic));
        self.partition_count += more;
    }

    /// Replaces a topic's overrides.
    pub(crate) fn configure(&mut self, id: TopicId, overrides: BTreeMap<String, String>) {
        let Some(topic) = self.by_id.get_mut(&id) else { return };
        topic.settings = TopicSettings::new(&overrides);
        topic.overrides = overrides;
    }

    pub(super) fn rebuild(&mut self) {
        self.by_name = self.by_id.iter().map(|(id, topic)| (topic.name.clone(), *id)).collect();
        self.partition_count = self.by_id.values().map(|topic| topic.partitions.len()).sum();
        let marks = self.by_id.iter().map(|(id, topic)| mark(*id, topic));
        self.fingerprint = marks.fold(0, u64::wrapping_add);
        for topic in self.by_id.values_mut() {
            topic.settings = TopicSettings::new(&topic.overrides);
        }
    }
}

/// What a topic adds to the fingerprint.
fn mark(id: TopicId, topic: &Topic) -> u64 {
    let mut key = [0; 24];
    let (id_bytes, partition_bytes) = key.split_at_mut(16);
    id_bytes.copy_from_slice(id.0.as_bytes());
    partition_bytes.copy_from_slice(&(topic.partitions.len() as u64).to_be_bytes());
    xxh3_64(&key)
}

/// A topic's partitions with what names them.
pub(crate) fn numbered(
    topic: TopicId,
    partitions: &[Partition],
) -> impl Iterator<Item = (TopicPartition, &Partition)> {
    (0..).map(move |index| TopicPartition { topic, partition: PartitionIndex(index) }).zip(partitions)
}
