//! Members of consumer groups: they join, process what they own, commit, and are now and then too slow, crash, or
//! leave; whoever dies is followed by another. How they join and stay is each protocol's own.

mod classic;
mod consumer;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ebb_agent::{
    broker::{Broker, FetchError, Read as Want},
    groups::{Committer, Groups},
};
use ebb_coordinator::{Event, GroupError, Reply, Ticket};
use ebb_metastore::command::Partitions;
use ebb_protocol::{
    ids::{Offset, PartitionIndex, TopicId},
    random::Random,
};
use futures::future::BoxFuture;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    network::Client,
    offsets::{Answer, GroupOffsets, Positions, find},
    plan::{millis, pick},
    probes::Probe,
    producers::Closing,
    values,
    witness::Era,
    world::World,
};
use crate::check::{Action, Consume, Outcome, Own};

/// What a member fetches at once, in bytes: not more than comes within its session time-out over a slow wire.
const BYTES_MAX: u64 = 4_000;

/// How the members of a group speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// JoinGroup, SyncGroup, Heartbeat.
    Classic,
    /// ConsumerGroupHeartbeat (KIP-848).
    Consumer,
}

/// A group.
#[derive(Debug)]
pub(super) struct Team {
    pub(super) offsets: GroupOffsets,
    /// What its members may speak. Each chooses anew when it comes.
    pub(super) protocols: &'static [Protocol],
    pub(super) topic_name: String,
    /// Nobody crashes, sleeps or leaves any more.
    pub(super) closing: Arc<Closing>,
    /// All has been processed.
    pub(super) done: Closing,
}

/// What becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It goes on.
    Stay,
    /// It must join again to find out what it owns.
    Rejoin,
    /// It is no more.
    Dead,
}

/// A member's place in a partition that it owns.
#[derive(Clone, Copy, Debug)]
struct Place {
    next: i64,
    committed: i64,
}

/// A member.
struct Member {
    world: Arc<World>,
    random: Random,
    team: Arc<Team>,
    /// Its way to the coordinator, and that to agents that it reads from.
    coordinator: Arc<Client>,
    reader: Arc<Client>,
    protocol: Protocol,
    process: u32,
    id: String,
    /// Its `group.instance.id`, when it is a static member.
    instance: Option<String>,
    /// Generation or member epoch.
    generation: i32,
    /// What it owns; `None` while it does not know where to begin.
    places: BTreeMap<PartitionIndex, Option<Place>>,
    /// What it owns of other topics, and does nothing with.
    others: Partitions,
    /// A commit that it did not wait for, and what was committed.
    committing: Option<Committing>,
}

type Committing = JoinHandle<(Fate, Positions)>;

/// Runs one member after another until all has been processed. With an instance id they all are one static member.
pub(super) async fn run(
    team: Arc<Team>,
    coordinator: Arc<Client>,
    reader: Arc<Client>,
    instance: Option<String>,
) {
    let (world, random) = (reader.cluster.world.clone(), reader.random.clone());
    let first = world.process();
    while !team.done.is_set() {
        let process = if instance.is_some() { first } else { world.process() };
        let mut member = Member {
            world: world.clone(),
            random: random.clone(),
            team: team.clone(),
            coordinator: coordinator.clone(),
            reader: reader.clone(),
            protocol: pick(&random, team.protocols),
            process,
            id: fresh_id(&world),
            instance: instance.clone(),
            generation: 0,
            places: BTreeMap::new(),
            others: Partitions::new(),
            committing: None,
        };
        member.live().await;
        let longest = if team.closing.is_set() { 300 } else { 3_000 };
        sleep(millis(&random, 50, longest)).await;
    }
}

/// A member id that nobody had before.
fn fresh_id(world: &World) -> String {
    format!("m{}", world.process())
}

impl Member {
    async fn live(&mut self) {
        find(&self.coordinator, &self.team.offsets.group).await;
        match self.protocol {
            Protocol::Classic => while self.join().await && self.work().await == Fate::Rejoin {},
            Protocol::Consumer => drop(self.work().await),
        }
        // Whoever dies does not know what became of its commit, but the history does.
        if let Some(committing) = self.committing.take() {
            drop(committing.await);
        }
    }

    /// Sends an event to the coordinator. Who is not answered looks for it again.
    async fn ask(&self, event: impl FnOnce(Ticket) -> Event + Send + 'static) -> Option<Reply> {
        let group = self.team.offsets.group.clone();
        let ask = move |_: Arc<Broker>, groups: Arc<Groups>| -> BoxFuture<'static, _> {
            Box::pin(async move { groups.handle(&group, event).await })
        };
        if let Ok(Ok(reply)) = self.coordinator.call_groups(ask).await {
            return Some(reply);
        }
        self.lost_coordinator().await;
        None
    }

    async fn lost_coordinator(&self) {
        self.world.probe(Probe::CoordinatorLost);
        sleep(millis(&self.random, 20, 200)).await;
        find(&self.coordinator, &self.team.offsets.group).await;
    }

    /// What becomes of a member that was refused something.
    async fn refused(&self, error: &GroupError) -> Fate {
        match error {
            GroupError::RebalanceInProgress => Fate::Rejoin,
            GroupError::NotCoordinator | GroupError::Unavailable(_) => {
                self.lost_coordinator().await;
                Fate::Stay
            }
            GroupError::UnknownMember
            | GroupError::IllegalGeneration
            | GroupError::FencedMemberEpoch
            | GroupError::FencedInstance => {
                self.world.probe(Probe::MemberFenced);
                Fate::Dead
            }
            // The next heartbeat says more, or the one before it is missed by then.
            GroupError::StaleMemberEpoch | GroupError::UnreleasedInstance => Fate::Stay,
            GroupError::UnknownGroup => Fate::Dead,
            error => {
                self.world.violation(format!(
                    "a member of {} is refused: {error}",
                    self.team.offsets.group.as_str()
                ));
                Fate::Dead
            }
        }
    }

    /// Notes that it owns a partition.
    fn own(&mut self, index: PartitionIndex) {
        self.places.insert(index, None);
        self.note_own(self.team.offsets.topic, index);
    }

    fn note_own(&self, topic: TopicId, index: PartitionIndex) {
        let (partition, generation) = (self.world.partition(topic, index), self.era().of(self.generation));
        let own = Own { group: self.team.offsets.number, partition, generation };
        self.world.record(self.process, self.world.moment(), Outcome::Ok, Action::Own(own));
    }

    /// The life of the group in which it is a member.
    fn era(&self) -> Era {
        self.coordinator.cluster.witness.era(&self.team.offsets.group, &self.id)
    }

    /// Processes, commits and stays in touch, until it must join again or is no more.
    async fn work(&mut self) -> Fate {
        let mut beat_at = Instant::now();
        while !self.team.done.is_set() {
            if Instant::now() >= beat_at {
                let fate = match self.protocol {
                    Protocol::Classic => self.beat_classic().await,
                    Protocol::Consumer => self.beat_consumer().await,
                };
                if fate != Fate::Stay {
                    return fate;
                }
                beat_at = Instant::now() + millis(&self.random, 200, 1_000);
            }
            let fate = self.step().await;
            if fate != Fate::Stay {
                return fate;
            }
            sleep(millis(&self.random, 1, 200)).await;
        }
        self.leave().await;
        Fate::Dead
    }

    async fn step(&mut self) -> Fate {
        let fate = self.take().await;
        if fate != Fate::Stay {
            return fate;
        }
        self.process().await;
        let calm = self.team.closing.is_set();
        if !calm {
            match self.random.below(150) {
                0 => {
                    self.world.probe(Probe::MemberCrashed);
                    return Fate::Dead;
                }
                1 => {
                    self.leave().await;
                    return Fate::Dead;
                }
                3 => self.commit_of_the_past().await,
                2 => {
                    self.world.probe(Probe::MemberSlept);
                    sleep(millis(&self.random, 1_000, 20_000)).await;
                    return self.commit().await;
                }
                _ => {}
            }
        }
        if calm || self.random.chance(0.5) { self.commit().await } else { Fate::Stay }
    }

    /// Finds out where to begin in partitions that it has just got.
    async fn take(&mut self) -> Fate {
        let anew: Vec<_> =
            self.places.iter().filter(|(_, place)| place.is_none()).map(|(index, _)| *index).collect();
        for index in anew {
            let (offsets, taking) = (&self.team.offsets, Some(self.era().of(self.generation)));
            match offsets.read(&self.coordinator, self.process, index, self.committer(), taking).await {
                Ok(Ok(found)) => {
                    let at = found.unwrap_or(0);
                    self.places.insert(index, Some(Place { next: at, committed: at }));
                }
                Ok(Err(error)) => return self.refused(&error).await,
                Err(_) => {
                    self.lost_coordinator().await;
                    return Fate::Stay;
                }
            }
        }
        Fate::Stay
    }

    /// Fetches from one of its partitions, and processes what comes.
    async fn process(&mut self) {
        let known: Vec<_> =
            self.places.iter().filter_map(|(index, place)| Some((*index, (*place)?))).collect();
        if known.is_empty() {
            return;
        }
        let (index, place) = pick(&self.random, &known);
        let wants = [Want {
            topic: self.team.offsets.topic,
            partition: index,
            from: Offset(place.next),
            bytes_max: BYTES_MAX,
        }];
        let invoked = self.world.moment();
        let wait = millis(&self.random, 0, 100);
        let ask = move |broker: Arc<Broker>| -> BoxFuture<'static, _> {
            Box::pin(async move { broker.fetch(&wants, 1, BYTES_MAX, wait).await.pop() })
        };
        let (head, records) = match self.reader.call(ask).await {
            Ok(Some(Ok(read))) => (read.head, values::decode(&read.records)),
            Ok(Some(Err(FetchError::OffsetOutOfRange(head)))) => (head, Vec::new()),
            _ => {
                self.reader.leave();
                return;
            }
        };
        let records: Vec<_> = records.into_iter().filter(|record| record.0 >= place.next).collect();
        let next = records.last().map_or(place.next.max(head.log_start.0), |last| last.0 + 1);
        if next == place.next {
            return;
        }
        self.places.insert(index, Some(Place { next, ..place }));
        let consume = Consume {
            group: self.team.offsets.number,
            partition: self.world.partition(self.team.offsets.topic, index),
            from: place.next,
            log_start: head.log_start.0,
            records,
        };
        self.world.record(self.process, invoked, Outcome::Ok, Action::Consume(consume));
    }

    /// Commits what it has processed, and does not always wait for the answer; but never has two commits on the way,
    /// which could change places.
    async fn commit(&mut self) -> Fate {
        let fate = self.settle().await;
        if fate != Fate::Stay {
            return fate;
        }
        let positions: Positions = self
            .places
            .iter()
            .filter_map(|(index, place)| Some((*index, place.as_ref()?)))
            .filter(|(_, place)| place.next != place.committed)
            .map(|(index, place)| (index, place.next))
            .collect();
        if positions.is_empty() {
            return Fate::Stay;
        }
        self.committing = Some(tokio::spawn(self.send(positions)));
        if self.random.chance(0.5) { Fate::Stay } else { self.settle().await }
    }

    /// Commits as of a generation that is past, as a member does that has missed something. Nobody may believe it.
    async fn commit_of_the_past(&self) {
        let committer = Committer { generation: self.generation - 1, ..self.committer() };
        let positions: Positions = self.places.keys().map(|index| (*index, 0)).collect();
        if committer.generation < 0 || positions.is_empty() {
            return;
        }
        let (offsets, era) = (&self.team.offsets, self.era());
        let sent = offsets.commit(&self.coordinator, self.process, committer, era, &positions).await;
        if sent.0 == Outcome::Ok {
            let group = offsets.group.as_str();
            self.world.violation(format!("{group} took a commit of generation {}", self.generation - 1));
        }
    }

    /// Waits for a commit that is on its way.
    async fn settle(&mut self) -> Fate {
        let Some(committing) = self.committing.take() else { return Fate::Stay };
        let (fate, positions) = committing.await.expect("a commit does not panic");
        for (index, at) in positions {
            if let Some(Some(place)) = self.places.get_mut(&index) {
                place.committed = at;
            }
        }
        fate
    }

    /// Sends a commit. Gives what was committed.
    fn send(&self, positions: Positions) -> impl Future<Output = (Fate, Positions)> + Send + 'static {
        let (world, team, process) = (self.world.clone(), self.team.clone(), self.process);
        let client = self.coordinator.clone();
        let (committer, era) = (self.committer(), self.era());
        async move {
            let (outcome, answer) = team.offsets.commit(&client, process, committer, era, &positions).await;
            let fate = judge(&world, outcome, &answer);
            if matches!(answer, Ok(Err(GroupError::NotCoordinator)) | Err(_)) {
                find(&client, &team.offsets.group).await;
            }
            (fate, if outcome == Outcome::Ok { positions } else { Vec::new() })
        }
    }

    fn committer(&self) -> Committer {
        let (member, instance) = (self.id.clone(), self.instance.clone());
        Committer { member, instance, generation: self.generation }
    }

    /// Leaves the group in order.
    async fn leave(&mut self) {
        // Whatever becomes of its commit, the member is no more.
        self.settle().await;
        match self.protocol {
            Protocol::Classic => self.leave_classic().await,
            Protocol::Consumer => self.leave_consumer().await,
        }
    }
}

/// What becomes of a member after the answer to its commit. Whoever does not know what became of its commit makes no
/// other, which might be overtaken by it.
fn judge(world: &World, outcome: Outcome, answer: &Answer<()>) -> Fate {
    match answer {
        Ok(Err(GroupError::RebalanceInProgress)) => Fate::Rejoin,
        Ok(Ok(()) | Err(GroupError::NotCoordinator | GroupError::StaleMemberEpoch)) => Fate::Stay,
        Err(_) if outcome == Outcome::Failed => Fate::Stay,
        Ok(Err(GroupError::Unavailable(_))) | Err(_) => Fate::Dead,
        Ok(Err(_)) => {
            world.probe(Probe::CommitFenced);
            Fate::Dead
        }
    }
}

/// Everything that a group could read has been processed and committed, as of the true state.
pub(super) async fn finished(client: &Client, team: &Team) {
    loop {
        let behind = client.cluster.witness.read(|state| {
            (0..team.offsets.partitions).map(PartitionIndex).any(|index| {
                let end = state.head(team.offsets.topic, index).map_or(0, |head| head.high_watermark.0);
                let at = state
                    .committed(&team.offsets.group, team.offsets.topic, index)
                    .map_or(0, |found| found.offset.0);
                at != end
            })
        });
        if !behind {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}
