//! Single faults, scripted: what was lost, who was first, and what the callers are told.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::*;
use crate::{
    command::Command,
    entry::Entry,
    log::{AppendError, CommitLog, EntryBytes, ReadError},
};

/// What happens to the next append at a position.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Another agent is first.
    Beaten,
    /// It is written, and the answer comes much later as a failure.
    AnswerLost,
    /// It is not written.
    NotWritten,
    /// It takes this many milliseconds.
    Slow(u64),
}

/// A log whose appends have scripted fates, by position.
#[derive(Debug)]
struct Scripted {
    inner: Arc<dyn CommitLog>,
    fates: Mutex<BTreeMap<LogPosition, Fate>>,
    rival: Entry,
    appends: Mutex<Vec<(LogPosition, u64)>>,
}

impl Scripted {
    fn new(world: &World, store: &Arc<FaultyStore<InMemory>>) -> Arc<Self> {
        let ids = IdSource::new(world.clock(), world.random.fork());
        let rival = Entry {
            id: ids.entry(),
            agent: ids.agent(),
            epoch: ebb_protocol::ids::AgentEpoch(0),
            number: 0,
            time: world.clock().now(),
            hash: None,
            commands: Vec::new(),
        };
        Arc::new(Self { inner: world.log(store), fates: Mutex::default(), rival, appends: Mutex::default() })
    }

    /// The fates of the positions from the replica's next one on.
    fn script(&self, node: &Node, fates: &[Option<Fate>]) -> LogPosition {
        let next = node.metastore.applied().get();
        let positions = (next.0..).map(LogPosition);
        let fates = positions.zip(fates).filter_map(|(position, fate)| Some((position, (*fate)?)));
        *self.fates.lock() = fates.collect();
        self.appends.lock().clear();
        next
    }
}

#[async_trait]
impl CommitLog for Scripted {
    async fn append(&self, position: LogPosition, entry: &EntryBytes) -> Result<(), AppendError> {
        let number = Entry::decode(&entry.head).expect("it was just encoded").0.number;
        self.appends.lock().push((position, number));
        let fate = self.fates.lock().remove(&position);
        let failed = || Err(AppendError::Unavailable("scripted".to_owned()));
        match fate {
            None => {}
            Some(Fate::Beaten) => {
                let id =
                    IdSource::new(Arc::new(ebb_protocol::clock::SystemClock), Random::from_seed(position.0));
                let rival = Entry { id: id.entry(), ..self.rival.clone() };
                let rival = EntryBytes { id: rival.id, head: rival.encode(0), body: Vec::new() };
                self.inner.append(position, &rival).await?;
            }
            Some(Fate::AnswerLost) => {
                self.inner.append(position, entry).await?;
                seconds(5).await;
                return failed();
            }
            Some(Fate::NotWritten) => return failed(),
            Some(Fate::Slow(ms)) => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
        self.inner.append(position, entry).await
    }

    async fn read(&self, position: LogPosition) -> Result<Option<Bytes>, ReadError> {
        self.inner.read(position).await
    }

    async fn tail(&self, from: LogPosition) -> Result<LogPosition, ReadError> {
        self.inner.tail(from).await
    }

    async fn truncate(&self, below: LogPosition, keep: &[LogPosition]) -> Result<(), ReadError> {
        self.inner.truncate(below, keep).await
    }

    fn object(&self, position: LogPosition) -> Option<Path> {
        self.inner.object(position)
    }
}

/// Appends three entries whose positions have the given fates. All are acknowledged, once and in order; gives the
/// appends that were made, as (distance from the first position, entry number counted from the first).
async fn check(fates: &[Option<Fate>]) -> Vec<(u64, u64)> {
    let world = World::new(1);
    let store = world.store(Faults::default());
    let log = Scripted::new(&world, &store);
    let node = world.open_on(1, store, log.clone()).await.expect("the bucket is sound");
    node.register().await.expect("the bucket is sound");
    let topic = node.ids.topic();
    node.create_topic(topic).await.expect("the bucket is sound");
    let first = log.script(&node, fates);
    let mut pending = Vec::new();
    for tag in 0..3 {
        pending.push(node.metastore.enqueue(node.batch(topic, tag)).await.expect("there is room"));
    }
    for (tag, pending) in pending.into_iter().enumerate() {
        let outcomes = pending.outcomes().await.unwrap_or_else(|error| panic!("{fates:?}: {error}"));
        assert_eq!(offset(&outcomes), tag as i64, "{fates:?}");
    }
    // All that was appended on the way has settled, and the log goes on.
    assert_eq!(offset(&node.metastore.submit(node.batch(topic, 3)).await.expect("it goes on")), 3);
    let other = world.node(2).await;
    assert_eq!(other.records(topic), (0..4).map(|tag| (tag, tag)).collect::<Vec<_>>(), "{fates:?}");
    node.metastore.tail_check().await.expect("the bucket is sound");
    assert_same(&node, &other);
    let appends = log.appends.lock().clone();
    let base = appends.first().expect("something was appended").1;
    appends.iter().map(|(position, number)| (position.0 - first.0, number - base)).collect()
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_beaten_while_its_successors_land_goes_behind_them() {
    let appends = check(&[Some(Fate::Beaten), None, None]).await;
    assert_eq!(appends[..6], [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1), (5, 2)]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_fails_while_its_successor_lands_is_appended_at_its_own_place() {
    let appends = check(&[Some(Fate::NotWritten), None, None]).await;
    assert_eq!(appends[..4], [(0, 0), (1, 1), (2, 2), (0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn every_combination_of_fates_ends_well() {
    let fates =
        [None, Some(Fate::Beaten), Some(Fate::AnswerLost), Some(Fate::NotWritten), Some(Fate::Slow(700))];
    for first in fates {
        for second in fates {
            for third in fates {
                for fourth in [None, Some(Fate::Beaten), Some(Fate::AnswerLost)] {
                    check(&[first, second, third, fourth, second, first]).await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn callers_learn_what_may_have_happened_and_the_log_goes_on() {
    let mut world = World::new(2);
    world.config.appends_in_flight_max = 1;
    world.config.append_deadline = Duration::from_secs(10);
    let node = world.node(1).await;
    let topic = node.ids.topic();
    node.create_topic(topic).await.expect("the bucket is sound");
    node.store.set(Faults { before: 1.0, ..Faults::default() });
    let written = node.metastore.enqueue(node.batch(topic, 0)).await.expect("there is room");
    let waiting = node.metastore.enqueue(node.batch(topic, 1)).await.expect("there is room");
    let written = written.outcomes().await;
    assert!(matches!(written, Err(MetastoreError::Indeterminate(_))), "{written:?}");
    let waiting = waiting.outcomes().await;
    assert!(matches!(waiting, Err(MetastoreError::Unavailable(_))), "{waiting:?}");
    node.store.set(Faults::default());
    let next = node.metastore.submit(node.batch(topic, 2)).await.expect("the bucket is sound again");
    assert_eq!(offset(&next), 1);
    assert_eq!(
        node.records(topic),
        [(0, 0), (1, 2)],
        "the one in doubt was settled first, the other withdrawn"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_denies_writes_is_not_hammered() {
    let world = World::new(7);
    let node = world.node(1).await;
    node.store.set(Faults { deny: 1.0, ..Faults::default() });
    let submit = node.submit(Command::InitProducer { current: None });
    let before = node.store.puts();
    assert!(matches!(submit.await, Err(MetastoreError::Indeterminate(_))));
    seconds(70).await;
    let puts = node.store.puts() - before;
    assert!((20..100).contains(&puts), "{puts} puts in 100 seconds");
    node.store.set(Faults::default());
    node.submit(Command::InitProducer { current: None }).await.expect("the bucket is sound again");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_pushes_back_and_says_that_nothing_happened() {
    let mut world = World::new(3);
    world.config.appends_in_flight_max = 1;
    world.config.submissions_waiting_max = 2;
    let node = world.node(1).await;
    let topic = node.ids.topic();
    node.create_topic(topic).await.expect("the bucket is sound");
    node.store.set(Faults { before: 1.0, ..Faults::default() });
    let mut kept = Vec::new();
    let refused = loop {
        match node.metastore.enqueue(node.batch(topic, 0)).await {
            Ok(pending) => kept.push(pending),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, MetastoreError::Unavailable(_)), "{refused:?}");
    assert!(kept.len() <= 4, "{} were taken in", kept.len());
}

#[tokio::test(start_paused = true)]
async fn a_tail_check_that_cannot_ask_says_so() {
    let world = World::new(4);
    let node = world.node(1).await;
    node.store.set(Faults { before: 1.0, ..Faults::default() });
    let looked = node.metastore.tail_check().await;
    assert!(matches!(looked, Err(MetastoreError::Unavailable(_))), "{looked:?}");
    node.store.set(Faults::default());
    node.metastore.tail_check().await.expect("the bucket is sound again");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_differs_stops() {
    let world = World::new(5);
    let node = world.node(1).await;
    let store = world.store(Faults::default());
    let position = node.metastore.applied().get();
    let mut hash = node.metastore.read(State::hash);
    hash.chain ^= 1;
    let liar = Entry {
        id: node.ids.entry(),
        agent: node.ids.agent(),
        epoch: ebb_protocol::ids::AgentEpoch(0),
        number: 0,
        time: world.clock().now(),
        hash: Some(hash),
        commands: Vec::new(),
    };
    let bytes = EntryBytes { id: liar.id, head: liar.encode(0), body: Vec::new() };
    world.log(&store).append(position, &bytes).await.expect("the bucket is sound");
    let looked = node.metastore.tail_check().await;
    assert_eq!(looked, Err(MetastoreError::Diverged(hash.position)));
    let submitted = node.submit(Command::InitProducer { current: None }).await;
    assert_eq!(submitted, Err(MetastoreError::Diverged(hash.position)));
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_cannot_be_read_stops_the_replica_by_name() {
    for (damage, newer) in [((4_usize, 9_u8), true), ((100, 0xff), false)] {
        let world = World::new(6);
        let node = world.node(1).await;
        let position = node.metastore.applied().get();
        let entry = crate::log::conformance::entry(7, b"");
        let mut head = entry.head.to_vec();
        let (at, xor) = damage;
        match head.get_mut(at) {
            Some(byte) => *byte ^= xor,
            None => head.truncate(50),
        }
        let entry = EntryBytes { head: head.into(), ..entry };
        world.log(&world.store(Faults::default())).append(position, &entry).await.expect("it is free");
        let looked = node.metastore.tail_check().await;
        assert!(matches!(looked, Err(MetastoreError::Unreadable(at, _)) if at == position), "{looked:?}");
        match world.open(2, Faults::default()).await.err().expect("it must not be skipped") {
            OpenError::NewerFormat { object, .. } if newer => assert!(object.starts_with("log/"), "{object}"),
            OpenError::Damaged(object, _) if !newer => assert!(object.starts_with("log/"), "{object}"),
            other => panic!("{other}"),
        }
    }
}
