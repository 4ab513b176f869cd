//! Agents that answer, that are silent, and that are silent but append.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ebb_metastore::command::Command;
use ebb_protocol::ids::{HostId, Timestamp};
use tokio::time::sleep;

use super::*;
use crate::testing::{Cluster, Member};

/// Counts the questions, and answers when it is told to.
#[derive(Default)]
struct Counting {
    asked: AtomicU32,
    answers: AtomicBool,
}

#[async_trait]
impl Probe for Counting {
    async fn answers(&self, _: &Agent) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.answers.load(Ordering::Relaxed)
    }
}

/// Never answers, and never says so.
struct BlackHole;

#[async_trait]
impl Probe for BlackHole {
    async fn answers(&self, _: &Agent) -> bool {
        std::future::pending().await
    }
}

async fn two(probe: Arc<dyn Probe>) -> (Member, Member, Arc<Peers>) {
    two_at(("own", None), ("other", None), probe).await
}

/// Where an agent says that it listens, and on which host it runs.
type Place<'a> = (&'a str, Option<HostId>);

async fn two_at(own: Place<'_>, other: Place<'_>, probe: Arc<dyn Probe>) -> (Member, Member, Arc<Peers>) {
    let cluster = Cluster::new();
    let (own, other) = (cluster.agent_on(own.0, own.1).await, cluster.agent_on(other.0, other.1).await);
    assert_eq!(own.live().await, 2);
    let peers = Peers::new(own.id, own.metastore.clone(), probe, CancellationToken::new());
    (own, other, peers)
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_is_put_out_within_five_seconds() {
    for probe in [Arc::new(Counting::default()) as Arc<dyn Probe>, Arc::new(BlackHole)] {
        let (own, _other, peers) = two(probe).await;
        peers.look_after_all();
        sleep(Duration::from_millis(1_900)).await;
        assert_eq!(own.live().await, 2, "two silences are not enough");
        sleep(Duration::from_millis(3_000)).await;
        assert_eq!(own.live().await, 1);
        assert!(own.metastore.read(|state| state.agents().all(|agent| agent.id == own.id)));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_listens_nowhere_is_not_asked() {
    let cluster = Cluster::new();
    let (own, other) = (cluster.agent("own").await, cluster.unreachable().await);
    assert_eq!(own.live().await, 2);
    let peers = Peers::new(own.id, own.metastore.clone(), Arc::new(BlackHole), CancellationToken::new());
    peers.look_after_all();
    peers.look_after(&[other.id]);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(own.live().await, 2);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_answers_stays_and_is_not_asked_too_often() {
    let probe = Arc::new(Counting::default());
    probe.answers.store(true, Ordering::Relaxed);
    let (own, other, peers) = two(probe.clone()).await;
    for _ in 0..10 {
        peers.look_after(&[own.id, other.id]);
        sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(own.live().await, 2);
    assert_eq!(probe.asked.load(Ordering::Relaxed), 3, "once a second, and never itself");
}

#[tokio::test(start_paused = true)]
async fn an_agent_at_loopback_is_judged_only_from_loopback() {
    for (own, other, left) in [
        ("10.0.0.1", "127.0.0.1", 2),
        ("agent.example", "LocalHost", 2),
        ("agent.example", "::1", 2),
        ("localhost", "127.0.0.1", 1),
        ("127.0.0.1", "10.0.0.1", 1),
        ("10.0.0.2", "10.0.0.1", 1),
    ] {
        let (judge, _other, peers) = two_at((own, None), (other, None), Arc::new(Counting::default())).await;
        peers.look_after_all();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(judge.live().await, left, "{other} judged from {own}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_at_loopback_is_judged_only_from_its_own_host() {
    let [a, b] = [1, 2].map(|host| Some(HostId(host)));
    for (own, other, left) in [
        (("127.0.0.1", a), ("localhost", b), 2),
        (("127.0.0.1", a), ("localhost", a), 1),
        (("10.0.0.1", a), ("127.0.0.1", a), 1),
        (("10.0.0.1", a), ("127.0.0.1", b), 2),
        (("10.0.0.1", a), ("10.0.0.2", b), 1),
        (("127.0.0.1", a), ("10.0.0.2", b), 1),
        (("127.0.0.1", a), ("localhost", None), 1),
        (("10.0.0.1", None), ("127.0.0.1", b), 2),
    ] {
        let (judge, _other, peers) = two_at(own, other, Arc::new(Counting::default())).await;
        peers.look_after_all();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(judge.live().await, left, "{other:?} judged from {own:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_answers_in_the_end_stays() {
    let probe = Arc::new(Counting::default());
    let (own, _other, peers) = two(probe.clone()).await;
    peers.look_after_all();
    sleep(Duration::from_millis(1_500)).await;
    probe.answers.store(true, Ordering::Relaxed);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(own.live().await, 2);
    assert_eq!(probe.asked.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_that_appends_stays() {
    let (own, other, peers) = two(Arc::new(Counting::default())).await;
    peers.look_after_all();
    sleep(Duration::from_millis(500)).await;
    other.run(Command::RaiseSweepBoundary { minted_before: Timestamp(1) }).await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(own.live().await, 2);
    peers.look_after_all();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(own.live().await, 1, "but only as long as it does");
}
