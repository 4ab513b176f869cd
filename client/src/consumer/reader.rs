//! What a consumer's handle and its lanes share: the assignment, the room for prefetched bytes, and the lanes.

use std::{collections::BTreeMap, sync::Arc};

use ebb_protocol::ids::{PartitionIndex, TopicId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Isolation, OutOfRange, Start,
    assignment::{Assignment, Item, Key, LaneKey},
    fetch::{Known, Limits, Wanted},
    lane::Runner,
};
use crate::{
    Error, Offset,
    admin::{OffsetSpec, look_up},
    cluster::Cluster,
    rpc::Node,
};

/// Streams that one consumer opens to one agent. Partitions are spread over them.
const LANES_PER_NODE: u32 = 4;

/// A consumer's settings, checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) limits: Limits,
    pub(super) fetch_bytes_max: usize,
    pub(super) prefetch_bytes_max: usize,
    pub(super) out_of_range: OutOfRange,
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) cluster: Arc<Cluster>,
    pub(super) settings: Settings,
    pub(super) assignment: Mutex<Assignment>,
    /// Told when there is something for the user.
    pub(super) arrived: Notify,
    lanes: Mutex<BTreeMap<LaneKey, Lane>>,
}

#[derive(Debug)]
struct Lane {
    changed: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl Reader {
    pub(super) fn new(cluster: Arc<Cluster>, settings: Settings) -> Self {
        Self {
            cluster,
            settings,
            assignment: Mutex::default(),
            arrived: Notify::new(),
            lanes: Mutex::default(),
        }
    }

    /// Ends all lanes.
    pub(super) fn close(&self) {
        self.lanes.lock().clear();
    }

    /// Starts reading partitions of a topic, or all of them, and answers which. Given a topic's id, another topic that
    /// gets its name later is not read.
    pub(super) async fn assign(
        self: &Arc<Self>,
        topic: &str,
        partitions: Option<&[PartitionIndex]>,
        start: Start,
        only: Option<TopicId>,
    ) -> Result<Vec<PartitionIndex>, Error> {
        let metadata = self.cluster.topic(topic).await?;
        let count = i32::try_from(metadata.partitions.len()).unwrap_or(i32::MAX);
        let partitions: Vec<_> = match partitions {
            Some(chosen) => chosen.to_vec(),
            None => (0..count).map(PartitionIndex).collect(),
        };
        if let Some(unknown) = partitions.iter().find(|partition| !(0..count).contains(&partition.0)) {
            let text =
                format!("topic {topic:?} has no partition {unknown}: its partitions are 0 to {}", count - 1);
            return Err(Error::Usage(text.into()));
        }
        let offsets = self.resolve(topic, &partitions, start).await?;
        let mut nodes = BTreeMap::new();
        {
            let mut assignment = self.assignment.lock();
            for (partition, offset) in partitions.iter().zip(offsets) {
                let key = (metadata.name.clone(), *partition);
                let index = usize::try_from(partition.0).unwrap_or(0);
                let leader = metadata.partitions.get(index).and_then(|partition| partition.leader);
                let node = self.cluster.route(leader);
                let lane = lane_key(&node, &key);
                assignment.assign(&key, offset, lane.clone());
                if let Some(id) = only {
                    assignment.pin(&key, id);
                }
                nodes.insert(lane, node);
            }
        }
        for (lane, node) in nodes {
            self.wake(&lane, &node);
        }
        Ok(partitions)
    }

    /// The offsets to start at, in the order of the partitions.
    pub(super) async fn resolve(
        &self,
        topic: &str,
        partitions: &[PartitionIndex],
        start: Start,
    ) -> Result<Vec<Offset>, Error> {
        let isolation = self.settings.limits.isolation;
        let spec = match start {
            Start::Offset(offset) => return Ok(vec![offset; partitions.len()]),
            Start::Earliest => OffsetSpec::Earliest,
            Start::Latest => OffsetSpec::Latest,
            Start::Timestamp(time) => OffsetSpec::Timestamp(time),
        };
        let mut found = look_up(&self.cluster, topic, partitions, spec, isolation).await?;
        if found.iter().any(|found| found.offset.is_none()) {
            // No record is as late as that: begin with the next one.
            let ends = look_up(&self.cluster, topic, partitions, OffsetSpec::Latest, isolation).await?;
            for (found, end) in found.iter_mut().zip(ends) {
                found.offset = found.offset.or(end.offset);
            }
        }
        Ok(found.iter().map(|found| found.offset.unwrap_or_default()).collect())
    }

    /// Chooses a partition's lane anew.
    pub(super) fn route(self: &Arc<Self>, key: &Key) {
        let leader = self.cluster.leader(&key.0, key.1);
        let node = self.cluster.route(leader);
        let lane = lane_key(&node, key);
        let moved = self.assignment.lock().route(key, lane.clone());
        if moved {
            self.wake(&lane, &node);
        }
    }

    /// Wakes a lane, or starts it.
    fn wake(self: &Arc<Self>, key: &LaneKey, node: &Arc<Node>) {
        let mut lanes = self.lanes.lock();
        let lane = lanes.entry(key.clone()).or_insert_with(|| {
            let changed = Arc::new(Notify::new());
            let runner = Runner {
                reader: self.clone(),
                key: key.clone(),
                node: node.clone(),
                changed: changed.clone(),
                channel: None,
                served: None,
            };
            Lane { changed, _task: AbortOnDropHandle::new(tokio::spawn(runner.run())) }
        });
        lane.changed.notify_one();
    }

    /// Tells all lanes that positions or pauses have changed, or that there is room again.
    pub(super) fn wake_all(&self) {
        for lane in self.lanes.lock().values() {
            lane.changed.notify_one();
        }
    }

    /// The topics of some partitions, with metadata that are not too old.
    pub(super) async fn known(self: &Arc<Self>, wanted: &[Wanted]) -> Known {
        let mut known = Known::new();
        for partition in wanted {
            let topic = &partition.key.0;
            if known.contains_key(topic) {
                continue;
            }
            // Without metadata the topic is asked for by name.
            if let Ok(metadata) = self.cluster.topic(topic).await {
                known.insert(topic.clone(), metadata);
            }
        }
        known
    }

    /// Takes room for a fetch. None while the user is too far behind.
    pub(super) fn reserve(&self) -> Option<usize> {
        let Settings { fetch_bytes_max, prefetch_bytes_max, limits, .. } = &self.settings;
        // Fetching a little whenever a little is free would waste requests.
        let least = limits.partition_bytes_max.min(*fetch_bytes_max).min(prefetch_bytes_max / 4).max(1);
        self.assignment.lock().reserve(*fetch_bytes_max, least, *prefetch_bytes_max)
    }

    pub(super) fn release(&self, reserved: usize) {
        self.assignment.lock().release(reserved);
    }

    /// The next item for the user. Makes room, so lanes may go on.
    pub(super) fn pop(&self) -> Option<Item> {
        let item = self.assignment.lock().pop()?;
        self.wake_all();
        Some(item)
    }

    /// Queues an error for the user.
    pub(super) fn report(&self, wanted: &Wanted, error: Error) {
        self.assignment.lock().report(&wanted.key, wanted.generation, error);
        self.arrived.notify_one();
    }

    /// Goes on reading a partition elsewhere, unless the user has sought meanwhile.
    pub(super) fn move_to(&self, wanted: &Wanted, offset: Offset) {
        self.assignment.lock().seek(&wanted.key, Some(wanted.generation), offset);
    }

    /// Goes on reading a partition elsewhere. False when it is not read.
    pub(super) fn seek(&self, key: &Key, offset: Offset) -> bool {
        let sought = self.assignment.lock().seek(key, None, offset);
        self.wake_all();
        sought
    }
}

/// Neither the partitions of one topic nor the first partitions of many share one lane.
fn lane_key(node: &Node, (topic, partition): &Key) -> LaneKey {
    let sum = topic.bytes().fold(partition.0.cast_unsigned(), |sum, byte| sum.wrapping_add(byte.into()));
    (node.server().clone(), sum % LANES_PER_NODE)
}

impl Isolation {
    /// Kafka's number for it.
    pub(crate) fn level(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}
