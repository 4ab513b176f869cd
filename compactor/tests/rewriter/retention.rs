//! Retention on records that are archived and on some that are not.

use ebb_compactor::{Member, retention::RetentionConfig};
use ebb_metastore::state::State;
use ebb_protocol::ids::{Offset, PartitionIndex, TopicId};
use tokio::time::sleep;

use crate::support::{SECOND, World, configure};

const FIRST: PartitionIndex = PartitionIndex(0);

fn log_start(member: &Member, topic: TopicId) -> Offset {
    member.metastore().read(|state| state.head(topic, FIRST)).expect("it exists").log_start
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_goes_from_the_archive_and_from_segments() {
    let world = World::new(20);
    let agent = world.member().await;
    let topic = world.create_topic(&agent, 1).await;
    let other = world.create_topic(&agent, 2).await;
    configure(&agent, topic, "retention.ms", "60000").await;
    let retention = world.retention(&agent, RetentionConfig::default());
    let mut rewriter = world.rewriter(&agent);
    let end = |topic| world.sent.lock()[&(topic, FIRST)].last().expect("a batch").last_offset().plus(1);

    world.commit(&agent, &[(topic, 0), (other, 0)]).await;
    rewriter.pass(true).await.expect("nothing is disturbed");
    let archived = end(topic);
    sleep(SECOND * 30).await;
    world.commit(&agent, &[(topic, 0)]).await;
    let in_segment = end(topic);
    assert_eq!(retention.pass().await, Ok(0), "nothing is a minute old");
    sleep(SECOND * 31).await;
    let position = agent.metastore().read(State::position);
    assert_eq!(retention.pass().await, Ok(1));
    assert_eq!(log_start(&agent, topic), archived);
    assert_eq!(agent.metastore().read(State::position).0, position.0 + 1);
    assert_eq!(retention.pass().await, Ok(0));
    assert_eq!(
        agent.metastore().read(State::position).0,
        position.0 + 1,
        "who finds nothing appends nothing"
    );
    sleep(SECOND * 31).await;
    assert_eq!(retention.pass().await, Ok(1), "the last segment goes too");
    assert_eq!(log_start(&agent, topic), in_segment);
    assert_eq!(log_start(&agent, other), Offset(0), "a week is not over");
    let table = agent.metastore().read(|state| state.table(topic).map(|table| table.files().count()));
    assert_eq!(table, Some(0), "analysts see that the file is gone");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_goes_and_compacted_topics_keep_all() {
    let world = World::new(21);
    let agent = world.member().await;
    let (small, compacted) = (world.create_topic(&agent, 1).await, world.create_topic(&agent, 2).await);
    configure(&agent, small, "retention.bytes", "1").await;
    configure(&agent, compacted, "retention.bytes", "1").await;
    configure(&agent, compacted, "cleanup.policy", "compact").await;
    for _ in 0..3 {
        world.commit(&agent, &[(small, 0), (compacted, 0)]).await;
    }
    let retention = world.retention(&agent, RetentionConfig::default());
    assert_eq!(retention.pass().await, Ok(1));
    let last = world.sent.lock()[&(small, FIRST)][2].base_offset();
    assert_eq!(log_start(&agent, small), last, "what is left still has as much as may be kept");
    assert_eq!(log_start(&agent, compacted), Offset(0));
}

#[tokio::test(start_paused = true)]
async fn it_looks_by_itself() {
    let world = World::new(22);
    let agent = world.member().await;
    let topic = world.create_topic(&agent, 1).await;
    configure(&agent, topic, "retention.ms", "1000").await;
    world.commit(&agent, &[(topic, 0)]).await;
    let config = RetentionConfig { check_interval: SECOND * 10 };
    let task = tokio::spawn(world.retention(&agent, config).run());
    sleep(SECOND * 30).await;
    assert!(log_start(&agent, topic) > Offset(0));
    task.abort();
}
