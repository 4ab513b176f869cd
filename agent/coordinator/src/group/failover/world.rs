//! A coordinator, the metastore's state in which its group is recorded, and the moment at which it dies.

use std::collections::BTreeMap;

use ebb_metastore::{
    command::{
        Command, CommitOffsets, CommittedOffset, CreateTopic, Endpoint, GroupChange, RegisterAgent,
        UpdateGroup,
    },
    entry::Entry,
    outcome::Outcome,
    state::{GroupBody, State},
};
use ebb_protocol::ids::{
    AgentEpoch, AgentId, ByteRange, EntryId, GroupId, MemberId, Offset, PartitionIndex, Timestamp, TopicId,
    TopicName,
};
use uuid::Uuid;

use crate::{Event, Group, GroupConfig, Reply, Ticket};

pub(super) const PARTITIONS: i32 = 6;
pub(super) const TOPIC: TopicId = TopicId(Uuid::max());

/// Both time-outs of all members, in milliseconds.
pub(super) const SESSION_MS: i32 = 6_000;
pub(super) const REBALANCE_MS: i32 = 6_000;

/// How long a step of the world takes, and an update, in milliseconds.
const STEP_MS: i64 = 100;
const UPDATE_MS: i64 = 300;

const AGENT: AgentId = AgentId(1);

/// When the coordinator dies, and what becomes of its last words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    /// After so many effects.
    pub(super) at: usize,
    /// An update in flight is recorded still.
    pub(super) is_recorded: bool,
    /// The last answers are heard still.
    pub(super) is_answered: bool,
}

pub(super) struct World {
    pub(super) now: i64,
    pub(super) kill: Option<Kill>,
    /// When a machine had something to say.
    pub(super) effects: Vec<i64>,
    state: State,
    epoch: AgentEpoch,
    machine: Group,
    /// The group's version of which the machine knows.
    version: u64,
    in_flight: Option<(i64, Vec<GroupChange>)>,
    /// Requests without an answer, and since when.
    open: BTreeMap<Ticket, i64>,
    /// Answers that nobody has heard yet; `None` for a connection that broke.
    answers: BTreeMap<Ticket, Option<Reply>>,
    tickets: u64,
    /// The last offset of each partition that somebody was told to be committed.
    committed: BTreeMap<i32, i64>,
}

impl World {
    pub(super) fn new(kill: Option<Kill>) -> Self {
        let mut world = Self {
            now: 1_000,
            kill,
            effects: Vec::new(),
            state: State::default(),
            epoch: AgentEpoch(0),
            machine: Group::load(&Default::default(), config(), Timestamp(0)),
            version: 0,
            in_flight: None,
            open: BTreeMap::new(),
            answers: BTreeMap::new(),
            tickets: 0,
            committed: BTreeMap::new(),
        };
        let kafka = Some(Endpoint { host: "localhost".to_owned(), port: 9092 });
        let (zone, understands) = (String::new(), 1);
        let register = RegisterAgent { agent: AGENT, kafka, quic: None, zone, understands, host: None };
        let Outcome::AgentRegistered { epoch, .. } = world.apply(Command::RegisterAgent(register)) else {
            panic!("the agent is not registered");
        };
        world.epoch = epoch;
        let name = TopicName::new("t").expect("a letter is a name");
        let topic = CreateTopic { topic: TOPIC, name, partitions: PARTITIONS, config: Vec::new() };
        assert_eq!(world.apply(Command::CreateTopic(topic)), Outcome::Done);
        world
    }

    fn apply(&mut self, command: Command) -> Outcome {
        let number = self.state.next_number(AGENT).unwrap_or(0);
        let position = self.state.position();
        let entry = Entry {
            id: EntryId(u128::from(position.0)),
            agent: AGENT,
            epoch: self.epoch,
            number,
            time: Timestamp(self.now),
            hash: None,
            commands: vec![command],
        };
        let mut outcomes = self.state.apply(position, &entry, ByteRange { start: 1_000, len: 0 });
        outcomes.pop().expect("one command has one outcome")
    }

    pub(super) fn send(&mut self, event: impl FnOnce(Ticket) -> Event) -> Ticket {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.open.insert(ticket, self.now);
        self.handle(event(ticket));
        ticket
    }

    /// An id that no member has had.
    pub(super) fn fresh(&self, name: &str) -> String {
        format!("{name}-{}", self.tickets)
    }

    /// The answer to a request, if there is one; `Some(None)` when there will be none.
    pub(super) fn hear(&mut self, ticket: Ticket) -> Option<Option<Reply>> {
        self.answers.remove(&ticket)
    }

    fn handle(&mut self, event: Event) {
        let effects = self.machine.handle(Timestamp(self.now), event, &self.state);
        if effects.replies.is_empty() && effects.store.is_none() {
            return;
        }
        self.effects.push(self.now);
        let kill = self.kill.filter(|kill| kill.at == self.effects.len());
        for (ticket, reply) in effects.replies {
            assert!(self.open.contains_key(&ticket), "{ticket:?} does not wait: {:?}", self.kill);
            if kill.is_none_or(|kill| kill.is_answered) {
                self.open.remove(&ticket);
                self.answers.insert(ticket, Some(reply));
            }
        }
        if let Some(changes) = effects.store {
            let before = self.in_flight.replace((self.now, changes));
            assert!(before.is_none(), "two updates in flight: {:?}", self.kill);
        }
        if let Some(kill) = kill {
            self.fail_over(kill);
        }
    }

    /// The coordinator dies, and another one takes over.
    fn fail_over(&mut self, kill: Kill) {
        if let Some((_, changes)) = self.in_flight.take()
            && kill.is_recorded
        {
            self.record(changes);
        }
        let lost = std::mem::take(&mut self.open);
        self.answers.extend(lost.into_keys().map(|ticket| (ticket, None)));
        let recorded = self.state.group(&group()).cloned().unwrap_or_default();
        self.machine = Group::load(&recorded, config(), Timestamp(self.now));
        self.version = recorded.version;
    }

    fn record(&mut self, changes: Vec<GroupChange>) {
        let update = UpdateGroup { group: group(), version: self.version, changes };
        match self.apply(Command::UpdateGroup(update)) {
            Outcome::GroupUpdated { version } => self.version = version,
            other => panic!("{other:?}: {:?}", self.kill),
        }
    }

    /// Lets a step's time pass.
    pub(super) fn pass(&mut self) {
        self.now += STEP_MS;
        if self.in_flight.as_ref().is_some_and(|(since, _)| since + UPDATE_MS <= self.now) {
            let (_, changes) = self.in_flight.take().expect("an update is in flight");
            self.record(changes);
            self.handle(Event::Stored(Ok(())));
        }
        if self.machine.next_deadline().is_some_and(|deadline| deadline.0 <= self.now) {
            self.handle(Event::Tick);
        }
        let longest = i64::from(SESSION_MS + REBALANCE_MS);
        for (ticket, since) in &self.open {
            assert!(self.now - since <= longest, "{ticket:?} hangs: {:?}", self.kill);
        }
    }

    /// Commits the next offset of each of these partitions on behalf of a member.
    pub(super) fn commit(&mut self, member: &str, epoch: i32, partitions: impl Iterator<Item = i32>) {
        let member = MemberId::from(member);
        let checked = self.machine.check_commit(Timestamp(self.now), &member, None, epoch);
        let Ok(fence) = checked else { return };
        let next: Vec<(i32, i64)> = partitions
            .map(|partition| (partition, self.committed.get(&partition).map_or(1, |offset| offset + 1)))
            .collect();
        let committed = |offset: i64| CommittedOffset {
            offset: Offset(offset),
            leader_epoch: -1,
            metadata: String::new(),
        };
        let placed = next.iter().map(|&(index, offset)| (TOPIC, PartitionIndex(index), committed(offset)));
        let commit = CommitOffsets { group: group(), fence, offsets: placed.collect() };
        if self.apply(Command::CommitOffsets(commit)) == Outcome::Done {
            self.committed.extend(next);
        }
    }

    /// True when a commit of the member would be taken now.
    pub(super) fn is_current(&self, member: &str, epoch: i32) -> bool {
        let member = MemberId::from(member);
        match self.state.group(&group()).map(|group| &group.body) {
            None | Some(GroupBody::Simple) => false,
            Some(GroupBody::Classic(shared, members)) => {
                shared.generation == epoch && members.contains_key(&member)
            }
            Some(GroupBody::Consumer(_, members)) => {
                members.get(&member).is_some_and(|member| member.epoch == epoch)
            }
        }
    }

    /// Makes sure that all offsets are there that somebody was told to be committed.
    pub(super) fn check_offsets(&self) {
        let group = self.state.group(&group()).expect("the group is recorded");
        for (partition, expected) in &self.committed {
            let kept = group.offset(TOPIC, PartitionIndex(*partition)).map(|kept| kept.offset.0);
            assert_eq!(kept, Some(*expected), "of partition {partition}: {:?}", self.kill);
        }
        assert_eq!(self.committed.len(), usize::try_from(PARTITIONS).expect("it is positive"));
    }

    /// How many members are recorded.
    pub(super) fn members(&self) -> usize {
        self.state.group(&group()).map_or(0, |group| group.body.members())
    }
}

fn group() -> GroupId {
    GroupId::from("g")
}

fn config() -> GroupConfig {
    let mut config = GroupConfig::default();
    config.consumer.session_timeout_ms = SESSION_MS;
    config
}
