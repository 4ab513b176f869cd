//! Patient submissions: how many entries they cost, and how long they and others wait.

use super::*;
use crate::command::{CommitFence, CommitOffsets, CommittedOffset};

/// What an append takes.
const DELAY: Duration = Duration::from_millis(20);

/// A commit of `offsets` offsets by a simple group.
fn commit(topic: TopicId, group: u64, offsets: i32, at: i64) -> Command {
    let offset = CommittedOffset { offset: Offset(at), leader_epoch: -1, metadata: String::new() };
    Command::CommitOffsets(CommitOffsets {
        group: format!("group-{group}").as_str().into(),
        fence: CommitFence::Simple,
        offsets: (0..offsets).map(|partition| (topic, PartitionIndex(partition), offset.clone())).collect(),
    })
}

impl Node {
    async fn commit(&self, command: Command) {
        let outcomes = self.metastore.submit_patiently(vec![command]).await;
        assert_eq!(outcomes, Ok(vec![Outcome::Done]));
    }

    fn position(&self) -> u64 {
        self.metastore.applied().get().0
    }
}

async fn node() -> (Node, TopicId) {
    let world = World::new(1);
    let node = world.node(1).await;
    let topic = node.ids.topic();
    let name = TopicName::new("topic").expect("it is legal");
    let create = CreateTopic { topic, name, partitions: 20, config: Vec::new() };
    node.submit(Command::CreateTopic(create)).await.expect("the bucket is sound");
    let delay = DELAY.as_millis() as u64;
    node.store.set(Faults { delay_ms: (delay, delay), ..Faults::default() });
    (node, topic)
}

#[tokio::test(start_paused = true)]
async fn a_lone_commit_does_not_wait() {
    let (node, topic) = node().await;
    for round in 0..5 {
        let begin = Instant::now();
        node.commit(commit(topic, 1, 1, round)).await;
        assert!(begin.elapsed() <= DELAY + Duration::from_millis(2), "{:?}", begin.elapsed());
        seconds(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn thousands_of_commits_cost_ten_entries_a_second() {
    let (node, topic) = node().await;
    let (begin, before) = (Instant::now(), node.position());
    let (groups, rounds, offsets) = (1_000, 3, 20);
    let group = |group: u64| {
        let node = &node;
        async move {
            // Their clocks are not the same.
            tokio::time::sleep(Duration::from_millis(group)).await;
            for round in 0..rounds {
                let sent = Instant::now();
                node.commit(commit(topic, group, offsets, round)).await;
                let waited = sent.elapsed();
                assert!(waited <= node_patience() + DELAY + Duration::from_millis(5), "{waited:?}");
                tokio::time::sleep_until(sent + Duration::from_secs(1)).await;
            }
        }
    };
    futures::future::join_all((0..groups).map(group)).await;
    let seconds = begin.elapsed().as_secs_f64();
    let entries = (node.position() - before) as f64;
    assert!(entries <= 10.0 * seconds + 1.0, "{entries} entries in {seconds} s");
    let all: usize =
        node.metastore.read(|state| state.groups().map(|(_, group)| group.offsets().count()).sum());
    assert_eq!(all, 20_000);
}

fn node_patience() -> Duration {
    MetastoreConfig::default().patience
}

#[tokio::test(start_paused = true)]
async fn what_is_urgent_takes_them_along_and_waits_for_none() {
    let (node, topic) = node().await;
    node.commit(commit(topic, 1, 1, 1)).await;
    let (begin, before) = (Instant::now(), node.position());
    let patient = node.commit(commit(topic, 1, 1, 2));
    let urgent = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let sent = Instant::now();
        node.submit(Command::InitProducer { current: None }).await.expect("the bucket is sound");
        assert!(sent.elapsed() <= DELAY + Duration::from_millis(2), "{:?}", sent.elapsed());
    };
    futures::future::join(patient, urgent).await;
    assert!(begin.elapsed() < node_patience() / 2, "{:?}", begin.elapsed());
    assert_eq!(node.position(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn their_order_among_all_submissions_stays() {
    let (node, topic) = node().await;
    node.commit(commit(topic, 1, 1, 1)).await;
    let delete = Command::DeleteGroup { group: "group-1".into() };
    let patient = node.metastore.submit_patiently(vec![commit(topic, 1, 1, 2)]);
    let urgent = node.submit(delete);
    let (patient, urgent) = futures::future::join(patient, urgent).await;
    assert_eq!((patient, urgent), (Ok(vec![Outcome::Done]), Ok(vec![Outcome::Done])));
    assert_eq!(node.metastore.read(|state| state.groups().count()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_metastore_that_closes_has_no_patience() {
    let (node, topic) = node().await;
    node.commit(commit(topic, 1, 1, 1)).await;
    let begin = Instant::now();
    let patient = node.commit(commit(topic, 1, 1, 2));
    let close = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        node.metastore.shutdown().await;
    };
    futures::future::join(patient, close).await;
    assert!(begin.elapsed() < node_patience() / 2, "{:?}", begin.elapsed());
}
