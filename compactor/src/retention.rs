//! Retention: has records deleted that are older than a topic keeps them (`retention.ms`), or more than it keeps
//! (`retention.bytes`). The state tells where a partition's log should begin; this only asks, and submits. Deletes no
//! object: what nothing refers to any more is the sweeper's.
//!
//! Any number may run. Who comes second finds that the log begins where it should.

use std::time::Duration;

use ebb_metastore::{
    Metastore, MetastoreError, Submission,
    command::Command,
    outcome::{Outcome, Refusal},
    state::{State, TopicInfo},
};
use ebb_protocol::{
    clock::SharedClock,
    ids::{PartitionIndex, Timestamp, TopicId},
    random::Random,
};
use tokio::time::{Instant, sleep, sleep_until};

/// Deletions that one entry records.
const DELETIONS_PER_ENTRY_MAX: usize = 1_000;

/// The shortest time between two looks.
const CHECK_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Records stay for about this part of their retention longer than they have to.
const LATE_PART: u32 = 10;

/// Settings of retention. Plain data.
#[derive(Clone, Copy, Debug)]
pub struct RetentionConfig {
    /// The time between two looks at all partitions, on average (Kafka's `log.retention.check.interval.ms`). It is less
    /// when a topic keeps its records for less than ten times as long.
    pub check_interval: Duration,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { check_interval: Duration::from_secs(5 * 60) }
    }
}

/// Retention as one process does it.
pub struct Retention {
    metastore: Metastore,
    clock: SharedClock,
    random: Random,
    config: RetentionConfig,
}

impl Retention {
    /// Retention on a replica whose agent is registered.
    #[must_use]
    pub fn new(metastore: Metastore, clock: SharedClock, random: Random, config: RetentionConfig) -> Self {
        Self { metastore, clock, random, config }
    }

    /// Looks again and again, and has deleted what is due. Appends nothing while nothing is. Ends when this process can
    /// write no more entries. May be dropped anywhere.
    pub async fn run(self) {
        let mut applied = self.metastore.applied();
        let (mut last, mut spread) = (Instant::now(), self.spread());
        loop {
            applied.mark_unchanged();
            tokio::select! {
                biased;
                () = sleep_until(last + self.interval().mul_f64(spread)) => {}
                // A topic may have got another retention.
                changed = applied.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    sleep(CHECK_INTERVAL_MIN).await;
                    continue;
                }
            }
            (last, spread) = (Instant::now(), self.spread());
            match self.pass().await {
                Ok(0) => {}
                Ok(partitions) => tracing::debug!(partitions, "records were deleted by retention"),
                Err(error) if is_final(&error) => return,
                Err(error) => tracing::warn!(%error, "retention was cut short, the next look goes on"),
            }
        }
    }

    /// How much longer or shorter than others this process waits, so that those that started together do not all append
    /// the same.
    fn spread(&self) -> f64 {
        0.5 + f64::from(u32::try_from(self.random.below(1_000)).unwrap_or(0)) / 1_000.0
    }

    /// The time between two looks, as the topics are now.
    fn interval(&self) -> Duration {
        let shortest = self.metastore.read(|state| {
            let settings = state.topics().filter_map(|topic| state.settings(topic.id));
            settings.filter(|settings| settings.delete).filter_map(|settings| settings.retention_ms).min()
        });
        let shortest = shortest.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)) / LATE_PART);
        let longest = self.config.check_interval.max(CHECK_INTERVAL_MIN);
        shortest.unwrap_or(longest).clamp(CHECK_INTERVAL_MIN, longest)
    }

    /// Has deleted what is due now. Gives how many partitions begin later than before.
    ///
    /// # Errors
    /// [`MetastoreError`], when the deletions cannot be recorded.
    pub async fn pass(&self) -> Result<usize, MetastoreError> {
        let topics: Vec<TopicInfo> = self.metastore.read(|state| state.topics().collect());
        let mut commands = Vec::new();
        let mut deleted = 0;
        for topic in topics {
            let now = self.clock.now();
            // One topic under one lock: a topic may have thousands of partitions, a cluster a million.
            commands.extend(self.metastore.read(|state| due(state, topic.id, topic.partitions, now)));
            while commands.len() >= DELETIONS_PER_ENTRY_MAX {
                let rest = commands.split_off(DELETIONS_PER_ENTRY_MAX);
                deleted += self.submit(std::mem::replace(&mut commands, rest)).await?;
            }
        }
        if !commands.is_empty() {
            deleted += self.submit(commands).await?;
        }
        Ok(deleted)
    }

    async fn submit(&self, commands: Vec<Command>) -> Result<usize, MetastoreError> {
        let outcomes = self.metastore.submit(Submission { commands, body: Vec::new() }).await?;
        if outcomes.contains(&Outcome::Refused(Refusal::StaleAgent)) {
            return Err(MetastoreError::Fenced);
        }
        // A topic that was deleted meanwhile is refused, which is as good.
        Ok(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::RecordsDeleted { .. })).count())
    }
}

/// The deletions that are due in a topic.
fn due(state: &State, topic: TopicId, partitions: i32, now: Timestamp) -> Vec<Command> {
    let Some(settings) = state.settings(topic) else { return Vec::new() };
    let indices = (0..partitions).map(PartitionIndex);
    let delete = |partition| {
        let before = state.retention_point(topic, partition, now, settings)?;
        Some(Command::DeleteRecords { topic, partition, before: Some(before) })
    };
    indices.filter_map(delete).collect()
}

/// Whether no later look of this process can succeed.
fn is_final(error: &MetastoreError) -> bool {
    use MetastoreError as E;
    matches!(error, E::Fenced | E::Closed | E::Diverged(_) | E::Unreadable(..))
}
