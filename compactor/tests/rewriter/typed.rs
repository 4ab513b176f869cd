//! Typed columns of a topic's files: what the state, the files and those who race agree on.

use ebb_archive::{Footer, Tail};
use ebb_compactor::rewriter::{Done, MergeConfig, MergeDone};
use ebb_metastore::state::State;
use ebb_protocol::{
    batch::{BatchBuilder, Compression, RecordBatch},
    ids::TopicId,
};
use ebb_segment::key;
use object_store::ObjectStoreExt;

use crate::{
    poll_times,
    support::{SECOND, World, configure},
};

const FORMAT: &str = "archive.value.format";

fn values(world: &World, values: &[&str]) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for value in values {
        builder.append(world.now(), Some(b"k"), Some(value.as_bytes()), &[]).expect("a small record");
    }
    builder.finish(Compression::None, None).expect("there are records")
}

/// The names of a topic's typed columns, and how many each snapshot has.
fn columns(state: &State, topic: TopicId) -> (Vec<String>, Vec<usize>) {
    let table = state.table(topic).expect("it has files");
    let names = table.columns().iter().map(|(_, column)| column.name.clone()).collect();
    (names, table.snapshots().map(|snapshot| snapshot.columns).collect())
}

#[tokio::test(start_paused = true)]
async fn each_file_adds_the_columns_of_its_values() {
    let world = World::new(600);
    let member = world.member().await;
    let (typed, plain) = (world.create_topic(&member, 1).await, world.create_topic(&member, 2).await);
    configure(&member, typed, FORMAT, "json").await;
    let mut rewriter = world.rewriter(&member);
    let rounds = [
        [r#"{"a": 1, "b": "x"}"#, r#"{"a": 2.5}"#],
        [r#"{"a": 3}"#, "not JSON"],
        [r#"{"c": {"d": true}}"#, r#"{"b": 1}"#],
    ];
    for round in rounds {
        for topic in [typed, plain] {
            world.commit_batch(&member, topic, values(&world, &round)).await;
        }
        assert_eq!(rewriter.pass(true).await.expect("nothing is disturbed"), Done::Window {});
    }
    let expect = ["a", "b", "c", "d", "b_2"].map(str::to_owned).to_vec();
    let found = member.metastore().read(|state| columns(state, typed));
    assert_eq!(found, (expect, vec![2, 2, 5]));
    assert_eq!(member.metastore().read(|state| columns(state, plain)), (vec![], vec![0, 0, 0]));
    assert_eq!(rewriter.counters().counts().values_unfit, 1);
    for topic in [typed, plain] {
        assert!(world.all_archived(&member, topic).await, "consumers see no columns");
    }
}

#[tokio::test(start_paused = true)]
async fn a_schema_goes_before_the_values() {
    let world = World::new(601);
    let member = world.member().await;
    let topic = world.create_topic(&member, 1).await;
    configure(&member, topic, FORMAT, "json").await;
    let schema = r#"{"type": "object", "properties": {"b": {"type": "string"}}}"#;
    configure(&member, topic, "archive.value.schema", schema).await;
    let batch = values(&world, &[r#"{"a": 1, "b": "x"}"#, r#"{"b": 1}"#]);
    world.commit_batch(&member, topic, batch).await;
    let mut rewriter = world.rewriter(&member);
    assert_eq!(rewriter.pass(true).await.expect("nothing is disturbed"), Done::Window {});
    assert_eq!(member.metastore().read(|state| columns(state, topic)), (vec!["b".to_owned()], vec![1]));
    assert_eq!(rewriter.counters().counts().values_unfit, 1);
    assert!(world.all_archived(&member, topic).await);
}

#[tokio::test(start_paused = true)]
async fn files_that_are_merged_keep_their_columns() {
    let world = World::new(602);
    let member = world.member().await;
    let topic = world.create_topic(&member, 1).await;
    configure(&member, topic, FORMAT, "json").await;
    for _ in 0..20 {
        world.commit_batch(&member, topic, values(&world, &[r#"{"a": 1}"#])).await;
        world.rewriter(&member).pass(true).await.expect("nothing is disturbed");
    }
    let mut merger = world.merger(&member, MergeConfig::default());
    assert_eq!(merger.pass().await.expect("nothing is disturbed"), MergeDone::Files);
    let file = |state: &State| state.table(topic)?.files().next().map(|(id, file)| (id, file.clone()));
    let (id, file) = member.metastore().read(file).expect("there is one");
    let found = world.bucket.get(&key::archive_key(topic, id)).await.expect("it is in the bucket");
    let bytes = found.bytes().await.expect("memory does not fail");
    let tail = Tail { bytes: file.tail_bytes, checksum: file.tail_checksum };
    let end = bytes.slice(bytes.len() - tail.bytes as usize..);
    let schema = Footer::decode(file.bytes, tail, end).expect("a sound footer").schema();
    assert!(schema.contains("a [19]"), "{schema}");
    assert_eq!(member.metastore().read(|state| columns(state, topic).0), ["a"]);
    assert!(world.all_archived(&member, topic).await);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_add_columns_the_slower_one_begins_anew() {
    let mut too_late = 0;
    for polls in 1..40 {
        let mut world = World::new(700 + polls as u64);
        world.config.window_bytes = 1;
        let (agent, other) = (world.member().await, world.member().await);
        let topic = world.create_topic(&agent, 1).await;
        configure(&agent, topic, FORMAT, "json").await;
        for value in [r#"{"a": 1}"#, r#"{"b": 1}"#] {
            world.commit_batch(&agent, topic, values(&world, &[value])).await;
        }
        let (mut slow, mut quick) = (world.rewriter(&agent), world.rewriter(&other));
        let counters = slow.counters();
        let mut pass = Box::pin(slow.pass(true));
        if poll_times(pass.as_mut(), polls).await {
            break;
        }
        other.metastore().tail_check().await.expect("the bucket is sound");
        while quick.pass(true).await.expect("nothing is disturbed") == Done::Window {}
        {}
        pass.await.expect("to come too late is no failure");
        too_late += counters.counts().files_refused;
        tokio::time::sleep(120 * SECOND).await;
        agent.metastore().tail_check().await.expect("the bucket is sound");
        while slow.pass(true).await.expect("nothing is disturbed") == Done::Window {}
        {}
        let (mut names, counts) = agent.metastore().read(|state| columns(state, topic));
        names.sort_unstable();
        assert_eq!(
            (names, counts),
            (vec!["a".to_owned(), "b".to_owned()], vec![1, 2]),
            "after {polls} polls"
        );
        assert!(world.all_archived(&agent, topic).await, "after {polls} polls");
    }
    assert!(too_late > 0, "both worked at the same time");
}
