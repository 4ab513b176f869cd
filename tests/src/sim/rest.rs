//! The course of a run: start, turmoil, rest. At rest everything must work again within bounds, and everything that
//! anybody can read must agree.

use std::{ops::Range, sync::Arc, time::Duration};

use ebb_metastore::{
    MetastoreError, Submission,
    command::{Command, ObjectRef},
    load,
    state::State,
};
use ebb_protocol::{
    ids::{LogPosition, PartitionIndex, TopicId},
    random::Random,
};
use ebb_segment::key;
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{
    admin, aged, chaos,
    cluster::Cluster,
    gate::Gate,
    keyed::{self, Seats},
    members::{self, Protocol, Team},
    network::Client,
    offsets::{self, GroupOffsets},
    plan::Engine,
    probes::Probe,
    producers::{self, Closing, NOW},
    readers::{self, Reader},
    wire::{Store, Wire},
    world::World,
};

/// The topic that lives as long as the run.
pub(super) const TOPIC: &str = "flights";

/// The groups with members, and what these speak.
const TEAMS: [(&str, &[Protocol]); 3] = [
    ("classic", &[Protocol::Classic]),
    ("consumer", &[Protocol::Consumer]),
    ("mixed", &[Protocol::Classic, Protocol::Consumer]),
];

/// The history's numbers of the groups that consumers keep their offsets in who stand alone.
const NUMBERS_ALONE: Range<u32> = 10..14;

/// They use this many partitions, however many there are.
const ALONE_PARTITIONS: i32 = 1;

/// When faults have ended, everything must work again within this time.
const RECOVERY_MAX: Duration = Duration::from_secs(30);

/// Clients may still be waiting for requests that will not be answered, and then go on.
const CLIENTS_END_MAX: Duration = Duration::from_secs(300);

/// Reading everything with small limits over a slow wire takes long, but not for ever.
const READ_MAX: Duration = Duration::from_secs(900);

/// States are compared so often before they count as different.
const COMPARISONS_MAX: usize = 3;

/// A time after which even the last late request has been done.
const SETTLED: Duration = Duration::from_secs(25);

/// Runs the simulation of the world's plan.
pub(super) async fn simulate(seed: u64, world: Arc<World>) {
    let random = Random::from_seed(seed);
    let cluster = Cluster::new(world.clone(), random.fork());
    for slot in 0..world.plan.agents {
        tokio::spawn(cluster.clone().start(slot, None));
    }
    let until = tokio::time::Instant::now() + world.plan.turmoil;
    let turmoil = tokio::spawn(chaos::strike(cluster.clone(), random.fork(), until));
    let setup = Client::new(cluster.clone(), random.fork());
    let topic = admin::create(&setup, TOPIC, world.plan.partitions).await.id;
    let closing = Arc::new(Closing::default());
    let mut clients = clients(&cluster, &random, topic, &closing);
    let alone = stand_alone(&cluster, &random, topic, &closing, &mut clients);
    let keyed_random = Random::from_seed(seed ^ 0x7365_6174);
    let keyed_client = || Client::new(cluster.clone(), keyed_random.fork());
    let keyed = world.plan.keys.is_some();
    let keyed = keyed.then(|| keyed::live(cluster.clone(), keyed_random.fork(), closing.clone()));
    let keyed = keyed.map(tokio::spawn);
    let aged_random = Random::from_seed(seed ^ 0x6167_6564);
    let aged = world.plan.retention.map(|kept| {
        let client = || Client::new(cluster.clone(), aged_random.fork());
        tokio::spawn(aged::live(client(), client(), kept, closing.clone()))
    });
    let mut groups = Vec::new();
    for (number, (name, protocols)) in (0..).zip(TEAMS) {
        groups.push(group(&cluster, &random, topic, (number, name), protocols, &closing));
    }
    if turmoil.await.is_err() {
        world.violation("the turmoil panicked".to_owned());
    }
    heal(&cluster).await;
    recover(&cluster, &random, topic).await;
    closing.set();
    let end = async { while clients.join_next().await.is_some() {} };
    if timeout(CLIENTS_END_MAX, end).await.is_err() {
        world.violation(format!("{} clients did not come to an end", clients.len()));
        clients.abort_all();
    }
    sleep(SETTLED).await;
    for (team, members) in groups {
        end_group(&cluster, &random, &team, members).await;
    }
    for offsets in alone {
        offsets.look(&Client::new(cluster.clone(), random.fork())).await;
    }
    read_everything(&cluster, &random, topic, world.plan.partitions).await;
    let seats = end_keyed(&cluster, keyed).await;
    if let Some(seats) = &seats {
        keyed::judge(&cluster, keyed_client, seats, false).await;
    }
    if let Some(aged) = aged {
        match timeout(CLIENTS_END_MAX, aged).await {
            Ok(Ok(sent)) => {
                read_everything(&cluster, &aged_random, sent.topic, 1).await;
                aged::judge(&cluster, &sent);
            }
            _ => world.violation("the clients of a topic with retention did not come to an end".to_owned()),
        }
    }
    // Entries without end would leave no moment at which all have the same state.
    cluster.end_archiving();
    sleep(SETTLED).await;
    if let Some(seats) = &seats {
        keyed::judge(&cluster, keyed_client, seats, true).await;
    }
    compare(&cluster, &random).await;
    objects(&cluster).await;
    starts(&cluster, topic);
}

fn clients(cluster: &Arc<Cluster>, random: &Random, topic: TopicId, closing: &Arc<Closing>) -> JoinSet<()> {
    let plan = &cluster.world.plan;
    let partitions = plan.partitions;
    let client = || Client::new(cluster.clone(), random.fork());
    let mut tasks = JoinSet::new();
    for _ in 0..plan.idempotent {
        tasks.spawn(producers::idempotent(client(), topic, partitions, closing.clone()));
    }
    for _ in 0..plan.plain {
        tasks.spawn(producers::plain(client(), topic, partitions, closing.clone()));
    }
    for _ in 0..plan.readers {
        tasks.spawn(Reader::new(client(), topic, partitions, false).run(closing.clone()));
        tasks.spawn(readers::tail(client(), topic, partitions, closing.clone()));
    }
    tasks.spawn(admin::trim(client(), topic, partitions, closing.clone()));
    tasks.spawn(admin::recreate(client(), closing.clone()));
    tasks
}

/// Starts consumers that stand alone. Gives where they keep their offsets.
fn stand_alone(
    cluster: &Arc<Cluster>,
    random: &Random,
    topic: TopicId,
    closing: &Arc<Closing>,
    clients: &mut JoinSet<()>,
) -> Vec<GroupOffsets> {
    let alone: Vec<_> = NUMBERS_ALONE
        .map(|number| GroupOffsets {
            group: format!("alone-{number}").as_str().into(),
            number,
            topic,
            partitions: ALONE_PARTITIONS,
        })
        .collect();
    for offsets in &alone {
        for _ in 0..2 {
            let client = Client::new(cluster.clone(), random.fork());
            clients.spawn(offsets::stand_alone(offsets.clone(), client, closing.clone()));
        }
    }
    alone
}

/// Starts the members of a group, and somebody who asks for its offsets.
pub(super) fn group(
    cluster: &Arc<Cluster>,
    random: &Random,
    topic: TopicId,
    (number, name): (u32, &str),
    protocols: &'static [Protocol],
    closing: &Arc<Closing>,
) -> (Arc<Team>, JoinSet<()>) {
    let plan = &cluster.world.plan;
    let team = Arc::new(Team {
        offsets: GroupOffsets { group: name.into(), number, topic, partitions: plan.partitions },
        protocols,
        topic_name: TOPIC.to_owned(),
        closing: closing.clone(),
        done: Closing::default(),
    });
    let client = || Client::new(cluster.clone(), random.fork());
    let mut tasks = JoinSet::new();
    for member in 0..plan.members {
        let instance = random.chance(0.3).then(|| format!("{name}-{member}"));
        tasks.spawn(members::run(team.clone(), client(), client(), instance));
    }
    let until = team.clone();
    tasks.spawn(offsets::observe(team.offsets.clone(), client(), move || until.done.is_set()));
    (team, tasks)
}

/// The group must process and commit everything, and then come to an end.
pub(super) async fn end_group(
    cluster: &Arc<Cluster>,
    random: &Random,
    team: &Team,
    mut members: JoinSet<()>,
) {
    let client = Client::new(cluster.clone(), random.fork());
    let group = team.offsets.group.as_str();
    if timeout(READ_MAX, members::finished(&client, team)).await.is_err() {
        cluster.world.violation(format!("the group {group} does not come to the end of its partitions"));
    }
    team.done.set();
    let end = async { while members.join_next().await.is_some() {} };
    if timeout(CLIENTS_END_MAX, end).await.is_err() {
        cluster.world.violation(format!("{} members of {group} did not come to an end", members.len()));
        members.abort_all();
    }
    team.offsets.look(&client).await;
}

/// The clients of the compacted topic, if there is one, must come to an end.
async fn end_keyed(cluster: &Cluster, live: Option<JoinHandle<Arc<Seats>>>) -> Option<Arc<Seats>> {
    let ended = timeout(CLIENTS_END_MAX, live?).await;
    if !matches!(ended, Ok(Ok(_))) {
        let what = "the clients of the compacted topic did not come to an end";
        cluster.world.violation(what.to_owned());
    }
    ended.ok()?.ok()
}

/// Ends all faults. What is dead or was put out is started again, as a supervisor would.
async fn heal(cluster: &Arc<Cluster>) {
    cluster.world.note(format_args!("faults end"));
    cluster.weather.change(|rates| *rates = super::faults::Rates::default());
    cluster.end_zombies();
    cluster.bury();
    for slot in 0..cluster.world.plan.agents {
        if let Some(running) = cluster.at(slot) {
            running.gate.go_on();
            running.doom(None);
            let ask =
                Submission { commands: vec![Command::InitProducer { current: None }], body: Vec::new() };
            let out = match timeout(RECOVERY_MAX, running.broker.metastore().submit(ask)).await {
                Ok(Ok(_) | Err(MetastoreError::Indeterminate(_) | MetastoreError::Unavailable(_))) => false,
                Ok(Err(_)) => true,
                Err(_) => {
                    cluster.world.violation(format!("{} does not answer after the faults", running.name));
                    true
                }
            };
            if !out && !running.is_leaving() {
                continue;
            }
            cluster.kill(slot);
        }
        let start = async {
            while cluster.at(slot).is_none() {
                cluster.clone().start(slot, None).await;
                sleep(Duration::from_millis(100)).await;
            }
        };
        if timeout(RECOVERY_MAX, start).await.is_err() {
            cluster.world.violation(format!("no agent starts at slot {slot} after the faults"));
        }
        if let Some(running) = cluster.at(slot) {
            running.doom(None);
        }
    }
}

/// Every agent must take appends for every partition again, and readers must reach the end.
async fn recover(cluster: &Arc<Cluster>, random: &Random, topic: TopicId) {
    let partitions: Vec<_> = (0..cluster.world.plan.partitions).map(PartitionIndex).collect();
    let process = cluster.world.process();
    let client = Client::new(cluster.clone(), random.fork());
    for slot in 0..cluster.world.plan.agents {
        let all = async {
            loop {
                client.talk_to(slot);
                if producers::send(&client, process, topic, &partitions, NOW).await.len() == partitions.len()
                {
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        if timeout(RECOVERY_MAX, all).await.is_err() {
            cluster.world.violation(format!("slot {slot} takes no appends after the faults"));
        }
    }
}

/// Reads every partition to its end through every agent; all must see the same.
async fn read_everything(cluster: &Arc<Cluster>, random: &Random, topic: TopicId, partitions: i32) {
    let mut ends = Vec::new();
    for slot in 0..cluster.world.plan.agents {
        let client = Client::new(cluster.clone(), random.fork());
        client.talk_to(slot);
        let mut reader = Reader::new(client, topic, partitions, slot == 0);
        if timeout(READ_MAX, reader.read_to_end()).await.is_err() {
            cluster.world.violation(format!("slot {slot} cannot be read to the end after the faults"));
        }
        ends.push(reader.offsets());
    }
    ends.dedup();
    if ends.len() > 1 {
        cluster.world.violation(format!("agents differ in where partitions end: {ends:?}"));
    }
}

/// Every replica, and one that begins anew, must have the true state. Groups record something now and then, also at
/// rest, so there is a second look.
async fn compare(cluster: &Arc<Cluster>, random: &Random) {
    let mut wrong = Vec::new();
    for _ in 0..COMPARISONS_MAX {
        wrong = differences(cluster, random).await;
        if wrong.is_empty() {
            return;
        }
    }
    wrong.into_iter().for_each(|what| cluster.world.violation(what));
}

async fn differences(cluster: &Arc<Cluster>, random: &Random) -> Vec<String> {
    let world = &cluster.world;
    let mut wrong = Vec::new();
    for slot in 0..world.plan.agents {
        let Some(running) = cluster.at(slot) else {
            wrong.push(format!("slot {slot} is dead although the faults have ended"));
            continue;
        };
        let metastore = running.broker.metastore();
        if let Err(error) = metastore.tail_check().await {
            wrong.push(format!("{} cannot look at the tail: {error}", running.name));
            continue;
        }
        let same = cluster.witness.read(|truth| metastore.read(|state| state == truth));
        if !same {
            wrong.push(format!("the state of {} is not the true one", running.name));
        }
    }
    let wire = Arc::new(Wire {
        world: world.clone(),
        name: "cold".to_owned(),
        bucket: cluster.bucket.clone(),
        weather: cluster.weather.clone(),
        random: random.fork(),
        gate: Arc::new(Gate::new()),
        doom: Mutex::new(None),
    });
    let log = cluster.log(&wire, random.fork());
    match load(&log, Arc::new(Store(wire)), random.fork()).await {
        Ok(Some(state)) if cluster.witness.read(|truth| state == *truth) => {}
        Ok(_) => wrong.push("a replica that begins anew does not have the true state".to_owned()),
        Err(error) => wrong.push(format!("no replica can begin anew: {error}")),
    }
    wrong
}

/// Every object that the state refers to must be there, whole.
async fn objects(cluster: &Arc<Cluster>) {
    let world = &cluster.world;
    let references = cluster.witness.read(State::references);
    for (object, used) in references.objects {
        let needed = used.ranges.iter().map(|range| range.end()).max().unwrap_or(0);
        let size = match object {
            ObjectRef::Segment(id) => cluster.bucket.size(&key::of(id)).await,
            ObjectRef::Entry(position) => entry_size(cluster, position).await,
            ObjectRef::Archive(id) => match used.topic {
                Some(topic) => cluster.bucket.size(&key::archive_key(topic, id)).await,
                None => None,
            },
        };
        if size.is_none_or(|size| size < needed) {
            world.violation(format!("{object:?} has {size:?} bytes, and {needed} are referred to"));
        }
    }
    for id in cluster.bucket.segments().await {
        let object = ObjectRef::Segment(id);
        let known = |state: &State| {
            state.is_referenced(object) || state.dead_objects().any(|(dead, _)| dead == object)
        };
        if !cluster.witness.read(known) {
            world.probe(Probe::OrphanSegment);
        }
    }
}

async fn entry_size(cluster: &Cluster, position: LogPosition) -> Option<u64> {
    match cluster.world.plan.engine {
        Engine::Memory => None,
        Engine::Bucket => cluster.bucket.size(&Path::from(format!("log/{:020}", position.0))).await,
    }
}

/// No more may be deleted than somebody asked for, and no less than somebody was told.
fn starts(cluster: &Cluster, topic: TopicId) {
    for index in (0..cluster.world.plan.partitions).map(PartitionIndex) {
        let start = cluster.witness.read(|state| state.head(topic, index)).map(|head| head.log_start.0);
        let allowed = cluster.world.allowed_start(topic, index);
        if start.is_none_or(|start| start > allowed) {
            cluster.world.violation(format!(
                "the log start of partition {index} is {start:?}, and nobody deleted beyond {allowed}"
            ));
        }
        let deleted = cluster.world.deleted(topic, index);
        if start.is_some_and(|start| start < deleted) {
            cluster.world.violation(format!(
                "the log start of partition {index} is {start:?}, and all below {deleted} was deleted"
            ));
        }
    }
}
