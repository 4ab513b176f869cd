//! A lane: one stream to one agent, and the partitions whose batches it carries. Partitions on other lanes do not
//! notice when this one is slow. A lane's requests leave in order, up to five at once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use ebb_protocol::messages::{ProduceRequest, ProduceResponse, produce_request::PartitionProduceData};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{
    Acks,
    queue::Verdict,
    request::{self, Sent, Topics},
    sender::Sender,
    topic::{Partition, State},
};
use crate::{
    Error,
    cluster::TopicMetadata,
    rpc::{CallError, Channel, Node},
};

/// Requests of one lane that may be unanswered. The cluster remembers as many batches of a partition (KIP-98).
const IN_FLIGHT_MAX: usize = 5;
/// A request takes no further batch when it holds this many bytes.
const REQUEST_BYTES: usize = 4 << 20;

/// What a lane works on.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) node: Arc<Node>,
    work: Mutex<Work>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Work {
    /// Partitions with something to send, each once, served in turn.
    ready: VecDeque<Arc<Partition>>,
    /// Partitions with an open batch, by the time at which it was opened.
    lingering: VecDeque<(Instant, Arc<Partition>)>,
    /// Partitions that wait after a failure.
    resting: BTreeMap<(Instant, u64), Arc<Partition>>,
    rested: u64,
}

impl Lane {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node, work: Mutex::default(), wake: Notify::new() }
    }

    /// Puts a partition in line if it is not there yet. `state` is the partition's.
    pub(super) fn schedule(&self, partition: &Arc<Partition>, state: &mut State) {
        if !std::mem::replace(&mut state.scheduled, true) {
            self.work.lock().ready.push_back(partition.clone());
            self.wake.notify_one();
        }
    }

    /// Watches the partition's open batch.
    pub(super) fn linger(&self, partition: &Arc<Partition>, state: &mut State, opened: Instant) {
        if !std::mem::replace(&mut state.lingering, true) {
            self.work.lock().lingering.push_back((opened, partition.clone()));
            self.wake.notify_one();
        }
    }

    /// Puts a partition in line later.
    pub(super) fn rest(&self, partition: &Arc<Partition>, until: Instant) {
        let mut work = self.work.lock();
        let number = work.rested;
        work.rested += 1;
        work.resting.insert((until, number), partition.clone());
        drop(work);
        self.wake.notify_one();
    }

    /// Moves partitions whose time has come into the line.
    fn promote(&self, now: Instant, linger: Duration) {
        let due: Vec<_> = {
            let mut work = self.work.lock();
            let lingering = work.lingering.iter().take_while(|(opened, _)| *opened + linger <= now).count();
            let mut due: Vec<_> =
                work.lingering.drain(..lingering).map(|(_, partition)| (partition, true)).collect();
            while let Some(first) = work.resting.first_entry().filter(|first| first.key().0 <= now) {
                due.push((first.remove(), false));
            }
            due
        };
        for (partition, lingered) in due {
            let mut state = partition.state.lock();
            if lingered {
                state.lingering = false;
            }
            self.schedule(&partition, &mut state);
        }
    }

    fn next_ready(&self) -> Option<Arc<Partition>> {
        self.work.lock().ready.pop_front()
    }

    fn ready_len(&self) -> usize {
        self.work.lock().ready.len()
    }

    fn next_due(&self, linger: Duration) -> Option<Instant> {
        let work = self.work.lock();
        let lingering = work.lingering.front().map(|(opened, _)| *opened + linger);
        let resting = work.resting.first_key_value().map(|((until, _), _)| *until);
        lingering.into_iter().chain(resting).min()
    }
}

/// A request's batches and its answer.
type InFlight = FuturesUnordered<BoxFuture<'static, (Vec<Sent>, Result<Option<ProduceResponse>, CallError>)>>;

/// The task of a lane.
pub(super) struct Runner {
    sender: Arc<Sender>,
    lane: Arc<Lane>,
    channel: Option<(Arc<Channel>, i16)>,
    in_flight: InFlight,
}

impl Runner {
    pub(super) fn new(sender: Arc<Sender>, lane: Arc<Lane>) -> Self {
        Self { sender, lane, channel: None, in_flight: FuturesUnordered::new() }
    }

    /// Runs until the producer is closed and nothing is left to send.
    pub(super) async fn run(mut self) {
        let mut done = self.sender.done();
        loop {
            while self.in_flight.len() < IN_FLIGHT_MAX && !self.is_breaking() {
                let batches = self.collect();
                if batches.is_empty() {
                    break;
                }
                self.send(batches).await;
            }
            let due = self.lane.next_due(self.linger()).filter(|_| self.in_flight.len() < IN_FLIGHT_MAX);
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some((batches, answer)) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    self.settle(batches, answer);
                }
                () = self.lane.wake.notified() => {}
                () = sleep => {}
                _ = done.wait_for(|done| *done) => return,
            }
        }
    }

    /// How long an open batch waits for more records: not at all while one request at most is on its way, and the
    /// longer, the more there are, so that a lane does not run into its limit for the sake of single records.
    fn linger(&self) -> Duration {
        let count = |requests: usize| u32::try_from(requests).unwrap_or(u32::MAX);
        let others = self.in_flight.len().saturating_sub(1);
        self.sender.settings.linger * count(others) / count(IN_FLIGHT_MAX - 1)
    }

    /// Whether the stream is lost and requests that were on it have not come back: nothing may overtake them.
    fn is_breaking(&self) -> bool {
        let lost = self.channel.as_ref().is_some_and(|(channel, _)| channel.is_closed());
        lost && !self.in_flight.is_empty()
    }

    /// The batches of the next request: at most one of a partition, so that a request has no order of its own.
    fn collect(&self) -> Vec<Sent> {
        let now = Instant::now();
        let linger = self.linger();
        self.lane.promote(now, linger);
        let mut batches = Vec::new();
        let mut bytes = 0;
        for _ in 0..self.lane.ready_len() {
            if bytes >= REQUEST_BYTES {
                break;
            }
            let Some(partition) = self.lane.next_ready() else { break };
            if let Some(batch) = self.sender.take(&self.lane, &partition, now, linger) {
                bytes += batch.bytes();
                batches.push((partition, batch));
            }
        }
        batches
    }

    async fn send(&mut self, batches: Vec<Sent>) {
        let channel = match self.channel().await {
            Ok(channel) => channel,
            Err(error) => return self.settle(batches, Err(CallError::NotSent(error))),
        };
        let (topics, batches) = self.seal(batches);
        if batches.is_empty() {
            return;
        }
        let settings = &self.sender.settings;
        let version = request::version(channel.1, &topics);
        let request =
            request::build(topics, version, settings.acks, server_timeout(settings.request_timeout));
        match begin(&channel.0, &request, version, settings.acks, settings.request_timeout) {
            Ok(answer) => self.in_flight.push(Box::pin(async move { (batches, answer.await) })),
            Err(error) => self.settle(batches, Err(error)),
        }
    }

    /// Compresses batches and sorts them by topic. A batch that cannot be built is over.
    fn seal(&self, batches: Vec<Sent>) -> (Topics, Vec<Sent>) {
        let mut topics = Topics::new();
        let mut sealed = Vec::with_capacity(batches.len());
        for (partition, mut batch) in batches {
            match batch.seal(self.sender.settings.compression) {
                Ok(bytes) => {
                    let topic = &partition.topic;
                    let entry = topics.entry(topic.name.clone());
                    let data = PartitionProduceData::default()
                        .with_index(partition.index.0)
                        .with_records(Some(bytes.bytes().clone()));
                    entry.or_insert_with(|| (topic.metadata(), Vec::new())).1.push(data);
                    sealed.push((partition, batch));
                }
                Err(error) => {
                    let verdict = Verdict::Refused(Error::Usage(error.to_string().into()));
                    self.sender.settle(&partition, batch, verdict);
                }
            }
        }
        (topics, sealed)
    }

    /// The lane's stream, opened anew when it was lost.
    async fn channel(&mut self) -> Result<(Arc<Channel>, i16), Error> {
        if let Some((channel, version)) = self.channel.as_ref().filter(|(channel, _)| !channel.is_closed()) {
            return Ok((channel.clone(), *version));
        }
        let link = self.lane.node.link().await?;
        let version = link.version::<ProduceRequest>()?;
        let channel = Arc::new(link.open_channel().await?);
        self.channel = Some((channel.clone(), version));
        Ok((channel, version))
    }

    fn settle(&self, batches: Vec<Sent>, answer: Result<Option<ProduceResponse>, CallError>) {
        for (partition, batch) in batches {
            let verdict = match &answer {
                Err(error) => request::of_failure(error),
                Ok(None) => request::of_no_answer(),
                Ok(Some(response)) => judge(response, &partition.topic.metadata(), &partition, &batch),
            };
            self.sender.settle(&partition, batch, verdict);
        }
    }
}

fn judge(
    response: &ProduceResponse,
    topic: &TopicMetadata,
    partition: &Partition,
    batch: &super::batch::Batch,
) -> Verdict {
    let what = format!("produce to topic {:?} partition {}", topic.name, partition.index);
    request::of_answer(request::find(response, topic, partition.index), batch, &what)
}

/// The server should give up, and say so, before this side does.
fn server_timeout(request_timeout: Duration) -> Duration {
    request_timeout - request_timeout / 4
}

type Answer = BoxFuture<'static, Result<Option<ProduceResponse>, CallError>>;

fn begin(
    channel: &Arc<Channel>,
    request: &ProduceRequest,
    version: i16,
    acks: Acks,
    timeout: Duration,
) -> Result<Answer, CallError> {
    if acks == Acks::None {
        let written = channel.cast(request, version)?;
        return Ok(Box::pin(async move { written.await.map(|()| None) }));
    }
    let answer = channel.begin(request, version, timeout)?;
    Ok(Box::pin(async move { answer.await.map(Some) }))
}
