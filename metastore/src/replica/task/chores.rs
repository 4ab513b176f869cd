//! When snapshots are written and the log is truncated.

use futures::FutureExt;

use super::{Event, Task};
use crate::replica::{
    housekeeping::{self, Chore, Truncation},
    submission::Submission,
};

impl Task {
    pub(super) fn start_snapshot(&mut self) {
        if !self.snapshot_due || self.chore_runs || self.ended.is_some() {
            return;
        }
        self.snapshot_due = false;
        self.chore_runs = true;
        let state = self.shared.state.read().clone();
        self.last_snapshot = self.applied;
        let write = housekeeping::snapshot(self.snapshots.clone(), self.ids.clone(), state);
        self.work.push(write.map(Event::Chore).boxed());
    }

    pub(super) fn chore_done(&mut self, chore: Chore) {
        self.chore_runs = false;
        match chore {
            Chore::Failed(what, why) => tracing::warn!(%why, "{what}"),
            Chore::Snapshot { kept } => {
                let state = self.shared.state.read();
                match housekeeping::truncation(&state, &kept, self.config.truncation_grace) {
                    None => {}
                    Some(Truncation::Declare(command)) => {
                        self.own_submission = Some(Submission { commands: vec![command], body: Vec::new() });
                    }
                    Some(Truncation::Carry { below, keep, next }) => {
                        self.chore_runs = true;
                        let drop = housekeeping::truncate(self.log.clone(), below, keep, next);
                        self.work.push(drop.map(Event::Chore).boxed());
                    }
                }
            }
            Chore::Truncated { next } => {
                let commands = next.into_iter().collect::<Vec<_>>();
                if !commands.is_empty() {
                    self.own_submission = Some(Submission { commands, body: Vec::new() });
                }
            }
        }
    }

    /// Saves the next start some reading, when there would be much of it.
    pub(super) async fn final_snapshot(&mut self) {
        let much = self.config.snapshot_every_entries / 4;
        if self.stopped() || self.applied.0 - self.last_snapshot.0 < much.max(1) {
            return;
        }
        let state = self.shared.state.read().clone();
        if let Chore::Failed(what, why) =
            housekeeping::snapshot(self.snapshots.clone(), self.ids.clone(), state).await
        {
            tracing::warn!(%why, "{what}");
        }
    }
}
