//! The rewriter on a bucket in memory: what it writes, what it waits for, and what happens when it is disturbed.

mod dues;
mod flipping;
mod keys;
mod layout;
mod merge;
mod retention;
mod support;
mod typed;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ebb_compactor::rewriter::{Done, RewriteError};
use ebb_metastore::{
    command::{Command, ObjectRef, Work},
    outcome::Outcome,
    state::State,
};
use ebb_protocol::{
    batch::{BatchBuilder, Compression, RecordBatch},
    ids::{LogPosition, Offset, PartitionIndex, Timestamp, TopicId},
};
use ebb_segment::key;
use futures::StreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt,
    path::Path,
    throttle::{ThrottleConfig, ThrottledStore},
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::{SECOND, Sent, World, submit, unarchived};

#[tokio::test(start_paused = true)]
async fn a_window_becomes_a_file_a_topic() {
    let world = World::new(1);
    let agent = world.member().await;
    let (one, two) = (world.create_topic(&agent, 1).await, world.create_topic(&agent, 2).await);
    world.commit(&agent, &[(one, 0), (two, 1), (one, 1), (one, 0)]).await;
    world.commit_inline(&agent, &[(one, 0), (two, 0)]).await;
    world.commit(&agent, &[(two, 1)]).await;
    let mut rewriter = world.rewriter(&agent);
    assert_eq!(rewriter.pass(true).await.expect("nothing is disturbed"), Done::Window);
    assert_eq!(rewriter.pass(true).await.expect("nothing is disturbed"), Done::Nothing(None));
    assert_eq!(unarchived(&agent), []);
    for topic in [one, two] {
        assert!(world.all_archived(&agent, topic).await);
        let files = agent.metastore().read(|state| state.table(topic).map(|table| table.files().count()));
        assert_eq!(files, Some(1));
    }
    let counts = rewriter.counters().counts();
    let sent: u64 = world.sent.lock().values().flatten().map(|batch| batch.record_count() as u64).sum();
    assert_eq!((counts.windows, counts.files, counts.records), (1, 2, sent));
    // The segments wait for the sweeper; the entry is the log's own until that is truncated.
    assert_eq!(agent.metastore().read(|state| state.dead_objects().count()), 2);
}

#[tokio::test(start_paused = true)]
async fn the_files_of_a_window_do_not_wait_for_each_other() {
    let mut world = World::new(12);
    world.config.requests_per_second_max = 1e6;
    world.config.files_in_flight_max = 8;
    let agent = world.member().await;
    let mut topics = Vec::new();
    for number in 0..16 {
        topics.push(world.create_topic(&agent, number).await);
    }
    let all: Vec<_> = topics.iter().map(|topic| (*topic, 0)).collect();
    world.commit(&agent, &all).await;
    let slow =
        ThrottleConfig { wait_put_per_call: SECOND, wait_get_per_call: SECOND, ..ThrottleConfig::default() };
    let bucket: Arc<dyn ObjectStore> = world.bucket.clone();
    let mut rewriter = world.rewriter_on(&agent, Arc::new(ThrottledStore::new(bucket, slow)));
    let began = Instant::now();
    assert_eq!(rewriter.pass(true).await.expect("nothing is disturbed"), Done::Window);
    // One GET for the segment; then each file takes a PUT, and a GET as it is small.
    assert_eq!(began.elapsed().as_secs(), 1 + 2 * 16 / 8);
    for topic in topics {
        assert!(world.all_archived(&agent, topic).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_waits_until_it_is_full_or_old() {
    let mut world = World::new(2);
    world.config.window_bytes = 1_000;
    world.config.window_age = SECOND * 60;
    let agent = world.member().await;
    let topic = world.create_topic(&agent, 1).await;
    let mut rewriter = world.rewriter(&agent);
    assert_eq!(rewriter.pass(false).await.expect("nothing is disturbed"), Done::Nothing(None));
    world.commit(&agent, &[(topic, 0)]).await;
    let Done::Nothing(Some(due)) = rewriter.pass(false).await.expect("nothing is disturbed") else {
        panic!("one small segment is not due at once");
    };
    assert!((SECOND * 59..=SECOND * 60).contains(&(due - Instant::now())));
    for _ in 0..10 {
        world.commit(&agent, &[(topic, 0)]).await;
    }
    assert_eq!(rewriter.pass(false).await.expect("nothing is disturbed"), Done::Window, "one is full");
    while rewriter.pass(false).await.expect("nothing is disturbed") == Done::Window {}
    assert!(!unarchived(&agent).is_empty(), "the last one is not full");
    sleep(SECOND * 61).await;
    assert_eq!(rewriter.pass(false).await.expect("nothing is disturbed"), Done::Window, "it is old");
    assert!(world.all_archived(&agent, topic).await);
}

#[tokio::test(start_paused = true)]
async fn a_task_archives_by_itself_and_is_idle_when_there_is_nothing() {
    let world = World::new(3);
    let agent = world.member().await;
    let topic = world.create_topic(&agent, 1).await;
    let task = tokio::spawn(world.rewriter(&agent).run());
    world.commit(&agent, &[(topic, 0), (topic, 1)]).await;
    sleep(world.config.window_age + SECOND * 10).await;
    assert_eq!(unarchived(&agent), []);
    assert!(world.all_archived(&agent, topic).await);
    let position = agent.metastore().read(State::position);
    sleep(SECOND * 100_000).await;
    assert_eq!(agent.metastore().read(State::position), position, "an idle cluster gets no entries");
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_compactor_finds_what_others_have_written_while_it_had_nothing_to_do() {
    let world = World::new(13);
    let (agent, compactor) = (world.member().await, world.member().await);
    let topic = world.create_topic(&agent, 1).await;
    let rewriting = world.rewriter(&compactor).run();
    let written = async {
        for _ in 0..3 {
            sleep(SECOND * 10_000).await;
            world.commit(&agent, &[(topic, 0)]).await;
            sleep(world.config.window_age + SECOND * 30).await;
            agent.metastore().tail_check().await.expect("the bucket is sound");
            assert_eq!(unarchived(&agent), []);
        }
    };
    tokio::select! {
        biased;
        () = rewriting => panic!("it ends when it can write no more"),
        () = compactor.follow(SECOND * 10) => panic!("it follows for ever"),
        () = written => {}
    }
    assert!(world.all_archived(&agent, topic).await);
}

/// Puts other bytes in place of an object's; `None` deletes it.
async fn spoil(world: &World, key: &Path, change: impl Fn(&mut Vec<u8>) -> bool) {
    let found = world.bucket.get(key).await.expect("it is there").bytes().await.expect("memory");
    let mut bytes = found.to_vec();
    if change(&mut bytes) {
        world.bucket.put(key, bytes.into()).await.expect("memory does not fail");
    } else {
        world.bucket.delete(key).await.expect("memory does not fail");
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_with_a_bad_segment_stays_and_the_others_go_on() {
    type Change = fn(&mut Vec<u8>) -> bool;
    let missing: Change = |_| false;
    let truncated: Change = |bytes| {
        bytes.truncate(bytes.len() / 2);
        true
    };
    let flipped: Change = |bytes| {
        // In the middle of the batch: behind the segment's header, before its footer.
        let at = bytes.len() / 3;
        bytes[at] ^= 1;
        true
    };
    for (seed, change) in (4..).zip([missing, truncated, flipped]) {
        let mut world = World::new(seed);
        world.config.window_bytes = 1;
        let agent = world.member().await;
        let topic = world.create_topic(&agent, 1).await;
        world.commit(&agent, &[(topic, 0)]).await;
        let bad = world.commit(&agent, &[(topic, 0), (topic, 1)]).await;
        world.commit(&agent, &[(topic, 1)]).await;
        spoil(&world, &key::of(bad), change).await;
        let mut rewriter = world.rewriter(&agent);
        let mut failures = Vec::new();
        let due = loop {
            match rewriter.pass(true).await {
                Ok(Done::Window) => {}
                Ok(Done::Nothing(due)) => break due.expect("the bad one is tried again"),
                Err(error) => failures.push(error),
            }
        };
        let [failure] = &failures[..] else { panic!("one window fails: {failures:?}") };
        let named = failure.to_string();
        assert!(named.contains(&bad.to_string()) || named.contains(&format!("{bad:?}")), "{named}");
        assert!(matches!(failure, RewriteError::Source { .. } | RewriteError::Damaged { .. }), "{failure:?}");
        assert_eq!(unarchived(&agent), [ObjectRef::Segment(bad)], "the others are archived");
        assert_eq!(rewriter.counters().counts().windows_failed, 1);
        sleep_until(due).await;
        assert!(rewriter.pass(true).await.is_err(), "it is tried again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_segment_costs_its_window_nothing_but_its_own_records() {
    let world = World::new(20);
    let agent = world.member().await;
    let (one, two) = (world.create_topic(&agent, 1).await, world.create_topic(&agent, 2).await);
    world.commit(&agent, &[(one, 0), (one, 0), (two, 0)]).await;
    let bad = world.commit(&agent, &[(one, 0), (two, 1)]).await;
    world.commit(&agent, &[(one, 0), (one, 1), (two, 0)]).await;
    world.bucket.delete(&key::of(bad)).await.expect("memory does not fail");
    let mut rewriter = world.rewriter(&agent);
    let failure = rewriter.pass(true).await.expect_err("acknowledged records are lost");
    assert!(matches!(failure, RewriteError::Source { .. }), "{failure:?}");
    assert_eq!(unarchived(&agent), [ObjectRef::Segment(bad)], "the others are archived");
    let lost = |at: (TopicId, PartitionIndex), offset: Offset| {
        agent.metastore().read(|state| {
            let rows = state.find(at.0, at.1, offset, 1, 1);
            rows.first().is_some_and(|row| row.object == ObjectRef::Segment(bad) && row.base <= offset)
        })
    };
    let archived = [world.archived(&agent, one).await, world.archived(&agent, two).await];
    let archived: Sent = archived.into_iter().flatten().collect();
    for (at, sent) in &*world.sent.lock() {
        let sound = sent.iter().filter(|batch| !lost(*at, batch.base_offset()));
        assert!(sound.eq(archived.get(at).into_iter().flatten()), "{at:?}");
    }
    // To try it again costs no file.
    let files = || async { world.bucket.list(Some(&Path::from(key::ARCHIVE_PREFIX))).count().await };
    let before = files().await;
    let Ok(Done::Nothing(Some(due))) = rewriter.pass(true).await else { panic!("it is left alone") };
    sleep_until(due).await;
    assert!(rewriter.pass(true).await.is_err(), "it is tried again");
    assert_eq!((before, files().await), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn what_others_have_archived_in_between_stays() {
    let world = World::new(21);
    let (agent, other) = (world.member().await, world.member().await);
    let topic = world.create_topic(&agent, 1).await;
    world.commit(&agent, &[(topic, 0), (topic, 1)]).await;
    let work = Work::Window { from: LogPosition(0), to: agent.metastore().read(State::position) };
    other.metastore().tail_check().await.expect("the bucket is sound");
    submit(&other, Command::ClaimWork { work, seen: None }, Vec::new()).await;
    for _ in 0..2 {
        world.commit(&agent, &[(topic, 0)]).await;
    }
    agent.metastore().tail_check().await.expect("the bucket is sound");
    let mut rewriter = world.rewriter(&agent);
    assert_eq!(rewriter.pass(true).await.expect("nothing is disturbed"), Done::Window);
    assert_eq!(unarchived(&agent).len(), 1, "what the other has claimed");
    // It dies without a trace, and what it had claimed comes together with what is committed now.
    other.leave().await;
    world.commit(&agent, &[(topic, 0), (topic, 1)]).await;
    agent.metastore().tail_check().await.expect("the bucket is sound");
    assert_eq!(rewriter.pass(true).await.expect("nothing is disturbed"), Done::Window);
    assert_eq!(rewriter.pass(true).await.expect("nothing is disturbed"), Done::Nothing(None));
    assert!(world.all_archived(&agent, topic).await);
    assert_eq!(rewriter.counters().counts().files_refused, 0);
}

/// A batch whose header states another largest timestamp than that of its records, which is 5,000.
fn lying_batch(max_timestamp: i64) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    builder.append(Timestamp(5_000), None, Some(b"value"), &[]).expect("a small record");
    let mut bytes = builder.finish(Compression::None, None).expect("there is a record").bytes().to_vec();
    bytes[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
    let checksum = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    RecordBatch::split_first(&mut bytes.into()).expect("a sound batch")
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_state_any_largest_timestamp() {
    for (seed, stated) in (22..).zip([-1, 4_999, 5_000, 5_001, i64::MIN, i64::MAX]) {
        let world = World::new(seed);
        let agent = world.member().await;
        let topic = world.create_topic(&agent, 1).await;
        world.commit_batch(&agent, topic, lying_batch(stated)).await;
        let mut rewriter = world.rewriter(&agent);
        assert_eq!(rewriter.pass(true).await.expect("it is no failure"), Done::Window, "{stated} is stated");
        assert_eq!(unarchived(&agent), []);
        let row = agent.metastore().read(|state| state.find(topic, PartitionIndex(0), Offset(0), 1, 1)[0]);
        assert_eq!(row.max_timestamp.0, stated.max(5_000), "no look-up by time misses the record");
        let found = &world.archived(&agent, topic).await[&(topic, PartitionIndex(0))];
        let [batch] = &found[..] else { panic!("{found:?}") };
        let record = batch.decode(100).expect("it decodes").next().expect("a record").expect("a sound one");
        assert_eq!((record.offset, record.timestamp), (Offset(0), Timestamp(5_000)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_believed_until_it_is_silent_for_long() {
    let world = World::new(7);
    let (agent, other) = (world.member().await, world.member().await);
    let topic = world.create_topic(&agent, 1).await;
    world.commit(&agent, &[(topic, 0)]).await;
    let work = Work::Window { from: LogPosition(0), to: LogPosition(1_000) };
    let claimed = submit(&other, Command::ClaimWork { work, seen: None }, Vec::new()).await;
    assert!(matches!(claimed, Outcome::WorkClaimed { .. }), "{claimed:?}");
    agent.metastore().tail_check().await.expect("the bucket is sound");
    let mut rewriter = world.rewriter(&agent);
    let Done::Nothing(Some(due)) = rewriter.pass(true).await.expect("nothing is disturbed") else {
        panic!("another one has the work");
    };
    assert_eq!(due - Instant::now(), world.config.claim_timeout);
    // A sign of life, and the claim is believed for as long again.
    sleep(world.config.claim_timeout / 2).await;
    submit(&other, Command::ClaimWork { work, seen: None }, Vec::new()).await;
    agent.metastore().tail_check().await.expect("the bucket is sound");
    assert!(matches!(rewriter.pass(true).await, Ok(Done::Nothing(Some(later))) if later > due));
    sleep(world.config.claim_timeout).await;
    assert_eq!(rewriter.pass(true).await.expect("the claim is taken over"), Done::Window);
    assert!(world.all_archived(&agent, topic).await);
    // One that leaves gives its claims back.
    world.commit(&agent, &[(topic, 0)]).await;
    other.metastore().tail_check().await.expect("the bucket is sound");
    submit(&other, Command::ClaimWork { work, seen: None }, Vec::new()).await;
    other.leave().await;
    agent.metastore().tail_check().await.expect("the bucket is sound");
    assert_eq!(rewriter.pass(true).await.expect("nobody has the work"), Done::Window);
}

#[tokio::test(start_paused = true)]
async fn what_several_have_abandoned_is_taken_over() {
    let world = World::new(10);
    let (agent, other) = (world.member().await, world.member().await);
    let topic = world.create_topic(&agent, 1).await;
    let mut claims = Vec::new();
    for _ in 0..4 {
        let from = agent.metastore().read(State::position);
        for _ in 0..3 {
            world.commit(&agent, &[(topic, 0)]).await;
        }
        let to = agent.metastore().read(State::position);
        claims.push(Work::Window { from: LogPosition(from.0 + 1), to: LogPosition(to.0 - 1) });
    }
    other.metastore().tail_check().await.expect("the bucket is sound");
    for work in claims {
        let claimed = submit(&other, Command::ClaimWork { work, seen: None }, Vec::new()).await;
        assert!(matches!(claimed, Outcome::WorkClaimed { .. }), "{claimed:?}");
    }
    agent.metastore().tail_check().await.expect("the bucket is sound");
    let mut rewriter = world.rewriter(&agent);
    let mut passes = 0;
    loop {
        passes += 1;
        assert!(passes < 30, "each pass gets something done");
        match rewriter.pass(true).await.expect("nothing is disturbed") {
            Done::Window => {}
            Done::Nothing(Some(again)) => sleep_until(again).await,
            Done::Nothing(None) => break,
        }
    }
    assert_eq!(unarchived(&agent), []);
    assert!(world.all_archived(&agent, topic).await);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_do_the_same_work_one_publishes() {
    let mut too_late = 0;
    for polls in 1..20 {
        let mut world = World::new(200 + polls as u64);
        // Nobody believes anybody's claim.
        world.config.claim_timeout = std::time::Duration::ZERO;
        let (agent, other) = (world.member().await, world.member().await);
        let topic = world.create_topic(&agent, 1).await;
        for _ in 0..5 {
            world.commit(&agent, &[(topic, 0), (topic, 1)]).await;
        }
        let (mut slow, mut quick) = (world.rewriter(&agent), world.rewriter(&other));
        let counters = slow.counters();
        let mut pass = Box::pin(slow.pass(true));
        if poll_times(pass.as_mut(), polls).await {
            break;
        }
        other.metastore().tail_check().await.expect("the bucket is sound");
        while quick.pass(true).await.expect("nothing is disturbed") == Done::Window {}
        pass.await.expect("to come too late is no failure");
        too_late += counters.counts().files_refused;
        for member in [&agent, &other] {
            member.metastore().tail_check().await.expect("the bucket is sound");
            assert!(world.all_archived(member, topic).await, "after {polls} polls");
        }
    }
    assert!(too_late > 0, "both worked at the same time");
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_meanwhile_does_not_come_back() {
    let world = World::new(9);
    let agent = world.member().await;
    let topic = world.create_topic(&agent, 1).await;
    for _ in 0..3 {
        world.commit(&agent, &[(topic, 0)]).await;
    }
    let before = world.sent.lock()[&(topic, PartitionIndex(0))][1].base_offset();
    let mut rewriter = world.rewriter(&agent);
    let mut pass = Box::pin(rewriter.pass(true));
    // Up to the moment at which it has read what it will write.
    poll_times(pass.as_mut(), 3).await;
    let delete = Command::DeleteRecords { topic, partition: PartitionIndex(0), before: Some(before) };
    submit(&agent, delete, Vec::new()).await;
    pass.await.expect("it is told, and that is no failure");
    while rewriter.pass(true).await.expect("nothing is disturbed") == Done::Window {}
    let head = agent.metastore().read(|state| state.head(topic, PartitionIndex(0))).expect("it exists");
    assert_eq!(head.log_start, before);
    let archived = world.archived(&agent, topic).await;
    let first = archived[&(topic, PartitionIndex(0))][0].base_offset();
    assert!(first >= Offset(0) && first <= before, "{first}");
    assert_eq!(unarchived(&agent), []);
}

/// Polls a future so many times, if it does not end before; whether it has ended.
pub(crate) async fn poll_times<F: Future>(mut future: Pin<&mut F>, times: usize) -> bool {
    let mut left = times;
    std::future::poll_fn(|context: &mut Context<'_>| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_rewriter_that_is_killed_anywhere_loses_nothing() {
    let mut kills = 0;
    for polls in 1.. {
        let mut world = World::new(100 + polls as u64);
        world.config.window_bytes = 2_000;
        let agent = world.member().await;
        let (one, two) = (world.create_topic(&agent, 1).await, world.create_topic(&agent, 2).await);
        for _ in 0..6 {
            world.commit(&agent, &[(one, 0), (two, 1), (one, 1)]).await;
            world.commit_inline(&agent, &[(one, 0)]).await;
        }
        let mut killed = world.rewriter(&agent);
        let work = async { while killed.pass(true).await.expect("nothing is disturbed") == Done::Window {} };
        let ended = poll_times(Box::pin(work).as_mut(), polls).await;
        kills += usize::from(!ended);
        // What it had claimed belongs to a process that is gone; another one takes over.
        let next = world.member().await;
        next.metastore().tail_check().await.expect("the bucket is sound");
        let mut rewriter = world.rewriter(&next);
        loop {
            match rewriter.pass(true).await.expect("nothing is disturbed") {
                Done::Window => {}
                Done::Nothing(Some(again)) => sleep_until(again).await,
                Done::Nothing(None) => break,
            }
        }
        for topic in [one, two] {
            assert!(world.all_archived(&next, topic).await, "killed after {polls} polls");
        }
        if ended {
            break;
        }
    }
    assert!(kills > 10, "{kills} kills");
}
