//! Clients that follow the protocols: eager and cooperative ones of the classic protocol, and those of KIP-848.

use std::collections::{BTreeMap, BTreeSet};

use ebb_metastore::command::Partitions;
use ebb_protocol::ids::{MemberId, PartitionIndex};

use super::world::{PARTITIONS, REBALANCE_MS, SESSION_MS, TOPIC, World};
use crate::{
    ClassicHeartbeat, ConsumerHeartbeat, Event, GroupError, HeartbeatAnswer, JoinAnswer, JoinRequest,
    JoinedMember, LeaveRequest, LeavingMember, Reply, SyncRequest, Ticket,
    consumer_protocol::{decode_assignment, encode_assignment},
};

/// How often clients send heartbeats, in milliseconds.
const BEAT_MS: i64 = 1_500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Gives everything up before it joins.
    Eager,
    /// Keeps what it has while it joins, and gives up what it must not have any more.
    Cooperative,
    /// Speaks KIP-848.
    New,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Out,
    Joining,
    Syncing,
    In,
}

/// A consumer of the topic.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) is_alive: bool,
    pub(super) owned: BTreeSet<i32>,
    kind: Kind,
    name: &'static str,
    instance: Option<String>,
    id: Option<String>,
    /// Its generation or member epoch.
    epoch: i32,
    stage: Stage,
    request: Option<Ticket>,
    beat_at: i64,
    /// It says all of itself in its next heartbeat.
    must_tell: bool,
    /// What it assigns as the leader.
    plan: Vec<(MemberId, Vec<u8>)>,
}

impl Client {
    /// A client; static ones have `instance`.
    pub(super) fn new(kind: Kind, name: &'static str, instance: Option<&str>) -> Self {
        Self {
            is_alive: false,
            owned: BTreeSet::new(),
            kind,
            name,
            instance: instance.map(str::to_owned),
            id: None,
            epoch: 0,
            stage: Stage::Out,
            request: None,
            beat_at: 0,
            must_tell: true,
            plan: Vec::new(),
        }
    }

    /// It starts, or is started again, and knows nothing.
    pub(super) fn start(&mut self, world: &World) {
        let id = (self.kind == Kind::New).then(|| world.fresh(self.name));
        let fresh = Self::new(self.kind, self.name, self.instance.as_deref());
        *self = Self { is_alive: true, id, ..fresh };
    }

    /// It leaves, a static one of the new protocol for a while. It does not wait for an answer.
    pub(super) fn leave(&mut self, world: &mut World) {
        self.is_alive = false;
        self.owned.clear();
        let Some(id) = self.id.take() else { return };
        let instance = self.instance.clone();
        if self.kind == Kind::New {
            let epoch = if instance.is_some() { -2 } else { -1 };
            let said = ConsumerHeartbeat { epoch, instance, ..heartbeat(&id) };
            world.send(|ticket| Event::ConsumerHeartbeat(ticket, said));
        } else {
            let members = vec![LeavingMember { member: id, instance }];
            world.send(|ticket| Event::Leave(ticket, LeaveRequest { members }));
        }
    }

    /// Whom it takes itself for.
    pub(super) fn identity(&self) -> Option<(&str, i32)> {
        self.id.as_deref().map(|id| (id, self.epoch))
    }

    /// Hears what it was answered, and does what comes next.
    pub(super) fn step(&mut self, world: &mut World) {
        if !self.is_alive {
            return;
        }
        if let Some(ticket) = self.request {
            let Some(heard) = world.hear(ticket) else { return };
            self.request = None;
            self.take(world, heard);
        }
        let is_due = world.now >= self.beat_at;
        self.request = match (self.kind, self.stage) {
            (Kind::New, _) if is_due => Some(self.beat_new(world)),
            (Kind::New, _) => None,
            (_, Stage::Out) => Some(self.join(world)),
            (_, Stage::Syncing) => Some(self.sync(world)),
            (_, Stage::In) if is_due => Some(self.beat(world)),
            (_, Stage::In | Stage::Joining) => None,
        };
    }

    fn take(&mut self, world: &World, heard: Option<Reply>) {
        match heard {
            Some(Reply::Join(Ok(answer))) => self.joined(answer),
            Some(Reply::Sync(Ok(answer))) => self.assigned(&answer.assignment, world),
            Some(Reply::Heartbeat(Ok(()))) => {}
            Some(Reply::ConsumerHeartbeat(Ok(answer))) => self.told(answer, world),
            Some(
                Reply::Join(Err(error))
                | Reply::Sync(Err(error))
                | Reply::Heartbeat(Err(error))
                | Reply::ConsumerHeartbeat(Err(error)),
            ) => self.refused(error, world),
            Some(Reply::Leave(_)) => panic!("it does not listen any more"),
            None => self.lost(world),
        }
    }

    /// It asks another coordinator.
    fn lost(&mut self, world: &World) {
        self.must_tell = true;
        self.beat_at = world.now;
        if self.stage != Stage::In {
            self.stage = Stage::Out;
        }
    }

    fn refused(&mut self, error: GroupError, world: &World) {
        match error {
            GroupError::MemberIdRequired(id) => self.id = Some(id.as_str().to_owned()),
            GroupError::RebalanceInProgress => {}
            GroupError::NotCoordinator | GroupError::UnreleasedInstance => return self.lost(world),
            GroupError::IllegalGeneration => self.owned.clear(),
            GroupError::UnknownMember | GroupError::FencedMemberEpoch => {
                self.owned.clear();
                self.epoch = 0;
                if self.kind != Kind::New {
                    self.id = None;
                }
            }
            other => panic!("{} is refused: {other:?}: {:?}", self.name, world.kill),
        }
        self.stage = Stage::Out;
        self.beat_at = world.now;
        self.must_tell = true;
    }

    fn join(&mut self, world: &mut World) -> Ticket {
        // An eager one says the same each time.
        let mut said_generation = self.epoch;
        if self.kind == Kind::Eager {
            self.owned.clear();
            said_generation = 0;
        }
        self.stage = Stage::Joining;
        let said = JoinRequest {
            member: self.id.as_deref().map(MemberId::from),
            fresh_member: world.fresh(self.name),
            requires_known_member: self.instance.is_none(),
            supports_skipping_assignment: true,
            instance: self.instance.clone(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: REBALANCE_MS,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("p".to_owned(), metadata(said_generation, &self.owned))],
            ..JoinRequest::default()
        };
        world.send(|ticket| Event::Join(ticket, said))
    }

    fn joined(&mut self, answer: JoinAnswer) {
        self.epoch = answer.generation;
        self.plan.clear();
        if answer.leader == answer.member && !answer.skip_assignment {
            self.plan = match self.kind {
                Kind::Cooperative => sticky(&answer.members),
                Kind::Eager | Kind::New => in_turn(&answer.members, answer.generation),
            };
        }
        self.id = Some(answer.member);
        self.stage = Stage::Syncing;
    }

    fn sync(&mut self, world: &mut World) -> Ticket {
        let id = self.id.clone().expect("it has joined");
        let said = SyncRequest {
            member: MemberId::from(id.as_str()),
            instance: self.instance.clone(),
            generation: self.epoch,
            protocol_type: None,
            protocol: None,
            assignments: self.plan.clone(),
        };
        world.send(|ticket| Event::Sync(ticket, said))
    }

    fn assigned(&mut self, assignment: &[u8], world: &World) {
        let lists = decode_assignment(assignment).expect("it can be read");
        let assigned: BTreeSet<i32> = lists.into_iter().flat_map(|(_, indexes)| indexes).collect();
        let must_give_up = !self.owned.is_subset(&assigned);
        self.owned = assigned;
        self.stage = if must_give_up { Stage::Out } else { Stage::In };
        self.beat_at = world.now + BEAT_MS;
    }

    fn beat(&mut self, world: &mut World) -> Ticket {
        self.commit(world);
        self.beat_at = world.now + BEAT_MS;
        let id = self.id.clone().expect("it has joined");
        let said = ClassicHeartbeat {
            member: MemberId::from(id.as_str()),
            instance: self.instance.clone(),
            generation: self.epoch,
        };
        world.send(|ticket| Event::Heartbeat(ticket, said))
    }

    fn beat_new(&mut self, world: &mut World) -> Ticket {
        self.commit(world);
        self.beat_at = world.now + BEAT_MS;
        let id = self.id.clone().expect("it makes its id itself");
        let mut said =
            ConsumerHeartbeat { epoch: self.epoch, instance: self.instance.clone(), ..heartbeat(&id) };
        if self.must_tell || self.epoch == 0 {
            said.rebalance_timeout_ms = REBALANCE_MS;
            said.topics = Some(vec!["t".to_owned()]);
            let owned: Vec<_> = self.owned.iter().copied().map(PartitionIndex).collect();
            said.owned = Some(if owned.is_empty() { Partitions::new() } else { [(TOPIC, owned)].into() });
        }
        self.must_tell = false;
        world.send(|ticket| Event::ConsumerHeartbeat(ticket, said))
    }

    fn told(&mut self, answer: HeartbeatAnswer, world: &World) {
        self.epoch = answer.epoch;
        self.stage = Stage::In;
        let Some(assignment) = answer.assignment else { return };
        let told: BTreeSet<i32> = assignment.values().flatten().map(|index| index.0).collect();
        if told != self.owned {
            self.owned = told;
            self.must_tell = true;
            self.beat_at = world.now;
        }
    }

    fn commit(&self, world: &mut World) {
        if let Some((id, epoch)) = self.identity() {
            world.commit(id, epoch, self.owned.iter().copied());
        }
    }
}

/// A heartbeat of KIP-848 that says nothing new.
fn heartbeat(id: &str) -> ConsumerHeartbeat {
    ConsumerHeartbeat { member: Some(MemberId::from(id)), rebalance_timeout_ms: -1, ..Default::default() }
}

/// A subscription to `t` in version 2. The assignor's own data are the generation and what is owned as of it.
fn metadata(generation: i32, owned: &BTreeSet<i32>) -> Vec<u8> {
    let mut bytes = b"\0\x02\0\0\0\x01\0\x01t".to_vec();
    let data: Vec<u8> = [generation].iter().chain(owned).flat_map(|number| number.to_be_bytes()).collect();
    bytes.extend(u32::try_from(data.len()).expect("it is short").to_be_bytes());
    bytes.extend(data);
    let lists = [("t".to_owned(), owned.iter().copied().collect())];
    let encoded = encode_assignment(1, &lists);
    // The owned partitions have the form of an assignment between its version and its user data.
    bytes.extend_from_slice(&encoded[2..encoded.len() - 4]);
    bytes.extend(generation.to_be_bytes());
    bytes
}

/// What [`metadata`] says: the generation, and the partitions.
fn claims(metadata: &[u8]) -> (i32, Vec<i32>) {
    let length = u32::from_be_bytes(metadata[9..13].try_into().expect("four bytes"));
    let data = &metadata[13..13 + usize::try_from(length).expect("it is short")];
    let mut numbers =
        data.chunks_exact(4).map(|number| i32::from_be_bytes(number.try_into().expect("four bytes")));
    (numbers.next().expect("there is a generation"), numbers.collect())
}

fn encoded(plan: BTreeMap<&str, Vec<i32>>) -> Vec<(MemberId, Vec<u8>)> {
    let encode = |indexes| encode_assignment(1, &[("t".to_owned(), indexes)]);
    plan.into_iter().map(|(id, indexes)| (MemberId::from(id), encode(indexes))).collect()
}

/// One partition after the other, beginning with another member in each generation.
fn in_turn(members: &[JoinedMember], generation: i32) -> Vec<(MemberId, Vec<u8>)> {
    let mut plan: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let turn = usize::try_from(partition + generation).expect("both are positive") % members.len();
        plan.entry(members[turn].member.as_str()).or_default().push(partition);
    }
    encoded(plan)
}

/// Members keep what they have, up to their share. What another one must give up first is left out.
fn sticky(members: &[JoinedMember]) -> Vec<(MemberId, Vec<u8>)> {
    let mut owners: BTreeMap<i32, (i32, Option<&str>)> = BTreeMap::new();
    for member in members {
        let (generation, owned) = claims(&member.metadata);
        for partition in owned {
            let claim = owners.entry(partition).or_insert((-1, None));
            match generation.cmp(&claim.0) {
                std::cmp::Ordering::Greater => *claim = (generation, Some(member.member.as_str())),
                std::cmp::Ordering::Equal => claim.1 = None,
                std::cmp::Ordering::Less => {}
            }
        }
    }
    let share = usize::try_from(PARTITIONS).expect("it is positive").div_ceil(members.len());
    let mut plan: BTreeMap<&str, Vec<i32>> =
        members.iter().map(|member| (member.member.as_str(), Vec::new())).collect();
    let mut free = Vec::new();
    for partition in 0..PARTITIONS {
        match owners.get(&partition).and_then(|claim| claim.1) {
            Some(owner) if plan[owner].len() < share => {
                plan.get_mut(owner).expect("owners are members").push(partition);
            }
            // Its owner must give it up first, and join again.
            Some(_) => {}
            None => free.push(partition),
        }
    }
    for partition in free {
        let least = plan.values_mut().min_by_key(|owned| owned.len()).expect("there are members");
        least.push(partition);
    }
    encoded(plan)
}
