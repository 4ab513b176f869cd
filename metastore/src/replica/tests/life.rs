//! A replica's life without faults: founding, order, sharing, idleness, fencing, closing.

use futures::future::join_all;

use super::*;

#[tokio::test(start_paused = true)]
async fn racing_founders_agree() {
    let world = World::new(1);
    let faults = Faults { delay_ms: (5, 30), ..Faults::default() };
    let nodes = join_all((0..3).map(|name| world.open(name, faults.clone()))).await;
    let clusters: Vec<_> = nodes
        .into_iter()
        .map(|node| node.expect("the bucket is sound").metastore.read(State::cluster))
        .collect();
    assert!(clusters[0].is_some());
    assert!(clusters.iter().all(|cluster| *cluster == clusters[0]), "{clusters:?}");
}

#[tokio::test(start_paused = true)]
async fn what_one_was_answered_every_other_sees_after_a_look() {
    let world = World::new(1);
    let (a, b) = (world.node(1).await, world.node(2).await);
    let topic = a.ids.topic();
    assert_eq!(a.create_topic(topic).await, Ok(vec![Outcome::Done]));
    assert!(b.metastore.read(|state| state.topic_by_id(topic)).is_none(), "nobody told it yet");
    b.metastore.tail_check().await.expect("the bucket is sound");
    assert!(b.metastore.read(|state| state.topic_by_id(topic)).is_some());
    a.metastore.tail_check().await.expect("the bucket is sound");
    assert_same(&a, &b);
}

#[tokio::test(start_paused = true)]
async fn submissions_keep_their_order_whoever_waits_for_them() {
    let world = World::new(2);
    let node = world.node(1).await;
    node.store.set(Faults { delay_ms: (5, 80), ..Faults::default() });
    let topic = node.ids.topic();
    node.create_topic(topic).await.expect("the bucket is sound");
    let mut pending = Vec::new();
    for tag in 0..100 {
        let submitted = node.metastore.enqueue(node.batch(topic, tag)).await.expect("there is room");
        // Every third caller goes away.
        if tag % 3 != 0 {
            pending.push((tag, submitted));
        }
    }
    for (tag, pending) in pending {
        let outcomes = pending.outcomes().await.expect("the bucket is sound");
        assert_eq!(offset(&outcomes), tag);
    }
    node.metastore.tail_check().await.expect("the bucket is sound");
    assert_eq!(node.records(topic), (0..100).map(|tag| (tag, tag)).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_waits_goes_in_one_entry_and_several_entries_are_in_flight() {
    let mut world = World::new(3);
    world.config.appends_in_flight_max = 2;
    let node = world.node(1).await;
    let delay = 50;
    node.store.set(Faults { delay_ms: (delay, delay), ..Faults::default() });
    let before = node.metastore.applied().get();
    let begin = Instant::now();
    let submissions = (0..50).map(|_| async {
        node.submit(Command::InitProducer { current: None }).await.expect("the bucket is sound")
    });
    join_all(submissions).await;
    let entries = node.metastore.applied().get().0 - before.0;
    assert!(entries <= 3, "{entries} entries for 50 submissions that came together");
    assert!(begin.elapsed() <= Duration::from_millis(2 * delay + 1), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_entry_carries_one_body_at_most() {
    let mut world = World::new(4);
    world.config.appends_in_flight_max = 1;
    let node = world.node(1).await;
    let topic = node.ids.topic();
    node.create_topic(topic).await.expect("the bucket is sound");
    let before = node.metastore.applied().get();
    let submissions = (0..10).map(|tag| {
        let batch = node.batch(topic, tag);
        async { offset(&node.metastore.submit(batch).await.expect("the bucket is sound")) }
    });
    assert_eq!(join_all(submissions).await, (0..10).collect::<Vec<_>>());
    assert_eq!(node.metastore.applied().get().0 - before.0, 10);
}

#[tokio::test(start_paused = true)]
async fn looks_are_shared() {
    let world = World::new(5);
    let node = world.node(1).await;
    node.store.set(Faults { delay_ms: (20, 20), ..Faults::default() });
    let before = node.store.requests();
    let looks = join_all((0..100).map(|_| node.metastore.tail_check())).await;
    assert!(looks.iter().all(Result::is_ok));
    let requests = node.store.requests() - before;
    assert!(requests <= 2, "{requests} requests for 100 tail checks at once");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_began_before_the_question_does_not_answer_it() {
    let world = World::new(6);
    let (a, b) = (world.node(1).await, world.node(2).await);
    a.metastore.tail_check().await.expect("the bucket is sound");
    a.store.set(Faults { late_answer: Duration::from_millis(100), ..Faults::default() });
    let early = a.metastore.clone();
    let early = tokio::spawn(async move { early.tail_check().await });
    // The early look has read the tail and not brought the news home when the topic is acknowledged.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let topic = b.ids.topic();
    b.create_topic(topic).await.expect("the bucket is sound");
    a.metastore.tail_check().await.expect("the bucket is sound");
    assert!(a.metastore.read(|state| state.topic_by_id(topic)).is_some());
    early.await.expect("it does not panic").expect("the bucket is sound");
}

#[tokio::test(start_paused = true)]
async fn who_catches_up_knows_what_is_older_and_asks_once_for_it() {
    let world = World::new(7);
    let (a, b) = (world.node(1).await, world.node(2).await);
    let topic = b.ids.topic();
    let knows = || a.metastore.read(|state| state.topic_by_id(topic)).is_some();
    let (age_max, wait_max) = (Duration::from_secs(2), Duration::from_secs(1));
    a.metastore.tail_check().await.expect("the bucket is sound");
    b.create_topic(topic).await.expect("the bucket is sound");
    let before = a.store.requests();
    assert!(a.metastore.catch_up(age_max, wait_max).await);
    assert!(!knows() && a.store.requests() == before, "it is young enough");
    seconds(3).await;
    assert!(a.metastore.catch_up(age_max, wait_max).await);
    assert!(knows(), "it is older than two seconds");
    let before = a.store.requests();
    assert!(a.metastore.catch_up(age_max, wait_max).await);
    assert_eq!(a.store.requests(), before, "it has just looked");
    seconds(3).await;
    a.store.set(Faults { delay_ms: (5_000, 5_000), ..Faults::default() });
    let begun = Instant::now();
    assert!(!a.metastore.catch_up(age_max, wait_max).await, "the log is too slow");
    assert_eq!(begun.elapsed(), wait_max);
}

#[tokio::test(start_paused = true)]
async fn idleness_costs_no_request() {
    let world = World::new(7);
    let node = world.node(1).await;
    let topic = node.ids.topic();
    node.create_topic(topic).await.expect("the bucket is sound");
    node.metastore.tail_check().await.expect("the bucket is sound");
    let before = node.store.requests();
    seconds(3600).await;
    assert_eq!(node.store.requests(), before);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_put_out_is_told_so_and_still_reads() {
    let world = World::new(8);
    let old = world.node(1).await;
    let topic = old.ids.topic();
    old.create_topic(topic).await.expect("the bucket is sound");
    let new = world.node(1).await;
    let late = old.metastore.submit(old.batch(topic, 1)).await;
    assert_eq!(late, Err(MetastoreError::Fenced));
    let later = old.metastore.submit(old.batch(topic, 2)).await;
    assert_eq!(later, Err(MetastoreError::Fenced));
    assert_eq!(offset(&new.metastore.submit(new.batch(topic, 3)).await.expect("it is live")), 0);
    old.metastore.tail_check().await.expect("it may read");
    new.metastore.tail_check().await.expect("it may read");
    assert_eq!(old.records(topic), [(0, 3)]);
    assert_same(&old, &new);
}

#[tokio::test(start_paused = true)]
async fn what_comes_right_behind_the_registration_waits_for_its_epoch() {
    let world = World::new(12);
    let faults = Faults { delay_ms: (50, 50), ..Faults::default() };
    let node = world.open(1, faults).await.expect("the bucket is sound");
    let behind = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        node.submit(Command::InitProducer { current: None }).await
    };
    let (registered, behind) = tokio::join!(node.register(), behind);
    assert!(matches!(registered.as_deref(), Ok([Outcome::AgentRegistered { .. }])), "{registered:?}");
    assert!(matches!(behind.as_deref(), Ok([Outcome::ProducerReady { .. }])), "{behind:?}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_answers_everything_taken_in() {
    let world = World::new(9);
    let node = world.node(1).await;
    let topic = node.ids.topic();
    node.create_topic(topic).await.expect("the bucket is sound");
    node.store.set(Faults { delay_ms: (50, 90), ..Faults::default() });
    let mut pending = Vec::new();
    for tag in 0..20 {
        pending.push(node.metastore.enqueue(node.batch(topic, tag)).await.expect("there is room"));
    }
    node.metastore.shutdown().await;
    for (tag, pending) in pending.into_iter().enumerate() {
        assert_eq!(offset(&pending.outcomes().await.expect("it was taken in")), tag as i64);
    }
    assert!(matches!(node.metastore.enqueue(Submission::default()).await, Err(MetastoreError::Closed)));
    assert_eq!(node.metastore.tail_check().await, Err(MetastoreError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_metastore_stops_at_once() {
    let world = World::new(10);
    let node = world.node(1).await;
    node.store.set(Faults { delay_ms: (50, 50), ..Faults::default() });
    let pending = node
        .metastore
        .enqueue(Submission { commands: vec![Command::InitProducer { current: None }], body: Vec::new() });
    let pending = pending.await.expect("there is room");
    let Node { store, metastore, .. } = node;
    drop(metastore);
    assert!(pending.outcomes().await.is_err());
    let before = store.requests();
    seconds(100).await;
    assert_eq!(store.requests(), before);
}

#[derive(Debug, Default)]
struct Bodies(parking_lot::Mutex<Vec<(LogPosition, Vec<u8>)>>);

impl BodySink for Bodies {
    fn entry(&self, position: LogPosition, pieces: &[Bytes]) {
        self.0.lock().push((position, pieces.concat()));
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_pass_by_as_they_stand_in_their_objects() {
    let world = World::new(11);
    let (a, b) = (world.node(1).await, world.node(2).await);
    let (at_a, at_b) = (Arc::new(Bodies::default()), Arc::new(Bodies::default()));
    a.metastore.on_body(at_a.clone());
    b.metastore.on_body(at_b.clone());
    let topic = a.ids.topic();
    a.create_topic(topic).await.expect("the bucket is sound");
    a.metastore.submit(a.batch(topic, 1)).await.expect("the bucket is sound");
    b.metastore.tail_check().await.expect("the bucket is sound");
    let seen = at_a.0.lock().clone();
    assert_eq!(seen.len(), 1, "one entry has a body");
    assert_eq!(*at_b.0.lock(), seen);
    let key = a.metastore.entry_object(seen[0].0).expect("the bucket engine has objects");
    let object = object_store::ObjectStoreExt::get(&*world.bucket, &key).await.expect("it stands");
    assert_eq!(object.bytes().await.expect("it stands"), seen[0].1);
    let found = b.metastore.read(|s| s.find(topic, PartitionIndex(0), Offset(0), 1, 1));
    let range = found[0].range;
    let body = &seen[0].1[range.start as usize..range.end() as usize];
    assert_eq!(body, [&[1; 60][..], &[2; 40][..]].concat(), "coordinates point into the object");
}
