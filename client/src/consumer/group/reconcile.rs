//! Brings what a member reads in line with what it is assigned: gives partitions up once their user is done and their
//! offsets are committed, and begins new ones where the group has left off. Commits at intervals.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    super::{assignment::Key, reader::Reader},
    Rebalance,
    member::{Member, Owned},
};
use crate::{Error, Offset, PartitionIndex, Start, offsets};

/// The pause after a failure, when nothing says how long it should be.
const PAUSE: Duration = Duration::from_secs(1);

/// A partition that begins, where, and what the group has committed for it.
type Begun = (Owned, Key, Offset, Option<Offset>);

/// See the file's head.
pub(super) struct Reconciler {
    member: Arc<Member>,
    reader: Arc<Reader>,
    life: u64,
    reading: BTreeMap<Owned, Key>,
}

impl Reconciler {
    pub(super) fn new(member: Arc<Member>, reader: Arc<Reader>) -> Self {
        Self { member, reader, life: 0, reading: BTreeMap::new() }
    }

    /// Runs until it is aborted, or fails for good.
    pub(super) async fn run(mut self) {
        let mut delays = None;
        let interval = self.member.settings.commit_interval;
        let mut commit_at = interval.map(|interval| Instant::now() + interval);
        loop {
            let retry_at = match self.reconcile().await {
                Ok(()) => {
                    delays = None;
                    None
                }
                // A topic that is not known may be too new for the agent that was asked, or be gone by now.
                Err(error) if error.is_retriable() || matches!(error, Error::NotFound { .. }) => {
                    tracing::debug!(group = %self.member.settings.group, %error, "cannot read all partitions yet");
                    let delays = delays.get_or_insert_with(|| self.member.cluster.retry.delays());
                    Some(Instant::now() + delays.next().unwrap_or(PAUSE))
                }
                Err(error) => return self.member.fail(error),
            };
            tokio::select! {
                biased;
                () = self.member.changed.notified() => {}
                () = until(retry_at) => {}
                () = until(commit_at) => {
                    if let Err(error) = self.member.commit(None).await {
                        tracing::warn!(group = %self.member.settings.group, %error, "cannot commit offsets");
                    }
                    commit_at = interval.map(|interval| Instant::now() + interval);
                }
            }
        }
    }

    async fn reconcile(&mut self) -> Result<(), Error> {
        let (life, assigned) = self.member.assigned();
        if life != self.life {
            self.life = life;
            self.lose();
        }
        let Some(assigned) = assigned else { return Ok(()) };
        let revoked: Vec<_> =
            self.reading.keys().filter(|owned| !assigned.contains(owned)).copied().collect();
        if !revoked.is_empty() {
            self.revoke(&revoked).await;
            self.acknowledge();
        }
        let added: Vec<_> = assigned.into_iter().filter(|owned| !self.reading.contains_key(owned)).collect();
        if !added.is_empty() && self.member.take(self.life, &added) {
            let result = self.add(&added).await;
            self.acknowledge();
            result?;
        }
        Ok(())
    }

    fn acknowledge(&self) {
        self.member.own(self.life, self.reading.keys().copied().collect());
    }

    /// Others own the member's partitions: they are read no more, and nothing can be committed.
    fn lose(&mut self) {
        let keys: Vec<Key> = std::mem::take(&mut self.reading).into_values().collect();
        if keys.is_empty() {
            return;
        }
        self.member.progress.lock().end(&keys);
        self.unassign(&keys);
        self.member.settings.tell(Rebalance::Lost(named(&keys)));
    }

    fn unassign(&self, keys: &[Key]) {
        {
            let mut assignment = self.reader.assignment.lock();
            keys.iter().for_each(|key| assignment.unassign(key));
        }
        self.reader.wake_all();
    }

    /// Gives partitions up. Whoever gets them waits for it, so that takes most of the rebalance time-out at most.
    async fn revoke(&mut self, revoked: &[Owned]) {
        let keys: Vec<Key> = revoked.iter().filter_map(|owned| self.reading.get(owned).cloned()).collect();
        let deadline = Instant::now() + self.member.settings.rebalance_timeout / 4 * 3;
        self.member.progress.lock().hold(&keys);
        self.unassign(&keys);
        self.member.settings.tell(Rebalance::Revoked(named(&keys)));
        let finish = async {
            while self.member.progress.lock().is_busy(&keys) && self.member.lives(self.life) {
                self.member.changed.notified().await;
            }
            if self.member.settings.commit_interval.is_some() && self.member.lives(self.life) {
                self.member.commit(Some(&keys)).await
            } else {
                Ok(())
            }
        };
        match tokio::time::timeout_at(deadline, finish).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(group = %self.member.settings.group, %error, "partitions are given up uncommitted");
            }
            Err(_) => {
                tracing::warn!(group = %self.member.settings.group, "partitions are given up while they are in use");
            }
        }
        self.member.progress.lock().end(&keys);
        for owned in revoked {
            self.reading.remove(owned);
        }
        // A change that was noticed while waiting is looked at again.
        self.member.changed.notify_one();
    }

    /// Begins partitions where the group has left off. When it fails, some of them may have been begun.
    async fn add(&mut self, added: &[Owned]) -> Result<(), Error> {
        let mut keys = Vec::with_capacity(added.len());
        for (topic, partition) in added {
            let mut known = self.member.cluster.topic_by_id(*topic).await?;
            if usize::try_from(partition.0).is_ok_and(|index| index >= known.partitions.len()) {
                known = self.member.cluster.refresh(&known.name).await?;
            }
            keys.push(((*topic, *partition), (known.name.clone(), *partition)));
        }
        let wanted: Vec<_> = keys.iter().map(|(_, (topic, index))| (topic.to_string(), *index)).collect();
        let committed =
            offsets::committed(&self.member.cluster, &self.member.settings.group, Some(&wanted)).await?;
        let committed: BTreeMap<(&str, PartitionIndex), Offset> =
            committed.iter().map(|found| ((found.topic.as_str(), found.partition), found.offset)).collect();
        let mut begun = Vec::with_capacity(keys.len());
        for (owned, key) in keys {
            let known = committed.get(&(&*key.0, key.1)).copied();
            let offset = match known {
                Some(offset) => offset,
                None => self.begin(&key).await?,
            };
            begun.push((owned, key, offset, known));
        }
        if !self.member.lives(self.life) {
            return Ok(());
        }
        let keys: Vec<Key> = begun.iter().map(|(_, key, ..)| key.clone()).collect();
        // Whoever seeks when he is told waits for the places to begin.
        self.member.progress.lock().announce(&keys);
        self.member.settings.tell(Rebalance::Assigned(named(&keys)));
        let result = self.read(begun).await;
        self.member.progress.lock().announce(&[]);
        self.member.begun.notify_waiters();
        result
    }

    async fn read(&mut self, begun: Vec<Begun>) -> Result<(), Error> {
        for (owned, key, offset, known) in begun {
            // Before the first record can come.
            self.member.progress.lock().begin(&key, owned.0, offset, known);
            let start = Start::Offset(offset);
            if let Err(error) = self.reader.assign(&key.0, Some(&[key.1]), start, Some(owned.0)).await {
                self.member.progress.lock().end(&[key]);
                return Err(error);
            }
            self.reading.insert(owned, key);
        }
        Ok(())
    }

    /// Where to begin a partition that the group has committed nothing for.
    async fn begin(&self, key: &Key) -> Result<Offset, Error> {
        let Some(start) = self.member.settings.start else {
            let (group, (topic, partition)) = (&self.member.settings.group, key);
            let text = format!(
                "group {group:?} has no offset for topic {topic:?} partition {partition}: commit one, or choose where to begin"
            );
            return Err(Error::NoOffset(text.into()));
        };
        let found = self.reader.resolve(&key.0, &[key.1], start).await?;
        Ok(found.first().copied().unwrap_or_default())
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn named(keys: &[Key]) -> Vec<(String, PartitionIndex)> {
    keys.iter().map(|(topic, partition)| (topic.to_string(), *partition)).collect()
}
