//! When a topic is due to be compacted by key, and when it is left alone.

use ebb_compactor::rewriter::{KeyBacklog, KeyCompactionConfig, KeysDone};
use ebb_metastore::{
    command::{Command, Work},
    state::State,
};
use ebb_protocol::ids::Offset;
use ebb_segment::key::archive_key;
use object_store::ObjectStoreExt;
use tokio::time::{sleep, timeout};

use crate::{
    keys::{Compacted, FIRST, batch, values},
    support::{SECOND, configure, submit},
};

#[tokio::test(start_paused = true)]
async fn tombstones_go_although_nothing_more_comes() {
    let topic = Compacted::new(60).await;
    let mut compactor = topic.compactor();
    let waits = || topic.member.metastore().read(|state| state.compaction(topic.topic).map(|it| it.waits()));
    // The state's time is that of its last entry.
    let time_passes = async |number: u128| {
        sleep(SECOND * 61).await;
        topic.world.create_topic(&topic.member, number).await;
    };
    for (round, last) in [(100, "1"), (200, "2")] {
        topic.send(&[(Some("a"), Some("x")), (Some("a"), None), (Some("b"), Some(last))]).await;
        topic.archive().await;
        assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Topic);
        assert_eq!((topic.values().await.len(), waits()), (2, Some(true)), "the tombstone is there");
        assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Nothing);
        time_passes(round).await;
        assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Topic);
        let end = topic.sent().into_keys().last().expect("something was sent");
        assert_eq!((topic.values().await, waits()), (values(&[(end.0, last)]), Some(false)));
        // Once is enough: nothing is read again and again.
        for number in 1..4 {
            time_passes(round + number).await;
            assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Nothing);
        }
    }
    assert_eq!(compactor.counters().counts().tombstones_dropped, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_dirty_enough_keeps_its_tombstones() {
    let topic = Compacted::new(61).await;
    topic.send(&[(Some("a"), None), (Some("b"), Some("1"))]).await;
    topic.archive().await;
    let mut compactor = topic.compactor();
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Topic);
    configure(&topic.member, topic.topic, "min.cleanable.dirty.ratio", "1").await;
    sleep(SECOND * 61).await;
    topic.send(&[(Some("c"), Some("2"))]).await;
    topic.archive().await;
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Nothing);
    assert_eq!(compactor.pass_early().await.expect("nothing is disturbed"), KeysDone::Topic);
    assert_eq!(topic.values().await, values(&[(1, "1"), (2, "2")]));
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_another_one_works_on_costs_no_entry() {
    let topic = Compacted::new(62).await;
    topic.send(&[(Some("a"), Some("1")), (Some("a"), Some("2"))]).await;
    topic.archive().await;
    let other = topic.world.member().await;
    let claim = Command::ClaimWork { work: Work::Topic(topic.topic), seen: None };
    submit(&other, claim, Vec::new()).await;
    topic.member.metastore().tail_check().await.expect("the bucket is sound");
    let mut compactor = topic.compactor();
    let position = topic.member.metastore().read(State::position);
    for _ in 0..3 {
        assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Nothing);
        sleep(SECOND).await;
    }
    assert_eq!(topic.member.metastore().read(State::position), position);
    // Whoever is silent for long has it no more.
    sleep(KeyCompactionConfig::default().rewriter.claim_timeout).await;
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Topic);
}

#[tokio::test(start_paused = true)]
async fn the_others_do_not_wait_for_a_topic_that_fails() {
    let topic = Compacted::new(63).await;
    let second = topic.world.create_topic(&topic.member, 2).await;
    configure(&topic.member, second, "cleanup.policy", "compact").await;
    let more: Vec<_> = (0..100).map(|_| (Some("a"), Some("more of it is dirty"))).collect();
    topic.send(&more).await;
    let pair = batch(&topic.world, &[(Some("a"), Some("1")), (Some("a"), Some("2"))]);
    topic.world.commit_batch(&topic.member, second, pair).await;
    topic.archive().await;
    let file = |state: &State| state.table(topic.topic)?.files().next().map(|(id, _)| id);
    let file = topic.member.metastore().read(file).expect("it is archived");
    topic.world.bucket.delete(&archive_key(topic.topic, file)).await.expect("it is there");
    let compactor = topic.compactor();
    let counters = compactor.counters();
    let before_it_looks_again = KeyCompactionConfig::default().check_interval / 2;
    timeout(before_it_looks_again, compactor.run()).await.expect_err("it goes on for ever");
    let counts = counters.counts();
    assert_eq!((counts.passes_failed, counts.passes), (1, 1));
    let clean = |state: &State| state.compaction(second).map(|known| known.clean(FIRST));
    assert_eq!(topic.member.metastore().read(clean), Some(Offset(2)));
}

#[tokio::test(start_paused = true)]
async fn deletions_that_make_a_larger_part_dirty_are_seen_within_an_hour() {
    let topic = Compacted::new(64).await;
    topic.send(&[(Some("a"), Some("1")), (Some("b"), Some("1"))]).await;
    topic.archive().await;
    let mut compactor = topic.compactor();
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Topic);
    configure(&topic.member, topic.topic, "min.cleanable.dirty.ratio", "0.9").await;
    topic.send(&[(Some("a"), Some("2"))]).await;
    topic.archive().await;
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Nothing);
    let backlog =
        || topic.member.metastore().read(|state| KeyBacklog::of(state, topic.topic, topic.world.now()));
    assert_eq!(backlog().map(|backlog| backlog.dirty_records), Some(1));
    let command = Command::DeleteRecords { topic: topic.topic, partition: FIRST, before: Some(Offset(2)) };
    submit(&topic.member, command, Vec::new()).await;
    assert_eq!(backlog().map(|backlog| backlog.clean_bytes), Some(0));
    sleep(SECOND * 60 * 60).await;
    assert_eq!(compactor.pass().await.expect("nothing is disturbed"), KeysDone::Topic);
}
