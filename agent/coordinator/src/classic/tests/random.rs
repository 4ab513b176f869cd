//! Members that follow the protocol and then do not, at random times, over a store that takes its time and sometimes
//! fails. Whatever happens: each request is answered once, generations rise, all members of a stable generation have
//! one protocol and what the leader assigned, and when everybody behaves the group becomes stable.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::support::{Desk, again, joiner, starter};
use crate::{
    Event, GroupError, JoinAnswer, JoinRequest, Reply, StoreError, Ticket,
    classic::{ClassicConfig, ClassicState},
};

#[derive(Clone, Debug)]
enum Step {
    /// The member of this index does what comes next for it.
    Act(usize),
    /// It loses its memory, as if started again.
    Restart(usize),
    Leave(usize),
    Pass(u16),
    Store,
    Lose,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..6_usize).prop_map(Step::Act),
        1 => (0..6_usize).prop_map(Step::Restart),
        1 => (0..6_usize).prop_map(Step::Leave),
        3 => (0..20_000_u16).prop_map(Step::Pass),
        4 => Just(Step::Store),
        1 => Just(Step::Lose),
    ]
}

/// A client: what it knows, and the request that it waits for. Those with an odd index are static.
#[derive(Debug, Default)]
struct Member {
    id: Option<String>,
    joined: Option<JoinAnswer>,
    synced: bool,
    waits_for: Option<Ticket>,
}

struct World {
    desk: Desk,
    members: Vec<Member>,
    ids: usize,
    open: BTreeSet<Ticket>,
    generation: i32,
}

impl World {
    fn new() -> Self {
        let mut desk = Desk::with(ClassicConfig { members_max: 100, ..ClassicConfig::default() });
        desk.stores_at_once = false;
        let members = (0..6).map(|_| Member::default()).collect();
        Self { desk, members, ids: 0, open: BTreeSet::new(), generation: 0 }
    }

    fn act(&mut self, index: usize) {
        if self.members[index].waits_for.is_some() {
            return;
        }
        let member = &self.members[index];
        let ticket = match (&member.joined, &member.id) {
            (None, _) => self.join(index),
            (Some(joined), Some(id)) if !member.synced => {
                let assignments: Vec<_> = joined
                    .members
                    .iter()
                    .map(|one| (one.member.as_str(), format!("{}@{}", one.member, joined.generation)))
                    .collect();
                self.desk.sync(&id.clone(), joined.generation, &assignments)
            }
            (Some(joined), Some(id)) => {
                let (id, generation) = (id.clone(), joined.generation);
                if self.desk.beat(&id, generation).is_err_and(|error| self.forget(index, &error)) {
                    self.members[index].joined = None;
                }
                return;
            }
            (Some(_), None) => unreachable!("who has joined has an id"),
        };
        self.open.insert(ticket);
        self.members[index].waits_for = Some(ticket);
    }

    fn join(&mut self, index: usize) -> Ticket {
        self.ids += 1;
        let fresh = format!("m{}", self.ids);
        let instance = format!("i{index}");
        let said = match &self.members[index].id {
            Some(id) => again(id),
            None if index % 2 == 1 => starter(&instance, &fresh),
            None => joiner(&fresh),
        };
        let instance = (index % 2 == 1).then_some(instance);
        self.desk.join(JoinRequest { requires_known_member: true, instance, ..said })
    }

    /// What a client does about an error: it keeps its id or not. It joins again in any case.
    fn forget(&mut self, index: usize, error: &GroupError) -> bool {
        let member = &mut self.members[index];
        member.joined = None;
        member.synced = false;
        match error {
            GroupError::MemberIdRequired(id) => member.id = Some(id.as_str().to_owned()),
            GroupError::RebalanceInProgress => {}
            _ => member.id = None,
        }
        true
    }

    /// Hands the answers out that have come.
    fn collect(&mut self) {
        for ticket in std::mem::take(&mut self.open) {
            let Some(reply) = self.desk.take_answer(ticket) else {
                self.open.insert(ticket);
                continue;
            };
            let Some(index) = self.members.iter().position(|member| member.waits_for == Some(ticket)) else {
                continue;
            };
            self.members[index].waits_for = None;
            match reply {
                Reply::Join(Ok(answer)) => {
                    let member = &mut self.members[index];
                    member.id = Some(answer.member.clone());
                    member.joined = Some(answer);
                    member.synced = false;
                }
                Reply::Sync(Ok(answer)) => {
                    let id = self.members[index].id.clone().expect("who syncs has an id");
                    let recorded = &self.desk.members[&id.as_str().into()];
                    assert_eq!(answer.assignment, recorded.assignment, "it is told what is recorded");
                    self.members[index].synced = true;
                }
                Reply::Join(Err(error)) | Reply::Sync(Err(error)) => {
                    self.forget(index, &error);
                }
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Act(index) => self.act(*index),
            Step::Restart(index) => self.members[*index] = Member::default(),
            Step::Leave(index) => {
                if let Some(id) = self.members[*index].id.take() {
                    let ticket = self.desk.leave(vec![super::support::leaving(&id, None)]);
                    self.open.insert(ticket);
                    self.members[*index] = Member::default();
                }
            }
            Step::Pass(ms) => self.desk.pass(i64::from(*ms)),
            Step::Store if self.desk.in_flight.is_some() => self.desk.store(),
            Step::Lose if self.desk.in_flight.is_some() => {
                self.desk.fail(StoreError::Lost);
                self.collect();
                assert_eq!(self.open, BTreeSet::new(), "all who waited are sent away");
                self.lose();
            }
            Step::Store | Step::Lose => {}
        }
        self.collect();
        self.check();
    }

    /// Another coordinator takes over, from what is recorded.
    fn lose(&mut self) {
        if self.desk.shared.is_some() {
            self.desk.reload();
        } else {
            self.desk.machine = super::super::ClassicMachine::new(ClassicConfig::default());
        }
        self.generation = 0;
    }

    fn check(&mut self) {
        let group = self.desk.machine.describe();
        assert!(group.generation >= self.generation, "generations rise");
        self.generation = group.generation;
        if group.state == ClassicState::Stable && self.desk.in_flight.is_none() {
            let recorded: BTreeMap<_, _> =
                self.desk.members.iter().map(|(id, it)| (id.clone(), it.assignment.clone())).collect();
            let told: BTreeMap<_, _> =
                group.members.into_iter().map(|member| (member.member, member.assignment)).collect();
            assert_eq!(told, recorded, "a stable group is what is recorded");
            let shared = self.desk.shared.as_ref().expect("a stable group is recorded");
            assert_eq!(shared.generation, group.generation);
        }
    }

    /// Everybody behaves: the group must become stable, and nobody waits for ever.
    fn settle(&mut self) {
        for _ in 0..60 {
            for index in 0..self.members.len() {
                self.act(index);
                self.collect();
            }
            if self.desk.in_flight.is_some() {
                self.desk.store();
            }
            self.desk.pass(2_000);
            self.collect();
            self.check();
        }
        if self.desk.in_flight.is_some() {
            self.desk.store();
        }
        self.desk.handle(Event::Tick);
        self.collect();
        let group = self.desk.machine.describe();
        assert_eq!((group.state, group.members.len()), (ClassicState::Stable, 6), "{:?}", self.members);
        assert!(self.members.iter().all(|member| member.synced), "{:?}", self.members);
        assert_eq!(self.open, BTreeSet::new(), "of {:?} all are answered", self.desk.last_ticket());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_the_group_becomes_stable(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.settle();
    }
}
