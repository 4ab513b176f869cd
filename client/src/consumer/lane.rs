//! A lane: one stream to one agent, and the task that fetches some partitions over it. Partitions on other lanes do
//! not notice when this one is slow or has nothing new.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ebb_protocol::messages::{FetchRequest, FetchResponse, fetch_response::PartitionData};
use tokio::{sync::Notify, time::Instant};

use super::{
    OutOfRange,
    assignment::{Key, LaneKey},
    fetch::{self, Known, Wanted},
    reader::Reader,
};
use crate::{
    Error, ErrorCode, Offset,
    admin::{OffsetSpec, look_up},
    rpc::{CallError, Channel, Node},
};

/// The first pause after a failure. It doubles with every failure in a row.
const REST_MIN: Duration = Duration::from_millis(20);
/// The longest pause after a failure.
const REST_MAX: Duration = Duration::from_secs(1);
/// How long a fetch goes on when partitions come to its lane. It may be one that waits for records, and theirs may be
/// there; but where many come one after the other, each must not end it.
const ADDED_WAIT_MAX: Duration = Duration::from_millis(50);
/// How many times in a row a topic may be unknown before the user hears of it: not all agents may know a new one.
const FAILURES_WITHOUT_TOPIC_MAX: u32 = 6;

/// The task of a lane.
pub(super) struct Runner {
    pub(super) reader: Arc<Reader>,
    pub(super) key: LaneKey,
    pub(super) node: Arc<Node>,
    /// Told when the lane's partitions or positions change, or room is made.
    pub(super) changed: Arc<Notify>,
    pub(super) channel: Option<(Arc<Channel>, i16)>,
    /// The last partition that a fetch brought records of. The next fetch begins behind it: when there is more than
    /// one answer can hold, all have their turn.
    pub(super) served: Option<Key>,
}

/// What a lane has to fetch.
struct Due {
    /// The partitions, in the order in which they are to be served.
    wanted: Vec<Wanted>,
    /// When more may be fetched.
    wake_at: Option<Instant>,
    /// The assignment's changes so far.
    changes: u64,
}

/// What has become of a fetch's partitions meanwhile.
enum Meanwhile {
    Same,
    /// There are more on the lane.
    Added,
    /// What it brings of some is not wanted any more.
    Moved,
}

impl Runner {
    /// Runs until it is aborted with its consumer.
    pub(super) async fn run(mut self) {
        loop {
            let mut due = self.due();
            let reserved = if due.wanted.is_empty() { None } else { self.reader.reserve() };
            let Some(reserved) = reserved else {
                self.wait(due.wake_at).await;
                continue;
            };
            let known = self.reader.known(&due.wanted).await;
            let fetched = self.fetch(&mut due, &known, reserved).await;
            let wanted = due.wanted;
            self.reader.release(reserved);
            match fetched {
                // Somebody seeks: what this fetch would bring may be of no use.
                None => self.channel = None,
                Some(Ok(answer)) => self.take_in(&wanted, &known, &answer).await,
                Some(Err(error)) => {
                    let error = error.into_error("fetch");
                    for partition in &wanted {
                        self.fail(partition, &error).await;
                    }
                }
            }
        }
    }

    async fn wait(&self, wake_at: Option<Instant>) {
        let sleep = async {
            match wake_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.changed.notified() => {}
            () = sleep => {}
        }
    }

    /// The lane's partitions that may be fetched now, and when the first of the others may be.
    fn due(&self) -> Due {
        let now = Instant::now();
        let assignment = self.reader.assignment.lock();
        let mut wanted = Vec::new();
        let mut wake_at: Option<Instant> = None;
        for (key, assigned) in &assignment.partitions {
            if assigned.lane != self.key || assigned.paused {
                continue;
            }
            match assigned.rest_until.filter(|until| *until > now) {
                Some(until) => wake_at = Some(wake_at.map_or(until, |at| at.min(until))),
                None => wanted.push(Wanted {
                    key: key.clone(),
                    generation: assigned.generation,
                    topic: assigned.topic,
                    from: assigned.fetch_at,
                }),
            }
        }
        let first = wanted.partition_point(|wanted| Some(&wanted.key) <= self.served.as_ref());
        wanted.rotate_left(first);
        Due { wanted, wake_at, changes: assignment.changes() }
    }

    /// One fetch. None when the lane's partitions changed meanwhile.
    async fn fetch(
        &mut self,
        due: &mut Due,
        known: &Known,
        bytes_max: usize,
    ) -> Option<Result<FetchResponse, CallError>> {
        let (channel, highest) = match self.channel().await {
            Ok(channel) => channel,
            Err(error) => return Some(Err(CallError::NotSent(error))),
        };
        let limits = self.reader.settings.limits;
        let version = fetch::version(highest, &due.wanted, known);
        let request = fetch::build(&due.wanted, known, version, limits, bytes_max);
        let timeout = self.reader.cluster.request_timeout + limits.wait_max;
        let call = channel.call(&request, version, timeout);
        tokio::pin!(call);
        let mut end_at: Option<Instant> = None;
        loop {
            let end = tokio::time::sleep_until(end_at.unwrap_or_else(Instant::now));
            tokio::select! {
                biased;
                answer = &mut call => return Some(answer),
                () = end, if end_at.is_some() => return None,
                () = self.changed.notified() => match self.meanwhile(due) {
                    Meanwhile::Same => {}
                    Meanwhile::Added => {
                        end_at.get_or_insert(Instant::now() + ADDED_WAIT_MAX);
                    }
                    Meanwhile::Moved => return None,
                },
            }
        }
    }

    /// What has become of a fetch's partitions since this was asked last. Those that come back after a failure wait
    /// for the next fetch.
    fn meanwhile(&self, due: &mut Due) -> Meanwhile {
        let assignment = self.reader.assignment.lock();
        if std::mem::replace(&mut due.changes, assignment.changes()) == assignment.changes() {
            return Meanwhile::Same;
        }
        let fetched: BTreeSet<&Key> = due.wanted.iter().map(|wanted| &wanted.key).collect();
        let stays = |fetched: &Wanted| {
            let assigned = assignment.partitions.get(&fetched.key);
            assigned.is_some_and(|now| {
                now.generation == fetched.generation && !now.paused && now.lane == self.key
            })
        };
        let added = assignment.partitions.iter().any(|(key, now)| {
            let fresh = now.lane == self.key && !now.paused && now.failures == 0;
            fresh && !fetched.contains(key)
        });
        match (due.wanted.iter().all(stays), added) {
            (false, _) => Meanwhile::Moved,
            (true, true) => Meanwhile::Added,
            (true, false) => Meanwhile::Same,
        }
    }

    async fn channel(&mut self) -> Result<(Arc<Channel>, i16), Error> {
        if let Some((channel, version)) = self.channel.as_ref().filter(|(channel, _)| !channel.is_closed()) {
            return Ok((channel.clone(), *version));
        }
        let link = self.node.link().await?;
        let version = link.version::<FetchRequest>()?;
        let channel = Arc::new(link.open_channel().await?);
        self.channel = Some((channel.clone(), version));
        Ok((channel, version))
    }

    async fn take_in(&mut self, wanted: &[Wanted], known: &Known, answer: &FetchResponse) {
        if let Some(code) = ErrorCode::try_from_code(answer.error_code) {
            let error = Error::from_code(code, "fetch", None);
            for partition in wanted {
                self.fail(partition, &error).await;
            }
            return;
        }
        let answers = fetch::index(answer, wanted, known);
        for partition in wanted {
            let answer = answers.get(&(partition.key.0.as_ref(), partition.key.1)).copied();
            match self.take_in_partition(partition, known, answer) {
                Ok(true) => self.served = Some(partition.key.clone()),
                Ok(false) => {}
                Err(error) => self.fail(partition, &error).await,
            }
        }
        self.reader.arrived.notify_one();
    }

    /// Whether there was something.
    fn take_in_partition(
        &self,
        wanted: &Wanted,
        known: &Known,
        answer: Option<&PartitionData>,
    ) -> Result<bool, Error> {
        let (topic, partition) = &wanted.key;
        let what = || format!("fetch from topic {topic:?} partition {partition} at offset {}", wanted.from);
        let id = known.get(topic).and_then(|topic| topic.id);
        if wanted.topic.is_some() && wanted.topic != id {
            // There is another topic of that name by now.
            return Err(Error::from_code(ErrorCode::UnknownTopicId, &what(), None));
        }
        let data =
            answer.ok_or_else(|| Error::Corrupt(format!("{}: the answer leaves it out", what()).into()))?;
        if let Some(code) = ErrorCode::try_from_code(data.error_code) {
            return Err(Error::from_code(code, &what(), None));
        }
        let high_watermark = Offset(data.high_watermark);
        let batches = fetch::batches(data.records.as_ref(), wanted, high_watermark)?;
        let has_come = !batches.is_empty();
        self.reader.assignment.lock().arrive(&wanted.key, wanted.generation, high_watermark, batches);
        Ok(has_come)
    }

    /// Decides what follows when a partition could not be fetched: a pause, another place, or news for the user.
    async fn fail(&self, wanted: &Wanted, error: &Error) {
        let failures = self.rest(wanted);
        tracing::debug!(topic = %wanted.key.0, partition = %wanted.key.1, failures, %error, "fetch failed");
        match error {
            Error::OffsetOutOfRange(_) => self.out_of_range(wanted, error).await,
            Error::NotFound { .. } => {
                let known = self.reader.cluster.refresh(&wanted.key.0).await;
                let gone = known.is_err_and(|error| matches!(error, Error::NotFound { .. }));
                if gone && failures >= FAILURES_WITHOUT_TOPIC_MAX {
                    self.reader.report(wanted, error.clone());
                }
                self.reader.route(&wanted.key);
            }
            error if error.is_retriable() => {
                // Another agent may be reachable, and may be the preferred one by now.
                let _ = self.reader.cluster.refresh(&wanted.key.0).await;
                self.reader.route(&wanted.key);
            }
            error => self.reader.report(wanted, error.clone()),
        }
    }

    /// Lets a partition rest and answers how often it has failed in a row.
    fn rest(&self, wanted: &Wanted) -> u32 {
        let mut assignment = self.reader.assignment.lock();
        let Some(assigned) = assignment.partitions.get_mut(&wanted.key) else { return 0 };
        let delay = REST_MIN.saturating_mul(1 << assigned.failures.min(10)).min(REST_MAX);
        assigned.failures = assigned.failures.saturating_add(1);
        assigned.rest_until = Some(Instant::now() + delay);
        assigned.failures
    }

    async fn out_of_range(&self, wanted: &Wanted, error: &Error) {
        let spec = match self.reader.settings.out_of_range {
            OutOfRange::Fail => return self.reader.report(wanted, error.clone()),
            OutOfRange::Earliest => OffsetSpec::Earliest,
            OutOfRange::Latest => OffsetSpec::Latest,
        };
        let (topic, partition): &Key = &wanted.key;
        let isolation = self.reader.settings.limits.isolation;
        match look_up(&self.reader.cluster, topic, &[*partition], spec, isolation).await {
            Ok(found) => {
                let offset = found.first().and_then(|found| found.offset).unwrap_or_default();
                self.reader.move_to(wanted, offset);
            }
            Err(error) => self.reader.report(wanted, error),
        }
    }
}
