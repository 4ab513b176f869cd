//! A group of either protocol behind one face: which machine speaks for it, and when another one takes over. A group
//! without members takes the protocol of the first member that comes. One with members changes it by online migration
//! (KIP-848): to that of the first member of the new protocol, and back when the last such member has left. Must not
//! know what the machines do.

use std::mem;

use ebb_metastore::{command::CommitFence, state};
use ebb_protocol::ids::{MemberId, Timestamp};

use crate::{
    ConsumerHeartbeat, Effects, Event, GroupError, LeaveAnswer, Reply, Summary, Ticket, Topics,
    classic::{ClassicConfig, ClassicDescription, ClassicMachine},
    consumer::{self, ConsumerConfig, ConsumerDescription, ConsumerMachine},
};

/// How many events may wait for a machine to end its update and make way for another one; more are refused.
const DEFERRED_MAX: usize = 1_000;

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
    /// Events that need another machine than the one that has an update in flight.
    deferred: Vec<Event>,
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

/// Why no machine can take an event now.
enum Obstacle {
    /// The present one must end its update first.
    Busy,
    /// None ever will.
    Refused(GroupError),
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
            state::GroupBody::Simple => Machine::None,
            state::GroupBody::Classic(shared, members) => {
                Machine::Classic(ClassicMachine::load(shared, members, config.classic, now))
            }
            state::GroupBody::Consumer(shared, members) => {
                Machine::Consumer(ConsumerMachine::load(shared, members, config.consumer, now))
            }
        };
        Self { config, machine, deferred: Vec::new() }
    }

    /// Goes on with other settings of KIP-848: those that somebody has set of this group.
    pub fn configure(&mut self, config: ConsumerConfig) {
        self.config.consumer = config;
        if let Machine::Consumer(machine) = &mut self.machine {
            machine.configure(config);
        }
    }

    /// Takes an event in.
    pub fn handle(&mut self, now: Timestamp, mut event: Event, topics: &dyn Topics) -> Effects {
        event.shorten();
        let stored = match &event {
            Event::Stored(result) => Some(result.clone()),
            _ => None,
        };
        let mut effects = self.route(now, event, topics);
        match stored {
            None => {}
            Some(Ok(())) => {
                for event in mem::take(&mut self.deferred) {
                    append(&mut effects, self.route(now, event, topics));
                }
            }
            Some(Err(error)) => {
                let refuse = |event: &Event| refusal(event, GroupError::from(error.clone()));
                effects.replies.extend(mem::take(&mut self.deferred).iter().filter_map(refuse));
            }
        }
        self.downgrade(now, topics);
        effects
    }

    /// Gives an event to the machine whose it is.
    fn route(&mut self, now: Timestamp, event: Event, topics: &dyn Topics) -> Effects {
        if !is_consumer_join(&event) {
            // One that has just been loaded, and was on its way.
            self.downgrade(now, topics);
        }
        let way = match &self.machine {
            Machine::Classic(_) if is_consumer_join(&event) => self.upgrade(now, &event, topics).map(Some),
            _ => self.make_way(&event).map(|()| None),
        };
        match way {
            Ok(Some(effects)) => effects,
            Ok(None) => match &mut self.machine {
                Machine::Classic(machine) => machine.handle(now, event),
                Machine::Consumer(machine) => machine.handle(now, event, topics),
                // Nothing that is no request concerns a group where nobody is.
                Machine::None => Effects::default(),
            },
            Err(Obstacle::Busy) if self.deferred.len() < DEFERRED_MAX => {
                self.deferred.push(event);
                Effects::default()
            }
            Err(Obstacle::Busy) => {
                let full = GroupError::Unavailable("too many requests of the group wait".to_owned());
                Effects { replies: refusal(&event, full).into_iter().collect(), store: None }
            }
            Err(Obstacle::Refused(error)) => {
                Effects { replies: refusal(&event, error).into_iter().collect(), store: None }
            }
        }
    }

    /// Puts the machine in place that an event needs.
    fn make_way(&mut self, event: &Event) -> Result<(), Obstacle> {
        match (&mut self.machine, event) {
            (Machine::None, Event::ConsumerHeartbeat(_, said)) => {
                check_request(said)?;
                if said.epoch != 0 {
                    return Err(Obstacle::Refused(GroupError::UnknownGroup));
                }
                self.machine = Machine::Consumer(ConsumerMachine::new(self.config.consumer));
            }
            (Machine::None, Event::Join(..) | Event::Sync(..) | Event::Heartbeat(..) | Event::Leave(..)) => {
                self.machine = Machine::Classic(ClassicMachine::new(self.config.classic));
            }
            (Machine::Consumer(machine), Event::Join(..)) => {
                if machine.is_idle() {
                    self.machine = Machine::Classic(ClassicMachine::new(self.config.classic));
                } else if !machine.has_members() {
                    return Err(Obstacle::Busy);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes a classic group one of KIP-848 with its first member of that protocol. One that is refused changes
    /// nothing, so that nobody has to join again on its account.
    fn upgrade(&mut self, now: Timestamp, event: &Event, topics: &dyn Topics) -> Result<Effects, Obstacle> {
        let (Machine::Classic(machine), Event::ConsumerHeartbeat(_, said)) = (&mut self.machine, event)
        else {
            return Ok(Effects::default());
        };
        check_request(said)?;
        if machine.is_recording() {
            return Err(Obstacle::Busy);
        }
        let (shared, members) = machine.snapshot();
        let config = self.config.consumer;
        let next = if members.is_empty() {
            Some(ConsumerMachine::new(config))
        } else {
            ConsumerMachine::from_classic(&shared, &members, config, now, topics)
        };
        // As in Kafka: to this member there is no group that it could join.
        let next = next.ok_or(Obstacle::Refused(GroupError::UnknownGroup))?;
        let (next, more) = match next.let_first_join(now, event.clone(), topics) {
            Ok(joined) => joined,
            Err(refused) => return Ok(refused),
        };
        let mut effects = machine.give_up();
        append(&mut effects, more);
        self.machine = Machine::Consumer(next);
        Ok(effects)
    }

    /// Makes the group a classic one again when all its members speak the classic protocol.
    fn downgrade(&mut self, now: Timestamp, topics: &dyn Topics) {
        if let Machine::Consumer(machine) = &self.machine
            && let Some((shared, members)) = machine.as_classic(topics)
        {
            let next = ClassicMachine::take_over(&shared, &members, self.config.classic, now);
            self.machine = Machine::Classic(next);
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

    /// The group in a few words, without a copy of its members.
    #[must_use]
    pub fn summary(&self) -> Summary {
        match &self.machine {
            Machine::None => Summary::simple(),
            Machine::Classic(machine) => machine.summary(),
            Machine::Consumer(machine) => machine.summary(),
        }
    }

    /// On whose behalf an offset commit may be recorded. `generation` is the generation or member epoch that the
    /// request names, -1 for a commit from outside the group, whose member id is empty. To a classic group, a
    /// member's commit counts as its heartbeat.
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

    /// About what the group takes in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let machine = match &self.machine {
            Machine::None => 0,
            Machine::Classic(machine) => machine.bytes(),
            Machine::Consumer(machine) => machine.bytes(),
        };
        size_of::<Self>() + machine + self.deferred.iter().map(Event::bytes).sum::<usize>()
    }

    /// True when nothing waits and there is no member: the group may be dropped from memory.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_idle = match &self.machine {
            Machine::None => true,
            Machine::Classic(machine) => machine.is_idle(),
            Machine::Consumer(machine) => machine.is_idle(),
        };
        is_idle && self.deferred.is_empty()
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

fn check_request(said: &ConsumerHeartbeat) -> Result<(), Obstacle> {
    consumer::check_request(said).map_err(Obstacle::Refused)
}

fn is_consumer_join(event: &Event) -> bool {
    matches!(event, Event::ConsumerHeartbeat(_, said) if said.epoch == 0)
}

/// Effects of one event after those of another. A machine with an update in flight gives no other, so at most one of
/// both has one.
fn append(effects: &mut Effects, more: Effects) {
    effects.replies.extend(more.replies);
    effects.store = effects.store.take().or(more.store);
}

/// The answer that refuses a request; `None` for events that are none.
pub(crate) fn refusal(event: &Event, error: GroupError) -> Option<(Ticket, Reply)> {
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

#[cfg(test)]
mod failover;
#[cfg(test)]
mod tests;
