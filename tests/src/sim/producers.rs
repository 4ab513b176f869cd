//! Producers: idempotent ones that send a batch again, through any agent, until it is acknowledged, with up to five
//! in flight for each partition; and plain ones that send everything once.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ebb_agent::broker::{Append, ProduceError};
use ebb_metastore::{
    command::Command,
    outcome::{BatchRefusal, Outcome as Done},
};
use ebb_protocol::{
    batch::RecordBatch,
    ids::{Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId},
};
use futures::future::join_all;
use parking_lot::Mutex;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    network::{Client, Lost},
    plan::millis,
    probes::Probe,
    values,
    world::World,
};
use crate::check::{Action, Outcome, Send};

/// The timestamp of all records that are not there for it: about when the simulation begins.
pub(super) const NOW: Timestamp = Timestamp(1_760_000_000_000);

/// Batches in flight for one partition.
const IN_FLIGHT_MAX: usize = 5;

/// A hasty one, after this long.
const HASTY: Duration = Duration::from_millis(150);

/// Requests of a plain producer in flight.
const PIPELINED_MAX: usize = 4;

/// Batches in one request of a plain producer stay below this.
const BATCHES_PER_REQUEST_MAX: u64 = 1_000;

/// A producer gives up on a batch after this long.
const GIVE_UP: Duration = Duration::from_secs(40);

/// Tells clients to come to an end.
#[derive(Debug, Default)]
pub(super) struct Closing(AtomicBool);

impl Closing {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A producer id and epoch, and how the history counts what is sent under it.
#[derive(Debug)]
struct Session {
    id: ProducerId,
    epoch: ProducerEpoch,
    /// The history's number of the producer.
    number: u64,
    /// Batches sent to each partition.
    counts: Mutex<Vec<u64>>,
    /// Gives up on what does not come at once, and so leaves batches behind that may yet be appended.
    hasty: bool,
    /// A batch was given up, so nothing can follow it.
    broken: AtomicBool,
}

/// Runs an idempotent producer until it is told to end.
pub(super) async fn idempotent(client: Arc<Client>, topic: TopicId, partitions: i32, closing: Arc<Closing>) {
    let (world, random) = (client.cluster.world.clone(), client.random.clone());
    let mut last: Option<Arc<Session>> = None;
    while !closing.is_set() {
        let bump = last.take().filter(|_| random.chance(0.7));
        let Some(session) = begin(&client, &world, bump, partitions).await else {
            sleep(millis(&random, 20, 300)).await;
            continue;
        };
        let session = Arc::new(session);
        let process = world.process();
        let batches = 5 + random.below(60);
        let lanes = (0..partitions).filter(|_| random.chance(0.7)).map(|index| {
            let (world, client, session) = (world.clone(), client.clone(), session.clone());
            let lane = Lane { world, client, session, topic, index: PartitionIndex(index), process };
            tokio::spawn(lane.run(batches, closing.clone()))
        });
        for lane in join_all(lanes.collect::<Vec<_>>()).await {
            lane.expect("a lane does not panic");
        }
        last = Some(session);
    }
}

/// Gets a producer id: the next epoch of the last session's, or a fresh one.
async fn begin(
    client: &Client,
    world: &World,
    bump: Option<Arc<Session>>,
    partitions: i32,
) -> Option<Session> {
    let current = bump.as_ref().map(|session| (session.id, session.epoch));
    let answer = client.submit(Command::InitProducer { current }).await.ok()?;
    let Ok(Some(Done::ProducerReady { id, epoch })) = answer else {
        client.leave();
        return None;
    };
    let bumped = bump.filter(|session| session.id == id);
    let (number, counts) = match bumped {
        Some(session) => {
            world.probe(Probe::EpochBumped);
            (session.number, session.counts.lock().clone())
        }
        None => (world.process().into(), vec![0; usize::try_from(partitions).unwrap_or(0)]),
    };
    let hasty = client.random.chance(0.15);
    Some(Session { id, epoch, number, counts: Mutex::new(counts), hasty, broken: AtomicBool::new(false) })
}

/// One producer's batches for one partition.
#[derive(Clone)]
struct Lane {
    world: Arc<World>,
    client: Arc<Client>,
    session: Arc<Session>,
    topic: TopicId,
    index: PartitionIndex,
    process: u32,
}

/// A batch on its way.
struct Shipment {
    batch: RecordBatch,
    values: Vec<u64>,
    order: u64,
    first: bool,
}

impl Lane {
    async fn run(self, batches: u64, closing: Arc<Closing>) {
        let random = self.client.random.clone();
        let mut window = VecDeque::new();
        let mut sequence = Sequence(0);
        let haste = random.below(3);
        for _ in 0..batches {
            if window.len() == IN_FLIGHT_MAX
                && let Some(oldest) = window.pop_front()
            {
                let oldest: tokio::task::JoinHandle<()> = oldest;
                oldest.await.expect("a shipment does not panic");
            }
            if closing.is_set() || self.is_broken() {
                break;
            }
            let shipment = self.pack(sequence);
            sequence = sequence.plus(shipment.batch.record_count());
            window.push_back(tokio::spawn(self.clone().ship(shipment)));
            if haste < 2 {
                sleep(millis(&random, 0, [400, 60][haste as usize])).await;
            }
        }
        for left in window {
            left.await.expect("a shipment does not panic");
        }
    }

    fn is_broken(&self) -> bool {
        self.session.broken.load(Ordering::Relaxed)
    }

    fn pack(&self, sequence: Sequence) -> Shipment {
        let random = &self.client.random;
        let values = self.world.values(1 + random.below(4));
        let producer = Some((self.session.id, self.session.epoch, sequence));
        let batch = values::batch(random, &values, NOW, producer);
        let mut counts = self.session.counts.lock();
        let count = usize::try_from(self.index.0).ok().and_then(|index| counts.get_mut(index));
        let order = count.map_or(0, |count| {
            *count += 1;
            *count
        });
        Shipment { batch, values, order, first: sequence == Sequence(0) }
    }

    /// Sends a batch until it is acknowledged or given up.
    async fn ship(self, shipment: Shipment) {
        let (world, client) = (&self.world, &self.client);
        let invoked = world.moment();
        let patience = if self.session.hasty { HASTY } else { GIVE_UP };
        let deadline = Instant::now() + patience;
        let mut open = false;
        let base = loop {
            let append = Append { topic: self.topic, partition: self.index, batch: shipment.batch.clone() };
            let answer = timeout(patience, client.append(vec![append])).await;
            let answer = answer.map_or(Err(Lost { sent: true }), |(_, answer)| answer);
            match answer.map(|mut answers| answers.pop()) {
                Ok(Some(Ok(appended))) => break Some(appended.base),
                Ok(Some(Err(ProduceError::Refused(refusal)))) => {
                    if !self.may_send_again(refusal, shipment.first) {
                        break None;
                    }
                }
                Ok(Some(Err(ProduceError::TimedOut(_)))) => {
                    world.probe(Probe::AppendUnknown);
                    open = true;
                }
                Ok(Some(Err(ProduceError::Storage(_) | ProduceError::Closed)) | None) => {
                    world.probe(Probe::AppendRefused);
                    client.leave();
                }
                Err(lost) => open |= lost.sent,
            }
            if self.is_broken() || Instant::now() > deadline {
                break None;
            }
            sleep(millis(&client.random, 10, 250)).await;
        };
        let outcome = match base {
            Some(base) => {
                world_acknowledges(client, self.topic, self.index, base, &shipment.values);
                Outcome::Ok
            }
            None => {
                world.probe(Probe::GaveUp);
                client.leave();
                self.session.broken.store(true, Ordering::Relaxed);
                if open { Outcome::Unknown } else { Outcome::Failed }
            }
        };
        let send = Send {
            partition: world.partition(self.topic, self.index),
            producer: Some((self.session.number, shipment.order)),
            values: shipment.values,
            base: base.map(|base| base.0),
        };
        world.record(self.process, invoked, outcome, Action::Send(send));
    }

    fn may_send_again(&self, refusal: BatchRefusal, first: bool) -> bool {
        match refusal {
            // An earlier batch has yet to come.
            BatchRefusal::OutOfOrderSequence => true,
            BatchRefusal::UnknownProducer if !first => true,
            // After a batch of this session was given up, all may be told that they are too late or too early.
            _ if self.is_broken() => false,
            refusal => {
                self.world.violation(format!("a batch in flight was refused: {refusal}"));
                false
            }
        }
    }
}

fn world_acknowledges(client: &Client, topic: TopicId, index: PartitionIndex, base: Offset, values: &[u64]) {
    let records = i64::try_from(values.len()).unwrap_or(i64::MAX);
    client.cluster.witness.acknowledged(topic, index, base, records);
}

/// Runs a plain producer until it is told to end. It sends batches for several partitions in one request.
pub(super) async fn plain(client: Arc<Client>, topic: TopicId, partitions: i32, closing: Arc<Closing>) {
    let random = client.random.clone();
    let process = client.cluster.world.process();
    let mut window = JoinSet::new();
    while !closing.is_set() {
        let count = 1 + random.below(3);
        let targets = (0..count).map(|_| {
            PartitionIndex(i32::try_from(random.below(partitions.unsigned_abs().into())).unwrap_or(0))
        });
        let targets: Vec<_> = targets.collect();
        let sender = client.clone();
        let pipelined = async move { send(&sender, process, topic, &targets, NOW).await };
        window.spawn(pipelined);
        if window.len() == PIPELINED_MAX {
            window.join_next().await;
        }
        sleep(if random.chance(0.5) { Duration::ZERO } else { millis(&random, 0, 600) }).await;
        if random.chance(0.05) {
            client.leave();
        }
    }
    window.join_all().await;
}

/// Sends a plain batch with this timestamp to each of the partitions, once and in one request. Gives the offsets of those
/// that were acknowledged.
pub(super) async fn send(
    client: &Client,
    process: u32,
    topic: TopicId,
    partitions: &[PartitionIndex],
    at: Timestamp,
) -> Vec<Offset> {
    let world = &client.cluster.world;
    let batches: Vec<_> = partitions
        .iter()
        .map(|index| {
            let values = world.values(1 + client.random.below(5));
            let batch = values::batch(&client.random, &values, at, None);
            (Append { topic, partition: *index, batch }, values)
        })
        .collect();
    let invoked = world.moment();
    let appends = batches.iter().map(|(append, _)| append.clone()).collect();
    let (connection, answers) = client.append(appends).await;
    let mut answers = answers.map(Vec::into_iter);
    let mut acknowledged = Vec::new();
    for ((append, values), index) in batches.into_iter().zip(0..) {
        let answer = answers.as_mut().map(Iterator::next);
        let (outcome, base) = match answer {
            Ok(Some(Ok(appended))) => {
                world_acknowledges(client, topic, append.partition, appended.base, &values);
                acknowledged.push(appended.base);
                (Outcome::Ok, Some(appended.base.0))
            }
            Ok(Some(Err(ProduceError::TimedOut(_)))) => {
                world.probe(Probe::AppendUnknown);
                (Outcome::Unknown, None)
            }
            Ok(Some(Err(ProduceError::Storage(_) | ProduceError::Closed))) => {
                world.probe(Probe::AppendRefused);
                (Outcome::Failed, None)
            }
            Ok(Some(Err(ProduceError::Refused(_)))) => (Outcome::Failed, None),
            Err(lost) if !lost.sent => (Outcome::Failed, None),
            Ok(None) | Err(_) => (Outcome::Unknown, None),
        };
        let partition = world.partition(topic, append.partition);
        // Nothing is sent twice, so nothing may be appended twice, and the order on one connection is kept.
        let producer = Some((connection.number, connection.requests * BATCHES_PER_REQUEST_MAX + index));
        let send = Send { partition, producer, values, base };
        world.record(process, invoked, outcome, Action::Send(send));
    }
    acknowledged
}
