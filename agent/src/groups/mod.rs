//! The group service: holds the machines of the groups that this agent coordinates, hands them requests, records what
//! they want recorded, wakes them when a deadline has passed, and lets go of them when the group moves to another
//! agent. Who coordinates a group follows from the metastore's state, so it is looked up and never agreed upon.
//!
//! Knows nothing of Kafka's messages and of what a machine decides. Locks are taken in this order: a slot, the table,
//! the metastore's state; no code of a machine runs under the table's lock.

mod figures;
mod follow;
mod memory;
mod offsets;
mod slot;
mod tail;
mod timers;
mod views;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use ebb_coordinator::{
    Event, Group as Machine, GroupConfig, GroupError, Reply, StoreError, Ticket, consumer::ConsumerConfig,
};
use ebb_metastore::{
    Metastore, Submission,
    command::{Command, GroupChange, UpdateGroup},
    outcome::{Outcome, Refusal},
    state::State,
};
use ebb_protocol::{
    ids::{AgentId, GroupId, IdSource, Timestamp},
    planted::{Bug, is_planted},
};
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

pub use self::offsets::{Committer, PendingCommit, PlacedOffset};
use self::{
    figures::Counts,
    memory::Memory,
    slot::{Live, Slot},
    tail::Looks,
    timers::Timers,
};

/// Groups that may be in memory. A group that only has offsets is there for the time of a request.
const GROUPS_LOADED_MAX: usize = 100_000;

/// The most of a client's name that goes into its member id, in bytes.
const MEMBER_PREFIX_BYTES_MAX: usize = 255;

/// A request that finds its group just being let go looks for it again, so many times.
const ATTEMPTS_MAX: usize = 3;

/// The group service of one agent, shared by all connections.
pub struct Groups {
    agent: AgentId,
    metastore: Metastore,
    ids: IdSource,
    config: GroupConfig,
    /// Machines know the time as milliseconds since then: a clock that never jumps.
    origin: Instant,
    table: Mutex<Table>,
    timers: Timers,
    looks: Mutex<Looks>,
    counts: Counts,
    memory: Memory,
    /// Fires when updates that are being recorded need not be waited for any more.
    aborting: CancellationToken,
}

/// The groups in memory.
#[derive(Default)]
struct Table {
    slots: BTreeMap<GroupId, Arc<Slot>>,
    last_ticket: u64,
    /// No group is loaded any more.
    closed: bool,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").field("loaded", &self.table.lock().slots.len()).finish_non_exhaustive()
    }
}

impl Groups {
    /// The service of the agent `agent`, which is registered. Its groups may take about `bytes_max` bytes of memory:
    /// beyond that no member joins. [`Groups::run`] keeps it going.
    #[must_use]
    pub fn new(
        agent: AgentId,
        metastore: Metastore,
        ids: IdSource,
        config: GroupConfig,
        bytes_max: usize,
        aborting: CancellationToken,
    ) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            agent,
            metastore,
            ids,
            config,
            origin: now,
            table: Mutex::default(),
            timers: Timers::default(),
            looks: Mutex::new(Looks::new(now)),
            counts: Counts::default(),
            memory: Memory::new(bytes_max),
            aborting,
        })
    }

    /// Lets groups go that move away, takes over those that come, and wakes machines at their deadlines, until
    /// `draining` fires. Then everybody who waits is sent to find the coordinator again.
    pub async fn run(self: Arc<Self>, draining: CancellationToken) {
        let mut applied = self.metastore.applied();
        let mut seen = follow::Seen::default();
        loop {
            self.follow(&mut seen);
            self.tick();
            tokio::select! {
                biased;
                () = draining.cancelled() => break,
                changed = applied.changed() => if changed.is_err() { break },
                () = self.timers.due(|at| sleep_until(self.instant(at))) => {}
            }
        }
        self.close();
    }

    /// The settings it runs with.
    #[must_use]
    pub fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// An id for a member that has none: the client's name, so that people recognise it, and something unique.
    #[must_use]
    pub fn fresh_member(&self, client: &str) -> String {
        let client = &client[..client.floor_char_boundary(MEMBER_PREFIX_BYTES_MAX)];
        format!("{client}-{}", self.ids.client_instance())
    }

    /// Hands a request to its group's machine and waits for the answer. `event` makes it of the request's ticket.
    /// Dropping the future leaves the group as if the client had gone.
    ///
    /// # Errors
    /// [`GroupError::NotCoordinator`] when another agent coordinates the group, now or before there was an answer;
    /// [`GroupError::Unavailable`] when the commit log cannot be asked; [`GroupError::InvalidGroupId`].
    pub async fn handle(
        self: &Arc<Self>,
        group: &GroupId,
        event: impl FnOnce(Ticket) -> Event,
    ) -> Result<Reply, GroupError> {
        tail::check_id(group)?;
        match self.find(group) {
            Some(_) => self.know().await?,
            // Another agent may have had the group until now, or have it now.
            None => self.look_at_tail().await?,
        }
        let ticket = self.ticket();
        let event = event(ticket);
        self.memory.check(&event)?;
        let (sender, answer) = oneshot::channel();
        self.enter(group, (ticket, sender), event)?;
        answer.await.map_err(|_| GroupError::NotCoordinator)
    }

    /// Runs a request through the group's machine, which gives its answer to whoever waits.
    fn enter(
        self: &Arc<Self>,
        group: &GroupId,
        (ticket, waiting): (Ticket, oneshot::Sender<Reply>),
        event: Event,
    ) -> Result<(), GroupError> {
        self.check_coordinates(group)?;
        let mut request = Some((waiting, event));
        for _ in 0..ATTEMPTS_MAX {
            let slot = self.load(group)?;
            let mut inner = slot.inner.lock();
            if inner.machine.is_some()
                && let Some((waiting, event)) = request.take()
            {
                inner.waiting.insert(ticket, waiting);
                self.step(&slot, &mut inner, event);
                return Ok(());
            }
        }
        Err(GroupError::NotCoordinator)
    }

    /// Looks at a group's machine without an event.
    pub(crate) fn look<T>(
        self: &Arc<Self>,
        group: &GroupId,
        look: impl FnOnce(&mut Machine, Timestamp) -> T,
    ) -> Result<T, GroupError> {
        let mut look = Some(look);
        for _ in 0..ATTEMPTS_MAX {
            let slot = self.load(group)?;
            let mut inner = slot.inner.lock();
            if let Some(machine) = &mut inner.machine
                && let Some(look) = look.take()
            {
                let looked = look(machine, self.now());
                self.settle(&slot, &mut inner);
                return Ok(looked);
            }
        }
        Err(GroupError::NotCoordinator)
    }

    /// The settings of KIP-848 of one group.
    fn consumer_config(&self, state: &State, group: &GroupId) -> ConsumerConfig {
        self.config.consumer.with(state.group_settings(group))
    }

    fn find(&self, group: &GroupId) -> Option<Arc<Slot>> {
        self.table.lock().slots.get(group).cloned()
    }

    /// The group's slot, with a machine made from the state when there is none yet. That happens under the table's
    /// lock, so that no machine is made from a state that an earlier machine has changed since.
    fn load(&self, group: &GroupId) -> Result<Arc<Slot>, GroupError> {
        let mut table = self.table.lock();
        if let Some(slot) = table.slots.get(group) {
            return Ok(slot.clone());
        }
        if table.closed {
            return Err(GroupError::NotCoordinator);
        }
        if table.slots.len() >= GROUPS_LOADED_MAX {
            return Err(GroupError::Unavailable("this agent has too many groups in memory".to_owned()));
        }
        let now = self.now();
        let slot = self.metastore.read(|state| {
            if !self.holds(state, group) {
                return Err(GroupError::NotCoordinator);
            }
            let found = state.group(group);
            let config = GroupConfig { consumer: self.consumer_config(state, group), ..self.config };
            let machine = Machine::load(found.unwrap_or(&Default::default()), config, now);
            let seen = self.counts.loaded(group, &machine.summary(), now);
            Ok(Slot::new(group.clone(), machine, found.map_or(0, |found| found.version), seen))
        })?;
        let slot = Arc::new(slot);
        table.slots.insert(group.clone(), slot.clone());
        Ok(slot)
    }

    /// Hands a machine an event and does what follows.
    fn step(self: &Arc<Self>, slot: &Arc<Slot>, inner: &mut slot::Inner, event: Event) {
        let Some(machine) = &mut inner.machine else { return };
        if let Event::ConsumerHeartbeat(..) = event {
            machine.configure(self.metastore.read(|state| self.consumer_config(state, &slot.group)));
        }
        let (now, is_tick) = (self.now(), matches!(event, Event::Tick));
        let effects = machine.handle(now, event, &Live(&self.metastore));
        self.counts.look(&slot.group, &mut inner.seen, &machine.summary(), now, is_tick);
        for (ticket, reply) in effects.replies {
            if let Some(waiting) = inner.waiting.remove(&ticket) {
                // Whoever asked may have gone.
                let _ = waiting.send(reply);
            }
        }
        if let Some(changes) = effects.store {
            inner.is_storing = true;
            self.record(slot.clone(), inner.version, changes);
        }
        self.settle(slot, inner);
    }

    /// Sets the machine's timer, or lets go of a machine that there is no need to keep.
    fn settle(&self, slot: &Arc<Slot>, inner: &mut slot::Inner) {
        let Some(machine) = &inner.machine else { return };
        let bytes = machine.bytes();
        self.memory.changed(std::mem::replace(&mut inner.bytes, bytes), bytes);
        if machine.is_idle() && !inner.is_storing && inner.waiting.is_empty() {
            self.drop_machine(slot, inner);
            return;
        }
        // A timer that is too early does no harm, and most deadlines move away before they are reached.
        if let Some(deadline) = machine.next_deadline()
            && inner.timer.is_none_or(|timer| deadline < timer)
        {
            self.stop_timer(slot, inner);
            inner.timer = Some(deadline);
            self.timers.set(deadline, slot.group.clone());
        }
    }

    fn stop_timer(&self, slot: &Slot, inner: &mut slot::Inner) {
        if let Some(at) = inner.timer.take() {
            self.timers.stop(at, &slot.group);
        }
    }

    /// Lets go of a machine. Those who wait for it are told to find the coordinator again.
    fn drop_machine(&self, slot: &Arc<Slot>, inner: &mut slot::Inner) {
        inner.machine = None;
        inner.waiting.clear();
        self.memory.changed(std::mem::take(&mut inner.bytes), 0);
        self.stop_timer(slot, inner);
        let mut table = self.table.lock();
        if table.slots.get(&slot.group).is_some_and(|present| Arc::ptr_eq(present, slot)) {
            table.slots.remove(&slot.group);
        }
    }

    /// Lets go of a group that was deleted: a machine would go on from a version that is no more.
    fn forget(&self, group: &GroupId) {
        if let Some(slot) = self.find(group) {
            self.drop_machine(&slot, &mut slot.inner.lock());
        }
    }

    /// Records changes, and tells the machine what became of them.
    fn record(self: &Arc<Self>, slot: Arc<Slot>, version: u64, changes: Vec<GroupChange>) {
        let this = self.clone();
        let version = if is_planted(Bug::GroupKeptAfterMove) {
            self.metastore.read(|state| state.group(&slot.group).map_or(0, |group| group.version))
        } else {
            version
        };
        let update = UpdateGroup { group: slot.group.clone(), version, changes };
        tokio::spawn(async move {
            let submission =
                Submission { commands: vec![Command::UpdateGroup(update)], ..Submission::default() };
            if is_planted(Bug::GroupAnswerBeforeStored) {
                this.stored(&slot, Ok(version + 1));
                // Nobody asks what became of it.
                drop(this.metastore.submit(submission).await);
                return;
            }
            let recorded = tokio::select! {
                biased;
                () = this.aborting.cancelled() => return,
                recorded = this.metastore.submit(submission) => recorded,
            };
            let stored = match recorded.map(|mut outcomes| outcomes.pop()) {
                Ok(Some(Outcome::GroupUpdated { version })) => Ok(version),
                Ok(Some(Outcome::Refused(refusal))) => Err(lost(&slot.group, &refusal)),
                Ok(_) => Err(StoreError::Lost),
                Err(error) => Err(StoreError::Unavailable(error.to_string())),
            };
            this.stored(&slot, stored);
        });
    }

    fn stored(self: &Arc<Self>, slot: &Arc<Slot>, stored: Result<u64, StoreError>) {
        let mut inner = slot.inner.lock();
        inner.is_storing = false;
        let failed = stored.is_err();
        let stored = stored.map(|version| inner.version = version);
        self.step(slot, &mut inner, Event::Stored(stored));
        if failed {
            self.drop_machine(slot, &mut inner);
            drop(inner);
            // Its members have time-outs, whether or not they ask again.
            self.take_over(&slot.group);
        }
    }

    /// Wakes the machines whose timers have passed.
    fn tick(self: &Arc<Self>) {
        let now = self.now();
        for group in self.timers.pop(now) {
            let Some(slot) = self.find(&group) else { continue };
            let mut inner = slot.inner.lock();
            // Another one may have been set meanwhile.
            inner.timer = inner.timer.filter(|at| *at > now);
            self.step(&slot, &mut inner, Event::Tick);
        }
    }

    fn close(&self) {
        let slots = {
            let mut table = self.table.lock();
            table.closed = true;
            std::mem::take(&mut table.slots)
        };
        for slot in slots.values() {
            self.drop_machine(slot, &mut slot.inner.lock());
        }
    }

    fn ticket(&self) -> Ticket {
        let mut table = self.table.lock();
        table.last_ticket += 1;
        Ticket(table.last_ticket)
    }

    fn now(&self) -> Timestamp {
        let passed = Instant::now().duration_since(self.origin).as_millis();
        Timestamp(i64::try_from(passed).unwrap_or(i64::MAX))
    }

    fn instant(&self, at: Timestamp) -> Instant {
        self.origin + Duration::from_millis(at.0.max(0).unsigned_abs())
    }
}

/// Why an update was refused.
fn lost(group: &GroupId, refusal: &Refusal) -> StoreError {
    match offsets::refused(refusal) {
        GroupError::NotCoordinator => {
            tracing::info!(%group, %refusal, "a group has moved");
            StoreError::Lost
        }
        error => {
            tracing::warn!(%group, %refusal, "a group cannot be recorded");
            StoreError::Refused(error)
        }
    }
}

#[cfg(test)]
mod tests;
