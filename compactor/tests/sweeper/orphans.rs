//! Segments that were uploaded and never committed.

use std::time::Duration;

use ebb_compactor::sweeper::{Tally, survey};
use ebb_metastore::{outcome::Refusal, state::State};
use ebb_protocol::random::Random;
use ebb_segment::key;
use object_store::ObjectStoreExt;
use tokio::time::sleep;

use crate::support::{BATCH_BYTES, HOUR, MINUTE, World};

#[tokio::test(start_paused = true)]
async fn the_orphan_of_a_crash_is_deleted_after_its_grace_and_not_before() {
    let world = World::new(1);
    let node = world.node(0).await;
    let topic = node.create_topic(1).await;
    let kept = node.upload().await;
    node.commit(kept, topic).await.expect("it is young");
    let orphan = node.upload().await;
    let sweeper = node.sweeper();
    sleep(24 * HOUR - MINUTE).await;
    assert!(world.bucket.has(orphan).await, "its agent may still commit it");
    sleep(HOUR).await;
    assert!(!world.bucket.has(orphan).await);
    assert!(world.bucket.has(kept).await);
    assert_eq!(node.commit(orphan, topic).await, Err(Refusal::SegmentTooOld));
    let counts = sweeper.counts();
    assert_eq!((counts.orphans_deleted, counts.bytes_deleted, counts.dead_deleted), (1, BATCH_BYTES, 0));
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_races_the_sweep_is_refused_or_its_object_survives() {
    for seed in 0..10 {
        let (mut refused, mut survived) = (0, 0);
        let mut world = World::new(seed);
        world.sweeping.orphans_per_pass_min = 1_000;
        let (awake, asleep) = (world.node(0).await, world.node(0).await);
        let topic = asleep.create_topic(1).await;
        let mut segments = Vec::new();
        for _ in 0..200 {
            segments.push(asleep.upload().await);
        }
        let sweeper = awake.sweeper();
        sleep(24 * HOUR).await;
        // Entries take long to write, so that commits come before, between and behind the sweeper's steps.
        world.bucket.slow_down(Duration::from_millis(2_900));
        for segment in segments {
            sleep(Duration::from_millis(2_000)).await;
            match asleep.commit(segment, topic).await {
                Ok(()) => {
                    survived += 1;
                    sleep(Duration::from_millis(10)).await;
                    assert!(world.bucket.has(segment).await, "seed {seed}: {segment} is committed and gone");
                }
                Err(refusal) => {
                    refused += 1;
                    assert_eq!(refusal, Refusal::SegmentTooOld, "seed {seed}");
                    assert!(!asleep.is_referenced(segment));
                }
            }
        }
        sleep(24 * HOUR).await;
        sweeper.shutdown().await;
        let left = world.bucket.keys("segments").await.len();
        assert_eq!(left, survived, "seed {seed}: what was refused is gone, and nothing else");
        assert!(refused > 5 && survived > 5, "seed {seed}: {refused} refused, {survived} survived");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_lands_after_its_sweep_is_swept_again() {
    let world = World::new(2);
    let node = world.node(0).await;
    let orphan = node.upload().await;
    let sweeper = node.sweeper();
    sleep(26 * HOUR).await;
    assert!(!world.bucket.has(orphan).await);
    node.upload_as(orphan).await;
    node.create_topic(1).await;
    sleep(12 * HOUR).await;
    assert!(!world.bucket.has(orphan).await);
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn clocks_that_are_off_by_hours_lose_nothing() {
    for skews in [[30, 0, -30], [-30, 0, 30], [0, 48, 0], [0, -48, 0]] {
        let world = World::new(3);
        let [sweeping, first, second] = skews;
        let nodes = [world.node(sweeping).await, world.node(first).await, world.node(second).await];
        let topic = nodes[0].create_topic(1).await;
        let sweeper = nodes[0].sweeper();
        let mut committed = Vec::new();
        for _ in 0..200 {
            for node in &nodes {
                node.upload().await;
                // As a client does: a refused produce is sent again, and gets a fresh id.
                let mut attempts = 0;
                loop {
                    let id = node.upload().await;
                    sleep(Duration::from_secs(2)).await;
                    match node.commit(id, topic).await {
                        Ok(()) => break committed.push(id),
                        Err(refusal) => assert_eq!(refusal, Refusal::SegmentTooOld),
                    }
                    attempts += 1;
                    assert!(attempts < 3, "clocks {skews:?}: a commit is refused again and again");
                }
            }
            sleep(7 * MINUTE).await;
        }
        sleep(12 * HOUR).await;
        for id in &committed {
            assert!(world.bucket.has(*id).await, "clocks {skews:?}: {id} is committed and gone");
        }
        sweeper.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_listing_does_no_harm() {
    let world = World::new(4);
    let node = world.node(0).await;
    let topic = node.create_topic(1).await;
    let (deleted, late) = (node.upload().await, node.upload().await);
    world.bucket.freeze_listings().await;
    let sweeper = node.sweeper();
    // Listed as uncommitted, and committed since; not listed at all; listed and gone.
    node.commit(late, topic).await.expect("it is young");
    let unseen = node.upload().await;
    node.commit(unseen, topic).await.expect("it is young");
    sleep(26 * HOUR).await;
    assert!(!world.bucket.has(deleted).await);
    node.create_topic(2).await;
    sleep(26 * HOUR).await;
    assert!(world.bucket.has(late).await && world.bucket.has(unseen).await);
    world.bucket.thaw_listings();
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_is_swept_as_a_bucket_is() {
    let world = World::new(10);
    let node = world.node(0).await;
    let topic = node.create_topic(1).await;
    let parent = tempfile::tempdir().expect("a temporary directory");
    let url = format!("file://{}", parent.path().join("store").display());
    let directory = ebb_segment::open::open(&url).expect("a directory");
    let put = async |id| directory.put(&key::of(id), "bytes".into()).await.expect("there is room");
    let has = async |id| directory.head(&key::of(id)).await.is_ok();
    let (kept, dying, orphan) = (node.upload().await, node.upload().await, node.upload().await);
    let doomed = node.create_topic(2).await;
    for (id, topic) in [(kept, Some(topic)), (dying, Some(doomed)), (orphan, None)] {
        put(id).await;
        if let Some(topic) = topic {
            node.commit(id, topic).await.expect("it is young");
        }
    }
    node.delete_topic(doomed).await;
    let sweeper = node.sweeper_on(directory.clone());
    sleep(26 * HOUR).await;
    assert!(has(kept).await && !has(dying).await && !has(orphan).await);
    assert_eq!(node.dead_count(), 0);
    let counts = sweeper.counts();
    assert_eq!((counts.dead_deleted, counts.orphans_deleted, counts.deletions_failed), (1, 1, 0));
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn failed_deletions_are_tried_again() {
    let world = World::new(5);
    let node = world.node(0).await;
    let mut orphans = Vec::new();
    for _ in 0..20 {
        orphans.push(node.upload().await);
    }
    world.bucket.fail_deletes(30);
    let sweeper = node.sweeper();
    sleep(27 * HOUR).await;
    for id in orphans {
        assert!(!world.bucket.has(id).await);
    }
    let counts = sweeper.counts();
    assert_eq!((counts.orphans_deleted, counts.deletions_failed), (20, 30));
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_breaker_slows_a_sweep_down() {
    let mut world = World::new(6);
    world.sweeping.orphans_per_pass_min = 2;
    let node = world.node(0).await;
    for _ in 0..20 {
        node.upload().await;
    }
    let sweeper = node.sweeper();
    sleep(24 * HOUR + 16 * MINUTE).await;
    let first = sweeper.counts().orphans_deleted;
    assert!((2..=6).contains(&first), "{first} deleted at once");
    sleep(4 * HOUR).await;
    assert_eq!(sweeper.counts().orphans_deleted, 20);
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn two_sweepers_do_what_one_does() {
    let world = World::new(7);
    let nodes = [world.node(0).await, world.node(0).await];
    let topic = nodes[0].create_topic(1).await;
    let doomed = nodes[1].create_topic(2).await;
    let sweepers = nodes.each_ref().map(|node| node.sweeper());
    let mut kept = Vec::new();
    for _ in 0..30 {
        for node in &nodes {
            kept.push(node.upload().await);
            node.commit(kept[kept.len() - 1], topic).await.expect("it is young");
            let dying = node.upload().await;
            node.commit(dying, doomed).await.expect("it is young");
            node.upload().await;
        }
        sleep(5 * MINUTE).await;
    }
    nodes[0].delete_topic(doomed).await;
    sleep(30 * HOUR).await;
    assert_eq!(world.bucket.keys("segments").await.len(), kept.len());
    for id in kept {
        assert!(world.bucket.has(id).await);
    }
    for sweeper in sweepers {
        sweeper.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_bucket_holds_what_is_referenced_and_what_is_young() {
    let world = World::new(8);
    let node = world.node(0).await;
    let random = Random::from_seed(8);
    let sweeper = node.sweeper();
    let mut topics = vec![node.create_topic(0).await];
    for round in 1..150 {
        let id = node.upload().await;
        let topic = topics[usize::try_from(random.below(topics.len() as u64)).expect("small")];
        if random.chance(0.7) {
            node.commit(id, topic).await.expect("it is young");
        }
        if random.chance(0.1) {
            topics.push(node.create_topic(round).await);
        }
        if topics.len() > 1 && random.chance(0.1) {
            node.delete_topic(topics.swap_remove(0)).await;
        }
        sleep(Duration::from_secs(random.below(3_600))).await;
    }
    // What is younger than the grace and the longest time to the next listing and pass.
    let found = look(&world, &node).await;
    assert!(found.segments.referenced.objects > 0 && found.segments.young.objects > 0, "{found:?}");
    let late = Duration::from_secs(24 * 60 * 60) + 10 * HOUR;
    let overdue = survey(&node.metastore.read(State::clone), &store(&world), node.now(), late).await;
    assert_eq!(overdue.expect("memory does not fail").segments.orphans, Tally::default());
    sleep(40 * HOUR).await;
    let found = look(&world, &node).await;
    assert_eq!(found.segments.unreferenced(), Tally::default());
    let held = node.metastore.read(|state| state.summary().bytes_referenced);
    assert_eq!(found.segments.referenced.bytes, held);
    let counts = sweeper.counts();
    assert_eq!((counts.bytes_referenced, counts.bytes_unreferenced), (held, 0));
    sweeper.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_cluster_is_left_alone() {
    let world = World::new(9);
    let nodes = [world.node(0).await, world.node(0).await];
    let topic = nodes[0].create_topic(1).await;
    let id = nodes[0].upload().await;
    nodes[0].commit(id, topic).await.expect("it is young");
    nodes[0].upload().await;
    let sweepers = nodes.each_ref().map(|node| node.sweeper());
    sleep(60 * HOUR).await;
    let settled = world.bucket.requests();
    sleep(24 * 30 * HOUR).await;
    assert_eq!(world.bucket.requests(), settled);
    let boundary = nodes[0].metastore.read(State::sweep_boundary);
    assert!(boundary < nodes[0].now());
    for sweeper in sweepers {
        assert!(sweeper.counts().listings >= 1);
        sweeper.shutdown().await;
    }
}

fn store(world: &World) -> std::sync::Arc<dyn object_store::ObjectStore> {
    world.bucket.clone()
}

pub(crate) async fn look(world: &World, node: &crate::support::Node) -> ebb_compactor::sweeper::Survey {
    let state = node.metastore.read(State::clone);
    survey(&state, &store(world), node.now(), 24 * HOUR).await.expect("memory does not fail")
}
