//! Snapshots, truncation, and replicas that slept.

use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::*;
use crate::command::Command;

async fn keys(world: &World, prefix: &str) -> Vec<String> {
    let prefix = Path::from(prefix);
    let listed: Result<Vec<_>, _> = world.bucket.list(Some(&prefix)).try_collect().await;
    listed.expect("the bucket is sound").into_iter().map(|object| object.location.to_string()).collect()
}

async fn work(node: &Node, entries: u64) {
    for _ in 0..entries {
        node.submit(Command::InitProducer { current: None }).await.expect("the bucket is sound");
    }
}

fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.config.snapshot_every_entries = 10;
    world.config.truncation_grace = Duration::from_secs(400);
    world
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_opens_reads_a_snapshot_and_what_is_behind_it() {
    let world = world(1);
    let node = world.node(1).await;
    work(&node, 35).await;
    seconds(1).await;
    assert_eq!(keys(&world, "snapshots").await.len(), 2, "old ones are deleted");
    let late = world.open(2, Faults::default()).await.expect("the bucket is sound");
    assert_same(&node, &late);
    let requests = late.store.requests();
    assert!(requests < 30, "{requests} requests, the log was read from its beginning");
}

#[tokio::test(start_paused = true)]
async fn shutdown_saves_the_next_start_much_reading() {
    let world = world(2);
    let node = world.node(1).await;
    work(&node, 5).await;
    node.metastore.shutdown().await;
    assert_eq!(keys(&world, "snapshots").await.len(), 1);
    let next = world.open(2, Faults::default()).await.expect("the bucket is sound");
    assert_same(&node, &next);
    next.metastore.shutdown().await;
    assert_eq!(keys(&world, "snapshots").await.len(), 1, "nothing has happened since");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_snapshot_is_passed_over_and_a_newer_format_is_not() {
    let world = world(3);
    let node = world.node(1).await;
    work(&node, 35).await;
    seconds(1).await;
    let newest = keys(&world, "snapshots").await.into_iter().max().expect("there are two");
    let path = Path::from(newest.as_str());
    let sound = world.bucket.get(&path).await.expect("it stands").bytes().await.expect("it stands");
    let put = async |bytes: Vec<u8>| {
        world.bucket.put(&path, bytes.into()).await.expect("the bucket is sound");
    };
    let mut damaged = sound.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    put(damaged).await;
    let late = world.open(2, Faults::default()).await.expect("the older one is sound");
    assert_same(&node, &late);

    let mut newer = sound.to_vec();
    newer[4] = crate::snapshot::SNAPSHOT_VERSION + 1;
    put(newer).await;
    match world.open(3, Faults::default()).await.err() {
        Some(OpenError::NewerFormat { object, found, .. }) => {
            assert_eq!((object, found), (newest.clone(), 2))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn no_cluster_is_founded_over_the_rest_of_another() {
    let world = world(9);
    let node = world.node(1).await;
    work(&node, 12).await;
    seconds(1).await;
    for key in keys(&world, "snapshots").await.into_iter().chain(["log/00000000000000000000".to_owned()]) {
        world.bucket.delete(&Path::from(key)).await.expect("the bucket is sound");
    }
    match world.open(2, Faults::default()).await.err() {
        Some(OpenError::Damaged(object, _)) => assert_eq!(object, "the commit log"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_is_truncated_a_grace_after_the_boundary_was_declared() {
    let world = world(4);
    let node = world.node(1).await;
    let topic = node.ids.topic();
    node.create_topic(topic).await.expect("the bucket is sound");
    node.metastore.submit(node.batch(topic, 7)).await.expect("the bucket is sound");
    work(&node, 30).await;
    seconds(1).await;
    let first = node.metastore.read(State::truncated_below);
    assert!(first > LogPosition(0), "declared");
    assert!(keys(&world, "log").await.len() > 30, "and not carried out");
    seconds(401).await;
    work(&node, 12).await;
    seconds(1).await;
    let below: Vec<_> =
        keys(&world, "log").await.into_iter().filter(|key| *key < format!("log/{:020}", first.0)).collect();
    let records = node.metastore.entry_object(LogPosition(3)).map(|key| key.to_string());
    assert_eq!(below, Vec::from_iter(records), "only the entry that holds records stays");
    work(&node, 2).await;
    assert!(node.metastore.read(State::truncated_below) > first, "the next boundary is declared");
    let late = world.open(2, Faults::default()).await.expect("the bucket is sound");
    assert_same(&node, &late);
    assert_eq!(late.records(topic), [(0, 7)]);
}

/// Lets one agent sleep while the other goes on until what stood in front of the sleeper has been dropped.
async fn drop_in_front_of(world: &World, sleeper: &Node, other: &Node) {
    sleeper.metastore.tail_check().await.expect("the bucket is sound");
    let front = sleeper.metastore.applied().get();
    work(other, 30).await;
    // The machine of the sleeper is suspended: only the wall clock tells.
    world.clock.slept_ms.fetch_add(401_000, Ordering::Relaxed);
    work(other, 30).await;
    seconds(1).await;
    let key = sleeper.metastore.entry_object(front).expect("the bucket engine has objects").to_string();
    assert!(!keys(world, "log").await.contains(&key), "position {front} was dropped");
}

#[tokio::test(start_paused = true)]
async fn one_that_slept_does_not_take_a_dropped_position_for_the_tail() {
    let world = world(5);
    let (sleeper, other) = (world.node(1).await, world.node(2).await);
    drop_in_front_of(&world, &sleeper, &other).await;
    sleeper.metastore.tail_check().await.expect("the bucket is sound");
    assert_same(&sleeper, &other);
}

#[tokio::test(start_paused = true)]
async fn one_that_slept_does_not_believe_an_append_at_a_dropped_position() {
    let world = world(6);
    let (sleeper, other) = (world.node(1).await, world.node(2).await);
    let topic = other.ids.topic();
    other.create_topic(topic).await.expect("the bucket is sound");
    drop_in_front_of(&world, &sleeper, &other).await;
    let outcomes = sleeper.metastore.submit(sleeper.batch(topic, 1)).await.expect("it finds its way back");
    assert_eq!(offset(&outcomes), 0);
    other.metastore.tail_check().await.expect("the bucket is sound");
    assert_eq!(other.records(topic), [(0, 1)], "what was acknowledged is in the log for all");
    assert_same(&sleeper, &other);
}

#[tokio::test(start_paused = true)]
async fn one_that_slept_and_was_put_out_meanwhile_is_fenced() {
    let world = world(7);
    let (sleeper, other) = (world.node(1).await, world.node(2).await);
    let again = world.node(1).await;
    drop_in_front_of(&world, &again, &other).await;
    world.clock.slept_ms.fetch_add(401_000, Ordering::Relaxed);
    let late = sleeper.submit(Command::InitProducer { current: None }).await;
    assert_eq!(late, Err(MetastoreError::Fenced));
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_was_applied_while_its_agent_slept_is_indeterminate() {
    let mut world = world(8);
    world.config.append_deadline = Duration::from_secs(10_000);
    let (sleeper, other) = (world.node(1).await, world.node(2).await);
    let topic = other.ids.topic();
    other.create_topic(topic).await.expect("the bucket is sound");
    sleeper.metastore.tail_check().await.expect("the bucket is sound");
    // The entry is written and its answer takes as long as the sleep.
    sleeper.store.set(Faults { after: 1.0, late_answer: Duration::from_secs(2), ..Faults::default() });
    let pending = sleeper.metastore.enqueue(sleeper.batch(topic, 1)).await.expect("there is room");
    seconds(1).await;
    other.metastore.tail_check().await.expect("the bucket is sound");
    assert_eq!(other.records(topic), [(0, 1)]);
    // Its records are deleted, so that nothing keeps the entry's object.
    let delete = Command::DeleteTopic { topic };
    other.submit(delete).await.expect("the bucket is sound");
    let dead = other.metastore.read(|state| state.kept_entries(LogPosition(u64::MAX)));
    let objects = dead.into_iter().map(crate::command::ObjectRef::Entry).collect();
    other.submit(Command::ForgetObjects { objects }).await.expect("the bucket is sound");
    work(&other, 30).await;
    world.clock.slept_ms.fetch_add(401_000, Ordering::Relaxed);
    work(&other, 30).await;
    sleeper.store.set(Faults::default());
    let answer = pending.outcomes().await;
    assert!(matches!(answer, Err(MetastoreError::Indeterminate(_))), "{answer:?}");
    sleeper.submit(Command::InitProducer { current: None }).await.expect("it goes on");
    other.metastore.tail_check().await.expect("the bucket is sound");
    assert_same(&sleeper, &other);
}
