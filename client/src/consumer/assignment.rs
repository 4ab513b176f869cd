//! What a consumer reads and what it has read ahead: positions, pauses, and the queue of fetched batches.
//! Pure state: knows nothing of connections.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tokio::time::Instant;

use super::FetchedBatch;
use crate::{Error, Offset, PartitionIndex, ServerAddress, TopicId};

/// A partition by its topic's name.
pub(super) type Key = (Arc<str>, PartitionIndex);

/// Which stream fetches a partition: the agent, and the number of the stream there.
pub(super) type LaneKey = (ServerAddress, u32);

/// A partition that is being read.
#[derive(Debug)]
pub(super) struct Assigned {
    /// Changes with every seek, so that what was fetched for an older position is recognised.
    pub(super) generation: u64,
    /// Which topic it is of, where another one of the same name must not be read.
    pub(super) topic: Option<TopicId>,
    /// Where the next fetch begins.
    pub(super) fetch_at: Offset,
    /// The offset after the last record that was returned.
    pub(super) position: Offset,
    pub(super) high_watermark: Option<Offset>,
    pub(super) paused: bool,
    pub(super) lane: LaneKey,
    /// After failures: how many in a row, and when to try again.
    pub(super) failures: u32,
    pub(super) rest_until: Option<Instant>,
}

/// Something for the user, in the order of arrival.
#[derive(Debug)]
pub(super) enum Item {
    Batch(FetchedBatch),
    Error(Key, Error),
}

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    pub(super) partitions: BTreeMap<Key, Assigned>,
    queue: VecDeque<Item>,
    queued_bytes: usize,
    reserved_bytes: usize,
    generations: u64,
    /// See [`Assignment::changes`].
    changes: u64,
}

impl Item {
    fn key(&self) -> Key {
        match self {
            Self::Batch(batch) => (batch.topic.clone(), batch.partition),
            Self::Error(key, _) => key.clone(),
        }
    }
}

impl Assignment {
    /// Reads a partition from `offset` on.
    pub(super) fn assign(&mut self, key: &Key, offset: Offset, lane: LaneKey) {
        self.drop_queued(key);
        self.generations += 1;
        self.changes += 1;
        let before = self.partitions.get(key);
        let paused = before.is_some_and(|assigned| assigned.paused);
        let high_watermark = before.and_then(|assigned| assigned.high_watermark);
        let topic = before.and_then(|assigned| assigned.topic);
        let assigned = Assigned {
            generation: self.generations,
            topic,
            fetch_at: offset,
            position: offset,
            high_watermark,
            paused,
            lane,
            failures: 0,
            rest_until: None,
        };
        self.partitions.insert(key.clone(), assigned);
    }

    /// Goes on reading a partition elsewhere, if it is read, and is still in this generation where one is named.
    pub(super) fn seek(&mut self, key: &Key, generation: Option<u64>, offset: Offset) -> bool {
        let assigned = self.partitions.get(key);
        let assigned =
            assigned.filter(|assigned| generation.is_none_or(|known| assigned.generation == known));
        let Some(lane) = assigned.map(|assigned| assigned.lane.clone()) else { return false };
        self.assign(key, offset, lane);
        true
    }

    /// Reads a partition only as long as it is of this topic.
    pub(super) fn pin(&mut self, key: &Key, topic: TopicId) {
        if let Some(assigned) = self.partitions.get_mut(key) {
            assigned.topic = Some(topic);
        }
    }

    /// Holds a partition back, or ends that.
    pub(super) fn pause(&mut self, key: &Key, paused: bool) {
        self.changes += 1;
        if let Some(assigned) = self.partitions.get_mut(key) {
            assigned.paused = paused;
        }
    }

    /// Has another lane fetch a partition. False when it is that one already, or the partition is not read.
    pub(super) fn route(&mut self, key: &Key, lane: LaneKey) -> bool {
        let Some(assigned) = self.partitions.get_mut(key).filter(|assigned| assigned.lane != lane) else {
            return false;
        };
        assigned.lane = lane;
        self.changes += 1;
        true
    }

    /// A number that rises whenever what lanes have to fetch changes, other than by what they fetched.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Stops reading a partition.
    pub(super) fn unassign(&mut self, key: &Key) {
        self.changes += 1;
        self.partitions.remove(key);
        self.drop_queued(key);
    }

    fn drop_queued(&mut self, key: &Key) {
        self.queue.retain(|item| item.key() != *key);
        self.queued_bytes = self.queue.iter().map(bytes).sum();
    }

    /// The next item of a partition that is not paused. Batches without data only move the position.
    pub(super) fn pop(&mut self) -> Option<Item> {
        loop {
            let held = |item: &Item| self.partitions.get(&item.key()).is_some_and(|assigned| assigned.paused);
            let index = self.queue.iter().position(|item| !held(item))?;
            let item = self.queue.remove(index)?;
            self.queued_bytes -= bytes(&item);
            match item {
                Item::Batch(batch) if batch.batch.is_control() => self.advance(&batch, batch.next_offset()),
                item => return Some(item),
            }
        }
    }

    /// Queues again what is left of a batch that has been begun, before all others, unless its partition has been taken
    /// elsewhere since.
    pub(super) fn put_back(&mut self, mut batch: FetchedBatch, generation: u64) {
        let assigned = self.partitions.get(&(batch.topic.clone(), batch.partition));
        let Some(assigned) = assigned.filter(|assigned| assigned.generation == generation) else { return };
        if assigned.position < batch.next_offset() {
            batch.from = assigned.position;
            let item = Item::Batch(batch);
            self.queued_bytes += bytes(&item);
            self.queue.push_front(item);
        }
    }

    /// Moves a partition's position on: what comes before `to` has been returned.
    pub(super) fn advance(&mut self, batch: &FetchedBatch, to: Offset) {
        if let Some(assigned) = self.partitions.get_mut(&(batch.topic.clone(), batch.partition)) {
            assigned.position = assigned.position.max(to);
        }
    }

    /// Queues what a fetch brought for a partition, unless the partition has been taken elsewhere since.
    pub(super) fn arrive(
        &mut self,
        key: &Key,
        generation: u64,
        high_watermark: Offset,
        batches: Vec<FetchedBatch>,
    ) {
        let Some(assigned) = self.partitions.get_mut(key).filter(|p| p.generation == generation) else {
            return;
        };
        assigned.high_watermark = Some(high_watermark);
        assigned.failures = 0;
        for batch in batches {
            assigned.fetch_at = assigned.fetch_at.max(batch.next_offset());
            let item = Item::Batch(batch);
            self.queued_bytes += bytes(&item);
            self.queue.push_back(item);
        }
    }

    /// Queues an error of a partition for the user.
    pub(super) fn report(&mut self, key: &Key, generation: u64, error: Error) {
        if self.partitions.get(key).is_some_and(|assigned| assigned.generation == generation) {
            self.queue.push_back(Item::Error(key.clone(), error));
        }
    }

    /// Takes up to `wanted` bytes of the prefetch limit for a fetch; None when less than `least` is free.
    pub(super) fn reserve(&mut self, wanted: usize, least: usize, limit: usize) -> Option<usize> {
        let free = limit.saturating_sub(self.queued_bytes.saturating_add(self.reserved_bytes));
        let granted = wanted.min(free);
        (granted >= least).then(|| {
            self.reserved_bytes += granted;
            granted
        })
    }

    /// Gives back what a fetch reserved.
    pub(super) fn release(&mut self, reserved: usize) {
        self.reserved_bytes -= reserved;
    }
}

fn bytes(item: &Item) -> usize {
    match item {
        Item::Batch(batch) => batch.size(),
        Item::Error(..) => 0,
    }
}
