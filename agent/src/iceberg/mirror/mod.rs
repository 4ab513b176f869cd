//! Shows the tables in a foreign Iceberg REST catalog too: the same files, with manifests that lie under `mirror/` for as
//! long as the catalog refers to them. Runs beside the archiving and never holds it up. Knows no Parquet.
//!
//! Nothing is kept about what the catalog has: it is asked. Each commit says which snapshot it follows, so any number of
//! processes may work at it, and one that dies between two steps leaves nothing but objects that are deleted later.

mod client;
mod counters;
mod error;
mod foreign;
mod leftovers;
#[cfg(test)]
mod tests;
mod transport;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use ebb_metastore::{Metastore, state::State};
use ebb_protocol::{
    clock::SharedClock,
    ids::{Timestamp, TopicId, TopicName},
    random::Random,
};
use ebb_segment::{
    key::Day,
    store::{SegmentStore, StoreConfig},
};
use object_store::ObjectStore;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until},
};
use url::Url;

use self::{
    client::Client,
    counters::{Lag, MirrorCounters},
    error::MirrorError,
    foreign::Foreign,
    transport::Http,
};
use super::{
    projection::{Catalogued, Location, Projection, project},
    puts::Puts,
    table::{Facts, SNAPSHOTS_SHOWN_MAX},
};
use crate::metrics::Figures;

/// The shortest time between two looks at the state.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A table that seems to be up to date is looked at again after this time: somebody may have dropped it.
const CHECK_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// An idle replica is brought up to date this often: other processes publish too.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(60);
/// A table that the catalog does not take is tried again after this time.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// The pauses while the catalog does not answer: the first one, and the longest, before jitter.
const DOWN_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// Attempts to commit to a table while others change it.
const ATTEMPTS_MAX: usize = 3;

/// Which foreign catalog gets the tables. Plain data.
#[derive(Clone)]
pub struct MirrorConfig {
    /// Its address: what stands in front of `/v1`.
    pub catalog: Url,
    /// Which of its warehouses; some have one only and need no name.
    pub warehouse: Option<String>,
    /// The namespace that gets the tables; made when it is not there.
    pub namespace: String,
    /// A token that is sent as `Authorization: Bearer`.
    pub token: Option<String>,
}

impl fmt::Debug for MirrorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { catalog, warehouse, namespace, token: _ } = self;
        write!(f, "{catalog} {warehouse:?} {namespace}")
    }
}

/// Why there is no mirror.
#[derive(Debug, thiserror::Error)]
#[error("the mirror of the archive cannot start: {0}")]
pub struct MirrorStartError(String);

/// Keeps the tables in a foreign catalog up to date. Any number may work on a cluster.
pub struct Mirror {
    metastore: Metastore,
    objects: Arc<dyn ObjectStore>,
    store: SegmentStore,
    location: Location,
    clock: SharedClock,
    random: Random,
    client: Client,
    puts: Puts,
    counters: Arc<MirrorCounters>,
    tables: BTreeMap<TopicId, Known>,
    /// The table that failed last for a reason that others would share. The next pass begins behind it, so that none
    /// stands in the way of all.
    failed: Option<TopicId>,
    /// While the catalog does not answer: when it is tried again, and the pauses from then on.
    down: Option<(Instant, ExponentialBackoff)>,
}

/// What is known of a table in the foreign catalog.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The last snapshot that it had when it was looked at.
    mirrored: Option<u64>,
    /// When it is looked at again though nothing has changed here, or, after a failure, at the earliest.
    again: Option<Instant>,
    failed: bool,
    /// The day on which leftovers were deleted last.
    cleaned: Option<Day>,
}

/// A table here.
#[derive(Clone, Debug)]
struct Ours {
    topic: TopicId,
    name: TopicName,
    last: u64,
    /// When the oldest snapshot was made that is missing there, as far as is known.
    behind_since: Option<Timestamp>,
}

impl Mirror {
    /// A mirror of the cluster whose replica this is. `url` is where readers find the store.
    ///
    /// # Errors
    /// [`MirrorStartError`] when no HTTP client can be made.
    pub fn new(
        metastore: Metastore,
        objects: Arc<dyn ObjectStore>,
        url: &str,
        clock: SharedClock,
        random: Random,
        config: MirrorConfig,
    ) -> Result<Self, MirrorStartError> {
        let http = Http::new(config.catalog, config.token);
        let http = http.map_err(|error| MirrorStartError(error.to_string()))?;
        let client = Client::new(Box::new(http), config.warehouse, config.namespace);
        Ok(Self::over(client, metastore, objects, url, clock, random))
    }

    fn over(
        client: Client,
        metastore: Metastore,
        objects: Arc<dyn ObjectStore>,
        url: &str,
        clock: SharedClock,
        random: Random,
    ) -> Self {
        let store = SegmentStore::new(objects.clone(), random.fork(), StoreConfig::default());
        let (location, puts, counters) = (Location::new(url), Puts::default(), Arc::default());
        Self {
            metastore,
            objects,
            store,
            location,
            clock,
            random,
            client,
            puts,
            counters,
            tables: BTreeMap::new(),
            failed: None,
            down: None,
        }
    }

    /// Its figures, for those who outlive it.
    #[must_use]
    pub fn figures(&self) -> Arc<dyn Figures> {
        self.counters.clone()
    }

    /// Mirrors each table when it has changed. Ends when the replica has stopped. May be dropped anywhere.
    pub async fn run(mut self) {
        let mut applied = self.metastore.applied();
        loop {
            applied.mark_unchanged();
            let due = self.pass().await;
            tokio::select! {
                biased;
                () = sleep_until(due.min(Instant::now() + FOLLOW_INTERVAL)) => {
                    // What it says is asked again, and told, where it matters.
                    let _ = self.metastore.tail_check().await;
                }
                changed = applied.changed() => if changed.is_err() { return },
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Mirrors what is due, table after table; when something is due again, if nothing changes.
    async fn pass(&mut self) -> Instant {
        let mut all = self.look();
        all.sort_by_key(|ours| (Some(ours.topic) <= self.failed, ours.topic));
        for ours in all {
            let now = Instant::now();
            let is_down = self.down.as_ref().is_some_and(|(until, _)| now < *until);
            let known = self.tables.get(&ours.topic).copied().unwrap_or_default();
            let waits = known.again.is_some_and(|again| now < again);
            if is_down || waits && (known.failed || known.mirrored == Some(ours.last)) {
                continue;
            }
            match self.mirror(&ours, known.cleaned).await {
                Ok(cleaned) => {
                    self.down = None;
                    let again = Some(Instant::now() + CHECK_INTERVAL);
                    let known = Known { mirrored: Some(ours.last), again, failed: false, cleaned };
                    self.tables.insert(ours.topic, known);
                }
                Err(error) => self.fail(&ours, known, &error),
            }
        }
        self.show_lag();
        let down = self.down.as_ref().map(|(until, _)| *until);
        let again = self.tables.values().filter_map(|known| known.again).min();
        let due = if down.is_some() { down } else { again };
        due.unwrap_or_else(|| Instant::now() + CHECK_INTERVAL)
    }

    /// The tables that have a snapshot.
    fn look(&mut self) -> Vec<Ours> {
        let tables = &self.tables;
        let all: Vec<_> = self.metastore.read(|state| {
            let ours = state.topics().filter_map(|topic| {
                let table = state.table(topic.id)?;
                let last = table.current()?;
                let mirrored = tables.get(&topic.id).and_then(|known| known.mirrored);
                // Of one that was not looked at, no more is known than that it may lack the newest.
                let first = mirrored.map_or(last.sequence, |mirrored| mirrored + 1);
                let oldest = table.snapshots().find(|snapshot| snapshot.sequence >= first);
                let behind_since = oldest.map(|snapshot| snapshot.at);
                Some(Ours { topic: topic.id, name: topic.name.clone(), last: last.sequence, behind_since })
            });
            ours.collect()
        });
        self.tables.retain(|topic, _| all.iter().any(|ours| ours.topic == *topic));
        all
    }

    fn fail(&mut self, ours: &Ours, known: Known, error: &MirrorError) {
        self.counters.failed();
        let now = Instant::now();
        let since = ours.behind_since.unwrap_or_else(|| self.clock.now());
        let behind_seconds = self.age(since);
        if error.is_general() {
            let down = self.down.take();
            let mut pauses = down.map_or_else(|| self.pauses(), |(_, pauses)| pauses);
            let pause = pauses.next().unwrap_or(DOWN_PAUSES[1]);
            tracing::warn!(%error, behind_seconds, ?pause, "the archive is not mirrored, it is tried again");
            self.down = Some((now + pause, pauses));
            self.failed = Some(ours.topic);
        } else {
            let table = ours.name.as_str();
            tracing::error!(%error, table, behind_seconds, "a table is not mirrored, it is tried again");
            let again = Some(now + REFUSED_PAUSE);
            self.tables.insert(ours.topic, Known { again, failed: true, ..known });
        }
    }

    /// The pauses between attempts, without end.
    fn pauses(&self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(DOWN_PAUSES[0])
            .with_max_delay(DOWN_PAUSES[1])
            .with_jitter()
            .with_jitter_seed(self.random.next_u64())
            .without_max_times()
            .build()
    }

    fn age(&self, since: Timestamp) -> u64 {
        u64::try_from(self.clock.now().0.saturating_sub(since.0) / 1_000).unwrap_or(0)
    }

    fn show_lag(&mut self) {
        let mut lag = Lag::default();
        for ours in self.look() {
            let mirrored = self.tables.get(&ours.topic).and_then(|known| known.mirrored);
            let Some(since) = ours.behind_since else { continue };
            lag.tables += 1;
            lag.snapshots += mirrored.map_or(1, |mirrored| ours.last.saturating_sub(mirrored));
            lag.seconds = lag.seconds.max(self.age(since));
        }
        self.counters.set_lag(lag);
    }

    /// Brings a table up to date; the day on which its leftovers were deleted last.
    async fn mirror(&self, ours: &Ours, cleaned: Option<Day>) -> Result<Option<Day>, MirrorError> {
        // Whoever has mirrored more than this replica knows is no stranger.
        self.metastore.tail_check().await?;
        let name = ours.name.as_str();
        for _ in 0..ATTEMPTS_MAX {
            let done = match self.client.load(name).await? {
                None => self.register(&ours.name).await,
                Some(answer) => {
                    let foreign = Foreign::parse(&answer)?;
                    match self.follow(&ours.name, &foreign).await {
                        Ok(()) => return Ok(self.clean(ours, &foreign, cleaned).await),
                        Err(error) => Err(error),
                    }
                }
            };
            match done {
                // What was registered is read back and compared.
                Ok(()) | Err(MirrorError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(MirrorError::Conflict)
    }

    /// Makes the table in the catalog.
    async fn register(&self, name: &TopicName) -> Result<(), MirrorError> {
        let copy = |state: &State| Facts::copy(state, name, SNAPSHOTS_SHOWN_MAX);
        let Some(facts) = self.metastore.read(copy) else { return Ok(()) };
        let (_, projection) = self.put(facts).await?;
        self.client.register(name.as_str(), &projection.metadata_url).await?;
        self.counters.committed();
        Ok(())
    }

    /// Commits what the table in the catalog lacks.
    async fn follow(&self, name: &TopicName, foreign: &Foreign) -> Result<(), MirrorError> {
        let facts = self.metastore.read(|state| {
            let topic = state.topic_id(name)?;
            let table = state.table(topic)?;
            let last = table.current()?.sequence;
            let shown = last.saturating_sub(SNAPSHOTS_SHOWN_MAX as u64) + 1;
            let oldest = table.snapshots().next()?.sequence.max(shown);
            let missing = last.saturating_sub(foreign.current.unwrap_or(0));
            let missing = usize::try_from(missing).unwrap_or(usize::MAX).min(SNAPSHOTS_SHOWN_MAX);
            Some((Facts::copy(state, name, missing)?, last, oldest))
        });
        // The topic was deleted a moment ago.
        let Some((facts, last, oldest)) = facts else { return Ok(()) };
        foreign.check(facts.topic, &facts.columns, last)?;
        if foreign.current == Some(last) {
            return Ok(());
        }
        let (facts, projection) = self.put(facts).await?;
        let commit = foreign.commit(&facts, &projection, oldest);
        self.client.commit(name.as_str(), &commit.requirements, &commit.updates).await?;
        self.counters.committed();
        tracing::debug!(table = name.as_str(), last, "a table was mirrored");
        Ok(())
    }

    /// Projects a table and puts what the catalog is to refer to.
    async fn put(&self, facts: Facts) -> Result<(Facts, Projection), MirrorError> {
        let (location, today) = (self.location.clone(), Day::of(self.clock.now()));
        let projected = spawn_blocking(move || {
            let mut projection = project(&facts, &location, today, Catalogued::Elsewhere);
            let objects = std::mem::take(&mut projection.objects);
            (facts, projection, objects)
        });
        let (facts, projection, objects) = projected.await.map_err(|_| MirrorError::Closing)?;
        self.puts.put(&self.store, today, objects).await?;
        Ok((facts, projection))
    }

    /// Deletes leftovers, once a day. What fails is left to the next day.
    async fn clean(&self, ours: &Ours, foreign: &Foreign, cleaned: Option<Day>) -> Option<Day> {
        let today = Day::of(self.clock.now());
        if cleaned == Some(today) {
            return cleaned;
        }
        let table = ours.name.as_str();
        let Some(needed) = foreign.days(ours.topic) else {
            tracing::warn!(table, "the catalog refers to metadata that are not ours: nothing is deleted");
            return Some(today);
        };
        match leftovers::delete(&self.objects, ours.topic, &needed, today).await {
            Ok(deleted) => self.counters.deleted(deleted),
            Err(error) => tracing::warn!(%error, table, "leftovers of a mirrored table are not deleted"),
        }
        Some(today)
    }
}
