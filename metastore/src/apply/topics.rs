//! Commands about topics and their partitions. What a configuration means is not looked at here: agents of
//! different versions may know different keys, and must not diverge over them.

use ebb_protocol::planted::{Bug, is_planted};
use std::collections::BTreeMap;

use ebb_protocol::ids::{Offset, PartitionIndex, TopicId};

use crate::{
    command::CreateTopic,
    entry::Entry,
    limits::{CONFIG_BYTES_MAX, CONFIGS_PER_TOPIC_MAX, PARTITIONS_MAX, PARTITIONS_PER_TOPIC_MAX, TOPICS_MAX},
    outcome::{Outcome, Refusal},
    state::{State, Topic, numbered},
};

impl State {
    pub(super) fn create_topic(&mut self, new: &CreateTopic) -> Result<Outcome, Refusal> {
        if self.topics.id(&new.name).is_some() || self.topics.get(new.topic).is_some() {
            return Err(Refusal::TopicExists);
        }
        let partitions = self.room_for(new.partitions, 0)?;
        if self.topics.len() >= TOPICS_MAX {
            return Err(Refusal::ClusterFull);
        }
        let overrides: BTreeMap<_, _> = new.config.iter().cloned().collect();
        check_overrides(&overrides)?;
        self.topics.insert(new.topic, Topic::new(new.name.clone(), partitions, overrides));
        Ok(Outcome::Done)
    }

    pub(super) fn create_partitions(&mut self, topic: TopicId, total: i32) -> Result<Outcome, Refusal> {
        let present = self.topics.get(topic).ok_or(Refusal::UnknownTopic(topic))?.partitions().len();
        let total = self.room_for(total, present)?;
        self.topics.grow(topic, total);
        Ok(Outcome::Done)
    }

    /// Checks that a topic of `present` partitions may grow to `total`.
    fn room_for(&self, total: i32, present: usize) -> Result<usize, Refusal> {
        let total = usize::try_from(total).ok().filter(|_| total <= PARTITIONS_PER_TOPIC_MAX);
        let total = total.filter(|total| *total > present).ok_or(Refusal::InvalidPartitionCount)?;
        if self.topics.partition_count() + total - present > PARTITIONS_MAX {
            return Err(Refusal::ClusterFull);
        }
        Ok(total)
    }

    pub(super) fn delete_topic(&mut self, entry: &Entry, id: TopicId) -> Result<Outcome, Refusal> {
        let now = self.time_by(entry);
        let topic = self.topics.remove(id).ok_or(Refusal::UnknownTopic(id))?;
        self.groups.forget_topic(id);
        for (at, partition) in numbered(id, topic.partitions()) {
            for (producer, row) in &partition.producers {
                self.idle.end(at, *producer, row);
            }
            for row in partition.coordinates.iter() {
                self.objects.release(row.object, now);
            }
        }
        self.tables.remove(&id);
        self.compactions.remove(&id);
        Ok(Outcome::Done)
    }

    pub(super) fn alter_topic_config(
        &mut self,
        id: TopicId,
        changes: &[(String, Option<String>)],
    ) -> Result<Outcome, Refusal> {
        let topic = self.topics.get(id).ok_or(Refusal::UnknownTopic(id))?;
        let mut overrides = topic.overrides().clone();
        for (key, value) in changes {
            match value {
                Some(value) => overrides.insert(key.clone(), value.clone()),
                None => overrides.remove(key),
            };
        }
        check_overrides(&overrides)?;
        self.topics.configure(id, overrides);
        Ok(Outcome::Done)
    }

    pub(super) fn delete_records(
        &mut self,
        entry: &Entry,
        topic: TopicId,
        index: PartitionIndex,
        before: Option<Offset>,
    ) -> Result<Outcome, Refusal> {
        let now = self.time_by(entry);
        let partition = self.topics.partition_mut(topic, index).ok_or(Refusal::UnknownPartition)?;
        let before = before.unwrap_or(partition.high_watermark);
        if before < Offset(0) || before > partition.high_watermark {
            return Err(Refusal::OffsetOutOfRange);
        }
        let more = i64::from(is_planted(Bug::DeleteOneMore) && before < partition.high_watermark);
        partition.log_start = partition.log_start.max(before.plus(more));
        let log_start = partition.log_start;
        let dropped = partition.coordinates.drop_below(log_start);
        let died = self.release(&dropped, now);
        if let Some(table) = self.tables.get_mut(&topic) {
            table.change(None, died, now);
        }
        Ok(Outcome::RecordsDeleted { log_start })
    }
}

fn check_overrides(overrides: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let long =
        |(key, value): (&String, &String)| key.len() > CONFIG_BYTES_MAX || value.len() > CONFIG_BYTES_MAX;
    if overrides.len() > CONFIGS_PER_TOPIC_MAX || overrides.iter().any(long) {
        return Err(Refusal::Malformed);
    }
    Ok(())
}
