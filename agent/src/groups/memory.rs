//! How many bytes the groups in memory take together, against a budget. Knows nothing of what they are spent on.

use std::sync::atomic::{AtomicUsize, Ordering};

use ebb_coordinator::{Event, GroupError};

/// The bytes that groups take.
#[derive(Debug)]
pub(super) struct Memory {
    taken: AtomicUsize,
    max: usize,
}

impl Memory {
    pub(super) fn new(max: usize) -> Self {
        Self { taken: AtomicUsize::new(0), max }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// A group that took `before` bytes takes `after` now.
    pub(super) fn changed(&self, before: usize, after: usize) {
        // What is taken out was put in, so neither goes past an end.
        if after >= before {
            self.taken.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.taken.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Whether there is room for what an event brings. Only newcomers are turned away: whoever is a member may stay,
    /// and join the next generation.
    ///
    /// # Errors
    /// [`GroupError::Unavailable`]: there may be room when other groups have gone.
    pub(super) fn check(&self, event: &Event) -> Result<(), GroupError> {
        let is_newcomer = match event {
            Event::Join(_, said) => said.member.is_none(),
            Event::ConsumerHeartbeat(_, said) => said.epoch == 0,
            _ => false,
        };
        if is_newcomer && self.taken() >= self.max {
            return Err(GroupError::Unavailable("this agent has no memory for more members".to_owned()));
        }
        Ok(())
    }
}
