//! One group in memory: its machine, who waits for it, and the version that its next update must name.

use std::collections::BTreeMap;

use ebb_coordinator::{Group as Machine, Reply, Ticket, Topics};
use ebb_metastore::Metastore;
use ebb_protocol::ids::{GroupId, Timestamp, TopicId, TopicName};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::figures::Seen;

/// A group in memory.
pub(super) struct Slot {
    pub(super) group: GroupId,
    pub(super) inner: Mutex<Inner>,
}

/// What changes of it.
pub(super) struct Inner {
    /// `None` once it was let go of: then the slot is no longer in the table.
    pub(super) machine: Option<Machine>,
    /// The version that the state has when the machine's updates have been applied.
    pub(super) version: u64,
    /// Requests without an answer yet, as many as connections may have in flight. Dropping one tells its client to
    /// find the coordinator again.
    pub(super) waiting: BTreeMap<Ticket, oneshot::Sender<Reply>>,
    /// An update is being recorded.
    pub(super) is_storing: bool,
    /// What it takes of the budget.
    pub(super) bytes: usize,
    /// What it was like after the last event.
    pub(super) seen: Seen,
    /// The timer that is set.
    pub(super) timer: Option<Timestamp>,
}

impl Slot {
    pub(super) fn new(group: GroupId, machine: Machine, version: u64, seen: Seen) -> Self {
        let inner = Inner {
            machine: Some(machine),
            version,
            waiting: BTreeMap::new(),
            is_storing: false,
            bytes: 0,
            seen,
            timer: None,
        };
        Self { group, inner: Mutex::new(inner) }
    }
}

/// The topics as they are at each look: a machine may take long, and `apply` must not wait for it. When they change
/// meanwhile, the machine is told afterwards.
pub(super) struct Live<'a>(pub(super) &'a Metastore);

impl Topics for Live<'_> {
    fn by_name(&self, name: &str) -> Option<(TopicId, i32)> {
        self.0.read(|state| state.by_name(name))
    }

    fn names(&self) -> Vec<TopicName> {
        self.0.read(Topics::names)
    }

    fn by_id(&self, topic: TopicId) -> Option<(TopicName, i32)> {
        self.0.read(|state| state.by_id(topic))
    }
}
