//! Watches the claims of other rewriters: which to believe, and which to take over; and claims work. Knows no clock but
//! tokio's: a claim is given up when it has not changed for long, as seen from here.

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, Range},
    time::Duration,
};

use ebb_metastore::{
    Metastore, Submission,
    command::{Command, Work},
    outcome::{Outcome, Refusal},
    state::{Claim, State},
};
use ebb_protocol::ids::{AgentId, LogPosition};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{error::RewriteError, plan::Obstacles};

/// What was seen of the claims of others.
#[derive(Debug)]
pub(super) struct ClaimWatch {
    me: AgentId,
    timeout: Duration,
    /// Version of each claim, and since when it has been this one.
    seen: BTreeMap<Work, (u64, Instant)>,
}

impl ClaimWatch {
    pub(super) fn new(me: AgentId, timeout: Duration) -> Self {
        Self { me, timeout, seen: BTreeMap::new() }
    }

    /// Takes note of the claims there are, and gives the windows that others work on, and those that they abandoned.
    pub(super) fn look(&mut self, state: &State, now: Instant) -> Obstacles {
        let others = state.claims().filter(|(_, claim)| claim.holder != self.me);
        let note = |(work, claim): (Work, Claim)| {
            let before = self.seen.get(&work).filter(|(version, _)| *version == claim.version);
            (work, before.copied().unwrap_or((claim.version, now)))
        };
        self.seen = others.map(note).collect();
        let mut obstacles = Obstacles::default();
        for (work, (_, since)) in &self.seen {
            let (believed, window) = (now < *since + self.timeout, window(*work));
            if believed {
                obstacles.taken.extend(window);
            } else {
                obstacles.abandoned.extend(window);
            }
        }
        obstacles
    }

    /// The version of a claim that stands in the way of some work and is not believed any more.
    fn stale(&self, work: Work, now: Instant) -> Option<u64> {
        let in_the_way = |(other, (_, since)): &(&Work, &(u64, Instant))| {
            other.overlaps(work) && now >= *since + self.timeout
        };
        self.seen.iter().find(in_the_way).map(|(_, (version, _))| *version)
    }

    /// Whether somebody else is at some work.
    pub(super) fn is_believed(&self, work: Work, now: Instant) -> bool {
        let mut claims = self.seen.iter();
        claims.any(|(other, (_, since))| other.overlaps(work) && now < *since + self.timeout)
    }

    /// Claims work, or renews the claim. Break: somebody else has it.
    ///
    /// # Errors
    /// [`RewriteError::Metastore`], and [`RewriteError::Refused`] for any other reason.
    pub(super) async fn claim(
        &self,
        metastore: &Metastore,
        work: Work,
    ) -> Result<ControlFlow<()>, RewriteError> {
        let commands = vec![Command::ClaimWork { work, seen: self.stale(work, Instant::now()) }];
        let outcomes = metastore.submit(Submission { commands, body: Vec::new() }).await?;
        match outcomes.into_iter().next() {
            Some(Outcome::Refused(Refusal::WorkClaimed)) => Ok(ControlFlow::Break(())),
            Some(Outcome::Refused(refusal)) => Err(RewriteError::Refused(refusal)),
            _ => Ok(ControlFlow::Continue(())),
        }
    }

    /// Claims work that takes long. `None`: somebody else has it.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub(super) async fn hold<'a>(
        &'a self,
        metastore: &'a Metastore,
        work: Work,
    ) -> Result<Option<HeldClaim<'a>>, RewriteError> {
        let renewed = Mutex::new(Instant::now());
        let is_mine = self.claim(metastore, work).await?.is_continue();
        Ok(is_mine.then_some(HeldClaim { watch: self, metastore, work, renewed }))
    }

    /// When the next claim that is believed now may be taken over.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        self.seen.values().map(|(_, since)| *since + self.timeout).filter(|due| *due > now).min()
    }
}

/// A claim whose work is being done.
pub(super) struct HeldClaim<'a> {
    watch: &'a ClaimWatch,
    metastore: &'a Metastore,
    work: Work,
    renewed: Mutex<Instant>,
}

impl HeldClaim<'_> {
    /// Gives a sign of life when one is due. To be called again and again, at intervals well below the time for which
    /// others believe a claim. Break: somebody else has the work now.
    ///
    /// # Errors
    /// As [`ClaimWatch::claim`].
    pub(super) async fn renew(&self) -> Result<ControlFlow<()>, RewriteError> {
        let now = Instant::now();
        if now < *self.renewed.lock() + self.watch.timeout / 3 {
            return Ok(ControlFlow::Continue(()));
        }
        *self.renewed.lock() = now;
        self.watch.claim(self.metastore, self.work).await
    }
}

fn window(work: Work) -> Option<Range<LogPosition>> {
    match work {
        Work::Window { from, to } => Some(from..to),
        Work::Topic(_) => None,
    }
}
