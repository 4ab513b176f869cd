//! Several replicas on one bucket through everything at once, by seed. What was acknowledged stands in the log once,
//! where it was said to stand, and in each agent's order; and all replicas have the same history.

use std::collections::BTreeMap;

use futures::future::join_all;

use super::*;

const BATCHES: i64 = 30;

/// What one agent was told of its batches: the offset, or nothing certain.
type Told = Vec<(i64, Result<i64, MetastoreError>)>;

async fn produce(node: &Node, topic: TopicId, random: &Random) -> Told {
    let mut pending = Vec::new();
    for index in 0..BATCHES {
        let tag = i64::try_from(node.name).expect("names are small") * 1_000 + index;
        match node.metastore.enqueue(node.batch(topic, tag)).await {
            Ok(submitted) => pending.push((tag, submitted)),
            Err(error) => assert!(matches!(error, MetastoreError::Unavailable(_)), "{error}"),
        }
        if random.chance(0.3) {
            tokio::time::sleep(Duration::from_millis(random.below(200))).await;
        }
    }
    let told = pending.into_iter().map(|(tag, pending)| async move {
        (tag, pending.outcomes().await.map(|outcomes| offset(&outcomes)))
    });
    join_all(told).await
}

async fn run(seed: u64, agents: u64, faults: Faults) {
    let mut world = World::new(seed);
    world.config.snapshot_every_entries = 16;
    world.config.truncation_grace = Duration::from_secs(40);
    let founder = world.node(99).await;
    let topic = founder.ids.topic();
    founder.create_topic(topic).await.expect("the bucket is sound");
    let mut nodes = Vec::new();
    for name in 1..=agents {
        nodes.push(world.node(name).await);
    }
    nodes.iter().for_each(|node| node.store.set(faults.clone()));
    let told = join_all(nodes.iter().map(|node| produce(node, topic, &world.random))).await;
    nodes.iter().for_each(|node| node.store.set(Faults::default()));
    // Whatever is still on its way lands or is lost for good.
    seconds(120).await;
    for node in &nodes {
        let look = tokio::time::timeout(Duration::from_secs(30), node.metastore.tail_check()).await;
        look.expect("it goes on when the faults stop").expect("the bucket is sound again");
    }
    founder.metastore.tail_check().await.expect("the bucket is sound");
    // Late answers may have been appended by one agent after another looked.
    for node in &nodes {
        node.metastore.tail_check().await.expect("the bucket is sound");
        assert_same(&founder, node);
    }
    check(seed, &founder.records(topic), &told);
    let late = world.node(98).await;
    assert_eq!(late.records(topic), founder.records(topic), "seed {seed}: a replica that comes later");
}

fn check(seed: u64, records: &[(i64, i64)], told: &[Told]) {
    let mut stands = BTreeMap::new();
    for (index, (offset, tag)) in records.iter().enumerate() {
        assert_eq!(*offset, index as i64, "seed {seed}: offsets are dense");
        assert!(stands.insert(*tag, *offset).is_none(), "seed {seed}: batch {tag} stands there twice");
    }
    for batches in told {
        let mut last = -1;
        for (tag, answer) in batches {
            let at = stands.get(tag).copied();
            match answer {
                Ok(offset) => assert_eq!(at, Some(*offset), "seed {seed}: batch {tag} was acknowledged"),
                Err(MetastoreError::Indeterminate(_)) => {}
                Err(MetastoreError::Unavailable(_)) => {
                    assert_eq!(at, None, "seed {seed}: batch {tag} was said to have had no effect");
                }
                Err(error) => panic!("seed {seed}: batch {tag}: {error}"),
            }
            if let Some(at) = at {
                assert!(at > last, "seed {seed}: batch {tag} overtook another of its agent");
                last = at;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_agent_through_everything() {
    for seed in 0..20 {
        run(seed, 1, Faults::chaos()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_agents_through_everything() {
    for seed in 100..120 {
        run(seed, 2, Faults::chaos()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn three_agents_through_everything() {
    for seed in 200..215 {
        run(seed, 3, Faults::chaos()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn three_agents_race_without_faults() {
    for seed in 300..310 {
        run(seed, 3, Faults { delay_ms: (20, 60), ..Faults::default() }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_with_a_longer_way_to_the_store_is_not_starved() {
    let world = World::new(1);
    let (near, far) = (world.node(1).await, world.node(2).await);
    let topic = near.ids.topic();
    near.create_topic(topic).await.expect("the bucket is sound");
    near.store.set(Faults { delay_ms: (10, 12), ..Faults::default() });
    far.store.set(Faults { delay_ms: (35, 40), ..Faults::default() });
    let busy = async {
        for tag in 0.. {
            // As many at once as may be in flight, without a pause.
            let batches = (0..8).map(|_| near.metastore.submit(near.batch(topic, tag)));
            assert!(join_all(batches).await.iter().all(Result::is_ok));
        }
    };
    let asking = async {
        for tag in 0..20 {
            far.metastore.submit(far.batch(topic, -tag)).await.expect("it gets its turn");
        }
    };
    tokio::select! {
        biased;
        () = asking => {}
        () = busy => {}
        () = seconds(60) => panic!("the far agent is starved"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_has_the_same_history() {
    async fn history(seed: u64) -> crate::entry::StateHash {
        let world = World::new(seed);
        let node = world.node(1).await;
        let topic = node.ids.topic();
        node.create_topic(topic).await.expect("the bucket is sound");
        node.store.set(Faults::chaos());
        produce(&node, topic, &world.random).await;
        seconds(60).await;
        node.metastore.read(State::hash)
    }
    assert_eq!(history(7).await, history(7).await);
    assert_ne!(history(7).await, history(8).await);
}
