//! Archive files: dead ones after a grace of their own, and those that were never published.

use std::time::Duration;

use ebb_compactor::sweeper::Tally;
use ebb_metastore::{outcome::Refusal, state::State};
use ebb_protocol::ids::{ArchiveId, TopicId};
use tokio::time::sleep;

use crate::support::{ARCHIVE_BYTES, HOUR, MINUTE, Node, World};

/// A topic with one published archive file, whose segment is dead by it.
async fn published(node: &Node) -> (TopicId, ArchiveId) {
    let topic = node.create_topic(1).await;
    let segment = node.upload().await;
    node.commit(segment, topic).await.expect("it is young");
    let file = node.upload_archive(topic).await;
    node.publish(file, topic).await.expect("it is made from what is there");
    (topic, file)
}

#[tokio::test(start_paused = true)]
async fn a_dead_file_outlives_the_segments_by_its_own_grace() {
    let world = World::new(1);
    let node = world.node(0).await;
    let (topic, file) = published(&node).await;
    let sweeper = node.sweeper();
    sleep(2 * HOUR).await;
    assert_eq!(world.bucket.keys("segments").await, [""; 0], "what it was made from is gone");
    node.delete_topic(topic).await;
    sleep(24 * HOUR - MINUTE).await;
    assert!(world.bucket.has_archive(topic, file).await, "analysts may read an old snapshot");
    sleep(HOUR).await;
    assert!(!world.bucket.has_archive(topic, file).await, "its key is known though the topic is gone");
    assert_eq!(node.dead_count(), 0, "it is forgotten");
    let counts = sweeper.counts();
    assert_eq!((counts.dead_deleted, counts.orphans_deleted), (2, 0));
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_replaced_file_takes_its_snapshots_along() {
    let world = World::new(2);
    let node = world.node(0).await;
    let (topic, old) = published(&node).await;
    let merged = node.upload_archive(topic).await;
    node.publish(merged, topic).await.expect("it is made from what is there");
    let kept = |state: &State| {
        let table = state.table(topic).expect("it has had files");
        (table.snapshots().len(), table.file(old).is_some(), table.file(merged).is_some())
    };
    assert_eq!(node.metastore.read(kept), (2, true, true));
    let sweeper = node.sweeper();
    sleep(26 * HOUR).await;
    assert!(!world.bucket.has_archive(topic, old).await);
    assert!(world.bucket.has_archive(topic, merged).await, "it is in use");
    assert_eq!(node.metastore.read(kept), (1, false, true), "no snapshot names what is gone");
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_never_published_is_swept_and_stays_unpublished() {
    let world = World::new(3);
    let node = world.node(0).await;
    let (topic, file) = published(&node).await;
    let orphan = node.upload_archive(topic).await;
    // The orphan of a topic that is gone, and keys that are not ours.
    let stray = TopicId(uuid::Uuid::from_u128(99));
    let gone = node.upload_archive(stray).await;
    world.bucket.put_at("archive/notes.txt").await;
    let sweeper = node.sweeper();
    sleep(24 * HOUR - MINUTE).await;
    assert!(world.bucket.has_archive(topic, orphan).await, "its compactor may still publish it");
    sleep(HOUR).await;
    assert!(!world.bucket.has_archive(topic, orphan).await);
    assert!(!world.bucket.has_archive(stray, gone).await);
    assert!(world.bucket.has_archive(topic, file).await);
    assert_eq!(world.bucket.keys("archive").await.len(), 2, "strangers are left alone");
    assert_eq!(node.publish(orphan, topic).await, Err(Refusal::ArchiveTooOld));
    let counts = sweeper.counts();
    assert_eq!((counts.orphans_deleted, counts.dead_deleted), (2, 1));
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_archive_is_counted_apart() {
    let world = World::new(4);
    let node = world.node(0).await;
    let (topic, _) = published(&node).await;
    node.upload_archive(topic).await;
    let found = crate::orphans::look(&world, &node).await;
    let one = Tally { objects: 1, bytes: ARCHIVE_BYTES };
    assert_eq!((found.archives.referenced, found.archives.young), (one, one));
    assert_eq!((found.segments.dead.objects, found.segments.referenced.objects), (1, 0));
    assert_eq!(found.objects(), 3);
    let sweeper = node.sweeper();
    sleep(HOUR / 2).await;
    let counts = sweeper.counts();
    assert_eq!(counts.objects_listed, 3);
    assert_eq!((counts.archive_bytes_referenced, counts.archive_bytes_unreferenced), (1_000, 1_000));
    assert_eq!(counts.bytes_referenced, 0);
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn processes_that_do_not_live_long_sweep_the_archive_in_the_end() {
    let world = World::new(5);
    let node = world.node(0).await;
    let (topic, file) = published(&node).await;
    node.delete_topic(topic).await;
    for hours in 0..60 {
        let sweeper = node.sweeper();
        sleep(Duration::from_secs(40 * 60)).await;
        sweeper.shutdown().await;
        sleep(Duration::from_secs(20 * 60)).await;
        assert!(hours > 46 || world.bucket.has_archive(topic, file).await, "{hours} hours");
    }
    assert!(!world.bucket.has_archive(topic, file).await);
    assert_eq!(node.dead_count(), 0);
}

#[cfg(feature = "planted-bugs")]
#[tokio::test(start_paused = true)]
async fn planted_a_sweeper_that_ignores_the_grace_of_files_is_found() {
    use ebb_protocol::planted::{Bug, plant};
    let lives_for_two_hours = async || {
        let world = World::new(6);
        let node = world.node(0).await;
        let (topic, file) = published(&node).await;
        let sweeper = node.sweeper();
        node.delete_topic(topic).await;
        sleep(2 * HOUR).await;
        sweeper.shutdown().await;
        world.bucket.has_archive(topic, file).await
    };
    assert!(lives_for_two_hours().await);
    plant(Some(Bug::ArchiveGraceIgnored));
    let lives = lives_for_two_hours().await;
    plant(None);
    assert!(!lives);
}
