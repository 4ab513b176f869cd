//! Random groups of members that follow the protocol, with lost answers, dying members and coordinators, and topics
//! that come and go. At no time do two members believe to own one partition, and soon after all is calm each
//! subscribed partition has one owner.

use std::collections::BTreeMap;

use ebb_metastore::command::Partitions;
use ebb_protocol::ids::{MemberId, TopicPartition};
use proptest::prelude::*;

use super::support::{Desk, beat, join};
use crate::{
    ConsumerHeartbeat, GroupError, Ticket, Topics,
    consumer::{ConsumerState, LEAVE, LEAVE_FOR_A_WHILE, partitions::to_set},
};

const MEMBERS: usize = 5;
const TOPICS: [&str; 3] = ["a1", "a2", "b"];

/// After so many heartbeats of each member a calm group must be stable: one to learn the target, one to give up, one
/// to get what others gave up, and one more of each for members that have to join again.
const CALM_ROUNDS: usize = 8;

/// What a client knows and does.
#[derive(Debug, Default)]
struct Client {
    is_alive: bool,
    /// Its run: a static member that returns has another id.
    run: usize,
    epoch: i32,
    owned: Partitions,
    /// What it was told to own and has not adopted yet.
    wanted: Option<Partitions>,
    /// It does not know whether its last heartbeat came through, or has news of what it owns.
    must_tell: bool,
    /// A heartbeat that says what it owns was not answered and may come through yet: it takes nothing up meanwhile.
    reports: bool,
    request: Option<Ticket>,
}

impl Client {
    fn fence(&mut self) {
        self.epoch = 0;
        self.owned.clear();
        self.wanted = None;
        self.must_tell = true;
        self.reports = false;
    }
}

struct Group {
    desk: Desk,
    clients: Vec<Client>,
}

impl Group {
    fn new() -> Self {
        let mut desk = Desk::new();
        desk.cluster.put("a1", 3);
        Self { desk, clients: (0..MEMBERS).map(|_| Client::default()).collect() }
    }

    fn name(&self, client: usize) -> String {
        format!("{client}-{}", self.clients[client].run)
    }

    /// Clients differ: some subscribe by name, some by a regular expression, some are static.
    fn subscription(&self, client: usize) -> ConsumerHeartbeat {
        let said = join(&self.name(client), &[]);
        let instance = (client % 2 == 1).then(|| format!("instance-{client}"));
        let names = match client {
            0 | 1 => vec!["a1", "b"],
            2 => vec!["a1", "a2", "b"],
            _ => vec![],
        };
        let regex = (client > 2).then(|| "a.*".to_owned());
        let topics = Some(names.into_iter().map(str::to_owned).collect());
        ConsumerHeartbeat { instance, topics, regex, ..said }
    }

    fn step(&mut self, kind: u8, client: usize, flag: bool) {
        let alive = self.clients[client].is_alive;
        match kind {
            0 if !alive => self.start(client),
            1 if alive => self.leave(client, flag),
            2 if alive => self.kill(client),
            3..=12 if alive => self.beat(client),
            13..=18 => self.desk.store(),
            19 if alive => self.lose_answer(client),
            20 => self.desk.lose(),
            21 => self.desk.die(flag),
            22 => self.change_topic(client, flag),
            23 => self.desk.sleep(if flag { 44_000 } else { 3_000 }),
            _ if alive => self.adopt(client),
            _ => {}
        }
        self.hear();
        self.check();
    }

    fn start(&mut self, client: usize) {
        let fresh = Client { is_alive: true, run: self.clients[client].run + 1, ..Client::default() };
        self.clients[client] = fresh;
        self.beat(client);
    }

    fn leave(&mut self, client: usize, for_a_while: bool) {
        let said = self.subscription(client);
        let epoch = if for_a_while && said.instance.is_some() { LEAVE_FOR_A_WHILE } else { LEAVE };
        self.clients[client].fence();
        self.clients[client].is_alive = false;
        // Nobody listens for the answer.
        self.desk.send(ConsumerHeartbeat { epoch, ..said });
    }

    fn kill(&mut self, client: usize) {
        self.clients[client].is_alive = false;
        self.clients[client].request = None;
    }

    fn beat(&mut self, client: usize) {
        let (name, said) = (self.name(client), self.subscription(client));
        let state = &mut self.clients[client];
        if state.request.is_some() {
            return;
        }
        let said = if state.epoch == 0 || state.must_tell {
            state.reports = true;
            ConsumerHeartbeat { epoch: state.epoch, owned: Some(state.owned.clone()), ..said }
        } else {
            ConsumerHeartbeat { instance: said.instance, ..beat(&name, state.epoch) }
        };
        state.must_tell = false;
        state.request = Some(self.desk.send(said));
    }

    fn lose_answer(&mut self, client: usize) {
        if self.clients[client].request.take().is_some() {
            self.clients[client].must_tell = true;
        }
    }

    fn change_topic(&mut self, number: usize, grows: bool) {
        let name = TOPICS[number % TOPICS.len()];
        match self.desk.cluster.by_name(name) {
            Some((_, count)) if grows && count < 6 => {
                self.desk.cluster.put(name, count + 1);
            }
            Some(_) => self.desk.cluster.delete(name),
            None => {
                self.desk.cluster.put(name, 2);
            }
        }
        self.desk.topics_changed();
    }

    /// A client adopts what it was told: it drops what it must not have, takes the rest, and has news to tell.
    fn adopt(&mut self, client: usize) {
        let state = &mut self.clients[client];
        if state.reports {
            return;
        }
        if let Some(wanted) = state.wanted.take() {
            state.owned = wanted;
            state.must_tell = true;
        }
    }

    /// Clients hear their answers.
    fn hear(&mut self) {
        for state in &mut self.clients {
            let Some(answer) = state.request.and_then(|ticket| self.desk.answer(ticket)) else { continue };
            state.request = None;
            match answer {
                Ok(answer) => {
                    state.epoch = answer.epoch;
                    state.reports = false;
                    if let Some(assignment) = answer.assignment {
                        state.wanted = Some(assignment);
                    }
                }
                Err(GroupError::UnknownMember | GroupError::FencedMemberEpoch) => state.fence(),
                Err(GroupError::NotCoordinator | GroupError::UnreleasedInstance) => state.must_tell = true,
                Err(other) => panic!("unexpected: {other:?}"),
            }
        }
    }

    /// No partition has two owners, among the members that the group still counts with.
    fn check(&self) {
        let mut owners: BTreeMap<TopicPartition, usize> = BTreeMap::new();
        for (client, state) in self.clients.iter().enumerate() {
            let id = MemberId::from(self.name(client).as_str());
            if !self.desk.machine.members.contains_key(&id) {
                continue;
            }
            for partition in to_set(&state.owned) {
                let other = owners.insert(partition, client);
                assert_eq!(other, None, "{partition:?} belongs to {client} as well");
            }
        }
    }

    /// All clients heartbeat, hear and adopt until nothing changes any more.
    fn calm_down(&mut self) {
        // The dead are gone, and those who were waiting are heard of.
        for client in 0..MEMBERS {
            self.lose_answer(client);
        }
        for _ in 0..20 {
            self.desk.store();
            for client in (0..MEMBERS).filter(|&client| self.clients[client].is_alive).collect::<Vec<_>>() {
                self.beat(client);
            }
            self.desk.store();
            self.desk.store();
            self.hear();
            self.desk.sleep(2_500);
        }
        for _ in 0..CALM_ROUNDS {
            for client in (0..MEMBERS).filter(|&client| self.clients[client].is_alive).collect::<Vec<_>>() {
                self.adopt(client);
                self.beat(client);
                self.desk.store();
                self.hear();
                self.check();
            }
        }
        let updates = self.desk.updates;
        for client in (0..MEMBERS).filter(|&client| self.clients[client].is_alive).collect::<Vec<_>>() {
            self.beat(client);
            self.hear();
        }
        assert_eq!(self.desk.updates, updates, "a calm group records nothing");
        assert!(!self.desk.is_storing());
        self.check_complete();
    }

    /// Each subscribed partition has its owner, who subscribes to it.
    fn check_complete(&self) {
        let described = self.desk.machine.describe();
        let alive = self.clients.iter().filter(|client| client.is_alive).count();
        assert_eq!(described.members.len(), alive);
        let state = if alive == 0 { ConsumerState::Empty } else { ConsumerState::Stable };
        assert_eq!(described.state, state, "{described:#?}");
        for topic in TOPICS {
            let Some((id, count)) = self.desk.cluster.by_name(topic) else { continue };
            let mut owned = Vec::new();
            let mut is_subscribed = false;
            for (client, state) in self.clients.iter().enumerate().filter(|(_, client)| client.is_alive) {
                let said = self.subscription(client);
                let by_name = said.topics.is_some_and(|topics| topics.iter().any(|name| name == topic));
                let subscribes = by_name || (said.regex.is_some() && topic.starts_with('a'));
                is_subscribed |= subscribes;
                let partitions = state.owned.get(&id).map_or(&[][..], Vec::as_slice);
                assert!(subscribes || partitions.is_empty());
                owned.extend(partitions.iter().map(|partition| partition.0));
            }
            owned.sort_unstable();
            let expected: Vec<i32> = (0..if is_subscribed { count } else { 0 }).collect();
            assert_eq!(owned, expected, "{topic}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn partitions_have_one_owner_and_groups_become_stable(
        steps in prop::collection::vec((0..32_u8, 0..MEMBERS, any::<bool>()), 0..150),
    ) {
        let mut group = Group::new();
        for (kind, client, flag) in steps {
            group.step(kind, client, flag);
        }
        group.calm_down();
    }
}
