//! Groups of the classic protocol as a state machine, with the rules of Kafka 4.1's ClassicGroup: JoinGroup collects
//! the members of the next generation, its leader assigns, SyncGroup hands the assignments out. What the protocols'
//! metadata and the assignments say is the clients' business. Must not know connections or how an update is recorded.
//!
//! Recorded are a generation when its leader has assigned, a group that has become empty, and a static member that
//! has got another member id. The join phase ends only when nothing is being recorded, so that at most one generation
//! is ahead of what is recorded, and no member is told of an id that a new coordinator would not know.

mod heartbeat;
mod join;
mod leave;
mod member;
mod rebalance;
mod record;
mod sync;
#[cfg(test)]
mod tests;
mod timers;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use ebb_metastore::command::{ClassicGroup, ClassicMember};
use ebb_protocol::ids::{MemberId, Timestamp};

pub use self::view::{ClassicDescription, ClassicMemberDescription, ClassicState};
use self::{member::Member, rebalance::Phase, record::Flight};
use crate::{Effects, Event, GroupError, Reply, Ticket, group::refusal};

/// Settings of groups of the classic protocol: Kafka's `group.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassicConfig {
    /// The shortest session time-out that a member may ask for, in milliseconds.
    pub session_timeout_ms_min: i32,
    /// The longest session time-out that a member may ask for, in milliseconds.
    pub session_timeout_ms_max: i32,
    /// How long the first generation of an empty group waits for further members, in milliseconds. It waits on while
    /// they come, up to the rebalance time-out.
    pub initial_rebalance_delay_ms: i32,
    /// How many members a group may have.
    pub members_max: usize,
}

/// Kafka's defaults, but for two. Kafka does not limit the number of members. And it waits 3 s for further members,
/// which everybody who starts one consumer pays for; half a second is enough for those that are started together,
/// and without any wait each further one would cost a rebalance and a heartbeat interval.
impl Default for ClassicConfig {
    fn default() -> Self {
        Self {
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            initial_rebalance_delay_ms: 500,
            members_max: 1_000,
        }
    }
}

/// A group of the classic protocol.
#[derive(Debug)]
pub struct ClassicMachine {
    config: ClassicConfig,
    protocol_type: String,
    generation: i32,
    /// The generation is the epoch of the consumer group that this was: members may believe in one before.
    is_taken_over: bool,
    protocol: Option<String>,
    leader: Option<MemberId>,
    phase: Phase,
    /// As many as the settings allow. Each has at most one JoinGroup and one SyncGroup that wait.
    members: BTreeMap<MemberId, Member>,
    /// Ids that were given out, and until when their owners may join with them (KIP-394); as many as members.
    pending: BTreeMap<MemberId, Timestamp>,
    /// Members that have not sent SyncGroup in this generation are removed then.
    sync_until: Option<Timestamp>,
    /// What the leader assigned, from its SyncGroup on until the assignments are recorded.
    assigned: Option<BTreeMap<MemberId, Vec<u8>>>,
    /// The generation that is recorded.
    recorded_generation: i32,
    /// The members that are recorded, with their instance ids.
    recorded: BTreeMap<MemberId, Option<String>>,
    /// The members that are recorded still as those of another protocol's group, at the same generation.
    inherited: BTreeSet<MemberId>,
    /// Something is to be recorded as soon as no update is in flight.
    must_record: bool,
    in_flight: Option<Flight>,
    /// Answers that are given when the group is recorded as empty, one for each time that it became so.
    held: Vec<(Ticket, Reply)>,
    /// Why all requests are refused: an update did not take effect.
    dead: Option<GroupError>,
}

impl ClassicMachine {
    /// A group without members.
    #[must_use]
    pub fn new(config: ClassicConfig) -> Self {
        Self {
            config,
            protocol_type: String::new(),
            generation: 0,
            is_taken_over: false,
            protocol: None,
            leader: None,
            phase: Phase::Empty,
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
            sync_until: None,
            assigned: None,
            recorded_generation: 0,
            recorded: BTreeMap::new(),
            inherited: BTreeSet::new(),
            must_record: false,
            in_flight: None,
            held: Vec::new(),
            dead: None,
        }
    }

    /// A group as it was recorded. Each member gets its whole session time-out, since nobody here knows when it was
    /// last heard of.
    #[must_use]
    pub fn load(
        shared: &ClassicGroup,
        members: &BTreeMap<MemberId, ClassicMember>,
        config: ClassicConfig,
        now: Timestamp,
    ) -> Self {
        let mut machine = Self::new(config);
        machine.protocol_type.clone_from(&shared.protocol_type);
        machine.generation = shared.generation;
        machine.recorded_generation = shared.generation;
        if members.is_empty() {
            return machine;
        }
        machine.phase = Phase::Stable;
        machine.protocol.clone_from(&shared.protocol);
        machine.leader = shared.leader.clone().filter(|leader| members.contains_key(leader));
        machine.members =
            members.iter().map(|(id, member)| (id.clone(), Member::load(member.clone(), now))).collect();
        machine.recorded = members.iter().map(|(id, member)| (id.clone(), member.instance.clone())).collect();
        machine.keep_a_leader();
        machine
    }

    /// A group that another protocol's machine had until now, with its members. Nothing is recorded of it as a
    /// classic group yet, and its members must rejoin, because somebody has left.
    #[must_use]
    pub fn take_over(
        shared: &ClassicGroup,
        members: &BTreeMap<MemberId, ClassicMember>,
        config: ClassicConfig,
        now: Timestamp,
    ) -> Self {
        let mut machine = Self::load(shared, members, config, now);
        machine.inherited = std::mem::take(&mut machine.recorded).into_keys().collect();
        machine.is_taken_over = true;
        machine.rebalance(now, &mut Effects::default());
        machine
    }

    /// Takes an event in. Heartbeats of KIP-848 are refused.
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Effects {
        let mut effects = Effects::default();
        if let Some(error) = &self.dead {
            effects.replies.extend(refusal(&event, error.clone()));
            return effects;
        }
        match event {
            Event::Join(ticket, said) => self.join(now, ticket, said, &mut effects),
            Event::Sync(ticket, said) => self.sync(now, ticket, said, &mut effects),
            Event::Heartbeat(ticket, said) => {
                effects.replies.push((ticket, Reply::Heartbeat(self.heartbeat(now, &said))));
            }
            Event::Leave(ticket, said) => self.leave(now, ticket, &said, &mut effects),
            Event::ConsumerHeartbeat(..) => {
                effects.replies.extend(refusal(&event, GroupError::UnknownGroup));
            }
            Event::Stored(Ok(())) => self.stored(now, &mut effects),
            Event::Stored(Err(error)) => {
                self.send_away(&GroupError::from(error), &mut effects);
                return effects;
            }
            Event::Tick => self.expire(now, &mut effects),
            // Leaders find that out by themselves, and join again.
            Event::TopicsChanged => {}
        }
        self.record(&mut effects);
        self.advance(now, &mut effects);
        self.record(&mut effects);
        if !self.must_record {
            // Others have come meanwhile, or it waits for those who may.
            effects.replies.append(&mut self.held);
        }
        effects
    }

    /// The group as it stands, in the form in which it is recorded.
    #[must_use]
    pub fn snapshot(&self) -> (ClassicGroup, BTreeMap<MemberId, ClassicMember>) {
        let members = self.members.iter().map(|(id, member)| (id.clone(), member.record.clone())).collect();
        (self.shared(), members)
    }

    /// True while an update is in flight, or must be soon.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.in_flight.is_some() || self.must_record
    }

    /// Sends everybody who waits to join again, because another machine takes the group over.
    pub fn give_up(&mut self) -> Effects {
        let mut effects = Effects::default();
        self.send_away(&GroupError::RebalanceInProgress, &mut effects);
        effects
    }

    fn send_away(&mut self, reason: &GroupError, effects: &mut Effects) {
        for member in self.members.values_mut() {
            member.answer_join(Err(reason.clone()), effects);
            member.answer_sync(Err(reason.clone()), effects);
        }
        let held =
            self.held.drain(..).chain(self.in_flight.take().into_iter().flat_map(|flight| flight.held));
        for (ticket, _) in held {
            effects.replies.push((ticket, Reply::Leave(Err(reason.clone()))));
        }
        self.dead = Some(reason.clone());
    }
}

/// A moment so many milliseconds later.
fn later(now: Timestamp, timeout_ms: i32) -> Timestamp {
    Timestamp(now.0.saturating_add(i64::from(timeout_ms)))
}
