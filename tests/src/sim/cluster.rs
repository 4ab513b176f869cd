//! The agents: started, killed, stopped, replaced and shut down. Each run of an agent is a real broker over its own
//! wire, with its own clock, randomness and ids.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ebb_agent::{
    broker::{Broker, cache::PlainCache},
    groups::Groups,
};
use ebb_compactor::{
    retention::{Retention, RetentionConfig},
    rewriter::{KeyCompactor, Merger, Rewriter},
    sweeper::Sweeper,
};
use ebb_coordinator::GroupConfig;
use ebb_metastore::{
    Metastore, Submission,
    command::{Command, Endpoint, RegisterAgent},
    entry::ENTRY_VERSION,
    log::{CommitLog, RetryConfig, bucket::BucketLog, memory::MemoryLog},
    outcome::Outcome,
    state::State,
};
use ebb_protocol::{
    clock::SharedClock,
    ids::{AgentId, IdSource},
    random::Random,
};
use ebb_segment::store::SegmentStore;
use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    bucket::Bucket,
    clock::SimClock,
    engine::FaultyLog,
    faults::Weather,
    gate::Gate,
    plan::{Engine, Plan, millis},
    wire::{Doom, Store, Wire},
    witness::Witness,
    world::World,
};

/// The port of the first address; the others follow.
const FIRST_PORT: u16 = 9_000;

/// What the groups of an agent may take in memory, in bytes: more than they do here.
const GROUPS_BYTES_MAX: usize = 64 << 20;

/// Every agent looks for records that are to be deleted about once a second.
const RETENTION: RetentionConfig = RetentionConfig { check_interval: Duration::from_secs(1) };

/// An agent shuts down within this time, whatever hangs: it may first have to read what others wrote meanwhile, and then
/// has half a minute for its last entry.
const SHUTDOWN_MAX: Duration = Duration::from_secs(120);

/// The address that an agent says it has.
pub(super) fn slot_of(port: u16) -> usize {
    usize::from(port.saturating_sub(FIRST_PORT))
}

/// One run of an agent.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) broker: Arc<Broker>,
    pub(super) groups: Arc<Groups>,
    pub(super) gate: Arc<Gate>,
    pub(super) name: String,
    pub(super) id: AgentId,
    clock: Arc<SimClock>,
    wire: Arc<Wire>,
    leaving: AtomicBool,
    /// Ends the group service.
    draining: CancellationToken,
    sweeper: Mutex<Option<Sweeper>>,
    /// The tasks of the archive.
    archiving: Mutex<Vec<AbortOnDropHandle<()>>>,
}

/// All agents, and what they share.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) world: Arc<World>,
    pub(super) witness: Arc<Witness>,
    pub(super) bucket: Arc<Bucket>,
    pub(super) weather: Arc<Weather>,
    memory: MemoryLog,
    random: Random,
    slots: Mutex<Vec<Slot>>,
}

/// One place for an agent: an address.
#[derive(Debug, Default)]
struct Slot {
    current: Option<Arc<Running>>,
    /// Those that were replaced while they were stopped.
    zombies: Vec<Arc<Running>>,
    starting: Option<Arc<Gate>>,
    starts: u64,
}

impl Cluster {
    pub(super) fn new(world: Arc<World>, random: Random) -> Arc<Self> {
        let witness = Arc::new(Witness::new(world.clone()));
        let weather = Arc::new(Weather::new(world.plan.rates.clone()));
        let slots = (0..world.plan.agents).map(|_| Slot::default()).collect();
        Arc::new(Self {
            bucket: Arc::new(Bucket::new(witness.clone())),
            witness,
            weather,
            memory: MemoryLog::new(),
            random,
            slots: Mutex::new(slots),
            world,
        })
    }

    /// Every run that may answer clients, zombies included.
    pub(super) fn running(&self) -> Vec<Arc<Running>> {
        let slots = self.slots.lock();
        let all = slots.iter().flat_map(|slot| slot.current.iter().chain(&slot.zombies));
        all.filter(|running| !running.gate.is_dead()).cloned().collect()
    }

    /// The run at an address, unless it is dead.
    pub(super) fn at(&self, slot: usize) -> Option<Arc<Running>> {
        let slots = self.slots.lock();
        slots.get(slot).and_then(|slot| slot.current.clone()).filter(|running| !running.gate.is_dead())
    }

    /// Starts an agent at an address, again and again until one registers. Returns at once when one is starting.
    pub(super) async fn start(self: Arc<Self>, slot: usize, doom: Option<Doom>) {
        let mut doom = doom;
        loop {
            let Some((gate, number)) = self.begin(slot) else { return };
            let started = tokio::select! {
                biased;
                () = gate.dead() => None,
                running = self.run(slot, number, gate.clone(), doom.take()) => running,
            };
            if self.started(slot, started) {
                return;
            }
            gate.kill();
            sleep(millis(&self.random, 50, 500)).await;
        }
    }

    /// Notes what came of a start; true when there is an agent now.
    fn started(&self, slot: usize, running: Option<Running>) -> bool {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get_mut(slot) else { return true };
        slot.starting = None;
        let Some(running) = running else { return false };
        self.world.note(format_args!("{} is up", running.name));
        slot.current = Some(Arc::new(running));
        true
    }

    fn begin(&self, slot: usize) -> Option<(Arc<Gate>, u64)> {
        let mut slots = self.slots.lock();
        let slot = slots.get_mut(slot)?;
        let alive = slot.current.as_ref().is_some_and(|running| running.gate.is_open());
        if slot.starting.is_some() || alive {
            return None;
        }
        slot.current = slot.current.take().filter(|running| !running.gate.is_dead());
        slot.zombies.extend(slot.current.take());
        slot.starts += 1;
        let gate = Arc::new(Gate::new());
        slot.starting = Some(gate.clone());
        Some((gate, slot.starts))
    }

    async fn run(&self, slot: usize, number: u64, gate: Arc<Gate>, doom: Option<Doom>) -> Option<Running> {
        let (world, plan) = (&self.world, &self.world.plan);
        let name = format!("a{slot}.{number}");
        let error = i64::try_from(self.random.below(plan.clock_error_ms + 1)).unwrap_or(0);
        let clock = Arc::new(SimClock::new(world.start(), error));
        let shared: SharedClock = clock.clone();
        let random = self.random.fork();
        let ids = IdSource::new(shared.clone(), random.fork());
        let wire = Arc::new(Wire {
            world: world.clone(),
            name: name.clone(),
            bucket: self.bucket.clone(),
            weather: self.weather.clone(),
            random: random.fork(),
            gate: gate.clone(),
            doom: Mutex::new(doom),
        });
        let store = Arc::new(Store(wire.clone()));
        let id = ids.agent();
        let log = self.log(&wire, random.fork());
        let metastore = Metastore::open(
            id,
            log,
            store.clone(),
            shared.clone(),
            ids.clone(),
            random.fork(),
            plan.metastore.clone(),
        );
        let metastore = match metastore.await {
            Ok(metastore) => metastore,
            Err(error) => {
                world.note(format_args!("{name} does not start: {error}"));
                return None;
            }
        };
        let registered = metastore.submit(registration(id, slot)).await.ok()?;
        if !matches!(registered.first(), Some(Outcome::AgentRegistered { .. })) {
            return None;
        }
        let cluster = metastore.read(State::cluster)?;
        let segments = SegmentStore::new(store.clone(), random.fork(), plan.store.clone());
        let cache = Arc::new(PlainCache::new(plan.broker.cache_memory_bytes));
        let archiving = archive(id, plan, &metastore, &store, &shared, &random);
        let sweeper = plan
            .sweeper
            .clone()
            .map(|config| Sweeper::start(metastore.clone(), store, shared.clone(), random.fork(), config));
        let draining = CancellationToken::new();
        let groups = serve_groups(id, &metastore, &ids, plan.groups, &gate, &draining);
        let broker = Broker::new(cluster, metastore, segments, cache, shared, ids, plan.broker.clone());
        Some(Running {
            broker,
            groups,
            gate,
            name,
            id,
            clock,
            wire,
            leaving: AtomicBool::new(false),
            draining,
            sweeper: Mutex::new(sweeper),
            archiving: Mutex::new(archiving),
        })
    }

    /// The commit log as an agent sees it.
    pub(super) fn log(&self, wire: &Arc<Wire>, random: Random) -> Arc<dyn CommitLog> {
        match self.world.plan.engine {
            Engine::Memory => Arc::new(FaultyLog {
                log: self.memory.clone(),
                wire: wire.clone(),
                witness: self.witness.clone(),
            }),
            Engine::Bucket => {
                let store = Arc::new(Store(wire.clone()));
                Arc::new(BucketLog::new(store, random, RetryConfig::default()))
            }
        }
    }

    /// Kills whatever runs or starts at an address.
    pub(super) fn kill(&self, slot: usize) -> bool {
        let mut slots = self.slots.lock();
        let Some(at) = slots.get_mut(slot) else { return false };
        let gates =
            at.current.take().map(|running| running.gate.clone()).into_iter().chain(at.starting.clone());
        let killed: Vec<_> = gates.inspect(|gate| gate.kill()).collect();
        !killed.is_empty()
    }

    /// Ends what agents do for the archive.
    pub(super) fn end_archiving(&self) {
        self.running().iter().for_each(|running| running.archiving.lock().clear());
    }

    /// Takes those that died by themselves off the list, so that nothing keeps their parts alive.
    pub(super) fn bury(&self) {
        for slot in self.slots.lock().iter_mut() {
            slot.current = slot.current.take().filter(|running| !running.gate.is_dead());
            slot.zombies.retain(|running| !running.gate.is_dead());
        }
    }

    /// Kills those that were replaced.
    pub(super) fn end_zombies(&self) {
        for slot in self.slots.lock().iter_mut() {
            slot.zombies.drain(..).for_each(|running| running.gate.kill());
        }
    }
}

impl Running {
    /// Sets its clock.
    pub(super) fn set_clock(&self, error_ms: i64) {
        self.clock.set(error_ms);
    }

    /// Decides when it is to die by itself.
    pub(super) fn doom(&self, doom: Option<Doom>) {
        *self.wire.doom.lock() = doom;
    }

    /// Whether it was asked to end.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Shuts it down in order, as a process does that is asked to end.
    pub(super) async fn shut_down(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        let seal = Command::SealAgent { agent: self.id };
        let sweeper = self.sweeper.lock().take();
        self.archiving.lock().clear();
        let all = async {
            if let Some(sweeper) = sweeper {
                sweeper.shutdown().await;
            }
            self.draining.cancel();
            self.broker.drain().await;
            // It may have been put out before, which is as good.
            drop(self.broker.metastore().submit(Submission { commands: vec![seal], body: Vec::new() }).await);
            self.broker.shutdown().await;
        };
        tokio::select! {
            biased;
            () = self.gate.dead() => {}
            () = all => {}
            () = sleep(SHUTDOWN_MAX) => {
                self.world_violation();
            }
        }
        self.gate.kill();
    }

    fn world_violation(&self) {
        // Requests may hang and be tried again until their deadlines pass, but not for ever.
        if self.gate.is_open() {
            self.wire.world.violation(format!("{} did not shut down within {SHUTDOWN_MAX:?}", self.name));
        }
    }
}

/// Starts what an agent does for the archive, as far as the plan has it.
fn archive(
    me: AgentId,
    plan: &Plan,
    metastore: &Metastore,
    store: &Arc<Store>,
    clock: &SharedClock,
    random: &Random,
) -> Vec<AbortOnDropHandle<()>> {
    let parts = || (metastore.clone(), store.clone(), clock.clone());
    let rewriter = plan.rewriter.clone().map(|config| {
        let (metastore, store, clock) = parts();
        tokio::spawn(Rewriter::new(me, metastore, store, clock, random.fork(), config).run())
    });
    let keys = plan.keys.clone().map(|config| {
        let (metastore, store, clock) = parts();
        tokio::spawn(KeyCompactor::new(me, metastore, store, clock, random.fork(), config).run())
    });
    let merger = plan.merging.clone().map(|config| {
        let (metastore, store, clock) = parts();
        tokio::spawn(Merger::new(me, metastore, store, clock, random.fork(), config).run())
    });
    let retention = plan.retention.map(|_| {
        let (metastore, _, clock) = parts();
        tokio::spawn(Retention::new(metastore, clock, random.fork(), RETENTION).run())
    });
    [rewriter, keys, merger, retention].into_iter().flatten().map(AbortOnDropHandle::new).collect()
}

/// Starts the group service of an agent, which lives as long as the agent does.
fn serve_groups(
    agent: AgentId,
    metastore: &Metastore,
    ids: &IdSource,
    config: GroupConfig,
    gate: &Arc<Gate>,
    draining: &CancellationToken,
) -> Arc<Groups> {
    let aborting = CancellationToken::new();
    let groups =
        Groups::new(agent, metastore.clone(), ids.clone(), config, GROUPS_BYTES_MAX, aborting.clone());
    let service = groups.clone().run(draining.clone());
    let gate = gate.clone();
    tokio::spawn(async move {
        let alive = async {
            service.await;
            // What it was recording is awaited for as long as the agent lives.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = gate.dead() => aborting.cancel(),
            () = alive => {}
        }
    });
    groups
}

fn registration(agent: AgentId, slot: usize) -> Submission {
    let port = u16::try_from(slot).unwrap_or(u16::MAX).saturating_add(FIRST_PORT);
    let said = RegisterAgent {
        agent,
        kafka: Some(Endpoint { host: "sim".to_owned(), port }),
        quic: None,
        zone: String::new(),
        understands: ENTRY_VERSION.into(),
        host: None,
    };
    Submission { commands: vec![Command::RegisterAgent(said)], body: Vec::new() }
}
