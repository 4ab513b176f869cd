//! Groups at work while one agent after the other is killed: by the SDK (KIP-848), and by two other clients (classic).
//! Their members come, go and vanish. Every record comes to each group, and what is committed never goes back.

use std::{collections::BTreeMap, env, sync::Arc, time::Duration};

use ebb_protocol::random::Random;
use ebb_tests::{
    check::{Action, Outcome, Read, Send},
    e2e::{
        contract::{Foreign, Member, Program},
        crew::Crew,
        ebb::{Ebb, Server},
        history::History,
    },
};
use ebbtide::{Client, Isolation, Offset, PartitionIndex, Record, Start, admin::OffsetSpec};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// The variable that says for how many minutes; `tests/soak groups` sets it.
const MINUTES_VARIABLE: &str = "EBB_TEST_GROUP_MINUTES";
/// How long when nothing else is said, and how often an agent is killed then, and else.
const SHORT: Duration = Duration::from_secs(20);
const SHORT_PERIOD: Duration = Duration::from_secs(7);
const PERIOD: Duration = Duration::from_secs(20);
/// How long an agent stays away.
const AWAY: Duration = Duration::from_secs(3);
const TOPIC: &str = "tide";
const PARTITIONS: i32 = 6;
/// Pause of a producer between two records.
const PACE: Duration = Duration::from_millis(10);
/// Records that a producer has in flight.
const IN_FLIGHT_MAX: usize = 8;
/// Records that must be acknowledged between two kills.
const PROGRESS: usize = 20;
/// Members of the SDK at a time, and the longest life of one, in seconds.
const MEMBERS: u32 = 4;
const LIFE_MAX_S: u64 = 40;
/// Pause between two looks at what is committed.
const LOOK_PACE: Duration = Duration::from_millis(200);
/// What one look may take.
const LOOK_MAX: Duration = Duration::from_secs(20);
/// After the last record every group must have read all within this time: a session time-out, and more.
const ALL_MAX: Duration = Duration::from_secs(150);
/// A producer's number stands above these bits of a value.
const COUNT_BITS: u32 = 40;

/// What the processes of the test share.
struct Shared {
    history: History,
    sdk: Crew,
    classic: Crew,
    stop: CancellationToken,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the figures of a soak run")]
async fn groups_work_on_while_agents_are_killed() {
    let test = "groups while agents are killed";
    let Some(ebb) = Ebb::find(test) else { return };
    let minutes = env::var(MINUTES_VARIABLE).ok().map(|text| text.parse().expect("a number of minutes"));
    let (long, period) =
        minutes.map_or((SHORT, SHORT_PERIOD), |minutes: u64| (Duration::from_secs(60 * minutes), PERIOD));
    let store = format!("file://{}", ebb.data().join("store").display());
    let mut agents = [ebb.agent(&store).await, ebb.agent(&store).await, ebb.agent(&store).await];
    agents[0].create(TOPIC, usize::try_from(PARTITIONS).expect("a count"));
    let Some(programs) = classic_programs(test, &agents) else { return };
    let mut clients = Vec::new();
    for agent in &agents {
        clients.push(agent.client().connect().await.expect("the agent serves"));
    }
    let partitions = usize::try_from(PARTITIONS).expect("a count");
    let shared = Arc::new(Shared {
        history: History::default(),
        sdk: Crew::new("sdk", partitions),
        classic: Crew::new("classic", partitions),
        stop: CancellationToken::new(),
    });
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    for (number, client) in (1..).zip(&clients[..2]) {
        writers.spawn(produce(shared.clone(), client.clone(), number));
    }
    for number in 0..MEMBERS {
        readers.spawn(members(shared.clone(), clients[number as usize % clients.len()].clone(), number));
    }
    readers.spawn(watch(shared.clone(), clients.clone()));
    let mut classic = Classic::start(programs, &shared);
    let kills = kill_in_turn(&mut agents, &shared, &mut classic, long, period).await;

    shared.stop.cancel();
    while let Some(ended) = writers.join_next().await {
        ended.expect("a producer does not panic");
    }
    let ends = ends(&clients[0]).await;
    let waited = timeout(ALL_MAX, async {
        while shared.sdk.left_out(&ends).is_some() || shared.classic.left_out(&ends).is_some() {
            classic.read(&shared.classic);
            sleep(LOOK_PACE).await;
        }
    });
    let waited = waited.await.is_ok();
    let left_out = (shared.sdk.left_out(&ends), shared.classic.left_out(&ends));
    assert!(waited, "never given to a member: {left_out:?}; the ends are {ends:?}");
    shared.history_is_sound(&clients[0], &ends).await;
    end(readers).await;
    for agent in &mut agents {
        agent.kill();
        assert!(!agent.said().contains("panicked"), "{}", agent.said());
    }
    ebb.fsck();
    let (sdk, classic) = (shared.sdk.counts(), shared.classic.counts());
    println!("{kills} kills: {:?}, sdk {sdk:?}, classic {classic:?}", shared.history.counts());
}

/// Ends tasks that go on for ever. One that had ended by itself found a mistake, and fails the test here.
async fn end(mut tasks: JoinSet<()>) {
    tasks.abort_all();
    while let Some(ended) = tasks.join_next().await {
        assert!(
            ended.is_err_and(|error| error.is_cancelled()),
            "a reader or the watch found a mistake; see above"
        );
    }
}

/// Kills one agent after the other and starts it again, for so long. Gives how often.
async fn kill_in_turn(
    agents: &mut [Server<'_>; 3],
    shared: &Shared,
    classic: &mut Classic,
    long: Duration,
    period: Duration,
) -> usize {
    let began = Instant::now();
    let mut kills = 0;
    while began.elapsed() < long {
        let next = Instant::now() + period;
        let victim = &mut agents[kills % 3];
        let acknowledged = shared.history.counts().acknowledged;
        victim.kill();
        kills += 1;
        sleep(AWAY).await;
        victim.restart().await;
        classic.change(shared, kills).await;
        sleep_until(next).await;
        classic.read(&shared.classic);
        let since = shared.history.counts().acknowledged - acknowledged;
        assert!(since >= PROGRESS, "{since} records were acknowledged in {period:?}");
    }
    kills
}

impl Shared {
    /// Reads everything once more and has the checker judge what was written and read.
    async fn history_is_sound(&self, client: &Client, ends: &[i64]) {
        for (partition, end) in (0..).zip(ends) {
            let mut consumer = client.consumer().build().expect("sound settings");
            let start = Start::Offset(Offset(0));
            consumer.assign(TOPIC, PartitionIndex(partition), start).await.expect("the agent serves");
            let mut from = 0;
            while from < *end {
                let invoked = self.history.now();
                let batch = consumer.next_batch().await.expect("the agent serves");
                let records = batch.records().expect("a batch can be decompressed");
                let records = records.map(|record| record.expect("a record can be decoded"));
                let read = Read {
                    partition: u32::try_from(partition).expect("an index"),
                    from,
                    seek: from == 0,
                    records: records
                        .map(|record| (record.offset.0, value(record.value.as_deref())))
                        .collect(),
                    log_start: 0,
                    high_watermark: Some(*end),
                    last: true,
                };
                from = batch.next_offset().0;
                self.history.add(99, invoked, Outcome::Ok, Action::Read(read));
            }
        }
        self.history.judge("groups");
    }
}

fn value(bytes: Option<&[u8]>) -> Option<u64> {
    std::str::from_utf8(bytes?).ok()?.parse().ok()
}

/// Where the partitions end.
async fn ends(client: &Client) -> Vec<i64> {
    let all: Vec<_> = (0..PARTITIONS).map(PartitionIndex).collect();
    let isolation = Isolation::ReadUncommitted;
    let listed = client.admin().list_offsets(TOPIC, &all, OffsetSpec::Latest, isolation).await;
    let listed = listed.expect("the agent serves");
    listed.iter().map(|listed| listed.offset.expect("a partition has an end").0).collect()
}

/// Writes records, each unique, until it is told to stop.
async fn produce(shared: Arc<Shared>, client: Client, number: u32) {
    let producer =
        client.producer().delivery_timeout(Duration::from_secs(120)).build().expect("sound settings");
    let random = Random::from_seed(number.into());
    let mut orders = BTreeMap::new();
    let mut in_flight = FuturesUnordered::new();
    let mut count = 0;
    while !shared.stop.is_cancelled() {
        let partition = u32::try_from(random.below(6)).expect("a small number");
        let value = (u64::from(number) << COUNT_BITS) | count;
        count += 1;
        let order = orders.entry(partition).and_modify(|order| *order += 1).or_insert(0);
        let mut send =
            Send { partition, producer: Some((number.into(), *order)), values: vec![value], base: None };
        let index = PartitionIndex(i32::try_from(partition).expect("a small number"));
        let record = Record::new(value.to_string()).key(value.to_string()).partition(index);
        let invoked = shared.history.now();
        let sent = producer.send(TOPIC, record).await;
        let shared = &shared;
        in_flight.push(async move {
            let delivered = match sent {
                Ok(delivery) => delivery.await,
                Err(error) => Err(error),
            };
            let outcome = match delivered {
                Ok(metadata) => {
                    send.base = metadata.offset.map(|offset| offset.0);
                    Outcome::Ok
                }
                Err(error) if error.has_no_side_effects() => Outcome::Failed,
                Err(_) => Outcome::Unknown,
            };
            shared.history.add(number, invoked, outcome, Action::Send(send));
        });
        if in_flight.len() >= IN_FLIGHT_MAX {
            in_flight.next().await;
        }
        sleep(PACE).await;
    }
    while in_flight.next().await.is_some() {}
}

/// One member after the other: each reads for a while, then leaves, or vanishes.
async fn members(shared: Arc<Shared>, client: Client, number: u32) {
    let random = Random::from_seed(u64::from(number) + 100);
    loop {
        let builder =
            client.consumer().group(shared.sdk.name()).auto_commit(Some(Duration::from_millis(200)));
        let mut consumer = builder.build().expect("sound settings");
        consumer.subscribe(&[TOPIC]);
        let until = Instant::now() + Duration::from_secs(5 + random.below(LIFE_MAX_S));
        while Instant::now() < until {
            match timeout(Duration::from_secs(1), consumer.next_record()).await {
                Ok(Ok(record)) => shared.sdk.given(record.partition.0, record.offset.0),
                Ok(Err(error)) => {
                    assert!(error.is_retriable(), "reading goes on: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
                Err(_) => {}
            }
        }
        if random.below(4) == 0 {
            drop(consumer);
        } else if let Err(error) = consumer.close().await {
            assert!(error.is_retriable(), "leaving succeeds or may be tried again: {error}");
        }
    }
}

/// Looks at what the groups have committed, through any agent.
async fn watch(shared: Arc<Shared>, clients: Vec<Client>) {
    for client in clients.iter().cycle() {
        for crew in [&shared.sdk, &shared.classic] {
            let floor = crew.floor();
            // An agent that is down answers nothing.
            if let Ok(Ok(offsets)) = timeout(LOOK_MAX, client.admin().group_offsets(crew.name())).await {
                let offsets = offsets.iter().map(|offset| (offset.partition.0, offset.offset.0)).collect();
                crew.committed(&floor, &offsets);
            }
        }
        sleep(LOOK_PACE).await;
    }
}

/// The group of the classic protocol: members of two clients.
struct Classic {
    programs: [Program; 2],
    members: [(Member, usize); 2],
}

fn classic_programs(test: &str, agents: &[Server<'_>; 3]) -> Option<[Program; 2]> {
    let [first, others @ ..] = agents.each_ref().map(|agent| agent.addresses().kafka);
    let find = |foreign: Foreign| {
        let program = foreign.find(test, first)?;
        Some(others.iter().fold(program, |program, broker| program.also(*broker)))
    };
    Some([find(Foreign::Confluent)?, find(Foreign::FranzGo)?])
}

impl Classic {
    fn start(programs: [Program; 2], shared: &Shared) -> Self {
        let members = programs.each_ref().map(|program| (Self::join(program, shared), 0));
        Self { programs, members }
    }

    fn join(program: &Program, shared: &Shared) -> Member {
        program.follow(&[
            ("topic", TOPIC),
            ("group", shared.classic.name()),
            ("protocol", "classic"),
            ("assignor", "range"),
            ("session", "6000"),
        ])
    }

    /// Takes note of what the members were given.
    fn read(&mut self, crew: &Crew) {
        for (member, noted) in &mut self.members {
            let read = member.read();
            read[*noted..].iter().for_each(|record| crew.given(record.partition, record.offset));
            *noted = read.len();
        }
    }

    /// Has a member leave, or kills it, and another take its place.
    async fn change(&mut self, shared: &Shared, round: usize) {
        let leaving = round % 2;
        let (member, _) = &mut self.members[leaving];
        if round.is_multiple_of(3) {
            member.kill();
        } else {
            member.leave();
            let left = timeout(Duration::from_secs(60), async {
                while !member.has_left() {
                    sleep(Duration::from_millis(50)).await;
                }
            });
            assert!(left.await.is_ok(), "a member of the classic group does not leave: {}", member.said());
        }
        // What it had printed is still on its way to us.
        sleep(Duration::from_millis(500)).await;
        self.read(&shared.classic);
        self.members[leaving] = (Self::join(&self.programs[leaving], shared), 0);
    }
}
