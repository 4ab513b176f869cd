//! A topic and its partitions as the producer keeps them, and the choice of a record's partition.

use std::sync::{Arc, atomic::AtomicBool};

use ebb_protocol::{ids::PartitionIndex, random::Random};
use parking_lot::{Mutex, RwLock};

use super::{Record, lane::Lane, partitioner, queue::Queue};
use crate::{Error, cluster::TopicMetadata};

/// A topic that records are sent to.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    /// Whether its metadata are being read anew.
    pub(super) refreshing: AtomicBool,
    current: RwLock<Current>,
    sticky: Mutex<Sticky>,
    random: Random,
}

#[derive(Debug)]
struct Current {
    metadata: Arc<TopicMetadata>,
    /// Shared, so that no partition is locked under the lock of this.
    partitions: Arc<[Arc<Partition>]>,
}

/// The partition that records without keys go to as long as its batch is open, and up to a batch's size. The next
/// batch goes to another partition, so that one producer keeps several lanes busy (KIP-480).
#[derive(Debug, Default)]
struct Sticky {
    partition: u32,
    bytes: usize,
}

/// A partition that records are sent to.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) topic: Arc<Topic>,
    pub(super) index: PartitionIndex,
    pub(super) state: Mutex<State>,
}

/// What a partition's lock guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) queue: Queue,
    /// The lane that carries its batches; it changes only while none is on its way.
    pub(super) lane: Option<Arc<Lane>>,
    /// Whether it stands in its lane's line of those with something to send.
    pub(super) scheduled: bool,
    /// Whether its lane's clock watches its open batch.
    pub(super) lingering: bool,
}

impl Topic {
    pub(super) fn new(metadata: Arc<TopicMetadata>, random: Random) -> Self {
        let name = metadata.name.clone();
        let sticky = Sticky { partition: u32::MAX, bytes: usize::MAX };
        let current = Current { metadata, partitions: Arc::default() };
        let refreshing = AtomicBool::new(false);
        Self { name, refreshing, current: RwLock::new(current), sticky: Mutex::new(sticky), random }
    }

    /// Takes newer metadata over and makes queues for partitions that are new.
    pub(super) fn learn(
        self: &Arc<Self>,
        metadata: Arc<TopicMetadata>,
        make: impl Fn(PartitionIndex) -> Queue,
    ) {
        let mut current = self.current.write();
        let new = (current.partitions.len()..metadata.partitions.len()).map(|index| {
            let index = PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX));
            let state = State { queue: make(index), lane: None, scheduled: false, lingering: false };
            Arc::new(Partition { topic: self.clone(), index, state: Mutex::new(state) })
        });
        current.partitions = current.partitions.iter().cloned().chain(new).collect();
        current.metadata = metadata;
    }

    pub(super) fn metadata(&self) -> Arc<TopicMetadata> {
        self.current.read().metadata.clone()
    }

    pub(super) fn partitions(&self) -> Arc<[Arc<Partition>]> {
        self.current.read().partitions.clone()
    }

    /// The partition for a record: its own wish, its key's hash, or the one that is being filled. `charge` is the
    /// record's size; after `sticky_bytes` records without keys move on to another partition.
    pub(super) fn choose(
        &self,
        record: &Record,
        charge: usize,
        sticky_bytes: usize,
    ) -> Result<Arc<Partition>, Error> {
        let partitions = self.partitions();
        let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
        let index = match (record.partition, record.key.as_deref()) {
            (Some(wish), _) => u32::try_from(wish.0).unwrap_or(u32::MAX),
            (None, Some(key)) => partitioner::of_key(key, count),
            (None, None) => self.stick(&partitions, charge, sticky_bytes),
        };
        partitions.get(index as usize).cloned().ok_or_else(|| {
            let name = &self.name;
            let text = format!(
                "topic {name:?} has no partition {index}: its partitions are 0 to {}",
                i64::from(count) - 1
            );
            Error::Usage(text.into())
        })
    }

    fn stick(&self, partitions: &[Arc<Partition>], charge: usize, sticky_bytes: usize) -> u32 {
        let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
        let mut sticky = self.sticky.lock();
        let bytes = sticky.bytes.saturating_add(charge);
        let filled = partitions.get(sticky.partition as usize);
        if bytes <= sticky_bytes
            && filled.is_some_and(|filled| filled.state.lock().queue.opened_at().is_some())
        {
            sticky.bytes = bytes;
            return sticky.partition;
        }
        // Any other partition than the last one, each as likely.
        let others = u64::from(count.max(1)) - u64::from(count > 1 && sticky.partition < count);
        let mut partition = u32::try_from(self.random.below(others)).unwrap_or(0);
        if count > 1 && sticky.partition < count && partition >= sticky.partition {
            partition += 1;
        }
        *sticky = Sticky { partition, bytes: charge };
        partition
    }
}
