//! Snapshots are written, old ones deleted, and the log is truncated behind them. Decides and does; when, is the
//! task's business.
//!
//! # Truncation
//! An entry declares a boundary: the position of the snapshot before the newest. A grace after that entry the
//! positions below the boundary are dropped, save those whose objects still hold records, and the next boundary is
//! declared. So at any time there are two snapshots at or above every boundary that was declared, and a replica that
//! was at the tail when it last looked has a grace to look again.

use ebb_protocol::planted::{Bug, is_planted};
use std::{sync::Arc, time::Duration};

use ebb_protocol::ids::{IdSource, LogPosition};

use super::snapshots::{SnapshotName, Snapshots};
use crate::{command::Command, log::CommitLog, snapshot, state::State};

/// What came of a chore.
pub(super) enum Chore {
    /// A snapshot was written; these are kept, newest first.
    Snapshot { kept: Vec<SnapshotName> },
    /// The log was truncated; this is to be declared next.
    Truncated { next: Option<Command> },
    /// What went wrong, and why. The chore is done again another time.
    Failed(&'static str, String),
}

/// What is to be done about truncation.
pub(super) enum Truncation {
    /// Declare a boundary.
    Declare(Command),
    /// Drop what is below the declared boundary, then declare the next.
    Carry { below: LogPosition, keep: Vec<LogPosition>, next: Option<Command> },
}

/// Writes a snapshot of a state and deletes those that it makes superfluous. Encoding a large state takes long, so
/// it has a task of its own, on which nothing waits.
pub(super) async fn snapshot(snapshots: Snapshots, ids: IdSource, state: State) -> Chore {
    let name = SnapshotName { position: state.position(), id: ids.entry() };
    let encode = tokio::spawn(async move { snapshot::encode(&state) });
    let Ok(bytes) = encode.await else {
        return Chore::Failed("a snapshot could not be encoded", name.position.to_string());
    };
    if let Err(failure) = snapshots.save(name, bytes).await {
        return Chore::Failed("a snapshot could not be written", failure.to_string());
    }
    match snapshots.prune().await {
        Ok(kept) => Chore::Snapshot { kept },
        Err(failure) => Chore::Failed("old snapshots could not be deleted", failure.to_string()),
    }
}

/// What to do about truncation after a snapshot was written. The grace is counted by the state's clock.
pub(super) fn truncation(state: &State, kept: &[SnapshotName], grace: Duration) -> Option<Truncation> {
    let declared = state.truncated_below();
    let last_but_one = kept.get(1)?.position;
    let next = (last_but_one > declared).then_some(Command::TruncateLog { below: last_but_one });
    if declared == LogPosition(0) {
        return next.map(Truncation::Declare);
    }
    let since = state.time().0.saturating_sub(state.truncation_declared_at().0);
    let grace = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
    (since >= grace).then(|| Truncation::Carry { below: declared, keep: state.kept_entries(declared), next })
}

/// Drops the entries below a boundary.
pub(super) async fn truncate(
    log: Arc<dyn CommitLog>,
    below: LogPosition,
    keep: Vec<LogPosition>,
    next: Option<Command>,
) -> Chore {
    let keep = if is_planted(Bug::TruncateReferenced) { Vec::new() } else { keep };
    match log.truncate(below, &keep).await {
        Ok(()) => Chore::Truncated { next },
        Err(error) => Chore::Failed("the commit log could not be truncated", error.to_string()),
    }
}
