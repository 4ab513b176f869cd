//! A group of either protocol behind one face: which machine speaks for it, and when another one takes over. A group
//! without members takes the protocol of the first member that comes. Must not know what the machines do.

use ebb_metastore::{command::CommitFence, state};
use ebb_protocol::ids::{MemberId, Timestamp};

use crate::{
    Effects, Event, GroupError, LeaveAnswer, Reply, Topics,
    consumer::{self, ConsumerConfig, ConsumerDescription, ConsumerMachine},
};

/// Settings of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupConfig {
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
    /// KIP-848.
    Consumer(ConsumerMachine),
}

/// A group as the Describe APIs show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Description {
    /// It never had members: there may be offsets.
    Simple,
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
            state::GroupBody::Simple | state::GroupBody::Classic(..) => Machine::None,
        };
        Self { config, machine }
    }

    /// Takes an event in.
    pub fn handle(&mut self, now: Timestamp, event: Event, topics: &dyn Topics) -> Effects {
        self.choose(&event);
        match &mut self.machine {
            Machine::Consumer(machine) => machine.handle(now, event, topics),
            Machine::None => {
                let error = match &event {
                    Event::ConsumerHeartbeat(_, said) => {
                        consumer::check_request(said).err().unwrap_or(GroupError::UnknownGroup)
                    }
                    _ => GroupError::UnknownMember,
                };
                Effects { replies: refusal(&event, error).into_iter().collect(), store: None }
            }
        }
    }

    /// Makes the machine that an event needs, where there is none.
    fn choose(&mut self, event: &Event) {
        if let (Machine::None, Event::ConsumerHeartbeat(_, said)) = (&self.machine, event)
            && said.epoch == 0
        {
            self.machine = Machine::Consumer(ConsumerMachine::new(self.config.consumer));
        }
    }

    /// When [`Event::Tick`] is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match &self.machine {
            Machine::None => None,
            Machine::Consumer(machine) => machine.next_deadline(),
        }
    }

    /// The group as the Describe APIs show it.
    #[must_use]
    pub fn describe(&self) -> Description {
        match &self.machine {
            Machine::None => Description::Simple,
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
        _now: Timestamp,
        member: &MemberId,
        _instance: Option<&str>,
        generation: i32,
    ) -> Result<CommitFence, GroupError> {
        match &self.machine {
            Machine::None if generation < 0 => Ok(CommitFence::Simple),
            // Kafka says so of a group that it does not know.
            Machine::None => Err(GroupError::IllegalGeneration),
            Machine::Consumer(machine) => machine.check_commit(member, generation),
        }
    }

    /// True when a member subscribes to the topic, so that its offsets must not be deleted (KIP-496).
    #[must_use]
    pub fn subscribes_to(&self, topic: &str) -> bool {
        match &self.machine {
            Machine::None => false,
            Machine::Consumer(machine) => machine.subscribes_to(topic),
        }
    }

    /// True when nothing waits and there is no member: the group may be dropped from memory.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match &self.machine {
            Machine::None => true,
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
