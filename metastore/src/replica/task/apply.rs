//! The apply side: what stands in the log is applied position by position, and callers get their outcomes.

use std::time::Duration;

use bytes::Bytes;
use ebb_protocol::ids::{ByteRange, LogPosition};
use futures::FutureExt;

use super::{Event, Fact, Task, pause_for};
use crate::{
    entry::{Entry, EntryError},
    log::ReadError,
    outcome::{Outcome, Refusal},
    replica::{
        entries::{READS_OF_DAMAGED, decode},
        error::MetastoreError,
        submission::Waiter,
    },
};

/// A read that failed has been repeated by its engine for long, so it is not hurried.
const READ_FAILURES: u32 = 5;

impl Task {
    pub(super) fn read_again(&self, position: LogPosition, pause: Duration) {
        let log = self.log.clone();
        let read = async move {
            pause_for(pause).await;
            Event::Read { position, answer: log.read(position).await }
        };
        self.work.push(read.boxed());
    }

    /// A position was read that is known to be filled.
    pub(super) async fn read(&mut self, position: LogPosition, answer: Result<Option<Bytes>, ReadError>) {
        match answer {
            Ok(Some(bytes)) => self.learn(position, bytes),
            _ if position < self.applied || self.ended.is_some() => {}
            Err(ReadError::Unavailable(_)) => self.read_again(position, self.pause(READ_FAILURES)),
            Ok(None) | Err(ReadError::Dropped(_)) => {
                self.check_boundary().await;
                self.read_again(position, self.pause(READ_FAILURES));
            }
        }
    }

    /// Notes what stands at a position.
    pub(super) fn learn(&mut self, position: LogPosition, bytes: Bytes) {
        if position < self.applied || self.facts.contains_key(&position) || self.stopped() {
            return;
        }
        if let Some(attempt) = self.flight.attempt(position) {
            if Entry::peek_id(&bytes) == Some(attempt.own.entry.id) {
                // It is visible, but only the append's own answer says that it is durable.
                return;
            }
            self.flight.lost(position);
        }
        self.facts.insert(position, Fact::Read(bytes));
    }

    /// Whether this replica must not apply anything any more. One that is fenced may.
    pub(super) fn stopped(&self) -> bool {
        !matches!(self.ended, None | Some(MetastoreError::Fenced))
    }

    /// Applies what is known, in order, up to the first position of which nothing is.
    pub(super) fn apply_facts(&mut self) {
        while let Some(fact) = self.facts.remove(&self.applied) {
            let done = match fact {
                Fact::Own(own) => {
                    let pieces = std::iter::once(&own.bytes.head).chain(&own.bytes.body);
                    let pieces: Vec<_> = pieces.cloned().collect();
                    self.apply(&own.entry, own.body, &pieces)
                }
                Fact::Read(bytes) => match decode(&bytes) {
                    Ok((entry, body)) => self.apply(&entry, body, &[bytes]),
                    Err(error) => {
                        if !self.read_damaged(&error) {
                            self.end(MetastoreError::Unreadable(self.applied, error.to_string()));
                        }
                        return;
                    }
                },
            };
            if let Err(error) = done {
                self.end(error);
                return;
            }
        }
    }

    /// Reads the entry in front again because it looks damaged; false when that was tried often enough.
    pub(super) fn read_damaged(&mut self, error: &EntryError) -> bool {
        self.damaged_reads += 1;
        if self.damaged_reads >= READS_OF_DAMAGED {
            return false;
        }
        tracing::warn!(position = %self.applied, %error, "an entry looks damaged, reading it again");
        self.read_again(self.applied, Duration::ZERO);
        true
    }

    pub(super) fn apply(
        &mut self,
        entry: &Entry,
        body: ByteRange,
        pieces: &[Bytes],
    ) -> Result<(), MetastoreError> {
        let position = self.applied;
        if body.len > 0
            && let Some(sink) = self.shared.sink.read().as_ref()
        {
            sink.entry(position, pieces);
        }
        let (outcomes, live) = {
            let mut state = self.shared.state.write();
            if let Some(hash) = entry.hash {
                state.check_hash(hash).map_err(|diverged| {
                    tracing::error!(%diverged, "this replica has diverged and stops");
                    MetastoreError::Diverged(diverged.position)
                })?;
            }
            let outcomes = state.apply(position, entry, body);
            (outcomes, state.next_number(self.agent).is_some())
        };
        self.damaged_reads = 0;
        self.applied = position.next();
        self.shared.applied.send(self.applied);
        if let Some(waiters) = self.flight.applied(position, entry.id) {
            answer(waiters, outcomes);
        }
        let every = self.config.snapshot_every_entries.max(1);
        // One agent writes each snapshot, without having to agree on it: the author of every so many-th entry.
        self.snapshot_due |= entry.agent == self.agent && self.applied.0.is_multiple_of(every);
        self.note_registration(live);
        Ok(())
    }

    pub(super) fn note_registration(&mut self, live: bool) {
        if self.registered && !live && self.ended.is_none() {
            // Sealed for ever: wherever the rest of our entries may land, they are refused.
            self.end(MetastoreError::Fenced);
        }
        self.registered = live;
    }

    /// Ends the append side. Unless the agent is merely fenced, nothing is applied any more either.
    pub(super) fn end(&mut self, error: MetastoreError) {
        for waiter in self.flight.abandon() {
            waiter.answer(Err(error.clone()));
        }
        if error != MetastoreError::Fenced {
            tracing::error!(%error, "the metastore replica stops");
            self.facts.clear();
        }
        self.ended = Some(error);
    }
}

/// Hands an entry's outcomes to those who wait for them.
fn answer(waiters: Vec<Waiter>, outcomes: Vec<Outcome>) {
    let stale = |outcome: &Outcome| matches!(outcome, Outcome::Refused(Refusal::StaleAgent));
    let fenced = !outcomes.is_empty() && outcomes.iter().all(stale);
    let mut outcomes = outcomes.into_iter();
    for waiter in waiters {
        let own: Vec<_> = outcomes.by_ref().take(waiter.commands).collect();
        waiter.answer(if fenced { Err(MetastoreError::Fenced) } else { Ok(own) });
    }
}
