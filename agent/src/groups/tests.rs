//! Members that fall silent, groups that move, and machines that are not kept, on simulated time.

use ebb_coordinator::{ConsumerHeartbeat, HeartbeatAnswer};
use ebb_metastore::{command::CreateTopic, limits::GROUP_ID_BYTES_MAX};
use ebb_protocol::ids::{MemberId, TopicName};
use tokio::time::sleep;

use super::*;
use crate::{
    metrics::Figures,
    testing::{Cluster, Member},
};

/// The default session time-out of members.
const SESSION: Duration = Duration::from_secs(45);

/// A service that runs, and what stops it.
struct Running {
    groups: Arc<Groups>,
    draining: CancellationToken,
}

fn serve(member: &Member) -> Running {
    serve_within(member, usize::MAX)
}

fn serve_within(member: &Member, bytes_max: usize) -> Running {
    let (draining, aborting) = (CancellationToken::new(), CancellationToken::new());
    let (metastore, ids) = (member.metastore.clone(), member.ids.clone());
    let groups = Groups::new(member.id, metastore, ids, GroupConfig::default(), bytes_max, aborting);
    tokio::spawn(groups.clone().run(draining.clone()));
    Running { groups, draining }
}

impl Running {
    async fn beat(&self, group: &str, member: &str, epoch: i32) -> Result<HeartbeatAnswer, GroupError> {
        let said = ConsumerHeartbeat {
            member: Some(MemberId::from(member)),
            epoch,
            rebalance_timeout_ms: 10_000,
            topics: Some(vec!["t".to_owned()]),
            owned: (epoch == 0).then(Default::default),
            ..ConsumerHeartbeat::default()
        };
        match self.groups.handle(&group.into(), |ticket| Event::ConsumerHeartbeat(ticket, said)).await? {
            Reply::ConsumerHeartbeat(answer) => answer,
            other => panic!("another request was answered: {other:?}"),
        }
    }

    /// A figure of the metrics page.
    fn figure(&self, name: &str) -> u64 {
        let figures = self.groups.figures();
        figures.iter().find(|figure| figure.name == name).expect("there is such a figure").value
    }

    fn loaded(&self) -> usize {
        self.groups.table.lock().slots.len()
    }
}

async fn create_topic(member: &Member) {
    let name = TopicName::new("t").expect("a valid name");
    let create = CreateTopic { topic: member.ids.topic(), name, partitions: 2, config: Vec::new() };
    assert_eq!(member.run(Command::CreateTopic(create)).await, Outcome::Done);
}

/// The members of a group, as of the log's tail.
async fn members(member: &Member, group: &str) -> usize {
    member.metastore.tail_check().await.expect("the log is there");
    member.metastore.read(|state| state.group(&group.into()).map_or(0, |group| group.body.members()))
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_is_removed_and_its_group_not_kept() {
    let agent = Cluster::new().agent("a").await;
    create_topic(&agent).await;
    let service = serve(&agent);
    let joined = service.beat("g", "m", 0).await.expect("it joins");
    sleep(SESSION - Duration::from_secs(1)).await;
    let epoch = service.beat("g", "m", joined.epoch).await.expect("it is alive").epoch;
    sleep(SESSION - Duration::from_secs(1)).await;
    assert_eq!((members(&agent, "g").await, service.loaded()), (1, 1));
    sleep(Duration::from_secs(2)).await;
    assert_eq!((members(&agent, "g").await, service.loaded()), (0, 0));
    let late = service.beat("g", "m", epoch).await;
    assert_eq!(late.expect_err("it was removed"), GroupError::UnknownMember);
    assert_eq!(service.figure("ebb_group_members_expelled_total"), 1);
    assert_eq!(service.figure("ebb_groups_loaded_total"), 2, "it was loaded again to tell the member");
    assert_eq!(service.figure("ebb_groups_in_memory"), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_gets_a_group_gives_its_members_a_whole_session_and_misses_them_after() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.agent("a").await, cluster.agent("b").await);
    create_topic(&a).await;
    let services = [serve(&a), serve(&b)];
    a.live().await;
    let first = a.metastore.read(|state| state.coordinator(&"g".into()).map(|agent| agent.id));
    let (old, new, taker) = match first {
        Some(id) if id == a.id => (&services[0], &services[1], &b),
        _ => (&services[1], &services[0], &a),
    };
    let epoch = old.beat("g", "m", 0).await.expect("it joins").epoch;
    let strange = new.beat("g", "m", epoch).await;
    assert_eq!(strange.expect_err("it is not the coordinator"), GroupError::NotCoordinator);
    sleep(SESSION - Duration::from_secs(1)).await;
    let seal = Command::SealAgent { agent: first.expect("somebody coordinates") };
    assert_eq!(taker.run(seal).await, Outcome::Done);
    sleep(SESSION - Duration::from_secs(1)).await;
    assert_eq!((members(taker, "g").await, new.loaded()), (1, 1), "nobody has asked");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(members(taker, "g").await, 0);
    assert_eq!((old.figure("ebb_groups_moved_total"), new.figure("ebb_groups_moved_total")), (1, 0));
    let sealed = old.beat("g", "m", epoch).await;
    assert_eq!(sealed.expect_err("it is out"), GroupError::NotCoordinator);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_is_cut_off_says_so_within_seconds() {
    let agent = Cluster::new().agent("a").await;
    create_topic(&agent).await;
    let service = serve(&agent);
    let epoch = service.beat("g", "m", 0).await.expect("it joins").epoch;
    agent.line.cut(true);
    let cut = Instant::now();
    let refused = loop {
        match service.beat("g", "m", epoch).await {
            Ok(_) => sleep(Duration::from_millis(500)).await,
            Err(error) => break error,
        }
        assert!(cut.elapsed() < SESSION, "it answers for ever");
    };
    assert!(matches!(refused, GroupError::Unavailable(_)), "{refused}");
    assert!(cut.elapsed() < Duration::from_secs(15), "{:?}", cut.elapsed());
    agent.line.cut(false);
    // The look that was lost has a deadline of its own.
    sleep(Duration::from_secs(31)).await;
    assert_eq!(service.beat("g", "m", epoch).await.expect("it is back").epoch, epoch);
}

#[tokio::test(start_paused = true)]
async fn looks_come_with_requests_and_none_without() {
    let agent = Cluster::new().agent("a").await;
    create_topic(&agent).await;
    let service = serve(&agent);
    let epoch = service.beat("g", "m", 0).await.expect("it joins").epoch;
    let before = agent.line.reads();
    for _ in 0..200 {
        service.beat("g", "m", epoch).await.expect("it is alive");
        sleep(Duration::from_millis(100)).await;
    }
    let looks = agent.line.reads() - before;
    assert!((5..=11).contains(&looks), "{looks} looks in 20 s");
    let before = agent.line.reads();
    sleep(Duration::from_secs(20)).await;
    assert_eq!(agent.line.reads(), before, "nobody asks");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_let_go_of_leaves_no_timer() {
    let agent = Cluster::new().agent("a").await;
    create_topic(&agent).await;
    let service = serve(&agent);
    let epoch = service.beat("g", "m", 0).await.expect("it joins").epoch;
    assert_eq!((service.loaded(), service.groups.timers.count()), (1, 1));
    service.beat("g", "m", epoch).await.expect("it is alive");
    assert_eq!(service.groups.timers.count(), 1);
    service.beat("g", "m", -1).await.expect("it leaves");
    assert_eq!((service.loaded(), service.groups.timers.count()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_recorded_is_not_called_unavailable() {
    let agent = Cluster::new().agent("a").await;
    let service = serve(&agent);
    let long = "g".repeat(GROUP_ID_BYTES_MAX + 1);
    let refused = service.beat(&long, "m", 0).await;
    assert_eq!(refused.expect_err("no group has such a name"), GroupError::InvalidGroupId);
    let outside = Committer { member: String::new(), instance: None, generation: -1 };
    let refused = service.groups.commit(&long.as_str().into(), &outside, Vec::new()).await;
    assert_eq!(refused.expect_err("no group has such a name"), GroupError::InvalidGroupId);
    for (refusal, expect) in [
        (Refusal::GroupTooLarge, GroupError::GroupTooLarge),
        (Refusal::GroupsFull, GroupError::GroupsFull),
        (Refusal::GroupFull, GroupError::GroupFull),
    ] {
        assert_eq!(lost(&"g".into(), &refusal), StoreError::Refused(expect), "{refusal}");
    }
    assert_eq!(lost(&"g".into(), &Refusal::StaleGroup), StoreError::Lost);
}

#[tokio::test(start_paused = true)]
async fn groups_take_no_more_memory_than_they_may() {
    let agent = Cluster::new().agent("a").await;
    create_topic(&agent).await;
    let service = serve_within(&agent, 64 << 10);
    let mut members = Vec::new();
    let refused = loop {
        let name = format!("g{}", members.len());
        match service.beat(&name, "m", 0).await {
            Ok(joined) => members.push((name, joined.epoch)),
            Err(error) => break error,
        }
        assert!(members.len() < 1_000, "there is no limit");
    };
    assert!(matches!(refused, GroupError::Unavailable(_)), "{refused}");
    assert!(members.len() > 10, "{} groups fit", members.len());
    assert_eq!(service.loaded(), members.len(), "a group that nobody may join is not there");
    let (full, first) = (service.figure("ebb_groups_in_memory_bytes"), members[0].clone());
    assert!((64 << 10..80 << 10).contains(&full), "{full}");
    service.beat(&first.0, "m", first.1).await.expect("whoever is a member may stay");
    for (name, _) in &members {
        service.beat(name, "m", -1).await.expect("it leaves");
    }
    assert_eq!(service.figure("ebb_groups_in_memory_bytes"), 0);
    service.beat("late", "m", 0).await.expect("there is room again");
}

#[tokio::test(start_paused = true)]
async fn rebalances_are_counted_with_the_time_that_they_take() {
    let agent = Cluster::new().agent("a").await;
    create_topic(&agent).await;
    let service = serve(&agent);
    let first = service.beat("g", "first", 0).await.expect("it joins");
    let owned = first.assignment.expect("it gets both partitions");
    assert_eq!(service.figure("ebb_group_rebalances_total"), 0, "one member has nobody to wait for");
    service.beat("g", "second", 0).await.expect("it joins");
    let told = service.beat("g", "first", first.epoch).await.expect("it is alive");
    let kept = told.assignment.expect("it must give one up");
    sleep(Duration::from_secs(3)).await;
    let gives = ConsumerHeartbeat {
        member: Some(MemberId::from("first")),
        epoch: told.epoch,
        rebalance_timeout_ms: -1,
        owned: Some(kept.clone()),
        ..ConsumerHeartbeat::default()
    };
    assert_ne!(kept, owned);
    let epoch = match service.groups.handle(&"g".into(), |it| Event::ConsumerHeartbeat(it, gives)).await {
        Ok(Reply::ConsumerHeartbeat(Ok(answer))) => answer.epoch,
        other => panic!("{other:?}"),
    };
    service.beat("g", "second", epoch).await.expect("it is alive");
    assert_eq!(service.figure("ebb_group_rebalances_total"), 1);
    let took_ms = service.figure("ebb_group_rebalance_milliseconds_total");
    assert!((3_000..4_000).contains(&took_ms), "{took_ms}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_drains_sends_everybody_away() {
    let agent = Cluster::new().agent("a").await;
    create_topic(&agent).await;
    let service = serve(&agent);
    let epoch = service.beat("g", "m", 0).await.expect("it joins").epoch;
    service.draining.cancel();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(service.loaded(), 0);
    let late = service.beat("g", "m", epoch).await;
    assert_eq!(late.expect_err("it loads nothing more"), GroupError::NotCoordinator);
    assert_eq!(members(&agent, "g").await, 1, "the member stays");
}
