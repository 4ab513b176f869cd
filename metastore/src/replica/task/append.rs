//! The append side: submissions become entries, and entries are offered to the log until it is known what stands at
//! every position that was tried.

use ebb_protocol::planted::{Bug, is_planted};
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ebb_protocol::ids::{AgentEpoch, LogPosition};
use futures::FutureExt;
use tokio::time::Instant;

use super::{Event, Fact, Task, pause_for};
use crate::{
    command::Command,
    entry::Entry,
    log::{AppendError, RetryConfig},
    replica::{flight::OwnEntry, waiting::Gathered},
};

/// Pauses grow up to this many times.
const PAUSES: u32 = 16;

impl Task {
    pub(super) fn takes_entries(&self) -> bool {
        // Before the agent is registered its entries have no order but that of the log.
        self.ended.is_some() || if self.registered { self.flight.has_room() } else { self.flight.is_empty() }
    }

    /// Puts what waits into entries, as far as there is room, and offers them to the log.
    pub(super) fn write_entries(&mut self) {
        if let Some(error) = self.ended.clone() {
            self.own_submission = None;
            self.waiting.refuse(&error);
            while let Ok(queued) = self.queue.try_recv() {
                queued.refuse(error.clone());
            }
            return;
        }
        while self.takes_entries() {
            let Some(Gathered { commands, body, waiters }) = self.gather() else { break };
            let own = self.write(commands, body);
            self.flight.push(own, waiters);
        }
        if self.flight.is_beaten() && !self.tail_known {
            return;
        }
        self.tail_known = false;
        for (position, own) in self.flight.offers(self.applied, self.vigil.now()) {
            if is_planted(Bug::AckBeforeDurable) {
                self.facts.insert(position, Fact::Own(own.clone()));
            }
            self.append(position, own, Duration::ZERO);
        }
    }

    /// What the next entry holds, if there should be one now.
    fn gather(&mut self) -> Option<Gathered> {
        while self.waiting.has_room()
            && let Ok(queued) = self.queue.try_recv()
        {
            self.waiting.push(queued);
        }
        let now = Instant::now();
        let is_due = self.waiting.due(now).is_some_and(|due| due <= now);
        let mut gathered = Gathered::default();
        // A metastore that closes has no patience.
        if is_due || self.own_submission.is_some() || self.queue.is_closed() {
            gathered = self.waiting.gather(now);
        }
        if let Some(own) = self.own_submission.take() {
            gathered.commands.extend(own.commands);
        }
        (!gathered.commands.is_empty() || !gathered.waiters.is_empty()).then_some(gathered)
    }

    pub(super) fn write(&mut self, commands: Vec<Command>, body: Vec<Bytes>) -> OwnEntry {
        let state = self.shared.state.read();
        let epoch = state.agents().find(|agent| agent.id == self.agent).map(|agent| agent.epoch);
        let entry = Entry {
            id: self.ids.entry(),
            agent: self.agent,
            epoch: epoch.unwrap_or(AgentEpoch(0)),
            number: self.number,
            time: self.clock.now(),
            hash: Some(state.hash()),
            commands,
        };
        self.number += 1;
        OwnEntry::new(entry, body)
    }

    pub(super) fn append(&self, position: LogPosition, own: Arc<OwnEntry>, pause: Duration) {
        let log = self.log.clone();
        let append = async move {
            pause_for(pause).await;
            Event::Appended { position, answer: log.append(position, &own.bytes).await }
        };
        self.work.push(append.boxed());
    }

    pub(super) fn appended(&mut self, position: LogPosition, answer: Result<(), AppendError>) {
        let Some(attempt) = self.flight.attempt(position) else { return };
        match answer {
            Ok(()) => {
                self.vigil.confirm(attempt.since);
                if let Some(attempt) = self.flight.landed(position) {
                    self.facts.insert(position, Fact::Own(attempt.own));
                }
            }
            Err(AppendError::Taken(_)) => {
                self.flight.lost(position);
                if !self.facts.contains_key(&position) {
                    self.read_again(position, Duration::ZERO);
                }
            }
            Err(AppendError::Unavailable(why)) => {
                // The entry may stand there or may yet, so nothing else can be done but to go on asking.
                tracing::warn!(%position, %why, "an append has no answer yet, trying again");
                if let Some((own, failures)) = self.flight.unanswered(position) {
                    self.append(position, own, self.pause(failures));
                }
            }
        }
    }

    /// How long to wait before something is tried again that has failed so often.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let nth = failures.min(PAUSES) as usize;
        RetryConfig::default().pauses(&self.random).nth(nth).unwrap_or_default()
    }
}
