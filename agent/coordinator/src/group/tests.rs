//! Groups that change their protocol, with and without members.

use std::collections::BTreeMap;

use ebb_metastore::{
    command::{GroupChange, Partitions},
    state::{self, GroupBody},
};
use ebb_protocol::ids::{TopicId, TopicName};
use uuid::Uuid;

use super::*;
use crate::{
    ClassicHeartbeat, Client, JoinRequest, LeaveRequest, LeavingMember, StoreError, SyncRequest, Ticket,
    consumer_protocol::encode_assignment,
};

/// One topic `t` of four partitions.
struct OneTopic;

impl Topics for OneTopic {
    fn by_name(&self, name: &str) -> Option<(TopicId, i32)> {
        (name == "t").then_some((TopicId(Uuid::max()), 4))
    }

    fn names(&self) -> Vec<TopicName> {
        vec![TopicName::new("t").expect("a letter is a name")]
    }

    fn by_id(&self, topic: TopicId) -> Option<(TopicName, i32)> {
        (topic == TopicId(Uuid::max())).then(|| (self.names().remove(0), 4))
    }
}

/// A group, what is recorded of it, and the answers that it gave.
struct Desk {
    group: Group,
    recorded: GroupBody,
    in_flight: Option<Vec<GroupChange>>,
    now: Timestamp,
    tickets: u64,
    replies: BTreeMap<Ticket, Reply>,
}

impl Desk {
    fn new() -> Self {
        let group = Group::load(&state::Group::default(), GroupConfig::default(), Timestamp(0));
        let (recorded, now) = (GroupBody::Simple, Timestamp(0));
        Self { group, recorded, in_flight: None, now, tickets: 0, replies: BTreeMap::new() }
    }

    fn handle(&mut self, event: Event) {
        let effects = self.group.handle(self.now, event, &OneTopic);
        for (ticket, reply) in effects.replies {
            assert!(self.replies.insert(ticket, reply).is_none(), "{ticket:?} is answered twice");
        }
        if let Some(changes) = effects.store {
            assert!(self.in_flight.replace(changes).is_none(), "two updates in flight");
        }
    }

    fn send(&mut self, event: impl FnOnce(Ticket) -> Event) -> Ticket {
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.handle(event(ticket));
        ticket
    }

    fn store(&mut self) {
        let Some(changes) = self.in_flight.take() else { return };
        for change in changes {
            record(&mut self.recorded, change);
        }
        self.handle(Event::Stored(Ok(())));
    }

    /// Makes a request, and lets updates be recorded and time pass until it is answered.
    fn ask(&mut self, event: impl FnOnce(Ticket) -> Event) -> Reply {
        let ticket = self.send(event);
        for _ in 0..100 {
            self.store();
            if let Some(reply) = self.replies.remove(&ticket) {
                return reply;
            }
            self.sleep(100);
        }
        panic!("no answer in 10 s: {:#?}", self.group);
    }

    fn sleep(&mut self, millis: i64) {
        self.now = Timestamp(self.now.0 + millis);
        self.handle(Event::Tick);
    }

    /// Another agent takes the group over.
    fn reload(&mut self) {
        let mut group = state::Group::default();
        group.body = self.recorded.clone();
        self.group = Group::load(&group, GroupConfig::default(), self.now);
        self.in_flight = None;
    }

    fn join_new(&mut self, member: &str) -> Result<i32, GroupError> {
        self.beat_new(member, 0)
    }

    fn beat_new(&mut self, member: &str, epoch: i32) -> Result<i32, GroupError> {
        match self.ask(|ticket| Event::ConsumerHeartbeat(ticket, consumer_heartbeat(member, epoch))) {
            Reply::ConsumerHeartbeat(result) => result.map(|answer| answer.epoch),
            other => panic!("{other:?}"),
        }
    }

    fn join_classic(&mut self, member: &str) -> Result<i32, GroupError> {
        match self.ask(|ticket| Event::Join(ticket, join_request(member))) {
            Reply::Join(result) => result.map(|answer| answer.generation),
            other => panic!("{other:?}"),
        }
    }

    fn sync(&mut self, member: &str, generation: i32) -> Result<(), GroupError> {
        match self.ask(|ticket| Event::Sync(ticket, sync_request(member, generation))) {
            Reply::Sync(result) => result.map(drop),
            other => panic!("{other:?}"),
        }
    }

    fn beat_classic(&mut self, member: &str, generation: i32) -> Result<(), GroupError> {
        let said = ClassicHeartbeat { member: MemberId::from(member), instance: None, generation };
        match self.ask(|ticket| Event::Heartbeat(ticket, said)) {
            Reply::Heartbeat(result) => result,
            other => panic!("{other:?}"),
        }
    }

    fn leave_classic(&mut self, member: &str) {
        let leaving = LeavingMember { member: member.to_owned(), instance: None };
        let reply = self.ask(|ticket| Event::Leave(ticket, LeaveRequest { members: vec![leaving] }));
        assert!(matches!(reply, Reply::Leave(Ok(answer)) if answer.members == [Ok(())]));
    }
}

/// What `apply` makes of a change.
fn record(body: &mut GroupBody, change: GroupChange) {
    match (&mut *body, change) {
        (GroupBody::Classic(shared, _), GroupChange::Classic(now)) => *shared = now,
        (_, GroupChange::Classic(now)) => *body = GroupBody::Classic(now, BTreeMap::new()),
        (GroupBody::Consumer(shared, _), GroupChange::Consumer(now)) => *shared = now,
        (_, GroupChange::Consumer(now)) => *body = GroupBody::Consumer(now, BTreeMap::new()),
        (GroupBody::Classic(_, members), GroupChange::PutClassicMember(id, member)) => {
            members.insert(id, *member);
        }
        (GroupBody::Consumer(_, members), GroupChange::PutConsumerMember(id, member)) => {
            members.insert(id, *member);
        }
        (GroupBody::Classic(_, members), GroupChange::RemoveMember(id)) => drop(members.remove(&id)),
        (GroupBody::Consumer(_, members), GroupChange::RemoveMember(id)) => drop(members.remove(&id)),
        (body, change) => panic!("{change:?} does not fit {body:?}"),
    }
}

fn consumer_heartbeat(member: &str, epoch: i32) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        member: Some(MemberId::from(member)),
        epoch,
        rebalance_timeout_ms: if epoch == 0 { 60_000 } else { -1 },
        topics: (epoch == 0).then(|| vec!["t".to_owned()]),
        owned: (epoch == 0).then(Partitions::new),
        ..ConsumerHeartbeat::default()
    }
}

/// JoinGroup of a member; `new` has no id yet and will be `c`.
fn join_request(member: &str) -> JoinRequest {
    JoinRequest {
        member: Some(MemberId::from(member)).filter(|member| member.as_str() != "new"),
        fresh_member: "c".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff".to_vec())],
        ..JoinRequest::default()
    }
}

/// SyncGroup; a leader assigns everything to itself.
fn sync_request(member: &str, generation: i32) -> SyncRequest {
    let all = encode_assignment(1, &[("t".to_owned(), vec![0, 1, 2, 3])]);
    SyncRequest {
        member: MemberId::from(member),
        instance: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: vec![(MemberId::from(member), all)],
    }
}

/// A classic group with the member `c`, which owns everything, at generation 1.
fn classic() -> Desk {
    let mut desk = Desk::new();
    assert_eq!(desk.join_classic("new"), Ok(1));
    assert_eq!(desk.sync("c", 1), Ok(()));
    assert!(matches!(desk.recorded, GroupBody::Classic(..)));
    desk
}

#[test]
fn a_group_that_nobody_knows() {
    let mut desk = Desk::new();
    assert_eq!(desk.beat_new("a", 1), Err(GroupError::UnknownGroup));
    assert_eq!(desk.beat_classic("c", 1), Err(GroupError::UnknownMember));
    let nobody = MemberId::from("");
    assert_eq!(desk.group.check_commit(desk.now, &nobody, None, -1), Ok(CommitFence::Simple));
    assert!(desk.group.is_idle() && !desk.group.describe().has_members());
    assert!(!desk.group.subscribes_to("t"));
}

#[test]
fn a_group_without_members_takes_the_protocol_of_who_comes() {
    let mut desk = Desk::new();
    assert_eq!(desk.join_new("a"), Ok(1));
    assert!(desk.group.describe().has_members() && desk.group.subscribes_to("t"));
    // Leaving and joining at once: the second waits until the first is recorded.
    let left = desk.send(|ticket| Event::ConsumerHeartbeat(ticket, consumer_heartbeat("a", -1)));
    assert_eq!(desk.join_classic("new"), Ok(1));
    assert!(desk.replies.contains_key(&left));
    assert_eq!(desk.sync("c", 1), Ok(()));
    assert!(matches!(&desk.recorded, GroupBody::Classic(_, members) if members.len() == 1));
    desk.leave_classic("c");
    assert_eq!(desk.join_new("a"), Ok(1));
    assert!(matches!(&desk.recorded, GroupBody::Consumer(_, members) if members.len() == 1));
}

#[test]
fn what_waits_for_another_machine_is_sent_away_when_the_update_is_lost() {
    let mut desk = Desk::new();
    assert_eq!(desk.join_new("a"), Ok(1));
    desk.send(|ticket| Event::ConsumerHeartbeat(ticket, consumer_heartbeat("a", -1)));
    let waits = desk.send(|ticket| Event::Join(ticket, join_request("new")));
    desk.in_flight = None;
    desk.handle(Event::Stored(Err(StoreError::Lost)));
    assert_eq!(desk.replies.remove(&waits), Some(Reply::Join(Err(GroupError::NotCoordinator))));
}

#[test]
fn a_classic_group_is_upgraded_and_downgraded_online() {
    for reloads in [false, true] {
        let mut desk = classic();
        let reload = |desk: &mut Desk| {
            if reloads {
                desk.reload();
            }
        };
        assert_eq!(desk.beat_new("a", 1), Err(GroupError::UnknownGroup), "only joining upgrades");
        assert_eq!(desk.join_new("a"), Ok(2));
        assert!(matches!(&desk.recorded, GroupBody::Consumer(_, members) if members.len() == 2));
        reload(&mut desk);
        assert_eq!(desk.beat_classic("c", 1), Err(GroupError::RebalanceInProgress));
        assert_eq!(desk.join_classic("c"), Ok(2));
        assert_eq!(desk.sync("c", 2), Ok(()));
        let short = JoinRequest { session_timeout_ms: 1, ..join_request("c") };
        let reply = desk.ask(|ticket| Event::Join(ticket, short));
        assert_eq!(reply, Reply::Join(Err(GroupError::InvalidSessionTimeout)));
        assert_eq!(desk.beat_new("a", -1), Ok(-1));
        reload(&mut desk);
        // What the one that is left has read it may commit, though it must join again.
        let c = MemberId::from("c");
        desk.handle(Event::Tick);
        let commit = desk.group.check_commit(desk.now, &c, None, 2);
        assert_eq!(commit, Ok(CommitFence::Classic(c, 2)));
        // The one that is left is alone, and led to a classic generation by its heartbeat.
        assert_eq!(desk.beat_classic("c", 2), Err(GroupError::RebalanceInProgress));
        let generation = desk.join_classic("c").expect("it joins again");
        assert!(generation > 2);
        assert_eq!(desk.sync("c", generation), Ok(()));
        assert!(matches!(&desk.recorded, GroupBody::Classic(_, members) if members.len() == 1));
        assert!(matches!(desk.group.describe(), Description::Classic(_)));
    }
}

#[test]
fn generations_go_on_where_epochs_ended() {
    for reloads in [false, true] {
        let mut desk = classic();
        assert_eq!(desk.join_new("a"), Ok(2));
        assert_eq!(desk.join_new("b"), Ok(3));
        // The classic member has not come to know of epochs 2 to 5.
        assert_eq!(desk.beat_new("a", -1), Ok(-1));
        assert_eq!(desk.beat_new("b", -1), Ok(-1));
        if reloads {
            desk.reload();
        }
        assert_eq!(desk.beat_classic("c", 1), Err(GroupError::RebalanceInProgress));
        let (again, earlier) = (desk.join_new("b"), 5);
        assert!(again.as_ref().is_ok_and(|epoch| *epoch > earlier), "{again:?}");
        assert_eq!(desk.beat_new("b", -1), Ok(-1));
        let generation = desk.join_classic("c").expect("it joins again");
        assert!(generation > 6, "{generation}");
    }
}

#[test]
fn an_upgrade_waits_for_the_generation_that_is_being_recorded() {
    let mut desk = Desk::new();
    assert_eq!(desk.join_classic("new"), Ok(1));
    let synced = desk.send(|ticket| Event::Sync(ticket, sync_request("c", 1)));
    assert_eq!(desk.join_new("a"), Ok(2));
    assert!(matches!(desk.replies.remove(&synced), Some(Reply::Sync(Ok(_)))));
    let GroupBody::Consumer(_, members) = &desk.recorded else { panic!("it is upgraded") };
    assert_eq!(members[&MemberId::from("c")].assigned.values().map(Vec::len).sum::<usize>(), 4);
}

#[test]
fn a_group_of_other_clients_is_not_upgraded() {
    let mut desk = Desk::new();
    let said = JoinRequest { protocol_type: "connect".to_owned(), ..join_request("new") };
    assert!(matches!(desk.ask(|ticket| Event::Join(ticket, said)), Reply::Join(Ok(_))));
    assert_eq!(desk.join_new("a"), Err(GroupError::UnknownGroup));
}

#[test]
fn a_refused_member_of_the_new_protocol_converts_nothing() {
    let mut desk = classic();
    let recorded = desk.recorded.clone();
    let hostile = ConsumerHeartbeat { regex: Some("(".to_owned()), ..consumer_heartbeat("a", 0) };
    let reply = desk.ask(|ticket| Event::ConsumerHeartbeat(ticket, hostile));
    assert!(matches!(reply, Reply::ConsumerHeartbeat(Err(GroupError::InvalidRegularExpression(_)))));
    assert_eq!(desk.beat_classic("c", 1), Ok(()), "nobody must join again");
    assert!(matches!(desk.group.describe(), Description::Classic(_)));
    // Nor does one that finds the group full.
    let mut config = GroupConfig::default();
    config.consumer.members_max = 1;
    desk.group.config = config;
    assert_eq!(desk.join_new("a"), Err(GroupError::GroupFull));
    assert_eq!(desk.beat_classic("c", 1), Ok(()));
    assert_eq!(desk.recorded, recorded);
    // An empty group is not converted either.
    desk.leave_classic("c");
    let hostile = ConsumerHeartbeat { regex: Some("(".to_owned()), ..consumer_heartbeat("a", 0) };
    let reply = desk.ask(|ticket| Event::ConsumerHeartbeat(ticket, hostile));
    assert!(!reply.is_granted());
    assert!(matches!(desk.group.describe(), Description::Classic(_)));
    assert!(desk.in_flight.is_none());
}

#[test]
fn what_clients_call_themselves_is_cut() {
    let client = Client { id: "ä".repeat(1_000), host: "h".repeat(1_000) };
    let mut desk = Desk::new();
    let said = JoinRequest { client: client.clone(), ..join_request("new") };
    assert!(desk.ask(|ticket| Event::Join(ticket, said)).is_granted());
    let Description::Classic(group) = desk.group.describe() else { panic!("it is a classic group") };
    assert_eq!((group.members[0].client_id.len(), group.members[0].client_host.len()), (254, 255));
    assert!((1_000..100_000).contains(&desk.group.bytes()));
    assert_eq!(desk.sync("c", 1), Ok(()));
    let said = ConsumerHeartbeat { client, ..consumer_heartbeat("a", 0) };
    assert!(desk.ask(|ticket| Event::ConsumerHeartbeat(ticket, said)).is_granted());
    let Description::Consumer(group) = desk.group.describe() else { panic!("it is a consumer group") };
    assert!(group.members.iter().all(|(_, member)| member.client_id.len() == 254));
    assert!((1_000..100_000).contains(&desk.group.bytes()));
    let instance = Some("i".repeat(2_000));
    let mut desk = Desk::new();
    let reply = desk.ask(|ticket| Event::Join(ticket, JoinRequest { instance, ..join_request("new") }));
    assert!(matches!(reply, Reply::Join(Err(GroupError::InvalidRequest(_)))));
}
