//! Objects that coordinates referred to once.

use ebb_metastore::{command::ObjectRef, state::State};
use ebb_protocol::ids::LogPosition;
use tokio::time::sleep;

use crate::support::{BATCH_BYTES, HOUR, MINUTE, World};

#[tokio::test(start_paused = true)]
async fn a_deleted_topic_vanishes_after_the_grace_and_not_before() {
    let world = World::new(1);
    let node = world.node(0).await;
    let (doomed, other) = (node.create_topic(1).await, node.create_topic(2).await);
    let mut dying = Vec::new();
    for _ in 0..5 {
        dying.push(node.upload().await);
        node.commit(dying[dying.len() - 1], doomed).await.expect("it is young");
    }
    let kept = node.upload().await;
    node.commit(kept, other).await.expect("it is young");
    let sweeper = node.sweeper();
    sleep(3 * HOUR).await;
    node.delete_topic(doomed).await;
    sleep(HOUR).await;
    for id in &dying {
        assert!(world.bucket.has(*id).await, "a fetch may still read it");
    }
    sleep(HOUR).await;
    for id in &dying {
        assert!(!world.bucket.has(*id).await);
        assert!(node.commit(*id, other).await.is_err(), "it stays dead");
    }
    assert!(world.bucket.has(kept).await);
    assert_eq!(node.dead_count(), 0, "they are forgotten");
    let counts = sweeper.counts();
    assert_eq!((counts.dead_deleted, counts.bytes_deleted), (5, 5 * BATCH_BYTES));
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_object_is_forgotten_only_when_its_deletion_is_confirmed() {
    let world = World::new(2);
    let node = world.node(0).await;
    let doomed = node.create_topic(1).await;
    for _ in 0..4 {
        let id = node.upload().await;
        node.commit(id, doomed).await.expect("it is young");
    }
    let sweeper = node.sweeper();
    node.delete_topic(doomed).await;
    world.bucket.fail_deletes(u64::MAX);
    sleep(3 * HOUR).await;
    assert_eq!(node.dead_count(), 4);
    assert_eq!(world.bucket.keys("segments").await.len(), 4);
    world.bucket.fail_deletes(1);
    sleep(HOUR).await;
    assert_eq!(node.dead_count(), 0);
    assert_eq!(world.bucket.keys("segments").await, [""; 0]);
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_does_not_shorten_the_grace() {
    let world = World::new(3);
    let node = world.node(0).await;
    let doomed = node.create_topic(1).await;
    let id = node.upload().await;
    node.commit(id, doomed).await.expect("it is young");
    let sweeper = node.sweeper();
    node.delete_topic(doomed).await;
    node.set_skew(20);
    node.create_topic(2).await;
    sleep(50 * MINUTE).await;
    assert!(world.bucket.has(id).await, "a clock 20 hours ahead has not aged it");
    sleep(HOUR).await;
    assert!(!world.bucket.has(id).await);
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn processes_that_do_not_live_long_sweep_in_the_end() {
    let world = World::new(4);
    let node = world.node(0).await;
    let doomed = node.create_topic(1).await;
    let id = node.upload().await;
    node.commit(id, doomed).await.expect("it is young");
    node.delete_topic(doomed).await;
    for _ in 0..40 {
        let sweeper = node.sweeper();
        sleep(40 * MINUTE).await;
        sweeper.shutdown().await;
    }
    assert!(!world.bucket.has(id).await);
    assert_eq!(node.dead_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_body_inside_the_log_goes_with_the_log() {
    let mut world = World::new(5);
    world.metastore.snapshot_every_entries = 8;
    let node = world.node(0).await;
    let (doomed, other) = (node.create_topic(1).await, node.create_topic(2).await);
    let dying = node.append_inline(doomed).await;
    let kept = node.append_inline(other).await;
    let sweeper = node.sweeper();
    let has = async |position: LogPosition| {
        let key = node.metastore.entry_object(position).expect("the log is in the bucket").to_string();
        world.bucket.keys("log").await.contains(&key)
    };
    let age = async || {
        for _ in 0..40 {
            node.append_inline(other).await;
            sleep(HOUR).await;
        }
    };
    age().await;
    assert!(node.metastore.read(State::truncated_below) > kept, "the log was truncated");
    assert!(has(dying).await && has(kept).await, "their bodies are referenced");
    node.delete_topic(doomed).await;
    sleep(3 * HOUR).await;
    assert_eq!(node.dead_count(), 0, "it is forgotten");
    assert!(has(dying).await, "the log's objects are the log's to delete");
    age().await;
    assert!(!has(dying).await, "truncation keeps it no longer");
    assert!(has(kept).await);
    assert!(node.metastore.read(|state| state.is_referenced(ObjectRef::Entry(kept))));
    sweeper.shutdown().await;
}
