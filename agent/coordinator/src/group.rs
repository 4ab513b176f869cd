//! A group of either protocol behind one face: which machine speaks for it, and when another one takes over. A group
//! without members takes the protocol of the first member that comes. Must not know what the machines do.

use ebb_metastore::{command::CommitFence, state};
use ebb_protocol::ids::{MemberId, Timestamp};

use crate::{
    ConsumerHeartbeat, Effects, Event, GroupError, LeaveAnswer, Reply, Topics,
    classic::{ClassicConfig, ClassicDescription, ClassicMachine},
    consumer::{self, ConsumerConfig, ConsumerDescription, ConsumerMachine},
};

/// Settings of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupConfig {
    /// Of those of the classic protocol.
    pub classic: ClassicConfig,
    /// Of those of KIP-848.
    pub consumer: ConsumerConfig,
}

/// A group.
#[derive(Debug)]
pub struct Group {
    config: GroupConfig,
    machine: Machine,
}

/// The machine that speaks for a group.
#[derive(Debug)]
enum Machine {
    /// Nobody has come yet.
    None,
    /// The classic protocol.
    Classic(ClassicMachine),
    /// KIP-848.
    Consumer(ConsumerMachine),
}

/// A group as the Describe APIs show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Description {
    /// It never had members: there may be offsets.
    Simple,
    /// The classic protocol.
    Classic(ClassicDescription),
    /// KIP-848.
    Consumer(ConsumerDescription),
}

impl Group {
    /// A group as it was recorded.
    #[must_use]
    pub fn load(group: &state::Group, config: GroupConfig, now: Timestamp) -> Self {
        let machine = match &group.body {
            state::GroupBody::Consumer(shared, members) => {
                Machine::Consumer(ConsumerMachine::load(shared, members, config.consumer, now))
            }
            state::GroupBody::Classic(shared, members) => {
                Machine::Classic(ClassicMachine::load(shared, members, config.classic, now))
            }
            state::GroupBody::Simple => Machine::None,
        };
        Self { config, machine }
    }

    /// Takes an event in.
    pub fn handle(&mut self, now: Timestamp, event: Event, topics: &dyn Topics) -> Effects {
        let sent_away = match &event {
            Event::Join(..) => {
                self.choose_classic();
                Ok(Effects::default())
            }
            Event::ConsumerHeartbeat(_, said) => self.choose_consumer(now, said, topics),
            _ => Ok(Effects::default()),
        };
        let mut effects = match sent_away {
            Ok(effects) => effects,
            Err(error) => {
                return Effects { replies: refusal(&event, error).into_iter().collect(), store: None };
            }
        };
        let further = match &mut self.machine {
            Machine::Classic(machine) => machine.handle(now, event),
            Machine::Consumer(machine) => machine.handle(now, event, topics),
            Machine::None => {
                let replies = refusal(&event, GroupError::UnknownMember).into_iter().collect();
                Effects { replies, store: None }
            }
        };
        effects.replies.extend(further.replies);
        effects.store = further.store;
        self.downgrade(now, topics);
        effects
    }

    /// Makes a machine for a member that joins by JoinGroup, where there is none, or none with members.
    fn choose_classic(&mut self) {
        let is_free = match &self.machine {
            Machine::None => true,
            Machine::Classic(_) => false,
            Machine::Consumer(machine) => machine.is_idle(),
        };
        if is_free {
            self.machine = Machine::Classic(ClassicMachine::new(self.config.classic));
        }
    }

    /// Makes a machine for a member of KIP-848 that joins, where there is none, or none with members. A classic group
    /// of consumers goes on under the new protocol (online migration); those who wait in it are sent to join again.
    fn choose_consumer(
        &mut self,
        now: Timestamp,
        said: &ConsumerHeartbeat,
        topics: &dyn Topics,
    ) -> Result<Effects, GroupError> {
        let config = self.config.consumer;
        let joins = said.epoch == 0;
        if !matches!(self.machine, Machine::Consumer(_)) {
            consumer::check_request(said)?;
        }
        match &mut self.machine {
            Machine::Consumer(_) => Ok(Effects::default()),
            _ if !joins => Err(GroupError::UnknownGroup),
            Machine::None => {
                self.machine = Machine::Consumer(ConsumerMachine::new(config));
                Ok(Effects::default())
            }
            Machine::Classic(machine) if machine.is_idle() => {
                self.machine = Machine::Consumer(ConsumerMachine::new(config));
                Ok(Effects::default())
            }
            // The update in flight is one of the classic machine, so it must end first.
            Machine::Classic(machine) if machine.is_recording() => {
                Err(GroupError::Unavailable("the group is being recorded".to_owned()))
            }
            Machine::Classic(machine) => {
                let (shared, members) = machine.snapshot();
                let upgraded = ConsumerMachine::from_classic(&shared, &members, config, now, topics);
                let upgraded = upgraded.ok_or(GroupError::UnknownGroup)?;
                let sent_away = machine.give_up();
                self.machine = Machine::Consumer(upgraded);
                Ok(sent_away)
            }
        }
    }

    /// A consumer group whose last member of KIP-848 has left goes on as a classic group.
    fn downgrade(&mut self, now: Timestamp, topics: &dyn Topics) {
        if let Machine::Consumer(machine) = &self.machine
            && let Some((shared, members)) = machine.as_classic(topics)
        {
            let classic = ClassicMachine::take_over(&shared, &members, self.config.classic, now);
            self.machine = Machine::Classic(classic);
        }
    }

    /// When [`Event::Tick`] is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match &self.machine {
            Machine::None => None,
            Machine::Classic(machine) => machine.next_deadline(),
            Machine::Consumer(machine) => machine.next_deadline(),
        }
    }

    /// The group as the Describe APIs show it.
    #[must_use]
    pub fn describe(&self) -> Description {
        match &self.machine {
            Machine::None => Description::Simple,
            Machine::Classic(machine) => Description::Classic(machine.describe()),
            Machine::Consumer(machine) => Description::Consumer(machine.describe()),
        }
    }

    /// On whose behalf an offset commit may be recorded. `generation` is the generation or member epoch that the
    /// request names, -1 for a commit from outside the group, whose member id is empty.
    ///
    /// # Errors
    /// What Kafka answers: [`GroupError::UnknownMember`], [`GroupError::IllegalGeneration`],
    /// [`GroupError::StaleMemberEpoch`], [`GroupError::FencedInstance`], [`GroupError::RebalanceInProgress`].
    pub fn check_commit(
        &mut self,
        now: Timestamp,
        member: &MemberId,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<CommitFence, GroupError> {
        match &mut self.machine {
            Machine::None if generation < 0 => Ok(CommitFence::Simple),
            // Kafka says so of a group that it does not know.
            Machine::None => Err(GroupError::IllegalGeneration),
            Machine::Classic(machine) => machine.check_commit(now, member, instance, generation),
            Machine::Consumer(machine) => machine.check_commit(member, generation),
        }
    }

    /// True when a member subscribes to the topic, so that its offsets must not be deleted (KIP-496).
    #[must_use]
    pub fn subscribes_to(&self, topic: &str) -> bool {
        match &self.machine {
            Machine::None => false,
            Machine::Classic(machine) => machine.subscribes_to(topic),
            Machine::Consumer(machine) => machine.subscribes_to(topic),
        }
    }

    /// True when nothing waits and there is no member: the group may be dropped from memory.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match &self.machine {
            Machine::None => true,
            Machine::Classic(machine) => machine.is_idle(),
            Machine::Consumer(machine) => machine.is_idle(),
        }
    }
}

impl Description {
    /// True when the group has members.
    #[must_use]
    pub fn has_members(&self) -> bool {
        match self {
            Self::Simple => false,
            Self::Classic(group) => !group.members.is_empty(),
            Self::Consumer(group) => !group.members.is_empty(),
        }
    }
}

/// The answer that refuses a request; `None` for events that are none.
pub(crate) fn refusal(event: &Event, error: GroupError) -> Option<(crate::Ticket, Reply)> {
    match event {
        Event::Join(ticket, _) => Some((*ticket, Reply::Join(Err(error)))),
        Event::Sync(ticket, _) => Some((*ticket, Reply::Sync(Err(error)))),
        Event::Heartbeat(ticket, _) => Some((*ticket, Reply::Heartbeat(Err(error)))),
        Event::Leave(ticket, said) if error == GroupError::UnknownMember => {
            let members = said.members.iter().map(|_| Err(GroupError::UnknownMember)).collect();
            Some((*ticket, Reply::Leave(Ok(LeaveAnswer { members }))))
        }
        Event::Leave(ticket, _) => Some((*ticket, Reply::Leave(Err(error)))),
        Event::ConsumerHeartbeat(ticket, _) => Some((*ticket, Reply::ConsumerHeartbeat(Err(error)))),
        Event::Stored(_) | Event::TopicsChanged | Event::Tick => None,
    }
}
