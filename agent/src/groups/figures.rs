//! What operators see of groups: figures for the metrics page, and a line in the log when a member is expelled, a
//! rebalance begins or ends, or a group comes or goes. Knows nothing of what a machine decides.

use std::sync::atomic::{AtomicU64, Ordering};

use ebb_coordinator::Summary;
use ebb_protocol::ids::{GroupId, Timestamp};

use super::Groups;
use crate::metrics::{Figure, Figures};

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    loaded: AtomicU64,
    moved: AtomicU64,
    expelled: AtomicU64,
    rebalances: AtomicU64,
    rebalance_ms: AtomicU64,
}

/// A group as it was seen last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    members: usize,
    rebalancing_since: Option<Timestamp>,
}

impl Seen {
    fn new(summary: &Summary, now: Timestamp) -> Self {
        Self { members: summary.members, rebalancing_since: summary.state.is_rebalancing().then_some(now) }
    }
}

impl Counts {
    /// A machine was made for a group.
    pub(super) fn loaded(&self, group: &GroupId, summary: &Summary, now: Timestamp) -> Seen {
        tracing::debug!(%group, members = summary.members, "a group is loaded");
        self.loaded.fetch_add(1, Ordering::Relaxed);
        Seen::new(summary, now)
    }

    /// A group has moved to another agent.
    pub(super) fn moved(&self, group: &GroupId) {
        tracing::debug!(%group, "a group has moved to another agent");
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    /// Looks at a group after an event. Members that are gone because time has passed were expelled.
    pub(super) fn look(
        &self,
        group: &GroupId,
        seen: &mut Seen,
        summary: &Summary,
        now: Timestamp,
        is_tick: bool,
    ) {
        let gone = seen.members.saturating_sub(summary.members);
        if is_tick && gone > 0 {
            tracing::info!(%group, expelled = gone, left = summary.members, "silent members are expelled");
            self.expelled.fetch_add(gone as u64, Ordering::Relaxed);
        }
        seen.members = summary.members;
        match (seen.rebalancing_since, summary.state.is_rebalancing()) {
            (None, true) => {
                tracing::debug!(%group, members = summary.members, "a rebalance begins");
                seen.rebalancing_since = Some(now);
            }
            (Some(since), false) => {
                let took_ms = now.0.saturating_sub(since.0).max(0).unsigned_abs();
                tracing::info!(%group, members = summary.members, took_ms, "a rebalance has ended");
                self.rebalances.fetch_add(1, Ordering::Relaxed);
                self.rebalance_ms.fetch_add(took_ms, Ordering::Relaxed);
                seen.rebalancing_since = None;
            }
            _ => {}
        }
    }
}

impl Figures for Groups {
    fn figures(&self) -> Vec<Figure> {
        let counter = |name, help, value: &AtomicU64| Figure {
            name,
            is_counter: true,
            help,
            value: value.load(Ordering::Relaxed),
        };
        let in_memory = self.table.lock().slots.len() as u64;
        let counts = &self.counts;
        vec![
            Figure {
                name: "ebb_groups_in_memory",
                is_counter: false,
                help: "Groups with members, or with requests under way, that this agent coordinates.",
                value: in_memory,
            },
            Figure {
                name: "ebb_groups_in_memory_bytes",
                is_counter: false,
                help: "What they take, about.",
                value: self.memory.taken() as u64,
            },
            counter("ebb_groups_loaded_total", "Groups taken into memory.", &counts.loaded),
            counter("ebb_groups_moved_total", "Groups that moved to other agents.", &counts.moved),
            counter("ebb_group_members_expelled_total", "Members expelled for silence.", &counts.expelled),
            counter("ebb_group_rebalances_total", "Rebalances that have ended.", &counts.rebalances),
            counter(
                "ebb_group_rebalance_milliseconds_total",
                "How long the rebalances that have ended took.",
                &counts.rebalance_ms,
            ),
        ]
    }
}
