//! The timers of all groups in memory, one each. Knows nothing of what happens when one has passed.

use std::{collections::BTreeSet, future::Future, pin::pin};

use ebb_protocol::ids::{GroupId, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Timers, at most one for each group in memory.
#[derive(Debug, Default)]
pub(super) struct Timers {
    set: Mutex<BTreeSet<(Timestamp, GroupId)>>,
    /// The first one has changed.
    sooner: Notify,
}

impl Timers {
    pub(super) fn set(&self, at: Timestamp, group: GroupId) {
        let timer = (at, group);
        let mut set = self.set.lock();
        let is_first = set.first().is_none_or(|first| timer < *first);
        set.insert(timer);
        drop(set);
        if is_first {
            self.sooner.notify_one();
        }
    }

    /// Takes one out that is not needed any more.
    pub(super) fn stop(&self, at: Timestamp, group: &GroupId) {
        self.set.lock().remove(&(at, group.clone()));
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.set.lock().len()
    }

    /// Takes those out that have passed.
    pub(super) fn pop(&self, now: Timestamp) -> Vec<GroupId> {
        let mut set = self.set.lock();
        let mut passed = Vec::new();
        while set.first().is_some_and(|(at, _)| *at <= now) {
            passed.extend(set.pop_first().map(|(_, group)| group));
        }
        passed
    }

    /// Resolves when the first one passes. Without timers it sleeps, and so does the agent.
    pub(super) async fn due<S: Future<Output = ()>>(&self, sleep: impl Fn(Timestamp) -> S) {
        loop {
            let sooner = self.sooner.notified();
            let first = self.set.lock().first().map(|(at, _)| *at);
            let Some(first) = first else {
                sooner.await;
                continue;
            };
            let (sooner, sleep) = (pin!(sooner), pin!(sleep(first)));
            tokio::select! {
                biased;
                () = sooner => {}
                () = sleep => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[test]
    fn timers_pass_in_their_order() {
        let timers = Timers::default();
        timers.set(Timestamp(7), "late".into());
        timers.set(Timestamp(5), "soon".into());
        timers.set(Timestamp(6), "then".into());
        assert!(timers.pop(Timestamp(4)).is_empty());
        assert_eq!(timers.pop(Timestamp(6)), ["soon".into(), "then".into()]);
        assert_eq!(timers.pop(Timestamp(9)), ["late".into()]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_set_sooner_wakes_sooner() {
        let timers = Timers::default();
        timers.set(Timestamp(9_000), "late".into());
        let begun = Instant::now();
        let after =
            |at: Timestamp| sleep(Duration::from_millis(at.0.unsigned_abs()).saturating_sub(begun.elapsed()));
        let set = async {
            sleep(Duration::from_secs(1)).await;
            timers.set(Timestamp(3_000), "soon".into());
        };
        tokio::join!(timers.due(after), set);
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
        assert_eq!(timers.pop(Timestamp(3_000)), ["soon".into()]);
    }
}
