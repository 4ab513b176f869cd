//! The sweeper's task: when a pass runs, and what it does.

use std::{sync::Arc, time::Duration};

use ebb_metastore::{Metastore, Submission, command::Command, outcome::Outcome, state::State};
use ebb_protocol::{
    clock::SharedClock,
    ids::{LogPosition, Timestamp},
    random::Random,
};
use ebb_segment::key::{self, Day};
use object_store::{ObjectMeta, ObjectStore, path::Path};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    ORPHAN_GRACE_MIN, SweepError, SweeperConfig,
    counters::SweepCounters,
    dead::DeadWatch,
    listing,
    orphans::Suspects,
    removal,
    survey::{Standing, Survey, before, standing},
    swept::Swept,
};

/// Dead objects that are deleted and then forgotten by one entry.
const FORGOTTEN_PER_ENTRY_MAX: usize = 1_000;

/// Metadata for readers of Iceberg that one listing has deleted; the next one finds the rest.
const PROJECTIONS_DELETED_MAX: usize = 10_000;

/// The task's state.
pub(super) struct Task {
    metastore: Metastore,
    store: Arc<dyn ObjectStore>,
    clock: SharedClock,
    random: Random,
    config: SweeperConfig,
    counters: Arc<SweepCounters>,
    dead: DeadWatch,
    suspects: Suspects,
    listing: Listing,
}

/// A listing under way, and the last one that was completed.
#[derive(Default)]
struct Listing {
    /// The state's position when the last complete listing began, and the earliest instant of the next.
    last: Option<(LogPosition, Instant)>,
    /// The same for the one under way.
    current: Option<(LogPosition, Instant)>,
    /// The slice that is next; those before it have been listed.
    slice: u16,
    found: Survey,
    /// Metadata for readers of Iceberg that nobody is handed out any more, with their sizes.
    outdated: Vec<(u64, Path)>,
}

impl Task {
    pub(super) fn new(
        metastore: Metastore,
        store: Arc<dyn ObjectStore>,
        clock: SharedClock,
        random: Random,
        mut config: SweeperConfig,
        counters: Arc<SweepCounters>,
    ) -> Self {
        config.orphan_grace = config.orphan_grace.max(ORPHAN_GRACE_MIN);
        let dead = DeadWatch::new(&config);
        let (suspects, listing) = (Suspects::default(), Listing::default());
        Self { metastore, store, clock, random, config, counters, dead, suspects, listing }
    }

    /// Makes passes, each when there is a reason: something is due, or the state has changed since the last one.
    /// While nothing changes and nothing waits, it does nothing.
    pub(super) async fn run(mut self) {
        let mut applied = self.metastore.applied();
        loop {
            let due = self.look();
            tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                changed = applied.changed() => if changed.is_err() { return },
            }
            // Spread, so that agents that started together do not sweep together.
            sleep(self.spread(self.config.pass_interval)).await;
            applied.mark_unchanged();
            if let Err(error) = self.pass().await {
                if error.is_final() {
                    return;
                }
                tracing::warn!(%error, "a sweep was cut short, the next one goes on");
            }
        }
    }

    /// Looks at the state, and says when there is something to do if it stays as it is.
    fn look(&mut self) -> Option<Instant> {
        let (wall, now) = (self.clock.now(), Instant::now());
        let listing_due = self.metastore.read(|state| {
            self.dead.look(state, wall, now);
            self.suspects.clear(state);
            self.listing.due(state)
        });
        let orphan_due = self.suspects.next_due(before(wall, self.config.orphan_grace));
        // The wall clock may be set meanwhile: never believe it for longer than a grace.
        let orphan_due = orphan_due.map(|wait| now + wait.min(self.config.orphan_grace));
        [self.dead.next_due(), orphan_due, listing_due].into_iter().flatten().min()
    }

    async fn pass(&mut self) -> Result<(), SweepError> {
        self.look();
        self.bury().await?;
        if self.metastore.read(|state| self.listing.due(state)).is_some_and(|due| due <= Instant::now()) {
            self.list().await?;
        }
        self.sweep().await
    }

    /// Deletes the dead objects whose grace is over, and has those forgotten that are certainly gone.
    async fn bury(&mut self) -> Result<(), SweepError> {
        loop {
            let due = self.dead.due(Instant::now(), FORGOTTEN_PER_ENTRY_MAX);
            if due.is_empty() {
                return Ok(());
            }
            let count = due.len();
            let (mut objects, mut keys) = (Vec::new(), Vec::new());
            for (object, watched) in due {
                match Swept::of(object, watched.topic) {
                    Some(swept) => keys.push(((object, watched.bytes), swept.key())),
                    // An entry's object is the commit log's to delete: truncation drops it once the body is forgotten.
                    None => objects.push(object),
                }
            }
            let deadline = self.config.request_deadline;
            let deleted = removal::delete(&self.store, keys, deadline, &self.counters).await;
            let bytes = deleted.iter().map(|(_, bytes)| bytes).sum();
            self.counters.dead_deleted(deleted.len() as u64, bytes);
            objects.extend(deleted.into_iter().map(|(object, _)| object));
            let all = objects.len() == count;
            if !objects.is_empty() {
                objects.iter().for_each(|object| self.dead.done(*object));
                // The boundary tells `apply` of forgotten objects more cheaply than a list of them would.
                let mut commands: Vec<_> = self.raise_boundary().into_iter().collect();
                commands.push(Command::ForgetObjects { objects });
                self.submit(commands).await?;
            }
            if !all {
                // The others are due still: the next pass tries them again.
                return Ok(());
            }
        }
    }

    /// Lists the bucket slice by slice, going on where the last pass was cut short, and notes those that the state
    /// does not know.
    async fn list(&mut self) -> Result<(), SweepError> {
        let horizon = before(self.clock.now(), self.config.orphan_grace);
        let today = Day::of(self.clock.now());
        if self.listing.current.is_none() {
            let (began, agents) = self.metastore.read(|state| (state.position(), state.agents().count()));
            // The more agents there are, the less often each lists.
            let agents = u32::try_from(agents.max(1)).unwrap_or(u32::MAX);
            let wait = self.spread(self.config.listing_interval).saturating_mul(agents);
            self.listing.current = Some((began, Instant::now() + wait));
            self.listing.found = Survey::default();
            self.suspects.begin();
        }
        while self.listing.slice < listing::SLICES {
            let Self { metastore, suspects, listing: Listing { found, slice, outdated, .. }, .. } = self;
            let take = |page: Vec<ObjectMeta>| {
                metastore.read(|state| {
                    for object in page {
                        match key::iceberg_day(&object.location) {
                            None => note(state, object, horizon, found, suspects),
                            Some(day)
                                if is_outdated(day, today) && outdated.len() < PROJECTIONS_DELETED_MAX =>
                            {
                                outdated.push((object.size, object.location));
                            }
                            Some(_) => {}
                        }
                    }
                });
            };
            listing::list(&self.store, *slice, &self.config, take).await?;
            self.listing.slice += 1;
        }
        self.listing.slice = 0;
        self.listing.last = self.listing.current.take();
        self.counters.listed(&self.listing.found);
        self.delete_outdated().await;
        Ok(())
    }

    /// Deletes what the catalog put and hands out no more. It can be made again from the state, so what fails, or is
    /// forgotten here, is left to the next listing.
    async fn delete_outdated(&mut self) {
        let outdated = std::mem::take(&mut self.listing.outdated);
        let deadline = self.config.request_deadline;
        let deleted = removal::delete(&self.store, outdated, deadline, &self.counters).await;
        self.counters.projections_deleted(deleted.len() as u64, deleted.iter().sum());
    }

    /// Deletes the orphans that are old enough.
    async fn sweep(&mut self) -> Result<(), SweepError> {
        let horizon = before(self.clock.now(), self.config.orphan_grace);
        if self.suspects.due(horizon, &self.config).0.is_empty() {
            return Ok(());
        }
        // Most suspects are objects whose commit another agent has written and this one has not applied yet.
        self.metastore.tail_check().await?;
        self.metastore.read(|state| self.suspects.clear(state));
        let (due, held_back) = self.suspects.due(horizon, &self.config);
        let Some((newest, _)) = due.last() else { return Ok(()) };
        if held_back > 0 {
            tracing::warn!(
                deleting = due.len(),
                held_back,
                "many uncommitted objects: only some are deleted now"
            );
        }
        if self.metastore.read(State::sweep_boundary) <= newest.minted_at()
            && let Some(raise) = self.raise_boundary()
        {
            self.submit(vec![raise]).await?;
        }
        // From here on no commit of what lies below the boundary can come, so what is unknown stays unknown.
        let orphans = |state: &State| {
            let orphans = due.into_iter().filter(|(object, _)| object.is_orphan(state));
            orphans.map(|(object, bytes)| ((object, bytes), object.key())).collect()
        };
        let keys = self.metastore.read(orphans);
        let deleted = removal::delete(&self.store, keys, self.config.request_deadline, &self.counters).await;
        let bytes = deleted.iter().map(|(_, bytes)| bytes).sum();
        self.counters.orphans_deleted(deleted.len() as u64, bytes);
        deleted.iter().for_each(|(object, _)| self.suspects.done(*object));
        Ok(())
    }

    /// The command that raises the sweep boundary to a grace ago; none when it is there already.
    fn raise_boundary(&self) -> Option<Command> {
        let minted_before = before(self.clock.now(), self.config.orphan_grace);
        let raised = self.metastore.read(State::sweep_boundary) >= minted_before;
        (!raised && minted_before > Timestamp(0)).then_some(Command::RaiseSweepBoundary { minted_before })
    }

    async fn submit(&self, commands: Vec<Command>) -> Result<(), SweepError> {
        let outcomes = self.metastore.submit(Submission { commands, body: Vec::new() }).await?;
        match outcomes.into_iter().find(|outcome| *outcome != Outcome::Done) {
            None => Ok(()),
            Some(Outcome::Refused(refusal)) => Err(SweepError::Refused(refusal.to_string())),
            Some(other) => Err(SweepError::Refused(format!("{other:?}"))),
        }
    }

    /// A duration between a half and one and a half of the one given.
    fn spread(&self, duration: Duration) -> Duration {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        duration / 2 + Duration::from_millis(self.random.below(millis))
    }
}

impl Listing {
    /// When the next listing is due; none while the state is as it was at the last one.
    fn due(&self, state: &State) -> Option<Instant> {
        match self.last {
            _ if self.current.is_some() => Some(Instant::now()),
            None => Some(Instant::now()),
            Some((position, _)) if position == state.position() => None,
            Some((_, next)) => Some(next),
        }
    }
}

/// Whether what was put on a day is handed out no more, and has not been for a day.
fn is_outdated(put: Day, today: Day) -> bool {
    put.0.saturating_add(2) <= today.0
}

fn note(state: &State, listed: ObjectMeta, horizon: Timestamp, found: &mut Survey, suspects: &mut Suspects) {
    let Some(object) = Swept::parse(&listed.location) else { return found.stranger(listed.location) };
    let standing = standing(state, object, horizon);
    found.add(object, standing, listed.size);
    match standing {
        Standing::Referenced | Standing::Dead => suspects.known(),
        Standing::Young | Standing::Orphan => suspects.suspect(object, listed.size),
    }
}
