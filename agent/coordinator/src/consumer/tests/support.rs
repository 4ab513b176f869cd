//! A machine under test with everything around it: topics, time, and the store that records its updates.

use std::collections::BTreeMap;

use ebb_metastore::command::{ConsumerGroup, ConsumerMember, GroupChange, Partitions};
use ebb_protocol::ids::{MemberId, PartitionIndex, Timestamp, TopicId, TopicName};
use uuid::Uuid;

use crate::{
    Client, ConsumerHeartbeat, Effects, Event, GroupError, HeartbeatAnswer, Reply, StoreError, Ticket,
    Topics,
    consumer::{ConsumerConfig, ConsumerMachine},
};

/// Topics by name; an id is never used twice.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    topics: BTreeMap<String, (TopicId, i32)>,
    created: u128,
}

impl Cluster {
    pub(super) fn put(&mut self, name: &str, count: i32) -> TopicId {
        self.created += 1;
        let fresh = (TopicId(Uuid::from_u128(self.created)), count);
        let entry = self.topics.entry(name.to_owned()).or_insert(fresh);
        entry.1 = count;
        entry.0
    }

    pub(super) fn delete(&mut self, name: &str) {
        self.topics.remove(name);
    }

    /// Partitions of a topic in the form in which they are recorded.
    pub(super) fn list(&self, name: &str, indexes: &[i32]) -> Partitions {
        if indexes.is_empty() {
            return Partitions::new();
        }
        [(self.topics[name].0, indexes.iter().map(|&index| PartitionIndex(index)).collect())].into()
    }
}

impl Topics for Cluster {
    fn by_name(&self, name: &str) -> Option<(TopicId, i32)> {
        self.topics.get(name).copied()
    }

    fn names(&self) -> Vec<TopicName> {
        self.topics.keys().map(|name| TopicName::new(name).expect("test names are valid")).collect()
    }

    fn by_id(&self, topic: TopicId) -> Option<(TopicName, i32)> {
        let (name, (_, count)) = self.topics.iter().find(|(_, (id, _))| *id == topic)?;
        Some((TopicName::new(name).expect("test names are valid"), *count))
    }
}

/// A machine, its cluster, and what has been recorded of it.
pub(super) struct Desk {
    pub(super) machine: ConsumerMachine,
    pub(super) cluster: Cluster,
    pub(super) now: Timestamp,
    /// How many updates were recorded.
    pub(super) updates: usize,
    pub(super) shared: ConsumerGroup,
    pub(super) members: BTreeMap<MemberId, ConsumerMember>,
    config: ConsumerConfig,
    tickets: u64,
    in_flight: Option<Vec<GroupChange>>,
    answers: BTreeMap<Ticket, Reply>,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self::with(ConsumerConfig::default())
    }

    pub(super) fn with(config: ConsumerConfig) -> Self {
        Self {
            machine: ConsumerMachine::new(config),
            cluster: Cluster::default(),
            now: Timestamp(1_000_000),
            updates: 0,
            shared: ConsumerGroup::default(),
            members: BTreeMap::new(),
            config,
            tickets: 0,
            in_flight: None,
            answers: BTreeMap::new(),
        }
    }

    fn handle(&mut self, event: Event) {
        let Effects { replies, store } = self.machine.handle(self.now, event, &self.cluster);
        for (ticket, reply) in replies {
            assert!(ticket.0 < self.tickets, "an answer to nobody");
            assert!(self.answers.insert(ticket, reply).is_none(), "{ticket:?} is answered twice");
        }
        if let Some(changes) = store {
            assert!(!changes.is_empty(), "an update of nothing");
            assert!(self.in_flight.replace(changes).is_none(), "two updates in flight");
            assert_eq!(self.machine.next_deadline(), None);
        }
    }

    pub(super) fn send(&mut self, said: ConsumerHeartbeat) -> Ticket {
        self.request(|ticket| Event::ConsumerHeartbeat(ticket, said))
    }

    pub(super) fn request(&mut self, event: impl FnOnce(Ticket) -> Event) -> Ticket {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.handle(event(ticket));
        ticket
    }

    /// Makes a request of any kind and waits for its answer.
    pub(super) fn reply(&mut self, event: impl FnOnce(Ticket) -> Event) -> Reply {
        let ticket = self.request(event);
        while self.is_storing() {
            self.store();
        }
        self.answers.remove(&ticket).expect("with nothing in flight every request is answered")
    }

    pub(super) fn is_storing(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Records the update in flight, if there is one.
    pub(super) fn store(&mut self) {
        let Some(changes) = self.in_flight.take() else { return };
        self.updates += 1;
        for change in changes {
            match change {
                GroupChange::Consumer(shared) => self.shared = shared,
                GroupChange::PutConsumerMember(id, member) => {
                    assert_ne!(self.members.get(&id), Some(&*member), "recorded without need");
                    self.members.insert(id, *member);
                }
                GroupChange::RemoveMember(id) => {
                    assert!(self.members.remove(&id).is_some(), "removed without need");
                }
                other => panic!("not a change of this protocol: {other:?}"),
            }
        }
        self.handle(Event::Stored(Ok(())));
    }

    /// Loses the update in flight, and with it the machine; another one takes over.
    pub(super) fn lose(&mut self) {
        if self.in_flight.take().is_some() {
            self.handle(Event::Stored(Err(StoreError::Lost)));
        }
        self.machine = ConsumerMachine::load(&self.shared, &self.members, self.config, self.now);
    }

    /// The coordinator dies, and another one takes over: an update in flight may have been recorded or not.
    pub(super) fn die(&mut self, is_recorded: bool) {
        if is_recorded {
            self.store();
        }
        self.in_flight = None;
        self.machine = ConsumerMachine::load(&self.shared, &self.members, self.config, self.now);
    }

    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Reply> {
        self.answers.remove(&ticket)
    }

    pub(super) fn answer(&mut self, ticket: Ticket) -> Option<Result<HeartbeatAnswer, GroupError>> {
        match self.answers.remove(&ticket)? {
            Reply::ConsumerHeartbeat(result) => Some(result),
            other => panic!("an answer of another kind: {other:?}"),
        }
    }

    /// Sends a heartbeat and waits for its answer.
    pub(super) fn ask(&mut self, said: ConsumerHeartbeat) -> Result<HeartbeatAnswer, GroupError> {
        let ticket = self.send(said);
        while self.is_storing() {
            self.store();
        }
        self.answer(ticket).expect("with nothing in flight every request is answered")
    }

    /// Lets time pass.
    pub(super) fn sleep(&mut self, millis: i64) {
        self.now = Timestamp(self.now.0 + millis);
        if self.machine.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.handle(Event::Tick);
            let next = self.machine.next_deadline();
            assert!(next.is_none_or(|deadline| deadline > self.now), "a deadline stays in the past");
        }
    }

    pub(super) fn topics_changed(&mut self) {
        self.handle(Event::TopicsChanged);
    }
}

/// A first heartbeat.
pub(super) fn join(member: &str, topics: &[&str]) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        member: Some(MemberId::from(member)),
        client: Client { id: "client".to_owned(), host: "/127.0.0.1".to_owned() },
        rebalance_timeout_ms: 60_000,
        topics: Some(topics.iter().map(|&topic| topic.to_owned()).collect()),
        owned: Some(Partitions::new()),
        ..ConsumerHeartbeat::default()
    }
}

/// A heartbeat that says nothing new.
pub(super) fn beat(member: &str, epoch: i32) -> ConsumerHeartbeat {
    ConsumerHeartbeat { epoch, rebalance_timeout_ms: -1, topics: None, owned: None, ..join(member, &[]) }
}

/// A heartbeat that says what the member owns.
pub(super) fn owns(member: &str, epoch: i32, owned: Partitions) -> ConsumerHeartbeat {
    ConsumerHeartbeat { owned: Some(owned), ..beat(member, epoch) }
}
