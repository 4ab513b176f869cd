//! A machine under test with everything around it: time, members that ask, and the store that records its updates.

use std::collections::BTreeMap;

use ebb_metastore::command::{ClassicGroup, ClassicMember, GroupChange};
use ebb_protocol::ids::{MemberId, Timestamp};

use crate::{
    ClassicHeartbeat, Client, Effects, Event, GroupError, JoinAnswer, JoinRequest, LeaveAnswer, LeaveRequest,
    LeavingMember, Reply, StoreError, SyncAnswer, SyncRequest, Ticket,
    classic::{ClassicConfig, ClassicMachine, ClassicState},
};

pub(super) const SESSION_MS: i32 = 10_000;
pub(super) const REBALANCE_MS: i32 = 60_000;

/// A machine, and what has been recorded of it.
pub(super) struct Desk {
    pub(super) machine: ClassicMachine,
    config: ClassicConfig,
    pub(super) now: Timestamp,
    pub(super) shared: Option<ClassicGroup>,
    pub(super) members: BTreeMap<MemberId, ClassicMember>,
    pub(super) in_flight: Option<Vec<GroupChange>>,
    /// Updates are recorded at once.
    pub(super) stores_at_once: bool,
    pub(super) updates: usize,
    answers: BTreeMap<Ticket, Reply>,
    tickets: u64,
}

pub(super) fn config() -> ClassicConfig {
    ClassicConfig { initial_rebalance_delay_ms: 500, members_max: 4, ..ClassicConfig::default() }
}

/// A dynamic member that joins for the first time, with the id `name`, by a version without KIP-394.
pub(super) fn joiner(name: &str) -> JoinRequest {
    JoinRequest {
        fresh_member: name.to_owned(),
        client: Client { id: "app".to_owned(), host: "/127.0.0.1".to_owned() },
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), topics(&["t"]))],
        supports_skipping_assignment: true,
        ..JoinRequest::default()
    }
}

/// The same member, once it has its id.
pub(super) fn again(name: &str) -> JoinRequest {
    JoinRequest { member: Some(name.into()), ..joiner(name) }
}

/// A static member that starts; `name` is the id it gets.
pub(super) fn starter(instance: &str, name: &str) -> JoinRequest {
    JoinRequest { instance: Some(instance.to_owned()), ..joiner(name) }
}

/// A subscription of the consumer protocol, version 0.
pub(super) fn topics(names: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 0, 0, u8::try_from(names.len()).expect("few topics")];
    for name in names {
        bytes.extend([0, u8::try_from(name.len()).expect("short names")]);
        bytes.extend(name.as_bytes());
    }
    bytes.extend([0xff; 4]);
    bytes
}

pub(super) fn leaving(member: &str, instance: Option<&str>) -> LeavingMember {
    LeavingMember { member: member.to_owned(), instance: instance.map(str::to_owned) }
}

impl Desk {
    pub(super) fn new() -> Self {
        Self::with(config())
    }

    pub(super) fn with(config: ClassicConfig) -> Self {
        Self {
            machine: ClassicMachine::new(config),
            config,
            now: Timestamp(1_000),
            shared: None,
            members: BTreeMap::new(),
            in_flight: None,
            stores_at_once: true,
            updates: 0,
            answers: BTreeMap::new(),
            tickets: 0,
        }
    }

    /// A stable group of these dynamic members, of which the first leads.
    pub(super) fn stable(names: &[&str]) -> Self {
        let mut desk = Self::new();
        for name in names {
            desk.join(joiner(name));
        }
        desk.pass(600);
        desk.pass(600);
        desk.sync_all(names);
        desk
    }

    /// All members sync, and the leader assigns each its own name and the generation.
    pub(super) fn sync_all(&mut self, names: &[&str]) {
        let generation = self.machine.describe().generation;
        let assignments: Vec<_> = names.iter().map(|name| (*name, format!("{name}@{generation}"))).collect();
        let tickets: Vec<_> = names.iter().map(|name| self.sync(name, generation, &assignments)).collect();
        for (name, ticket) in names.iter().zip(tickets) {
            let answer = self.synced(ticket).expect("the member is in the generation");
            assert_eq!(answer.assignment, format!("{name}@{generation}").into_bytes());
        }
        assert_eq!(self.state(), ClassicState::Stable);
    }

    pub(super) fn state(&self) -> ClassicState {
        self.machine.describe().state
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(super) fn handle(&mut self, event: Event) {
        let effects = self.machine.handle(self.now, event);
        self.take(effects);
    }

    fn take(&mut self, effects: Effects) {
        for (ticket, reply) in effects.replies {
            assert!(ticket.0 <= self.tickets, "{ticket:?} was never handed out");
            assert_eq!(self.answers.insert(ticket, reply), None, "{ticket:?} is answered twice");
        }
        if let Some(changes) = effects.store {
            assert!(self.in_flight.is_none(), "there is one update in flight at most");
            self.updates += 1;
            self.in_flight = Some(changes);
            if self.stores_at_once {
                self.store();
            }
        }
    }

    /// Records the update in flight.
    pub(super) fn store(&mut self) {
        for change in self.in_flight.take().expect("an update is in flight") {
            match change {
                GroupChange::Classic(shared) => self.shared = Some(shared),
                GroupChange::PutClassicMember(id, member) => {
                    assert!(self.shared.is_some(), "members come after what they share");
                    self.members.insert(id, *member);
                }
                GroupChange::RemoveMember(id) => drop(self.members.remove(&id)),
                other => panic!("not a change of a classic group: {other:?}"),
            }
        }
        self.handle(Event::Stored(Ok(())));
    }

    pub(super) fn fail(&mut self, error: StoreError) {
        self.in_flight.take().expect("an update is in flight");
        self.handle(Event::Stored(Err(error)));
    }

    /// The same group as another coordinator finds it recorded.
    pub(super) fn reload(&mut self) {
        let shared = self.shared.clone().expect("something is recorded");
        self.machine = ClassicMachine::load(&shared, &self.members, self.config, self.now);
    }

    /// Lets time pass, with a tick at each deadline.
    pub(super) fn pass(&mut self, ms: i64) {
        let until = Timestamp(self.now.0 + ms);
        let mut ticks = 0;
        while let Some(deadline) = self.machine.next_deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.handle(Event::Tick);
            ticks += 1;
            assert!(ticks < 1_000, "a deadline that has passed is done with");
        }
        self.now = until;
    }

    pub(super) fn join(&mut self, said: JoinRequest) -> Ticket {
        let ticket = self.ticket();
        self.handle(Event::Join(ticket, said));
        ticket
    }

    pub(super) fn sync(&mut self, name: &str, generation: i32, assignments: &[(&str, String)]) -> Ticket {
        self.sync_with(SyncRequest {
            member: name.into(),
            instance: None,
            generation,
            protocol_type: None,
            protocol: None,
            assignments: assignments
                .iter()
                .map(|(id, text)| (MemberId::from(*id), text.as_bytes().to_vec()))
                .collect(),
        })
    }

    pub(super) fn sync_with(&mut self, said: SyncRequest) -> Ticket {
        let ticket = self.ticket();
        self.handle(Event::Sync(ticket, said));
        ticket
    }

    pub(super) fn beat(&mut self, name: &str, generation: i32) -> Result<(), GroupError> {
        let ticket = self.ticket();
        let said = ClassicHeartbeat { member: name.into(), instance: None, generation };
        self.handle(Event::Heartbeat(ticket, said));
        match self.answers.remove(&ticket) {
            Some(Reply::Heartbeat(answer)) => answer,
            other => panic!("not answered at once: {other:?}"),
        }
    }

    pub(super) fn leave(&mut self, members: Vec<LeavingMember>) -> Ticket {
        let ticket = self.ticket();
        self.handle(Event::Leave(ticket, LeaveRequest { members }));
        ticket
    }

    pub(super) fn waits(&self, ticket: Ticket) -> bool {
        !self.answers.contains_key(&ticket)
    }

    pub(super) fn joined(&mut self, ticket: Ticket) -> Result<JoinAnswer, GroupError> {
        match self.answers.remove(&ticket) {
            Some(Reply::Join(answer)) => answer,
            other => panic!("no answer to JoinGroup: {other:?}"),
        }
    }

    pub(super) fn synced(&mut self, ticket: Ticket) -> Result<SyncAnswer, GroupError> {
        match self.answers.remove(&ticket) {
            Some(Reply::Sync(answer)) => answer,
            other => panic!("no answer to SyncGroup: {other:?}"),
        }
    }

    pub(super) fn left(&mut self, ticket: Ticket) -> Result<LeaveAnswer, GroupError> {
        match self.answers.remove(&ticket) {
            Some(Reply::Leave(answer)) => answer,
            other => panic!("no answer to LeaveGroup: {other:?}"),
        }
    }

    pub(super) fn take_answer(&mut self, ticket: Ticket) -> Option<Reply> {
        self.answers.remove(&ticket)
    }

    pub(super) fn last_ticket(&self) -> Ticket {
        Ticket(self.tickets)
    }
}
