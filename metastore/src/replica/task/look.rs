//! Looks at the tail, shared by all who ask for one, and the way back into the log for a replica that slept too long.

use bytes::Bytes;
use ebb_protocol::ids::LogPosition;
use futures::FutureExt;
use tokio::time::sleep;

use super::{Event, Task};
use crate::{
    log::{ReadError, RetryConfig},
    replica::{
        entries::{READS_MAX, read_ahead},
        error::{MetastoreError, OpenError},
        vigil::Moment,
    },
    state::State,
};

/// A look at the tail.
#[derive(Clone, Copy)]
pub(super) enum Look {
    None,
    /// Answers the tail checks up to `asked` when it ends; reads `window` positions from `from` on.
    Reading {
        asked: u64,
        from: LogPosition,
        window: u64,
    },
    /// Has found the tail, and ends when everything below is applied.
    Found {
        asked: u64,
        tail: LogPosition,
    },
}

impl Look {
    /// This look, if it is one that waits for what stands from `from` on. A replica that jumps begins its look anew,
    /// and then the answers to the old one are void.
    fn reading(self, wanted: LogPosition) -> Self {
        match self {
            Self::Reading { from, .. } if from == wanted => self,
            _ => Self::None,
        }
    }
}

impl Task {
    /// Ends the look when everything below the tail that it found is applied.
    pub(super) fn finish_look(&mut self) {
        if let Look::Found { asked, tail } = self.look
            && self.applied >= tail
        {
            self.end_look(asked, Ok(tail));
        }
    }

    /// Starts a look when somebody asked for one or an entry was beaten.
    pub(super) fn start_look(&mut self) {
        let asked = self.shared.asked();
        let wanted = self.flight.is_beaten() && !self.tail_known;
        if asked == self.shared.answered() && !wanted {
            return;
        }
        if self.stopped()
            && let Some(error) = self.ended.clone()
        {
            self.end_look(asked, Err(error));
        } else if matches!(self.look, Look::None) {
            // Whoever was beaten has something to read, and somebody who writes fast in front of it.
            self.read_tail(asked, self.applied, if wanted { READS_MAX } else { 1 });
        }
    }

    fn end_look(&mut self, asked: u64, tail: Result<LogPosition, MetastoreError>) {
        self.look = Look::None;
        self.tail_known = true;
        self.shared.looked(asked, tail);
    }

    fn read_tail(&mut self, asked: u64, from: LogPosition, window: u64) {
        self.look = Look::Reading { asked, from, window };
        let (log, since) = (self.log.clone(), self.vigil.now());
        let look = async move { Event::Looked { from, since, answers: read_ahead(log, from, window).await } };
        self.work.push(look.boxed());
    }

    pub(super) async fn looked(
        &mut self,
        from: LogPosition,
        since: Moment,
        answers: Vec<Result<Option<Bytes>, ReadError>>,
    ) {
        let Look::Reading { asked, window, .. } = self.look.reading(from) else { return };
        let mut position = from;
        for answer in answers {
            match answer {
                Ok(Some(bytes)) => self.learn(position, bytes),
                Ok(None) => {
                    // All that was acknowledged before this look began stands below, whatever came here since.
                    self.vigil.confirm(since);
                    self.look = Look::Found { asked, tail: position };
                    return;
                }
                Err(ReadError::Unavailable(why)) => {
                    return self.end_look(asked, Err(MetastoreError::Unavailable(why)));
                }
                Err(error @ ReadError::Dropped(_)) => {
                    self.check_boundary().await;
                    if self.applied <= position {
                        self.end_look(asked, Err(MetastoreError::Unreadable(position, error.to_string())));
                    }
                    return;
                }
            }
            position = position.next();
        }
        self.read_tail(asked, position, (window * 2).min(READS_MAX));
    }

    /// Makes sure that the position of this replica is not among those that may have been dropped; when it may be,
    /// goes on from the newest snapshot.
    pub(super) async fn check_boundary(&mut self) {
        let mut pauses = RetryConfig::default().pauses(&self.random);
        loop {
            let since = self.vigil.now();
            let newest = match self.snapshots.list().await {
                Ok(names) if names.first().is_none_or(|name| name.position <= self.applied) => Ok(None),
                Ok(_) => self.snapshots.newest().await,
                Err(failure) => Err(OpenError::Unavailable(failure.to_string())),
            };
            match newest {
                Ok(newest) => {
                    if let Some((position, state)) = newest.filter(|(at, _)| *at > self.applied) {
                        self.jump(position, state);
                    }
                    return self.vigil.confirm(since);
                }
                Err(OpenError::Unavailable(why)) => {
                    tracing::warn!(%why, "the snapshots cannot be listed after a long pause, trying again");
                }
                Err(error) => {
                    self.end(MetastoreError::Unreadable(self.applied, error.to_string()));
                    return self.vigil.confirm(since);
                }
            }
            sleep(pauses.next().unwrap_or_default()).await;
        }
    }

    pub(super) fn jump(&mut self, position: LogPosition, state: State) {
        if self.stopped() {
            return;
        }
        // Positions below read as empty now, so a look that reads there would take the wrong one for the tail.
        self.look = Look::None;
        tracing::info!(from = %self.applied, to = %position, "this replica goes on from a snapshot");
        let number = state.next_number(self.agent);
        *self.shared.state.write() = state;
        self.applied = position;
        self.last_snapshot = position;
        self.facts = self.facts.split_off(&position);
        self.shared.applied.send(position);
        for waiter in self.flight.jump(position, number.unwrap_or(0)) {
            let why = "the entry was applied by others, and its outcomes are not known here";
            waiter.answer(Err(MetastoreError::Indeterminate(why.to_owned())));
        }
        self.note_registration(number.is_some());
    }
}
